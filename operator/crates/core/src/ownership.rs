//! Whose an existing object is, and whether it may be taken over. The owner annotation is a hint that protects
//! others; what we may delete is what the inventory says, never an annotation alone.

use serde_json::Value;
use tidegate_api::application::Adopt;
use tidegate_api::names;

use crate::standing::Claim;
use crate::takeover::{Former, former};

/// `<installation>/<namespace>/<application>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Name of this installation of Tidegate, one per operator namespace.
    pub installation: String,
    /// Namespace of the Application.
    pub namespace: String,
    /// Name of the Application.
    pub application: String,
}

impl Owner {
    /// The annotation's value.
    pub fn annotation(&self) -> String {
        format!("{}/{}/{}", self.installation, self.namespace, self.application)
    }

    /// `<namespace>/<application>`, as messages have it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.application)
    }

    /// Reads the annotation's value.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        Some(Self {
            installation: parts.next()?.to_owned(),
            namespace: parts.next()?.to_owned(),
            application: parts.next()?.to_owned(),
        })
    }
}

/// What to do with an object that exists although this Application has not sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It was ours all along: a crash came between creation and sealing.
    Resume,
    /// Nobody's: take it over, and say from whom.
    Adopt {
        /// Whoever had applied it, for the message.
        from: Former,
    },
    /// Somebody else's, or adoption is switched off.
    Refuse {
        /// CamelCase cause.
        reason: &'static str,
        /// Cause and what to do next.
        message: String,
    },
}

/// Decides about an existing object. `claim` tells what another Application of this installation makes of it.
pub fn decide(live: &Value, ours: &Owner, adopt: Adopt, claim: impl Fn(&Owner) -> Claim) -> Takeover {
    let metadata = &live["metadata"];
    let annotation = metadata["annotations"][names::ANNOTATION_OWNER].as_str();
    let owner = annotation.and_then(Owner::parse);
    if metadata["deletionTimestamp"].is_string() {
        return Takeover::Refuse {
            reason: "Terminating",
            message: "the live object is being deleted; it is created anew when it is gone".to_owned(),
        };
    }
    if owner.as_ref() == Some(ours) && applied_by_us(live) {
        return Takeover::Resume;
    }
    let other = owner.filter(|other| other != ours);
    let Some(other) = other else {
        return unowned(adopt, former(live));
    };
    let said = claim(&other);
    if let Some(why) = refusal(&other, ours, adopt, said) {
        return Takeover::Refuse {
            reason: "OwnershipConflict",
            message: format!(
                "belongs to Application {} of installation {} and is wanted by Application {} of installation {} too; {why}",
                other.name(),
                other.installation,
                ours.name(),
                ours.installation
            ),
        };
    }
    match said {
        // Both are in git: it moves from the one to the other, which adopts nothing that is nobody's.
        Claim::Leaving => Takeover::Adopt { from: of(&other) },
        _ => unowned(adopt, of(&other)),
    }
}

fn of(other: &Owner) -> Former {
    Former {
        by: format!("Application {}", other.name()),
        advice: None,
    }
}

fn unowned(adopt: Adopt, from: Former) -> Takeover {
    if adopt == Adopt::Never {
        return Takeover::Refuse {
            reason: "AlreadyExists",
            message: "exists already and spec.adopt is Never; delete the live object or set spec.adopt to IfUnowned".to_owned(),
        };
    }
    Takeover::Adopt { from }
}

/// Why an object that names another Application as its owner may not be taken from it, and what helps; `None` when it
/// may.
pub fn refusal(other: &Owner, ours: &Owner, adopt: Adopt, claim: Claim) -> Option<&'static str> {
    // What an Application of another installation makes of it cannot be known here: its objects are never taken.
    if other.installation != ours.installation {
        return Some("remove it from one of the two sources");
    }
    match claim {
        Claim::Wanted => Some(
            "remove it from one of the two sources; it is taken over by itself when the other's no longer has it",
        ),
        Claim::Unknown => {
            Some("whether that one still wants it is not known; it is tried again by itself when it is")
        }
        Claim::Gone if adopt != Adopt::Always => {
            Some("that Application is gone: set spec.adopt to Always to take over what it left")
        }
        Claim::Gone | Claim::Leaving | Claim::LetGo => None,
    }
}

/// True when our field manager has an Apply entry on the object.
pub fn applied_by_us(live: &Value) -> bool {
    entries(live).any(|e| e["manager"] == names::FIELD_MANAGER && e["operation"] == "Apply")
}

/// Field managers of the object, without those that only write status.
pub fn managers(live: &Value) -> String {
    let mut names: Vec<&str> = entries(live)
        .filter(|e| e.get("subresource").is_none())
        .filter_map(|e| e["manager"].as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    live["metadata"]["managedFields"].as_array().into_iter().flatten()
}

/// True when *every* cause of a 422 answer is an immutable-field cause and none lies under `metadata`: a wrong uid
/// also answers "field is immutable".
pub fn immutable_is_proven(status: &Value) -> bool {
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let Some(causes) = causes.filter(|c| !c.is_empty()) else {
        return false;
    };
    causes.iter().all(|cause| {
        let message = cause["message"].as_str().unwrap_or_default();
        let field = cause["field"].as_str().unwrap_or("metadata");
        IMMUTABLE.iter().any(|words| message.contains(words)) && !field.starts_with("metadata")
    })
}

/// How the API server says that a field cannot be changed. Any other words prove nothing.
const IMMUTABLE: [&str; 5] = [
    "field is immutable",
    // Addresses of a Service.
    "may not change once set",
    // Role of a RoleBinding or ClusterRoleBinding.
    "cannot change roleRef",
    "updates to statefulset spec for fields other than",
    // Claims.
    "spec is immutable after creation",
];
