//! A rollback outlives its operator: killed at any moment, the next process brings it to its end.

use crate::faults::operator;
use crate::rollback::{HELD, bad, fixed, good, is_as_before, is_held};
use crate::stage::{STEP, Shop, fragile, map, text};
use serde_json::json;
use std::time::Duration;
use tidegate_e2e::{Result, wait};

/// Waits until the Release of a commit is there, or on its way back.
async fn begun(shop: &Shop, commit: &str, back: bool) -> Result<()> {
    wait::until(STEP, "the release, or its way back, to begin", || async {
        for _ in 0..100 {
            let all = shop.releases(commit).await.map_err(|e| e.to_string())?;
            if all.iter().any(|r| !back || r["status"]["rollback"].is_object()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err("not yet".to_owned())
    })
    .await
}

#[tokio::test]
async fn killed_at_any_moment_of_a_failing_release_it_ends_put_back() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "moments").await?;
    let mut running = operator(&world.cluster, "moments").await?;
    let first = good(&shop).await?;
    let mut hits = 0;
    let moments = [
        (false, 0),
        (false, 60),
        (false, 150),
        (true, 0),
        (true, 15),
        (true, 40),
        (true, 80),
        (true, 130),
    ];
    for (round, (back, delay)) in moments.into_iter().enumerate() {
        let commit = bad(&shop, &(round + 2).to_string())?;
        begun(&shop, &commit, back).await?;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        running.kill9();
        let left = shop.releases(&commit).await?.pop().unwrap_or_default();
        let rollback = &left["status"]["rollback"];
        hits += usize::from(rollback.is_object() && rollback["finished"].is_null());
        running.restart()?;
        running.wait_ready(STEP).await?;
        let release = shop.phase(&commit, "RolledBack").await?;
        let name = text(&release["metadata"]["name"]);
        is_held(&shop, &[&name, "Deployment"]).await?;
        is_as_before(&shop, &first).await?;
        assert_eq!(
            shop.releases(&commit).await?.len(),
            1,
            "one attempt, killed after {delay} ms"
        );
    }
    assert!(hits > 0, "no kill hit a way back");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn killed_in_the_middle_of_a_rollback_it_is_brought_to_its_end() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "middle").await?;
    let mut running = operator(&world.cluster, "middle").await?;
    let first = good(&shop).await?;
    // The new ConfigMap goes after the new Service, which does not go: the way back does not end before it may.
    shop.put("held.yaml", HELD)?;
    let second = bad(&shop, "2")?;
    begun(&shop, &second, true).await?;
    running.kill9();
    let left = shop.releases(&second).await?.pop().unwrap_or_default();
    assert!(left["status"]["rollback"]["finished"].is_null(), "{left}");
    running.restart()?;
    running.wait_ready(STEP).await?;
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    shop.until("the way back is gone on", "services/held", |held| {
        held["metadata"]["deletionTimestamp"].is_string()
    })
    .await?;
    shop.kubectl(&["patch", "service", "held", "--type=merge", "-p", &free])
        .await?;
    shop.phase(&second, "RolledBack").await?;
    is_held(&shop, &["shop-000002", "Deployment"]).await?;
    is_as_before(&shop, &first).await?;

    // The next process knows what failed, too.
    running.kill9();
    shop.put("other.yaml", &map("other", "3"))?;
    let third = shop.push("unrelated, while nobody looks")?;
    running.restart()?;
    running.wait_ready(STEP).await?;
    shop.phase(&third, "Waiting").await?;
    is_held(&shop, &["shop-000003"]).await?;
    is_as_before(&shop, &first).await?;
    let fourth = fixed(&shop, "4")?;
    shop.released(&fourth).await?;
    running.kill9();
    drop(guard);
    Ok(())
}
