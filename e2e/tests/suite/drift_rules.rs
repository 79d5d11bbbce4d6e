//! What people add beside our fields, what others may set, and what is changed again and again.

use serde_json::{Value, json};
use tidegate_e2e::Result;

use crate::stage::{Shop, condition, deployment, map, text};

/// A merge patch as a person's kubectl sends it.
async fn edit(shop: &Shop, object: &[&str], patch: &Value) -> Result<()> {
    let patch = patch.to_string();
    let args: Vec<&str> = ["patch"]
        .iter()
        .chain(object)
        .chain(&["--type=strategic", "-p", &patch])
        .copied()
        .collect();
    shop.kubectl(&args).await.map(drop)
}

fn containers(deployment: &Value) -> usize {
    let list = deployment["spec"]["template"]["spec"]["containers"].as_array();
    list.map_or(0, Vec::len)
}

#[tokio::test]
async fn what_people_add_beside_our_fields_is_taken_away() -> Result<()> {
    let shop = Shop::open("added").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;

    edit(&shop, &["configmap", "a"], &json!({"data": {"extra": "hand"}})).await?;
    shop.until("an added key is taken away", "configmaps/a", |v| {
        v["data"] == json!({"key": "git"})
    })
    .await?;

    let sidecar = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "sidecar", "image": "example.com/miner:1", "securityContext": {"privileged": true}},
    ]}}}});
    edit(&shop, &["deployment", "web"], &sidecar).await?;
    shop.until("an added container is taken away", "deployments/web", |v| {
        containers(v) == 1 && v["spec"]["replicas"] == 2
    })
    .await?;
    shop.until("both are counted", "applications/shop", |app| {
        app["status"]["drift"]["count"].as_i64() >= Some(2)
    })
    .await?;
    // Nothing of what a rollout restart writes is an addition.
    shop.kubectl(&["rollout", "restart", "deployment/web"]).await?;
    shop.look_again().await?;
    let web = shop.get("deployments/web").await?;
    let annotations = &web["spec"]["template"]["metadata"]["annotations"];
    assert!(
        annotations["kubectl.kubernetes.io/restartedAt"].is_string(),
        "{annotations}"
    );
    Ok(())
}

#[tokio::test]
async fn additions_are_only_reported_where_that_is_asked() -> Result<()> {
    let shop = Shop::open("reported").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("drift: {additions: Report}").await?;
    shop.released(&commit).await?;
    edit(&shop, &["configmap", "a"], &json!({"data": {"extra": "hand"}})).await?;
    let app = shop.says("Drifted", "True", "ObjectsDiffer").await?;
    let said = text(&condition(&app, "Drifted")["message"]);
    assert!(
        said.contains("fields added") && said.contains("kubectl"),
        "{said}"
    );
    // A lost field is put back all the same, and what was added stays.
    edit(&shop, &["configmap", "a"], &json!({"data": {"key": "hand"}})).await?;
    shop.until("the lost field is put back", "configmaps/a", |v| {
        v["data"] == json!({"key": "git", "extra": "hand"})
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_autoscaled_deployment_keeps_the_replicas_that_it_was_given() -> Result<()> {
    let shop = Shop::open("scaled").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    shop.put(
        "hpa.yaml",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  \
         scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n  minReplicas: 1\n  maxReplicas: 9\n",
    )?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.until("the Deployment as git has it", "deployments/web", |v| {
        v["spec"]["replicas"] == 2
    })
    .await?;
    shop.kubectl(&["scale", "deployment", "web", "--replicas=5"])
        .await?;
    shop.until("the scaling is seen", "applications/shop", |app| {
        app["status"]["lastAppliedRevision"] == *commit
    })
    .await?;
    shop.look_again().await?;
    let second = deployment("web", "").replace("example.com/web:1", "example.com/web:2");
    shop.put("web.yaml", &second)?;
    shop.push("another image")?;
    let web = shop
        .until("the new image", "deployments/web", |v| {
            v["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/web:2"
        })
        .await?;
    assert_eq!(web["spec"]["replicas"], 5, "{web}");
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["drift"]["count"], 0, "{app}");
    Ok(())
}

#[tokio::test]
async fn an_ignored_field_belongs_to_whoever_sets_it() -> Result<()> {
    let shop = Shop::open("ignored").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("drift: {ignore: [{target: {kind: ConfigMap, name: a}, jsonPointers: [/data/key]}]}")
        .await?;
    shop.released(&commit).await?;
    edit(&shop, &["configmap", "a"], &json!({"data": {"key": "hand"}})).await?;
    shop.look_again().await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "hand");
    let more = map("a", "other").replace("\ndata: {", "\ndata: {more: \"1\", ");
    shop.put("a.yaml", &more)?;
    let commit = shop.push("two")?;
    shop.released(&commit).await?;
    assert_eq!(
        shop.get("configmaps/a").await?["data"],
        json!({"key": "hand", "more": "1"}),
        "git's other fields come, the ignored one stays"
    );
    Ok(())
}

#[tokio::test]
async fn a_field_that_is_changed_again_and_again_is_named_and_no_longer_put_back_at_once() -> Result<()> {
    let shop = Shop::open("fight").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    for round in 1..=3 {
        let value = format!("hand-{round}");
        edit(&shop, &["configmap", "a"], &json!({"data": {"key": value}})).await?;
        shop.until("put back", "configmaps/a", |v| v["data"]["key"] == "git")
            .await?;
        shop.until("counted", "applications/shop", |app| {
            app["status"]["drift"]["count"] == round
        })
        .await?;
    }
    edit(&shop, &["configmap", "a"], &json!({"data": {"key": "hand-4"}})).await?;
    let app = shop
        .until("the fight is said", "applications/shop", |app| {
            text(&condition(app, "Drifted")["message"]).contains("again and again")
        })
        .await?;
    let said = text(&condition(&app, "Drifted")["message"]);
    assert!(said.contains("data.key") && said.contains("kubectl"), "{said}");
    shop.until("it is put back after the wait", "configmaps/a", |v| {
        v["data"]["key"] == "git"
    })
    .await?;
    Ok(())
}
