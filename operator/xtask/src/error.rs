//! What can go wrong while generating. Every message says what to do next.

use std::path::PathBuf;

/// Failure of a task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file of the repository could not be read or written.
    #[error("{action} {path}: {source}; check that the checkout is complete and writable")]
    File {
        /// `cannot read` or `cannot write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause from the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A value did not serialise: a bug in the types it came from.
    #[error("{what} does not serialise to JSON: {source}; this is a bug in its Rust type")]
    Json {
        /// The value.
        what: &'static str,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// No helm binary.
    #[error(
        "helm is needed for manifests/install.yaml and was found neither in TIDEGATE_HELM, nor in e2e/.cache/bin, \
         nor in PATH; run `cargo run -p tidegate-e2e -- build-tools`"
    )]
    NoHelm,
    /// helm did not do its work.
    #[error("`{command}` {outcome}: {output}; the chart in charts/tidegate does not render")]
    Helm {
        /// The command line.
        command: String,
        /// What happened.
        outcome: String,
        /// What it said, bounded.
        output: String,
    },
}
