//! Which kinds the API server serves: scope and plural of each, from discovery and from CRDs of the same commit.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::object::ObjectId;

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Version without the group.
    pub version: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
}

impl Gvk {
    /// Builds one from its parts.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }
}

/// What is known of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// Lower-case plural, as in URLs.
    pub plural: Arc<str>,
    /// True when its objects live in namespaces.
    pub namespaced: bool,
}

/// All kinds that are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    kinds: HashMap<Gvk, KindInfo>,
}

impl Catalog {
    /// Adds one kind.
    pub fn insert(&mut self, gvk: Gvk, info: KindInfo) {
        self.kinds.insert(gvk, info);
    }

    /// Looks a kind up.
    pub fn get(&self, gvk: &Gvk) -> Option<&KindInfo> {
        self.kinds.get(gvk)
    }

    /// Versions at which a group's kind is served, sorted.
    pub fn versions(&self, group: &str, kind: &str) -> Vec<&str> {
        let mut versions: Vec<&str> = self
            .kinds
            .keys()
            .filter(|gvk| &*gvk.group == group && &*gvk.kind == kind)
            .map(|gvk| &*gvk.version)
            .collect();
        versions.sort_unstable();
        versions
    }

    /// Groups in which a kind of that name is served, sorted: for "did you mean".
    pub fn groups_of(&self, kind: &str) -> Vec<String> {
        let mut groups: Vec<String> = self
            .kinds
            .keys()
            .filter(|gvk| &*gvk.kind == kind)
            .map(|gvk| crate::object::api_version(&gvk.group, &gvk.version))
            .collect();
        groups.sort_unstable();
        groups
    }

    /// Adds the kinds that a CustomResourceDefinition will serve. Returns how many were added.
    pub fn insert_crd(&mut self, crd: &Value) -> usize {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, kind, plural) = (
            text("/spec/group"),
            text("/spec/names/kind"),
            text("/spec/names/plural"),
        );
        let namespaced = text("/spec/scope") == "Namespaced";
        let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
        let served = versions
            .into_iter()
            .flatten()
            .filter(|v| v["served"].as_bool().unwrap_or(false));
        let mut added = 0;
        for version in served.filter_map(|v| v["name"].as_str()) {
            self.insert(
                Gvk::new(group, version, kind),
                KindInfo {
                    plural: plural.into(),
                    namespaced,
                },
            );
            added += 1;
        }
        added
    }

    /// Some served version of the id's kind: the first by name. For objects whose version is no longer served.
    pub fn any_version(&self, id: &ObjectId) -> Option<Gvk> {
        let version = self
            .versions(&id.group, &id.kind)
            .first()
            .map(|v| (*v).to_owned())?;
        Some(Gvk::new(&id.group, &version, &id.kind))
    }

    /// Number of kinds.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// True when nothing is known.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}
