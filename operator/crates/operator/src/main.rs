//! `tidegate`: `tidegate run` is the operator; the other subcommands are the person's tool.
//!
//! Owns settings and wiring. Decisions about releases belong in `core`.

mod application;
mod calls;
mod cli;
mod http;
mod key;
mod lenses;
mod logging;
mod metrics;
mod policies;
mod policy_feeds;
mod queue;
mod run;
mod settings;
mod signatures;
mod source;
mod stages;
mod standings;
mod state;
mod store;
mod target;
mod targets;
mod verification;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::execute(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "tidegate stops");
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
