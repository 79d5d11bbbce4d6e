//! Health by conditions, for custom resources and every kind without an own rule.
//!
//! Order: Stalled and Failed speak first, then Reconciling, then the first condition in `VERDICTS`. Without any of
//! them the object is current, as in kstatus: such kinds say nothing about themselves.

use serde_json::Value;

use super::Health;
use super::fields::{bounded, condition, int, list, string, truth, why};

/// Conditions whose truth means "done", most trusted first.
const VERDICTS: &[&str] = &[
    "Ready",
    "Available",
    "Healthy",
    "Programmed",
    "Accepted",
    "Complete",
    "Completed",
    "Succeeded",
];

/// Reasons with which controllers say that only a change of the spec will help (Gateway API, cert-manager, Flux).
const HOPELESS: &[&str] = &[
    "Invalid",
    "InvalidSpec",
    "InvalidParameters",
    "UnsupportedValue",
    "Unsupported",
];

pub(super) fn generic(object: &Value) -> Health {
    for (kind, reason) in [("Stalled", "Stalled"), ("Failed", "Failed")] {
        if let Some(bad) = fresh(object, kind).filter(|c| truth(c) == Some(true)) {
            return Health::failed(reason, why(bad));
        }
    }
    if let Some(busy) = fresh(object, "Reconciling").filter(|c| truth(c) == Some(true)) {
        return Health::progress("Reconciling", why(busy));
    }
    let Some(verdict) = VERDICTS.iter().find_map(|kind| condition(object, kind)) else {
        return Health::current("Exists", "the object exists; it has no condition that says more");
    };
    let kind = string(verdict, "/type").unwrap_or("");
    if stale(object, verdict) {
        return Health::progress(
            "GenerationNotObserved",
            format!("condition {kind} is of an older generation"),
        );
    }
    let hopeless = HOPELESS.contains(&string(verdict, "/reason").unwrap_or(""));
    match truth(verdict) {
        Some(true) => Health::current("ConditionTrue", format!("condition {kind} is True")),
        Some(false) if hopeless => {
            Health::failed("ConditionFalse", format!("{kind} is False: {}", why(verdict)))
        }
        Some(false) => Health::progress("ConditionFalse", format!("{kind} is False: {}", why(verdict))),
        None => Health::progress("ConditionUnknown", format!("{kind} is Unknown: {}", why(verdict))),
    }
}

/// What an object says about itself, for people: its own message, else that of the first condition that is not true.
pub(super) fn own_words(object: &Value) -> Option<String> {
    if let Some(message) = string(object, "/status/message").or_else(|| string(object, "/status/reason")) {
        return Some(bounded(message, 300));
    }
    let conditions = list(object, "/status/conditions").iter();
    let speaks = |c: &&Value| truth(c) != Some(true) && string(c, "/message").is_some();
    conditions.filter(|c| !stale(object, c)).find(speaks).map(why)
}

/// Gateway API routes answer per parent. Refused by one parent is failed; no parent yet is in progress.
pub(super) fn route(object: &Value) -> Health {
    let parents = list(object, "/status/parents");
    if parents.is_empty() {
        return Health::progress("NotAccepted", "no gateway has answered for this route yet");
    }
    for parent in parents {
        for kind in ["Accepted", "ResolvedRefs"] {
            let found = list(parent, "/conditions")
                .iter()
                .find(|c| string(c, "/type") == Some(kind));
            match found {
                None if kind == "ResolvedRefs" => {}
                None => {
                    return Health::progress("NotAccepted", "a gateway has not decided on this route yet");
                }
                Some(c) if stale(object, c) => {
                    return Health::progress(
                        "GenerationNotObserved",
                        format!("{kind} is of an older generation"),
                    );
                }
                Some(c) if truth(c) == Some(true) => {}
                Some(c) if truth(c) == Some(false) && string(c, "/reason") != Some("Pending") => {
                    return Health::failed("NotAccepted", format!("{kind} is False: {}", why(c)));
                }
                Some(c) => return Health::progress("NotAccepted", format!("{kind} is not True: {}", why(c))),
            }
        }
    }
    Health::current("Accepted", "every gateway accepted the route")
}

fn stale(object: &Value, condition: &Value) -> bool {
    let newest = int(object, "/metadata/generation");
    let seen = int(condition, "/observedGeneration");
    matches!((newest, seen), (Some(newest), Some(seen)) if seen < newest)
}

fn fresh<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    condition(object, kind).filter(|c| !stale(object, c))
}
