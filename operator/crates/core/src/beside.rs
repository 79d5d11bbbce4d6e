//! What to apply beside other owners of an object: without the fields that they have set otherwise.

use serde_json::Value;

use crate::apply_rule::ApplyRule;
use crate::desired::DesiredObject;
use crate::inventory::Entry;
use crate::managed::{Fields, entries, is_ours, step, subresource};

/// The body without the fields that others own on the live object with another value.
pub fn beside(body: &Value, live: &Value) -> Value {
    let mut body = body.clone();
    let others = entries(live).filter(|entry| !is_ours(entry) && subresource(entry) != Some("status"));
    for fields in others.filter_map(|entry| entry["fieldsV1"].as_object()) {
        yield_to(&mut body, live, fields);
    }
    body
}

/// True when an apply beside others left them what they had taken, rather than put it back.
pub fn has_yielded(object: &DesiredObject, before: Option<&Entry>, after: Option<&Entry>) -> bool {
    let ours = |entry: Option<&Entry>| Some(entry?.sealed.as_ref()?.ours.clone());
    object.apply == ApplyRule::Merge && ours(before) != ours(after)
}

fn yield_to(body: &mut Value, live: &Value, fields: &Fields) {
    for (element, node) in fields.iter().filter(|(element, _)| *element != ".") {
        // Membership of a set is nobody's alone.
        if element.starts_with("v:") {
            continue;
        }
        let Some(theirs) = step(live, element) else {
            continue;
        };
        let Some(ours) = child_mut(body, element) else {
            continue;
        };
        let inside = node.as_object().filter(|node| node.keys().any(|key| key != "."));
        let leave = match inside {
            Some(inside) => {
                let before = is_empty(ours);
                yield_to(ours, theirs, inside);
                !before && is_empty(ours)
            }
            // An item that they have, too: what is in it is seen by its fields.
            None => !element.starts_with("k:") && *ours != *theirs,
        };
        if let (true, Some(("f", name)), Some(map)) = (leave, element.split_once(':'), body.as_object_mut()) {
            map.remove(name);
        }
    }
}

fn child_mut<'a>(body: &'a mut Value, element: &str) -> Option<&'a mut Value> {
    match element.split_once(':')? {
        ("f", name) => body.get_mut(name),
        ("k", keys) => body.as_array_mut()?.iter_mut().find(|item| is_item(keys, item)),
        _ => None,
    }
}

/// True for the item with these keys. Git may leave one to its default, as the protocol of a port.
fn is_item(keys: &str, item: &Value) -> bool {
    let keys: Fields = serde_json::from_str(keys).unwrap_or_default();
    let same = |(key, value): (&String, &Value)| item.get(key).map(|have| have == value);
    keys.iter().any(|pair| same(pair) == Some(true)) && keys.iter().all(|pair| same(pair) != Some(false))
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
