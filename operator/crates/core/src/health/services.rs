//! Health of networking, storage, disruption budgets and autoscalers.

use jiff::Timestamp;
use serde_json::Value;

use super::Health;
use super::fields::{condition, count, int, list, older, string, truth, why};

/// How long an autoscaler may lack metrics: a new pod's first metrics take a minute or two.
const METRICS_GRACE: i64 = 300;

/// Reasons that no waiting heals.
const AUTOSCALER_HOPELESS: &[&str] = &["InvalidSelector", "InvalidMetricSourceType", "AmbiguousSelector"];

pub(super) fn service(object: &Value, _now: Timestamp) -> Health {
    if string(object, "/spec/type") != Some("LoadBalancer") {
        return Health::current("Exists", "the service exists");
    }
    let external = !list(object, "/spec/externalIPs").is_empty();
    if external || !list(object, "/status/loadBalancer/ingress").is_empty() {
        return Health::current("LoadBalancerReady", "the load balancer has an address");
    }
    Health::progress(
        "LoadBalancerPending",
        "no load balancer has given the service an address yet",
    )
}

pub(super) fn volume_claim(object: &Value, _now: Timestamp) -> Health {
    match string(object, "/status/phase") {
        Some("Bound") => Health::current("Bound", "the claim is bound"),
        Some("Lost") => Health::failed("Lost", "the claim's volume is lost"),
        _ => Health::progress(
            "NotBound",
            "the claim is not bound; it waits for a provisioner or, by its storage class, for its first pod",
        ),
    }
}

pub(super) fn volume(object: &Value, _now: Timestamp) -> Health {
    match string(object, "/status/phase") {
        Some(phase @ ("Available" | "Bound" | "Released")) => {
            Health::current("Available", format!("the volume is {phase}"))
        }
        Some("Failed") => {
            let message = string(object, "/status/message").unwrap_or("its reclamation failed");
            Health::failed("VolumeFailed", message)
        }
        _ => Health::progress("VolumePending", "the volume is not available yet"),
    }
}

pub(super) fn volume_attachment(object: &Value, _now: Timestamp) -> Health {
    if object.pointer("/status/attached").and_then(Value::as_bool) == Some(true) {
        return Health::current("Attached", "the volume is attached");
    }
    match string(object, "/status/attachError/message") {
        Some(message) => Health::failed("AttachError", message),
        None => Health::progress("NotAttached", "the volume is not attached yet"),
    }
}

pub(super) fn disruption_budget(object: &Value, _now: Timestamp) -> Health {
    let allowed = condition(object, "DisruptionAllowed");
    if let Some(failed) = allowed.filter(|c| string(c, "/reason") == Some("SyncFailed")) {
        return Health::failed("SyncFailed", why(failed));
    }
    if int(object, "/status/observedGeneration").is_none() && allowed.is_none() {
        return Health::progress("NotObserved", "the controller has not counted the pods yet");
    }
    let healthy = count(object, "/status/currentHealthy");
    let wanted = count(object, "/status/desiredHealthy");
    if healthy < wanted {
        return Health::progress(
            "BudgetNotMet",
            format!("{healthy} of at least {wanted} pods healthy"),
        );
    }
    Health::current(
        "BudgetMet",
        format!("{healthy} pods healthy, at least {wanted} wanted"),
    )
}

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Health {
    if string(object, "/apiVersion") == Some("autoscaling/v1") {
        // Version 1 shows its conditions nowhere but in an annotation for round trips.
        return Health::current(
            "Exists",
            "the autoscaler exists; autoscaling/v2 would show its conditions",
        );
    }
    for kind in ["AbleToScale", "ScalingActive"] {
        let Some(condition) = condition(object, kind) else {
            return Health::progress("NotObserved", "the controller has not looked at the target yet");
        };
        if truth(condition) == Some(true) || string(condition, "/reason") == Some("ScalingDisabled") {
            continue;
        }
        let reason = string(condition, "/reason").unwrap_or("");
        let hopeless = AUTOSCALER_HOPELESS.contains(&reason);
        if hopeless || older(condition, "/lastTransitionTime", now, METRICS_GRACE) {
            return Health::failed("ScalingInactive", why(condition));
        }
        return Health::progress("ScalingInactive", why(condition));
    }
    Health::current(
        "ScalingActive",
        "the autoscaler can read its metrics and scale its target",
    )
}

/// Many ingress controllers never write an address, so an Ingress is current when it exists, as in kstatus.
pub(super) fn ingress(object: &Value, _now: Timestamp) -> Health {
    if list(object, "/status/loadBalancer/ingress").is_empty() {
        return Health::current(
            "Exists",
            "the ingress exists; no controller has written an address",
        );
    }
    Health::current("AddressAssigned", "the ingress has an address")
}
