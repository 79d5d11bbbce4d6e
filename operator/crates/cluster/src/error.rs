//! The one error of this room, and what an API server's refusal means.
//!
//! Owns the classification. May not retry: that is [`crate::call`]'s.

use serde_json::Value;

/// What the caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// May pass by itself: retry with backoff.
    Transient,
    /// Something else has to happen first (a CRD, a namespace, a quota): retry at the normal interval.
    Waiting,
    /// Will not change until a person changes the manifest, the spec or the rights.
    Terminal,
    /// Our own mistake.
    Bug,
}

/// One cause in a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCause {
    /// Path of the field as the server writes it; empty when it names none.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// An API server's refusal: its `Status` object, reduced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP code.
    pub code: u16,
    /// `reason` of the Status; empty when the answer was no Status.
    pub status_reason: String,
    /// `message` of the Status, or the start of the body.
    pub message: String,
    /// `details.causes`.
    pub causes: Vec<StatusCause>,
    /// True when `details.name` is there: the answer is about an object, not about an unknown path.
    pub names_object: bool,
    /// Kind in `details.kind`, plural as the server has it.
    pub details_kind: String,
    /// True when core says that only immutable fields are to blame.
    pub immutable: bool,
}

impl Refusal {
    /// Reads an answer with an error code.
    pub fn read(code: u16, body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |pointer: &str| {
            let value = status.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let causes = status.pointer("/details/causes").and_then(Value::as_array);
        let causes = causes.into_iter().flatten().map(|cause| StatusCause {
            field: cause["field"].as_str().unwrap_or_default().to_owned(),
            message: cause["message"].as_str().unwrap_or_default().to_owned(),
        });
        let message = match text("/message") {
            message if message.is_empty() => {
                String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
            }
            message => message,
        };
        Self {
            code,
            status_reason: text("/reason"),
            message: bounded(&message),
            causes: causes.collect(),
            names_object: !text("/details/name").is_empty(),
            details_kind: text("/details/kind"),
            immutable: tidegate_core::ownership::immutable_is_proven(&status),
        }
    }

    /// What to do about it, and the CamelCase cause.
    pub fn verdict(&self) -> (Class, &'static str) {
        let message = self.message.as_str();
        match self.code {
            500 if message.contains("failed to create typed") => (Class::Terminal, "Invalid"),
            500 if message.contains("failed calling webhook") => (Class::Transient, "WebhookUnavailable"),
            _ if denied_by_admission(message) => (Class::Terminal, "AdmissionDenied"),
            401 => (Class::Transient, "Unauthorized"),
            403 if message.contains("being terminated") => (Class::Waiting, "NamespaceTerminating"),
            403 if message.contains("exceeded quota") => (Class::Waiting, "QuotaExceeded"),
            403 => (Class::Terminal, "Forbidden"),
            404 if self.details_kind == "namespaces" => (Class::Waiting, "NamespaceMissing"),
            404 if self.names_object => (Class::Transient, "NotFound"),
            404 => (Class::Waiting, "KindMissing"),
            409 => (Class::Transient, "Conflict"),
            410 => (Class::Transient, "Expired"),
            413 => (Class::Terminal, "TooLarge"),
            422 if self.uid_differs() => (Class::Transient, "Conflict"),
            422 if self.immutable => (Class::Terminal, "Immutable"),
            429 => (Class::Transient, "TooManyRequests"),
            400..=499 => (Class::Terminal, "Invalid"),
            _ => (Class::Transient, "ServerError"),
        }
    }

    /// True when the server says that the object there has another uid than the request.
    pub fn uid_differs(&self) -> bool {
        self.message.contains("UID in precondition") || self.causes.iter().any(|c| c.field == "metadata.uid")
    }

    /// True when a read or a delete finds nothing. Only creations look at the namespace, so that a missing namespace
    /// here is the object itself.
    pub fn nothing_there(&self) -> bool {
        self.code == 404 && self.names_object
    }

    /// True for the answer to a write about an object that is not there; a missing namespace is another matter.
    pub fn object_missing(&self) -> bool {
        self.code == 404 && self.names_object && self.details_kind != "namespaces"
    }

    /// Fields to blame with their messages; the whole message under no field when the server names none.
    pub fn complaints(&self) -> Vec<(Option<String>, String)> {
        if let Some(found) = typed_patch_complaints(&self.message) {
            return found;
        }
        if self.code != 422 || self.causes.is_empty() {
            return vec![(None, self.message.clone())];
        }
        let complaint = |cause: &StatusCause| {
            let field = (!cause.field.is_empty() && cause.field != "<nil>").then(|| cause.field.clone());
            (field, bounded(&cause.message))
        };
        self.causes.iter().take(20).map(complaint).collect()
    }
}

fn denied_by_admission(message: &str) -> bool {
    (message.contains("admission webhook") && message.contains("denied the request"))
        || message.contains("ValidatingAdmissionPolicy")
}

/// `failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in
/// schema`, or several of them after `errors:`, one a line.
fn typed_patch_complaints(message: &str) -> Option<Vec<(Option<String>, String)>> {
    let rest = &message[message.find("failed to create typed")?..];
    let (_, rest) = rest.split_once("): ")?;
    let rest = rest.strip_prefix("errors:").unwrap_or(rest);
    let lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
    let found: Vec<_> = lines
        .take(20)
        .map(
            |line| match line.strip_prefix('.').and_then(|l| l.split_once(": ")) {
                Some((field, cause)) => (Some(field.to_owned()), cause.to_owned()),
                None => (None, line.to_owned()),
            },
        )
        .collect();
    (!found.is_empty()).then_some(found)
}

/// Keeps a server's text short enough for a status.
fn bounded(text: &str) -> String {
    const MOST: usize = 1000;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Everything that can go wrong between us and an API server. Names the call; the caller adds the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kubeconfig or the in-cluster settings cannot be used.
    #[error(
        "cannot connect to Kubernetes: {cause}; check --kubeconfig, KUBECONFIG or the pod's service account"
    )]
    Config {
        /// What is wrong with it.
        cause: String,
    },
    /// No answer: connection, TLS or credentials plugin.
    #[error("{call}: the API server cannot be reached: {cause}")]
    Unreachable {
        /// Verb and path.
        call: String,
        /// The chain of causes.
        cause: String,
    },
    /// No whole answer in time.
    #[error("{call}: no answer from the API server within {seconds} s")]
    Timeout {
        /// Verb and path.
        call: String,
        /// The deadline, seconds.
        seconds: u64,
    },
    /// An answer over the cap.
    #[error("{call}: the answer is larger than {cap} bytes, and was not read")]
    AnswerTooLarge {
        /// Verb and path.
        call: String,
        /// The cap in bytes.
        cap: usize,
    },
    /// An answer that is not what the API promises.
    #[error("{call}: the answer cannot be read: {cause}")]
    Undecodable {
        /// Verb and path.
        call: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The API server said no.
    #[error("{call}: {} (HTTP {})", refusal.message, refusal.code)]
    Refused {
        /// Verb and path.
        call: String,
        /// What it said.
        refusal: Box<Refusal>,
    },
    /// This replica may not write now.
    #[error("{call}: not sent, since this replica does not hold the lease for certain")]
    NotLeader {
        /// Verb and path.
        call: String,
    },
    /// Watches that did not get in sync.
    #[error("not in sync after {seconds} s: {kinds}")]
    NotSynced {
        /// Kinds with their last failure.
        kinds: String,
        /// How long was waited, seconds.
        seconds: u64,
    },
    /// Could not make a request.
    #[error("{call}: cannot make the request: {cause}")]
    Request {
        /// Verb and path.
        call: String,
        /// Why.
        cause: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Config { .. } | Self::AnswerTooLarge { .. } => Class::Terminal,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotLeader { .. } => Class::Transient,
            Self::Undecodable { .. } => Class::Transient,
            Self::Refused { refusal, .. } => refusal.verdict().0,
            Self::NotSynced { .. } => Class::Waiting,
            Self::Request { .. } => Class::Bug,
        }
    }

    /// CamelCase cause: condition reason, event reason and metric label at once.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Config { .. } => "KubeConfigInvalid",
            Self::Unreachable { .. } => "ApiServerUnreachable",
            Self::Timeout { .. } => "ApiServerTimeout",
            Self::AnswerTooLarge { .. } => "AnswerTooLarge",
            Self::Undecodable { .. } => "AnswerUndecodable",
            Self::Refused { refusal, .. } => refusal.verdict().1,
            Self::NotLeader { .. } => "NotLeader",
            Self::NotSynced { .. } => "CacheNotSynced",
            Self::Request { .. } => "RequestInvalid",
        }
    }

    /// The API server's refusal, when it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// HTTP code of a refusal, 0 otherwise.
    pub fn code(&self) -> u16 {
        self.refusal().map_or(0, |r| r.code)
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
