//! The one error type of the room, its classes and its condition reasons. Owns no behaviour.

use std::time::Duration;

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// May pass by itself: retry with backoff.
    Transient,
    /// Waits for somebody else (nothing has been pushed yet): retry at the normal interval.
    Waiting,
    /// Will not change until a person changes the spec, the Secret or the repository.
    Terminal,
    /// Our own mistake.
    Bug,
}

/// Everything that can go wrong between a repository URL and a blob. URLs in messages never hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL is not one we speak, or not one we dare to.
    #[error("repository URL {url:?} is refused: {why}")]
    InvalidUrl {
        /// The URL as written, credentials cut out.
        url: String,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// The Secret does not hold what it must.
    #[error("credentials are not usable, key {field:?}: {why}")]
    InvalidCredentials {
        /// Key of the Secret.
        field: &'static str,
        /// What is wrong and what to put there.
        why: String,
    },
    /// The Secret with the keys that may sign does not hold what it must.
    #[error("keyring is not usable, key {field:?}: {why}")]
    InvalidKeyring {
        /// Key of the Secret; empty for the whole.
        field: String,
        /// What is wrong, with its line, and what to put there.
        why: String,
    },
    /// The reference asked for cannot exist (bad branch name, bad range, short commit).
    #[error("git reference {reference:?} is not valid: {why}")]
    InvalidRef {
        /// As written in `spec.ref`.
        reference: String,
        /// What is wrong.
        why: String,
    },
    /// No connection, name not found, or connection lost.
    #[error("{url} is unreachable: {why}; check the address, DNS and network policies")]
    Unreachable {
        /// Repository.
        url: String,
        /// Cause.
        why: String,
    },
    /// The deadline of the whole operation passed.
    #[error("{url} did not finish within {after:?}; raise spec.timeout if the server is just slow")]
    Timeout {
        /// Repository.
        url: String,
        /// `spec.timeout`.
        after: Duration,
    },
    /// 401, 403, or no ssh key accepted.
    #[error("{url} refused the credentials ({why}); check the Secret named in spec.secretRef")]
    AuthenticationFailed {
        /// Repository.
        url: String,
        /// Cause, for example the status code.
        why: String,
    },
    /// The server knows no such repository (or hides it from these credentials).
    #[error("{url} does not exist on the server, or these credentials may not see it ({why})")]
    RepositoryNotFound {
        /// Repository.
        url: String,
        /// Cause.
        why: String,
    },
    /// TLS could not be established.
    #[error("TLS with {url} failed: {why}; check ca.crt, tls.crt and tls.key in the Secret")]
    TlsFailed {
        /// Repository.
        url: String,
        /// Cause.
        why: String,
    },
    /// known_hosts has no key for this host.
    #[error(
        "ssh host key of {url} is not in known_hosts; it offers {offered}; if that is right, add it to the Secret"
    )]
    HostKeyUnknown {
        /// Repository.
        url: String,
        /// Type and SHA256 fingerprint offered.
        offered: String,
    },
    /// known_hosts has another key for this host.
    #[error(
        "ssh host key of {url} differs from known_hosts (offered: {offered}); it was rotated or somebody is in between"
    )]
    HostKeyMismatch {
        /// Repository.
        url: String,
        /// Type and SHA256 fingerprint offered.
        offered: String,
    },
    /// A redirect leads to another origin; credentials go to the exact origin only.
    #[error(
        "{url} redirects to {to}, another origin, which is not followed; put that URL into spec.url if it is right"
    )]
    RedirectRefused {
        /// Repository.
        url: String,
        /// Target, without query and credentials.
        to: String,
    },
    /// The server answered with an error of its own (5xx, 429, `ERR` line, message of upload-pack).
    #[error("{url} answered with an error: {why}")]
    ServerError {
        /// Repository.
        url: String,
        /// The server's words, escaped and cut.
        why: String,
    },
    /// What answers is not a git server we understand.
    #[error("{url} does not speak the smart git protocol: {why}; check spec.url")]
    Protocol {
        /// Repository.
        url: String,
        /// Cause.
        why: String,
    },
    /// The branch, tag or name does not exist (any more).
    #[error("{url} has no {reference}; what was applied last stays; correct spec.ref or push it")]
    RefNotFound {
        /// Repository.
        url: String,
        /// What was asked for, in words.
        reference: String,
    },
    /// The pinned commit is not in the repository.
    #[error("{url} has no commit {commit}, or the server does not give it out")]
    CommitNotFound {
        /// Repository.
        url: String,
        /// 40 hex digits.
        commit: String,
    },
    /// The reference leads to a blob or tree.
    #[error("{reference} of {url} is a {kind}, not a commit")]
    NotACommit {
        /// Repository.
        url: String,
        /// As asked for.
        reference: String,
        /// Kind of object.
        kind: String,
    },
    /// Nothing has been pushed yet.
    #[error("{url} is empty: nothing has been pushed yet")]
    EmptyRepository {
        /// Repository.
        url: String,
    },
    /// A byte or count cap.
    #[error("{url}: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// Repository.
        url: String,
        /// What is too large, with its path or object where known.
        what: String,
        /// Limit, in bytes or pieces as `what` says.
        limit: u64,
    },
    /// The server advertises too many references.
    #[error(
        "{url} advertises references beyond the limit of {limit} {unit}; delete stale branches or raise the limit"
    )]
    TooManyRefs {
        /// Repository.
        url: String,
        /// Limit.
        limit: u64,
        /// `pieces` or `bytes`.
        unit: &'static str,
    },
    /// The answer ended too early.
    #[error("the answer of {url} was cut off: {why}")]
    Truncated {
        /// Repository.
        url: String,
        /// Where.
        why: String,
    },
    /// An object or pack is broken.
    #[error(
        "git data of {url} is corrupt: {why}; the mirror is cloned anew, if it stays run git fsck on the server"
    )]
    Corrupt {
        /// Repository.
        url: String,
        /// What is broken.
        why: String,
    },
    /// The path does not exist in the commit, or is not a directory.
    #[error("path {path:?} in {url} at {commit}: {why}")]
    PathNotFound {
        /// Repository.
        url: String,
        /// As asked for.
        path: String,
        /// 40 hex digits.
        commit: String,
        /// Cause.
        why: String,
    },
    /// A tree holds a name that no honest git makes.
    #[error("{url} at {commit} holds a file name that is refused, {path:?}: {why}; rename it in git")]
    UnsafeName {
        /// Repository.
        url: String,
        /// 40 hex digits, or the tree id.
        commit: String,
        /// Path with the name, escaped.
        path: String,
        /// Cause.
        why: String,
    },
    /// The mirror on disk is gone or lacks the commit: fetch again.
    #[error("the mirror of {url} has no {what} (cache lost or renewed); it comes back with the next fetch")]
    MirrorLost {
        /// Repository.
        url: String,
        /// What is missing.
        what: String,
    },
    /// No space left for the mirror.
    #[error("no space left in the git cache while fetching {url}: {why}; enlarge the cache volume")]
    DiskFull {
        /// Repository.
        url: String,
        /// Cause.
        why: String,
    },
    /// The cache directory cannot be used.
    #[error("the git cache cannot be used: {why}")]
    Storage {
        /// Path and cause.
        why: String,
    },
    /// The caller lost interest.
    #[error("the operation on {url} was cancelled")]
    Cancelled {
        /// Repository.
        url: String,
    },
    /// A worker died: our own mistake.
    #[error("internal error in the git room: {why}")]
    Bug {
        /// Cause.
        why: String,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::ServerError { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::MirrorLost { .. }
            | Self::DiskFull { .. }
            | Self::Storage { .. }
            | Self::Cancelled { .. } => Class::Transient,
            Self::RefNotFound { .. }
            | Self::CommitNotFound { .. }
            | Self::EmptyRepository { .. }
            | Self::RepositoryNotFound { .. }
            | Self::AuthenticationFailed { .. } => Class::Waiting,
            Self::InvalidUrl { .. }
            | Self::InvalidCredentials { .. }
            | Self::InvalidKeyring { .. }
            | Self::InvalidRef { .. }
            | Self::TlsFailed { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyMismatch { .. }
            | Self::RedirectRefused { .. }
            | Self::Protocol { .. }
            | Self::NotACommit { .. }
            | Self::TooLarge { .. }
            | Self::TooManyRefs { .. }
            | Self::PathNotFound { .. }
            | Self::UnsafeName { .. } => Class::Terminal,
            Self::Bug { .. } => Class::Bug,
        }
    }

    /// Condition reason, event reason and metric label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidUrl { .. } => "InvalidURL",
            Self::InvalidCredentials { .. } => "InvalidCredentials",
            Self::InvalidKeyring { .. } => "InvalidKeyring",
            Self::InvalidRef { .. } => "InvalidReference",
            Self::Unreachable { .. } => "Unreachable",
            Self::Timeout { .. } => "Timeout",
            Self::AuthenticationFailed { .. } => "AuthenticationFailed",
            Self::RepositoryNotFound { .. } => "RepositoryNotFound",
            Self::TlsFailed { .. } => "TLSFailed",
            Self::HostKeyUnknown { .. } => "HostKeyUnknown",
            Self::HostKeyMismatch { .. } => "HostKeyMismatch",
            Self::RedirectRefused { .. } => "RedirectRefused",
            Self::ServerError { .. } => "ServerError",
            Self::Protocol { .. } => "NotAGitServer",
            Self::RefNotFound { .. } => "ReferenceNotFound",
            Self::CommitNotFound { .. } => "CommitNotFound",
            Self::NotACommit { .. } => "NotACommit",
            Self::EmptyRepository { .. } => "EmptyRepository",
            Self::TooLarge { .. } => "TooLarge",
            Self::TooManyRefs { .. } => "TooManyReferences",
            Self::Truncated { .. } => "Truncated",
            Self::Corrupt { .. } => "Corrupt",
            Self::PathNotFound { .. } => "PathNotFound",
            Self::UnsafeName { .. } => "UnsafeFileName",
            Self::MirrorLost { .. } => "MirrorLost",
            Self::DiskFull { .. } => "DiskFull",
            Self::Storage { .. } => "StorageFailed",
            Self::Cancelled { .. } => "Cancelled",
            Self::Bug { .. } => "InternalError",
        }
    }
}
