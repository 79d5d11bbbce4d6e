//! Reduction of a live object to the little that drift detection and health need (semantics.md, Drift 1 and 2).
//!
//! When somebody edits, scales, force-applies or removes a field of ours, our managedFields entry loses that path.
//! So the digest is over the *set of paths* of our Apply entry, with the scalar values there (they change without an
//! ownership change only through admission or a writer that borrows our manager's name). Containers count as present:
//! a container that is a leaf is either atomic, and leaves our set when another changes it, or was applied empty.

use std::sync::Arc;

use serde_json::Value;
use tidegate_api::names;

use crate::additions::foreign;
use crate::digest::{DigestKey, Digester};
use crate::health::expressions::HealthRule;
use crate::health::{Health, HealthStatus, assess_by};
use crate::managed::{Fields, our_fields, step};
use crate::object::ObjectId;
use crate::pointer::{self, Below, Segments};

/// What is kept of a live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRecord {
    /// UID.
    pub uid: String,
    /// Resource version, opaque.
    pub resource_version: String,
    /// Digest of what we own; `None` when our manager has no Apply entry left.
    pub ours: Option<String>,
    /// What people own beside our fields: see [`crate::additions::foreign`].
    pub foreign: Vec<String>,
    /// JSON pointers that both leave out. Records that leave out different fields cannot be compared.
    pub ignored: Vec<String>,
    /// Fingerprint of the expressions that judged its health; `None` for the rules of kinds.
    pub judged_by: Option<String>,
    /// Health of the object by itself.
    pub health: HealthStatus,
    /// Why it is not healthy; empty when it is.
    pub message: String,
    /// True while a deletion waits for finalizers.
    pub deleting: bool,
    /// `tidegate.io/hold`: until when and why corrections are paused.
    pub hold: Option<String>,
    /// Annotation `tidegate.io/owner`: a hint, never proof.
    pub owner: Option<String>,
    /// Manager and time of the newest foreign write, for the message about a drift.
    pub last_foreign_manager: Option<String>,
}

/// What an Application says of a live object beside its body.
#[derive(Clone, Debug, Default)]
pub struct Lens {
    /// JSON pointers of fields that others may set.
    pub ignored: Arc<[String]>,
    /// The expressions that judge its health.
    pub health: Option<Arc<HealthRule>>,
}

impl Lens {
    /// True when a record was made by this rule of health.
    pub fn judged(&self, record: &LiveRecord) -> bool {
        record.judged_by.as_deref() == self.health.as_ref().map(|rule| rule.fingerprint())
    }
}

/// A break-glass hold on one live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When it ends by itself.
    pub until: jiff::Timestamp,
    /// Why, as its author wrote it.
    pub reason: String,
}

impl LiveRecord {
    /// The hold that is in force. One without a readable end is none: a break-glass must expire.
    pub fn held(&self, now: jiff::Timestamp) -> Option<Hold> {
        let (until, reason) = self.hold.as_deref()?.trim().split_once(char::is_whitespace)?;
        let until: jiff::Timestamp = until.parse().ok()?;
        (until > now).then(|| Hold {
            until,
            reason: reason.trim().to_owned(),
        })
    }
}

/// Reduces an object as served. `None` when it has no identity.
///
/// `ignored` are the JSON pointers of fields that others may set; they are left out of what drift is seen by.
pub fn reduce(
    object: &Value,
    key: &DigestKey,
    now: jiff::Timestamp,
    ignored: &[String],
) -> Option<(ObjectId, LiveRecord)> {
    reduce_by(None, object, key, now, ignored)
}

/// As [`reduce`], with the health that these expressions tell.
pub fn reduce_by(
    rule: Option<&HealthRule>,
    object: &Value,
    key: &DigestKey,
    now: jiff::Timestamp,
    ignored: &[String],
) -> Option<(ObjectId, LiveRecord)> {
    let id = ObjectId::of(object)?;
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    let Health { status, message, .. } = assess_by(rule, object, now);
    let record = LiveRecord {
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ours: ours_digest(object, key, ignored),
        foreign: foreign(object, key, ignored),
        ignored: ignored.to_vec(),
        judged_by: rule.map(|rule| rule.fingerprint().to_owned()),
        health: status,
        message: if status == HealthStatus::Current {
            String::new()
        } else {
            message
        },
        deleting: metadata["deletionTimestamp"].is_string(),
        hold: metadata["annotations"][names::ANNOTATION_HOLD]
            .as_str()
            .map(str::to_owned),
        owner: metadata["annotations"][names::ANNOTATION_OWNER]
            .as_str()
            .map(str::to_owned),
        last_foreign_manager: last_foreign_manager(metadata),
    };
    Some((id, record))
}

/// Digest of the paths of our Apply entry and the scalar values there.
pub fn ours_digest(object: &Value, key: &DigestKey, ignored: &[String]) -> Option<String> {
    let fields = our_fields(object)?;
    let mut digester = key.start();
    let ignored: Vec<Segments> = ignored.iter().filter_map(|text| pointer::parse(text)).collect();
    walk(fields, Some(object), &Below::root(&ignored), &mut digester);
    Some(digester.finish())
}

fn walk(fields: &Fields, live: Option<&Value>, ignored: &Below<'_>, digester: &mut Digester) {
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort_unstable();
    for key in keys {
        let Some(below) = seen(fields, key, live, ignored) else {
            continue;
        };
        digester.part(key.as_bytes());
        if key == "." {
            continue;
        }
        let child = live.and_then(|live| step(live, key));
        match fields[key].as_object().filter(|children| !children.is_empty()) {
            Some(children) => {
                digester.part(b"{");
                walk(children, child, &below, digester);
                digester.part(b"}");
            }
            None => leaf(child, digester),
        }
    }
}

/// What is ignored below an element; `None` when all of it is. A container that only led to ignored fields goes with
/// them: it is not sent either.
fn seen<'a>(fields: &Fields, key: &str, live: Option<&Value>, ignored: &Below<'a>) -> Option<Below<'a>> {
    let below = ignored.step(key, live)?;
    let children = fields[key].as_object().filter(|children| !children.is_empty());
    let (false, Some(children)) = (below.is_empty(), children) else {
        return Some(below);
    };
    let child = live.and_then(|live| step(live, key));
    let mut inner = children.keys().filter(|key| *key != ".").peekable();
    let any = inner.peek().is_none() || inner.any(|key| seen(children, key, child, &below).is_some());
    any.then_some(below)
}

fn leaf(value: Option<&Value>, digester: &mut Digester) {
    match value {
        None => digester.part(b"absent"),
        Some(Value::Object(_) | Value::Array(_)) => digester.part(b"present"),
        Some(scalar) => digester.value(scalar),
    };
}

/// Manager of the newest entry that is not ours and writes the object itself.
fn last_foreign_manager(metadata: &Value) -> Option<String> {
    let entries = metadata["managedFields"].as_array()?;
    entries
        .iter()
        .filter(|e| e["manager"] != names::FIELD_MANAGER && e["subresource"].as_str() != Some("status"))
        .max_by_key(|e| e["time"].as_str().unwrap_or_default())
        .and_then(|e| e["manager"].as_str())
        .map(str::to_owned)
}
