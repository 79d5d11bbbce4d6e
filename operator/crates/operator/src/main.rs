//! `tidegate`: `tidegate run` is the operator; the other subcommands are the person's tool.
//!
//! Owns settings and wiring. Decisions about releases belong in `core`.

mod admission;
mod application;
mod calls;
mod cli;
mod command;
mod http;
mod key;
mod lenses;
mod lint;
mod logging;
mod metrics;
mod policies;
mod policy_feeds;
mod policy_status;
mod queue;
mod record_key;
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
        Ok(code) => code,
        Err(error) => {
            cli::complain(&error);
            ExitCode::from(error.code())
        }
    }
}
