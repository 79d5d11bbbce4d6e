//! `tidegate lint`: what is wrong in policies and Applications, before they are sent to a cluster. Reads files and nothing
//! else; what the API server would say of fields is said here too, from the same schemas.

mod examine;
mod files;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// What to look at.
#[derive(Args)]
#[command(after_help = "Examples:
  tidegate lint deploy/policies
  tidegate lint policy.yaml && kubectl apply -f policy.yaml")]
pub(crate) struct Options {
    /// Files, or directories of which every .yaml, .yml and .json file is read.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// Prints what is wrong, one line each. The exit code is 1 for problems and 2 where something cannot be read.
pub(crate) fn lint(options: &Options) -> ExitCode {
    let mut lines = Vec::new();
    let mut unreadable = false;
    let mut seen = examine::Seen::default();
    for found in files::gather(&options.paths) {
        match found.and_then(|path| files::read(&path)) {
            Ok(file) => unreadable |= examine::examine(&file, &mut seen, &mut lines),
            Err(message) => {
                unreadable = true;
                lines.push(message);
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for line in &lines {
        // Nothing is left to be done when standard output is closed.
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(std::io::stderr(), "{}", seen.summary(lines.len()));
    match (unreadable, lines.is_empty()) {
        (true, _) => ExitCode::from(2),
        (false, false) => ExitCode::from(1),
        (false, true) => ExitCode::SUCCESS,
    }
}
