//! The command line.

use std::io::Write as _;

use clap::{Parser, Subcommand};

use crate::run;
use crate::settings::RunSettings;

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
}

/// Carries a command out.
pub(crate) fn execute(cli: Cli) -> Result<(), run::Error> {
    match cli.command {
        Command::Run(settings) => run::run(*settings),
        Command::Crds => print_crds(),
    }
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
