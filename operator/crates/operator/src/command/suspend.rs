//! `tidegate suspend` and `tidegate resume`.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::{Application, names};

use super::Failure;
use super::connect::Connection;
use super::output::{named, say};
use super::times::End;
use super::who;

/// Stops an Application, in your own name: nothing is applied, nothing is corrected, until it is resumed or the time is up.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: patch applications.tidegate.io, and the verb `suspend` on the Application.

Examples:
  tidegate suspend shop -n shop --reason 'migrating the database' --for 2h
  tidegate resume shop -n shop"
)]
pub(crate) struct Args {
    /// Application.
    application: String,
    #[command(flatten)]
    connection: Connection,
    /// Why, for whoever finds it suspended.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    end: End,
}

/// Lets an Application go on that is suspended, or held at an earlier release by `tidegate rollback`.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: patch applications.tidegate.io, and the verb `suspend` or `rollback` on the Application.

Examples:
  tidegate resume shop -n shop"
)]
pub(crate) struct ResumeArgs {
    /// Application.
    application: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let until = args.end.time(Timestamp::now())?;
    let before: Application = cluster.get(&args.application).await?;
    let who = who::ask(&cluster).await?;
    let suspend = json!({"reason": args.reason, "by": who.name, "until": until});
    let patch = json!({"spec": {"suspend": suspend}});
    let app: Application = cluster.merge(&args.application, &patch).await?;
    if let Some(old) = before.spec.suspend {
        let by = old.by.map(|by| format!(" by {by}")).unwrap_or_default();
        say(&format!("it was suspended already{by}: {}", old.reason))?;
    }
    let end = until.map_or_else(
        || "until it is resumed".to_owned(),
        |until| format!("until {until}"),
    );
    say(&format!("{} suspended by {}, {end}", named(&app), who.name))
}

pub(crate) async fn resume(args: ResumeArgs) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let before: Application = cluster.get(&args.application).await?;
    let back = before
        .metadata
        .annotations
        .as_ref()
        .and_then(|a| a.get(names::ANNOTATION_ROLLBACK_TO))
        .cloned();
    let suspended = before.spec.suspend.is_some();
    if back.is_none() && !suspended {
        return say(&format!(
            "{} is neither suspended nor rolled back",
            named(&before)
        ));
    }
    let mut patch = json!({});
    if suspended {
        patch["spec"]["suspend"] = Value::Null;
    }
    if back.is_some() {
        patch["metadata"]["annotations"][names::ANNOTATION_ROLLBACK_TO] = Value::Null;
    }
    let app: Application = cluster.merge(&args.application, &patch).await?;
    if let Some(old) = before.spec.suspend {
        say(&format!(
            "{} resumed; it was suspended: {}",
            named(&app),
            old.reason
        ))?;
    }
    match back {
        Some(back) => say(&format!("{} is not held at {back} any more", named(&app))),
        None => Ok(()),
    }
}
