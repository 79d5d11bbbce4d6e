//! The command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{self, EXIT_CODES, Failure, Verb};
use crate::settings::RunSettings;
use crate::{lint, run};

/// GitOps release operator for Kubernetes.
#[derive(Parser)]
#[command(name = "tidegate", version, about, long_about = None, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator: in a cluster, or outside of it with a kubeconfig.
    Run(Box<RunSettings>),
    /// Prints the CustomResourceDefinitions as JSON documents, for `kubectl apply -f -`.
    Crds,
    /// Finds what is wrong in policies and Applications before they are sent to a cluster.
    Lint(lint::Options),
    #[command(flatten)]
    Person(Box<Verb>),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The operator could not start or go on.
    #[error(transparent)]
    Operator(#[from] run::Error),
    /// A person's verb.
    #[error(transparent)]
    Person(#[from] Failure),
}

impl Error {
    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Operator(_) => 1,
            Self::Person(failure) => failure.code(),
        }
    }
}

/// Carries a command out.
pub(crate) fn execute(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Run(settings) => run::run(*settings).inspect_err(|error| {
            tracing::error!(%error, "tidegate stops");
        })?,
        Command::Crds => print_crds()?,
        Command::Lint(options) => return Ok(lint::lint(&options)),
        Command::Person(verb) => command::run(*verb)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error why the command failed.
pub(crate) fn complain(error: &Error) {
    // Nothing is left to be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "tidegate: {error}");
}

fn print_crds() -> Result<(), run::Error> {
    let mut out = std::io::stdout().lock();
    for crd in tidegate_api::crds::all() {
        let text = serde_json::to_string_pretty(&crd).map_err(|e| run::Error::Output(e.to_string()))?;
        writeln!(out, "---\n{text}").map_err(|e| run::Error::Output(e.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples_and_says_what_it_is() {
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            if matches!(name, "run" | "crds") {
                continue;
            }
            assert!(verb.get_about().is_some(), "{name}");
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                after.contains(&format!("tidegate {name}")),
                "{name} has no example"
            );
        }
    }
}
