//! What keeps what runs as it is although something stands in the way: a refused commit, an object on its way out, a git
//! host that is down, a watch that tells nothing, an autoscaler of somebody else.

use http::Method;
use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Fault, Result, wait};

use crate::flaky::behind_proxy_with;
use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};

/// A merge patch by a manager that is no person's.
async fn write(shop: &Shop, what: &str, patch: &Value) -> Result<Value> {
    let path = format!("/api/v1/namespaces/{}/{what}?fieldManager=controller", shop.ns);
    let content = "application/merge-patch+json".to_owned();
    shop.send(Method::PATCH, path, content, patch.to_string()).await
}

fn finalizers(names: &[&str]) -> Value {
    json!({"metadata": {"finalizers": names}})
}

const HELD: &[&str] = &["e2e.tidegate.io/held"];

/// Pushes a commit that is refused as a whole, and waits until it is.
async fn refused(shop: &Shop) -> Result<()> {
    shop.put(
        "bad.yaml",
        "apiVersion: v1\nkind: Nonsense\nmetadata: {name: bad}\n",
    )?;
    let commit = shop.push("bad")?;
    shop.phase(&commit, "Denied").await.map(drop)
}

async fn edit(shop: &Shop, name: &str) -> Result<()> {
    let patch = r#"{"data":{"key":"hand"}}"#;
    shop.kubectl(&["patch", "configmap", name, "--type=merge", "-p", patch])
        .await
        .map(drop)
}

#[tokio::test]
async fn an_ignored_field_of_an_item_that_git_newly_adds_comes_with_the_item() -> Result<()> {
    let shop = Shop::open("item").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("one")?;
    shop.deploy(
        "drift: {ignore: [{target: {kind: Deployment}, jsonPointers: [/spec/template/spec/containers/1/image]}]}",
    )
    .await?;
    shop.released(&commit).await?;
    let two = deployment("web", "").replace(
        "'example.com/web:1'}",
        "'example.com/web:1'}, {name: log, image: 'example.com/log:1'}",
    );
    shop.put("web.yaml", &two)?;
    let commit = shop.push("two containers")?;
    shop.released(&commit).await?;
    let web = shop.get("deployments/web").await?;
    let containers = &web["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[1]["image"], "example.com/log:1", "{containers}");
    Ok(())
}

#[tokio::test]
async fn what_a_commit_changes_while_it_is_being_deleted_is_made_anew_in_every_mode() -> Result<()> {
    for mode in ["Report", "Ignore", "Correct"] {
        let shop = Shop::open("dying").await?;
        shop.put("a.yaml", &map("a", "1"))?;
        shop.put("b.yaml", &map("b", "1"))?;
        let commit = shop.push("one")?;
        shop.deploy(&format!("drift: {{mode: {mode}}}")).await?;
        shop.released(&commit).await?;
        for name in ["a", "b"] {
            write(&shop, &format!("configmaps/{name}"), &finalizers(HELD)).await?;
            shop.kubectl(&["delete", "configmap", name, "--wait=false"])
                .await?;
        }
        shop.put("a.yaml", &map("a", "2"))?;
        let commit = shop.push("two")?;
        shop.until("the second commit is looked at", "applications/shop", |app| {
            app["status"]["lastAppliedRevision"] == *commit
        })
        .await?;
        for name in ["b", "a"] {
            write(&shop, &format!("configmaps/{name}"), &finalizers(&[])).await?;
        }
        shop.until("what the commit changes is made anew", "configmaps/a", |v| {
            v["data"]["key"] == "2"
        })
        .await?;
        shop.look_again().await?;
        let back = shop.get("configmaps/b").await?.is_object();
        assert_eq!(back, mode == "Correct", "drift.mode {mode}: what nobody changed");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_pruned_and_is_gone_at_last_is_forgotten_although_the_newest_commit_is_refused() -> Result<()>
{
    let shop = Shop::open("gone").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("b.yaml", &map("b", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("health: {timeout: 2s}").await?;
    shop.released(&commit).await?;
    write(&shop, "configmaps/b", &finalizers(HELD)).await?;
    shop.cut("b.yaml")?;
    let commit = shop.push("without b")?;
    // It waits for b to go, and gives up.
    shop.phase(&commit, "Failed").await?;
    refused(&shop).await?;
    write(&shop, "configmaps/b", &finalizers(&[])).await?;
    shop.until("the inventory forgets b", "inventories/shop", |inventory| {
        let entries = inventory["spec"]["entries"].as_array();
        entries.is_some_and(|entries| entries.len() == 1 && text(&entries[0]["id"]).ends_with("/a"))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_made_anew_comes_back_although_the_newest_commit_is_refused() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "back").await?;
    let (proxy, mut running) = behind_proxy_with(&world.cluster, "back", &[]).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    refused(&shop).await?;
    proxy.fail(Method::PATCH, "/configmaps/a", Fault::Refuse, 1000);
    shop.kubectl(&["delete", "configmap", "a"]).await?;
    wait::until(STEP, "making it anew to fail twice", || async {
        (proxy.hits() >= 2).then_some(()).ok_or("not yet")
    })
    .await?;
    proxy.heal();
    shop.until("it comes back", "configmaps/a", |v| v["data"]["key"] == "1")
        .await?;
    assert!(running.ended().is_none(), "{}", running.logs());
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn an_edit_is_put_back_although_git_cannot_be_read_after_a_restart() -> Result<()> {
    let (world, guard) = fragile().await?;
    let options = || Options {
        name: "mirror".to_owned(),
        ..Options::default()
    };
    let mut operator = Operator::start(&world.cluster, options()).await?;
    operator.wait_ready(STEP).await?;
    let shop = Shop::open_in(&world.cluster, "mirror").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("b.yaml", &map("b", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    operator.kill9();
    shop.git.set_on(false);
    edit(&shop, "a").await?;
    let mut operator = Operator::start(&world.cluster, options()).await?;
    operator.wait_ready(STEP).await?;
    let is_git = |v: &Value| v["data"]["key"] == "1";
    shop.until("the edit of before the start is put back", "configmaps/a", is_git)
        .await?;
    shop.says("Synced", "False", "SourceNotReady").await?;
    edit(&shop, "b").await?;
    shop.until("a later one too", "configmaps/b", is_git).await?;
    shop.git.set_on(true);
    shop.released(&commit).await?;
    operator.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn an_edit_whose_event_never_came_is_seen_by_the_next_list() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "silent").await?;
    let args = ["--resync-interval", "10s"];
    let (proxy, mut running) = behind_proxy_with(&world.cluster, "silent", &args).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("b.yaml", &map("b", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    proxy.silence("/configmaps");
    let met = proxy.hits();
    edit(&shop, "a").await?;
    shop.kubectl(&["delete", "configmap", "b"]).await?;
    for name in ["a", "b"] {
        shop.until("put back", &format!("configmaps/{name}"), |v| {
            v["data"]["key"] == "1"
        })
        .await?;
    }
    assert!(proxy.hits() >= met + 2, "the events of both were lost");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn an_autoscaler_that_is_made_elsewhere_sets_the_replicas_as_long_as_it_is_there() -> Result<()> {
    let shop = Shop::open("elsewhere").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let autoscaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: NS}\n\
        spec: {minReplicas: 5, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n";
    shop.cluster.apply(&autoscaler.replace("NS", &shop.ns)).await?;
    shop.until("it is said who sets the replicas", "applications/shop", |app| {
        let said = text(&condition(app, "Drifted")["message"]);
        said.contains("spec.replicas of Deployment") && said.contains("is left to HorizontalPodAutoscaler")
    })
    .await?;
    let scaled = |v: &Value| v["spec"]["replicas"] == 5;
    shop.until("the autoscaler scales", "deployments/web", scaled)
        .await?;
    let second = deployment("web", "").replace("example.com/web:1", "example.com/web:2");
    shop.put("web.yaml", &second)?;
    let commit = shop.push("another image")?;
    shop.released(&commit).await?;
    shop.look_again().await?;
    let web = shop.get("deployments/web").await?;
    assert!(scaled(&web), "{}", web["spec"]["replicas"]);
    let corrected = shop.get("applications/shop").await?["status"]["drift"]["count"].clone();
    // One at most, when the autoscaler was quicker than its watch.
    assert!(corrected.as_i64() <= Some(1), "{corrected}");
    shop.kubectl(&["delete", "hpa", "web"]).await?;
    shop.until("without it git says how many", "deployments/web", |v| {
        v["spec"]["replicas"] == 2
    })
    .await?;
    Ok(())
}
