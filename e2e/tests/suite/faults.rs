//! What must survive: a crash of the operator or of the API server at any moment, two replicas, a right taken away. On a
//! cluster of their own, one test at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Cluster, Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};

/// Objects of the release that is interrupted.
const MANY: usize = 60;
/// Most interruptions of one test; half of them when enough hit.
const ROUNDS: usize = 16;

/// An operator under a name that is also its name in the Lease: one started anew need not wait for the old one's.
pub(crate) async fn operator(cluster: &Cluster, name: &str) -> Result<Operator> {
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
        // Between two looks of `until` a whole release can pass.
        for _ in 0..50 {
            let all = shop.releases(commit).await.map_err(|e| e.to_string())?;
            if !all.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("no Release yet".to_owned())
    })
    .await
}

/// Something may still happen to this Release.
fn open(release: &Value) -> bool {
    let phase = text(&release["status"]["phase"]);
    ["", "Planned", "Waiting", "Applying", "Verifying"].contains(&phase.as_str())
}

/// No Release of the namespace is left unfinished, and none was refused.
async fn none_open(shop: &Shop) -> Result<()> {
    let mut left = shop.releases("").await?;
    left.retain(|r| !["Succeeded", "Superseded", "Failed"].contains(&text(&r["status"]["phase"]).as_str()));
    assert!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// Never ends by itself: starts a process again that ended because it lost the lease, as its Deployment would. A crash is
/// no such end.
async fn kept_running(running: &mut Operator) -> Result<()> {
    loop {
        if let Some(status) = running.ended() {
            let ordered = status.code().is_some_and(|code| code != 101);
            let log = running.logs();
            assert!(ordered && log.to_lowercase().contains("lease"), "{status}: {log}");
            running.restart()?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
    // A fixed seed: moments that look random and are the same in each run.
    let mut seed = 0x7_1de_u64;
    let mut phases: Vec<String> = Vec::new();
    let mut hits = 0;
    for number in 1..=ROUNDS {
        // Most hit a release of 60 half done. On a machine too fast for that, the later rounds strike sooner.
        let longest = if number <= ROUNDS / 2 { 200 } else { 20 };
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_millis((seed >> 33) % longest);
        let (commit, expected) = generation(&shop, number)?;
        // The clock runs from the first trace of the release.
        begun(&shop, &commit).await?;
        tokio::time::sleep(delay).await;
        running.kill9();
        // With the operator dead its record stands still: where was it?
        let last = shop.releases(&commit).await?.pop().unwrap_or_default();
        hits += usize::from(open(&last));
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
        if number >= ROUNDS / 2 && hits >= 2 {
            break;
        }
    }
    assert!(hits >= 2, "too few kills hit an unfinished release: {phases:?}");
    none_open(&shop).await?;
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn killed_again_and_again_under_newer_commits_it_ends_in_the_last_one() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "again").await?;
    let mut running = operator(&world.cluster, "again").await?;
    // Nobody waits for the end of any release but the last, not even of the one that creates the first objects.
    let (mut commit, mut expected) = generation(&shop, 0)?;
    shop.deploy("").await?;
    let mut hits = 0;
    // The short ones are for a machine on which none of the first six left anything unfinished.
    for (number, delay) in (1..).zip([20, 45, 70, 100, 140, 200, 0, 5, 0, 10, 0, 5]) {
        (commit, expected) = generation(&shop, number)?;
        begun(&shop, &commit).await?;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        running.kill9();
        hits += usize::from(shop.releases("").await?.iter().any(open));
        running.restart()?;
        running.wait_ready(STEP).await?;
        if number >= 6 && hits > 0 {
            break;
        }
    }
    shop.released(&commit).await?;
    assert!(hits > 0, "no kill left a Release unfinished");
    assert_eq!(maps(&shop).await?, expected, "none leaked, none is missing");
    sealed(&shop, MANY).await?;
    none_open(&shop).await?;
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
    // The first round that hits is enough; a fast machine may need several.
    let mut seen: Vec<String> = Vec::new();
    let mut hit = false;
    for number in 1..=ROUNDS / 2 {
        let (commit, expected) = generation(&shop, number)?;
        begun(&shop, &commit).await?;
        let before = shop.releases(&commit).await?.pop().unwrap_or_default();
        let (stopped, clock) = (jiff::Timestamp::now(), Instant::now());
        let pid = running.pid();
        world.cluster.restart_apiserver().await?;
        let outage = clock.elapsed();
        tokio::select! {
            done = shop.released(&commit) => drop(done?),
            fault = kept_running(&mut running) => fault?,
        }
        assert_eq!(maps(&shop).await?, expected);
        sealed(&shop, MANY).await?;
        // Within two thirds of the lease, counted from a renewal that may be 5 s old, nothing is lost: it stays.
        let stayed = running.ended().is_none() && running.pid() == pid;
        assert!(
            stayed || outage > Duration::from_secs(4),
            "ended by {outage:?}: {}",
            running.logs()
        );
        // Read as open, and finished in a later second than the one the server went down in: so it was open then.
        let after = shop.phase(&commit, "Succeeded").await?;
        let finished: jiff::Timestamp = text(&after["status"]["times"]["finished"])
            .parse()
            .map_err(|e| tidegate_e2e::Error::Bug(format!("the end of {after}: {e}")))?;
        hit = open(&before) && finished.as_second() > stopped.as_second();
        seen.push(format!(
            "{} when the server went at {stopped}, finished {finished}",
            before["status"]["phase"]
        ));
        if hit {
            break;
        }
    }
    assert!(hit, "no restart hit an unfinished release: {seen:#?}");
    none_open(&shop).await?;
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

/// An operator that may be a standby: only the holder of the Lease is ready to work.
async fn replica(cluster: &Cluster, name: &str) -> Result<Operator> {
    let options = Options {
        name: name.to_owned(),
        args: vec!["--identity".to_owned(), name.to_owned()],
        ..Options::default()
    };
    Operator::start(cluster, options).await
}

/// Who holds the Lease.
async fn holder(shop: &Shop) -> Result<String> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/tidegate-system/leases/tidegate";
    let lease = shop.read(path).await?;
    Ok(text(&lease["spec"]["holderIdentity"]))
}

/// Waits until the Lease is held by this one.
async fn held(shop: &Shop, name: &str) -> Result<()> {
    wait::until(STEP, &format!("the lease to be held by {name}"), || async {
        let now = holder(shop).await.map_err(|e| e.to_string())?;
        (now == name).then_some(()).ok_or(format!("held by {now}"))
    })
    .await
}

/// Writes exactly these ConfigMaps, all of one value.
fn stock(shop: &Shop, (names, value): (&[&str], &str)) -> Result<(String, BTreeMap<String, String>)> {
    let documents: Vec<String> = names.iter().map(|name| map(name, value)).collect();
    shop.put("all.yaml", &documents.join("---\n"))?;
    let commit = shop.push(&format!("{names:?} of {value}"))?;
    let expected = names.iter().map(|name| ((*name).to_owned(), value.to_owned()));
    Ok((commit, expected.collect()))
}

/// `one` leads for the first commit and sleeps, `two` leads for the second and dies, `one` leads again for the third.
/// Where `unready`, the first commit has a Deployment that never becomes ready, and `one` sleeps in mid-release.
async fn leading_in_turn(prefix: &str, unready: bool, commits: [(&[&str], &str); 3]) -> Result<()> {
    let (world, guard) = fragile().await?;
    let cluster = &world.cluster;
    let shop = Shop::open_in(cluster, prefix).await?;
    let [first, second, third] = commits;
    let mut one = replica(cluster, "one").await?;
    held(&shop, "one").await?;
    let mut two = replica(cluster, "two").await?;
    if unready {
        shop.put("web.yaml", &deployment("web", "ContainerCreating"))?;
    }
    let (first, expected) = stock(&shop, first)?;
    shop.deploy("").await?;
    let phase = if unready { "Verifying" } else { "Succeeded" };
    shop.phase(&first, phase).await?;
    assert_eq!(maps(&shop).await?, expected);
    assert_eq!(holder(&shop).await?, "one");

    one.sigstop()?;
    held(&shop, "two").await?;
    if unready {
        shop.put("web.yaml", &deployment("web", ""))?;
    }
    let (second, expected) = stock(&shop, second)?;
    shop.released(&second).await?;
    shop.phase(&second, "Succeeded").await?;
    assert_eq!(maps(&shop).await?, expected);
    none_open(&shop).await?;
    let by_two = shop.releases("").await?;

    // The one that slept knows nothing of what the other one made, removed and recorded.
    one.sigcont()?;
    two.kill9();
    let (third, expected) = stock(&shop, third)?;
    let end = async {
        held(&shop, "one").await?;
        shop.released(&third).await?;
        shop.phase(&third, "Succeeded").await
    };
    tokio::select! {
        done = end => drop(done?),
        fault = kept_running(&mut one) => fault?,
    }
    assert_eq!(maps(&shop).await?, expected, "none leaked, none is missing");
    sealed(&shop, expected.len() + usize::from(unready)).await?;
    none_open(&shop).await?;
    let all = shop.releases("").await?;
    let commits: Vec<String> = all
        .iter()
        .map(|r| text(&r["spec"]["revision"]["commit"]))
        .collect();
    assert_eq!(commits, [first, second, third], "one Release of each commit");
    for (before, now) in by_two.iter().zip(&all) {
        assert_eq!(now["status"], before["status"], "a finished record was rewritten");
        let version = |release: &Value| text(&release["metadata"]["resourceVersion"]);
        assert_eq!(version(now), version(before), "a finished record was touched");
    }
    one.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_replica_that_leads_again_acts_on_what_the_other_one_did() -> Result<()> {
    let first: &[&str] = &["always", "only-first"];
    let second: &[&str] = &["always", "only-second", "since-second"];
    let third: &[&str] = &["always", "since-second", "only-third"];
    leading_in_turn("turns", false, [(first, "1"), (second, "2"), (third, "3")]).await
}

#[tokio::test]
async fn a_replica_that_leads_again_takes_a_revert_for_the_change_it_is() -> Result<()> {
    // The third commit is what the replica remembers of the first: nothing to do, if memory were the truth.
    let first: &[&str] = &["always"];
    let second: &[&str] = &["always", "only-second"];
    leading_in_turn("revert", false, [(first, "1"), (second, "2"), (first, "1")]).await
}

#[tokio::test]
async fn a_replica_stopped_in_mid_release_does_not_finish_what_the_other_one_closed() -> Result<()> {
    let first: &[&str] = &["always", "only-first"];
    let second: &[&str] = &["always", "only-second"];
    let third: &[&str] = &["always", "only-third"];
    leading_in_turn("mid", true, [(first, "1"), (second, "2"), (third, "3")]).await
}

#[tokio::test]
async fn only_the_holder_of_the_lease_writes() -> Result<()> {
    let (world, guard) = fragile().await?;
    let cluster = &world.cluster;
    let shop = Shop::open_in(cluster, "two").await?;
    let mut one = replica(cluster, "one").await?;
    held(&shop, "one").await?;
    let mut two = replica(cluster, "two").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    assert_eq!(holder(&shop).await?, "one");

    one.sigstop()?;
    held(&shop, "two").await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("two")?;
    shop.released(&second).await?;
    let version = text(&shop.get("configmaps/a").await?["metadata"]["resourceVersion"]);

    // It wakes up and still believes: nothing of what it knew may reach the cluster.
    one.sigcont()?;
    shop.look_again().await?;
    assert_eq!(holder(&shop).await?, "two");
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

/// The word after `name=` in a log line.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let rest = line.split_once(&format!("{name}=")).map_or("", |(_, rest)| rest);
    let end = rest.find([' ', '}', ':']).unwrap_or(rest.len());
    rest[..end].trim_matches('"')
}

/// The log lines of a commit's first release in a namespace: its begin and its end.
async fn begin_and_end(running: &Operator, namespace: &str, commit: &str) -> Result<(String, String)> {
    wait::until(Duration::from_secs(10), "the log lines of a release", || async {
        let logs = running.logs();
        let ours: Vec<&str> = logs.lines().filter(|line| line.contains(namespace)).collect();
        let begins = ours.iter().find(|line| line.contains(commit)).ok_or("no begin")?;
        let name = field(begins, "release");
        let ends = |line: &&&str| line.contains("release ends") && field(line, "release") == name;
        let ends = ours.iter().find(ends).ok_or("no end")?;
        Ok::<_, &str>(((*begins).to_owned(), (*ends).to_owned()))
    })
    .await
}

#[tokio::test]
async fn one_id_goes_through_all_log_lines_of_a_release() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "log").await?;
    let mut running = operator(&world.cluster, "logged").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let mut ids = Vec::new();
    for image in ["example.com/web:2", "example.com/web:3"] {
        shop.put(
            "web.yaml",
            &deployment("web", "").replace("example.com/web:1", image),
        )?;
        let commit = shop.push(image)?;
        shop.deploy("").await?;
        shop.phase(&commit, "Succeeded").await?;
        // The Deployment becomes healthy reconciles after it was written, and the log line follows the record.
        let (begins, ends) = begin_and_end(&running, &shop.ns, &commit).await?;
        assert!(!field(&begins, "id").is_empty(), "{begins}");
        assert_eq!(field(&begins, "id"), field(&ends, "id"), "{begins}\n{ends}");
        ids.push(field(&begins, "id").to_owned());
    }
    assert_ne!(ids[0], ids[1], "another release, another id");
    running.kill9();
    drop(guard);
    Ok(())
}
