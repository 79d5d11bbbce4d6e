//! Labels and annotations that are written empty say nothing, and the API server drops them. They go before anything else:
//! our manager would own them until a controller puts its first annotation in, `kubectl rollout restart` for one, which
//! would look as if something of ours had been taken away.

use serde_json::Value;

use crate::object::ObjectId;

/// Where the metadata of built-in kinds is, their pod templates' included.
const PLACES: [&str; 5] = [
    "/metadata",
    "/template/metadata",
    "/spec/template/metadata",
    "/spec/jobTemplate/metadata",
    "/spec/jobTemplate/spec/template/metadata",
];

/// Drops `labels` and `annotations` without an entry. In a custom resource only its own metadata is known for what it is.
pub(super) fn drop_empty_metadata(id: &ObjectId, object: &mut Value) {
    let built_in = matches!(&*id.group, "" | "apps" | "batch");
    let places = if built_in { &PLACES[..] } else { &PLACES[..1] };
    for place in places {
        let Some(metadata) = object.pointer_mut(place).and_then(Value::as_object_mut) else {
            continue;
        };
        for field in ["labels", "annotations"] {
            let says_nothing =
                |value: &Value| value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
            if metadata.get(field).is_some_and(says_nothing) {
                metadata.remove(field);
            }
        }
    }
}
