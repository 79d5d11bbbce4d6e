//! The matrix of drift: every way in which a live object comes to differ from git, in every mode, while the operator
//! looks on and while it is down. One Application for each mode, all rows in each.

mod rows;

use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Cluster, Result, wait};

use crate::stage::{STEP, Shop, condition, fragile, text, world};
use rows::{Disturb, MIRROR, MIRRORED_PROBE, ROWS, Row, Said};

const MODES: [&str; 3] = ["Ignore", "Report", "Correct"];

#[tokio::test]
async fn every_drift_in_every_mode() -> Result<()> {
    let cluster = &world().await?.cluster;
    let stages = begin(cluster).await?;
    // Watches bring events of one kind in order: what the last one shows, the first ones have seen.
    for (mode, shop) in &stages {
        disturb(mode, shop).await?;
    }
    expect(&stages).await
}

#[tokio::test]
async fn every_drift_that_happens_while_the_operator_is_down() -> Result<()> {
    let (world, guard) = fragile().await?;
    let options = || Options {
        name: "down".to_owned(),
        ..Options::default()
    };
    let mut operator = Operator::start(&world.cluster, options()).await?;
    operator.wait_ready(STEP).await?;
    let stages = begin(&world.cluster).await?;
    operator.kill9();
    for (mode, shop) in &stages {
        disturb(mode, shop).await?;
    }
    let mut operator = Operator::start(&world.cluster, options()).await?;
    operator.wait_ready(STEP).await?;
    expect(&stages).await?;
    assert!(operator.ended().is_none(), "{}", operator.logs());
    operator.kill9();
    drop(guard);
    Ok(())
}

/// One Application for each mode, with all rows, applied.
async fn begin(cluster: &'static Cluster) -> Result<Vec<(&'static str, Shop)>> {
    cluster.apply(MIRROR).await?;
    let mut stages = Vec::new();
    for mode in MODES {
        let shop = Shop::open_in(cluster, &format!("matrix-{}", mode.to_lowercase())).await?;
        images_are_rewritten(&shop).await?;
        for row in ROWS.iter().filter(|row| !row.before.is_empty()) {
            cluster.apply(&row.before.replace("{ns}", &shop.ns)).await?;
            established(&shop, row).await?;
        }
        for (number, row) in ROWS.iter().enumerate() {
            shop.put(
                &format!("{number:02}.yaml"),
                &row.manifest.replace("{ns}", &shop.ns),
            )?;
        }
        let commit = shop.push("all rows")?;
        shop.deploy(&format!("drift: {{mode: {mode}, additions: {mode}}}"))
            .await?;
        stages.push((mode, shop, commit));
    }
    for (_, shop, commit) in &stages {
        // Not `released`: an autoscaler without metrics is never healthy.
        shop.until("all rows are applied", "applications/shop", |app| {
            app["status"]["lastAppliedRevision"] == **commit
        })
        .await?;
    }
    Ok(stages.into_iter().map(|(mode, shop, _)| (mode, shop)).collect())
}

/// A policy takes a moment to be in force.
async fn images_are_rewritten(shop: &Shop) -> Result<()> {
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/probe?fieldManager=probe&dryRun=All",
        shop.ns
    );
    wait::until(STEP, "the mutating admission policy to be in force", || async {
        let content = "application/apply-patch+yaml".to_owned();
        let made = shop.send(Method::PATCH, path.clone(), content, MIRRORED_PROBE.to_owned());
        let made = made.await.map_err(|e| e.to_string())?.to_string();
        let in_force = made.contains("mirror.example.com/web:1");
        in_force.then_some(()).ok_or(made)
    })
    .await
}

async fn established(shop: &Shop, row: &Row) -> Result<()> {
    let path = row.path.replace("{ns}", &shop.ns);
    let collection = path
        .rsplit_once('/')
        .map_or(path.as_str(), |(head, _)| head)
        .to_owned();
    wait::until(STEP, &format!("{collection} to be served"), || async {
        let list = shop.read(&collection).await.map_err(|e| e.to_string())?;
        list.is_object().then_some(()).ok_or("not yet".to_owned())
    })
    .await
}

/// First what is no drift, and until it is there; then the rest.
async fn disturb(mode: &str, shop: &Shop) -> Result<()> {
    let harmless: Vec<&Row> = ROWS.iter().filter(|row| row.drift.is_none()).collect();
    try_join_all(harmless.iter().map(|row| act(shop, row))).await?;
    for row in harmless {
        await_row(shop, mode, row, row.disturbed, "it is there").await?;
    }
    let drifts = ROWS.iter().filter(|row| row.drift.is_some());
    try_join_all(drifts.map(|row| act(shop, row))).await.map(drop)
}

async fn act(shop: &Shop, row: &Row) -> Result<()> {
    let path = row.path.replace("{ns}", &shop.ns);
    for disturbance in row.disturb {
        let patch = |manager: &str, content, body: &str, below: &str| {
            let forced = if content == "apply-patch+yaml" {
                "&force=true"
            } else {
                ""
            };
            let path = format!("{path}{below}?fieldManager={manager}{forced}");
            let content = format!("application/{content}");
            shop.send(Method::PATCH, path, content, body.replace("{ns}", &shop.ns))
        };
        match disturbance {
            Disturb::Merge(manager, body) => patch(manager, "merge-patch+json", body, "").await?,
            Disturb::Strategic(manager, body) => {
                patch(manager, "strategic-merge-patch+json", body, "").await?
            }
            Disturb::Json(manager, body) => patch(manager, "json-patch+json", body, "").await?,
            Disturb::Apply(manager, body) => patch(manager, "apply-patch+yaml", body, "").await?,
            Disturb::Scale(manager, count) => {
                let body = json!({"spec": {"replicas": count}}).to_string();
                patch(manager, "merge-patch+json", &body, "/scale").await?
            }
            Disturb::Delete => {
                let content = "application/json".to_owned();
                shop.send(Method::DELETE, path.clone(), content, String::new())
                    .await?
            }
            Disturb::Elsewhere(manifest) => {
                shop.cluster.apply(&manifest.replace("{ns}", &shop.ns)).await?;
                Value::Null
            }
        };
    }
    Ok(())
}

async fn await_row(shop: &Shop, mode: &str, row: &Row, ok: fn(&Value) -> bool, what: &str) -> Result<Value> {
    let path = row.path.replace("{ns}", &shop.ns);
    let title = format!("drift.mode {mode}: {}: {what}", row.name);
    wait::until(STEP, &title, || async {
        let object = shop.read(&path).await.map_err(|e| e.to_string())?;
        if ok(&object) {
            return Ok(object);
        }
        Err(object.to_string().chars().take(3000).collect::<String>())
    })
    .await
}

async fn expect(stages: &[(&'static str, Shop)]) -> Result<()> {
    for (mode, shop) in stages.iter().rev() {
        match *mode {
            "Correct" => corrected(shop).await?,
            "Report" => reported(shop).await?,
            _ => ignored(shop).await?,
        }
    }
    Ok(())
}

/// Every row is as git says, and nothing is corrected without end.
async fn corrected(shop: &Shop) -> Result<()> {
    for row in ROWS {
        let what = if row.drift.is_some() {
            "it is put back"
        } else {
            "it is left alone"
        };
        await_row(shop, "Correct", row, row.git, what).await?;
    }
    let drifts = ROWS.iter().filter(|row| row.drift.is_some()).count();
    let counted = |app: &Value| app["status"]["drift"]["count"] == drifts;
    shop.until(
        &format!("{drifts} corrections are counted"),
        "applications/shop",
        counted,
    )
    .await?;
    for _ in 0..3 {
        shop.look_again().await?;
    }
    let app = shop.get("applications/shop").await?;
    assert!(counted(&app), "corrections go on: {}", app["status"]);
    assert_eq!(condition(&app, "Drifted")["status"], "False", "{app}");
    assert_eq!(shop.releases("").await?.len(), 1, "corrections make no Release");
    Ok(())
}

/// Nothing is put back, and everything is said.
async fn reported(shop: &Shop) -> Result<()> {
    let said = |app: &Value| {
        let message = text(&condition(app, "Drifted")["message"]);
        let missing = ROWS.iter().filter(|row| !is_said(&message, row, &shop.ns));
        missing.map(|row| row.name).collect::<Vec<_>>()
    };
    let app = wait::until(STEP, "drift.mode Report: every drift is said", || async {
        let app = shop.get("applications/shop").await.map_err(|e| e.to_string())?;
        let missing = said(&app);
        let message = text(&condition(&app, "Drifted")["message"]);
        if missing.is_empty() {
            return Ok(app);
        }
        Err(format!("not or wrongly said: {missing:?}: {message}"))
    })
    .await?;
    let drifts = ROWS.iter().filter(|row| row.drift.is_some()).count();
    assert_eq!(app["status"]["objects"]["drifted"], drifts, "{}", app["status"]);
    untouched(shop, "Report").await
}

/// One line of the condition names object, field and manager; none does where nothing drifted.
fn is_said(message: &str, row: &Row, ns: &str) -> bool {
    let name = row.path.rsplit('/').next().unwrap_or_default();
    let object = format!(" {ns}/{name} (");
    let line = message.split("; ").find(|line| line.contains(&object));
    match (&row.drift, line) {
        (Some(Said(kind, field, manager)), Some(line)) => {
            line.starts_with(kind) && line.contains(field) && line.contains(manager)
        }
        (None, None) => true,
        _ => false,
    }
}

/// Nothing is put back, and nothing is said.
async fn ignored(shop: &Shop) -> Result<()> {
    untouched(shop, "Ignore").await?;
    let app = shop.get("applications/shop").await?;
    assert_eq!(condition(&app, "Drifted")["status"], "False", "{app}");
    assert_eq!(app["status"]["objects"]["drifted"], 0, "{app}");
    Ok(())
}

async fn untouched(shop: &Shop, mode: &str) -> Result<()> {
    for _ in 0..2 {
        shop.look_again().await?;
    }
    for row in ROWS {
        let object = shop.read(&row.path.replace("{ns}", &shop.ns)).await?;
        assert!(
            (row.disturbed)(&object),
            "drift.mode {mode}: {}: {object}",
            row.name
        );
    }
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["drift"]["count"], 0, "{}", app["status"]);
    Ok(())
}
