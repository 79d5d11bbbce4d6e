//! Live objects that are not as they were applied: noticed, put back, counted.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::DriftMode;
use tidegate_core::beside::has_yielded;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Asking, Decision};
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Cause, Plan, Step, correction};
use tidegate_core::problem;
use tidegate_core::record::{self, failure_line};
use tidegate_core::status::Progress;

use crate::application::desired::{Refusal, desired};
use crate::application::gate::Facts;
use crate::application::part::{Carried, carry_out_due};
use crate::application::relocate::is_elsewhere;
use crate::application::turn::Turn;
use crate::application::{AppState, keeping, status};
use crate::state::Again;

/// True when something is to be written although the newest commit is not: a release that is still being written, live
/// objects that are not as the inventory has them, or pruned ones that are gone at last.
pub(crate) fn needs_work(turn: &Turn<'_>, state: &AppState) -> bool {
    // After a restart the set of the open release is not known: its hooks are not in the cluster.
    if being_written(state).is_some() || state.open.as_ref().is_some_and(|open| open.set.is_none()) {
        return true;
    }
    if is_elsewhere(state, turn.target) {
        return true;
    }
    let Some(set) = &state.inventory else { return false };
    let live = turn.target.live_of(set);
    let held = |id: &ObjectId| live.get(id).is_some_and(|record| record.deleting);
    if state.leaving.iter().any(|id| !live.contains_key(id))
        || (state.pruning && !state.leaving.iter().any(held))
        || state.postponed.iter().any(|id| !held(id))
    {
        return true;
    }
    let (mode, additions) = (turn.app.spec.drift.mode, turn.app.spec.drift.additions);
    let now = Timestamp::now();
    set.kept()
        .filter(|(id, _)| !state.leaving.contains(id))
        .any(|(id, entry)| match (&entry.sealed, live.get(id)) {
            _ if state.fights.ready_at(id, now).is_some() => false,
            (Some(sealed), Some(record)) => correction(sealed, record, mode, additions, now).is_some(),
            (Some(_), None) => mode == DriftMode::Correct,
            // Begun and not brought to an end: a create that failed, or whose answer was lost.
            (None, _) => true,
        })
}

/// Finds out what exactly differs where drift was seen and is not put back. Reads each object once, as long as it stays as
/// it is. What cannot be found out is left out of the message.
pub(crate) async fn explain(turn: &Turn<'_>, state: &mut AppState) {
    if is_elsewhere(state, turn.target) {
        return;
    }
    let Some(set) = &state.inventory else { return };
    let live = turn.target.live_of(set);
    let unknown = state.explained.unknown(set, &live, &turn.app.spec.drift);
    if unknown.is_empty() {
        return;
    }
    let Ok(Some(rendered)) = running(turn, state).await else {
        return;
    };
    for (id, sort) in unknown {
        let (Some(object), Some(record)) = (rendered.get(&id), live.get(&id)) else {
            continue;
        };
        let sealed = state.inventory.as_ref().and_then(|set| set.entries.get(&id));
        let accepted = sealed.and_then(|entry| entry.sealed.as_ref()?.foreign.clone());
        if let Some((_, found)) = turn.target.differences(object, sort, accepted.as_deref()).await {
            state.explained.put(id, record, found);
        }
    }
}

/// When something that is not put back now may be: the next hold on a live object ends, or the wait of a fight.
pub(crate) fn next_correction(turn: &Turn<'_>, state: &AppState) -> Again {
    let Some(set) = &state.inventory else {
        return Again::Never;
    };
    let now = Timestamp::now();
    let live = turn.target.live_of(set);
    let holds = live.values().filter_map(|record| record.held(now));
    let ends = holds.map(|hold| hold.until).chain(state.fights.next(now));
    ends.min().map_or(Again::Never, Again::at)
}

/// Commit of the open release while its objects are being written.
fn being_written(state: &AppState) -> Option<&str> {
    let open = state.open.as_ref().filter(|open| open.being_written())?;
    Some(&open.spec.revision.commit)
}

/// The set that should run: of the open release, else of the newest commit if it was admitted and waits for nothing, else
/// of the last applied one. It is the one that was kept; only where there is none, the commit is rendered again.
pub(crate) async fn running(turn: &Turn<'_>, state: &AppState) -> Result<Option<Arc<Rendered>>, String> {
    if let Some(kept) = keeping::running(turn, state).await? {
        return Ok(Some(kept));
    }
    let newest = is_newest(state).then_some(turn.source.revision.commit.as_str());
    let applied = turn
        .app
        .status
        .as_ref()
        .and_then(|s| s.last_applied_revision.as_deref());
    let Some(commit) = being_written(state).or(newest).or(applied) else {
        return Ok(None);
    };
    let remote = turn.source.remote()?;
    match desired(turn.operator, turn.target, turn.app, turn.owner, remote, commit).await {
        Ok(rendered) => Ok(Some(rendered)),
        // It was admitted once: a kind has gone since.
        Err(Refusal::Inadmissible(problems)) => Err(format!(
            "what runs cannot be kept as it is: {}",
            problem::summarize(&problems, 3)
        )),
        Err(Refusal::Failed { message, .. }) => Err(message),
    }
}

/// True when the newest commit was admitted and waits for nothing.
pub(crate) fn is_newest(state: &AppState) -> bool {
    let newest = state.newest.as_ref();
    newest.is_some_and(|newest| newest.refused.is_none() && !newest.held)
}

/// Puts live objects back. Makes no Release: counted, evented, shown in `status.drift`.
pub(crate) async fn correct_drift(
    turn: &Turn<'_>,
    state: &mut AppState,
    plan: Plan,
) -> Result<Again, String> {
    let mut described = turn.target.describe_drift(&plan).await;
    let before = state.inventory.clone().unwrap_or_default();
    let now = Timestamp::now();
    let mut facts = Facts::gather(turn.operator, turn.key, turn.app, Some(&before));
    facts.look_at(turn.operator, turn.target, &before, true);
    let verdict = gate::decide(plan, &facts.question(Asking::Correction), now);
    let approved = match verdict.decision {
        Decision::Go(approved) => approved,
        Decision::Wait(wait) => {
            let message = format!("drift is not put back: {}", wait.why);
            state.obstacle.get_or_insert(Progress::Waiting {
                reason: "DriftCorrectionHeld",
                message,
            });
            return Ok(wait.again.map_or(Again::Never, Again::at));
        }
    };
    let Carried { due, report, next } = carry_out_due(turn, state, &approved).await?;
    state.pruning = !due.last;
    let after = state.inventory.clone().unwrap_or_default();
    let yielded = |id: &ObjectId| {
        let object = approved.get().rendered.get(id);
        object.is_some_and(|o| has_yielded(o, before.entries.get(id), after.entries.get(id)))
    };
    let put_back = |step: &&Step| {
        matches!(step.cause, Cause::Drifted | Cause::Added | Cause::Missing) && !yielded(&step.id)
    };
    described.retain(|d| !yielded(&d.id));
    let steps: Vec<&Step> = approved.get().steps.iter().filter(put_back).collect();
    // Also those that failed: else one that cannot be put back would make the others be tried without end.
    for step in &steps {
        let known = described.iter().find(|d| d.id == step.id);
        let manager = known.and_then(|d| d.manager.as_deref());
        let paths = known.map(|d| d.paths.as_slice()).unwrap_or_default();
        state.fights.record(&step.id, now, manager, paths);
    }
    if !report.complete() {
        return Err(format!(
            "drift could not be put back: {}",
            failure_line(&report.failed, report.failed.len())
        ));
    }
    if steps.is_empty() {
        return Ok(next);
    }
    state.drift.count += i64::try_from(steps.len()).unwrap_or(i64::MAX);
    state.drift.last = Some(now);
    state.drift.manager = described.iter().find_map(|d| d.manager.clone());
    state.drift.fields = described.into_iter().map(|d| d.line).collect();
    tell(turn, state, steps.len());
    Ok(next)
}

fn tell(turn: &Turn<'_>, state: &AppState, count: usize) {
    turn.operator
        .metrics
        .corrected(&turn.key.namespace, &turn.key.name, count);
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
}
