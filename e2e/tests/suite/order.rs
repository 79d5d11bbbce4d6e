//! Order inside a release: waves that wait for health, deletion in reverse that waits until things are gone.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};

/// Long enough for the operator to have done what it must not do.
const WHILE: Duration = Duration::from_secs(2);

/// The manifest with `tidegate.io/wave`, and with whatever else stands in `more`.
fn in_wave(manifest: &str, wave: &str) -> String {
    annotated(manifest, &format!("tidegate.io/wave: '{wave}'"))
}

fn annotated(manifest: &str, annotations: &str) -> String {
    manifest.replacen(
        "metadata: {",
        &format!("metadata: {{annotations: {{{annotations}}}, "),
        1,
    )
}

fn said(release: &Value) -> String {
    text(&release["status"]["display"]["message"])
}

/// Makes the pods of a Deployment run that were told to fail.
pub(crate) async fn heal(shop: &Shop, name: &str) -> Result<()> {
    let selector = format!("app={name}");
    shop.kubectl(&["annotate", "pods", "-l", &selector, "e2e.tidegate.io/fail-"])
        .await
        .map(drop)
}

/// Edits a ConfigMap by hand, and waits until that is put back: the operator has looked at everything then.
async fn hand_edit(shop: &Shop, name: &str) -> Result<()> {
    let edit = json!({"data": {"key": "hand"}}).to_string();
    shop.kubectl(&["patch", "configmap", name, "--type=merge", "-p", &edit])
        .await?;
    let path = format!("configmaps/{name}");
    shop.until("put back", &path, |v| v["data"]["key"] == "1")
        .await
        .map(drop)
}

/// A commit of three waves whose middle one is not healthy; the commit.
fn three_waves(shop: &Shop, fail: &str) -> Result<String> {
    shop.put("a-last.yaml", &in_wave(&map("last", "1"), "5"))?;
    shop.put("b-db.yaml", &deployment("db", fail))?;
    shop.put("c-first.yaml", &in_wave(&map("first", "1"), "-1"))?;
    shop.push("three waves")
}

/// Waits until the last wave is said to wait for the middle one; the Application.
async fn waits_for_db(shop: &Shop, commit: &str) -> Result<Value> {
    let line = format!(
        "wave 5 waits until wave 0 is healthy: Deployment {}/db: ",
        shop.ns
    );
    let app = shop.until("waits for wave 0", "applications/shop", |app| {
        text(&condition(app, "Reconciling")["message"]).contains(&line)
    });
    let app = app.await?;
    let release = shop.phase(commit, "Applying").await?;
    assert!(said(&release).contains(&line), "{release}");
    assert_eq!(shop.get("configmaps/first").await?["data"]["key"], "1");
    assert_eq!(shop.get("configmaps/last").await?, Value::Null, "before its wave");
    Ok(app)
}

#[tokio::test]
async fn a_wave_waits_until_the_one_before_is_healthy() -> Result<()> {
    let shop = Shop::open("waves").await?;
    let commit = three_waves(&shop, "ContainerCreating")?;
    shop.deploy("").await?;
    let app = waits_for_db(&shop, &commit).await?;
    assert_eq!(condition(&app, "Ready")["status"], "False", "{app}");
    assert_eq!(app["status"]["display"]["phase"], "Applying", "{app}");
    let release = shop.phase(&commit, "Applying").await?;
    assert_eq!(
        release["status"]["plan"]["create"], 3,
        "the plan is of all waves: {release}"
    );
    // What is edited meanwhile is put back at once, and brings nothing forward.
    hand_edit(&shop, "first").await?;
    assert_eq!(shop.get("configmaps/last").await?, Value::Null);
    heal(&shop, "db").await?;
    shop.released(&commit).await?;
    let last = shop.get("configmaps/last").await?;
    let db = shop.get("deployments/db").await?;
    let ready = db["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["type"] == "Available"));
    let since = text(&ready.unwrap_or(&Value::Null)["lastTransitionTime"]);
    assert!(
        text(&last["metadata"]["creationTimestamp"]) >= since,
        "{last} {db}"
    );
    let release = shop.phase(&commit, "Succeeded").await?;
    assert_eq!(release["status"]["plan"]["create"], 3, "{release}");
    assert_eq!(shop.releases("").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_wave_that_does_not_get_healthy_fails_the_release_and_nothing_later_is_done() -> Result<()> {
    let shop = Shop::open("stuck").await?;
    shop.put("old.yaml", &map("old", "1"))?;
    let first = shop.push("old")?;
    shop.deploy("health: {timeout: 4s}").await?;
    shop.released(&first).await?;
    shop.cut("old.yaml")?;
    let commit = three_waves(&shop, "ContainerCreating")?;
    let release = shop.phase(&commit, "Failed").await?;
    let line = "wave 0 was not healthy within 4s, nothing of wave 5 and later was applied";
    assert!(
        said(&release).contains(line) && said(&release).contains("/db"),
        "{release}"
    );
    assert!(
        text(&release["status"]["results"]["failed"][0]["object"]).ends_with("/db"),
        "{release}"
    );
    let app = shop.says("Synced", "False", "WaveNotHealthy").await?;
    assert_eq!(condition(&app, "Stalled")["status"], "True", "{app}");
    // Something wakes it: neither the later wave nor the pruning may come after all.
    heal(&shop, "db").await?;
    shop.until("healthy too late", "deployments/db", |v| {
        v["status"]["availableReplicas"] == 2
    })
    .await?;
    hand_edit(&shop, "first").await?;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.get("configmaps/last").await?, Value::Null);
    assert_eq!(
        shop.get("configmaps/old").await?["data"]["key"],
        "1",
        "pruned by a release that failed before"
    );
    shop.put("c-first.yaml", &in_wave(&map("first", "2"), "-1"))?;
    shop.put("b-db.yaml", &deployment("db", ""))?;
    let fixed = shop.push("fixed")?;
    shop.released(&fixed).await?;
    assert_eq!(shop.get("configmaps/last").await?["data"]["key"], "1");
    assert_eq!(shop.get("configmaps/old").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_hopeless_wave_fails_before_its_time_with_the_pods_reason() -> Result<()> {
    let shop = Shop::open("hopeless").await?;
    let commit = three_waves(&shop, "CrashLoopBackOff")?;
    shop.deploy("").await?;
    let release = shop.phase(&commit, "Failed").await?;
    let line = "wave 0 cannot become healthy, nothing of wave 5 and later was applied";
    assert!(
        said(&release).contains(line) && said(&release).contains("CrashLoopBackOff"),
        "{release}"
    );
    assert_eq!(shop.get("configmaps/last").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn killed_between_two_waves_it_goes_on_with_the_same_release() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "midwave").await?;
    let options = Options {
        name: "midwave".to_owned(),
        args: vec!["--identity".to_owned(), "midwave".to_owned()],
        ..Options::default()
    };
    let mut running = Operator::start(&world.cluster, options).await?;
    running.wait_ready(STEP).await?;
    let commit = three_waves(&shop, "ContainerCreating")?;
    shop.deploy("").await?;
    waits_for_db(&shop, &commit).await?;
    running.kill9();
    running.restart()?;
    running.wait_ready(STEP).await?;
    shop.look_again().await?;
    waits_for_db(&shop, &commit).await?;
    heal(&shop, "db").await?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/last").await?["data"]["key"], "1");
    assert_eq!(
        shop.releases("").await?.len(),
        1,
        "one release, begun before and ended after the kill"
    );
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_wave_that_is_none_is_refused_with_its_line() -> Result<()> {
    let shop = Shop::open("nowave").await?;
    shop.put("a.yaml", &in_wave(&map("a", "1"), "first"))?;
    let commit = shop.push("no number")?;
    shop.deploy("").await?;
    let release = shop.phase(&commit, "Denied").await?;
    let failed = &release["status"]["results"]["failed"][0];
    assert_eq!(failed["location"], "deploy/a.yaml:3", "{release}");
    assert!(
        text(&failed["message"]).contains("a whole number from -1000 to 1000 in quotes, not `first`"),
        "{release}"
    );
    Ok(())
}

/// A definition, an instance of it, what serves it, and a ConfigMap that stays.
fn lamp_shop(shop: &Shop) -> Result<String> {
    let group = format!("{}.example.com", shop.ns);
    let crd = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: lamps.{group}, \
         annotations: {{tidegate.io/prune: Enabled}}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  \
         names: {{kind: Lamp, plural: lamps}}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    \
         schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
    );
    shop.put("crd.yaml", &crd)?;
    shop.put(
        "lamp.yaml",
        &format!("apiVersion: {group}/v1\nkind: Lamp\nmetadata: {{name: desk}}\n"),
    )?;
    shop.put("operator.yaml", &deployment("operator", ""))?;
    shop.put("stays.yaml", &map("stays", "1"))?;
    shop.push("lamps")
}

fn lamp_path(shop: &Shop) -> String {
    format!("/apis/{0}.example.com/v1/namespaces/{0}/lamps/desk", shop.ns)
}

fn crd_path(shop: &Shop) -> String {
    format!(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lamps.{}.example.com",
        shop.ns
    )
}

/// The controller of lamps holds on to one, or lets it go.
async fn finalizer(shop: &Shop, held: bool) -> Result<()> {
    let finalizers = if held {
        json!(["example.com/lamp"])
    } else {
        Value::Null
    };
    let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
    let kind = format!("lamps.{}.example.com", shop.ns);
    shop.kubectl(&[
        "patch",
        &kind,
        "desk",
        "--field-manager=lamps",
        "--type=merge",
        "-p",
        &patch,
    ])
    .await
    .map(drop)
}

async fn until_path(shop: &Shop, what: &str, path: &str, ok: impl Fn(&Value) -> bool) -> Result<Value> {
    let ok = &ok;
    wait::until(STEP, what, || async move {
        let value = shop.read(path).await.map_err(|e| e.to_string())?;
        if ok(&value) {
            Ok(value)
        } else {
            Err(value.to_string())
        }
    })
    .await
}

/// The lamp is on its way out, and what it needs for that is untouched.
async fn held_in_order(shop: &Shop) -> Result<()> {
    let leaving = |v: &Value| v["metadata"]["deletionTimestamp"].is_string();
    until_path(shop, "the lamp to be on its way out", &lamp_path(shop), leaving).await?;
    tokio::time::sleep(WHILE).await;
    for (what, live) in [
        ("operator", shop.get("deployments/operator").await?),
        ("definition", shop.read(&crd_path(shop)).await?),
    ] {
        assert!(
            live["metadata"]["uid"].is_string() && !leaving(&live),
            "{what} before the lamp: {live}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn custom_resources_are_gone_before_what_serves_them_goes() -> Result<()> {
    let shop = Shop::open("reverse").await?;
    let first = lamp_shop(&shop)?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    finalizer(&shop, true).await?;
    for file in ["crd.yaml", "lamp.yaml", "operator.yaml"] {
        shop.cut(file)?;
    }
    let commit = shop.push("no lamps")?;
    held_in_order(&shop).await?;
    let line = format!(
        "Deployment {0}/operator is deleted when Lamp {0}/desk is gone",
        shop.ns
    );
    let app = shop.until("waits for the lamp", "applications/shop", |app| {
        text(&condition(app, "Reconciling")["message"]).contains(&line)
    });
    let app = app.await?;
    assert!(
        text(&condition(&app, "Synced")["message"]).contains("example.com/lamp"),
        "names the finalizer: {app}"
    );
    let release = shop.phase(&commit, "Applying").await?;
    assert_eq!(release["status"]["plan"]["delete"], 3, "{release}");
    finalizer(&shop, false).await?;
    let app = shop.released(&commit).await?;
    assert_eq!(app["status"]["objects"]["total"], 1, "{app}");
    assert_eq!(shop.get("deployments/operator").await?, Value::Null);
    until_path(
        &shop,
        "the definition to be gone",
        &crd_path(&shop),
        Value::is_null,
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_is_held_too_long_fails_the_release_and_goes_on_when_it_can() -> Result<()> {
    let shop = Shop::open("held").await?;
    let first = lamp_shop(&shop)?;
    shop.deploy("health: {timeout: 4s}").await?;
    shop.released(&first).await?;
    finalizer(&shop, true).await?;
    for file in ["crd.yaml", "lamp.yaml", "operator.yaml"] {
        shop.cut(file)?;
    }
    let commit = shop.push("no lamps")?;
    let release = shop.phase(&commit, "Failed").await?;
    let line = format!("Lamp {0}/desk: it is still there", shop.ns);
    assert!(
        said(&release).contains(&line) && said(&release).contains("/operator"),
        "{release}"
    );
    shop.says("Synced", "False", "DeletionHeld").await?;
    hand_edit(&shop, "stays").await?;
    held_in_order(&shop).await?;
    finalizer(&shop, false).await?;
    shop.until("the operator to be gone", "deployments/operator", Value::is_null)
        .await?;
    until_path(
        &shop,
        "the definition to be gone",
        &crd_path(&shop),
        Value::is_null,
    )
    .await?;
    shop.released(&commit).await?;
    assert_eq!(
        shop.releases(&commit).await?.len(),
        1,
        "no second attempt was needed"
    );
    Ok(())
}

#[tokio::test]
async fn a_deleted_application_goes_in_reverse_too() -> Result<()> {
    let shop = Shop::open("end").await?;
    lamp_shop(&shop)?;
    shop.put("top.yaml", &in_wave(&map("top", "1"), "3"))?;
    let first = shop.push("a wave on top")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    finalizer(&shop, true).await?;
    let hold = json!({"metadata": {"finalizers": ["example.com/top"]}}).to_string();
    shop.kubectl(&[
        "patch",
        "configmap",
        "top",
        "--field-manager=lamps",
        "--type=merge",
        "-p",
        &hold,
    ])
    .await?;
    shop.kubectl(&["delete", "--wait=false", "applications.tidegate.io", "shop"])
        .await?;
    let leaving = |v: &Value| v["metadata"]["deletionTimestamp"].is_string();
    shop.until("the highest wave to go", "configmaps/top", leaving)
        .await?;
    tokio::time::sleep(WHILE).await;
    let lamp = shop.read(&lamp_path(&shop)).await?;
    assert!(
        lamp["metadata"]["uid"].is_string() && !leaving(&lamp),
        "before the wave above: {lamp}"
    );
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    shop.kubectl(&[
        "patch",
        "configmap",
        "top",
        "--field-manager=lamps",
        "--type=merge",
        "-p",
        &free,
    ])
    .await?;
    held_in_order(&shop).await?;
    finalizer(&shop, false).await?;
    shop.until("the Application to be gone", "applications/shop", Value::is_null)
        .await?;
    assert_eq!(shop.get("deployments/operator").await?, Value::Null);
    until_path(
        &shop,
        "the definition to be gone",
        &crd_path(&shop),
        Value::is_null,
    )
    .await?;
    Ok(())
}
