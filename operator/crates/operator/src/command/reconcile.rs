//! `tidegate reconcile`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;
use tidegate_api::condition::READY;
use tidegate_api::{Application, GitRepository, names};
use tidegate_core::duration;
use tokio::time::Instant;

use super::Failure;
use super::connect::{Cluster, Connection, Kind};
use super::output::{named, progress, say};

/// How often is looked whether it was answered.
const LOOK: Duration = Duration::from_millis(300);

/// Looks at the newest commit of an Application or GitRepository now, and waits until that is done. A release that failed
/// is tried again.
///
/// Ends with 0 once the operator has looked, whatever it came to: the line that is printed says so.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: get and patch applications.tidegate.io or gitrepositories.tidegate.io.

Examples:
  tidegate reconcile shop -n shop
  tidegate reconcile gitrepository/shop -n shop --timeout 2m"
)]
pub(crate) struct Args {
    /// Application, or `gitrepository/<name>`.
    name: String,
    #[command(flatten)]
    connection: Connection,
    /// Longest time to wait for the answer.
    #[arg(long, default_value = "1m", value_parser = duration::parse)]
    timeout: Duration,
    /// Asks, and does not wait.
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let wait = (!args.no_wait).then_some(args.timeout);
    let (kind, name) = args.name.split_once('/').unwrap_or(("application", &args.name));
    match kind {
        "application" | "app" | "tgapp" => ask::<Application>(&cluster, name, wait).await,
        "gitrepository" | "repo" | "tgrepo" => ask::<GitRepository>(&cluster, name, wait).await,
        other => Err(Failure::No(format!(
            "`{other}/` is neither application/ nor gitrepository/"
        ))),
    }
}

/// What answers `requestedAt`.
trait Answers: Kind {
    /// `status.lastHandledRequestedAt`, and the conditions.
    fn answer(&self) -> Option<(Option<&str>, &[Condition])>;
}

impl Answers for Application {
    fn answer(&self) -> Option<(Option<&str>, &[Condition])> {
        let status = self.status.as_ref()?;
        Some((status.last_handled_requested_at.as_deref(), &status.conditions))
    }
}

impl Answers for GitRepository {
    fn answer(&self) -> Option<(Option<&str>, &[Condition])> {
        let status = self.status.as_ref()?;
        Some((status.last_handled_requested_at.as_deref(), &status.conditions))
    }
}

async fn ask<K: Answers>(cluster: &Cluster, name: &str, wait: Option<Duration>) -> Result<(), Failure> {
    cluster.get::<K>(name).await?;
    let token = Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {(names::ANNOTATION_REQUESTED_AT): token}}});
    let asked: K = cluster.merge(name, &patch).await?;
    let Some(wait) = wait else {
        return say(&format!("{} asked", named(&asked)));
    };
    let end = Instant::now() + wait;
    let mut told = String::new();
    loop {
        let now: K = cluster.get(name).await?;
        let ready = now
            .answer()
            .map(|(_, conditions)| ready(conditions))
            .unwrap_or_default();
        if now.answer().and_then(|(handled, _)| handled) == Some(token.as_str()) {
            return say(&format!("{}: {ready}", named(&now)));
        }
        if Instant::now() >= end {
            return Err(Failure::Late(format!(
                "{} was not looked at within {}; is the operator running? It says: {ready}",
                named(&now),
                duration::human(wait)
            )));
        }
        if ready != told {
            progress(&format!("waiting; it says: {ready}"));
            told = ready;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn ready(conditions: &[Condition]) -> String {
    let ready = conditions.iter().find(|c| c.type_ == READY);
    ready.map_or_else(
        || "nothing yet".to_owned(),
        |c| format!("Ready={}, {}: {}", c.status, c.reason, c.message),
    )
}
