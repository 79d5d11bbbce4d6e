//! `tidegate override`.

use clap::ValueEnum;
use jiff::Timestamp;
use kube::api::ObjectMeta;
use tidegate_api::policy::GateName;
use tidegate_api::{Application, Override, OverrideSpec};

use super::Failure;
use super::connect::Connection;
use super::output::{named, say};
use super::times::End;
use super::who;

/// Opens gates of an Application for a while, in your own name and with a reason.
///
/// It counts for a policy only as that policy's `overrides` says. All of it stands in the record of the release.
#[derive(clap::Args)]
#[command(
    after_help = "Needs: get applications.tidegate.io, create overrides.tidegate.io, and the verb `override` on the Application.

Examples:
  tidegate override shop -n shop --gate Windows --for 1h --reason 'INC-42: the fix cannot wait'
  tidegate override shop -n shop --gate Windows,Approvals --until 2026-11-25T18:00:00Z --reason 'INC-42'"
)]
pub(crate) struct Args {
    /// Application.
    application: String,
    #[command(flatten)]
    connection: Connection,
    /// Gates to open; several with commas, or repeated.
    #[arg(long, required = true, value_delimiter = ',', value_enum, ignore_case = true)]
    gate: Vec<Gate>,
    #[command(flatten)]
    end: End,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
    /// Group of yours that it counts for; may be repeated. All of yours when absent.
    #[arg(long)]
    group: Vec<String>,
}

/// Gates that an Override may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Gate {
    Windows,
    Freeze,
    Approvals,
    After,
    Limits,
    Signatures,
}

impl Gate {
    fn name(self) -> GateName {
        match self {
            Self::Windows => GateName::Windows,
            Self::Freeze => GateName::Freeze,
            Self::Approvals => GateName::Approvals,
            Self::After => GateName::After,
            Self::Limits => GateName::Limits,
            Self::Signatures => GateName::Signatures,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let cluster = args.connection.open().await?;
    let until = args.end.time(Timestamp::now())?.ok_or_else(|| {
        Failure::No("an override ends: say when, with --for 1h or --until 2026-11-25T18:00:00Z".to_owned())
    })?;
    let app: Application = cluster.get(&args.application).await?;
    let who = who::ask(&cluster).await?;
    let mut gates: Vec<GateName> = args.gate.iter().map(|gate| gate.name()).collect();
    gates.sort_unstable();
    gates.dedup();
    let object = Override {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", args.application)),
            namespace: Some(cluster.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: OverrideSpec {
            application: app.metadata.name.unwrap_or_default(),
            namespace: None,
            gates,
            reason: args.reason.clone(),
            until: until.clone(),
            requester: who.name.clone(),
            groups: who.groups(&args.group)?,
        },
    };
    let made = cluster.create(&object).await?;
    say(&format!(
        "{} created by {}, until {until}. Whether the policies let it count: tidegate explain {} -n {}",
        named(&made),
        who.name,
        args.application,
        cluster.namespace
    ))
}
