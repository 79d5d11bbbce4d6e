//! Lists into their items, as kubectl flattens them. Owns nothing but this rule.

use serde_json::Value;

use crate::document::Doc;

/// Puts a document, or the items of a list, into `docs`. A list is an object whose kind is `List` or ends in `List`
/// and that has an `items` array; a `List` with no items gives nothing. Lists in lists are flattened too.
pub(crate) fn flatten(mut doc: Doc, docs: &mut Vec<Doc>) {
    let Some(item_kind) = doc
        .value
        .get("kind")
        .and_then(Value::as_str)
        .and_then(|kind| kind.strip_suffix("List"))
    else {
        docs.push(doc);
        return;
    };
    let item_kind = item_kind.to_owned();
    let items = match doc.value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        None | Some(Value::Null) if item_kind.is_empty() => return,
        Some(other) => {
            doc.value["items"] = other;
            docs.push(doc);
            return;
        }
        None => {
            docs.push(doc);
            return;
        }
    };
    let api_version = doc.value.get("apiVersion").cloned();
    for (number, mut value) in items.into_iter().enumerate() {
        inherit(&mut value, &item_kind, api_version.as_ref());
        let positions = doc.positions.below(&format!("/items/{number}"));
        let line = positions.line_of("").unwrap_or(doc.line);
        flatten(
            Doc {
                value,
                index: doc.index,
                line,
                positions,
            },
            docs,
        );
    }
}

/// An item of a `FooList` that names neither kind nor apiVersion has those of its list (apimachinery's unstructured
/// decoder).
fn inherit(item: &mut Value, kind: &str, api_version: Option<&Value>) {
    let (Some(fields), Some(api_version)) = (item.as_object_mut(), api_version) else {
        return;
    };
    if kind.is_empty() || fields.contains_key("kind") || fields.contains_key("apiVersion") {
        return;
    }
    fields.insert("kind".to_owned(), kind.into());
    fields.insert("apiVersion".to_owned(), api_version.clone());
}
