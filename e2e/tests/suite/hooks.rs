//! Hooks: Jobs that a release runs before, after and when it fails, with every outcome they can have.

use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};

/// Long enough for the operator to have done what it must not do.
const WHILE: Duration = Duration::from_secs(2);
/// A pod that stays where it is until it is healed.
const RUNS: &str = "ContainerCreating";

/// A Job with `tidegate.io/hook`; `fail` as in [`crate::stage::deployment`], empty for a Job that completes.
fn hook(name: &str, annotations: &str, fail: &str, spec: &str) -> String {
    let fail = match fail {
        "" => String::new(),
        reason => format!("e2e.tidegate.io/fail: {reason}"),
    };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec:\n  \
         backoffLimit: 0\n  {spec}\n  template:\n    metadata: {{annotations: {{{fail}}}}}\n    spec:\n      \
         restartPolicy: Never\n      containers: [{{name: run, image: 'example.com/run:1'}}]\n"
    )
}

fn at(point: &str) -> String {
    format!("tidegate.io/hook: {point}")
}

fn said(release: &Value) -> String {
    text(&release["status"]["display"]["message"])
}

fn uid(object: &Value) -> String {
    text(&object["metadata"]["uid"])
}

/// Lets the pods of a Job run to their end, once they are there.
async fn heal(shop: &Shop, job: &str) -> Result<()> {
    let selector = format!("batch.kubernetes.io/job-name={job}");
    wait::until(STEP, "the Job's pods to be there", || async {
        let args = ["annotate", "pods", "-l", &selector, "e2e.tidegate.io/fail-"];
        let said = shop.kubectl(&args).await.map_err(|e| e.to_string())?;
        if said.contains("annotated") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await
}

/// Waits until a hook runs for a release of this commit, and nothing else does; its Job.
async fn runs(shop: &Shop, point: &str, job: &str, commit: &str) -> Result<Value> {
    let line = format!("{point} hook Job {}/{job}: ", shop.ns);
    let title = format!("{line} for {commit}");
    wait::until(STEP, &title, || async {
        let app = shop.get("applications/shop").await.map_err(|e| e.to_string())?;
        let release = shop
            .releases(commit)
            .await
            .map_err(|e| e.to_string())?
            .pop()
            .unwrap_or_default();
        let live = shop
            .get(&format!("jobs/{job}"))
            .await
            .map_err(|e| e.to_string())?;
        let says = text(&condition(&app, "Reconciling")["message"]).contains(&line)
            && said(&release).contains(&line);
        let its = live["metadata"]["annotations"]["tidegate.io/release"] == release["metadata"]["name"];
        if says && its {
            Ok(live)
        } else {
            Err(format!("{app} {release} {live}"))
        }
    })
    .await
}

async fn one_release(shop: &Shop, commit: &str) -> Result<()> {
    let all = shop.releases(commit).await?;
    assert_eq!(all.len(), 1, "{all:?}");
    Ok(())
}

#[tokio::test]
async fn hooks_run_around_each_release_and_are_no_objects_of_it() -> Result<()> {
    let shop = Shop::open("hooks").await?;
    shop.put("migrate.yaml", &hook("migrate", &at("PreSync"), RUNS, ""))?;
    shop.put("smoke.yaml", &hook("smoke", &at("PostSync"), "", ""))?;
    shop.put("alarm.yaml", &hook("alarm", &at("SyncFail"), "", ""))?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    let run = runs(&shop, "PreSync", "migrate", &first).await?;
    assert_eq!(shop.get("configmaps/a").await?, Value::Null, "before its hook");
    assert_eq!(shop.get("jobs/smoke").await?, Value::Null);
    heal(&shop, "migrate").await?;
    let app = shop.released(&first).await?;
    assert_eq!(app["status"]["objects"]["total"], 1, "hooks do not count: {app}");
    let release = shop.phase(&first, "Succeeded").await?;
    assert_eq!(release["status"]["plan"]["create"], 1, "{release}");
    let (migrate, smoke) = (shop.get("jobs/migrate").await?, shop.get("jobs/smoke").await?);
    let made = text(&shop.get("configmaps/a").await?["metadata"]["creationTimestamp"]);
    assert!(
        text(&migrate["status"]["completionTime"]) <= made,
        "{migrate} {made}"
    );
    assert!(
        made <= text(&smoke["metadata"]["creationTimestamp"]),
        "{smoke} {made}"
    );
    let second = |time: &Value| text(time).get(..19).unwrap_or_default().to_owned();
    let finished = second(&release["status"]["times"]["finished"]);
    assert!(
        second(&smoke["status"]["completionTime"]) <= finished,
        "{smoke} {finished}"
    );
    assert_eq!(uid(&migrate), uid(&run), "started once");
    assert_eq!(shop.get("jobs/alarm").await?, Value::Null, "nothing failed");

    // A run that goes away after its end is no drift, and no reason to run it again.
    shop.kubectl(&["delete", "job", "smoke"]).await?;
    shop.look_again().await?;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.get("jobs/smoke").await?, Value::Null);
    assert_eq!(shop.releases("").await?.len(), 1);

    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("two, with the same hooks")?;
    let again = runs(&shop, "PreSync", "migrate", &second).await?;
    assert_ne!(uid(&again), uid(&run), "each release has its own run");
    assert_eq!(
        shop.get("configmaps/a").await?["data"]["key"],
        "1",
        "before its hook"
    );
    heal(&shop, "migrate").await?;
    shop.released(&second).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    assert_ne!(shop.get("jobs/smoke").await?, Value::Null);

    shop.put(
        "migrate.yaml",
        &hook("migrate", &at("PreSync"), "", "completions: 2"),
    )?;
    let third = shop.push("only a hook changes")?;
    shop.released(&third).await?;
    let release = shop.phase(&third, "Succeeded").await?;
    assert_eq!(release["status"]["display"]["changes"], "+0 ~0 -0", "{release}");
    assert_eq!(shop.get("jobs/migrate").await?["status"]["succeeded"], 2);

    shop.cut("smoke.yaml")?;
    let fourth = shop.push("a hook less")?;
    shop.released(&fourth).await?;
    shop.until("gone with its file", "jobs/smoke", Value::is_null)
        .await?;
    shop.kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "shop"])
        .await?;
    shop.until("gone with the Application", "jobs/migrate", Value::is_null)
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_failed_hook_before_applies_nothing_and_the_one_for_failures_runs() -> Result<()> {
    let shop = Shop::open("prefail").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("old.yaml", &map("old", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    shop.put("a.yaml", &map("a", "2"))?;
    shop.cut("old.yaml")?;
    shop.put(
        "migrate.yaml",
        &hook("migrate", &at("PreSync"), RUNS, "activeDeadlineSeconds: 1"),
    )?;
    shop.put("alarm.yaml", &hook("alarm", &at("SyncFail"), "", ""))?;
    let second = shop.push("a migration that fails")?;
    let release = shop.phase(&second, "Failed").await?;
    let line = said(&release);
    assert!(
        line.starts_with("nothing was applied: deploy/migrate.yaml:1: Job"),
        "{release}"
    );
    assert!(
        line.contains("/migrate: PreSync hook: DeadlineExceeded: "),
        "{release}"
    );
    assert!(line.ends_with("; the SyncFail hooks have run"), "{release}");
    let alarm = shop.get("jobs/alarm").await?;
    assert_eq!(alarm["status"]["succeeded"], 1, "{alarm}");
    let app = shop.says("Synced", "False", "HookFailed").await?;
    assert_eq!(condition(&app, "Stalled")["status"], "True", "{app}");
    assert_eq!(app["status"]["lastAppliedRevision"], first, "{app}");
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    assert_eq!(
        shop.get("configmaps/old").await?["data"]["key"],
        "1",
        "nothing was pruned either"
    );
    one_release(&shop, &second).await?;

    shop.look_again().await?;
    wait::until(
        STEP,
        "a second attempt, since it was asked for, that fails too",
        || async {
            let all = shop.releases(&second).await.map_err(|e| e.to_string())?;
            let failed = all.iter().filter(|r| r["status"]["phase"] == "Failed").count();
            if all.len() == 2 && failed == 2 {
                Ok(())
            } else {
                Err(format!("{all:?}"))
            }
        },
    )
    .await?;
    assert_ne!(uid(&shop.get("jobs/alarm").await?), uid(&alarm), "it ran again");
    shop.put("migrate.yaml", &hook("migrate", &at("PreSync"), "", ""))?;
    let third = shop.push("a migration that works")?;
    shop.released(&third).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    assert_eq!(shop.get("configmaps/old").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_failed_hook_after_fails_the_release_although_everything_runs() -> Result<()> {
    let shop = Shop::open("postfail").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put(
        "smoke.yaml",
        &hook("smoke", &at("PostSync"), "InvalidImageName", ""),
    )?;
    shop.put(
        "alarm.yaml",
        &hook("alarm", &at("SyncFail"), "InvalidImageName", ""),
    )?;
    let first = shop.push("smoke")?;
    shop.deploy("").await?;
    let release = shop.phase(&first, "Failed").await?;
    let line = said(&release);
    assert!(
        line.starts_with("everything is applied and healthy, but "),
        "{release}"
    );
    assert!(
        line.contains("/smoke: PostSync hook: its pods cannot run; InvalidImageName"),
        "{release}"
    );
    let app = shop.says("Ready", "False", "HookFailed").await?;
    let message = text(&condition(&app, "Ready")["message"]);
    assert!(
        message.contains("; and then: ") && message.contains("/alarm: SyncFail hook: "),
        "only told: {app}"
    );
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    assert_eq!(condition(&app, "Healthy")["status"], "True", "{app}");
    assert_eq!(app["status"]["lastGoodRelease"], Value::Null, "{app}");
    shop.put("smoke.yaml", &hook("smoke", &at("PostSync"), "", ""))?;
    let second = shop.push("fixed")?;
    let app = shop.released(&second).await?;
    assert_eq!(app["status"]["lastGoodRelease"], "shop-000002", "{app}");
    Ok(())
}

#[tokio::test]
async fn a_run_that_vanishes_has_failed() -> Result<()> {
    let shop = Shop::open("vanish").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("migrate.yaml", &hook("migrate", &at("PreSync"), RUNS, ""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    runs(&shop, "PreSync", "migrate", &commit).await?;
    shop.kubectl(&["delete", "job", "migrate"]).await?;
    let release = shop.phase(&commit, "Failed").await?;
    assert!(
        said(&release).contains("/migrate: PreSync hook: its Job vanished before it was seen to end"),
        "{release}"
    );
    tokio::time::sleep(WHILE).await;
    assert_eq!(
        shop.get("jobs/migrate").await?,
        Value::Null,
        "not started again by itself"
    );
    assert_eq!(shop.get("configmaps/a").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn ended_runs_are_deleted_as_the_policy_says_and_what_they_came_to_stays_known() -> Result<()> {
    let shop = Shop::open("policy").await?;
    let with = |policy: &str, wave: &str| {
        format!(
            "{}, tidegate.io/hook-delete-policy: '{policy}', tidegate.io/wave: '{wave}'",
            at("PreSync")
        )
    };
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put(
        "ok-gone.yaml",
        &hook("ok-gone", &with("HookSucceeded", "0"), "", ""),
    )?;
    shop.put(
        "ok-stays.yaml",
        &hook("ok-stays", &with("BeforeHookCreation,HookFailed", "0"), "", ""),
    )?;
    let bad = "InvalidImageName";
    shop.put(
        "bad-gone.yaml",
        &hook("bad-gone", &with("HookFailed", "1"), bad, ""),
    )?;
    shop.put(
        "bad-stays.yaml",
        &hook("bad-stays", &with("HookSucceeded", "1"), bad, ""),
    )?;
    shop.put(
        "never.yaml",
        &hook(
            "never",
            &at("PreSync").replace("PreSync", "PreSync, tidegate.io/wave: '2'"),
            "",
            "",
        ),
    )?;
    let first = shop.push("four ways to end")?;
    shop.deploy("").await?;
    shop.phase(&first, "Failed").await?;
    for (job, stays) in [
        ("ok-gone", false),
        ("ok-stays", true),
        ("bad-gone", false),
        ("bad-stays", true),
        ("never", false),
    ] {
        let live = shop.get(&format!("jobs/{job}")).await?;
        assert_eq!(
            !live.is_null() && live["metadata"]["deletionTimestamp"].is_null(),
            stays,
            "{job}: {live}"
        );
    }
    for file in ["bad-gone", "bad-stays"] {
        shop.cut(&format!("{file}.yaml"))?;
    }
    let second = shop.push("without the bad ones")?;
    shop.released(&second).await?;
    assert_eq!(
        shop.get("jobs/ok-gone").await?,
        Value::Null,
        "it ran again, and went again"
    );
    assert_eq!(shop.get("jobs/never").await?["status"]["succeeded"], 1);
    one_release(&shop, &second).await?;
    shop.look_again().await?;
    one_release(&shop, &second).await
}

#[tokio::test]
async fn a_hook_that_takes_too_long_fails_and_a_job_of_somebody_else_is_left_alone() -> Result<()> {
    let shop = Shop::open("slow").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("migrate.yaml", &hook("migrate", &at("PreSync"), RUNS, ""))?;
    let first = shop.push("slow")?;
    shop.deploy("health: {timeout: 4s}").await?;
    let release = shop.phase(&first, "Failed").await?;
    assert!(
        said(&release).contains("it was not complete within 4s (spec.health.timeout)"),
        "{release}"
    );

    let theirs = hook("other", "note: mine", RUNS, "")
        .replace("name: other,", &format!("name: other, namespace: {},", shop.ns));
    shop.cluster.apply(&theirs).await?;
    let before = shop.get("jobs/other").await?;
    shop.cut("migrate.yaml")?;
    shop.put("other.yaml", &hook("other", &at("PreSync"), "", ""))?;
    let second = shop.push("a name that is taken")?;
    let release = shop.phase(&second, "Failed").await?;
    assert!(
        said(&release).contains("a Job of that name exists and no release made it"),
        "{release}"
    );
    let after = shop.get("jobs/other").await?;
    assert_eq!(uid(&before), uid(&after));
    assert_eq!(
        after["metadata"]["annotations"]["tidegate.io/owner"],
        Value::Null,
        "{after}"
    );
    assert_eq!(shop.get("configmaps/a").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn killed_while_the_hook_for_failures_runs_it_still_knows_what_failed() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "midfail").await?;
    let options = Options {
        name: "midfail".to_owned(),
        args: vec!["--identity".to_owned(), "midfail".to_owned()],
        ..Options::default()
    };
    let mut running = Operator::start(&world.cluster, options).await?;
    running.wait_ready(STEP).await?;
    let wave = "metadata: {annotations: {tidegate.io/wave: '5'}, ";
    shop.put("last.yaml", &map("last", "1").replacen("metadata: {", wave, 1))?;
    shop.put("db.yaml", &deployment("db", "CrashLoopBackOff"))?;
    shop.put("alarm.yaml", &hook("alarm", &at("SyncFail"), RUNS, ""))?;
    let commit = shop.push("fails")?;
    shop.deploy("").await?;
    let alarm = shop
        .until("runs", "jobs/alarm", |v| v["status"]["active"] == 1)
        .await?;
    running.kill9();
    let release = shop.phase(&commit, "Applying").await?;
    let why = "wave 0 cannot become healthy";
    assert!(said(&release).contains(why), "why is in the record: {release}");
    // By the time that it is back, nothing would keep the release from going on: it had failed.
    shop.kubectl(&["annotate", "pods", "-l", "app=db", "e2e.tidegate.io/fail-"])
        .await?;
    shop.until("healthy", "deployments/db", |v| {
        v["status"]["availableReplicas"] == 2
    })
    .await?;
    running.restart()?;
    running.wait_ready(STEP).await?;
    shop.look_again().await?;
    heal(&shop, "alarm").await?;
    let release = shop.phase(&commit, "Failed").await?;
    assert!(said(&release).contains(why), "{release}");
    assert_eq!(shop.get("configmaps/last").await?, Value::Null);
    assert!(
        said(&release).ends_with("; the SyncFail hooks have run"),
        "{release}"
    );
    assert_eq!(uid(&shop.get("jobs/alarm").await?), uid(&alarm));
    one_release(&shop, &commit).await?;
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn killed_while_a_hook_runs_it_takes_it_up_and_starts_no_second() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "midhook").await?;
    let options = Options {
        name: "midhook".to_owned(),
        args: vec!["--identity".to_owned(), "midhook".to_owned()],
        ..Options::default()
    };
    let mut running = Operator::start(&world.cluster, options).await?;
    running.wait_ready(STEP).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("migrate.yaml", &hook("migrate", &at("PreSync"), RUNS, ""))?;
    shop.put("smoke.yaml", &hook("smoke", &at("PostSync"), RUNS, ""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    for (point, job) in [("PreSync", "migrate"), ("PostSync", "smoke")] {
        let run = runs(&shop, point, job, &commit).await?;
        running.kill9();
        // It ends while nobody looks.
        heal(&shop, job).await?;
        let path = format!("jobs/{job}");
        shop.until("complete", &path, |v| v["status"]["succeeded"] == 1)
            .await?;
        running.restart()?;
        running.wait_ready(STEP).await?;
        shop.until("not made anew", &path, |v| uid(v) == uid(&run))
            .await?;
    }
    shop.released(&commit).await?;
    shop.phase(&commit, "Succeeded").await?;
    one_release(&shop, &commit).await?;
    running.kill9();
    drop(guard);
    Ok(())
}
