//! Live objects that are not as they were applied: noticed, put back, counted.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::DriftMode;
use tidegate_api::release::Phase;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Decision};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Cause, Plan, Step, correction};
use tidegate_core::problem;
use tidegate_core::record::{self, failure_line};

use crate::application::desired::{Refusal, desired};
use crate::application::turn::Turn;
use crate::application::{AppState, Newest, outcome, status};
use crate::state::Again;

/// True when something is to be written although the newest commit is not: a release that is still being written, or
/// live objects that are not as the inventory has them.
pub(crate) fn needs_work(turn: &Turn<'_>, state: &AppState) -> bool {
    if being_written(state).is_some() {
        return true;
    }
    let Some(set) = &state.inventory else { return false };
    let (mode, additions) = (turn.app.spec.drift.mode, turn.app.spec.drift.additions);
    let live = turn.operator.live_of(set);
    let now = Timestamp::now();
    set.entries
        .iter()
        .any(|(id, entry)| match (&entry.sealed, live.get(id)) {
            (Some(sealed), Some(record)) => {
                correction(sealed, record, mode, additions, now).is_some()
                    && !already_corrected(state, id, record)
            }
            (Some(_), None) => mode == DriftMode::Correct,
            (None, _) => false,
        })
}

/// When the next hold on a live object ends: what it holds is put back then.
pub(crate) fn hold_ends(turn: &Turn<'_>, state: &AppState) -> Again {
    let Some(set) = &state.inventory else {
        return Again::Never;
    };
    let now = Timestamp::now();
    let live = turn.operator.live_of(set);
    let holds = live.values().filter_map(|record| record.held(now));
    holds.map(|hold| hold.until).min().map_or(Again::Never, Again::at)
}

/// Commit of the open release while its objects are being written.
fn being_written(state: &AppState) -> Option<&str> {
    let open = state
        .open
        .as_ref()
        .filter(|open| open.status.phase == Phase::Applying)?;
    Some(&open.spec.revision.commit)
}

/// True when a correction of that object came out with this very digest: repeating it changes nothing.
fn already_corrected(state: &AppState, id: &ObjectId, record: &LiveRecord) -> bool {
    let now = record.fingerprint();
    state
        .corrected
        .iter()
        .any(|(key, digest)| *key == id.key() && *digest == now)
}

/// The set that should run: of the release that is being written, else of the newest commit if it was admitted, else
/// of the last applied one.
pub(crate) async fn running(turn: &Turn<'_>, state: &AppState) -> Result<Option<Arc<Rendered>>, String> {
    let admitted = matches!(&state.newest, Some(Newest { result: Ok(_), .. }));
    let newest = admitted.then_some(turn.source.revision.commit.as_str());
    let applied = turn
        .app
        .status
        .as_ref()
        .and_then(|s| s.last_applied_revision.as_deref());
    let Some(commit) = being_written(state).or(newest).or(applied) else {
        return Ok(None);
    };
    match desired(turn.operator, turn.app, turn.owner, &turn.source.remote, commit).await {
        Ok(rendered) => Ok(Some(rendered)),
        Err(Refusal::Inadmissible(problems)) => Err(problem::summarize(&problems, 3)),
        Err(Refusal::Failed { message, .. }) => Err(message),
    }
}

/// Puts live objects back. Makes no Release: counted, evented, shown in `status.drift`.
pub(crate) async fn correct_drift(
    turn: &Turn<'_>,
    state: &mut AppState,
    plan: Plan,
) -> Result<Again, String> {
    let lines = turn.operator.describe_drift(&plan).await;
    let Decision::Go(approved) = gate::decide(plan, turn.app.spec.suspend.as_ref(), Timestamp::now()) else {
        return Ok(Again::Never);
    };
    let report = outcome::carry_out(turn.operator, turn.key, turn.app, turn.owner, state, &approved).await?;
    if !report.complete() {
        return Err(format!(
            "drift could not be put back: {}",
            failure_line(&report.failed, report.failed.len())
        ));
    }
    let put_back = |step: &&Step| matches!(step.cause, Cause::Drifted | Cause::Added | Cause::Missing);
    let steps: Vec<&Step> = approved.get().steps.iter().filter(put_back).collect();
    if steps.is_empty() {
        return Ok(Again::Never);
    }
    let live = turn
        .operator
        .live_of(&state.inventory.clone().unwrap_or_default());
    for step in &steps {
        let digest = live
            .get(&step.id)
            .map(LiveRecord::fingerprint)
            .unwrap_or_default();
        state.corrected.retain(|(k, _)| *k != step.id.key());
        state.corrected.push((step.id.key(), digest));
    }
    state.drift.count += i64::try_from(steps.len()).unwrap_or(i64::MAX);
    state.drift.last = Some(Timestamp::now());
    state.drift.manager = lines.manager;
    state.drift.fields = lines.fields;
    turn.operator
        .metrics
        .corrected(&turn.key.namespace, &turn.key.name, steps.len());
    let by = state.drift.manager.as_deref().unwrap_or("somebody");
    let note = format!(
        "Put back what {by} had changed: {}",
        state.drift.fields.join(", ")
    );
    turn.operator.event(
        status::reference(turn.key, turn.app),
        false,
        "DriftCorrected",
        "Correct",
        &record::shorten(&note, 900),
    );
    Ok(Again::Never)
}
