//! What must survive calls that fail, or whose answers are lost: nothing is claimed that was not done, nothing is done
//! twice. An operator of its own behind a proxy that makes them fail, on the cluster of `faults`.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tidegate_e2e::operator::{self, NAMESPACE, Operator, SERVICE_ACCOUNT};
use tidegate_e2e::{Cluster, Fault, FaultProxy, Result, kubeconfig};

use crate::stage::{STEP, Shop, condition, fragile, map, text};

async fn behind_proxy(cluster: &Cluster, name: &str) -> Result<(FaultProxy, Operator)> {
    behind_proxy_with(cluster, name, &[]).await
}

/// An operator under the chart's account that reaches the API server only through the proxy.
pub(crate) async fn behind_proxy_with(
    cluster: &Cluster,
    name: &str,
    args: &[&str],
) -> Result<(FaultProxy, Operator)> {
    let token = cluster.service_account_token(NAMESPACE, SERVICE_ACCOUNT).await?;
    let direct = cluster.kubeconfig_for_token(&format!("{name}-direct"), &token)?;
    let proxy = FaultProxy::start(&direct).await?;
    let proxied = cluster.dir().join(format!("{name}.kubeconfig"));
    kubeconfig::write(&proxied, proxy.server(), "", "the proxy has its own")?;
    let options = operator::Options {
        name: name.to_owned(),
        kubeconfig: Some(proxied),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..operator::Options::default()
    };
    let mut operator = Operator::start(cluster, options).await?;
    operator.wait_ready(STEP).await?;
    Ok((proxy, operator))
}

/// Every ConfigMap of ours: `name=value`.
async fn maps(shop: &Shop) -> Result<Vec<String>> {
    let list = shop.get("configmaps").await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let ours = items
        .iter()
        .filter(|m| m["metadata"]["labels"]["tidegate.io/managed-by"].is_string());
    let line = |m: &Value| format!("{}={}", text(&m["metadata"]["name"]), text(&m["data"]["key"]));
    Ok(ours.map(line).collect())
}

fn phases(releases: &[Value]) -> Vec<String> {
    releases.iter().map(|r| text(&r["status"]["phase"])).collect()
}

#[tokio::test]
async fn a_failed_call_at_each_step_of_a_release_neither_loses_nor_doubles_it() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "steps").await?;
    let (proxy, mut running) = behind_proxy(&world.cluster, "steps").await?;
    shop.put("a.yaml", &map("a", "0"))?;
    let commit = shop.push("zero")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let steps = [
        (Method::POST, "/releases", "the record is made"),
        (Method::PATCH, "/releases/", "the record is written"),
        (Method::PUT, "/inventories/", "the inventory is written"),
        (Method::PATCH, "/configmaps/", "the object is applied"),
        (Method::PATCH, "/applications/", "the status is written"),
    ];
    let mut number = 0;
    for (method, path, what) in steps {
        for fault in [Fault::Refuse, Fault::LoseAnswer] {
            number += 1;
            let met = proxy.hits();
            proxy.fail(method.clone(), path, fault, 2);
            shop.put("a.yaml", &map("a", &number.to_string()))?;
            let commit = shop.push(what)?;
            shop.released(&commit).await?;
            assert!(proxy.hits() > met, "{fault:?}, when {what}: no call met it");
            assert_eq!(
                maps(&shop).await?,
                [format!("a={number}")],
                "{fault:?}, when {what}"
            );
            let records = phases(&shop.releases(&commit).await?);
            let good = records.iter().filter(|p| *p == "Succeeded").count();
            let rest = records.iter().filter(|p| *p == "Superseded").count();
            assert_eq!(good, 1, "{fault:?}, when {what}: {records:?}");
            assert_eq!(good + rest, records.len(), "{fault:?}, when {what}: {records:?}");
            proxy.heal();
        }
    }
    assert!(running.ended().is_none(), "{}", running.logs());
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_refused_commit_is_recorded_once_while_its_status_cannot_be_written() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "once").await?;
    let (proxy, mut running) = behind_proxy(&world.cluster, "once").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = shop.push("good")?;
    shop.deploy("").await?;
    shop.released(&good).await?;
    // Six tries at two seconds each.
    proxy.fail(Method::PATCH, "/applications/", Fault::Refuse, 6);
    shop.put("b.yaml", "apiVersion: v1\nkind: Nonsense\nmetadata: {name: b}\n")?;
    let bad = shop.push("bad")?;
    let app = shop
        .until("the refusal is said at last", "applications/shop", |app| {
            app["status"]["lastAttemptedRevision"] == *bad
        })
        .await?;
    assert_eq!(condition(&app, "Ready")["status"], "False", "{app}");
    let records = shop.releases(&bad).await?;
    assert_eq!(phases(&records), ["Denied"], "{records:?}");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn an_unfinished_release_is_completed_although_the_newest_commit_is_refused() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "half").await?;
    let (proxy, mut running) = behind_proxy(&world.cluster, "half").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("first")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    // The second stays half applied: one of its two objects cannot be written until the process is killed.
    proxy.fail(Method::PATCH, "/configmaps/b", Fault::Refuse, usize::MAX);
    shop.put("a.yaml", &map("a", "2"))?;
    shop.put("b.yaml", &map("b", "2"))?;
    let half = shop.push("half")?;
    shop.phase(&half, "Applying").await?;
    shop.until("one of two is written", "configmaps/a", |m| {
        m["data"]["key"] == "2"
    })
    .await?;
    running.kill9();
    proxy.heal();
    shop.put("c.yaml", "apiVersion: v1\nkind: Nonsense\nmetadata: {name: c}\n")?;
    let bad = shop.push("bad")?;
    running.restart()?;
    running.wait_ready(STEP).await?;
    shop.phase(&half, "Succeeded").await?;
    shop.phase(&bad, "Denied").await?;
    assert_eq!(maps(&shop).await?, ["a=2", "b=2"]);
    let app = shop
        .until(
            "what runs and what is refused are both said",
            "applications/shop",
            |app| {
                app["status"]["lastAppliedRevision"] == *half
                    && app["status"]["lastAttemptedRevision"] == *bad
            },
        )
        .await?;
    assert_eq!(condition(&app, "Synced")["status"], "False", "{app}");
    assert_eq!(app["status"]["display"]["phase"], "Denied", "{app}");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_storm_of_failing_calls_ends_in_the_newest_commit_with_every_record_final() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "storm").await?;
    let (proxy, mut running) = behind_proxy(&world.cluster, "storm").await?;
    shop.put("m.yaml", &map("m0", "0"))?;
    let commit = shop.push("zero")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    proxy.fail_some(20, 0x71de);
    let mut expected = Vec::new();
    let mut newest = commit;
    // As many rounds as it takes: a slow machine makes fewer calls in each.
    for number in 1..=60 {
        if number > 12 && proxy.hits() > 20 {
            break;
        }
        expected = (number..number + 8)
            .map(|n| format!("m{n:02}={number}"))
            .collect();
        let all: Vec<String> = (number..number + 8)
            .map(|n| map(&format!("m{n:02}"), &number.to_string()))
            .collect();
        shop.put("m.yaml", &all.join("---\n"))?;
        newest = shop.push(&format!("storm {number}"))?;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert!(proxy.hits() > 20, "only {} calls failed", proxy.hits());
    proxy.heal();
    shop.released(&newest).await?;
    assert_eq!(maps(&shop).await?, expected);
    shop.look_again().await?;
    let open: Vec<String> = phases(&shop.releases("").await?);
    assert!(
        open.iter()
            .all(|p| ["Succeeded", "Superseded"].contains(&p.as_str())),
        "{open:?}"
    );
    running.kill9();
    drop(guard);
    Ok(())
}
