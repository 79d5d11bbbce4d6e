//! Reading fields of untrusted JSON: absent or of another type is `None`, text is bounded and free of controls.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(super) fn string<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

pub(super) fn int(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

/// A count in a status: Kubernetes leaves zeros out.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    int(object, pointer).unwrap_or(0)
}

pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn strings<'a>(object: &'a Value, pointer: &str) -> Vec<&'a str> {
    list(object, pointer).iter().filter_map(Value::as_str).collect()
}

/// The condition of one type in `status.conditions`.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|c| string(c, "/type") == Some(kind))
}

/// `status` of a condition: `Some(true)`, `Some(false)`, or `None` for Unknown or nonsense.
pub(super) fn truth(condition: &Value) -> Option<bool> {
    match string(condition, "/status") {
        Some("True") => Some(true),
        Some("False") => Some(false),
        _ => None,
    }
}

pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).and_then(truth) == Some(true)
}

/// `Reason: message` of a condition or container state, whichever of the two is there.
pub(super) fn why(condition: &Value) -> String {
    let reason = string(condition, "/reason").unwrap_or("");
    let message = string(condition, "/message").unwrap_or("");
    match (reason.is_empty(), message.is_empty()) {
        (false, false) => format!("{reason}: {}", bounded(message, 400)),
        (false, true) => reason.to_owned(),
        (true, false) => bounded(message, 400),
        (true, true) => "no reason given".to_owned(),
    }
}

/// Seconds from the time at `pointer` until `now`; `None` when absent or unreadable.
pub(super) fn age(object: &Value, pointer: &str, now: Timestamp) -> Option<SignedDuration> {
    let since: Timestamp = string(object, pointer)?.parse().ok()?;
    Some(now.duration_since(since))
}

/// Whether the time at `pointer` lies at least `seconds` back; an unreadable time does not.
pub(super) fn older(object: &Value, pointer: &str, now: Timestamp, seconds: i64) -> bool {
    age(object, pointer, now).is_some_and(|age| age >= SignedDuration::from_secs(seconds))
}

pub(super) use crate::expression::bounded;
