//! Health of one live object, with the meaning of kstatus, as a pure function over its JSON.
//!
//! Owns the table of kinds and the verdicts. May not touch the clock (time is passed in), clients or decisions about
//! releases: a verdict describes the object as it is now, the caller decides what follows from it.
//!
//! Kinds without an own rule (ConfigMap, Secret, Role, NetworkPolicy, StorageClass, webhook configurations and every
//! custom resource) follow `conditions`: without conditions they are current as soon as they exist.

mod cluster;
mod conditions;
pub mod expressions;
mod fields;
mod jobs;
mod pods;
mod selector;
mod services;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

use expressions::HealthRule;
pub use pods::{failed_by_pods, pod_reason};
pub use selector::selector_of;

/// The verdict on one object. `NotFound` is not among them: an absent object is the caller's to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HealthStatus {
    /// The controller has seen the newest spec and reached it.
    Current,
    /// On its way; waiting is right.
    InProgress,
    /// The controller says it cannot get there without a change.
    Failed,
    /// Being deleted.
    Terminating,
    /// Not an object, or its state is unknown to the cluster.
    Unknown,
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Why, as one CamelCase word fit for a condition's `reason`.
    pub reason: &'static str,
    /// Why, for a person; at most about 600 characters, without control characters.
    pub message: String,
}

impl Health {
    fn new(status: HealthStatus, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: fields::bounded(&message.into(), 600),
        }
    }

    fn current(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(HealthStatus::Current, reason, message)
    }

    fn progress(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(HealthStatus::InProgress, reason, message)
    }

    fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(HealthStatus::Failed, reason, message)
    }
}

type Rule = fn(&Value, Timestamp) -> Health;

/// Rules by API group and kind. The version never matters: the fields read are the same in all served versions.
const RULES: &[(&str, &str, Rule)] = &[
    ("apps", "Deployment", workloads::deployment),
    ("apps", "StatefulSet", workloads::stateful_set),
    ("apps", "DaemonSet", workloads::daemon_set),
    ("apps", "ReplicaSet", workloads::replica_set),
    ("", "ReplicationController", workloads::replica_set),
    ("", "Pod", jobs::pod),
    ("batch", "Job", jobs::job),
    ("batch", "CronJob", jobs::cron_job),
    ("", "Service", services::service),
    ("", "PersistentVolumeClaim", services::volume_claim),
    ("", "PersistentVolume", services::volume),
    ("storage.k8s.io", "VolumeAttachment", services::volume_attachment),
    ("policy", "PodDisruptionBudget", services::disruption_budget),
    ("autoscaling", "HorizontalPodAutoscaler", services::autoscaler),
    ("networking.k8s.io", "Ingress", services::ingress),
    ("", "Namespace", cluster::namespace),
    ("", "Node", cluster::node),
    ("", "ResourceQuota", cluster::resource_quota),
    ("apiextensions.k8s.io", "CustomResourceDefinition", cluster::crd),
    ("apiregistration.k8s.io", "APIService", cluster::api_service),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        cluster::signing_request,
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", cluster::flow_schema),
];

/// The health of `object` as its status tells it at `now`.
///
/// Never fails: what is not a Kubernetes object is `Unknown`. `now` is used only for the short graces after which a
/// repeated refusal counts as failed (a pod that cannot be scheduled, replicas that cannot be created).
pub fn assess(object: &Value, now: Timestamp) -> Health {
    assess_by(None, object, now)
}

/// As [`assess`], by the expressions of the object's kind in place of the rules here, where there are some. An object that
/// is being deleted is terminating, whatever they say.
pub fn assess_by(rule: Option<&HealthRule>, object: &Value, now: Timestamp) -> Health {
    let (Some(kind), Some(api_version)) = (
        fields::string(object, "/kind"),
        fields::string(object, "/apiVersion"),
    ) else {
        return Health::new(
            HealthStatus::Unknown,
            "NotAnObject",
            "the object has no apiVersion or no kind",
        );
    };
    if fields::string(object, "/metadata/deletionTimestamp").is_some() {
        return Health::new(HealthStatus::Terminating, "Terminating", terminating(object));
    }
    if let Some(rule) = rule {
        return rule.judge(object);
    }
    if let Some(stale) = unobserved(object) {
        return stale;
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match RULES.iter().find(|(g, k, _)| *g == group && *k == kind) {
        Some((_, _, rule)) => rule(object, now),
        None if group == "gateway.networking.k8s.io" && kind.ends_with("Route") => conditions::route(object),
        None => conditions::generic(object),
    }
}

fn terminating(object: &Value) -> String {
    let finalizers = fields::strings(object, "/metadata/finalizers");
    if finalizers.is_empty() {
        return "the object is being deleted".to_owned();
    }
    format!(
        "the object is being deleted; finalizers still to finish: {}",
        finalizers.join(", ")
    )
}

/// A status written for an older generation says nothing about the newest spec.
fn unobserved(object: &Value) -> Option<Health> {
    let generation = fields::int(object, "/metadata/generation")?;
    let observed = fields::int(object, "/status/observedGeneration")?;
    (observed < generation).then(|| {
        Health::progress(
            "GenerationNotObserved",
            format!("the controller has seen generation {observed}, the newest is {generation}"),
        )
    })
}
