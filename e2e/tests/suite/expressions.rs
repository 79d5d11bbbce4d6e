//! Health by `spec.health.expressions`, on a kind whose readiness nothing else knows: its status has a phase and no
//! condition.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_e2e::{Cluster, Result};
use tokio::sync::OnceCell;

use crate::stage::{Shop, condition, text, world};

/// Longest time after which a person who writes a wrong expression is told. A second is the promise; here four tests share
/// the machine.
const TOLD: Duration = Duration::from_secs(3);
const PHASE: &str = "health: {timeout: 60s, expressions: [{apiVersion: cel.example.com/v1, kind: Widget, \
     current: \"status.phase == 'Ready'\", failed: \"status.phase == 'Broken'\"}]}";

async fn kind() -> Result<&'static Cluster> {
    static KIND: OnceCell<()> = OnceCell::const_new();
    let cluster = &world().await?.cluster;
    let install = || async {
        cluster
            .apply(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.cel.example.com}\n\
                 spec:\n  group: cel.example.com\n  scope: Namespaced\n  \
                 names: {kind: Widget, plural: widgets, singular: widget}\n  versions:\n  - name: v1\n    served: true\n    \
                 storage: true\n    subresources: {status: {}}\n    schema:\n      openAPIV3Schema:\n        type: object\n        \
                 properties:\n          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}\n          \
                 status: {type: object, x-kubernetes-preserve-unknown-fields: true}\n",
            )
            .await?;
        let crd = "customresourcedefinition/widgets.cel.example.com";
        let wait = ["wait", "--for=condition=Established", "--timeout=30s", crd];
        cluster.kubectl(&wait).await.map(drop)
    };
    KIND.get_or_try_init(install).await?;
    Ok(cluster)
}

fn widget(value: &str) -> String {
    format!("apiVersion: cel.example.com/v1\nkind: Widget\nmetadata: {{name: w}}\nspec: {{value: {value}}}\n")
}

async fn shop(prefix: &str) -> Result<Shop> {
    let shop = Shop::open_in(kind().await?, prefix).await?;
    shop.put("w.yaml", &widget("one"))?;
    Ok(shop)
}

/// What the controller of the kind would write.
async fn status(shop: &Shop, status: &Value) -> Result<()> {
    let patch = json!({ "status": status }).to_string();
    let args = [
        "patch",
        "widgets.cel.example.com",
        "w",
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    shop.kubectl(&args).await.map(drop)
}

async fn live(shop: &Shop) -> Result<Value> {
    let path = format!("/apis/cel.example.com/v1/namespaces/{}/widgets/w", shop.ns);
    shop.read(&path).await
}

async fn verifying(shop: &Shop, says: &str) -> Result<Value> {
    let title = format!("waits for health, and says {says}");
    let app = shop.until(&title, "applications/shop", |app| {
        let ready = condition(app, "Ready");
        ready["status"] == "False" && ready["reason"] == "Verifying" && text(&ready["message"]).contains(says)
    });
    app.await
}

fn expressions(all: &Value) -> Value {
    json!({"spec": {"health": {"expressions": all}}})
}

fn by(current: &str) -> Value {
    expressions(&json!([{"apiVersion": "cel.example.com/v1", "kind": "Widget", "current": current}]))
}

#[tokio::test]
async fn a_release_is_done_when_the_expression_is_true() -> Result<()> {
    let shop = shop("cel-true").await?;
    let commit = shop.push("one")?;
    shop.deploy(PHASE).await?;
    verifying(&shop, "reads `phase`, which is not set").await?;
    shop.phase(&commit, "Verifying").await?;
    status(&shop, &json!({"phase": "Working"})).await?;
    verifying(&shop, "not true yet: status.phase == 'Ready'").await?;
    status(&shop, &json!({"phase": "Ready"})).await?;
    shop.released(&commit).await?;
    shop.phase(&commit, "Succeeded").await?;
    // A status that its controller says is of an older generation counts for nothing.
    let generation = live(&shop).await?["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default();
    let old = json!({"phase": "Ready", "observedGeneration": generation - 1});
    status(&shop, &old).await?;
    let app = shop.says("Healthy", "False", "ObjectsInProgress").await?;
    let said = text(&condition(&app, "Healthy")["message"]);
    assert!(said.contains("the controller has seen generation"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_failed_expression_fails_the_release_at_once_with_the_objects_message() -> Result<()> {
    let shop = shop("cel-failed").await?;
    let commit = shop.push("one")?;
    shop.deploy(PHASE).await?;
    verifying(&shop, "status.phase").await?;
    status(&shop, &json!({"phase": "Broken", "message": "no disk is left"})).await?;
    let started = Instant::now();
    let release = shop.phase(&commit, "Failed").await?;
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "it waited for the timeout"
    );
    let said = text(&release["status"]["results"]["failed"][0]["message"]);
    assert_eq!(
        said, "`failed` is true: status.phase == 'Broken'; it says no disk is left",
        "{release}"
    );
    let app = shop.says("Healthy", "False", "ObjectsFailed").await?;
    assert!(
        text(&condition(&app, "Ready")["message"]).contains("no disk is left"),
        "{app}"
    );
    Ok(())
}

#[tokio::test]
async fn an_edited_expression_judges_what_runs_anew_without_a_release() -> Result<()> {
    let shop = shop("cel-edit").await?;
    let commit = shop.push("one")?;
    shop.deploy(PHASE).await?;
    shop.phase(&commit, "Verifying").await?;
    status(&shop, &json!({"phase": "Ready", "load": 3})).await?;
    shop.released(&commit).await?;
    shop.patch_app("shop", &by("status.phase == 'Ready' && status.load > 5"))
        .await?;
    let app = shop.says("Healthy", "False", "ObjectsInProgress").await?;
    assert!(
        text(&condition(&app, "Healthy")["message"]).contains("status.load > 5"),
        "{app}"
    );
    shop.patch_app("shop", &by("status.load > 2")).await?;
    shop.released(&commit).await?;
    // Without expressions such a kind is healthy as soon as it exists; so it is also while nothing may be written.
    shop.patch_app("shop", &by("status.load > 9")).await?;
    shop.says("Healthy", "False", "ObjectsInProgress").await?;
    let suspend = json!({"spec": {"suspend": {"reason": "a look"}, "health": {"expressions": []}}});
    shop.patch_app("shop", &suspend).await?;
    shop.says("Healthy", "True", "ObjectsHealthy").await?;
    assert_eq!(
        shop.releases("").await?.len(),
        1,
        "an edit of an expression is no release"
    );
    Ok(())
}

#[tokio::test]
async fn a_broken_expression_stalls_within_a_second_and_nothing_newer_is_applied() -> Result<()> {
    let shop = shop("cel-broken").await?;
    let first = shop.push("one")?;
    shop.deploy(PHASE).await?;
    shop.phase(&first, "Verifying").await?;
    status(&shop, &json!({"phase": "Ready"})).await?;
    shop.released(&first).await?;
    shop.patch_app("shop", &by("status.phase = 'Ready'")).await?;
    let started = Instant::now();
    let app = shop.says("Stalled", "True", "InvalidExpression").await?;
    assert!(started.elapsed() < TOLD, "it took {:?}", started.elapsed());
    let said = text(&condition(&app, "Stalled")["message"]);
    assert!(
        said.starts_with(
            "spec.health.expressions[0].current: of cel.example.com/v1 Widget: line 1, column 14: "
        ) && said.contains("`==` compares"),
        "{said}"
    );
    assert_eq!(condition(&app, "Ready")["reason"], "InvalidExpression", "{app}");
    let healthy = condition(&app, "Healthy");
    assert_eq!(
        healthy["status"], "False",
        "nothing judges it, so it is not known to be healthy: {healthy}"
    );
    shop.put("w.yaml", &widget("two"))?;
    let second = shop.push("two")?;
    shop.look_again().await?;
    assert_eq!(live(&shop).await?["spec"]["value"], "one");
    assert_eq!(shop.releases(&second).await?, Vec::<Value>::new());
    // What runs is kept as it is.
    let edit = json!({"spec": {"value": "hand"}}).to_string();
    shop.kubectl(&[
        "patch",
        "widgets.cel.example.com",
        "w",
        "--type=merge",
        "-p",
        &edit,
    ])
    .await?;
    shop.until("the live edit is put back", "applications/shop", |app| {
        app["status"]["drift"]["count"] == 1
    })
    .await?;
    assert_eq!(live(&shop).await?["spec"]["value"], "one");
    shop.patch_app("shop", &by("status.phase == 'Ready'")).await?;
    shop.released(&second).await?;
    assert_eq!(live(&shop).await?["spec"]["value"], "two");
    Ok(())
}

#[tokio::test]
async fn an_expression_that_would_run_for_ages_is_refused_quickly_and_stops_nobody() -> Result<()> {
    let shop = shop("cel-hostile").await?;
    let commit = shop.push("one")?;
    let hostile = "status.list.all(a, status.list.all(b, status.list.all(c, a + b + c >= 0)))";
    shop.deploy(&format!(
        "health: {{timeout: 60s, expressions: [{{apiVersion: cel.example.com/v1, kind: Widget, current: \"{hostile}\"}}]}}"
    ))
    .await?;
    shop.phase(&commit, "Verifying").await?;
    let list: Vec<u32> = (0..300).collect();
    let started = Instant::now();
    status(&shop, &json!({ "list": list })).await?;
    let app = verifying(&shop, "more than 200000 steps").await?;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        started.elapsed()
    );
    assert_eq!(app["status"]["objects"]["failed"], 0, "{app}");
    // Deeper ones are refused by their form.
    let deeper = format!("status.list.all(d, {hostile})");
    shop.patch_app("shop", &by(&deeper)).await?;
    let app = shop.says("Stalled", "True", "InvalidExpression").await?;
    let said = text(&condition(&app, "Stalled")["message"]);
    assert!(said.contains("nested deeper than 3 levels"), "{said}");
    // With fewer items the same expression is asked.
    shop.patch_app("shop", &by(hostile)).await?;
    status(&shop, &json!({"list": [1, 2, 3]})).await?;
    shop.released(&commit).await?;
    Ok(())
}
