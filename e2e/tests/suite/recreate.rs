//! Fields that cannot be changed: the release says so and how to allow it, and with `force` the object is made anew.

use serde_json::{Value, json};
use tidegate_e2e::Result;

use crate::faults::operator;
use crate::stage::{Shop, condition, deployment, fragile, map, text};

const FORCE: &str = "annotations: {tidegate.io/force: Enabled}, ";

fn fixed(value: &str, metadata: &str) -> String {
    let map = map("a", value).replace("{name", &format!("{{{metadata}name"));
    format!("{map}immutable: true\n")
}

fn job(command: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec:\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers: [{{name: once, image: 'example.com/once:1', command: [{command}]}}]\n"
    )
}

fn service(address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]{address}}}\n"
    )
}

async fn uid(shop: &Shop, what: &str) -> Result<String> {
    Ok(text(&shop.get(what).await?["metadata"]["uid"]))
}

/// The Release of a commit says that this many objects were made anew.
async fn recreated(shop: &Shop, commit: &str, count: i64) -> Result<()> {
    let release = shop.phase(commit, "Succeeded").await?;
    let plan = &release["status"]["plan"];
    assert_eq!(plan["recreate"], count, "{plan}");
    assert_eq!(plan["delete"], 0, "{plan}");
    let changes = plan["changes"].as_array().cloned().unwrap_or_default();
    let said = changes.iter().filter(|c| c["action"] == "recreate").count();
    assert_eq!(i64::try_from(said).unwrap_or_default(), count, "{plan}");
    Ok(())
}

/// The failure of a commit's Release at that object.
async fn failed(shop: &Shop, commit: &str, object: &str) -> Result<Value> {
    let release = shop.phase(commit, "Failed").await?;
    let failed = release["status"]["results"]["failed"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = failed.iter().find(|f| text(&f["object"]).contains(object));
    assert!(found.is_some(), "{object} is not among {failed:?}");
    Ok(found.cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_field_that_cannot_be_changed_is_named_and_force_makes_the_object_anew() -> Result<()> {
    let shop = Shop::open("anew").await?;
    shop.put("a.yaml", &fixed("one", ""))?;
    shop.put("b.yaml", &map("b", "one"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let (first, neighbour) = (
        uid(&shop, "configmaps/a").await?,
        uid(&shop, "configmaps/b").await?,
    );

    shop.put("a.yaml", &fixed("two", ""))?;
    let refused = shop.push("a change that cannot be made")?;
    let failure = failed(&shop, &refused, "ConfigMap").await?;
    assert_eq!(failure["field"], "data", "{failure}");
    let message = text(&failure["message"]);
    assert!(
        message.contains("immutable") && message.contains("tidegate.io/force: Enabled"),
        "{message}"
    );
    assert_eq!(uid(&shop, "configmaps/a").await?, first);

    shop.put("a.yaml", &fixed("two", FORCE))?;
    shop.put("b.yaml", &map("b", "two"))?;
    let allowed = shop.push("allowed")?;
    shop.released(&allowed).await?;
    recreated(&shop, &allowed, 1).await?;
    assert_ne!(uid(&shop, "configmaps/a").await?, first);
    assert_eq!(
        uid(&shop, "configmaps/b").await?,
        neighbour,
        "its neighbour is only updated"
    );
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "two");
    shop.look_again().await?;
    let app = shop.get("applications/shop").await?;
    assert_eq!(condition(&app, "Drifted")["status"], "False", "{app}");
    assert_eq!(app["status"]["drift"]["count"], 0, "{app}");

    // What can be changed is changed, force or not.
    let (second, open) = (
        uid(&shop, "configmaps/a").await?,
        fixed("two", &format!("labels: {{part: front}}, {FORCE}")),
    );
    shop.put("a.yaml", &open)?;
    let commit = shop.push("a label")?;
    shop.released(&commit).await?;
    recreated(&shop, &commit, 0).await?;
    assert_eq!(uid(&shop, "configmaps/a").await?, second);
    Ok(())
}

#[tokio::test]
async fn workloads_services_and_jobs_are_made_anew_where_the_application_says_force() -> Result<()> {
    let shop = Shop::open("forced").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    shop.put("job.yaml", &job("one"))?;
    shop.put("svc.yaml", &service(", clusterIP: None"))?;
    let commit = shop.push("one")?;
    shop.deploy("force: true").await?;
    shop.released(&commit).await?;
    let job_path = format!("/apis/batch/v1/namespaces/{}/jobs/once", shop.ns);
    let before = [
        uid(&shop, "deployments/web").await?,
        uid(&shop, "services/web").await?,
        text(&shop.read(&job_path).await?["metadata"]["uid"]),
    ];
    shop.put(
        "web.yaml",
        &deployment("web", "").replace("{app: web}", "{app: web, part: front}"),
    )?;
    shop.put("job.yaml", &job("two"))?;
    shop.put("svc.yaml", &service(", clusterIP: 10.0.0.77"))?;
    let commit = shop.push("another selector, template and address")?;
    shop.released(&commit).await?;
    recreated(&shop, &commit, 3).await?;
    let web = shop.get("deployments/web").await?;
    assert_eq!(
        web["spec"]["selector"]["matchLabels"],
        json!({"app": "web", "part": "front"})
    );
    assert_eq!(web["status"]["readyReplicas"], 2, "{web}");
    let after = [
        text(&web["metadata"]["uid"]),
        uid(&shop, "services/web").await?,
        text(&shop.read(&job_path).await?["metadata"]["uid"]),
    ];
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after);
    }
    Ok(())
}

#[tokio::test]
async fn force_on_an_ordinary_invalid_spec_deletes_nothing() -> Result<()> {
    let shop = Shop::open("invalid").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("one")?;
    shop.deploy("force: true").await?;
    shop.released(&commit).await?;
    let before = uid(&shop, "deployments/web").await?;
    // Both: a selector that cannot be changed, and a template that does not match it.
    let other = deployment("web", "").replace("matchLabels: {app: web}", "matchLabels: {app: other}");
    shop.put("web.yaml", &other)?;
    let both = shop.push("a selector that matches nothing")?;
    refused(&shop, &both).await?;
    // What no schema knows.
    let many = deployment("web", "").replace("replicas: 2", "replicas: -1");
    shop.put("web.yaml", &many)?;
    let negative = shop.push("less than nothing")?;
    refused(&shop, &negative).await?;
    assert_eq!(uid(&shop, "deployments/web").await?, before);
    Ok(())
}

/// Where a commit may make objects anew, what the API server refuses is known before anything is written.
async fn refused(shop: &Shop, commit: &str) -> Result<()> {
    let release = shop.phase(commit, "Denied").await?;
    let failed = text(&release["status"]["results"]["failed"][0]["object"]);
    assert!(failed.contains("Deployment"), "{release}");
    assert_eq!(release["status"]["plan"]["recreate"], 0, "{release}");
    Ok(())
}

#[tokio::test]
async fn what_holds_data_is_made_anew_only_when_git_allows_its_deletion_too() -> Result<()> {
    let shop = Shop::open("claims").await?;
    let claim = |class: &str, annotations: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data, annotations: {{{annotations}}}}}\n\
             spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}, storageClassName: {class}}}\n"
        )
    };
    shop.put("data.yaml", &claim("slow", "tidegate.io/force: Enabled"))?;
    shop.push("one")?;
    shop.deploy("health: {timeout: 2s}").await?;
    shop.until("the claim", "persistentvolumeclaims/data", |v| {
        v["metadata"]["uid"].is_string()
    })
    .await?;
    let before = uid(&shop, "persistentvolumeclaims/data").await?;
    shop.put("data.yaml", &claim("fast", "tidegate.io/force: Enabled"))?;
    let refused = shop.push("another class")?;
    let failure = failed(&shop, &refused, "PersistentVolumeClaim").await?;
    let message = text(&failure["message"]);
    assert!(message.contains("tidegate.io/prune: Enabled too"), "{message}");
    assert_eq!(uid(&shop, "persistentvolumeclaims/data").await?, before);
    let both = "tidegate.io/force: Enabled, tidegate.io/prune: Enabled";
    shop.put("data.yaml", &claim("fast", both))?;
    shop.push("its data may go")?;
    let claim = shop
        .until("the new class", "persistentvolumeclaims/data", |v| {
            v["spec"]["storageClassName"] == "fast"
        })
        .await?;
    assert_ne!(text(&claim["metadata"]["uid"]), before);
    Ok(())
}

#[tokio::test]
async fn one_that_is_held_on_its_way_out_is_said_and_made_anew_when_it_is_gone() -> Result<()> {
    let shop = Shop::open("heldback").await?;
    shop.put("a.yaml", &fixed("one", FORCE))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let before = uid(&shop, "configmaps/a").await?;
    let hold = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        "--field-manager=keeper",
        "-p",
        hold,
    ])
    .await?;
    shop.put("a.yaml", &fixed("two", FORCE))?;
    let commit = shop.push("two")?;
    let live = shop
        .until("it is on its way out", "configmaps/a", |v| {
            v["metadata"]["deletionTimestamp"].is_string()
        })
        .await?;
    assert_eq!(text(&live["metadata"]["uid"]), before);
    let free = r#"{"metadata":{"finalizers":null}}"#;
    shop.kubectl(&["patch", "configmap", "a", "--type=merge", "-p", free])
        .await?;
    shop.released(&commit).await?;
    assert_ne!(uid(&shop, "configmaps/a").await?, before);
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "two");
    Ok(())
}

#[tokio::test]
async fn a_kill_between_deletion_and_creation_is_healed() -> Result<()> {
    let (world, _guard) = fragile().await?;
    let mut running = operator(&world.cluster, "anew").await?;
    let shop = Shop::open_in(&world.cluster, "killed").await?;
    shop.put("a.yaml", &fixed("one", FORCE))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let before = uid(&shop, "configmaps/a").await?;
    let patch = |finalizers: &str| format!(r#"{{"metadata":{{"finalizers":{finalizers}}}}}"#);
    let keeper = "--field-manager=keeper";
    let hold = patch(r#"["example.com/hold"]"#);
    shop.kubectl(&["patch", "configmap", "a", "--type=merge", keeper, "-p", &hold])
        .await?;
    shop.put("a.yaml", &fixed("two", FORCE))?;
    let commit = shop.push("two")?;
    shop.until("it is on its way out", "configmaps/a", |v| {
        v["metadata"]["deletionTimestamp"].is_string()
    })
    .await?;
    running.kill9();
    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        keeper,
        "-p",
        &patch("null"),
    ])
    .await?;
    assert!(
        shop.get("configmaps/a").await?.is_null(),
        "gone, and nobody is there to make it anew"
    );
    let _next = operator(&world.cluster, "anew").await?;
    shop.released(&commit).await?;
    assert_ne!(uid(&shop, "configmaps/a").await?, before);
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "two");
    Ok(())
}
