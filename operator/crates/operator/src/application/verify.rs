//! Waiting for health: holds no worker; live changes and the deadline wake it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::Application;
use tidegate_api::release::{Failure, Phase};
use tidegate_core::health::{HealthStatus, failed_by_pods, pod_reason, selector_of};
use tidegate_core::hook::Point;
use tidegate_core::object::ObjectId;
use tidegate_core::record::failure_line;
use tidegate_core::status::{Observed, Progress};

use crate::application::checks::{self, Held, VERIFICATION_FAILED};
use crate::application::fail::{Fault, end, fail};
use crate::application::hooks::{Ran, run_hooks};
use crate::application::release;
use crate::application::status::Edits;
use crate::application::turn::Turn;
use crate::application::{AppState, keeping, release::health_timeout};
use crate::state::{Again, Operator};
use crate::store::Key;
use crate::target::Site;

/// How often the pods of workloads that are not ready are looked at.
pub(crate) const POD_LOOK: Duration = Duration::from_secs(3);
/// Most workloads whose pods are looked at in one go.
const MAX_WORKLOADS: usize = 10;

/// Looks at an applied release. Returns when to come again; the release is closed when it is decided.
pub(crate) async fn verify(
    turn: &Turn<'_>,
    state: &mut AppState,
    observed: &Observed,
    edits: &mut Edits,
) -> Result<Again, String> {
    let (operator, key, app) = (turn.operator, turn.key, turn.app);
    let now = Timestamp::now();
    if state.open.as_ref().is_some_and(|open| open.failing.is_some()) {
        return end(turn, state, edits).await;
    }
    let (failures, hopeless) = if observed.healthy() {
        (Vec::new(), false)
    } else {
        failures(turn.target, state, |_| true, now).await
    };
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    if observed.healthy() {
        let mut message = format!(
            "{} of {} objects are healthy",
            observed.counts.healthy, observed.counts.total
        );
        if let Some(follows) = &state.promotion.follows {
            message = format!("{message}; {follows}");
        }
        // Health that is lost while hooks run has its whole time again.
        open.deadline = None;
        if let Some(again) = after_all(turn, state, edits, &message).await? {
            return Ok(again);
        }
        if let Some(again) = checked(turn, state, edits, now).await? {
            return Ok(again);
        }
        let Some(open) = state.open.as_mut() else {
            return Ok(Again::Never);
        };
        keeping::before_good(turn, open).await?;
        release::finish(operator, key, app, open, Phase::Succeeded, &message).await?;
        edits.good_release = Some(open.name.clone());
        edits.proven.clone_from(&open.set);
        return Ok(close(state, edits, Phase::Succeeded));
    }
    checks::lose(turn, state);
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    let deadline = *open
        .deadline
        .get_or_insert_with(|| now.checked_add(health_timeout(app)).unwrap_or(now));
    let late = now >= deadline;
    if late || hopeless {
        let line = failure_line(&failures, failures.len());
        let message = if late {
            format!("not healthy within {}: {line}", app.spec.health.timeout)
        } else {
            line
        };
        let fault = Fault {
            reason: "ObjectsFailed",
            message,
            applied: true,
        };
        return fail(turn, state, edits, fault, failures).await;
    }
    let waits_for = observed.pending.first().or(observed.failed.first());
    let waits_for = waits_for.cloned().unwrap_or_default();
    let message = format!("Release {} waits for health: {waits_for}", open.name);
    if open.status.phase != Phase::Verifying {
        open.turn(Phase::Verifying, &message, now);
        release::write(operator, key, open).await?;
    }
    edits.turn(open.spec.sequence, Phase::Verifying);
    state.progress = Some(Progress::Working {
        reason: "Verifying",
        message,
    });
    Ok(Again::at(deadline).sooner(Again::after(POD_LOOK)))
}

/// The checks of policies, of a release that is healthy. `None` when they have held.
async fn checked(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    now: Timestamp,
) -> Result<Option<Again>, String> {
    let (waits, again) = match checks::hold(turn, state, now) {
        Held::Good => return Ok(None),
        Held::Waits(waits, again) => (waits, again),
        Held::Failed(measured) => {
            let fault = Fault {
                reason: VERIFICATION_FAILED,
                message: format!("everything is applied and healthy, but {measured}"),
                applied: false,
            };
            return fail(turn, state, edits, fault, Vec::new()).await.map(Some);
        }
    };
    let Some(open) = state.open.as_mut() else {
        return Ok(None);
    };
    let message = format!("Release {}: {waits}", open.name);
    if open.status.phase != Phase::Verifying || open.says_anew(&waits) {
        open.turn(Phase::Verifying, &waits, now);
        release::write(turn.operator, turn.key, open).await?;
    }
    edits.turn(open.spec.sequence, Phase::Verifying);
    state.progress = Some(Progress::Working {
        reason: "Verifying",
        message,
    });
    Ok(Some(again))
}

/// The `PostSync` hooks of a release that is healthy. `None` when they have succeeded.
async fn after_all(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    message: &str,
) -> Result<Option<Again>, String> {
    let Some(open) = state.open.as_mut() else {
        return Ok(None);
    };
    let set = open
        .set
        .clone()
        .ok_or("the set of the open Release is not known yet")?;
    if set.hooks_at(Point::PostSync).next().is_none() || open.spec.restores.is_some() {
        return Ok(None);
    }
    if open.status.phase != Phase::Verifying {
        open.turn(Phase::Verifying, message, Timestamp::now());
        release::write(turn.operator, turn.key, open).await?;
    }
    match run_hooks(turn, state, edits, &set, Point::PostSync).await? {
        Ran::Done => Ok(None),
        Ran::Waits(again) => Ok(Some(again)),
        Ran::Failed(failed) => {
            let line = failure_line(&failed, failed.len());
            let fault = Fault {
                reason: "HookFailed",
                message: format!("everything is applied and healthy, but {line}"),
                applied: false,
            };
            fail(turn, state, edits, fault, failed).await.map(Some)
        }
    }
}

/// Writes the end of a release again whose first writing failed: it may have got through, so that it must stay as it is.
pub(crate) async fn complete_record(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    edits: &mut Edits,
) -> Result<(), String> {
    let Some(open) = state.open.as_mut().filter(|open| open.status.phase.is_final()) else {
        return Ok(());
    };
    let (phase, message) = (open.status.phase, open.status.display.message.clone());
    release::finish(operator, key, app, open, phase, &message).await?;
    edits.turn(open.spec.sequence, phase);
    if phase == Phase::Succeeded {
        edits.good_release = Some(open.name.clone());
        edits.proven.clone_from(&open.set);
    }
    state.open = None;
    Ok(())
}

/// The record is final: everything was applied, whatever became of its health.
fn close(state: &mut AppState, edits: &mut Edits, phase: Phase) -> Again {
    if let Some(open) = state.open.take() {
        edits.turn(open.spec.sequence, phase);
    }
    state.progress = Some(Progress::Synced);
    Again::Never
}

/// Objects that are not healthy with the pods' own reason, and whether waiting is hopeless. Of those that count.
pub(crate) async fn failures(
    target: &Site,
    state: &AppState,
    counts: impl Fn(&ObjectId) -> bool,
    now: Timestamp,
) -> (Vec<Failure>, bool) {
    let Some(inventory) = &state.inventory else {
        return (Vec::new(), false);
    };
    let live = target.live_of(inventory);
    let mut failures = Vec::new();
    let mut hopeless = false;
    let mut looked = 0;
    for (id, entry) in inventory.kept().filter(|(id, _)| counts(id)) {
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
            let (reason, failed) = pods(target, id, &entry.version, now).await;
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

/// What the pods of a workload say about why they are not ready, and whether they never will be.
pub(crate) async fn pods(
    target: &Site,
    id: &ObjectId,
    version: &str,
    now: Timestamp,
) -> (Option<String>, bool) {
    let Some(workload) = target.read_object(id, version).await else {
        return (None, false);
    };
    let Some(selector) = selector_of(&workload) else {
        return (None, false);
    };
    let pods: Vec<Value> = target.pods(&id.namespace, &selector).await;
    (pod_reason(&pods), failed_by_pods(&workload, &pods, now).is_some())
}
