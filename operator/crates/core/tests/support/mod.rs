//! A small world for properties: an API server that knows nothing but conditional calls, leaders that hold real plans,
//! and people who edit and delete between any two of their calls.

pub(crate) mod leader;
pub(crate) mod people;
pub(crate) mod server;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_api::names;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::ownership::Owner;

/// Kinds of the world: two that are pruned, one of them before the other, and one that is protected.
const KINDS: [&str; 3] = ["ConfigMap", "Service", "Namespace"];
const NAMES: [&str; 2] = ["a", "b"];
/// How many identities there are. Few, so that much happens to each.
pub(crate) const IDENTITIES: u8 = 6;

/// Key of every digest.
pub(crate) fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

/// An Application of this installation.
pub(crate) fn owner(application: &str) -> Owner {
    Owner {
        installation: "tidegate".into(),
        namespace: "shop".into(),
        application: application.into(),
    }
}

/// One of the identities, whatever the number.
pub(crate) fn id(number: u8) -> ObjectId {
    let number = usize::from(number % IDENTITIES);
    let kind = KINDS[number / NAMES.len()];
    let namespace = if kind == "Namespace" { "" } else { "shop" };
    ObjectId::new("", kind, namespace, NAMES[number % NAMES.len()])
}

/// The object as it is written by an Application, or by a person when there is no owner.
pub(crate) fn body(id: &ObjectId, by: Option<&Owner>, prune: PruneRule, content: &str) -> Value {
    let mut annotations = serde_json::Map::new();
    if let Some(by) = by {
        annotations.insert(names::ANNOTATION_OWNER.into(), by.annotation().into());
    }
    if let Some(prune) = prune.as_str() {
        annotations.insert(names::ANNOTATION_PRUNE.into(), prune.into());
    }
    json!({
        "apiVersion": "v1", "kind": &*id.kind,
        "metadata": { "name": &*id.name, "namespace": &*id.namespace, "annotations": annotations },
        "data": { "v": content },
    })
}

/// A desired object of Application `web`.
pub(crate) fn object(id: ObjectId, prune: PruneRule, content: u8) -> DesiredObject {
    let body = body(&id, Some(&owner("web")), prune, &format!("git-{content}"));
    DesiredObject {
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: key().of_value(&body),
        ignored: Vec::new(),
        id,
        body,
        prune,
        force: false,
        apply: ApplyRule::Always,
        // Waves change with the content.
        wave: i32::from(content) - 1,
    }
}

/// Random objects with unique identities.
pub(crate) fn objects(least: usize) -> impl Strategy<Value = Vec<DesiredObject>> {
    let rule = prop_oneof![
        4 => Just(PruneRule::Default),
        2 => Just(PruneRule::Enabled),
        1 => Just(PruneRule::Disabled),
    ];
    prop::collection::vec((0..IDENTITIES, rule, 0_u8..3), least..7).prop_map(|parts| {
        let unique: BTreeMap<u8, _> = parts.into_iter().map(|(n, rule, c)| (n, (rule, c))).collect();
        let make = |(n, (rule, content))| object(id(n), rule, content);
        unique.into_iter().map(make).collect()
    })
}

/// What a commit makes. Never empty: an empty source is refused before it is planned.
pub(crate) fn commit() -> impl Strategy<Value = Arc<Rendered>> {
    objects(1).prop_map(|objects| Arc::new(Rendered::new(objects, &key())))
}
