//! Health of cluster plumbing: namespaces, nodes, quotas, definitions, aggregated APIs, certificates, flow schemas.

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{condition, is_true, older, string, truth, why};
use super::{Health, HealthStatus};

/// How long an aggregated API may be unavailable while its pods start.
const API_SERVICE_GRACE: i64 = 300;

pub(super) fn namespace(object: &Value, _now: Timestamp) -> Health {
    if string(object, "/status/phase") == Some("Terminating") {
        return Health::new(
            HealthStatus::Terminating,
            "Terminating",
            "the namespace is being deleted",
        );
    }
    Health::current("Active", "the namespace is active")
}

pub(super) fn node(object: &Value, _now: Timestamp) -> Health {
    let Some(ready) = condition(object, "Ready") else {
        return Health::progress("NodeNotReady", "the node has not reported yet");
    };
    match truth(ready) {
        Some(true) => Health::current("NodeReady", "the node is ready"),
        Some(false) => Health::failed("NodeNotReady", why(ready)),
        None => Health::new(HealthStatus::Unknown, "NodeUnknown", why(ready)),
    }
}

/// Current once the quota controller works with the limits asked for. Values are compared by name only: the server
/// writes quantities its own way.
pub(super) fn resource_quota(object: &Value, _now: Timestamp) -> Health {
    let names = |pointer: &str| object.pointer(pointer).and_then(Value::as_object);
    let wanted = names("/spec/hard");
    let seen = names("/status/hard");
    let missing = wanted.and_then(|wanted| {
        wanted
            .keys()
            .find(|key| seen.is_none_or(|seen| !seen.contains_key(*key)))
    });
    match missing {
        Some(key) => Health::progress(
            "QuotaNotObserved",
            format!("the limit on {key} is not in force yet"),
        ),
        None => Health::current("QuotaInForce", "the limits are in force"),
    }
}

pub(super) fn crd(object: &Value, _now: Timestamp) -> Health {
    if is_true(object, "Terminating") {
        return Health::new(
            HealthStatus::Terminating,
            "Terminating",
            "the definition is being deleted",
        );
    }
    if let Some(refused) = condition(object, "NamesAccepted").filter(|c| truth(c) == Some(false)) {
        return Health::failed("NamesNotAccepted", why(refused));
    }
    match condition(object, "Established") {
        Some(c) if truth(c) == Some(true) => Health::current("Established", "the kind is served"),
        Some(c) if truth(c) == Some(false) && string(c, "/reason") != Some("Installing") => {
            Health::failed("NotEstablished", why(c))
        }
        _ => Health::progress("NotEstablished", "the kind is not served yet"),
    }
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Health {
    let Some(available) = condition(object, "Available") else {
        return Health::progress("NotObserved", "the aggregator has not looked at the service yet");
    };
    if truth(available) == Some(true) {
        return Health::current("Available", "the API is served");
    }
    if older(available, "/lastTransitionTime", now, API_SERVICE_GRACE) {
        return Health::failed("Unavailable", why(available));
    }
    Health::progress("Unavailable", why(available))
}

pub(super) fn signing_request(object: &Value, _now: Timestamp) -> Health {
    for kind in ["Denied", "Failed"] {
        if let Some(refused) = condition(object, kind).filter(|c| truth(c) != Some(false)) {
            return Health::failed("NotSigned", format!("{kind}: {}", why(refused)));
        }
    }
    if string(object, "/status/certificate").is_some() {
        return Health::current("Signed", "the certificate is issued");
    }
    if is_true(object, "Approved") {
        return Health::progress(
            "Approved",
            "approved; the signer has not issued the certificate yet",
        );
    }
    Health::progress("NotApproved", "nobody has approved the request yet")
}

pub(super) fn flow_schema(object: &Value, _now: Timestamp) -> Health {
    match condition(object, "Dangling").filter(|c| truth(c) == Some(true)) {
        Some(dangling) => Health::failed("Dangling", why(dangling)),
        None => Health::current("Exists", "the flow schema is in force"),
    }
}
