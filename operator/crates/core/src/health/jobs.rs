//! Health of what runs once: Pod, Job, and CronJob which makes them.

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{condition, count, is_true, older, string, truth, why};
use super::pods::{hopeless, pod_reason};
use super::{Health, HealthStatus};

/// kstatus' window: a pod no node takes within it counts as failed.
const SCHEDULE_GRACE: i64 = 15;

pub(super) fn pod(object: &Value, now: Timestamp) -> Health {
    let pods = std::slice::from_ref(object);
    let told = || pod_reason(pods).unwrap_or_else(|| "containers are starting".to_owned());
    match string(object, "/status/phase") {
        Some("Succeeded") => return Health::current("PodSucceeded", "the pod ran to its end"),
        Some("Failed") => return Health::failed("PodFailed", format!("the pod failed: {}", told())),
        Some("Unknown") => {
            return Health::new(
                HealthStatus::Unknown,
                "PodUnknown",
                "the pod's node does not answer",
            );
        }
        Some("Running") if is_true(object, "Ready") => {
            return Health::current("PodReady", "the pod is ready");
        }
        _ => {}
    }
    if hopeless(object, now) {
        return Health::failed("PodFailing", told());
    }
    let unschedulable = condition(object, "PodScheduled")
        .filter(|c| truth(c) == Some(false) && string(c, "/reason") == Some("Unschedulable"));
    match unschedulable {
        Some(c) if older(object, "/metadata/creationTimestamp", now, SCHEDULE_GRACE) => {
            Health::failed("Unschedulable", why(c))
        }
        Some(c) => Health::progress("Unschedulable", why(c)),
        None => Health::progress("PodNotReady", told()),
    }
}

/// A Job is current when complete (or suspended, as asked), not merely started: later waves build on its work.
pub(super) fn job(object: &Value, _now: Timestamp) -> Health {
    if let Some(failed) = condition(object, "Failed").filter(|c| truth(c) == Some(true)) {
        return Health::failed("JobFailed", why(failed));
    }
    let succeeded = count(object, "/status/succeeded");
    if is_true(object, "Complete") {
        return Health::current(
            "JobComplete",
            format!("the job is complete, {succeeded} pods succeeded"),
        );
    }
    let suspended = object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    if suspended || is_true(object, "Suspended") {
        return Health::current("JobSuspended", "the job is suspended");
    }
    if string(object, "/status/startTime").is_none() {
        return Health::progress("JobNotStarted", "the job has not started");
    }
    let active = count(object, "/status/active");
    let failed = count(object, "/status/failed");
    Health::progress(
        "JobRunning",
        format!("{active} pods active, {succeeded} succeeded, {failed} failed"),
    )
}

/// Failing runs are the Jobs' own matter; the schedule itself stands once it exists.
pub(super) fn cron_job(object: &Value, _now: Timestamp) -> Health {
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Health::current("CronJobSuspended", "the schedule is suspended");
    }
    Health::current("Scheduled", "the schedule is in place")
}
