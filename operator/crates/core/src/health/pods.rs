//! What the pods of a workload say about why it does not become ready.
//!
//! Owns the ranking of reasons and the rule for failing early. May not list pods: they are passed in.
//!
//! The rule against flapping: a workload is failed early only if it is in progress, no pod of its *newest* revision
//! is ready, and at least one of those is hopeless: its image name is invalid; its image or its configuration could
//! not be had for 30 s (the kubelet has then tried three times); or a container came back three times or crashes
//! since two minutes. Old pods never count. Registry hiccups and a database that starts a little later than its client
//! therefore do not fail a release. The verdict is of the moment: who acts on it decides once and does not ask again.

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{bounded, condition, count, int, is_true, list, older, string, truth, why};
use super::{Health, HealthStatus, assess, unobserved};

/// How long an image or a referenced ConfigMap may be missing.
const WAITING_GRACE: i64 = 30;
/// How long a container may crash when its restarts are not counted.
const CRASH_GRACE: i64 = 120;
/// Restarts after which a crash loop is one.
const CRASH_RESTARTS: i64 = 3;
const MAX_REASON: usize = 480;

const CONFIG_ERRORS: &[&str] = &[
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
const IMAGE_ERRORS: &[&str] = &[
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// The most telling reason among the pods, most telling first: `ImagePullBackOff: Back-off pulling image ...`.
///
/// Init containers count as containers. Pods being deleted and ready pods say nothing. `None` when no pod has a
/// reason. At most about 500 characters.
pub fn pod_reason(pods: &[Value]) -> Option<String> {
    let mut best: Option<(u8, String, &Value)> = None;
    let mut alike = 0_usize;
    for pod in pods
        .iter()
        .filter(|pod| !terminating(pod) && !is_true(pod, "Ready"))
    {
        let Some((rank, text)) = reason_of(pod) else {
            continue;
        };
        match &best {
            Some((best_rank, ..)) if rank > *best_rank => {}
            Some((best_rank, ..)) if rank == *best_rank => alike += 1,
            _ => {
                best = Some((rank, text, pod));
                alike = 1;
            }
        }
    }
    let (_, text, pod) = best?;
    let name = string(pod, "/metadata/name").unwrap_or("unnamed");
    let others = if alike > 1 {
        format!(" and {} more like it", alike - 1)
    } else {
        String::new()
    };
    Some(format!(
        "{} (pod {}{others})",
        bounded(&text, MAX_REASON),
        bounded(name, 70)
    ))
}

/// `Failed` for a workload in progress whose newest pods cannot become ready; the module says the rule.
pub fn failed_by_pods(workload: &Value, pods: &[Value], now: Timestamp) -> Option<Health> {
    // What the controller has not seen yet has no pods: the newest ones are of the revision before.
    if assess(workload, now).status != HealthStatus::InProgress || unobserved(workload).is_some() {
        return None;
    }
    let newest = newest_pods(workload, pods)?;
    if newest.iter().any(|pod| is_true(pod, "Ready")) {
        return None;
    }
    let is_job = string(workload, "/kind") == Some("Job");
    // A Job's own backoffLimit counts its crashes; only what never runs is hopeless.
    let stuck: Vec<Value> = newest
        .into_iter()
        .filter(|pod| {
            if is_job {
                never_runs(pod, now)
            } else {
                hopeless(pod, now)
            }
        })
        .cloned()
        .collect();
    Some(Health::failed("PodsFailing", pod_reason(&stuck)?))
}

/// Whether waiting will not make this pod ready.
pub(super) fn hopeless(pod: &Value, now: Timestamp) -> bool {
    never_runs(pod, now) || containers(pod).any(|container| crash_looping(pod, container, now))
}

fn never_runs(pod: &Value, now: Timestamp) -> bool {
    containers(pod)
        .filter_map(waiting)
        .any(|(reason, _)| match reason {
            "InvalidImageName" => true,
            _ if CONFIG_ERRORS.contains(&reason) || IMAGE_ERRORS.contains(&reason) => {
                older_pod(pod, now, WAITING_GRACE)
            }
            _ => false,
        })
}

fn crash_looping(pod: &Value, container: &Value, now: Timestamp) -> bool {
    let looping = waiting(container).is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    looping && (count(container, "/restartCount") >= CRASH_RESTARTS || older_pod(pod, now, CRASH_GRACE))
}

fn older_pod(pod: &Value, now: Timestamp, seconds: i64) -> bool {
    let pointer = if string(pod, "/status/startTime").is_some() {
        "/status/startTime"
    } else {
        "/metadata/creationTimestamp"
    };
    older(pod, pointer, now, seconds)
}

/// The pods of the revision being rolled out, by the hash labels the controllers set. `None` when it has none yet.
fn newest_pods<'a>(workload: &Value, pods: &'a [Value]) -> Option<Vec<&'a Value>> {
    let alive = || pods.iter().filter(|pod| !terminating(pod));
    let revision = |pod: &'a Value, label: &str| -> Option<&'a str> {
        pod.pointer("/metadata/labels")?.get(label)?.as_str()
    };
    let (label, wanted) = match string(workload, "/kind")? {
        "Deployment" if count(workload, "/status/updatedReplicas") < 1 => return None,
        "DaemonSet" if count(workload, "/status/updatedNumberScheduled") < 1 => return None,
        "Deployment" => ("pod-template-hash", None),
        "StatefulSet" => (
            "controller-revision-hash",
            Some(string(workload, "/status/updateRevision")?),
        ),
        "DaemonSet" => ("controller-revision-hash", None),
        "ReplicaSet" | "ReplicationController" | "Job" => return Some(alive().collect()),
        _ => return None,
    };
    // A revision began when its first pod did: a pod of an old one recreated later does not make that the newest.
    let born = |hash: &str| {
        alive()
            .filter(|pod| revision(pod, label) == Some(hash))
            .filter_map(|pod| {
                string(pod, "/metadata/creationTimestamp")?
                    .parse::<Timestamp>()
                    .ok()
            })
            .min()
    };
    let newest = match wanted {
        Some(hash) => hash,
        None => alive()
            .filter_map(|pod| revision(pod, label))
            .max_by_key(|hash| born(hash))?,
    };
    Some(
        alive()
            .filter(|pod| revision(pod, label) == Some(newest))
            .collect(),
    )
}

fn terminating(pod: &Value) -> bool {
    string(pod, "/metadata/deletionTimestamp").is_some()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(list(pod, "/status/containerStatuses"))
}

fn waiting(container: &Value) -> Option<(&str, &Value)> {
    let state = container.pointer("/state/waiting")?;
    Some((string(state, "/reason")?, state))
}

/// Rank (lower tells more) and text of one pod's best reason.
fn reason_of(pod: &Value) -> Option<(u8, String)> {
    let of_containers = containers(pod).filter_map(container_reason);
    of_containers.chain(pod_level(pod)).min_by_key(|(rank, _)| *rank)
}

fn container_reason(container: &Value) -> Option<(u8, String)> {
    let name = bounded(string(container, "/name").unwrap_or("unnamed"), 70);
    if let Some((reason, state)) = waiting(container) {
        return match reason {
            "CrashLoopBackOff" => Some((2, crash_text(container, &name))),
            "InvalidImageName" => Some((0, with_container(state, &name))),
            _ if CONFIG_ERRORS.contains(&reason) => Some((0, with_container(state, &name))),
            _ if IMAGE_ERRORS.contains(&reason) => Some((1, with_container(state, &name))),
            // ContainerCreating and PodInitializing are the ordinary way.
            _ => None,
        };
    }
    let ended = container.pointer("/state/terminated")?;
    (int(ended, "/exitCode").unwrap_or(0) != 0)
        .then(|| (3, format!("container {name} ended: {}", exit_text(ended))))
}

fn with_container(state: &Value, name: &str) -> String {
    format!("{} (container {name})", why(state))
}

fn crash_text(container: &Value, name: &str) -> String {
    let restarts = count(container, "/restartCount");
    let last = container
        .pointer("/lastState/terminated")
        .map_or_else(String::new, |ended| format!(", {}", exit_text(ended)));
    format!("CrashLoopBackOff: container {name} restarted {restarts} times{last}")
}

fn exit_text(ended: &Value) -> String {
    let code = int(ended, "/exitCode").map_or_else(String::new, |code| format!("exit code {code}"));
    let reason = string(ended, "/reason").map_or_else(String::new, |reason| format!(" ({reason})"));
    let message =
        string(ended, "/message").map_or_else(String::new, |text| format!(": {}", bounded(text.trim(), 200)));
    format!("{code}{reason}{message}")
}

/// Reasons the pod itself has: evicted, refused by the node, no node takes it, not ready.
fn pod_level(pod: &Value) -> Option<(u8, String)> {
    if string(pod, "/status/phase") == Some("Failed") && string(pod, "/status/reason").is_some() {
        return Some((4, why(pod.get("status")?)));
    }
    let unplaced = condition(pod, "PodScheduled").filter(|c| truth(c) == Some(false));
    if let Some(unplaced) = unplaced {
        return Some((5, why(unplaced)));
    }
    let unready = condition(pod, "ContainersReady").filter(|c| truth(c) == Some(false))?;
    string(pod, "/status/phase").filter(|phase| *phase == "Running")?;
    Some((6, why(unready)))
}
