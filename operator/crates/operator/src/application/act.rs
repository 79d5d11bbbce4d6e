//! From an admitted set to the cluster: plan, gate, execution, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::release::{Failure, Phase, Trigger};
use tidegate_core::desired::Rendered;
use tidegate_core::handover::spare;
use tidegate_core::hook::{self, Point};
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Cause, Inputs, Plan, Step, Upkeep, plan, postponed};
use tidegate_core::record::{self, failure_line};
use tidegate_core::recreate::{self, Found};
use tidegate_core::status::Progress;

use crate::application::deny::trigger;
use crate::application::drift::correct_drift;
use crate::application::fail::{Fault, end, fail, failed_before, hook_failed_before, recall};
use crate::application::gate::go_on_with;
use crate::application::handover::{self, Me};
use crate::application::hooks::{Ran, run_hooks};
use crate::application::part::{DELETION_HELD, carry_out_due, go_on, note_attempt};
use crate::application::reconcile::settle;
use crate::application::rehearse::is_refused;
use crate::application::relations::place;
use crate::application::release::{self, Open};
use crate::application::relocate::{is_elsewhere, moves_away};
use crate::application::status::{self, Applied, Attempted, Edits};
use crate::application::turn::Turn;
use crate::application::{AppState, checks, inventory, keeping, outcome, waiting};
use crate::state::Again;

/// A second try of what could not be had is not made at once: it may be refused again.
const SOON: Again = Again::After(Duration::from_secs(1));

/// Plans, asks the gate, and carries out.
pub(crate) async fn act(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: Arc<Rendered>,
) -> Result<Again, String> {
    let older = is_older(state);
    let result = advance(turn, state, edits, rendered.clone()).await;
    if !older && is_older(state) {
        // A gate holds it: what runs is looked after as if it were not there.
        return result;
    }
    let entries = state.inventory.iter().flat_map(|set| set.entries.keys());
    let leaving = entries.filter(|id| !rendered.names(id));
    state.leaving = leaving.cloned().collect();
    if result.is_ok() && state.leaving.is_empty() {
        gone_at_last(turn, state, edits);
    }
    let set = state.inventory.as_ref();
    let waiting = set.map(|set| postponed(&rendered, set, &turn.target.live_of(set)));
    state.postponed = waiting.unwrap_or_default();
    result
}

/// What kept a release from deleting the rest has gone, and the rest after it: what runs is what the commit says.
fn gone_at_last(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits) {
    let held = matches!(
        state.progress,
        Some(Progress::Failed {
            reason: DELETION_HELD,
            ..
        })
    );
    if !held || state.open.is_some() || is_older(state) {
        return;
    }
    let sequence = turn.app.status.as_ref().map_or(0, |s| s.last_sequence);
    edits.applied = Some(Applied {
        commit: turn.source.revision.commit.clone(),
        display: status::shown(&turn.source.revision),
        release: Some(record::release_name(&turn.key.name, sequence)),
    });
    state.progress = Some(Progress::Synced);
}

async fn advance(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: Arc<Rendered>,
) -> Result<Again, String> {
    if is_elsewhere(state, turn.target) && is_older(state) {
        // What runs stays where it is until there is something to put in its place.
        return settle(turn, state, edits).await;
    }
    if let Some(again) = moves_away(turn, state, edits, &rendered).await? {
        return Ok(again);
    }
    let set = state.inventory.clone().unwrap_or_default();
    turn.target.sync_desired(&rendered).await?;
    if let Some(again) = held_beside(turn, state, edits, &rendered).await? {
        return Ok(again);
    }
    supersede(turn, state, &rendered).await?;
    if let Some(open) = state.open.as_mut() {
        open.set = Some(rendered.clone());
        recall(open, &rendered, &set);
        if open.failing.is_some() {
            return end(turn, state, edits).await;
        }
    }
    let plan = make_plan(turn, state, &rendered).await?;
    let hooks = only_hooks(turn, state, &set, &rendered);
    let written = state.open.as_ref().is_none_or(|open| !open.being_written());
    if written && !hooks && plan.is_empty() && plan.forgotten.is_empty() {
        return nothing_to_write(turn, state, edits, &rendered).await;
    }
    let same = is_same(turn, &rendered);
    let upkeep = upkeep_of(turn, state, same);
    let nothing_new = plan.brings_nothing_new(upkeep);
    let open = state.open.as_ref();
    // What drifts while a written release waits for health is put back beside it.
    if hooks || open.is_some_and(|open| open.being_written() || !nothing_new) {
        return release_plan(turn, state, edits, rendered, plan).await;
    }
    if is_older(state) || (same && nothing_new) || is_given_up(turn, state, same, &plan) {
        if !nothing_new && !is_older(state) {
            state.progress.get_or_insert_with(|| failed_before(turn));
        }
        let now = Timestamp::now();
        let ready = |id: &ObjectId| state.fights.ready_at(id, now).is_none();
        // While something of the set is not written, what it drops stays.
        let upkeep = Upkeep {
            removed: same && nothing_new,
            ..upkeep
        };
        let upkeep = plan.upkeep(upkeep, &turn.operator.key, ready);
        let again = keep_up(turn, state, edits, upkeep).await?;
        let hook_failed = hook::failed(&rendered, &set).next().is_some();
        if same && nothing_new && !hook_failed && !is_older(state) {
            note_commit(turn, state, edits, &rendered);
        }
        return Ok(again);
    }
    release_plan(turn, state, edits, rendered, plan).await
}

/// A release that has begun gives way only to one that may go. `None` when nothing is held.
async fn held_beside(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Arc<Rendered>,
) -> Result<Option<Again>, String> {
    let other = state
        .open
        .as_ref()
        .is_some_and(|open| !open.brings(&rendered.digest));
    if !other || is_older(state) {
        return Ok(None);
    }
    let plan = make_plan(turn, state, rendered).await?;
    if is_refused(turn, state, edits, &plan).await? {
        return Ok(Some(Again::Never));
    }
    let trigger = cause(turn, state, rendered);
    let (answer, said) = waiting::consult(turn, state, rendered, plan).await?;
    let Err(wait) = answer else { return Ok(None) };
    let held = waiting::hold(turn, state, edits, rendered, said, &wait, trigger).await;
    held.map(Some)
}

/// True when hooks alone make a release: they are new, changed or failed before, or somebody asks after a failure.
fn only_hooks(turn: &Turn<'_>, state: &AppState, set: &InventorySet, rendered: &Rendered) -> bool {
    if state.open.is_some() || is_older(state) || turn.restores.is_some() {
        return false;
    }
    let status = turn.app.status.as_ref();
    let same = status.and_then(|s| s.attempted_digest.as_deref()) == Some(rendered.digest.as_str());
    let failed = hook::failed(rendered, set).next().is_some();
    if same {
        return turn.asked && (failed || checks::failed_before(turn, rendered).is_some());
    }
    failed || hook::brings_news(rendered, set)
}

/// Puts live objects back as they were applied; nothing of a newer set is brought.
async fn keep_up(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    upkeep: Plan,
) -> Result<Again, String> {
    if upkeep.is_empty() && upkeep.forgotten.is_empty() {
        return settle(turn, state, edits).await;
    }
    let again = correct_drift(turn, state, upkeep).await?;
    state.progress.get_or_insert(Progress::Synced);
    Ok(again.sooner(settle(turn, state, edits).await?))
}

/// True when the newest commit is refused as a whole, or waits for what goes first: what is acted on is an older one.
pub(crate) fn is_older(state: &AppState) -> bool {
    state
        .newest
        .as_ref()
        .is_none_or(|newest| newest.refused.is_some() || newest.held)
}

/// True when carrying that set out would begin a release: it brings something new, and is not being carried out yet.
pub(crate) async fn begins_release(
    turn: &Turn<'_>,
    state: &mut AppState,
    rendered: &Arc<Rendered>,
) -> Result<bool, String> {
    let carried_out = |open: &Open| open.brings(&rendered.digest);
    if state.open.as_ref().is_some_and(carried_out) {
        return Ok(false);
    }
    let moves = |set: &InventorySet| {
        !set.entries.is_empty() && set.place.kube_config != turn.target.place.kube_config
    };
    if state.inventory.as_ref().is_some_and(moves) {
        return Ok(true);
    }
    turn.target.sync_desired(rendered).await?;
    let plan = make_plan(turn, state, rendered).await?;
    let same = is_same(turn, rendered);
    let nothing = plan.is_empty() && plan.forgotten.is_empty();
    let upkeep = same && plan.brings_nothing_new(upkeep_of(turn, state, same));
    let set = state.inventory.clone().unwrap_or_default();
    if only_hooks(turn, state, &set, rendered) {
        return Ok(true);
    }
    Ok(!nothing && !upkeep && !is_given_up(turn, state, same, &plan))
}

/// What counts as looking after a set. While the newest commit is refused, it is the one that was applied last, as a whole.
fn upkeep_of(turn: &Turn<'_>, state: &AppState, same: bool) -> Upkeep {
    let status = turn.app.status.as_ref();
    // Of a release that was written as a whole and did not get healthy, too.
    let applied = status.and_then(|s| s.last_applied_revision.as_ref()) == Some(&turn.source.revision.commit);
    Upkeep {
        removed: same,
        begun: same && (is_older(state) || applied),
    }
}

/// True when that set is the one that was tried last.
fn is_same(turn: &Turn<'_>, rendered: &Rendered) -> bool {
    let status = turn.app.status.as_ref();
    status.and_then(|s| s.attempted_digest.as_deref()) == Some(rendered.digest.as_str())
}

/// True when the set failed before, and nothing happened since that may help.
fn is_given_up(turn: &Turn<'_>, state: &mut AppState, same: bool, plan: &Plan) -> bool {
    let status = turn.app.status.as_ref();
    let failed = same && status.is_some_and(|s| s.display.phase == Phase::Failed.as_str());
    failed && !turn.asked && !state.moved && !handover::conflict_is_over(turn, state, plan)
}

/// Plans, and where git allows that objects are made anew, once more with what the API server said about them.
pub(crate) async fn make_plan(
    turn: &Turn<'_>,
    state: &mut AppState,
    rendered: &Arc<Rendered>,
) -> Result<Plan, String> {
    let set = state.inventory.clone().unwrap_or_default();
    let live = turn.target.live_of(&set);
    let me = Me::of(turn);
    let own = me.without_lost(&set, |id| rendered.get(id).is_some(), &live);
    let own = own.as_ref().unwrap_or(&set);
    let with = |found: &Found| {
        plan(&Inputs {
            rendered,
            inventory: own,
            live: &live,
            prune: turn.app.spec.prune,
            drift: turn.app.spec.drift.mode,
            additions: turn.app.spec.drift.additions,
            found,
            now: Timestamp::now(),
            key: &turn.operator.key,
        })
    };
    let present = turn
        .target
        .present(&recreate::unknown(rendered, own), turn.owner)
        .await?;
    let mut found = Found {
        present,
        ..Found::default()
    };
    let mut plan = with(&found);
    let candidates = recreate::candidates(&plan, &live);
    if !candidates.is_empty() {
        found.immutable = turn.target.immutable(&candidates, turn.owner).await?;
        plan = with(&found);
    }
    let at = place(turn.app, turn.key, turn.source);
    // Of an older set, what the newest one does not want is let go too, and not kept up.
    let newest = state.wants.clone().filter(|_| is_older(state));
    let wanted = |id: &ObjectId| {
        newest
            .as_ref()
            .is_none_or(|wants| wants.binary_search(id).is_ok())
    };
    let plan = me.settle(&mut state.kept, plan, wanted, &set, &live, Some(&at));
    let plan = spare(plan, wanted, &turn.operator.key);
    Ok(plan.placed(&turn.target.place, &turn.operator.key))
}

/// The cluster is as the commit says already: the commit is noted, no Release is made for it.
async fn nothing_to_write(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Arc<Rendered>,
) -> Result<Again, String> {
    if is_older(state) {
        return settle(turn, state, edits).await;
    }
    waiting::supersede(turn, state, "what runs is what it would have brought").await?;
    settle_rules(turn, state, rendered).await?;
    keeping::mend(turn, state, rendered).await;
    let set = state.inventory.clone().unwrap_or_default();
    if state.open.is_none()
        && turn.restores.is_none()
        && let Some(hook) = hook::failed(rendered, &set).next()
    {
        state
            .progress
            .get_or_insert_with(|| hook_failed_before(turn, hook));
        return settle(turn, state, edits).await;
    }
    note_commit(turn, state, edits, rendered);
    if state.open.is_none() {
        let failed = checks::failed_before(turn, rendered);
        state.progress = Some(failed.unwrap_or(Progress::Synced));
    }
    settle(turn, state, edits).await
}

/// The newest commit makes the set that runs already.
fn note_commit(turn: &Turn<'_>, state: &AppState, edits: &mut Edits, rendered: &Rendered) {
    let status = turn.app.status.as_ref();
    let sequence = status.map_or(0, |s| s.last_sequence);
    edits.applied = Some(Applied {
        commit: turn.source.revision.commit.clone(),
        display: status::shown(&turn.source.revision),
        release: state.open.as_ref().map(|open| open.name.clone()),
    });
    edits.attempt(Attempted {
        commit: turn.source.revision.commit.clone(),
        sequence,
        digest: Some(rendered.digest.clone()),
    });
    let left = [Phase::Denied, Phase::Waiting, Phase::RolledBack].map(Phase::as_str);
    if status.is_some_and(|s| left.contains(&&*s.display.phase)) && state.open.is_none() {
        edits.turn(sequence, Phase::Succeeded);
    }
}

/// Nothing to write: what git says of deletions holds from now on all the same, and the account that deletes.
async fn settle_rules(turn: &Turn<'_>, state: &mut AppState, rendered: &Rendered) -> Result<(), String> {
    let mut set = state.inventory.clone().unwrap_or_default();
    set.follow(rendered);
    set.place = turn.target.place.clone();
    inventory::store(turn.operator, turn.key, turn.app, state, set).await
}

/// Makes or continues a Release and carries its plan out.
async fn release_plan(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: Arc<Rendered>,
    plan: Plan,
) -> Result<Again, String> {
    if state.open.is_none()
        && let Some((waits, again)) = handover::not_yet(turn, state, &plan)
    {
        state.progress = Some(waits);
        // Whoever asked, and whatever the commit brings, is not done with.
        state.asked = turn.asked;
        if let Some(newest) = &mut state.newest {
            newest.acted = false;
        }
        return Ok(again);
    }
    let approved = match state.open {
        Some(_) => match go_on_with(turn, state, plan) {
            Ok(approved) => approved,
            Err(fault) => return fail(turn, state, edits, fault, Vec::new()).await,
        },
        None => {
            if is_refused(turn, state, edits, &plan).await? {
                return Ok(Again::Never);
            }
            let trigger = cause(turn, state, &rendered);
            match waiting::consult(turn, state, &rendered, plan).await? {
                (Ok(approved), said) => {
                    waiting::begin(turn, state, &rendered, said, trigger).await?;
                    keeping::begin(turn, state, &rendered, approved.get()).await;
                    state.diagnosis = None;
                    state.denying = None;
                    state.moved = false;
                    approved
                }
                (Err(wait), said) => {
                    return waiting::hold(turn, state, edits, &rendered, said, &wait, trigger).await;
                }
            }
        }
    };
    if let Some(open) = state
        .open
        .as_mut()
        .filter(|open| open.status.phase != Phase::Applying)
    {
        open.turn(Phase::Applying, "Writing objects", Timestamp::now());
        release::write(turn.operator, turn.key, open).await?;
    }
    note_attempt(turn, state, edits, &rendered);
    // What was put back has run its hooks when it was new.
    let before = match turn.restores {
        Some(_) => Ran::Done,
        None => run_hooks(turn, state, edits, &rendered, Point::PreSync).await?,
    };
    match before {
        Ran::Done => {}
        Ran::Waits(again) => return Ok(again),
        Ran::Failed(failed) => {
            let line = failure_line(&failed, failed.len());
            let fault = Fault {
                reason: "HookFailed",
                message: format!("nothing was applied: {line}"),
                applied: false,
            };
            return fail(turn, state, edits, fault, failed).await;
        }
    }
    let brings = |step: &&Step| {
        matches!(
            step.cause,
            Cause::New | Cause::Begun | Cause::Changed | Cause::Removed
        )
    };
    for step in approved.get().steps.iter().filter(brings) {
        state.fights.forget(&step.id);
    }
    let carried = carry_out_due(turn, state, &approved).await?;
    if !carried.due.last && carried.report.complete() {
        return go_on(turn, state, edits, &rendered, carried).await;
    }
    let conflicts = carried.report.conflicts.iter().cloned().collect();
    let again = finish_apply(turn, state, edits, &rendered, carried.report).await?;
    // Whoever has what this one wants is waited for from here on; it may have let go in the meantime.
    let over = state.open.is_none() && handover::note_conflict(turn, state, approved.get(), &conflicts);
    Ok(if over { again.sooner(SOON) } else { again })
}

/// What makes the release start. The set that was tried last is brought again by itself only to put back what is missing.
pub(super) fn cause(turn: &Turn<'_>, state: &AppState, rendered: &Rendered) -> Trigger {
    if turn.restores.is_some() {
        return Trigger::Rollback;
    }
    let status = turn.app.status.as_ref();
    let commit = status.and_then(|s| s.last_attempted_revision.as_deref());
    let again = commit == Some(turn.source.revision.commit.as_str());
    // Where another Application let go of what the commit wants, the same commit is tried again.
    let conflict = handover::is_conflict(state);
    if is_same(turn, rendered) && again && !turn.asked && !conflict {
        return Trigger::Drift;
    }
    trigger(turn.app, &turn.source.revision.commit)
}

/// A newer admissible set takes the place of an unfinished release.
async fn supersede(turn: &Turn<'_>, state: &mut AppState, rendered: &Rendered) -> Result<(), String> {
    let Some(open) = state.open.as_mut().filter(|open| !open.brings(&rendered.digest)) else {
        return Ok(());
    };
    let message = format!("{} took its place", status::shown(&turn.source.revision));
    if let Some(fault) = &open.failing {
        let message = format!(
            "{}; the SyncFail hooks are not waited for, since {message}",
            fault.message
        );
        release::finish(turn.operator, turn.key, turn.app, open, Phase::Failed, &message).await?;
        state.open = None;
        return Ok(());
    }
    release::finish(
        turn.operator,
        turn.key,
        turn.app,
        open,
        Phase::Superseded,
        &message,
    )
    .await?;
    state.open = None;
    Ok(())
}

async fn finish_apply(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Rendered,
    report: outcome::Report,
) -> Result<Again, String> {
    let older = is_older(state);
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    // A newer commit that makes the same set is what runs then.
    let (commit, display) = if older {
        (open.spec.revision.commit.clone(), open.short_revision())
    } else {
        let revision = &turn.source.revision;
        (revision.commit.clone(), status::shown(revision))
    };
    let sequence = open.spec.sequence;
    edits.attempt(Attempted {
        commit: commit.clone(),
        sequence,
        digest: Some(rendered.digest.clone()),
    });
    edits.turn(sequence, open.status.phase);
    if !report.complete() {
        let failed = locate(report.failed, rendered);
        let line = failure_line(&failed, failed.len());
        let line = if line.is_empty() {
            format!("{} objects were not tried", report.not_attempted)
        } else {
            line
        };
        if !report.terminal {
            open.fail(failed, Vec::new());
            return Err(line);
        }
        let fault = Fault {
            reason: report.reason.unwrap_or("ApplyFailed"),
            message: line,
            applied: false,
        };
        return fail(turn, state, edits, fault, failed).await;
    }
    open.fail(Vec::new(), Vec::new());
    edits.applied = Some(Applied {
        commit,
        display,
        release: Some(open.name.clone()),
    });
    turn.operator
        .metrics
        .stage("commit_to_live", open.started.elapsed());
    open.status.times.applied = Some(Timestamp::now().to_string());
    settle(turn, state, edits).await
}

/// Failures of the API server know the object; git knows the file.
fn locate(failed: Vec<Failure>, rendered: &Rendered) -> Vec<Failure> {
    let locate = |mut failure: Failure| {
        if failure.location.is_none() {
            let object = rendered
                .objects
                .iter()
                .find(|o| o.id.to_string() == failure.object);
            failure.location = object.map(|o| o.location.to_string());
        }
        failure
    };
    failed.into_iter().map(locate).collect()
}
