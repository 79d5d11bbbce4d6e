//! Windows in real time: a release waits for the opening and goes by itself, and one that has begun is finished or cut
//! off when its window closes.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};
use tidegate_e2e::{Error, Result};

use crate::order::heal;
use crate::stage::{Shop, condition, deployment, map, text};

/// The cron line of one minute of each day, in UTC.
fn at(minute: Timestamp) -> String {
    let time = minute.to_zoned(TimeZone::UTC);
    format!("{} {} * * *", time.minute(), time.hour())
}

fn this_minute(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second() / 60 * 60).unwrap_or(now)
}

async fn window(shop: &Shop, spec: &Value) -> Result<()> {
    let policy = json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": "hours", "namespace": shop.ns},
        "spec": spec,
    });
    shop.cluster.apply(&policy.to_string()).await.map(drop)
}

fn time(value: &Value) -> Result<Timestamp> {
    let parsed = text(value).parse();
    parsed.map_err(|e| Error::Bug(format!("{value} is no time: {e}")))
}

#[tokio::test]
async fn a_window_opens_and_the_release_goes_by_itself() -> Result<()> {
    let shop = Shop::open("window").await?;
    let now = Timestamp::now();
    // The next full minute that leaves time to see it wait.
    let soon = this_minute(now + SignedDuration::from_secs(75));
    let opens = if soon.duration_since(now) < SignedDuration::from_secs(15) {
        soon + 1.minute()
    } else {
        soon
    };
    window(
        &shop,
        &json!({"windows": [{"schedule": at(opens), "duration": "10m"}]}),
    )
    .await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("waits for the opening")?;
    shop.deploy("").await?;
    let waits = shop.phase(&commit, "Waiting").await?;
    let gate = &waits["status"]["gates"][0];
    assert_eq!(
        (&gate["policy"], &gate["gate"], &gate["decision"], &gate["reason"]),
        (
            &json!("ReleasePolicy/hours"),
            &json!("Windows"),
            &json!("Closed"),
            &json!("WindowClosed")
        ),
        "{waits}"
    );
    assert_eq!(time(&gate["until"])?, opens, "{waits}");
    let app = shop.says("Synced", "False", "Waiting").await?;
    let said = text(&condition(&app, "Synced")["message"]);
    assert!(said.contains("ReleasePolicy/hours"), "{said}");

    let went = shop.phase(&commit, "Succeeded").await?;
    assert_eq!(went["metadata"]["uid"], waits["metadata"]["uid"]);
    assert!(time(&went["status"]["times"]["approved"])? >= opens, "{went}");
    assert_eq!(went["status"]["gates"][0]["decision"], "Open", "{went}");
    Ok(())
}

/// A release of two waves, the first of which does not become healthy before its window has closed.
async fn over_the_closing(shop: &Shop, when_closes: &str) -> Result<(String, Timestamp)> {
    let now = Timestamp::now();
    let start = this_minute(now);
    // Long enough for a busy machine to begin before.
    let closes = now + SignedDuration::from_secs(30);
    let lasts = format!("{}s", closes.duration_since(start).as_secs());
    window(
        shop,
        &json!({"windows": [{"schedule": at(start), "duration": lasts}], "whenWindowCloses": when_closes,
                "onFailure": {"action": "Hold", "quarantine": false}}),
    )
    .await?;
    shop.put("web.yaml", &deployment("web", "ContainerCreating"))?;
    shop.put("later.yaml", &second_wave("1"))?;
    let commit = shop.push("two waves")?;
    shop.deploy("health: {timeout: 120s}").await?;
    shop.phase(&commit, "Applying").await?;
    Ok((
        commit,
        start + SignedDuration::from_secs(closes.duration_since(start).as_secs()),
    ))
}

fn second_wave(value: &str) -> String {
    map("later", value).replace(
        "metadata: {name: later}",
        "metadata: {name: later, annotations: {tidegate.io/wave: \"1\"}}",
    )
}

#[tokio::test]
async fn a_release_that_has_begun_is_finished_after_the_window_has_closed() -> Result<()> {
    let shop = Shop::open("finish").await?;
    let (commit, closes) = over_the_closing(&shop, "Finish").await?;
    past(closes).await;
    heal(&shop, "web").await?;
    shop.phase(&commit, "Succeeded").await?;
    assert_eq!(shop.get("configmaps/later").await?["data"]["key"], "1");
    Ok(())
}

#[tokio::test]
async fn a_release_is_cut_off_at_the_closing_where_the_policy_wants_that() -> Result<()> {
    let shop = Shop::open("abort").await?;
    let (commit, _) = over_the_closing(&shop, "Abort").await?;
    let cut = shop.phase(&commit, "Failed").await?;
    let said = text(&cut["status"]["display"]["message"]);
    assert!(said.contains("ReleasePolicy/hours"), "{cut}");
    assert_eq!(
        shop.get("configmaps/later").await?,
        Value::Null,
        "the next wave was not begun"
    );
    Ok(())
}

/// Waits for a moment that the test has made.
async fn past(moment: Timestamp) {
    let left = moment.duration_since(Timestamp::now()) + SignedDuration::from_secs(1);
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
}
