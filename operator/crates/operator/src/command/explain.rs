//! `tidegate explain`.

use jiff::Timestamp;
use tidegate_api::{Application, Release};
use tidegate_core::explain;

use super::Failure;
use super::connect::{Cluster, Connection};
use super::output::print;

/// Says why a release waits and what opens it, or why it failed and what to do.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tidegate explain shop -n shop
  tidegate explain shop-000042 -n shop
  tidegate explain release/shop-000042 -n shop")]
pub(crate) struct Args {
    /// An Application, or one of its releases. `application/` or `release/` before it where both have the name.
    name: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let now = Timestamp::now();
    let (kind, name) = args.name.split_once('/').unwrap_or(("", &args.name));
    let app = match kind {
        "" | "application" | "app" | "tgapp" => cluster.find::<Application>(name).await?,
        "release" | "rel" | "tgrel" => None,
        other => {
            return Err(Failure::No(format!(
                "`{other}/` is neither application/ nor release/"
            )));
        }
    };
    if let Some(app) = app {
        let newest = newest(&cluster, name).await?;
        return print(&explain::application(&app, newest.as_ref(), now));
    }
    if kind.starts_with("app") || kind == "tgapp" {
        cluster.get::<Application>(name).await?;
    }
    let Some(release) = cluster.find::<Release>(name).await? else {
        return Err(Failure::No(format!(
            "namespace {} has neither an Application nor a Release of the name {name}; `tidegate history -n {}` lists the releases",
            cluster.namespace, cluster.namespace
        )));
    };
    let app = cluster.find::<Application>(&release.spec.application).await?;
    print(&explain::release(&release, app.as_ref(), now))
}

async fn newest(cluster: &Cluster, application: &str) -> Result<Option<Release>, Failure> {
    let fields = format!("spec.application={application}");
    let releases: Vec<Release> = cluster.list(Some(&cluster.namespace), &fields).await?;
    Ok(releases.into_iter().max_by_key(|r| r.spec.sequence))
}
