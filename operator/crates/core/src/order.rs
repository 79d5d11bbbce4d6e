//! Order inside a release: what must exist before what. Deletion goes the other way round.

use std::cmp::Reverse;

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

/// When an object is deleted; what compares as less goes first. Each group waits until the one before is really gone.
///
/// Waves and stages in reverse. Within a stage, custom resources go before what serves them: an operator that ends too
/// early leaves their finalizers behind for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Departure {
    wave: Reverse<i32>,
    stage: Reverse<Stage>,
    built_in: bool,
}

impl Departure {
    /// Of an object that was applied in that wave.
    pub fn of(wave: i32, id: &ObjectId) -> Self {
        Self {
            wave: Reverse(wave),
            stage: Reverse(Stage::of(id)),
            built_in: BUILT_IN.contains(&&*id.group),
        }
    }
}

/// API groups that a Kubernetes API server serves by itself (`kubectl api-versions` of 1.29 to 1.35 with every feature
/// gate on). All others are served by a CRD or an aggregated API.
const BUILT_IN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Waves that `tidegate.io/wave` may name.
pub const WAVES: std::ops::RangeInclusive<i32> = -1000..=1000;

/// Reads `tidegate.io/wave`. `None` for anything but a whole number in [`WAVES`].
pub fn parse_wave(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let wave: i32 = plain.then(|| text.parse().ok())??;
    WAVES.contains(&wave).then_some(wave)
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
