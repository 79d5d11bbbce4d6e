//! The person's tool: one file for each verb. Everything is done with the user's own kubeconfig and rights, by the same
//! decisions of `core` as the operator's. Needs no lease and no rights beyond what each verb names.

mod approve;
mod connect;
mod diff;
mod explain;
mod freeze;
mod history;
mod output;
mod override_gates;
mod plan;
mod reconcile;
mod rollback;
mod suspend;
mod times;
mod verify;
mod who;

use clap::Subcommand;

/// What every verb's `--help` says of exit codes.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  refused, not found, not allowed, or found to be wrong
  2  the command line is wrong
  3  not answered in time

Verbs read the kubeconfig as kubectl does and have the rights of its user, no others.";

/// Verbs of people. What each says of itself stands at its arguments.
#[derive(Subcommand)]
pub(crate) enum Verb {
    History(history::Args),
    Explain(explain::Args),
    Plan(plan::Args),
    Verify(verify::Args),
    Diff(diff::Args),
    Approve(approve::Args),
    Override(override_gates::Args),
    Freeze(freeze::Args),
    Unfreeze(freeze::EndArgs),
    Rollback(rollback::Args),
    Suspend(suspend::Args),
    Resume(suspend::ResumeArgs),
    Reconcile(reconcile::Args),
}

/// Why a verb did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Refused, not found, not allowed, or found to be wrong.
    #[error("{0}")]
    No(String),
    /// Not in time.
    #[error("{0}")]
    Late(String),
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::No(_) => 1,
            Self::Late(_) => 3,
        }
    }
}

/// Carries a verb out.
pub(crate) fn run(verb: Verb) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::No(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(async {
        match verb {
            Verb::History(args) => history::run(args).await,
            Verb::Explain(args) => explain::run(args).await,
            Verb::Plan(args) => plan::run(args).await,
            Verb::Verify(args) => verify::run(args).await,
            Verb::Diff(args) => diff::run(args).await,
            Verb::Approve(args) => approve::run(args).await,
            Verb::Override(args) => override_gates::run(args).await,
            Verb::Freeze(args) => freeze::run(args).await,
            Verb::Unfreeze(args) => freeze::end(args).await,
            Verb::Rollback(args) => rollback::run(args).await,
            Verb::Suspend(args) => suspend::run(args).await,
            Verb::Resume(args) => suspend::resume(args).await,
            Verb::Reconcile(args) => reconcile::run(args).await,
        }
    })
}
