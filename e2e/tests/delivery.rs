//! The main job on a real API server: commits become objects, bad ones are refused whole, nothing is deleted that must
//! stay, crashes leave no trace. One cluster and one operator with the chart's rights for all scenarios.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::{Cluster, GitServer, Operator, Options, Result, TestRepo, operator, wait};

const ANN: &str = "Ann Able <ann@example.com>";
const SOON: Duration = Duration::from_secs(60);

/// The parts that all scenarios share.
struct World {
    cluster: Cluster,
    git: GitServer,
    operator: Operator,
}

/// One namespace with one repository and one Application, all of the same name.
struct App<'w> {
    world: &'w World,
    name: String,
    repo: TestRepo,
}

impl World {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(Options {
            name: "delivery".to_owned(),
            ..Options::default()
        })
        .await?;
        cluster.helm_install_chart(&["replicaCount=0"]).await?;
        let mut operator = Operator::start(&cluster, operator::Options::default()).await?;
        operator.wait_ready(SOON).await?;
        let git = GitServer::start(&cluster.dir().join("repos"))?;
        Ok(Self {
            cluster,
            git,
            operator,
        })
    }

    /// `spec` is added to the Application's spec.
    async fn app(&self, name: &str, spec: &str, files: &[(&str, String)]) -> Result<App<'_>> {
        self.git.create(name)?;
        let repo = TestRepo::new(&self.cluster.dir().join("work").join(name), &self.git.url(name))?;
        for (path, text) in files {
            repo.write(path, text)?;
        }
        repo.publish("First", ANN)?;
        self.cluster.kubectl(&["create", "namespace", name]).await?;
        let url = self.git.url(name);
        let yaml = format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: {name}, namespace: {name}}}\n\
             spec: {{url: \"{url}\", interval: 1s, timeout: 10s}}\n---\n\
             apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: {name}}}\n\
             spec:\n  source: {{name: {name}, path: ./deploy}}\n{spec}"
        );
        self.cluster.apply(&yaml).await?;
        Ok(App {
            world: self,
            name: name.to_owned(),
            repo,
        })
    }
}

impl App<'_> {
    async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let text = self
            .world
            .cluster
            .kubectl(&["-n", &self.name, "get", kind, name, "-o", "json"])
            .await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let text = self
            .world
            .cluster
            .kubectl(&["-n", &self.name, "get", kind, "-o", "json"])
            .await?;
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    async fn exists(&self, kind: &str, name: &str) -> Result<bool> {
        let args = [
            "-n",
            &self.name,
            "get",
            kind,
            name,
            "--ignore-not-found",
            "-o",
            "name",
        ];
        Ok(!self.world.cluster.kubectl(&args).await?.trim().is_empty())
    }

    async fn patch(&self, kind: &str, name: &str, merge: &str) -> Result<String> {
        self.world
            .cluster
            .kubectl(&[
                "-n", &self.name, "patch", kind, name, "--type", "merge", "-p", merge,
            ])
            .await
    }

    /// Waits until the Application looks as wanted; the last state is in the failure.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(SOON, what, || async {
            let app = self
                .get("applications.tidegate.io", &self.name)
                .await
                .map_err(|e| e.to_string())?;
            if wanted(&app) {
                Ok(app)
            } else {
                Err(app["status"].to_string())
            }
        })
        .await
    }

    async fn runs(&self, commit: &str) -> Result<Value> {
        self.until(&format!("{} runs {commit}", self.name), |app| {
            app["status"]["lastAppliedRevision"] == commit && condition(app, "Ready") == "True"
        })
        .await
    }

    /// Waits until a field of a live object has a value.
    async fn field(&self, kind: &str, name: &str, pointer: &str, value: &str) -> Result<()> {
        wait::until(SOON, &format!("{kind} {name} {pointer} is {value}"), || async {
            let object = self.get(kind, name).await.map_err(|e| e.to_string())?;
            let found = object.pointer(pointer).cloned().unwrap_or_default();
            if found == *value {
                Ok(())
            } else {
                Err(found.to_string())
            }
        })
        .await
    }
}

fn condition(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = conditions.iter().find(|c| c["type"] == kind);
    found
        .and_then(|c| c["status"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: \"{value}\"}}\n---\n"
    )
}

fn many(count: usize, value: &str) -> String {
    (0..count)
        .map(|n| config_map(&format!("cm-{n:04}"), value))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job() -> Result<()> {
    let mut world = World::start().await?;
    refused_whole(&world).await?;
    protections_of_prune(&world).await?;
    deletion_policies(&world).await?;
    an_unreadable_source_deletes_nothing(&world).await?;
    drift_and_hold(&world).await?;
    a_failing_workload_says_why(&world).await?;
    killed_in_mid_apply(&mut world).await?;
    calls_are_counted(&mut world).await?;
    world.cluster.shutdown();
    Ok(())
}

async fn refused_whole(world: &World) -> Result<()> {
    let app = world
        .app("refused", "", &[("deploy/good.yaml", many(7, "1"))])
        .await?;
    let good = app.repo.git(&["rev-parse", "HEAD"])?.trim().to_owned();
    app.runs(&good).await?;
    app.repo.write("deploy/good.yaml", &many(7, "2"))?;
    app.repo.write(
        "deploy/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  n: 1\n",
    )?;
    app.repo.write(
        "deploy/b.yaml",
        "apiVersion: v1\nkind: Gadget\nmetadata: {name: b}\n",
    )?;
    app.repo.write(
        "deploy/c.yaml",
        "# comment\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c}\nspec: {replica: 2}\n",
    )?;
    let bad = app.repo.publish("Three bad ones", ANN)?;
    app.until("the commit is denied", |a| {
        a["status"]["lastAttemptedRevision"] == bad.trim()
    })
    .await?;
    let release = app.get("releases.tidegate.io", "refused-000002").await?;
    assert_eq!(release["status"]["phase"], "Denied", "{release}");
    let failed = release["status"]["results"]["failed"].to_string();
    for place in ["deploy/a.yaml:5", "deploy/b.yaml:2", "deploy/c.yaml:"] {
        assert!(failed.contains(place), "{place} is named in {failed}");
    }
    for map in app.list("configmaps").await? {
        assert!(
            map["data"].get("value").is_none_or(|v| v == "1"),
            "nothing of it was applied: {map}"
        );
    }
    for bad in ["deploy/a.yaml", "deploy/b.yaml", "deploy/c.yaml"] {
        app.repo.remove(bad)?;
    }
    let fixed = app.repo.publish("Without them", ANN)?;
    app.runs(fixed.trim()).await?;
    app.field("configmap", "cm-0006", "/data/value", "2").await
}

async fn protections_of_prune(world: &World) -> Result<()> {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n";
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {tidegate.io/prune: Disabled}}\n";
    let goes = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prune-goes, annotations: {tidegate.io/prune: Enabled}}\n";
    let stays = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prune-stays}\n";
    let files = [
        ("deploy/keep.yaml", config_map("rest", "1")),
        (
            "deploy/gone.yaml",
            format!(
                "{}{claim}---\n{kept}---\n{goes}---\n{stays}",
                config_map("gone", "1")
            ),
        ),
    ];
    let app = world.app("prune", "  health: {timeout: 2s}\n", &files).await?;
    app.until("everything was applied", |a| a["status"]["objects"]["total"] == 6)
        .await?;
    app.until("the claim is never bound", |a| {
        a["status"]["display"]["phase"] == "Failed"
    })
    .await?;
    app.repo.remove("deploy/gone.yaml")?;
    let commit = app.repo.publish("Remove a file", ANN)?;
    app.runs(commit.trim()).await?;
    assert!(!app.exists("configmap", "gone").await?);
    assert!(app.exists("configmap", "rest").await?);
    assert!(app.exists("configmap", "kept").await?, "annotated Disabled");
    assert!(
        app.exists("persistentvolumeclaim", "data").await?,
        "claims are never pruned"
    );
    assert!(
        app.exists("namespace", "prune-stays").await?,
        "namespaces are never pruned"
    );
    wait::until(SOON, "the namespace annotated Enabled goes", || async {
        let there = app
            .exists("namespace", "prune-goes")
            .await
            .map_err(|e| e.to_string())?;
        if there { Err("still there") } else { Ok(()) }.map_err(str::to_owned)
    })
    .await
}

async fn deletion_policies(world: &World) -> Result<()> {
    for (name, spec, stays) in [
        ("orphan", "  deletionPolicy: Orphan\n", true),
        ("delete", "  deletionPolicy: Delete\n  prune: false\n", false),
        ("mirror-off", "  prune: false\n", true),
        ("mirror-on", "", false),
    ] {
        let app = world
            .app(name, spec, &[("deploy/a.yaml", config_map("a", "1"))])
            .await?;
        let head = app.repo.git(&["rev-parse", "HEAD"])?;
        app.runs(head.trim()).await?;
        let args = [
            "-n",
            name,
            "delete",
            "applications.tidegate.io",
            name,
            "--timeout=30s",
        ];
        world.cluster.kubectl(&args).await?;
        assert_eq!(app.exists("configmap", "a").await?, stays, "{name}");
        assert!(
            app.list("inventories.tidegate.io").await?.is_empty(),
            "{name} leaves no inventory"
        );
        assert!(
            !app.list("releases.tidegate.io").await?.is_empty(),
            "{name}: records outlive the Application"
        );
    }
    Ok(())
}

async fn an_unreadable_source_deletes_nothing(world: &World) -> Result<()> {
    let app = world
        .app("unreadable", "", &[("deploy/a.yaml", config_map("a", "1"))])
        .await?;
    let head = app.repo.git(&["rev-parse", "HEAD"])?;
    app.runs(head.trim()).await?;
    app.repo.remove("deploy/a.yaml")?;
    app.repo.write("deploy/README.md", "nothing here")?;
    app.repo.publish("Empty", ANN)?;
    let empty = app
        .until("an empty source is said", |a| condition(a, "Stalled") == "True")
        .await?;
    assert!(
        empty["status"]["display"]["message"]
            .as_str()
            .unwrap_or_default()
            .contains("deletes nothing"),
        "{empty}"
    );
    assert!(app.exists("configmap", "a").await?);
    app.repo.git(&["push", "origin", "--delete", "master"]).ok();
    world.git.set_on(false);
    wait::until(SOON, "the repository is unreachable", || async {
        let repository = app
            .get("gitrepositories.tidegate.io", "unreadable")
            .await
            .map_err(|e| e.to_string())?;
        if condition(&repository, "Ready") == "False" {
            Ok(())
        } else {
            Err(repository["status"].to_string())
        }
    })
    .await?;
    world.git.set_on(true);
    assert!(app.exists("configmap", "a").await?, "nothing was deleted");
    Ok(())
}

async fn drift_and_hold(world: &World) -> Result<()> {
    let app = world
        .app("drift", "", &[("deploy/a.yaml", config_map("a", "git"))])
        .await?;
    let head = app.repo.git(&["rev-parse", "HEAD"])?;
    app.runs(head.trim()).await?;
    app.patch("configmap", "a", r#"{"data":{"value":"edited"}}"#)
        .await?;
    app.field("configmap", "a", "/data/value", "git").await?;
    app.patch(
        "configmap",
        "a",
        r#"{"metadata":{"labels":{"tidegate.io/managed-by":null}}}"#,
    )
    .await?;
    app.field(
        "configmap",
        "a",
        "/metadata/labels/tidegate.io~1managed-by",
        "tidegate",
    )
    .await?;
    world
        .cluster
        .kubectl(&["-n", "drift", "delete", "configmap", "a"])
        .await?;
    wait::until(SOON, "the deleted object is back", || async {
        let there = app.exists("configmap", "a").await.map_err(|e| e.to_string())?;
        if there {
            Ok(())
        } else {
            Err("not there".to_owned())
        }
    })
    .await?;
    app.until("three corrections are counted", |a| {
        a["status"]["drift"]["count"].as_i64() >= Some(3)
    })
    .await?;
    let hold = r#"{"metadata":{"annotations":{"tidegate.io/hold":"2999-01-01T00:00:00Z incident 42"}}}"#;
    app.patch("configmap", "a", hold).await?;
    app.patch("configmap", "a", r#"{"data":{"value":"held"}}"#)
        .await?;
    let held = app
        .until("the drift is said", |a| condition(a, "Drifted") == "True")
        .await?;
    assert!(
        held["status"]["conditions"].to_string().contains("incident 42"),
        "{held}"
    );
    assert_eq!(app.get("configmap", "a").await?["data"]["value"], "held");
    app.patch(
        "configmap",
        "a",
        r#"{"metadata":{"annotations":{"tidegate.io/hold":null}}}"#,
    )
    .await?;
    app.field("configmap", "a", "/data/value", "git").await
}

async fn a_failing_workload_says_why(world: &World) -> Result<()> {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata:\n      labels: {app: web}\n      annotations: {e2e.tidegate.io/fail: ImagePullBackOff}\n    spec: {containers: [{name: web, image: \"registry.example.com/web:typo\"}]}\n";
    let app = world
        .app(
            "failing",
            "  health: {timeout: 15s}\n",
            &[("deploy/web.yaml", deployment.to_owned())],
        )
        .await?;
    app.until("the release has failed", |a| {
        a["status"]["display"]["phase"] == "Failed"
    })
    .await?;
    let release = app.get("releases.tidegate.io", "failing-000001").await?;
    let message = release["status"]["display"]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("ImagePullBackOff"), "{message}");
    Ok(())
}

async fn killed_in_mid_apply(world: &mut World) -> Result<()> {
    const OBJECTS: usize = 60;
    let name = "killed";
    let first = {
        let app = world
            .app(name, "", &[("deploy/all.yaml", many(OBJECTS, "0"))])
            .await?;
        app.repo.git(&["rev-parse", "HEAD"])?.trim().to_owned()
    };
    let dir = world.cluster.dir().join("work").join(name);
    let mut commit = first;
    for (round, pause) in [20_u64, 45, 70, 100, 140, 200].into_iter().enumerate() {
        {
            let repo = TestRepo::new(&dir.with_extension(format!("{round}")), &world.git.url(name))?;
            repo.git(&["pull", "-q", "origin", "master"]).ok();
            repo.write(
                "deploy/all.yaml",
                &many(OBJECTS - round, &format!("{}", round + 1)),
            )?;
            commit = repo.publish(&format!("Round {round}"), ANN)?.trim().to_owned();
        }
        wait::until(SOON, "the round begins", || async {
            let args = [
                "-n",
                name,
                "get",
                "releases.tidegate.io",
                "-o",
                "jsonpath={.items[*].spec.revision.commit}",
            ];
            let commits = world.cluster.kubectl(&args).await.map_err(|e| e.to_string())?;
            if commits.contains(&commit) {
                Ok(())
            } else {
                Err(commits)
            }
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.operator.kill9();
        world.operator.restart()?;
        world.operator.wait_ready(SOON).await?;
    }
    let last = 5;
    let repo = TestRepo::new(&dir.with_extension("last"), &world.git.url(name))?;
    let app = App {
        world,
        name: name.to_owned(),
        repo,
    };
    app.runs(&commit).await?;
    let maps: Vec<Value> = app
        .list("configmaps")
        .await?
        .into_iter()
        .filter(|m| m["data"].get("value").is_some())
        .collect();
    assert_eq!(maps.len(), OBJECTS - last, "no object leaked, none is missing");
    assert!(
        maps.iter().all(|m| m["data"]["value"] == format!("{}", last + 1)),
        "all of one commit"
    );
    let inventory = app.get("inventories.tidegate.io", name).await?;
    assert_eq!(inventory["spec"]["count"], OBJECTS - last);
    assert!(
        inventory["spec"]["entries"]
            .as_array()
            .is_some_and(|e| e.iter().all(|e| e["uid"].is_string())),
        "sealed"
    );
    let open: Vec<Value> = app.list("releases.tidegate.io").await?;
    let unfinished = open.iter().filter(|r| {
        matches!(
            r["status"]["phase"].as_str(),
            None | Some("Planned" | "Waiting" | "Applying" | "Verifying")
        )
    });
    assert_eq!(
        unfinished.count(),
        0,
        "every record reached a final phase: {open:?}"
    );
    Ok(())
}

async fn calls_are_counted(world: &mut World) -> Result<()> {
    let name = "thousand";
    {
        let app = world
            .app(name, "", &[("deploy/all.yaml", many(1_000, "1"))])
            .await?;
        let head = app.repo.git(&["rev-parse", "HEAD"])?;
        app.runs(head.trim()).await?;
        let before = world.cluster.request_totals().await?;
        app.patch(
            "applications.tidegate.io",
            name,
            r#"{"metadata":{"annotations":{"tidegate.io/requestedAt":"now"}}}"#,
        )
        .await?;
        app.until("the request is answered", |a| {
            a["status"]["lastHandledRequestedAt"] == "now"
        })
        .await?;
        let calls = world.cluster.request_totals().await?.since(&before);
        assert_eq!(
            calls.writes("configmaps") + calls.get("GET", "configmaps") + calls.get("LIST", "configmaps"),
            0,
            "{}",
            shown(&calls)
        );
    }
    let before = world.cluster.request_totals().await?;
    world.operator.kill9();
    world.operator.restart()?;
    world.operator.wait_ready(SOON).await?;
    let repo = TestRepo::new(
        &world.cluster.dir().join("work/thousand-again"),
        &world.git.url(name),
    )?;
    let app = App {
        world,
        name: name.to_owned(),
        repo,
    };
    app.patch(
        "applications.tidegate.io",
        name,
        r#"{"metadata":{"annotations":{"tidegate.io/requestedAt":"again"}}}"#,
    )
    .await?;
    app.until("the new process has looked", |a| {
        a["status"]["lastHandledRequestedAt"] == "again"
    })
    .await?;
    let calls = world.cluster.request_totals().await?.since(&before);
    assert_eq!(
        calls.writes("configmaps"),
        0,
        "1,000 unchanged objects survive a restart: {}",
        shown(&calls)
    );
    Ok(())
}

fn shown(calls: &tidegate_e2e::metrics::RequestTotals) -> String {
    let mut text = String::new();
    for ((verb, resource), count) in calls.all() {
        let _ = write!(text, "{verb} {resource} {count}; ");
    }
    text
}
