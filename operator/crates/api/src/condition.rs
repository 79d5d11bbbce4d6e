//! Condition types of the kstatus contract and Tidegate's own, and the one way to build a condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The object does what its spec says.
pub const READY: &str = "Ready";
/// Work is under way (kstatus; present only while true).
pub const RECONCILING: &str = "Reconciling";
/// No progress without a change by somebody (kstatus; present only while true).
pub const STALLED: &str = "Stalled";
/// Every managed object is healthy.
pub const HEALTHY: &str = "Healthy";
/// What runs is what the newest commit says.
pub const SYNCED: &str = "Synced";
/// A live object differs from what was applied.
pub const DRIFTED: &str = "Drifted";

/// Builds a condition. `reason` must be CamelCase; `message` names object, field and cause.
pub fn condition(
    type_: &str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Time,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: now,
    }
}

/// Replaces the condition of the same type, keeping `lastTransitionTime` while its status stays the same.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|c| c.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// Removes the condition of that type, if present.
pub fn clear(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|c| c.type_ != type_);
}

/// True when the condition of that type exists with status `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == "True")
}
