//! Reading `metadata.managedFields`: whose entry is whose, and what an element of a fieldsV1 path means on an object.

use serde_json::{Map, Value};
use tidegate_api::names;

/// A node of fieldsV1: children by element; empty for a leaf.
pub type Fields = Map<String, Value>;

/// All entries of an object.
pub fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
}

/// True for the entry that our applies leave behind.
pub fn is_ours(entry: &Value) -> bool {
    entry["manager"] == names::FIELD_MANAGER && entry["operation"] == "Apply" && subresource(entry).is_none()
}

/// The subresource that an entry was written through; `None` for the object as a whole.
pub fn subresource(entry: &Value) -> Option<&str> {
    entry["subresource"].as_str().filter(|s| !s.is_empty())
}

/// What our applies own.
pub fn our_fields(object: &Value) -> Option<&Fields> {
    entries(object).find(|e| is_ours(e))?["fieldsV1"].as_object()
}

/// A child of a node, when it is a node itself.
pub fn child<'a>(fields: &'a Fields, element: &str) -> Option<&'a Fields> {
    fields.get(element)?.as_object()
}

/// Follows one element of a path: `f:name`, `k:{"name":"web"}`, `v:"value"` or `i:3`.
pub fn step<'a>(live: &'a Value, element: &str) -> Option<&'a Value> {
    match element.split_once(':')? {
        ("f", name) => live.get(name),
        ("i", index) => live.get(index.parse::<usize>().ok()?),
        _ => live.as_array()?.iter().find(|item| selects(element, item)),
    }
}

/// True when a `k:` or `v:` element means this item of a list.
pub fn selects(element: &str, item: &Value) -> bool {
    match element.split_once(':') {
        Some(("k", keys)) => keys_match(keys, item),
        Some(("v", value)) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item),
        _ => false,
    }
}

/// True when an item has all the keys of a JSON object written as text.
pub fn keys_match(keys: &str, item: &Value) -> bool {
    serde_json::from_str::<Fields>(keys)
        .is_ok_and(|keys| !keys.is_empty() && keys.iter().all(|(k, v)| item.get(k) == Some(v)))
}

/// A path as people read it: `spec.containers[name=web].image`.
pub fn readable(path: &[&str]) -> String {
    let mut text = String::new();
    for element in path {
        match element.split_once(':') {
            Some(("f", name)) if name.contains(['.', '/']) => text.push_str(&format!("[{name}]")),
            Some(("f", name)) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Some(("k", keys)) => {
                let keys: Fields = serde_json::from_str(keys).unwrap_or_default();
                let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
            Some((_, rest)) => text.push_str(&format!("[{rest}]")),
            None => {}
        }
    }
    text
}
