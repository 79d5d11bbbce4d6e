//! What must survive: a crash of the operator or of the API server at any moment, two replicas, a right taken away. On a
//! cluster of their own, one test at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Cluster, Result, wait};

use crate::stage::{STEP, Shop, condition, fragile, map, text};

/// Objects of the release that is interrupted.
const MANY: usize = 60;

/// An operator under a name that is also its name in the Lease: one started anew need not wait for the old one's.
async fn operator(cluster: &Cluster, name: &str) -> Result<Operator> {
    let options = Options {
        name: name.to_owned(),
        args: vec!["--identity".to_owned(), name.to_owned()],
        ..Options::default()
    };
    let mut operator = Operator::start(cluster, options).await?;
    operator.wait_ready(STEP).await?;
    Ok(operator)
}

/// `name` to value of every ConfigMap of ours, each of them once.
async fn maps(shop: &Shop) -> Result<BTreeMap<String, String>> {
    let list = shop.get("configmaps").await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let ours = items
        .iter()
        .filter(|m| m["metadata"]["labels"]["tidegate.io/managed-by"].is_string());
    Ok(ours
        .map(|m| (text(&m["metadata"]["name"]), text(&m["data"]["key"])))
        .collect())
}

/// Writes `MANY` ConfigMaps of one generation: each generation has ten names of its own, so that all but the first
/// create, update and prune.
fn generation(shop: &Shop, number: usize) -> Result<(String, BTreeMap<String, String>)> {
    let own = (0..10).map(|n| format!("g{number}-{n}"));
    let names: Vec<String> = (10..MANY).map(|n| format!("m-{n}")).chain(own).collect();
    let documents: Vec<String> = names.iter().map(|name| map(name, &number.to_string())).collect();
    shop.put("all.yaml", &documents.join("---\n"))?;
    let commit = shop.push(&format!("generation {number}"))?;
    Ok((
        commit,
        names.into_iter().map(|name| (name, number.to_string())).collect(),
    ))
}

/// Waits until a commit has its Release, however far that is.
async fn begun(shop: &Shop, commit: &str) -> Result<()> {
    wait::until(STEP, "the release to begin", || async {
        let all = shop.releases(commit).await.map_err(|e| e.to_string())?;
        (!all.is_empty()).then_some(()).ok_or("no Release yet".to_owned())
    })
    .await
}

/// All entries of the inventory are there once, and sealed.
async fn sealed(shop: &Shop, total: usize) -> Result<()> {
    let list = shop.get("inventories").await?;
    let shards = list["items"].as_array().cloned().unwrap_or_default();
    let count: i64 = shards.iter().filter_map(|s| s["spec"]["count"].as_i64()).sum();
    assert_eq!(usize::try_from(count).ok(), Some(total), "{list}");
    for entry in shards
        .iter()
        .filter_map(|s| s["spec"]["entries"].as_array())
        .flatten()
    {
        assert!(
            entry["uid"].is_string() && entry["ours"].is_string(),
            "not sealed: {entry}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn killed_at_any_moment_of_a_release_it_ends_in_the_same_state() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "kill").await?;
    let mut running = operator(&world.cluster, "killed").await?;
    let (commit, _) = generation(&shop, 0)?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    // A fixed seed: moments that look random and are the same in each run. Most hit a release of 60 half done.
    let mut seed = 0x7_1de_u64;
    let mut phases: Vec<String> = Vec::new();
    for number in 1..=8 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_millis((seed >> 33) % 200);
        let (commit, expected) = generation(&shop, number)?;
        // The clock runs from the first trace of the release.
        begun(&shop, &commit).await?;
        tokio::time::sleep(delay).await;
        running.kill9();
        // With the operator dead its record stands still: where was it?
        let last = shop.releases(&commit).await?.pop().unwrap_or_default();
        phases.push(text(&last["status"]["phase"]));
        running.restart()?;
        running.wait_ready(STEP).await?;
        shop.released(&commit).await?;
        assert_eq!(
            maps(&shop).await?,
            expected,
            "generation {number}, killed after {delay:?}"
        );
        sealed(&shop, MANY).await?;
    }
    let hit = phases
        .iter()
        .filter(|p| ["Planned", "Applying", "Verifying"].contains(&p.as_str()))
        .count();
    assert!(hit >= 2, "too few kills hit an unfinished release: {phases:?}");
    let open = shop.releases("").await?;
    let open: Vec<&Value> = open
        .iter()
        .filter(|r| !["Succeeded", "Superseded", "Failed"].contains(&text(&r["status"]["phase"]).as_str()))
        .collect();
    assert!(open.is_empty(), "left behind: {open:?}");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn an_api_server_restart_in_mid_release_is_only_a_delay() -> Result<()> {
    let (world, guard) = fragile().await?;
    if world.cluster.is_existing() {
        return Ok(());
    }
    let shop = Shop::open_in(&world.cluster, "restart").await?;
    let mut running = operator(&world.cluster, "restarted").await?;
    let (first, _) = generation(&shop, 0)?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    let (commit, expected) = generation(&shop, 1)?;
    begun(&shop, &commit).await?;
    world.cluster.restart_apiserver().await?;
    shop.released(&commit).await?;
    assert_eq!(maps(&shop).await?, expected);
    sealed(&shop, MANY).await?;
    assert!(
        running.ended().is_none(),
        "it should have stayed: {}",
        running.logs()
    );
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn what_was_edited_while_it_was_down_is_put_back_at_start() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "down").await?;
    let mut running = operator(&world.cluster, "away").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    shop.put("b.yaml", &map("b", "git"))?;
    let commit = shop.push("two")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    running.kill9();
    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        "-p",
        r#"{"data":{"key":"hand"}}"#,
    ])
    .await?;
    shop.kubectl(&["delete", "configmap", "b"]).await?;
    running.restart()?;
    for name in ["configmaps/a", "configmaps/b"] {
        shop.until("put back", name, |v| v["data"]["key"] == "git")
            .await?;
    }
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn only_the_holder_of_the_lease_writes() -> Result<()> {
    let (world, guard) = fragile().await?;
    let cluster = &world.cluster;
    let shop = Shop::open_in(cluster, "two").await?;
    let holder = || async {
        let path = "/apis/coordination.k8s.io/v1/namespaces/tidegate-system/leases/tidegate";
        shop.read(path)
            .await
            .map(|lease| text(&lease["spec"]["holderIdentity"]))
    };
    let held = |name: &'static str| {
        wait::until(STEP, name, move || async move {
            let now = holder().await.map_err(|e| e.to_string())?;
            (now == name).then_some(()).ok_or(format!("held by {now}"))
        })
    };
    let start = |name: &str| {
        let options = Options {
            name: name.to_owned(),
            args: vec!["--identity".to_owned(), name.to_owned()],
            ..Options::default()
        };
        Operator::start(cluster, options)
    };
    let mut one = start("one").await?;
    held("one").await?;
    let mut two = start("two").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    assert_eq!(holder().await?, "one");

    one.sigstop()?;
    held("two").await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("two")?;
    shop.released(&second).await?;
    let version = text(&shop.get("configmaps/a").await?["metadata"]["resourceVersion"]);

    // It wakes up and still believes: nothing of what it knew may reach the cluster.
    one.sigcont()?;
    shop.look_again().await?;
    assert_eq!(holder().await?, "two");
    let releases = shop.releases("").await?;
    assert_eq!(releases.len(), 2, "{releases:?}");
    let live = shop.get("configmaps/a").await?;
    assert_eq!(
        text(&live["metadata"]["resourceVersion"]),
        version,
        "somebody wrote: {live}"
    );
    assert!(two.ended().is_none(), "{}", two.logs());
    one.kill9();
    two.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_right_taken_away_is_a_condition_and_not_a_crash() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "rights").await?;
    let cluster = &world.cluster;
    let narrow = [
        "replicaCount=0",
        "rbac.clusterAdmin=false",
        "rbac.rules[0].apiGroups[0]=",
        "rbac.rules[0].resources={configmaps}",
        "rbac.rules[0].verbs={get,list,watch,create,patch,delete}",
    ];
    cluster.helm_install_chart(&narrow).await?;
    let mut running = operator(cluster, "narrow").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = shop.push("allowed")?;
    shop.deploy("").await?;
    shop.released(&good).await?;
    shop.put(
        "svc.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: svc}\nspec: {ports: [{port: 80}]}\n",
    )?;
    shop.push("not allowed")?;
    let app = shop
        .until("the missing right named", "applications/shop", |app| {
            let ready = condition(app, "Ready");
            let message = text(&ready["message"]);
            ready["status"] == "False" && message.to_lowercase().contains("service")
        })
        .await;
    let alive = running.ended().is_none();
    // The next test needs the rights again, whatever this one saw.
    cluster.helm_install_chart(&["replicaCount=0"]).await?;
    app?;
    assert!(alive, "{}", running.logs());
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    running.kill9();
    drop(guard);
    Ok(())
}
