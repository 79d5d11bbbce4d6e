//! Health of the replicated workloads: Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController.
//!
//! Rules follow `kubectl rollout status` and kstatus. Owns no pod knowledge: see `pods`.

use jiff::Timestamp;
use serde_json::Value;

use super::Health;
use super::fields::{condition, count, int, older, string, truth, why};

/// How long replicas may be refused (quota, admission) before it counts as failed: a rolling update under a tight
/// quota is refused its surge pod for moments and goes on.
const REPLICA_FAILURE_GRACE: i64 = 60;

/// These controllers always publish `observedGeneration`; a status without it was never written.
fn never_observed(object: &Value) -> Option<Health> {
    let unseen =
        int(object, "/metadata/generation").is_some() && int(object, "/status/observedGeneration").is_none();
    unseen.then(|| {
        Health::progress(
            "GenerationNotObserved",
            "the controller has not seen this object yet",
        )
    })
}

/// The first of the steps still short of its goal, as "n of m <what>".
fn short_of(steps: &[(i64, i64, &'static str, &str)]) -> Option<Health> {
    let (have, want, reason, what) = steps.iter().find(|(have, want, ..)| have < want)?;
    Some(Health::progress(
        reason,
        format!("{have} of {want} replicas {what}"),
    ))
}

fn replica_failure(object: &Value, now: Timestamp) -> Option<Health> {
    let failure = condition(object, "ReplicaFailure").filter(|c| truth(c) == Some(true))?;
    let message = format!("replicas cannot be created: {}", why(failure));
    if older(failure, "/lastTransitionTime", now, REPLICA_FAILURE_GRACE) {
        return Some(Health::failed("ReplicaFailure", message));
    }
    Some(Health::progress("ReplicaFailure", message))
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let exceeded =
        condition(object, "Progressing").filter(|c| string(c, "/reason") == Some("ProgressDeadlineExceeded"));
    if let Some(progressing) = exceeded {
        return Health::failed("ProgressDeadlineExceeded", why(progressing));
    }
    let want = int(object, "/spec/replicas").unwrap_or(1);
    let [replicas, updated, available, ready] = [
        "replicas",
        "updatedReplicas",
        "availableReplicas",
        "readyReplicas",
    ]
    .map(|field| count(object, &format!("/status/{field}")));
    if object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        // Paused is what git asks for; waiting for a rollout that nobody started would end in a timeout.
        return short_of(&[(available, replicas, "ReplicasUnavailable", "available")]).unwrap_or_else(|| {
            Health::current(
                "Paused",
                format!("rollout paused; {updated} of {want} replicas updated"),
            )
        });
    }
    if let Some(health) = replica_failure(object, now).filter(|_| available < want || updated < want) {
        return health;
    }
    if let Some(health) = short_of(&[
        (replicas, want, "ReplicasMissing", "created"),
        (updated, want, "ReplicasOutdated", "updated"),
    ]) {
        return health;
    }
    if replicas > updated.max(want) {
        let extra = replicas - updated.max(want);
        return Health::progress(
            "OldReplicasTerminating",
            format!("{extra} old replicas still to terminate"),
        );
    }
    short_of(&[
        (available, want, "ReplicasUnavailable", "available"),
        (ready, want, "ReplicasNotReady", "ready"),
    ])
    .unwrap_or_else(|| Health::current("Available", format!("{want} of {want} replicas available")))
}

pub(super) fn stateful_set(object: &Value, _now: Timestamp) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let want = int(object, "/spec/replicas").unwrap_or(1);
    let replicas = count(object, "/status/replicas");
    let ready = count(object, "/status/readyReplicas");
    // Servers older than 1.22 do not publish availability; ready is what they have.
    let available = int(object, "/status/availableReplicas").unwrap_or(ready);
    if let Some(health) = short_of(&[
        (replicas, want, "ReplicasMissing", "created"),
        (ready, want, "ReplicasNotReady", "ready"),
        (available, want, "ReplicasUnavailable", "available"),
    ]) {
        return health;
    }
    if replicas > want {
        let extra = replicas - want;
        return Health::progress(
            "OldReplicasTerminating",
            format!("{extra} replicas too many, still to terminate"),
        );
    }
    if string(object, "/spec/updateStrategy/type") == Some("OnDelete") {
        return Health::current(
            "OnDelete",
            format!("{ready} replicas ready; updated when their pods are deleted"),
        );
    }
    let updated = count(object, "/status/updatedReplicas");
    let partition = count(object, "/spec/updateStrategy/rollingUpdate/partition").max(0);
    let to_update = want.saturating_sub(partition);
    if let Some(health) = short_of(&[(updated, to_update, "ReplicasOutdated", "updated")]) {
        return health;
    }
    if partition > 0 {
        return Health::current(
            "PartitionedRollout",
            format!("{updated} of {to_update} replicas above partition {partition} updated"),
        );
    }
    match (
        string(object, "/status/currentRevision"),
        string(object, "/status/updateRevision"),
    ) {
        (Some(current), Some(update)) if current != update && want > 0 => Health::progress(
            "RevisionNotReached",
            format!("revision {update} is not yet the current one ({current})"),
        ),
        _ => Health::current("Available", format!("{ready} of {want} replicas ready")),
    }
}

pub(super) fn daemon_set(object: &Value, _now: Timestamp) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let Some(want) = int(object, "/status/desiredNumberScheduled") else {
        return Health::progress("NotScheduled", "the controller has not counted the nodes yet");
    };
    let of = |field: &str| count(object, &format!("/status/{field}"));
    let on_delete = string(object, "/spec/updateStrategy/type") == Some("OnDelete");
    let updated = if on_delete {
        want
    } else {
        of("updatedNumberScheduled")
    };
    short_of(&[
        (of("currentNumberScheduled"), want, "ReplicasMissing", "scheduled"),
        (updated, want, "ReplicasOutdated", "updated"),
        (of("numberAvailable"), want, "ReplicasUnavailable", "available"),
        (of("numberReady"), want, "ReplicasNotReady", "ready"),
    ])
    .unwrap_or_else(|| {
        let reason = if on_delete { "OnDelete" } else { "Available" };
        Health::current(reason, format!("{want} of {want} nodes run it"))
    })
}

/// Serves ReplicationController too: the fields read have the same names.
pub(super) fn replica_set(object: &Value, now: Timestamp) -> Health {
    if let Some(health) = never_observed(object) {
        return health;
    }
    let want = int(object, "/spec/replicas").unwrap_or(1);
    let of = |field: &str| count(object, &format!("/status/{field}"));
    let available = of("availableReplicas");
    if let Some(health) = replica_failure(object, now).filter(|_| available < want) {
        return health;
    }
    let replicas = of("replicas");
    if let Some(health) = short_of(&[
        (replicas, want, "ReplicasMissing", "created"),
        (
            of("fullyLabeledReplicas"),
            want,
            "ReplicasOutdated",
            "labelled as the template says",
        ),
        (available, want, "ReplicasUnavailable", "available"),
        (of("readyReplicas"), want, "ReplicasNotReady", "ready"),
    ]) {
        return health;
    }
    if replicas > want {
        let extra = replicas - want;
        return Health::progress(
            "OldReplicasTerminating",
            format!("{extra} replicas too many, still to terminate"),
        );
    }
    Health::current("Available", format!("{want} of {want} replicas available"))
}
