//! `cargo run -p xtask -- generate [--check]`: writes every generated file of the repository, or says which are stale.
//!
//! Owns the list of generated files and the tables they come from (RBAC rules, chart values). The custom resources
//! come from the `api` room. Touches files below the workspace root only, and starts nothing but `helm template`.

mod admission_files;
mod crd_files;
#[cfg(test)]
mod documents_tests;
mod error;
mod generated;
mod install;
mod rbac;
mod rbac_files;
mod reference;
mod values;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::generated::Generated;

#[derive(Parser)]
#[command(about = "Maintenance tasks of the Tidegate repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write CRDs, RBAC, admission policies, the chart's value schema, the reference and the plain install manifest.
    Generate {
        /// Write nothing; exit 1 and name each file that is not up to date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let Task::Generate { check } = Arguments::parse().task;
    match generate(check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            say(&format!("not up to date: {}", stale.join(", ")));
            say(
                "run `cargo run -p xtask -- generate` and commit the result; these files are never edited by hand",
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Names of the stale files: always empty when they were written.
fn generate(check: bool) -> Result<Vec<String>, Error> {
    let root = workspace_root();
    let crds = crd_files::documents()?;
    let mut files = Generated::default();
    crd_files::add(&mut files, &crds);
    rbac_files::add(&mut files);
    admission_files::add(&mut files);
    files.add("charts/tidegate/values.schema.json", values::schema_json()?);
    files.add("docs/reference.md", reference::markdown(&crds));
    let mut stale = files.settle(&root, check)?;

    // Last, because it is made from the chart's files on disk.
    let mut manifest = Generated::default();
    manifest.add("manifests/install.yaml", install::manifest(&root)?);
    stale.extend(manifest.settle(&root, check)?);
    Ok(stale)
}

/// Two folders above this crate: cargo says where the crate is, whatever the current directory.
fn workspace_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A closed pipe at the other end is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
