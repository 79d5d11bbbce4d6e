//! Identity of a Kubernetes object, and where it was written down.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// Group, kind, namespace and name: one object, whatever version it is served at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectId {
    /// Builds an id from its parts.
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads the id of an object as the API server serves it. `None` when kind or name is missing.
    pub fn of(object: &Value) -> Option<Self> {
        let (group, _) = split_api_version(object.get("apiVersion")?.as_str()?);
        let metadata = object.get("metadata")?;
        let namespace = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Some(Self::new(
            group,
            object.get("kind")?.as_str()?,
            namespace,
            metadata.get("name")?.as_str()?,
        ))
    }

    /// `<group>/<kind>/<namespace>/<name>`: the form in an Inventory.
    pub fn key(&self) -> String {
        format!("{}/{}/{}/{}", self.group, self.kind, self.namespace, self.name)
    }

    /// Reads [`ObjectId::key`] back.
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.splitn(4, '/');
        Some(Self::new(
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
        ))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Splits `apps/v1` into group and version; the core group is empty.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Joins group and version as `apiVersion` has them.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// File and line in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Path relative to the root of the repository.
    pub file: Arc<str>,
    /// 1-based line.
    pub line: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
