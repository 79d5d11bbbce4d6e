//! `e2e demo`: sets the stage (cluster, chart, git server, operator), lets the story play, tidies up. Owns what is
//! started for it; the acts are in `story`.

use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_e2e::{Cluster, Error, GitServer, Operator, Options, Result, TestRepo, operator, paths};

use crate::{say, story};

/// Everything an act needs.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) git: GitServer,
    pub(crate) repo: TestRepo,
    pub(crate) operator: Operator,
    started: Instant,
}

impl Stage {
    /// A progress line with the time since the start.
    pub(crate) fn tell(&self, line: &str) {
        say(&format!("[{:>4} s] {line}", self.started.elapsed().as_secs()));
    }

    /// Runs kubectl in namespace shop and shows command and output as a person would see them.
    pub(crate) async fn show(&self, args: &[&str]) -> Result<()> {
        say(&format!("\n$ kubectl -n shop {}", args.join(" ")));
        let mut all = vec!["-n", "shop"];
        all.extend(args);
        say(&self.cluster.kubectl(&all).await?);
        Ok(())
    }

    /// Shows what `tidegate explain` says about a release.
    pub(crate) async fn explain(&self, release: &str) -> Result<()> {
        say(&format!("\n$ tidegate -n shop explain {release}"));
        let mut command = tokio::process::Command::new(operator::binary()?);
        command
            .args(["explain", release, "-n", "shop"])
            .env("KUBECONFIG", self.cluster.admin_kubeconfig());
        let output = command
            .output()
            .await
            .map_err(|e| Error::Setup(format!("tidegate explain: {e}")))?;
        say(&String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// Makes an object as somebody.
    pub(crate) async fn create_as(&self, user: &str, groups: &[&str], object: &Value) -> Result<()> {
        let file = self.cluster.dir().join(format!("by-{user}.json"));
        std::fs::write(&file, object.to_string()).map_err(|e| Error::Setup(e.to_string()))?;
        let file = file.display().to_string();
        let mut args = vec!["create", "-f", &file, "--as", user];
        for group in groups {
            args.extend(["--as-group", group]);
        }
        self.cluster.kubectl(&args).await.map(drop)
    }
}

/// Plays the whole demo.
///
/// # Errors
/// When a part does not start or an act does not come to its end; with the end of the operator's log.
pub(crate) async fn play() -> Result<()> {
    let mut stage = set().await?;
    let end = tokio::select! {
        played = story::play(&stage) => played,
        // The message is made below, where the operator is no longer borrowed.
        interrupted = tokio::signal::ctrl_c() => Err(Error::Setup(format!("interrupted ({interrupted:?})"))),
    };
    if let Err(error) = end {
        let ended = stage
            .operator
            .ended()
            .map_or("is running".to_owned(), |status| format!("ended with {status}"));
        return Err(stage.operator.error(&format!("{error}; the operator {ended}")));
    }
    say(&format!(
        "Done in {} s. All of it is described in README.md.",
        stage.started.elapsed().as_secs()
    ));
    if std::env::var("KEEP").is_ok_and(|value| !value.is_empty() && value != "0") {
        say(&format!(
            "KEEP is set: all stays up until Ctrl-C.\n  export KUBECONFIG={}\n  git clone {}",
            stage.cluster.admin_kubeconfig().display(),
            stage.git.url("shop")
        ));
        tokio::signal::ctrl_c()
            .await
            .map_err(|e| Error::Bug(format!("waiting for Ctrl-C: {e}")))?;
    }
    let status = stage.operator.sigterm()?;
    if !status.success() {
        return Err(stage
            .operator
            .error(&format!("asked to end, it ended with {status}")));
    }
    stage.cluster.shutdown();
    Ok(())
}

async fn set() -> Result<Stage> {
    let started = Instant::now();
    let tell = |line: &str| say(&format!("[{:>4} s] {line}", started.elapsed().as_secs()));
    operator::require_binary()?;
    tell("starting etcd, kube-apiserver, controllers, scheduler and two fake nodes");
    let cluster = Cluster::start(Options {
        name: "demo".to_owned(),
        ..Options::default()
    })
    .await?;
    tell(&format!(
        "cluster is up at {}, logs in {}",
        cluster.server(),
        cluster.dir().display()
    ));
    tell("helm install of charts/tidegate (no pods: fake nodes cannot run them)");
    cluster.helm_install_chart(&["replicaCount=0"]).await?;
    tell("starting the operator's binary with the token of the chart's service account");
    let mut running = Operator::start(&cluster, operator::Options::default()).await?;
    running.wait_ready(Duration::from_secs(60)).await?;
    tell("the operator is ready");
    let git = GitServer::start(&cluster.dir().join("repos"))?;
    git.create("shop")?;
    let repo = TestRepo::new(&cluster.dir().join("work"), &git.url("shop"))?;
    repo.copy_from(&paths::root().join("e2e/demo/shop"))?;
    Ok(Stage {
        cluster,
        git,
        repo,
        operator: running,
        started,
    })
}
