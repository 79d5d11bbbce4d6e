//! The command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::settings::RunSettings;
use crate::{lint, run};

/// GitOps release operator for Kubernetes.
#[derive(Parser)]
#[command(name = "tidegate", version, about, long_about = None)]
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
}

/// Carries a command out.
pub(crate) fn execute(cli: Cli) -> Result<ExitCode, run::Error> {
    match cli.command {
        Command::Run(settings) => run::run(*settings)?,
        Command::Crds => print_crds()?,
        Command::Lint(options) => return Ok(lint::lint(&options)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error why the command failed.
pub(crate) fn complain(error: &run::Error) {
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
