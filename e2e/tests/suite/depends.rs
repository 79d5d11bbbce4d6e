//! `spec.dependsOn`: order over Applications of one commit, what holds them and what lets them go. The sources are
//! polled when they are asked to be and never by themselves: whatever goes on, goes on by events.

use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};

/// Applications of one source, each at a folder of its name.
struct Chain {
    shop: Shop,
}

impl Chain {
    async fn open(prefix: &str) -> Result<Self> {
        Self::around(Shop::open(prefix).await?).await
    }

    /// With a source that is read once.
    async fn around(shop: Shop) -> Result<Self> {
        let (ns, url) = (&shop.ns, shop.git.url("shop"));
        shop.push("empty")?;
        let source = format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: {ns}}}\n\
             spec: {{url: \"{url}\", interval: 24h}}\n"
        );
        shop.cluster.apply(&source).await?;
        let fetched = |repo: &Value| condition(repo, "Ready")["status"] == "True";
        shop.until("fetched", "gitrepositories/shop", fetched).await?;
        Ok(Self { shop })
    }

    /// Writes the folder of an Application.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        self.shop.repo.write(&format!("{name}/all.yaml"), text)
    }

    /// Commits, and has the source read.
    async fn push(&self, message: &str) -> Result<String> {
        let commit = self.shop.push(message)?;
        self.ask("gitrepositories.tidegate.io", "shop", &commit).await?;
        Ok(commit)
    }

    async fn ask(&self, kind: &str, name: &str, token: &str) -> Result<()> {
        let annotation = format!("tidegate.io/requestedAt={token}");
        let args = ["annotate", "--overwrite", kind, name, &annotation];
        self.shop.kubectl(&args).await.map(drop)
    }

    fn manifest(&self, name: &str, on: &str) -> String {
        let ns = &self.shop.ns;
        format!(
            "---\napiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: {ns}}}\n\
             spec: {{source: {{name: shop, path: ./{name}}}, dependsOn: [{on}]}}\n"
        )
    }

    /// Makes or edits Applications, all at once, in this order.
    async fn apply(&self, all: &[(&str, &str)]) -> Result<()> {
        let text: String = all.iter().map(|(name, on)| self.manifest(name, on)).collect();
        self.shop.cluster.apply(&text).await.map(drop)
    }

    async fn app(&self, name: &str) -> Result<Value> {
        self.shop.get(&format!("applications/{name}")).await
    }

    /// Waits until an Application runs that commit and is Ready.
    async fn runs(&self, name: &str, commit: &str) -> Result<Value> {
        let runs = |app: &Value| {
            app["status"]["lastAppliedRevision"] == *commit
                && app["status"]["observedGeneration"] == app["metadata"]["generation"]
                && condition(app, "Synced")["status"] == "True"
                && condition(app, "Ready")["status"] == "True"
        };
        let short = commit.get(..8).unwrap_or(commit);
        self.shop
            .until(&format!("runs {short}"), &format!("applications/{name}"), runs)
            .await
    }

    /// Waits until an Application is not synced for this reason, and says all of these words; the Application.
    async fn says(&self, name: &str, reason: &str, words: &[&str]) -> Result<Value> {
        let says = |app: &Value| {
            let synced = condition(app, "Synced");
            let message = text(&synced["message"]);
            synced["status"] == "False"
                && synced["reason"] == reason
                && words.iter().all(|word| message.contains(word))
        };
        self.shop
            .until(
                &format!("{reason} with {words:?}"),
                &format!("applications/{name}"),
                says,
            )
            .await
    }

    /// The Releases of one Application for one commit.
    async fn releases(&self, name: &str, commit: &str) -> Result<Vec<Value>> {
        let mut all = self.shop.releases(commit).await?;
        all.retain(|r| r["spec"]["application"] == *name);
        Ok(all)
    }

    /// Each began when the one before it was healthy.
    async fn went_in_order(&self, names: &[&str], commit: &str) -> Result<()> {
        let mut before: Option<jiff::Timestamp> = None;
        for name in names {
            let releases = self.releases(name, commit).await?;
            assert_eq!(releases.len(), 1, "one release of {name}: {releases:?}");
            let times = &releases[0]["status"]["times"];
            let time = |what: &str| text(&times[what]).parse::<jiff::Timestamp>().ok();
            let (planned, healthy) = (time("planned"), time("healthy"));
            assert!(
                planned.is_some() && healthy.is_some(),
                "times of {name}: {releases:?}"
            );
            assert!(before <= planned, "{name} began before {before:?}: {releases:?}");
            before = healthy;
        }
        Ok(())
    }

    async fn value(&self, map: &str) -> Result<String> {
        let live = self.shop.get(&format!("configmaps/{map}")).await?;
        Ok(text(&live["data"]["key"]))
    }
}

/// A workload and a map of one generation.
fn part(name: &str, generation: &str) -> String {
    format!("{}---\n{}", map(name, generation), deployment(name, ""))
}

#[tokio::test]
async fn a_chain_of_five_goes_in_order_by_events_alone() -> Result<()> {
    let chain = Chain::open("chain").await?;
    let names = ["a1", "a2", "a3", "a4", "a5"];
    for name in names {
        chain.write(name, &part(name, "1"))?;
    }
    let first = chain.push("all five").await?;
    // The last one first, so that each but `a1` meets dependencies that do not exist.
    for at in (0..5_usize).rev() {
        let on = at
            .checked_sub(1)
            .map_or(String::new(), |before| format!("{{name: {}}}", names[before]));
        chain.apply(&[(names[at], &on)]).await?;
    }
    chain.runs("a5", &first).await?;
    chain.went_in_order(&names, &first).await?;

    for name in names {
        chain.write(name, &map(name, "2"))?;
        chain.shop.repo.write(
            &format!("{name}/web.yaml"),
            &deployment(name, "").replace("web:1", "web:2"),
        )?;
    }
    let second = chain.push("all five again").await?;
    chain.runs("a5", &second).await?;
    chain.went_in_order(&names, &second).await
}

#[tokio::test]
async fn a_dependency_that_fails_holds_its_dependent_which_keeps_what_it_runs() -> Result<()> {
    let chain = Chain::open("holds").await?;
    chain.write("db", &part("db", "1"))?;
    chain.write("web", &map("web", "1"))?;
    let first = chain.push("good").await?;
    chain.apply(&[("db", ""), ("web", "{name: db}")]).await?;
    chain.runs("web", &first).await?;

    chain.write(
        "db",
        &format!("{}---\n{}", map("db", "2"), deployment("db", "ImagePullBackOff")),
    )?;
    chain.write("web", &map("web", "2"))?;
    let second = chain.push("the database does not start").await?;
    let app = chain
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
    assert_eq!(chain.releases("web", &second).await?, [] as [Value; 0]);
    let edit = json!({"data": {"key": "edited"}}).to_string();
    chain
        .shop
        .kubectl(&["patch", "configmap", "web", "--type=merge", "-p", &edit])
        .await?;
    let back = |app: &Value| app["status"]["drift"]["count"] == 1;
    chain
        .shop
        .until("the edit is put back", "applications/web", back)
        .await?;
    assert_eq!(
        chain.value("web").await?,
        "1",
        "the commit that waits is not what is put back"
    );
    let app = chain.app("web").await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *first, "{app}");
    assert_eq!(condition(&app, "Synced")["reason"], "DependencyNotReady", "{app}");

    chain.write("db", &part("db", "3"))?;
    let third = chain.push("it starts").await?;
    chain.runs("web", &third).await?;
    chain.went_in_order(&["db", "web"], &third).await?;
    assert_eq!(chain.value("web").await?, "2");
    assert_eq!(chain.releases("web", &second).await?, [] as [Value; 0]);
    Ok(())
}

#[tokio::test]
async fn what_a_commit_does_not_touch_is_no_obstacle_and_holds_nobody() -> Result<()> {
    let chain = Chain::open("untouched").await?;
    for name in ["db", "api", "web"] {
        chain.write(name, &map(name, "1"))?;
    }
    let first = chain.push("all").await?;
    chain
        .apply(&[("web", "{name: api}"), ("api", "{name: db}"), ("db", "")])
        .await?;
    chain.runs("web", &first).await?;
    chain.write("web", &map("web", "2"))?;
    let second = chain.push("web only").await?;
    chain.runs("web", &second).await?;
    let api = chain.app("api").await?;
    assert_eq!(
        api["status"]["lastAppliedRevision"], *first,
        "no write for a commit that changes nothing: {api}"
    );

    // The one in the middle is not touched, and still stands for what goes before it.
    chain.write("db", &part("db", "3"))?;
    chain.write("web", &map("web", "3"))?;
    let third = chain.push("both ends").await?;
    chain.runs("web", &third).await?;
    chain.went_in_order(&["db", "web"], &third).await?;
    assert_eq!(chain.releases("api", &third).await?, [] as [Value; 0]);
    Ok(())
}

#[tokio::test]
async fn a_dependency_at_any_commit_need_only_be_ready() -> Result<()> {
    let chain = Chain::open("any").await?;
    for name in ["db", "same", "loose"] {
        chain.write(name, &map(name, "1"))?;
    }
    let first = chain.push("all").await?;
    chain
        .apply(&[
            ("db", ""),
            ("same", "{name: db}"),
            ("loose", "{name: db, at: Any}"),
        ])
        .await?;
    chain.runs("same", &first).await?;
    chain.runs("loose", &first).await?;
    let suspend = json!({"spec": {"suspend": {"reason": "maintenance"}}});
    chain.shop.patch_app("db", &suspend).await?;
    let suspended = |app: &Value| condition(app, "Synced")["reason"] == "Suspended";
    chain
        .shop
        .until("suspended", "applications/db", suspended)
        .await?;
    for name in ["db", "same", "loose"] {
        chain.write(name, &map(name, "2"))?;
    }
    let second = chain.push("all again").await?;
    chain.runs("loose", &second).await?;
    chain
        .says(
            "same",
            "DependencyBehind",
            &["/db has not come to master@", "maintenance"],
        )
        .await?;
    assert_eq!(chain.value("same").await?, "1");
    chain
        .shop
        .patch_app("db", &json!({"spec": {"suspend": null}}))
        .await?;
    chain.runs("same", &second).await?;
    chain.went_in_order(&["db", "same"], &second).await
}

#[tokio::test]
async fn a_missing_dependency_is_named_and_waited_for() -> Result<()> {
    let chain = Chain::open("missing").await?;
    chain.write("web", &map("web", "1"))?;
    chain.write("db", &map("db", "1"))?;
    let first = chain.push("both").await?;
    chain.apply(&[("web", "{name: db}")]).await?;
    let app = chain
        .says("web", "DependencyMissing", &["/db does not exist; create it"])
        .await?;
    assert_eq!(
        condition(&app, "Ready")["status"],
        "False",
        "nothing runs yet: {app}"
    );
    assert_eq!(chain.shop.get("configmaps/web").await?, Value::Null);
    chain.apply(&[("db", "")]).await?;
    chain.runs("web", &first).await?;
    chain.went_in_order(&["db", "web"], &first).await?;
    // Gone again, it holds the next release and not what runs.
    chain
        .shop
        .kubectl(&["delete", "applications.tidegate.io", "db"])
        .await?;
    chain.write("web", &map("web", "2"))?;
    chain.push("web only").await?;
    chain
        .says("web", "DependencyMissing", &["/db does not exist"])
        .await?;
    assert_eq!(chain.value("web").await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_circle_is_named_by_all_who_go_in_it_until_an_edit_breaks_it() -> Result<()> {
    let chain = Chain::open("circle").await?;
    let names = ["a", "b", "c"];
    for name in names {
        chain.write(name, &map(name, "1"))?;
    }
    let first = chain.push("all").await?;
    // No circle yet: the last edge closes it, and those that were at rest say so too.
    chain
        .apply(&[("a", ""), ("b", "{name: a}"), ("c", "{name: b}")])
        .await?;
    chain.runs("c", &first).await?;
    chain.apply(&[("a", "{name: c}")]).await?;
    for (name, way) in [
        ("a", "a → c → b → a"),
        ("b", "b → a → c → b"),
        ("c", "c → b → a → c"),
    ] {
        let app = chain.says(name, "DependencyCycle", &[way]).await?;
        assert_eq!(condition(&app, "Stalled")["reason"], "DependencyCycle", "{app}");
    }
    for name in names {
        chain.write(name, &map(name, "2"))?;
    }
    let second = chain.push("nobody can begin").await?;
    let seen = |repo: &Value| text(&repo["status"]["revision"]["commit"]) == second;
    chain.shop.until("read", "gitrepositories/shop", seen).await?;
    // One that goes in no circle, and waits for one that does, is answered after the others.
    chain.write("d", &map("d", "1"))?;
    let third = chain.push("one outside").await?;
    chain.apply(&[("d", "{name: c}")]).await?;
    chain
        .says("d", "DependencyNotReady", &["/c is not ready", "c → b → a → c"])
        .await?;
    for name in names {
        assert_eq!(chain.value(name).await?, "1");
        assert_eq!(chain.releases(name, &second).await?, [] as [Value; 0]);
    }
    chain.apply(&[("a", "")]).await?;
    for name in ["a", "b", "c", "d"] {
        let app = chain.runs(name, &third).await?;
        assert_eq!(condition(&app, "Stalled"), Value::Null, "{app}");
    }
    chain.went_in_order(&["a", "b", "c", "d"], &third).await?;
    chain.apply(&[("a", "{name: a}")]).await?;
    chain.says("a", "DependencyCycle", &["a → a"]).await.map(drop)
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
    let chain = Chain::around(Shop::open_in(&world.cluster, "midchain").await?).await?;
    let names = ["a", "b", "c"];
    for name in names {
        chain.write(name, &part(name, "1"))?;
    }
    let first = chain.push("all").await?;
    chain
        .apply(&[("c", "{name: b}"), ("b", "{name: a}"), ("a", "")])
        .await?;
    chain.runs("c", &first).await?;
    chain.write("a", &part("a", "2"))?;
    // It neither starts nor fails.
    chain.write(
        "b",
        &format!("{}---\n{}", map("b", "2"), deployment("b", "ContainerCreating")),
    )?;
    chain.write("c", &part("c", "2"))?;
    let second = chain.push("the middle takes its time").await?;
    chain
        .says("c", "DependencyNotReady", &["/b is not ready"])
        .await?;
    let begun = || async {
        let releases = chain.releases("b", &second).await.map_err(|e| e.to_string())?;
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
    chain.ask("applications.tidegate.io", "c", "again").await?;
    let answered = |app: &Value| app["status"]["lastHandledRequestedAt"] == "again";
    chain
        .shop
        .until("looked at again", "applications/c", answered)
        .await?;
    chain
        .says("c", "DependencyNotReady", &["/b is not ready"])
        .await?;
    assert_eq!(chain.releases("c", &second).await?, [] as [Value; 0]);
    assert_eq!(chain.value("c").await?, "1");

    chain.write("b", &part("b", "3"))?;
    let third = chain.push("the middle starts").await?;
    chain.runs("c", &third).await?;
    chain.went_in_order(&["b", "c"], &third).await?;
    assert_eq!(
        chain.releases("a", &third).await?,
        [] as [Value; 0],
        "its tree did not change"
    );
    running.kill9();
    drop(guard);
    Ok(())
}
