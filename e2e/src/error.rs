//! What can go wrong in the harness. Owns the crate's one error type; knows no other module.

use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a caller should take an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May pass when tried again.
    Transient,
    /// Something was not there in time.
    Waiting,
    /// Stays until somebody changes the machine or the call.
    Terminal,
    /// The harness itself is wrong.
    Bug,
}

/// A failure of the harness; the message names the part, the cause and where to look.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}; is it installed and executable?")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command ended with an error.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it wrote.
        stderr: String,
    },
    /// A long-running part ended or did not become ready.
    #[error("{part}: {message}; log {log}, its last lines:\n{tail}", log = log.display())]
    Part {
        /// The part: etcd, kube-apiserver, ...
        part: String,
        /// What was expected of it.
        message: String,
        /// Its log file.
        log: PathBuf,
        /// The end of that log.
        tail: String,
    },
    /// Something awaited did not come.
    #[error("waited {seconds} s for {what}; last seen: {last}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The last state seen.
        last: String,
    },
    /// The API server or its client refused.
    #[error("{what}: {message}")]
    Api {
        /// What was asked.
        what: String,
        /// The answer.
        message: String,
    },
    /// The machine lacks something.
    #[error("{0}")]
    Setup(String),
    /// The harness itself is wrong.
    #[error("harness bug: {0}")]
    Bug(String),
}

impl Error {
    /// How a caller should take it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Api { .. } | Self::Command { .. } => Class::Transient,
            Self::Timeout { .. } | Self::Part { .. } => Class::Waiting,
            Self::File { .. } | Self::Start { .. } | Self::Setup(_) => Class::Terminal,
            Self::Bug(_) => Class::Bug,
        }
    }

    /// A short name for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "FileUnusable",
            Self::Start { .. } => "ProgramMissing",
            Self::Command { .. } => "CommandFailed",
            Self::Part { .. } => "PartFailed",
            Self::Timeout { .. } => "TimedOut",
            Self::Api { .. } => "ApiRefused",
            Self::Setup(_) => "SetupIncomplete",
            Self::Bug(_) => "HarnessBug",
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// For `map_err` on calls of the API server.
    pub(crate) fn api<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Self + use<E> {
        let what = what.to_owned();
        move |error| Self::Api {
            what,
            message: error.to_string(),
        }
    }
}
