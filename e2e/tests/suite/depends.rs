//! `spec.dependsOn`: order over Applications of one commit, what holds them and what lets them go. The sources are
//! polled when they are asked to be and never by themselves: whatever goes on, goes on by events.

use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, wait};

use crate::apps::Apps;
use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};

/// A workload and a map of one generation.
fn part(name: &str, generation: &str) -> String {
    format!("{}---\n{}", map(name, generation), deployment(name, ""))
}

#[tokio::test]
async fn a_chain_of_five_goes_in_order_by_events_alone() -> Result<()> {
    let apps = Apps::open("chain").await?;
    let names = ["a1", "a2", "a3", "a4", "a5"];
    for name in names {
        apps.write(name, &part(name, "1"))?;
    }
    let first = apps.push("all five").await?;
    // The last one first, so that each but `a1` meets dependencies that do not exist.
    for at in (0..5_usize).rev() {
        let on = at
            .checked_sub(1)
            .map_or(String::new(), |before| format!("{{name: {}}}", names[before]));
        apps.apply(&[(names[at], &on)]).await?;
    }
    apps.runs("a5", &first).await?;
    apps.went_in_order(&names, &first).await?;

    for name in names {
        apps.write(name, &map(name, "2"))?;
        apps.shop.repo.write(
            &format!("{name}/web.yaml"),
            &deployment(name, "").replace("web:1", "web:2"),
        )?;
    }
    let second = apps.push("all five again").await?;
    apps.runs("a5", &second).await?;
    apps.went_in_order(&names, &second).await
}

#[tokio::test]
async fn a_dependency_that_fails_holds_its_dependent_which_keeps_what_it_runs() -> Result<()> {
    let apps = Apps::open("holds").await?;
    apps.write("db", &part("db", "1"))?;
    apps.write("web", &map("web", "1"))?;
    let first = apps.push("good").await?;
    apps.apply(&[("db", ""), ("web", "{name: db}")]).await?;
    apps.runs("web", &first).await?;

    apps.write(
        "db",
        &format!("{}---\n{}", map("db", "2"), deployment("db", "ImagePullBackOff")),
    )?;
    apps.write("web", &map("web", "2"))?;
    let second = apps.push("the database does not start").await?;
    let app = apps
        .says(
            "web",
            "DependencyNotReady",
            &["/db is not ready", "ImagePullBackOff"],
        )
        .await?;
    // What runs is as good as it was.
    let ready = condition(&app, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("Waiting")),
        "{app}"
    );
    assert_eq!(apps.releases("web", &second).await?, [] as [Value; 0]);
    let edit = json!({"data": {"key": "edited"}}).to_string();
    apps.shop
        .kubectl(&["patch", "configmap", "web", "--type=merge", "-p", &edit])
        .await?;
    let back = |app: &Value| app["status"]["drift"]["count"] == 1;
    apps.shop
        .until("the edit is put back", "applications/web", back)
        .await?;
    assert_eq!(
        apps.value("web").await?,
        "1",
        "the commit that waits is not what is put back"
    );
    let app = apps.app("web").await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *first, "{app}");
    assert_eq!(condition(&app, "Synced")["reason"], "DependencyNotReady", "{app}");

    apps.write("db", &part("db", "3"))?;
    let third = apps.push("it starts").await?;
    apps.runs("web", &third).await?;
    apps.went_in_order(&["db", "web"], &third).await?;
    assert_eq!(apps.value("web").await?, "2");
    assert_eq!(apps.releases("web", &second).await?, [] as [Value; 0]);
    Ok(())
}

#[tokio::test]
async fn what_a_commit_does_not_touch_is_no_obstacle_and_holds_nobody() -> Result<()> {
    let apps = Apps::open("untouched").await?;
    for name in ["db", "api", "web"] {
        apps.write(name, &map(name, "1"))?;
    }
    let first = apps.push("all").await?;
    apps.apply(&[("web", "{name: api}"), ("api", "{name: db}"), ("db", "")])
        .await?;
    apps.runs("web", &first).await?;
    apps.write("web", &map("web", "2"))?;
    let second = apps.push("web only").await?;
    apps.runs("web", &second).await?;
    let api = apps.app("api").await?;
    assert_eq!(
        api["status"]["lastAppliedRevision"], *first,
        "no write for a commit that changes nothing: {api}"
    );

    // The one in the middle is not touched, and still stands for what goes before it.
    apps.write("db", &part("db", "3"))?;
    apps.write("web", &map("web", "3"))?;
    let third = apps.push("both ends").await?;
    apps.runs("web", &third).await?;
    apps.went_in_order(&["db", "web"], &third).await?;
    assert_eq!(apps.releases("api", &third).await?, [] as [Value; 0]);
    Ok(())
}

#[tokio::test]
async fn a_dependency_at_any_commit_need_only_be_ready() -> Result<()> {
    let apps = Apps::open("any").await?;
    for name in ["db", "same", "loose"] {
        apps.write(name, &map(name, "1"))?;
    }
    let first = apps.push("all").await?;
    apps.apply(&[
        ("db", ""),
        ("same", "{name: db}"),
        ("loose", "{name: db, at: Any}"),
    ])
    .await?;
    apps.runs("same", &first).await?;
    apps.runs("loose", &first).await?;
    let suspend = json!({"spec": {"suspend": {"reason": "maintenance"}}});
    apps.shop.patch_app("db", &suspend).await?;
    let suspended = |app: &Value| condition(app, "Synced")["reason"] == "Suspended";
    apps.shop.until("suspended", "applications/db", suspended).await?;
    for name in ["db", "same", "loose"] {
        apps.write(name, &map(name, "2"))?;
    }
    let second = apps.push("all again").await?;
    apps.runs("loose", &second).await?;
    apps.says(
        "same",
        "DependencyBehind",
        &["/db has not come to master@", "maintenance"],
    )
    .await?;
    assert_eq!(apps.value("same").await?, "1");
    apps.shop
        .patch_app("db", &json!({"spec": {"suspend": null}}))
        .await?;
    apps.runs("same", &second).await?;
    apps.went_in_order(&["db", "same"], &second).await
}

#[tokio::test]
async fn a_missing_dependency_is_named_and_waited_for() -> Result<()> {
    let apps = Apps::open("missing").await?;
    apps.write("web", &map("web", "1"))?;
    apps.write("db", &map("db", "1"))?;
    let first = apps.push("both").await?;
    apps.apply(&[("web", "{name: db}")]).await?;
    let app = apps
        .says("web", "DependencyMissing", &["/db does not exist; create it"])
        .await?;
    assert_eq!(
        condition(&app, "Ready")["status"],
        "False",
        "nothing runs yet: {app}"
    );
    assert_eq!(apps.shop.get("configmaps/web").await?, Value::Null);
    apps.apply(&[("db", "")]).await?;
    apps.runs("web", &first).await?;
    apps.went_in_order(&["db", "web"], &first).await?;
    // Gone again, it holds the next release and not what runs.
    apps.shop
        .kubectl(&["delete", "applications.tidegate.io", "db"])
        .await?;
    apps.write("web", &map("web", "2"))?;
    apps.push("web only").await?;
    apps.says("web", "DependencyMissing", &["/db does not exist"])
        .await?;
    assert_eq!(apps.value("web").await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_circle_is_named_by_all_who_go_in_it_until_an_edit_breaks_it() -> Result<()> {
    let apps = Apps::open("circle").await?;
    let names = ["a", "b", "c"];
    for name in names {
        apps.write(name, &map(name, "1"))?;
    }
    let first = apps.push("all").await?;
    // No circle yet: the last edge closes it, and those that were at rest say so too.
    apps.apply(&[("a", ""), ("b", "{name: a}"), ("c", "{name: b}")])
        .await?;
    apps.runs("c", &first).await?;
    apps.apply(&[("a", "{name: c}")]).await?;
    for (name, way) in [
        ("a", "a → c → b → a"),
        ("b", "b → a → c → b"),
        ("c", "c → b → a → c"),
    ] {
        let app = apps.says(name, "DependencyCycle", &[way]).await?;
        assert_eq!(condition(&app, "Stalled")["reason"], "DependencyCycle", "{app}");
    }
    for name in names {
        apps.write(name, &map(name, "2"))?;
    }
    let second = apps.push("nobody can begin").await?;
    let seen = |repo: &Value| text(&repo["status"]["revision"]["commit"]) == second;
    apps.shop.until("read", "gitrepositories/shop", seen).await?;
    // One that goes in no circle, and waits for one that does, is answered after the others.
    apps.write("d", &map("d", "1"))?;
    let third = apps.push("one outside").await?;
    apps.apply(&[("d", "{name: c}")]).await?;
    apps.says("d", "DependencyNotReady", &["/c is not ready", "c → b → a → c"])
        .await?;
    for name in names {
        assert_eq!(apps.value(name).await?, "1");
        assert_eq!(apps.releases(name, &second).await?, [] as [Value; 0]);
    }
    apps.apply(&[("a", "")]).await?;
    for name in ["a", "b", "c", "d"] {
        let app = apps.runs(name, &third).await?;
        assert_eq!(condition(&app, "Stalled"), Value::Null, "{app}");
    }
    apps.went_in_order(&["a", "b", "c", "d"], &third).await?;
    apps.apply(&[("a", "{name: a}")]).await?;
    apps.says("a", "DependencyCycle", &["a → a"]).await.map(drop)
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_chain_changes_nothing_about_its_order() -> Result<()> {
    let (world, guard) = fragile().await?;
    let options = Options {
        name: "chained".to_owned(),
        ..Options::default()
    };
    let mut running = Operator::start(&world.cluster, options).await?;
    running.wait_ready(STEP).await?;
    let apps = Apps::around(Shop::open_in(&world.cluster, "midchain").await?).await?;
    let names = ["a", "b", "c"];
    for name in names {
        apps.write(name, &part(name, "1"))?;
    }
    let first = apps.push("all").await?;
    apps.apply(&[("c", "{name: b}"), ("b", "{name: a}"), ("a", "")])
        .await?;
    apps.runs("c", &first).await?;
    apps.write("a", &part("a", "2"))?;
    // It neither starts nor fails.
    apps.write(
        "b",
        &format!("{}---\n{}", map("b", "2"), deployment("b", "ContainerCreating")),
    )?;
    apps.write("c", &part("c", "2"))?;
    let second = apps.push("the middle takes its time").await?;
    apps.says("c", "DependencyNotReady", &["/b is not ready"]).await?;
    let begun = || async {
        let releases = apps.releases("b", &second).await.map_err(|e| e.to_string())?;
        let phases: Vec<String> = releases.iter().map(|r| text(&r["status"]["phase"])).collect();
        if phases == ["Verifying"] {
            Ok(())
        } else {
            Err(format!("{phases:?}"))
        }
    };
    wait::until(STEP, "b waits for health", begun).await?;

    running.kill9();
    running.restart()?;
    running.wait_ready(STEP).await?;
    // Asked after the restart, it has been looked at by the new process when it answers.
    apps.ask("applications.tidegate.io", "c", "again").await?;
    let answered = |app: &Value| app["status"]["lastHandledRequestedAt"] == "again";
    apps.shop
        .until("looked at again", "applications/c", answered)
        .await?;
    apps.says("c", "DependencyNotReady", &["/b is not ready"]).await?;
    assert_eq!(apps.releases("c", &second).await?, [] as [Value; 0]);
    assert_eq!(apps.value("c").await?, "1");

    apps.write("b", &part("b", "3"))?;
    let third = apps.push("the middle starts").await?;
    apps.runs("c", &third).await?;
    apps.went_in_order(&["b", "c"], &third).await?;
    assert_eq!(
        apps.releases("a", &third).await?,
        [] as [Value; 0],
        "its tree did not change"
    );
    running.kill9();
    drop(guard);
    Ok(())
}
