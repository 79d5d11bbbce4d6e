//! Field changes between two rendered objects, old and new, as people read them.

use serde_json::Value;

use crate::object::ObjectId;

/// Longest value shown, characters.
const MAX_VALUE: usize = 60;

/// Changed fields, `spec.replicas: 2 → 3`, at most `limit`. Values of Secrets are never shown.
pub fn changed_fields(id: &ObjectId, old: &Value, new: &Value, limit: usize) -> Vec<String> {
    let secret = id.group.is_empty() && &*id.kind == "Secret";
    let mut changes = Vec::new();
    walk(Some(old), Some(new), String::new(), &mut changes);
    let total = changes.len();
    let mut lines: Vec<String> = changes
        .into_iter()
        .take(limit)
        .map(|(path, from, to)| {
            if secret {
                format!("{path}: changed")
            } else {
                format!("{path}: {from} → {to}")
            }
        })
        .collect();
    if total > limit {
        lines.push(format!("and {} more", total - limit));
    }
    lines
}

fn walk(old: Option<&Value>, new: Option<&Value>, path: String, out: &mut Vec<(String, String, String)>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                walk(a.get(key), b.get(key), join(&path, key), out);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if named(a) && named(b) => {
            let mut names: Vec<&str> = a.iter().chain(b).filter_map(|i| i["name"].as_str()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let find = |items: &'_ [Value]| items.iter().position(|i| i["name"] == name);
                walk(
                    find(a).map(|i| &a[i]),
                    find(b).map(|i| &b[i]),
                    format!("{path}[{name}]"),
                    out,
                );
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                walk(Some(x), Some(y), format!("{path}[{index}]"), out);
            }
        }
        (from, to) => out.push((path, show(from), show(to))),
    }
}

fn named(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|i| i["name"].is_string())
}

fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) {
        format!("{path}[{key}]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn show(value: Option<&Value>) -> String {
    let text = match value {
        None => return "(none)".to_owned(),
        Some(Value::String(s)) => s.escape_debug().to_string(),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_list_items_and_hides_secrets() {
        let web = ObjectId::new("apps", "Deployment", "shop", "web");
        let old = json!({"spec": {"replicas": 2, "containers": [{"name": "web", "image": "a:1"}]}});
        let new = json!({"spec": {"replicas": 3, "containers": [{"name": "web", "image": "a:2"}]}});
        assert_eq!(
            changed_fields(&web, &old, &new, 5),
            ["spec.containers[web].image: a:1 → a:2", "spec.replicas: 2 → 3"]
        );
        let secret = ObjectId::new("", "Secret", "shop", "db");
        let shown = changed_fields(
            &secret,
            &json!({"data": {"p": "aHVudGVy"}}),
            &json!({"data": {"p": "Mg=="}}),
            5,
        );
        assert_eq!(shown, ["data.p: changed"]);
    }
}
