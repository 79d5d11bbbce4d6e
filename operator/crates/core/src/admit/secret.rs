//! `stringData` of a Secret becomes `data` before anything else: it is write-only, so that our manager would own it at
//! a path that never exists on the live object (semantics.md, Drift 3). Messages name keys, never values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::object::ObjectId;

/// A fault of one key: JSON pointer, reason, message.
pub(super) type Fault = (String, &'static str, String);

/// Moves `stringData` into `data`. A key that is in both with another value is a fault: one of the two is forgotten.
pub(super) fn fold_string_data(id: &ObjectId, object: &mut Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(map) = object.as_object_mut().filter(|_| is_secret(id)) else {
        return faults;
    };
    let plain = match map.remove("stringData") {
        None | Some(Value::Null) => return faults,
        Some(Value::Object(plain)) if plain.is_empty() => return faults,
        Some(Value::Object(plain)) => plain,
        Some(_) => {
            let message = "must be a mapping of strings".to_owned();
            return vec![("/stringData".to_owned(), "InvalidField", message)];
        }
    };
    let data = map.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    let Some(data) = data.as_object_mut() else {
        let message = "must be a mapping of base64 strings".to_owned();
        return vec![("/data".to_owned(), "InvalidField", message)];
    };
    for (key, value) in plain {
        faults.extend(fold(data, key, &value));
    }
    faults
}

fn fold(data: &mut Map<String, Value>, key: String, value: &Value) -> Option<Fault> {
    let pointer = format!("/stringData/{}", key.replace('~', "~0").replace('/', "~1"));
    let text = match value {
        Value::String(text) => text.as_str(),
        // As the API server reads it: a key without a value is an empty string.
        Value::Null => "",
        _ => {
            let message = "must be a string; quote the value".to_owned();
            return Some((pointer, "InvalidField", message));
        }
    };
    match data.get(&key) {
        None | Some(Value::Null) => {}
        Some(have) if decoded(have).as_deref() == Some(text.as_bytes()) => return None,
        Some(_) => {
            let message = format!("key `{key}` is under data too, with another value; keep one of the two");
            return Some((pointer, "AmbiguousSecretKey", message));
        }
    }
    data.insert(key, Value::String(STANDARD.encode(text)));
    None
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

/// Keys of `data` that are not base64.
pub(super) fn not_base64(id: &ObjectId, object: &Value) -> Vec<Fault> {
    let Some(data) = object["data"].as_object().filter(|_| is_secret(id)) else {
        return Vec::new();
    };
    let wrong = data
        .iter()
        .filter(|(_, value)| !value.is_null() && decoded(value).is_none());
    wrong
        .map(|(key, _)| {
            let message = "is not base64; put plain text under stringData instead".to_owned();
            let pointer = format!("/data/{}", key.replace('~', "~0").replace('/', "~1"));
            (pointer, "InvalidBase64", message)
        })
        .collect()
}

fn is_secret(id: &ObjectId) -> bool {
    id.group.is_empty() && &*id.kind == "Secret"
}
