//! Order inside a release: what must exist before what. Deletion goes the other way round.

use crate::object::ObjectId;

/// Stage of an object. Objects of one stage are applied concurrently; a stage starts when the one before is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Namespaces and CustomResourceDefinitions; the next stage waits for the latter to be Established.
    Foundations,
    /// Classes, accounts, rights, quotas and configuration that workloads refer to.
    Prerequisites,
    /// Everything else.
    Workloads,
    /// Webhooks, admission policies and aggregated APIs: they can refuse what comes before them.
    Interceptors,
}

impl Stage {
    /// All stages in the order of applying.
    pub const ALL: [Self; 4] = [
        Self::Foundations,
        Self::Prerequisites,
        Self::Workloads,
        Self::Interceptors,
    ];

    /// Stage of an object, by group and kind.
    pub fn of(id: &ObjectId) -> Self {
        match (&*id.group, &*id.kind) {
            ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::Foundations,
            ("", "ServiceAccount" | "ConfigMap" | "Secret" | "ResourceQuota" | "LimitRange") => {
                Self::Prerequisites
            }
            ("rbac.authorization.k8s.io" | "scheduling.k8s.io" | "node.k8s.io" | "storage.k8s.io", _)
            | ("networking.k8s.io" | "gateway.networking.k8s.io", "IngressClass" | "GatewayClass") => {
                Self::Prerequisites
            }
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Self::Interceptors,
            _ => Self::Workloads,
        }
    }
}

/// Kinds that stay when git no longer has them, unless annotated `tidegate.io/prune: Enabled` in git: what they hold
/// cannot be brought back by another commit.
pub fn never_pruned_by_default(id: &ObjectId) -> bool {
    matches!(
        (&*id.group, &*id.kind),
        ("", "Namespace" | "PersistentVolumeClaim" | "PersistentVolume")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}
