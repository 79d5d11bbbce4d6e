//! JSON pointers (RFC 6901) to fields of an object, with one more form of a segment: `{"name":"web"}` is the item of a
//! list that has these fields, wherever it stands. An index means another item as soon as somebody inserts one.

use serde_json::Value;

use crate::managed::{keys_match, step};

/// Unescaped segments.
pub type Segments = Vec<String>;

/// Reads a pointer. `None` when it does not start with `/` or has a `~` that is not `~0` or `~1`.
pub fn parse(pointer: &str) -> Option<Segments> {
    let rest = pointer.strip_prefix('/')?;
    let unescaped = rest.replace("~0", "").replace("~1", "");
    if unescaped.contains('~') {
        return None;
    }
    Some(
        rest.split('/')
            .map(|s| s.replace("~1", "/").replace("~0", "~"))
            .collect(),
    )
}

/// Writes a pointer.
pub fn write(segments: &[String]) -> String {
    let escaped = segments.iter().map(|s| s.replace('~', "~0").replace('/', "~1"));
    escaped.map(|s| format!("/{s}")).collect()
}

/// What a segment means in a value.
pub fn find<'a>(value: &'a Value, segment: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(segment),
        Value::Array(items) => items.get(position(items, segment)?),
        _ => None,
    }
}

/// Which item of a list a segment means.
pub fn position(items: &[Value], segment: &str) -> Option<usize> {
    if segment.starts_with('{') {
        return items.iter().position(|item| keys_match(segment, item));
    }
    segment.parse().ok().filter(|index| *index < items.len())
}

/// Replaces indexes by the name of the item where it has one.
pub fn by_name(segments: &[String], body: &Value) -> Segments {
    let mut here = Some(body);
    let mut named = Segments::with_capacity(segments.len());
    for segment in segments {
        let next = here.and_then(|value| find(value, segment));
        let name = next.and_then(|item| item.get("name")).and_then(Value::as_str);
        named.push(match (here, name) {
            (Some(Value::Array(_)), Some(name)) => serde_json::json!({ "name": name }).to_string(),
            _ => segment.clone(),
        });
        here = next;
    }
    named
}

/// Pointers that lead below a node of fieldsV1.
#[derive(Clone, Debug, Default)]
pub struct Below<'a>(Vec<&'a [String]>);

impl<'a> Below<'a> {
    /// All of them, at the root.
    pub fn root(pointers: &'a [Segments]) -> Self {
        Self(pointers.iter().map(Vec::as_slice).collect())
    }

    /// True when nothing below this node is pointed at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that lead through this element. `None` when one ends there: the node itself is meant. `live` is the value
    /// that has the element.
    pub fn step(&self, element: &str, live: Option<&Value>) -> Option<Self> {
        let mut further = Vec::new();
        for pointer in &self.0 {
            match pointer.split_first() {
                Some((first, rest)) if means(first, element, live) => {
                    if rest.is_empty() {
                        return None;
                    }
                    further.push(rest);
                }
                _ => {}
            }
        }
        Some(Self(further))
    }
}

/// True when a segment means the same as an element of fieldsV1.
fn means(segment: &str, element: &str, live: Option<&Value>) -> bool {
    match element.split_once(':') {
        Some(("f", name)) => name == segment,
        Some(("i", index)) => index == segment,
        Some(("k", keys)) if segment.starts_with('{') => {
            let item = live.and_then(|live| step(live, element));
            let keys: Option<Value> = serde_json::from_str(keys).ok();
            item.or(keys.as_ref())
                .is_some_and(|item| keys_match(segment, item))
        }
        Some(("k" | "v", _)) => live.is_some_and(|live| {
            let meant = find(live, segment);
            meant.is_some_and(|meant| step(live, element).is_some_and(|item| std::ptr::eq(item, meant)))
        }),
        _ => false,
    }
}
