//! `allow` of a `ClusterReleasePolicy`: what namespaces may release at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Guard rails. An absent list limits nothing, an empty one allows nothing. Patterns are globs: `*` within one part,
/// `**` across parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Addresses of repositories. Example: `https://git.example.com/shop/**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 2048)))]
    pub sources: Option<Vec<String>>,
    /// Places where objects may be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub targets: Option<Vec<AllowedTarget>>,
    /// Kinds of namespaced objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub kinds: Option<Vec<AllowedKind>>,
    /// Kinds of cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub cluster_scoped: Option<Vec<AllowedKind>>,
}

/// A place where objects may be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedTarget {
    /// Namespace of the objects; `$namespace` stands for the Application's own. Example: `shop-*`.
    #[schemars(length(min = 1, max = 256))]
    pub namespace: String,
    /// Name of the Secret in `target.kubeConfig`. Absent: the operator's own cluster alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub kube_config: Option<String>,
}

/// Kinds by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedKind {
    /// API group; empty for the core group.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub group: String,
    /// Kind.
    #[schemars(length(min = 1, max = 256))]
    pub kind: String,
}
