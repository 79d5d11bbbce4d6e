//! What a look costs, counted by the API server itself, under an operator that nobody else uses.

use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, fragile, map};

/// Objects that nobody changes.
const MANY: usize = 1000;
const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

#[tokio::test]
async fn a_look_and_a_restart_over_a_thousand_unchanged_objects_write_none() -> Result<()> {
    let (world, guard) = fragile().await?;
    let cluster = &world.cluster;
    let shop = Shop::open_in(cluster, "count").await?;
    let options = Options {
        name: "counted".to_owned(),
        args: vec!["--identity".to_owned(), "counted".to_owned()],
        ..Options::default()
    };
    let mut running = Operator::start(cluster, options).await?;
    running.wait_ready(STEP).await?;
    for file in 0..10 {
        let maps = (0..MANY / 10).map(|n| map(&format!("map-{file}-{n}"), "1"));
        shop.put(&format!("{file}.yaml"), &maps.collect::<Vec<_>>().join("---\n"))?;
    }
    let commit = shop.push("a thousand")?;
    shop.deploy("").await?;
    let app = shop.released(&commit).await?;
    assert_eq!(app["status"]["objects"]["total"], MANY);
    // The last word of the release itself may still be on its way.
    shop.phase(&commit, "Succeeded").await?;

    let before = cluster.request_totals().await?;
    shop.look_again().await?;
    let looked = cluster.request_totals().await?.since(&before);
    assert_eq!(looked.writes("configmaps"), 0, "{looked:?}");
    assert_eq!(looked.sum(&["GET", "LIST"], "configmaps"), 0, "{looked:?}");
    assert_eq!(
        looked.writes("inventories") + looked.writes("releases"),
        0,
        "{looked:?}"
    );

    let status = running.sigterm()?;
    assert!(status.success(), "{status}");
    restarted_without_a_write(&shop, &mut running).await?;
    running.kill9();
    restarted_without_a_write(&shop, &mut running).await?;
    assert_eq!(shop.releases("").await?.len(), 1);
    running.kill9();
    drop(guard);
    Ok(())
}

/// Starts an operator that was ended: it must see all objects again and write to none.
async fn restarted_without_a_write(shop: &Shop, running: &mut Operator) -> Result<()> {
    let before = shop.cluster.request_totals().await?;
    running.restart()?;
    running.wait_ready(STEP).await?;
    shop.look_again().await?;
    wait::until(STEP, "all objects seen again", || async {
        let app = shop.get("applications/shop").await.map_err(|e| e.to_string())?;
        let healthy = &app["status"]["objects"]["healthy"];
        (*healthy == MANY)
            .then_some(())
            .ok_or(format!("healthy: {healthy}"))
    })
    .await?;
    let started = shop.cluster.request_totals().await?.since(&before);
    // The root CA's ConfigMaps are the controller manager's: no namespace is made here, so none of them is written.
    assert_eq!(started.sum(&WRITES, "configmaps"), 0, "{started:?}");
    // Of all ConfigMaps it reads its own, with the public keys of records.
    assert_eq!(started.get("GET", "configmaps"), 1, "{started:?}");
    Ok(())
}
