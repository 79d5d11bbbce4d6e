//! The body of an apply: the desired object with one condition in its metadata, serialised once, never copied.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

/// What must hold for an apply to go through.
#[derive(Clone, Copy)]
pub(super) enum Condition<'a> {
    /// The object is absent. A resource version of "1" is never current, so that an existing object conflicts, while
    /// an absent one is created (semantics.md, Ownership 1).
    Absent,
    /// The object has this uid.
    Uid(&'a str),
    /// The object has this uid, and is as it was read: what is sent was made from that.
    At {
        /// UID.
        uid: &'a str,
        /// Resource version of the reading.
        resource_version: &'a str,
    },
}

pub(super) fn serialise(body: &Value, condition: Condition<'_>) -> Vec<u8> {
    let conditional = Conditional { body, condition };
    // Values with text keys only: there is nothing in it that JSON cannot hold.
    serde_json::to_vec(&conditional).unwrap_or_default()
}

struct Conditional<'a> {
    body: &'a Value,
    condition: Condition<'a>,
}

impl Serialize for Conditional<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.body.as_object().into_iter().flatten() {
            if key == "metadata" {
                map.serialize_entry(key, &self.metadata(value))?;
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

impl Conditional<'_> {
    fn metadata(&self, metadata: &Value) -> Value {
        let mut metadata = metadata.clone();
        if let Some(fields) = metadata.as_object_mut() {
            fields.remove("managedFields");
            let (uid, version) = match self.condition {
                Condition::Absent => (None, Some("1")),
                Condition::Uid(uid) => (Some(uid), None),
                Condition::At {
                    uid,
                    resource_version,
                } => (Some(uid), Some(resource_version)),
            };
            fields.extend(uid.map(|uid| ("uid".to_owned(), uid.into())));
            fields.extend(version.map(|version| ("resourceVersion".to_owned(), version.into())));
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_condition_is_in_the_metadata_and_nothing_else_changes() {
        let body = json!({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        let read = |condition| serde_json::from_slice::<Value>(&serialise(&body, condition)).unwrap();
        let metadata = json!({"name": "a", "resourceVersion": "1"});
        assert_eq!(
            read(Condition::Absent),
            json!({"kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}})
        );
        assert_eq!(
            read(Condition::Uid("u"))["metadata"],
            json!({"name": "a", "uid": "u"})
        );
        let unchanged = Condition::At {
            uid: "u",
            resource_version: "7",
        };
        assert_eq!(
            read(unchanged)["metadata"],
            json!({"name": "a", "uid": "u", "resourceVersion": "7"})
        );
    }
}
