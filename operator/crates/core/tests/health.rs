//! Health verdicts by kind, as a table, and what pods say about a workload.

#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "tests build values in place"
)]

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::health::HealthStatus::{self, Current, Failed, InProgress, Terminating, Unknown};
use tidegate_core::health::{assess, failed_by_pods, pod_reason, selector_of};

const NOW: &str = "2026-01-01T12:00:00Z";
const JUST_NOW: &str = "2026-01-01T11:59:55Z";
const LONG_AGO: &str = "2026-01-01T11:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 2},
           "spec": spec, "status": status})
}

fn condition(kind: &str, status: &str, reason: &str, since: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "because", "lastTransitionTime": since})
}

/// A case: name, apiVersion, kind, spec, status, verdict, reason.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    Value,
    Value,
    HealthStatus,
    &'static str,
);

fn check(cases: Vec<Case>) {
    for (name, api_version, kind, spec, status, verdict, reason) in cases {
        let health = assess(&object(api_version, kind, spec, status), now());
        assert_eq!(
            (health.status, health.reason),
            (verdict, reason),
            "{kind} {name}: {}",
            health.message
        );
        assert!(!health.message.is_empty(), "{kind} {name}");
    }
}

fn counts(replicas: i64, updated: i64, available: i64) -> Value {
    json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
           "readyReplicas": available, "availableReplicas": available, "fullyLabeledReplicas": replicas})
}

fn with(mut status: Value, conditions: Value) -> Value {
    status["conditions"] = conditions;
    status
}

#[test]
#[rustfmt::skip] // one line for each case
fn deployments() {
    let d =
        |name, spec, status, verdict, reason| (name, "apps/v1", "Deployment", spec, status, verdict, reason);
    let three = || json!({"replicas": 3});
    let refused = |since| json!([condition("ReplicaFailure", "True", "FailedCreate", since)]);
    check(vec![
        d("done", three(), counts(3, 3, 3), Current, "Available"),
        d("zero", json!({"replicas": 0}), json!({"observedGeneration": 2}), Current, "Available"),
        d("default of one", json!({}), counts(1, 1, 1), Current, "Available"),
        d("never seen", three(), json!({}), InProgress, "GenerationNotObserved"),
        d("old status", three(), json!({"observedGeneration": 1}), InProgress, "GenerationNotObserved"),
        d("creating", three(), counts(1, 1, 0), InProgress, "ReplicasMissing"),
        d("updating", three(), counts(3, 1, 3), InProgress, "ReplicasOutdated"),
        d("old pods", three(), counts(4, 3, 3), InProgress, "OldReplicasTerminating"),
        d("starting", three(), counts(3, 3, 1), InProgress, "ReplicasUnavailable"),
        d("refused a moment", three(), with(counts(1, 1, 1), refused(JUST_NOW)), InProgress, "ReplicaFailure"),
        d("refused", three(), with(counts(1, 1, 1), refused(LONG_AGO)), Failed, "ReplicaFailure"),
        d("paused", json!({"replicas": 3, "paused": true}), counts(3, 1, 3), Current, "Paused"),
        d("deadline", three(), with(counts(3, 1, 2), json!([condition("Progressing", "False", "ProgressDeadlineExceeded", JUST_NOW)])), Failed, "ProgressDeadlineExceeded"),
    ]);
}

#[test]
#[rustfmt::skip] // one line for each case
fn other_workloads() {
    let sts = |replicas: i64, updated: i64, current: &str| {
        let mut status = counts(replicas, updated, replicas);
        status["currentRevision"] = json!(current);
        status["updateRevision"] = json!("b");
        status
    };
    let ds = |updated: i64, ready: i64| {
        json!({"observedGeneration": 2, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
               "updatedNumberScheduled": updated, "numberAvailable": ready, "numberReady": ready})
    };
    let refused = || {
        with(
            counts(1, 0, 1),
            json!([condition("ReplicaFailure", "True", "FailedCreate", LONG_AGO)]),
        )
    };
    let two = || json!({"replicas": 2});
    let part = |n: i64| json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": n}}});
    let on_delete = || json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}});
    check(vec![
        ("done", "apps/v1", "StatefulSet", two(), sts(2, 2, "b"), Current, "Available"),
        ("scaling", "apps/v1", "StatefulSet", two(), sts(1, 1, "b"), InProgress, "ReplicasMissing"),
        ("too many", "apps/v1", "StatefulSet", two(), sts(3, 3, "b"), InProgress, "OldReplicasTerminating"),
        ("updating", "apps/v1", "StatefulSet", two(), sts(2, 1, "a"), InProgress, "ReplicasOutdated"),
        ("revision", "apps/v1", "StatefulSet", two(), sts(2, 2, "a"), InProgress, "RevisionNotReached"),
        ("partition", "apps/v1", "StatefulSet", part(1), sts(2, 1, "a"), Current, "PartitionedRollout"),
        ("partition open", "apps/v1", "StatefulSet", part(1), sts(2, 0, "a"), InProgress, "ReplicasOutdated"),
        ("on delete", "apps/v1", "StatefulSet", on_delete(), sts(2, 0, "a"), Current, "OnDelete"),
        ("done", "apps/v1", "DaemonSet", json!({}), ds(2, 2), Current, "Available"),
        ("updating", "apps/v1", "DaemonSet", json!({}), ds(1, 2), InProgress, "ReplicasOutdated"),
        ("starting", "apps/v1", "DaemonSet", json!({}), ds(2, 1), InProgress, "ReplicasUnavailable"),
        ("on delete", "apps/v1", "DaemonSet", on_delete(), ds(0, 2), Current, "OnDelete"),
        ("new", "apps/v1", "DaemonSet", json!({}), json!({"observedGeneration": 2}), InProgress, "NotScheduled"),
        ("done", "apps/v1", "ReplicaSet", two(), counts(2, 0, 2), Current, "Available"),
        ("starting", "apps/v1", "ReplicaSet", two(), counts(2, 0, 1), InProgress, "ReplicasUnavailable"),
        ("refused", "apps/v1", "ReplicaSet", two(), refused(), Failed, "ReplicaFailure"),
        ("done", "v1", "ReplicationController", two(), counts(2, 0, 2), Current, "Available"),
        ("starting", "v1", "ReplicationController", two(), counts(1, 0, 1), InProgress, "ReplicasMissing"),
        ("refused", "v1", "ReplicationController", two(), refused(), Failed, "ReplicaFailure"),
    ]);
}

#[test]
#[rustfmt::skip] // one line for each case
fn pods_and_jobs() {
    let phase = |phase: &str, conditions: Value| json!({"phase": phase, "startTime": LONG_AGO, "conditions": conditions});
    let is = |kind: &str, status: &str| json!([condition(kind, status, "Because", LONG_AGO)]);
    let crash = json!({"phase": "Running", "startTime": LONG_AGO, "containerStatuses": [
        {"name": "web", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
    let started = json!({"startTime": LONG_AGO, "active": 1});
    check(vec![
        ("ready", "v1", "Pod", json!({}), phase("Running", is("Ready", "True")), Current, "PodReady"),
        ("ended", "v1", "Pod", json!({}), phase("Succeeded", json!([])), Current, "PodSucceeded"),
        ("starting", "v1", "Pod", json!({}), phase("Pending", json!([])), InProgress, "PodNotReady"),
        ("failed", "v1", "Pod", json!({}), phase("Failed", json!([])), Failed, "PodFailed"),
        ("lost", "v1", "Pod", json!({}), phase("Unknown", json!([])), Unknown, "PodUnknown"),
        ("crashing", "v1", "Pod", json!({}), crash, Failed, "PodFailing"),
        ("complete", "batch/v1", "Job", json!({}), with(started.clone(), is("Complete", "True")), Current, "JobComplete"),
        ("suspended", "batch/v1", "Job", json!({"suspend": true}), json!({}), Current, "JobSuspended"),
        ("new", "batch/v1", "Job", json!({}), json!({}), InProgress, "JobNotStarted"),
        ("running", "batch/v1", "Job", json!({}), started.clone(), InProgress, "JobRunning"),
        ("failed", "batch/v1", "Job", json!({}), with(started, is("Failed", "True")), Failed, "JobFailed"),
        ("there", "batch/v1", "CronJob", json!({}), json!({}), Current, "Scheduled"),
        ("off", "batch/v1", "CronJob", json!({"suspend": true}), json!({}), Current, "CronJobSuspended"),
    ]);
    let mut pod = object(
        "v1",
        "Pod",
        json!({}),
        json!({"phase": "Pending", "conditions": [
        condition("PodScheduled", "False", "Unschedulable", JUST_NOW)]}),
    );
    pod["metadata"]["creationTimestamp"] = json!(JUST_NOW);
    assert_eq!(
        assess(&pod, now()).status,
        InProgress,
        "a scheduler gets its 15 seconds"
    );
    pod["metadata"]["creationTimestamp"] = json!(LONG_AGO);
    assert_eq!(assess(&pod, now()).status, Failed);
}

#[test]
#[rustfmt::skip] // one line for each case
fn networking_and_storage() {
    let lb = || json!({"type": "LoadBalancer"});
    let hpa = |status: &str, reason: &str, since: &str| {
        json!({"conditions": [condition("AbleToScale", "True", "ReadyForNewScale", LONG_AGO),
                              condition("ScalingActive", status, reason, since)]})
    };
    let two = "autoscaling/v2";
    let kind = "HorizontalPodAutoscaler";
    let none = || json!({});
    let phase = |phase: &str| json!({ "phase": phase });
    let pdb = |healthy: i64| json!({"observedGeneration": 2, "currentHealthy": healthy, "desiredHealthy": 1});
    let sync = json!({"conditions": [condition("DisruptionAllowed", "False", "SyncFailed", LONG_AGO)]});
    let ingress = || json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let error = json!({"attachError": {"message": "no such disk"}});
    check(vec![
        ("cluster ip", "v1", "Service", none(), none(), Current, "Exists"),
        ("waiting", "v1", "Service", lb(), none(), InProgress, "LoadBalancerPending"),
        ("address", "v1", "Service", lb(), ingress(), Current, "LoadBalancerReady"),
        ("bound", "v1", "PersistentVolumeClaim", none(), phase("Bound"), Current, "Bound"),
        ("pending", "v1", "PersistentVolumeClaim", none(), phase("Pending"), InProgress, "NotBound"),
        ("lost", "v1", "PersistentVolumeClaim", none(), phase("Lost"), Failed, "Lost"),
        ("free", "v1", "PersistentVolume", none(), phase("Available"), Current, "Available"),
        ("pending", "v1", "PersistentVolume", none(), phase("Pending"), InProgress, "VolumePending"),
        ("failed", "v1", "PersistentVolume", none(), phase("Failed"), Failed, "VolumeFailed"),
        ("on", "storage.k8s.io/v1", "VolumeAttachment", none(), json!({"attached": true}), Current, "Attached"),
        ("off", "storage.k8s.io/v1", "VolumeAttachment", none(), none(), InProgress, "NotAttached"),
        ("error", "storage.k8s.io/v1", "VolumeAttachment", none(), error, Failed, "AttachError"),
        ("met", "policy/v1", "PodDisruptionBudget", none(), pdb(1), Current, "BudgetMet"),
        ("unmet", "policy/v1", "PodDisruptionBudget", none(), pdb(0), InProgress, "BudgetNotMet"),
        ("sync", "policy/v1", "PodDisruptionBudget", none(), sync, Failed, "SyncFailed"),
        ("works", two, kind, none(), hpa("True", "ValidMetricFound", LONG_AGO), Current, "ScalingActive"),
        ("off", two, kind, none(), hpa("False", "ScalingDisabled", LONG_AGO), Current, "ScalingActive"),
        ("new", two, kind, none(), none(), InProgress, "NotObserved"),
        ("no metrics yet", two, kind, none(), hpa("False", "FailedGetResourceMetric", JUST_NOW), InProgress, "ScalingInactive"),
        ("no metrics", two, kind, none(), hpa("False", "FailedGetResourceMetric", LONG_AGO), Failed, "ScalingInactive"),
        ("selector", two, kind, none(), hpa("False", "InvalidSelector", JUST_NOW), Failed, "ScalingInactive"),
        ("old version", "autoscaling/v1", kind, none(), none(), Current, "Exists"),
        ("new", "networking.k8s.io/v1", "Ingress", none(), none(), Current, "Exists"),
        ("address", "networking.k8s.io/v1", "Ingress", none(), ingress(), Current, "AddressAssigned"),
    ]);
}

#[test]
#[rustfmt::skip] // one line for each case
fn cluster_plumbing() {
    let is = |kind: &str, status: &str, reason: &str, since: &str| json!({"conditions": [condition(kind, status, reason, since)]});
    let none = || json!({});
    let (crd, ext) = ("CustomResourceDefinition", "apiextensions.k8s.io/v1");
    let (api, reg) = ("APIService", "apiregistration.k8s.io/v1");
    let (csr, cert) = ("CertificateSigningRequest", "certificates.k8s.io/v1");
    let (flow, fc) = ("FlowSchema", "flowcontrol.apiserver.k8s.io/v1");
    let hard = || json!({"hard": {"pods": "3"}});
    check(vec![
        ("active", "v1", "Namespace", none(), json!({"phase": "Active"}), Current, "Active"),
        ("going", "v1", "Namespace", none(), json!({"phase": "Terminating"}), Terminating, "Terminating"),
        ("ready", "v1", "Node", none(), is("Ready", "True", "KubeletReady", LONG_AGO), Current, "NodeReady"),
        ("new", "v1", "Node", none(), none(), InProgress, "NodeNotReady"),
        ("broken", "v1", "Node", none(), is("Ready", "False", "KubeletNotReady", LONG_AGO), Failed, "NodeNotReady"),
        ("silent", "v1", "Node", none(), is("Ready", "Unknown", "NodeStatusUnknown", LONG_AGO), Unknown, "NodeUnknown"),
        ("seen", "v1", "ResourceQuota", hard(), hard(), Current, "QuotaInForce"),
        ("new", "v1", "ResourceQuota", hard(), none(), InProgress, "QuotaNotObserved"),
        ("served", ext, crd, none(), is("Established", "True", "InitialNamesAccepted", LONG_AGO), Current, "Established"),
        ("new", ext, crd, none(), none(), InProgress, "NotEstablished"),
        ("installing", ext, crd, none(), is("Established", "False", "Installing", LONG_AGO), InProgress, "NotEstablished"),
        ("refused", ext, crd, none(), is("Established", "False", "NotAccepted", LONG_AGO), Failed, "NotEstablished"),
        ("names", ext, crd, none(), is("NamesAccepted", "False", "KindConflict", LONG_AGO), Failed, "NamesNotAccepted"),
        ("served", reg, api, none(), is("Available", "True", "Passed", LONG_AGO), Current, "Available"),
        ("new", reg, api, none(), none(), InProgress, "NotObserved"),
        ("starting", reg, api, none(), is("Available", "False", "MissingEndpoints", JUST_NOW), InProgress, "Unavailable"),
        ("down", reg, api, none(), is("Available", "False", "MissingEndpoints", LONG_AGO), Failed, "Unavailable"),
        ("signed", cert, csr, none(), json!({"certificate": "eA=="}), Current, "Signed"),
        ("new", cert, csr, none(), none(), InProgress, "NotApproved"),
        ("approved", cert, csr, none(), is("Approved", "True", "Fine", LONG_AGO), InProgress, "Approved"),
        ("denied", cert, csr, none(), is("Denied", "True", "No", LONG_AGO), Failed, "NotSigned"),
        ("fine", fc, flow, none(), is("Dangling", "False", "Found", LONG_AGO), Current, "Exists"),
        ("dangling", fc, flow, none(), is("Dangling", "True", "NotFound", LONG_AGO), Failed, "Dangling"),
    ]);
}

#[test]
fn kinds_without_a_status_are_current_when_they_exist() {
    for (api_version, kind) in [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "ServiceAccount"),
        ("v1", "LimitRange"),
        ("v1", "Endpoints"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("networking.k8s.io/v1", "IngressClass"),
        ("storage.k8s.io/v1", "StorageClass"),
        ("storage.k8s.io/v1", "CSIDriver"),
        ("scheduling.k8s.io/v1", "PriorityClass"),
        ("node.k8s.io/v1", "RuntimeClass"),
        ("coordination.k8s.io/v1", "Lease"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
        ),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
        ),
    ] {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        assert_eq!(assess(&object, now()).status, Current, "{kind}");
    }
}

#[test]
#[rustfmt::skip] // one line for each case
fn custom_resources_by_their_conditions() {
    let cr = |name, conditions, verdict, reason| {
        (
            name,
            "example.com/v1",
            "Database",
            json!({}),
            json!({ "conditions": conditions }),
            verdict,
            reason,
        )
    };
    let c = |kind, status| condition(kind, status, "Because", LONG_AGO);
    let mut old = c("Ready", "True");
    old["observedGeneration"] = json!(1);
    let invalid = condition("Accepted", "False", "Invalid", LONG_AGO);
    check(vec![
        cr("silent", json!([]), Current, "Exists"),
        cr("ready", json!([c("Ready", "True")]), Current, "ConditionTrue"),
        cr("not ready", json!([c("Ready", "False")]), InProgress, "ConditionFalse"),
        cr("unknown", json!([c("Ready", "Unknown")]), InProgress, "ConditionUnknown"),
        cr("stalled", json!([c("Ready", "False"), c("Stalled", "True")]), Failed, "Stalled"),
        cr("failed", json!([c("Failed", "True")]), Failed, "Failed"),
        cr("busy", json!([c("Ready", "True"), c("Reconciling", "True")]), InProgress, "Reconciling"),
        cr("available", json!([c("Available", "True")]), Current, "ConditionTrue"),
        cr("unavailable", json!([c("Available", "False")]), InProgress, "ConditionFalse"),
        cr("stale", json!([old]), InProgress, "GenerationNotObserved"),
        cr("invalid", json!([invalid]), Failed, "ConditionFalse"),
    ]);
    let parent = |status: &str, reason: &str| json!({"parents": [{"conditions": [condition("Accepted", status, reason, LONG_AGO)]}]});
    let gw = "gateway.networking.k8s.io/v1";
    check(vec![
        ("accepted", gw, "HTTPRoute", json!({}), parent("True", "Accepted"), Current, "Accepted"),
        ("new", gw, "HTTPRoute", json!({}), json!({}), InProgress, "NotAccepted"),
        ("refused", gw, "HTTPRoute", json!({}), parent("False", "NoMatchingParent"), Failed, "NotAccepted"),
    ]);
}

#[test]
fn a_deletion_is_said_before_all_else() {
    let mut object = object("apps/v1", "Deployment", json!({}), counts(1, 1, 1));
    object["metadata"]["deletionTimestamp"] = json!(NOW);
    object["metadata"]["finalizers"] = json!(["example.com/wait"]);
    let health = assess(&object, now());
    assert_eq!(health.status, Terminating);
    assert!(health.message.contains("example.com/wait"));
}

fn pod(hash: &str, created: &str, container: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": format!("web-{hash}"), "creationTimestamp": created,
                        "labels": {"pod-template-hash": hash}},
           "status": {"phase": "Pending", "startTime": created, "containerStatuses": [container]}})
}

fn backing_off() -> Value {
    json!({"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff",
        "message": "Back-off pulling image \"shop:nope\"\u{1b}[31m"}}})
}

fn crashing(restarts: i64) -> Value {
    json!({"name": "web", "restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
           "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}})
}

#[test]
fn pods_tell_the_most_telling_reason() {
    let text = pod_reason(&[pod("a", LONG_AGO, crashing(5)), pod("b", LONG_AGO, backing_off())]).unwrap();
    assert!(
        text.starts_with("ImagePullBackOff: Back-off pulling image \"shop:nope\""),
        "{text}"
    );
    assert!(
        text.contains("(container web)") && text.contains("(pod web-b)"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
    let text = pod_reason(&[pod("a", LONG_AGO, crashing(5)), pod("c", LONG_AGO, crashing(5))]).unwrap();
    assert_eq!(
        text,
        "CrashLoopBackOff: container web restarted 5 times, exit code 137 (OOMKilled) (pod web-a and 1 more like it)"
    );
    let mut init = pod(
        "a",
        LONG_AGO,
        json!({"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}),
    );
    init["status"]["initContainerStatuses"] = json!([{"name": "migrate", "state": {"waiting": {
        "reason": "CreateContainerConfigError", "message": "secret \"db\" not found"}}}]);
    assert!(
        pod_reason(&[init])
            .unwrap()
            .starts_with("CreateContainerConfigError: secret \"db\" not found")
    );
    let mut unplaced = pod("a", LONG_AGO, json!({}));
    unplaced["status"]["conditions"] = json!([condition("PodScheduled", "False", "Unschedulable", LONG_AGO)]);
    assert!(
        pod_reason(&[unplaced])
            .unwrap()
            .starts_with("Unschedulable: because")
    );
    let killed = json!({"name": "web", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}});
    assert!(
        pod_reason(&[pod("a", LONG_AGO, killed)])
            .unwrap()
            .contains("exit code 137 (OOMKilled)")
    );
    assert_eq!(pod_reason(&[]), None);
}

#[test]
fn a_workload_fails_early_only_by_its_newest_pods() {
    let deployment = object("apps/v1", "Deployment", json!({"replicas": 2}), counts(3, 1, 2));
    let failed = |pods: &[Value]| failed_by_pods(&deployment, pods, now());
    let old = || pod("old", "2026-01-01T10:00:00Z", crashing(9));
    let health = failed(&[old(), pod("new", LONG_AGO, backing_off())]).unwrap();
    assert_eq!((health.status, health.reason), (Failed, "PodsFailing"));
    assert!(
        health.message.starts_with("ImagePullBackOff: "),
        "{}",
        health.message
    );
    let starting = json!({"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}});
    assert_eq!(
        failed(&[old(), pod("new", LONG_AGO, starting)]),
        None,
        "old pods do not count"
    );
    assert_eq!(
        failed(&[pod("new", JUST_NOW, backing_off())]),
        None,
        "a registry gets a moment"
    );
    assert_eq!(
        failed(&[pod("new", "2026-01-01T11:59:00Z", crashing(1))]),
        None,
        "one crash is no loop"
    );
    assert!(failed(&[pod("new", "2026-01-01T11:59:00Z", crashing(3))]).is_some());
    let mut ready = pod("new", LONG_AGO, json!({}));
    ready["status"]["conditions"] = json!([condition("Ready", "True", "", LONG_AGO)]);
    assert_eq!(
        failed(&[ready, pod("new", LONG_AGO, backing_off())]),
        None,
        "the revision can work"
    );
    let mut corrected = deployment.clone();
    corrected["metadata"]["generation"] = 3.into();
    assert_eq!(
        failed_by_pods(&corrected, &[pod("new", LONG_AGO, backing_off())], now()),
        None,
        "the controller has not seen the correction: these are the pods of the revision before"
    );
    let done = object("apps/v1", "Deployment", json!({"replicas": 2}), counts(2, 2, 2));
    assert_eq!(
        failed_by_pods(&done, &[pod("new", LONG_AGO, backing_off())], now()),
        None
    );
    let job = object("batch/v1", "Job", json!({}), json!({"startTime": LONG_AGO}));
    assert_eq!(
        failed_by_pods(&job, &[pod("x", LONG_AGO, crashing(9))], now()),
        None,
        "backoffLimit counts"
    );
    assert!(failed_by_pods(&job, &[pod("x", LONG_AGO, backing_off())], now()).is_some());
}

#[test]
fn selectors_carry_labels_and_expressions() {
    let selector = json!({"selector": {"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "x", "operator": "DoesNotExist"},
        {"key": "y", "operator": "Exists"}, {"key": "z", "operator": "NotIn", "values": ["c"]}]}});
    let of = |kind: &str, spec: Value| selector_of(&object("apps/v1", kind, spec, json!({})));
    assert_eq!(
        of("Deployment", selector).unwrap(),
        "app=web,tier in (a,b),!x,y,z notin (c)"
    );
    assert_eq!(
        of("ReplicationController", json!({"selector": {"app": "web"}})).unwrap(),
        "app=web"
    );
    assert_eq!(
        of("Deployment", json!({"selector": {}})),
        None,
        "would match every pod"
    );
    assert_eq!(of("Service", json!({"selector": {"app": "web"}})), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = [
        "kind",
        "metadata",
        "status",
        "spec",
        "conditions",
        "replicas",
        "selector",
        "phase",
        "state",
        "waiting",
        "reason",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!(LONG_AGO)),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(keys.to_vec()), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_gets_a_verdict(
        status in any_json(), spec in any_json(), metadata in any_json(), pods in proptest::collection::vec(any_json(), 0..3),
        kind in proptest::sample::select(vec![("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"),
            ("v1", "Pod"), ("batch/v1", "Job"), ("v1", "ResourceQuota"), ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("gateway.networking.k8s.io/v1", "HTTPRoute"), ("example.com/v1", "Thing")]),
    ) {
        let object = json!({"apiVersion": kind.0, "kind": kind.1, "metadata": metadata, "spec": spec, "status": status});
        prop_assert!(assess(&object, now()).message.chars().count() <= 620);
        let _ = (selector_of(&object), failed_by_pods(&object, &pods, now()), pod_reason(&pods), assess(&status, now()));
    }
}
