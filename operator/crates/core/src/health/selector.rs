//! The label selector by which a workload's pods are listed.

use serde_json::Value;

use super::fields::{list, string, strings};

/// The selector of `workload` as the API's `labelSelector` parameter takes it, with `matchExpressions`.
///
/// `None` when the kind has no pods of its own, when the selector is empty (it would match every pod of the
/// namespace), or when an operator is unknown.
pub fn selector_of(workload: &Value) -> Option<String> {
    let selector = workload.pointer("/spec/selector")?;
    let pairs = match string(workload, "/kind")? {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => selector.get("matchLabels"),
        "ReplicationController" => Some(selector),
        _ => return None,
    };
    let mut parts = Vec::new();
    for (key, value) in pairs.and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str()?));
    }
    for expression in list(selector, "/matchExpressions") {
        parts.push(requirement(expression)?);
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

fn requirement(expression: &Value) -> Option<String> {
    let key = string(expression, "/key")?;
    let values = strings(expression, "/values").join(",");
    match string(expression, "/operator")? {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}
