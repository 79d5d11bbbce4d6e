//! `tidegate approve`.

use kube::api::ObjectMeta;
use tidegate_api::release::Phase;
use tidegate_api::{Approval, ApprovalSpec, Release};

use super::Failure;
use super::connect::Connection;
use super::output::{named, say};
use super::{diff, output, who};

/// Agrees to the plan of a waiting release, in your own name.
///
/// What is approved is the plan as it is: when an action or the content of an object changes, the approval is void.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: get releases.tidegate.io, create approvals.tidegate.io, and the verb `approve` on the Application.

Examples:
  tidegate diff shop-000042 -n shop
  tidegate approve shop-000042 -n shop --plan 0123456789ab --comment 'agreed in chat'"
)]
pub(crate) struct Args {
    /// The release.
    release: String,
    #[command(flatten)]
    connection: Connection,
    /// For whoever reads the record.
    #[arg(long)]
    comment: Option<String>,
    /// The plan that you looked at, or its first characters: refused when it is another by now.
    #[arg(long, value_name = "DIGEST")]
    plan: Option<String>,
    /// Group of yours that the approval counts for; may be repeated. All of yours when absent.
    #[arg(long)]
    group: Vec<String>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let release: Release = cluster.get(&args.release).await?;
    let status = release.status.clone().unwrap_or_default();
    let name = &args.release;
    if status.phase.is_final() || !matches!(status.phase, Phase::Planned | Phase::Waiting) {
        return Err(Failure::No(format!(
            "{name} does not wait for approvals: it is {}; see `tidegate explain {name} -n {}`",
            status.phase.as_str(),
            cluster.namespace
        )));
    }
    let digest = &status.plan.digest;
    if digest.is_empty() {
        return Err(Failure::No(format!(
            "{name} has no plan yet; try again in a moment"
        )));
    }
    if let Some(seen) = args
        .plan
        .as_ref()
        .filter(|seen| seen.is_empty() || !digest.starts_with(*seen))
    {
        return Err(Failure::No(format!(
            "the plan of {name} is {digest} and not {seen} any more; look at it again: tidegate diff {name} -n {}",
            cluster.namespace
        )));
    }
    let who = who::ask(&cluster).await?;
    let spec = ApprovalSpec {
        application: release.spec.application.clone(),
        release: name.clone(),
        plan_digest: digest.clone(),
        approver: who.name.clone(),
        groups: who.groups(&args.group)?,
        comment: args.comment.clone(),
    };
    let approval = Approval {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: Some(cluster.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec,
    };
    let made = cluster.create(&approval).await?;
    output::print(&diff::text(name, &status.plan))?;
    say(&format!(
        "{} created: {} approves this. Whether it counts: tidegate explain {name} -n {}",
        named(&made),
        who.name,
        cluster.namespace
    ))
}
