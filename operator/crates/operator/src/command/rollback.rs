//! `tidegate rollback`.

use serde_json::json;
use tidegate_api::release::Phase;
use tidegate_api::{Application, Release, names};

use super::Failure;
use super::connect::Connection;
use super::output::{named, say};

/// Asks for an earlier release back, as a whole: the set that it applied, not a new rendering of its commit.
///
/// It holds until a commit makes something else than the one that is left now, or until `tidegate resume`.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: get releases.tidegate.io, patch applications.tidegate.io, and the verb `rollback` on the Application.

Examples:
  tidegate history shop -n shop
  tidegate rollback shop -n shop --to shop-000041"
)]
pub(crate) struct Args {
    /// Application.
    application: String,
    #[command(flatten)]
    connection: Connection,
    /// Release whose set is put back; one that succeeded.
    #[arg(long, value_name = "RELEASE")]
    to: String,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let (name, to) = (&args.application, &args.to);
    cluster.get::<Application>(name).await?;
    let release: Release = cluster.get(to).await?;
    if release.spec.application != *name {
        return Err(Failure::No(format!(
            "{to} is a release of {}, not of {name}",
            release.spec.application
        )));
    }
    let phase = release.status.map(|s| s.phase).unwrap_or_default();
    if phase != Phase::Succeeded {
        return Err(Failure::No(format!(
            "{to} is {}; only one that succeeded can be put back: `tidegate history {name} -n {}` lists them",
            phase.as_str(),
            cluster.namespace
        )));
    }
    let patch = json!({"metadata": {"annotations": {(names::ANNOTATION_ROLLBACK_TO): to}}});
    let app: Application = cluster.merge(name, &patch).await?;
    say(&format!(
        "{} asked to go back to {to}. What becomes of it: tidegate explain {name} -n {}; to go on: tidegate resume {name} -n {}",
        named(&app),
        cluster.namespace,
        cluster.namespace
    ))
}
