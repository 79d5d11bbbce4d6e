//! An object without what some of its managers own: fields and entries go together, so that one conditional request
//! takes them away, and where it is refused nothing has changed.
//!
//! The rules are those of the API server's own pruning: what another manager owns too stays, a container goes with the
//! last that was in it, an item of a keyed list goes as a whole.

use serde_json::{Map, Value, json};

use crate::managed::{Fields, child, selects};

/// The object with these `managedFields`, and without the fields in `taken` that none of them has.
pub fn strip(object: &Value, managed: Vec<Value>, taken: &Fields) -> Value {
    let mut kept = Fields::new();
    for fields in managed.iter().filter_map(|entry| entry["fieldsV1"].as_object()) {
        merge(&mut kept, fields.clone());
    }
    let mut stripped = object.clone();
    prune(&mut stripped, taken, Some(&kept));
    stripped["metadata"]["managedFields"] = Value::Array(managed);
    stripped
}

fn prune(value: &mut Value, taken: &Fields, kept: Option<&Fields>) {
    for (element, node) in taken.iter().filter(|(element, _)| *element != ".") {
        let others = kept.and_then(|kept| child(kept, element));
        let children = node.as_object().filter(|node| node.keys().any(|key| key != "."));
        let item =
            element.starts_with("k:") && child(taken, element).is_some_and(|node| node.contains_key("."));
        match (others, children) {
            (None, None) => remove(value, element),
            (None, Some(_)) if item => remove(value, element),
            (Some(_), None) => {}
            // Another owns some fields of an item that only these had made: half of it would be refused.
            (Some(others), Some(_)) if item && !others.contains_key(".") => {}
            (others, Some(children)) => {
                let Some(inner) = step_mut(value, element) else {
                    continue;
                };
                let was_empty = is_empty(inner);
                prune(inner, children, others);
                if others.is_none() && !was_empty && is_empty(inner) {
                    remove(value, element);
                }
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn step_mut<'a>(value: &'a mut Value, element: &str) -> Option<&'a mut Value> {
    match element.split_once(':')? {
        ("f", name) => value.get_mut(name),
        ("k" | "v", _) => value
            .as_array_mut()?
            .iter_mut()
            .find(|item| selects(element, item)),
        _ => None,
    }
}

/// Items by position are left: nothing tells which one is meant.
fn remove(value: &mut Value, element: &str) {
    match (element.split_once(':'), value) {
        (Some(("f", name)), Value::Object(map)) => {
            map.remove(name);
        }
        (Some(("k" | "v", _)), Value::Array(items)) => {
            if let Some(at) = items.iter().position(|item| selects(element, item)) {
                items.remove(at);
            }
        }
        _ => {}
    }
}

/// Union of two sets of paths. A leaf that gains children stays in the set itself, which fieldsV1 writes as `.`.
pub fn merge(into: &mut Fields, from: Fields) {
    for (element, node) in from {
        let Value::Object(node) = node else { continue };
        match into.get_mut(&element).and_then(Value::as_object_mut) {
            None => {
                into.insert(element, Value::Object(node));
            }
            Some(have) => {
                if have.is_empty() != node.is_empty() {
                    have.insert(".".to_owned(), json!({}));
                }
                merge(have, node);
            }
        }
    }
}

/// The set without the leaves that another set has too. A container goes when nothing is left in it but itself.
pub fn minus(fields: &Fields, other: &Fields) -> Fields {
    let mut left = Map::new();
    for (element, node) in fields {
        let children = node.as_object().filter(|node| !node.is_empty());
        match (children, child(other, element)) {
            (_, None) => {
                left.insert(element.clone(), node.clone());
            }
            (Some(children), Some(others)) if !others.is_empty() => {
                let inner = minus(children, others);
                if inner.keys().any(|key| key != ".") {
                    left.insert(element.clone(), Value::Object(inner));
                }
            }
            (None, Some(others)) if !others.is_empty() => {
                left.insert(element.clone(), node.clone());
            }
            // A map that the other applies empty is not what is in it.
            (Some(children), Some(_)) if element.starts_with("f:") => {
                left.insert(element.clone(), Value::Object(children.clone()));
            }
            _ => {}
        }
    }
    left
}
