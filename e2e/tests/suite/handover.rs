//! Objects that move from one Application to another: never deleted, never gone for a moment, never two owners, and what
//! stands in the way is said and goes away by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, TestRepo, wait};

use crate::apps::Apps;
use crate::stage::{STEP, Shop, condition, fragile, map, text};

/// Everything that happens to one ConfigMap, as a watch of its own tells it.
struct Witness {
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Witness {
    async fn of(apps: &Apps, name: &str) -> Result<Self> {
        let maps: Api<ConfigMap> = Api::namespaced(apps.shop.cluster.kube_client().await?, &apps.shop.ns);
        let only = WatchParams::default()
            .fields(&format!("metadata.name={name}"))
            .timeout(290);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let task = tokio::spawn(async move {
            let push = |line: String| notes.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            match maps.watch(&only, "0").await {
                Ok(events) => {
                    events
                        .for_each(|event| async { line(event).into_iter().for_each(&push) })
                        .await;
                }
                Err(error) => push(format!("the watch failed: {error}")),
            }
            push("the watch ended".to_owned());
        });
        Ok(Self { seen, task })
    }

    /// It was there all the time, as one object. Returns by whom it was owned, each time that changed.
    fn saw_one_object(self) -> Vec<String> {
        self.task.abort();
        let lines = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let word = |line: &String, at| line.split(' ').nth(at).unwrap_or_default().to_owned();
        let mut uids: Vec<String> = lines.iter().map(|line| word(line, 1)).collect();
        uids.dedup();
        let whole = lines.iter().all(|line| line.starts_with("there "));
        assert!(
            whole && uids.len() == 1,
            "not one object all the time: {lines:#?}"
        );
        let mut owners: Vec<String> = lines.iter().map(|line| word(line, 2)).collect();
        owners.dedup();
        owners
    }
}

fn line(event: std::result::Result<WatchEvent<ConfigMap>, kube::Error>) -> Option<String> {
    match event {
        Ok(WatchEvent::Added(map) | WatchEvent::Modified(map))
            if map.metadata.deletion_timestamp.is_none() =>
        {
            let owner = map
                .metadata
                .annotations
                .unwrap_or_default()
                .remove("tidegate.io/owner");
            let owner = owner.unwrap_or_default();
            let owner = owner.rsplit('/').next().unwrap_or_default();
            Some(format!("there {} {owner}", map.metadata.uid.unwrap_or_default()))
        }
        Ok(WatchEvent::Bookmark(_)) => None,
        other => Some(format!("{other:?}")),
    }
}

/// The object names that owner, and only that Application has it in its inventory.
async fn belongs_to(apps: &Apps, name: &str, owner: &str) -> Result<()> {
    let title = format!("{name} belongs to {owner} alone");
    let id = format!("/ConfigMap/{}/{name}", apps.shop.ns);
    let id = id.as_str();
    wait::until(STEP, &title, || async move {
        let list = apps.shop.get("inventories").await.map_err(|e| e.to_string())?;
        let shards = list["items"].as_array().cloned().unwrap_or_default();
        let has = |shard: &&Value| {
            let entries = shard["spec"]["entries"].as_array();
            entries.is_some_and(|all| all.iter().any(|e| e["id"] == id && e["uid"].is_string()))
        };
        let all: Vec<String> = shards
            .iter()
            .filter(has)
            .map(|s| text(&s["spec"]["application"]))
            .collect();
        let live = apps.shop.get(&format!("configmaps/{name}")).await;
        let live = live.map_err(|e| e.to_string())?;
        let named = text(&live["metadata"]["annotations"]["tidegate.io/owner"]);
        if all == [owner] && named.ends_with(&format!("/{owner}")) {
            return Ok(());
        }
        Err(format!("in the inventories of {all:?}, named {named}"))
    })
    .await
}

/// Applications `a` and `b` with one map each, and a third map in the folder of `a`.
async fn two(shop: Shop) -> Result<Apps> {
    let apps = Apps::around(shop).await?;
    apps.write("a", &map("of-a", "1"))?;
    apps.write("b", &map("of-b", "1"))?;
    apps.shop.repo.write("a/moves.yaml", &map("moves", "0"))?;
    let first = apps.push("both").await?;
    apps.apply(&[("a", ""), ("b", "")]).await?;
    apps.runs("a", &first).await?;
    apps.runs("b", &first).await?;
    Ok(apps)
}

/// Moves the third map into another folder, with another value.
async fn moved(apps: &Apps, from: &str, to: &str, value: usize) -> Result<String> {
    apps.shop.repo.remove(&format!("{from}/moves.yaml"))?;
    apps.shop
        .repo
        .write(&format!("{to}/moves.yaml"), &map("moves", &value.to_string()))?;
    apps.push(&format!("from {from} to {to}")).await
}

/// No release was refused or has failed. What is in the cluster is there before its record is closed.
async fn no_failures(apps: &Apps) -> Result<()> {
    wait::until(STEP, "every record to be closed", || async {
        let mut open = apps.shop.releases("").await.map_err(|e| e.to_string())?;
        open.retain(|r| r["status"]["times"]["finished"].is_null());
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("{} are open", open.len()))
        }
    })
    .await?;
    let mut bad = apps.shop.releases("").await?;
    bad.retain(|r| !["Succeeded", "Superseded"].contains(&text(&r["status"]["phase"]).as_str()));
    assert_eq!(bad, [] as [Value; 0]);
    Ok(())
}

#[tokio::test]
async fn an_object_moves_to_and_fro_and_is_never_gone() -> Result<()> {
    let apps = two(Shop::open("moves").await?).await?;
    let witness = Witness::of(&apps, "moves").await?;
    let mut owners = vec!["a".to_owned()];
    // Who looks first is left to chance at first; then each goes before the other, whichever way the object moves.
    let orders = [None, Some(("a", "b")), Some(("b", "a"))];
    let mut value = 0;
    for order in orders {
        if let Some((after, before)) = order {
            apps.apply(&[(before, "")]).await?;
            apps.apply(&[(after, &format!("{{name: {before}}}"))]).await?;
        }
        for (from, to) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
            value += 1;
            let commit = moved(&apps, from, to, value).await?;
            apps.runs(to, &commit).await?;
            apps.runs(from, &commit).await?;
            belongs_to(&apps, "moves", to).await?;
            assert_eq!(apps.value("moves").await?, value.to_string());
            owners.push(to.to_owned());
        }
    }
    // Faster than anybody can follow.
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a"), ("a", "b")] {
        value += 1;
        moved(&apps, from, to, value).await?;
    }
    belongs_to(&apps, "moves", "b").await?;
    wait::until(STEP, "the last value", || async {
        let now = apps.value("moves").await.map_err(|e| e.to_string())?;
        if now == value.to_string() {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await?;
    let seen = witness.saw_one_object();
    assert_eq!(seen[..owners.len()], owners, "each move is one change of owner");
    let other = apps.shop.get("applications/a").await?;
    assert_eq!(other["status"]["drift"]["count"], 0, "{other}");
    no_failures(&apps).await
}

#[tokio::test]
async fn one_that_may_not_release_yet_lets_go_and_one_that_waits_takes_when_it_may() -> Result<()> {
    let apps = two(Shop::open("held").await?).await?;
    // `a` may not release: what goes before it does not exist.
    apps.apply(&[("a", "{name: later}")]).await?;
    let witness = Witness::of(&apps, "moves").await?;
    apps.write("a", &map("of-a", "2"))?;
    let away = moved(&apps, "a", "b", 1).await?;
    apps.runs("b", &away).await?;
    belongs_to(&apps, "moves", "b").await?;
    apps.says("a", "DependencyMissing", &["/later does not exist"])
        .await?;
    assert_eq!(apps.value("of-a").await?, "1");
    // And back: it stays until `a` may have it.
    let back = moved(&apps, "b", "a", 2).await?;
    apps.runs("b", &back).await?;
    // Before `a` has looked at the commit, it is only known not to have.
    let kept = |app: &Value| {
        let said = text(&condition(app, "Ready")["message"]);
        said.contains("moves stays until Application") && said.contains("/a has taken it over")
    };
    let b = apps
        .shop
        .until("what is kept for `a`", "applications/b", kept)
        .await?;
    assert_eq!(
        b["status"]["objects"]["total"], 1,
        "what is only kept is not counted: {b}"
    );
    assert_eq!(apps.value("moves").await?, "1");
    apps.apply(&[("a", "")]).await?;
    apps.runs("a", &back).await?;
    belongs_to(&apps, "moves", "a").await?;
    assert_eq!(apps.value("moves").await?, "2");
    assert_eq!(witness.saw_one_object(), ["a", "b", "a"]);
    no_failures(&apps).await
}

#[tokio::test]
async fn a_conflict_names_both_and_ends_with_the_commit_that_ends_it() -> Result<()> {
    let apps = two(Shop::open("conflict").await?).await?;
    let witness = Witness::of(&apps, "moves").await?;
    apps.shop.repo.write("b/moves.yaml", &map("moves", "of b"))?;
    let both = apps.push("both want it").await?;
    let ns = &apps.shop.ns;
    let names = [format!("Application {ns}/a "), format!("Application {ns}/b ")];
    let words: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .chain(["ConfigMap", "/moves"])
        .collect();
    let app = apps.says("b", "OwnershipConflict", &words).await?;
    assert_eq!(condition(&app, "Stalled")["status"], "True", "{app}");
    assert_eq!(apps.value("moves").await?, "0");
    let a = apps.app("a").await?;
    assert_eq!(condition(&a, "Ready")["status"], "True", "{a}");
    // Nothing changed that could help: it is not tried again.
    apps.ask("gitrepositories.tidegate.io", "shop", "again").await?;
    apps.write("a", &map("of-a", "2"))?;
    let unrelated = apps.push("nothing of it").await?;
    apps.runs("a", &unrelated).await?;
    assert_eq!(apps.releases("b", &both).await?.len(), 1);

    apps.shop.repo.remove("a/moves.yaml")?;
    let ended = apps.push("b may have it").await?;
    // The tree of `b` did not change: the commit that failed is what is tried again.
    let taken = |app: &Value| condition(app, "Ready")["status"] == "True";
    apps.shop.until("Ready", "applications/b", taken).await?;
    apps.runs("a", &ended).await?;
    belongs_to(&apps, "moves", "b").await?;
    assert_eq!(apps.value("moves").await?, "of b");
    assert_eq!(witness.saw_one_object(), ["a", "b"]);
    Ok(())
}

#[tokio::test]
async fn the_conflict_is_remembered_over_a_restart() -> Result<()> {
    let (world, guard) = fragile().await?;
    let mut running = started(&world.cluster, "conflicted").await?;
    let apps = two(Shop::open_in(&world.cluster, "remembers").await?).await?;
    apps.shop.repo.write("b/moves.yaml", &map("moves", "of b"))?;
    apps.push("both want it").await?;
    apps.says("b", "OwnershipConflict", &["/moves"]).await?;
    running.kill9();
    running.restart()?;
    running.wait_ready(STEP).await?;
    let mentioned = json!({"metadata": {"labels": {"looked": "at"}}});
    apps.shop.patch_app("b", &mentioned).await?;
    apps.says("b", "OwnershipConflict", &["/moves"]).await?;
    apps.shop.repo.remove("a/moves.yaml")?;
    apps.push("b may have it").await?;
    belongs_to(&apps, "moves", "b").await?;
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn of_two_that_want_one_object_from_the_start_one_has_it() -> Result<()> {
    let apps = Apps::open("start").await?;
    apps.write("a", &map("moves", "of a"))?;
    apps.write("b", &map("moves", "of b"))?;
    apps.push("both").await?;
    apps.apply(&[("a", ""), ("b", "")]).await?;
    let ready = |app: &Value| condition(app, "Ready")["status"] == "True";
    let refused = |app: &Value| condition(app, "Ready")["reason"] == "OwnershipConflict";
    let (first, second) = wait::until(STEP, "one of the two", || async {
        let (a, b) = (apps.app("a").await, apps.app("b").await);
        let (a, b) = (a.map_err(|e| e.to_string())?, b.map_err(|e| e.to_string())?);
        match (ready(&a) && refused(&b), ready(&b) && refused(&a)) {
            (true, false) => Ok(("a", "b")),
            (false, true) => Ok(("b", "a")),
            _ => Err(format!("{} {}", a["status"], b["status"])),
        }
    })
    .await?;
    let witness = Witness::of(&apps, "moves").await?;
    assert_eq!(apps.value("moves").await?, format!("of {first}"));
    // The one that has it is deleted, with all that is its own.
    let args = ["delete", "--timeout=60s", "applications.tidegate.io", first];
    apps.shop.kubectl(&args).await?;
    belongs_to(&apps, "moves", second).await?;
    apps.shop
        .until("Ready", &format!("applications/{second}"), ready)
        .await?;
    assert_eq!(apps.value("moves").await?, format!("of {second}"));
    assert_eq!(witness.saw_one_object(), [first, second]);
    Ok(())
}

#[tokio::test]
async fn what_a_deleted_application_left_running_is_taken_over_on_request() -> Result<()> {
    let apps = two(Shop::open("orphan").await?).await?;
    let witness = Witness::of(&apps, "moves").await?;
    apps.shop
        .patch_app("a", &json!({"spec": {"deletionPolicy": "Orphan"}}))
        .await?;
    apps.shop
        .kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "a"])
        .await?;
    let commit = moved(&apps, "a", "b", 1).await?;
    apps.says("b", "OwnershipConflict", &["/moves", "set spec.adopt to Always"])
        .await?;
    apps.shop
        .patch_app("b", &json!({"spec": {"adopt": "Always"}}))
        .await?;
    apps.runs("b", &commit).await?;
    belongs_to(&apps, "moves", "b").await?;
    assert_eq!(witness.saw_one_object(), ["a", "b"]);
    Ok(())
}

#[tokio::test]
async fn a_prune_waits_for_those_who_cannot_say_what_they_want_and_not_forever() -> Result<()> {
    let apps = two(Shop::open("patience").await?).await?;
    let witness = Witness::of(&apps, "moves").await?;
    // The commit that moves it cannot be read by the other side, until the next one.
    apps.shop.repo.write("b/broken.yaml", "kind: [\n")?;
    let broken = moved(&apps, "a", "b", 1).await?;
    let a = apps.runs("a", &broken).await?;
    let said = text(&condition(&a, "Ready")["message"]);
    assert!(
        said.contains("moves is deleted at") && said.contains("/b wants it"),
        "{said}"
    );
    apps.shop.repo.remove("b/broken.yaml")?;
    let mended = apps.push("mended").await?;
    apps.runs("b", &mended).await?;
    belongs_to(&apps, "moves", "b").await?;
    assert_eq!(witness.saw_one_object(), ["a", "b"]);

    // A suspended one may never look.
    let suspend = |what: Value| json!({"spec": {"suspend": what}});
    apps.shop
        .patch_app("a", &suspend(json!({"reason": "on holiday"})))
        .await?;
    let suspended = |app: &Value| condition(app, "Synced")["reason"] == "Suspended";
    apps.shop.until("suspended", "applications/a", suspended).await?;
    let back = moved(&apps, "b", "a", 2).await?;
    let b = apps.runs("b", &back).await?;
    let said = text(&condition(&b, "Ready")["message"]);
    assert!(
        said.contains("/a wants it") && said.contains("on holiday"),
        "{said}"
    );
    apps.shop
        .until("gone", "configmaps/moves", Value::is_null)
        .await?;
    let done = |app: &Value| !text(&condition(app, "Ready")["message"]).contains("moves");
    apps.shop.until("no more of it", "applications/b", done).await?;
    apps.shop.patch_app("a", &suspend(Value::Null)).await?;
    belongs_to(&apps, "moves", "a").await?;
    assert_eq!(apps.value("moves").await?, "2");
    Ok(())
}

#[tokio::test]
async fn an_object_moves_between_sources_when_the_first_lets_go() -> Result<()> {
    let apps = two(Shop::open("sources").await?).await?;
    let shop = &apps.shop;
    shop.git.create("other")?;
    let other = TestRepo::new(
        &shop.repo.dir().with_file_name("other-work"),
        &shop.git.url("other"),
    )?;
    other.write("all.yaml", &map("moves", "of the other"))?;
    other.publish("it wants it too", crate::stage::ADA)?;
    let (ns, url) = (&shop.ns, shop.git.url("other"));
    shop.cluster
        .apply(&format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: other, namespace: {ns}}}\n\
             spec: {{url: \"{url}\", interval: 24h}}\n---\n\
             apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: c, namespace: {ns}}}\n\
             spec: {{source: {{name: other}}}}\n"
        ))
        .await?;
    apps.says("c", "OwnershipConflict", &["/a ", "/c ", "/moves"])
        .await?;
    let witness = Witness::of(&apps, "moves").await?;
    shop.repo.remove("a/moves.yaml")?;
    let away = apps.push("only the other has it").await?;
    apps.runs("a", &away).await?;
    belongs_to(&apps, "moves", "c").await?;
    assert_eq!(apps.value("moves").await?, "of the other");
    assert_eq!(witness.saw_one_object(), ["a", "c"]);
    Ok(())
}

async fn started(cluster: &tidegate_e2e::Cluster, name: &str) -> Result<Operator> {
    let options = Options {
        name: name.to_owned(),
        ..Options::default()
    };
    let mut running = Operator::start(cluster, options).await?;
    running.wait_ready(STEP).await?;
    Ok(running)
}

#[tokio::test]
async fn kills_in_the_middle_of_a_move_lose_nothing() -> Result<()> {
    let (world, guard) = fragile().await?;
    let mut running = started(&world.cluster, "moving").await?;
    let apps = two(Shop::open_in(&world.cluster, "killmove").await?).await?;
    let witness = Witness::of(&apps, "moves").await?;
    for (value, delay) in (1..).zip([0_u64, 10, 20, 30, 45, 60, 80, 120]) {
        let (from, to) = if value % 2 == 1 { ("a", "b") } else { ("b", "a") };
        let commit = moved(&apps, from, to, value).await?;
        let read = |repo: &Value| text(&repo["status"]["revision"]["commit"]) == commit;
        apps.shop.until("read", "gitrepositories/shop", read).await?;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        running.kill9();
        running.restart()?;
        running.wait_ready(STEP).await?;
        belongs_to(&apps, "moves", to).await?;
        wait::until(STEP, "the new value", || async {
            let now = apps.value("moves").await.map_err(|e| e.to_string())?;
            if now == value.to_string() {
                Ok(())
            } else {
                Err(now)
            }
        })
        .await?;
    }
    witness.saw_one_object();
    running.kill9();
    drop(guard);
    Ok(())
}
