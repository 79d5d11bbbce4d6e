//! Waves that contradict what objects need: an object before its namespace or its definition could never be applied.

use std::collections::HashMap;

use serde_json::Value;

use crate::desired::DesiredObject;
use crate::problem::{Problem, field_path};

/// What an object must not go before.
#[derive(PartialEq, Eq, Hash)]
enum Need<'a> {
    Namespace(&'a str),
    Kind(&'a str, &'a str),
}

/// Objects in a lower wave than what the same set brings for them.
pub(super) fn contradictions(objects: &[DesiredObject]) -> Vec<Problem> {
    let brought: HashMap<Need<'_>, &DesiredObject> = objects
        .iter()
        .filter_map(|object| Some((brings(object)?, object)))
        .collect();
    let needs = |object: &'_ DesiredObject| {
        let namespace = brought.get(&Need::Namespace(&object.id.namespace));
        let kind = brought.get(&Need::Kind(&object.id.group, &object.id.kind));
        let later = namespace
            .into_iter()
            .chain(kind)
            .find(|need| need.wave > object.wave)?;
        Some(problem(object, later))
    };
    objects.iter().filter_map(needs).collect()
}

fn brings(object: &DesiredObject) -> Option<Need<'_>> {
    match (&*object.id.group, &*object.id.kind) {
        ("", "Namespace") => Some(Need::Namespace(&object.id.name)),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let text = |pointer: &str| object.body.pointer(pointer).and_then(Value::as_str);
            Some(Need::Kind(text("/spec/group")?, text("/spec/names/kind")?))
        }
        _ => None,
    }
}

fn problem(object: &DesiredObject, later: &DesiredObject) -> Problem {
    Problem {
        reason: "WaveOrder",
        object: object.id.to_string(),
        field: Some(field_path("/metadata/annotations/tidegate.io~1wave")),
        location: Some(object.location.clone()),
        message: format!(
            "is in wave {}, and {} ({}), without which it cannot be applied, in wave {}; give that one the same wave or a lower one",
            object.wave, later.id, later.location, later.wave
        ),
    }
}
