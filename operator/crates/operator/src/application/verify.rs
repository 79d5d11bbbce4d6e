//! Waiting for health: holds no worker; live changes and the deadline wake it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::Application;
use tidegate_api::release::{Failure, Phase};
use tidegate_core::health::{HealthStatus, failed_by_pods, pod_reason, selector_of};
use tidegate_core::object::ObjectId;
use tidegate_core::record::failure_line;
use tidegate_core::status::{Observed, Progress};

use crate::application::release::{self, Open};
use crate::application::status::Edits;
use crate::application::{AppState, release::health_timeout};
use crate::state::{Again, Operator};
use crate::store::Key;

/// How often the pods of workloads that are not ready are looked at.
const POD_LOOK: Duration = Duration::from_secs(3);
/// Most workloads whose pods are looked at in one go.
const MAX_WORKLOADS: usize = 10;

/// Looks at an applied release. Returns when to come again; the release is closed when it is decided.
pub(crate) async fn verify(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    observed: &Observed,
    edits: &mut Edits,
) -> Result<Again, String> {
    let Some(mut open) = state.open.take() else {
        return Ok(Again::Never);
    };
    let now = Timestamp::now();
    if observed.healthy() {
        let message = format!(
            "{} of {} objects are healthy",
            observed.counts.healthy, observed.counts.total
        );
        let finished = release::finish(operator, key, app, &mut open, Phase::Succeeded, &message).await;
        return close(state, open, edits, Progress::Synced, finished);
    }
    let deadline = *open
        .deadline
        .get_or_insert_with(|| now.checked_add(health_timeout(app)).unwrap_or(now));
    let (failures, hopeless) = failures(operator, state, now).await;
    let late = now >= deadline;
    if late || hopeless {
        let line = failure_line(&failures, failures.len());
        let message = if late {
            format!("not healthy within {}: {line}", app.spec.health.timeout)
        } else {
            line
        };
        state.diagnosis = Some(message.clone());
        open.fail(failures, Vec::new());
        let finished = release::finish(operator, key, app, &mut open, Phase::Failed, &message).await;
        return close(state, open, edits, Progress::Synced, finished);
    }
    let waits_for = observed
        .pending
        .first()
        .or(observed.failed.first())
        .cloned()
        .unwrap_or_default();
    let message = format!("Release {} waits for health: {waits_for}", open.name);
    if open.status.phase != Phase::Verifying {
        open.turn(Phase::Verifying, &message, now);
        release::write(operator, key, &mut open).await?;
        edits.phase = Some(Phase::Verifying);
    }
    state.progress = Some(Progress::Working {
        reason: "Verifying",
        message,
    });
    state.open = Some(open);
    Ok(Again::at(deadline).sooner(Again::after(POD_LOOK)))
}

fn close(
    state: &mut AppState,
    open: Open,
    edits: &mut Edits,
    progress: Progress,
    finished: Result<(), String>,
) -> Result<Again, String> {
    edits.phase = Some(open.status.phase);
    if open.status.phase == Phase::Succeeded {
        edits.good_release = Some(open.name.clone());
    }
    state.progress = Some(progress);
    if let Err(error) = finished {
        // The record must be completed: the next reconcile decides again.
        state.open = Some(open);
        return Err(error);
    }
    Ok(Again::Never)
}

/// Objects that are not healthy with the pods' own reason, and whether waiting is hopeless.
async fn failures(operator: &Operator, state: &AppState, now: Timestamp) -> (Vec<Failure>, bool) {
    let Some(inventory) = &state.inventory else {
        return (Vec::new(), false);
    };
    let live = operator.live_of(inventory);
    let mut failures = Vec::new();
    let mut hopeless = false;
    let mut looked = 0;
    for (id, entry) in &inventory.entries {
        let record = live.get(id);
        if record.is_some_and(|r| r.health == HealthStatus::Current) {
            continue;
        }
        hopeless |= record.is_some_and(|r| r.health == HealthStatus::Failed);
        let message = record.map_or_else(|| "not found".to_owned(), |r| r.message.clone());
        let mut failure = Failure {
            object: id.to_string(),
            message,
            ..Failure::default()
        };
        if has_pods(id) && looked < MAX_WORKLOADS {
            looked += 1;
            let (reason, failed) = pods(operator, id, &entry.version, now).await;
            hopeless |= failed;
            failure.pod_reason = reason;
        }
        failures.push(failure);
    }
    (failures, hopeless)
}

fn has_pods(id: &ObjectId) -> bool {
    matches!(
        (&*id.group, &*id.kind),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job")
    )
}

async fn pods(operator: &Operator, id: &ObjectId, version: &str, now: Timestamp) -> (Option<String>, bool) {
    let Some(workload) = operator.read_object(id, version).await else {
        return (None, false);
    };
    let Some(selector) = selector_of(&workload) else {
        return (None, false);
    };
    let pods: Vec<Value> = operator.pods(&id.namespace, &selector).await;
    (pod_reason(&pods), failed_by_pods(&workload, &pods, now).is_some())
}
