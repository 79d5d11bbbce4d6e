//! The `e2e` tool: builds the control plane's parts, keeps a local cluster, plays the demo. Owns the command line only.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidegate_e2e::{Result, local};

mod demo;
mod policy_story;
mod story;

#[derive(Parser)]
#[command(about = "Local Kubernetes control planes for Tidegate: for tests, for a look, for the demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the control plane, kubectl, kwok and helm into e2e/.cache/bin; what is there is left alone.
    BuildTools,
    /// Leaves a local control plane running, with the CRDs; its kubeconfig is e2e/.run/kubeconfig.
    ClusterUp,
    /// Ends what cluster-up left running and removes its data.
    ClusterDown,
    /// Applies crds/ to the cluster of the current KUBECONFIG and makes namespace tidegate-system.
    InstallCrds,
    /// Plays the story of a commit on a cluster of its own. KEEP=1 leaves it up until Ctrl-C.
    Demo,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(carry_out(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::BuildTools => tidegate_e2e::paths::build(&[]),
        Command::ClusterUp => {
            let kubeconfig = local::up().await?;
            say(&format!("cluster up; KUBECONFIG={}", kubeconfig.display()));
            Ok(())
        }
        Command::ClusterDown => {
            local::down()?;
            say("cluster down");
            Ok(())
        }
        Command::InstallCrds => {
            let kubeconfig = std::env::var_os("KUBECONFIG").map(PathBuf::from);
            let kubeconfig = kubeconfig.unwrap_or_else(local::kubeconfig);
            local::install_crds(&kubeconfig)?;
            say(&format!(
                "CRDs and namespace tidegate-system are there, by {}",
                kubeconfig.display()
            ));
            Ok(())
        }
        Command::Demo => demo::play().await,
    }
}

/// One line to whoever looks.
fn say(line: &str) {
    // Nobody reads any more: then nobody misses it.
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}
