//! What a failure is called: object, field, file and line, cause, and what to do next.

use tidegate_core::desired::DesiredObject;
use tidegate_core::object::ObjectId;
use tidegate_core::problem::Problem;
use tidegate_core::recreate::way_out;

use crate::error::{Class, Error, Refusal};

/// Why an object was not applied or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The first thing wrong.
    pub problem: Box<Problem>,
    /// What else the server named about the same object.
    pub more: Vec<Problem>,
    /// What to do about it.
    pub class: Class,
}

impl Failure {
    /// All that is wrong with the object.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&*self.problem).chain(&self.more)
    }

    pub(super) fn one(
        id: &ObjectId,
        object: Option<&DesiredObject>,
        class: Class,
        reason: &'static str,
        message: String,
    ) -> Self {
        Self {
            problem: Box::new(problem(id, object, reason, None, message)),
            more: Vec::new(),
            class,
        }
    }

    pub(super) fn bug(id: &ObjectId, what: &str) -> Self {
        let message = format!("{what}; this is a fault of Tidegate, please report it");
        Self::one(id, None, Class::Bug, "Bug", message)
    }

    pub(super) fn of(id: &ObjectId, object: Option<&DesiredObject>, error: &Error) -> Self {
        let (class, reason) = (error.class(), error.reason());
        let Some(refusal) = error.refusal() else {
            return Self::one(id, object, class, reason, error.to_string());
        };
        let next = next_step(refusal, reason, object);
        let mut problems = refusal.complaints().into_iter().map(|(field, message)| {
            let message = format!("{message}{next}");
            problem(id, object, reason, field, message)
        });
        let first = problems.next();
        Self {
            problem: Box::new(first.unwrap_or_else(|| problem(id, object, reason, None, error.to_string()))),
            more: problems.collect(),
            class,
        }
    }
}

fn problem(
    id: &ObjectId,
    object: Option<&DesiredObject>,
    reason: &'static str,
    field: Option<String>,
    message: String,
) -> Problem {
    Problem {
        reason,
        object: id.to_string(),
        // Only the object's own line is known here: the line map of its fields is not kept past the checks.
        location: object.map(|o| o.location.clone()),
        field,
        message,
    }
}

fn next_step(refusal: &Refusal, reason: &str, object: Option<&DesiredObject>) -> &'static str {
    match reason {
        "Forbidden" => {
            "; grant this right to the user that is named: the Application's serviceAccountName, else Tidegate's own (rbac of the chart)"
        }
        "NamespaceMissing" => "; add the Namespace to the source or create it",
        "NamespaceTerminating" => "; it is tried again when the namespace is gone",
        "QuotaExceeded" => "; raise the quota or lower the request",
        "KindMissing" => "; install the CustomResourceDefinition of this kind or add it to the source",
        "AdmissionDenied" => "; change the object or ask the owner of that policy",
        "Immutable" => object.map_or("", way_out),
        "WebhookUnavailable" => "; it is tried again",
        "Invalid" if refusal.code >= 500 => "; correct the field",
        _ => "",
    }
}
