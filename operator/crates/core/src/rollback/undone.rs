//! What the API server does not take back: such a step is not tried, and the object is named.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::desired::DesiredObject;
use crate::object::ObjectId;
use crate::plan::{Action, Cause, Plan};

/// Objects of a plan of which the live state has to be known first.
pub fn needs_reading(plan: &Plan) -> Vec<(&ObjectId, &str)> {
    let steps = plan.steps.iter().filter(|step| {
        let changes = matches!(step.action, Action::Update { .. }) && step.cause == Cause::Changed;
        changes && (is_claim(&step.id) || is_definition(&step.id))
    });
    steps.map(|step| (&step.id, &*step.version)).collect()
}

/// Why an object cannot be brought back to what is desired; `None` when nothing is known against it.
pub fn cannot_be_undone(desired: &DesiredObject, live: &Value) -> Option<String> {
    if is_claim(&desired.id) {
        return shrinks(&desired.body, live);
    }
    if is_definition(&desired.id) {
        return drops_stored_version(&desired.body, live);
    }
    None
}

fn is_claim(id: &ObjectId) -> bool {
    (&*id.group, &*id.kind) == ("", "PersistentVolumeClaim")
}

fn is_definition(id: &ObjectId) -> bool {
    (&*id.group, &*id.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// A claim grows and never shrinks.
fn shrinks(desired: &Value, live: &Value) -> Option<String> {
    let request = |claim: &Value| claim.pointer("/spec/resources/requests/storage").map(text);
    let (wanted, has) = (request(desired)?, request(live)?);
    let smaller = match (bytes(&wanted), bytes(&has)) {
        (Some(wanted), Some(has)) => wanted < has,
        // What cannot be compared is not tried blindly.
        _ => wanted != has,
    };
    smaller.then(|| format!("a claim never shrinks: it asks for {has} now, and asked for {wanted} before"))
}

/// Objects may be stored at a version: it stays served until they are all stored at another.
fn drops_stored_version(desired: &Value, live: &Value) -> Option<String> {
    let names = |list: Option<&Value>, name: fn(&Value) -> &Value| -> BTreeSet<String> {
        let items = list.and_then(Value::as_array).into_iter().flatten();
        items
            .filter_map(|item| name(item).as_str().map(str::to_owned))
            .collect()
    };
    let wanted = names(desired.pointer("/spec/versions"), |version| &version["name"]);
    let stored = names(live.pointer("/status/storedVersions"), |name| name);
    let lost: Vec<&str> = stored.difference(&wanted).map(String::as_str).collect();
    (!lost.is_empty()).then(|| {
        format!(
            "objects are stored at version {}, which it did not have before; store them at another version, then remove it from status.storedVersions",
            lost.join(", ")
        )
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A quantity as a number, to compare with another.
fn bytes(quantity: &str) -> Option<f64> {
    let end = quantity
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(quantity.len());
    let (digits, suffix) = quantity.split_at_checked(end)?;
    let factor = match suffix {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1_024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        exponent => 10_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(digits.parse::<f64>().ok()? * factor)
}
