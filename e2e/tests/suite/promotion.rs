//! `after` of a policy: staging before production, over real commits, health and time. The sources are read when they are
//! asked to be: whatever goes on, goes on by events and at the end of a soak.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Result, wait};

use crate::apps::Apps;
use crate::stage::{STEP, Shop, condition, deployment, fragile, map, text};
use crate::targets::{far, far_account, give};

/// What staging must have been healthy for.
const SOAK: Duration = Duration::from_secs(4);

/// Applications `staging` and `production` of one source, and the policy between them.
struct Line {
    apps: Apps,
}

impl Line {
    async fn around(shop: Shop) -> Result<Self> {
        let apps = Apps::around(shop).await?;
        Ok(Self { apps })
    }

    async fn open(prefix: &str) -> Result<Self> {
        Self::around(Shop::open(prefix).await?).await
    }

    /// Makes the policy, then the Applications: production is bound before it is looked at.
    async fn start(&self, staging: &str) -> Result<()> {
        self.policy(&format!(
            "{{application: {{name: {staging}}}, soak: {}s}}",
            SOAK.as_secs()
        ))
        .await?;
        self.application("staging", "staging", "").await?;
        self.application("production", "production", "").await
    }

    async fn policy(&self, after: &str) -> Result<()> {
        let ns = &self.apps.shop.ns;
        let text = format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {{name: staging-first, namespace: {ns}}}\n\
             spec: {{selector: {{matchLabels: {{tier: production}}}}, after: [{after}]}}\n"
        );
        self.apps.shop.cluster.apply(&text).await.map(drop)
    }

    async fn application(&self, name: &str, tier: &str, more: &str) -> Result<()> {
        let ns = &self.apps.shop.ns;
        let text = format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: Application\n\
             metadata: {{name: {name}, namespace: {ns}, labels: {{tier: {tier}}}}}\n\
             spec: {{source: {{name: shop, path: ./{name}}}{more}}}\n"
        );
        self.apps.shop.cluster.apply(&text).await.map(drop)
    }

    /// A commit that changes both, with a workload in staging that fails where `fail` says so.
    async fn both(&self, generation: &str, fail: &str) -> Result<String> {
        let web = deployment("stage-web", fail).replace("web:1", &format!("web:{generation}"));
        self.apps
            .write("staging", &format!("{}---\n{web}", map("stage", generation)))?;
        self.apps.write("production", &map("live", generation))?;
        self.apps.push(&format!("generation {generation}")).await
    }

    /// Waits until production says all of these words, while it waits.
    async fn waits(&self, words: &[&str]) -> Result<Value> {
        self.apps.says("production", "Waiting", words).await
    }

    async fn suspend(&self, name: &str, suspend: Value) -> Result<()> {
        let patch = json!({"spec": {"suspend": suspend}});
        self.apps.shop.patch_app(name, &patch).await
    }

    /// When staging will have been healthy with a commit for long enough.
    async fn soaked(&self, commit: &str) -> Result<Timestamp> {
        let healthy = |app: &Value| observed(app, commit)["healthySince"].is_string();
        let path = "applications/staging";
        let app = self.apps.shop.until("healthy", path, healthy).await?;
        Ok(time(&observed(&app, commit)["healthySince"]) + SOAK)
    }

    /// Waits until then.
    async fn pass(&self, end: Timestamp) -> Result<()> {
        let passed = || async {
            if Timestamp::now() > end {
                Ok(())
            } else {
                Err(format!("not before {end}"))
            }
        };
        wait::until(STEP, "the soak to end", passed).await
    }

    /// The last Release of production for a commit, once it has succeeded.
    async fn succeeded(&self, commit: &str) -> Result<Value> {
        let title = format!("production's release of {commit}");
        wait::until(STEP, &title, || async {
            let all = self.apps.releases("production", commit).await;
            let all = all.map_err(|e| e.to_string())?;
            let last = all.last().cloned().unwrap_or_default();
            if last["status"]["phase"] == "Succeeded" {
                return Ok(last);
            }
            Err(last["status"].to_string())
        })
        .await
    }
}

/// What an Application's log says of a commit.
fn observed(app: &Value, commit: &str) -> Value {
    let log = app["status"]["observed"].as_array();
    let found = log.and_then(|log| log.iter().find(|entry| entry["commit"] == *commit));
    found.cloned().unwrap_or_default()
}

fn time(value: &Value) -> Timestamp {
    text(value).parse().unwrap_or(Timestamp::MAX)
}

/// The gate `After` of a Release.
fn gate(release: &Value) -> Value {
    let gates = release["status"]["gates"].as_array();
    let found = gates.and_then(|gates| gates.iter().find(|gate| gate["gate"] == "After"));
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn three_commits_go_through_staging_and_one_of_production_alone_passes() -> Result<()> {
    let line = Line::open("line").await?;
    let apps = &line.apps;
    let first = line.both("1", "").await?;
    line.start("staging").await?;
    let soaked = line.soaked(&first).await?;
    apps.runs("production", &first).await?;
    let release = line.succeeded(&first).await?;
    let gate = gate(&release);
    assert_eq!(
        (&gate["decision"], &gate["policy"]),
        (&json!("Open"), &json!("ReleasePolicy/staging-first")),
        "{release}"
    );
    assert!(
        time(&release["status"]["times"]["approved"]) >= soaked,
        "not before {soaked}: {release}"
    );

    let second = line.both("2", "ImagePullBackOff").await?;
    let ns = &apps.shop.ns;
    let failed = format!("failed in {ns}/staging");
    let app = line.waits(&[&failed, "ImagePullBackOff"]).await?;
    assert_eq!(
        condition(&app, "Ready")["status"],
        "True",
        "what runs is good: {app}"
    );
    assert_eq!(apps.value("live").await?, "1");

    let third = line.both("3", "").await?;
    let soaked = line.soaked(&third).await?;
    apps.runs("production", &third).await?;
    assert_eq!(apps.value("live").await?, "3");
    let release = line.succeeded(&third).await?;
    assert!(
        time(&release["status"]["times"]["approved"]) >= soaked,
        "not before {soaked}: {release}"
    );
    for release in apps.releases("production", &second).await? {
        assert_eq!(release["status"]["phase"], "Superseded", "{release}");
    }

    apps.write("production", &map("live", "4"))?;
    let fourth = apps.push("production alone").await?;
    apps.runs("production", &fourth).await?;
    assert_eq!(apps.value("live").await?, "4");
    assert_eq!(apps.releases("staging", &fourth).await?, [] as [Value; 0]);
    Ok(())
}

#[tokio::test]
async fn production_follows_the_newest_commit_that_has_earned_it() -> Result<()> {
    let line = Line::open("follow").await?;
    let apps = &line.apps;
    let first = line.both("1", "").await?;
    line.start("staging").await?;
    apps.runs("production", &first).await?;

    line.suspend("production", json!({"reason": "not yet"})).await?;
    let second = line.both("2", "").await?;
    line.pass(line.soaked(&second).await?).await?;
    let third = line.both("3", "ImagePullBackOff").await?;
    let failed = |app: &Value| app["status"]["display"]["phase"] == "Failed";
    let staging = apps.shop.until("failed", "applications/staging", failed).await?;
    assert!(observed(&staging, &second)["soaked"].is_object(), "{staging}");
    assert_eq!(observed(&staging, &third), Value::Null, "{staging}");

    line.suspend("production", Value::Null).await?;
    let release = line.succeeded(&second).await?;
    assert_eq!(gate(&release)["decision"], "Open", "{release}");
    let message = text(&release["status"]["display"]["message"]);
    assert!(
        message.contains(&format!("follows master@{}", &second[..8])),
        "{message}"
    );
    line.waits(&["failed in", &third[..8]]).await?;
    assert_eq!(apps.value("live").await?, "2", "the older one, not the newest");

    let fourth = line.both("4", "").await?;
    apps.runs("production", &fourth).await?;
    assert_eq!(apps.value("live").await?, "4");
    for release in apps.releases("production", &third).await? {
        assert_eq!(release["status"]["phase"], "Superseded", "{release}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_earned_is_kept_over_a_restart() -> Result<()> {
    let (world, guard) = fragile().await?;
    let options = Options {
        name: "promoting".to_owned(),
        ..Options::default()
    };
    let mut running = Operator::start(&world.cluster, options).await?;
    running.wait_ready(STEP).await?;
    let line = Line::around(Shop::open_in(&world.cluster, "kept").await?).await?;
    let apps = &line.apps;
    let first = line.both("1", "").await?;
    line.start("staging").await?;
    apps.runs("production", &first).await?;
    line.suspend("production", json!({"reason": "not yet"})).await?;
    let second = line.both("2", "").await?;
    line.pass(line.soaked(&second).await?).await?;
    line.both("3", "ImagePullBackOff").await?;
    let failed = |app: &Value| app["status"]["display"]["phase"] == "Failed";
    apps.shop.until("failed", "applications/staging", failed).await?;

    running.kill9();
    running.restart()?;
    running.wait_ready(STEP).await?;
    line.suspend("production", Value::Null).await?;
    line.succeeded(&second).await?;
    line.waits(&["failed in"]).await?;
    assert_eq!(apps.value("live").await?, "2");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_stage_that_is_missing_and_a_circle_are_said_and_over_when_they_are() -> Result<()> {
    let line = Line::open("nowhere").await?;
    let apps = &line.apps;
    line.start("stagging").await?;
    let first = line.both("1", "").await?;
    let ns = &apps.shop.ns;
    line.waits(&[&format!("there is no Application {ns}/stagging"), "create it"])
        .await?;
    line.policy("{application: {name: staging}}").await?;
    apps.runs("production", &first).await?;

    line.application("staging", "staging", ", dependsOn: [{name: production}]")
        .await?;
    let way = format!("{ns}/production → {ns}/staging → {ns}/production");
    let app = apps.says("production", "NeverOpens", &[&way]).await?;
    assert_eq!(condition(&app, "Stalled")["reason"], "NeverOpens", "{app}");
    line.application("staging", "staging", ", dependsOn: []").await?;
    let second = line.both("2", "").await?;
    let app = apps.runs("production", &second).await?;
    assert_eq!(condition(&app, "Stalled"), Value::Null, "{app}");
    Ok(())
}

#[tokio::test]
async fn a_stage_of_another_namespace_is_waited_for_and_health_that_is_lost_begins_anew() -> Result<()> {
    let line = Line::open("here").await?;
    let apps = &line.apps;
    let there = apps.shop.cluster.namespace("there").await?;
    let url = apps.shop.git.url("shop");
    line.policy(&format!(
        "{{application: {{namespace: {there}, name: staging}}, soak: 24h}}"
    ))
    .await?;
    let first = line.both("1", "").await?;
    line.application("production", "production", "").await?;
    line.waits(&[&format!("there is no Application {there}/staging")])
        .await?;
    let stage = format!(
        "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: {there}}}\n\
         spec: {{url: \"{url}\", interval: 1s}}\n---\n\
         apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: staging, namespace: {there}}}\n\
         spec: {{source: {{name: shop, path: ./staging}}}}\n"
    );
    apps.shop.cluster.apply(&stage).await?;
    let path = format!("/apis/tidegate.io/v1alpha1/namespaces/{there}/applications/staging");
    let log = |wanted: bool| {
        let (path, first) = (&path, &first);
        wait::until(
            STEP,
            "what the stage's log says of its health",
            move || async move {
                let app = apps.shop.read(path).await.map_err(|e| e.to_string())?;
                let entry = observed(&app, first);
                if entry["commit"] == *first.as_str() && entry["healthySince"].is_string() == wanted {
                    Ok(entry)
                } else {
                    Err(app["status"].to_string())
                }
            },
        )
    };
    let before = log(true).await?;
    line.waits(&["is healthy in", "for 24h at"]).await?;
    apps.shop
        .cluster
        .kubectl(&["-n", &there, "delete", "deployment", "stage-web", "--wait=true"])
        .await?;
    // It is put back at once; whether its absence was seen or not, it had to become healthy again.
    let anew = || async {
        let entry = log(true).await.map_err(|e| e.to_string())?;
        if time(&entry["healthySince"]) > time(&before["healthySince"]) {
            Ok(())
        } else {
            Err(entry.to_string())
        }
    };
    wait::until(STEP, "the soak to begin anew", anew).await
}

#[tokio::test]
async fn a_stage_of_another_cluster_is_read_there_and_one_that_does_not_answer_holds() -> Result<()> {
    let (far, _turn) = far().await?;
    for crd in ["applications", "gitrepositories"] {
        let file = tidegate_e2e::paths::root().join(format!("crds/{crd}.yaml"));
        far.kubectl(&["apply", "--server-side", "-f", &file.display().to_string()])
            .await?;
    }
    let line = Line::open("afar").await?;
    let (apps, ns) = (&line.apps, line.apps.shop.ns.clone());
    line.policy("{application: {name: staging}, soak: 10s, kubeConfig: {secretRef: {name: far}}}")
        .await?;
    let first = line.both("1", "").await?;
    line.application("production", "production", "").await?;
    line.waits(&[&format!("Secret {ns}/far does not exist")]).await?;
    give(&apps.shop, &far_account(far, &ns, "reader").await?).await?;
    line.waits(&["there is no Application", "cluster of Secret far"])
        .await?;

    // No operator runs there: what it would say is said by hand.
    let stage = format!(
        "apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: staging, namespace: {ns}}}\n\
         spec: {{source: {{name: shop, path: ./staging}}}}\n"
    );
    let wait_for_kind = || async { far.apply(&stage).await.map(drop).map_err(|e| e.to_string()) };
    wait::until(STEP, "the far cluster to know Applications", wait_for_kind).await?;
    let say = |log: Value| {
        let status = json!({"status": {"observedGeneration": 1, "observed": [log],
            "display": {"revision": "master@far"}}});
        let (ns, far) = (ns.clone(), far);
        async move {
            let patch = status.to_string();
            let args = [
                "-n",
                &ns,
                "patch",
                "applications.tidegate.io",
                "staging",
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ];
            far.kubectl(&args).await.map(drop)
        }
    };
    let now = Timestamp::now();
    say(json!({"commit": first, "revision": "master@first", "since": now.to_string()})).await?;
    line.waits(&["is not healthy in"]).await?;
    let long_ago = now - Duration::from_secs(3600);
    say(
        json!({"commit": first, "revision": "master@first", "since": now.to_string(),
        "healthySince": long_ago.to_string()}),
    )
    .await?;
    apps.runs("production", &first).await.map(drop)
}
