//! A failed release is put back as a whole, as `onFailure` of the policies says. Which steps lead back is core's
//! `rollback`; which commits wait after it, core's `quarantine`.
//!
//! What is going to be done is recorded before it is done, in this order: the Release says where it goes back to, the
//! Application says that this is what runs and which commit failed, and only then the first object is written. A restart
//! at any moment goes on from there, and never brings the failed set again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::Release;
use tidegate_api::policy::FailureAction;
use tidegate_api::release::{Phase, Rollback};
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Asking, Decision};
use tidegate_core::object::ObjectId;
use tidegate_core::quarantine::{self, Failed};
use tidegate_core::record::{self, failure_line};
use tidegate_core::rollback::{self as way, Rule, WayBack, way_back};
use tidegate_core::status::Progress;
use tidegate_core::wave::Wait;

use crate::application::act::make_plan;
use crate::application::fail::Fault;
use crate::application::gate::Facts;
use crate::application::part::carry_out_due;
use crate::application::rehearse::is_refused;
use crate::application::release::{self, Open, health_timeout};
use crate::application::status::{Applied, Edits};
use crate::application::turn::Turn;
use crate::application::verify::{POD_LOOK, failures};
use crate::application::{AppState, handover, held, relations, sets, waiting};
use crate::state::Again;

/// Reason while the last good set is being put back.
const UNDER_WAY: &str = "RollingBack";
/// Reason of a release that failed and could not be put back.
pub(crate) const FAILED: &str = "RollbackFailed";
/// Longest cause in the record, bytes.
const MAX_CAUSE: usize = 400;
/// Wait for the Application's status to say where it goes back to, before anything is written.
const RECORD: Duration = Duration::from_millis(200);
/// Failures that no other content helps against: the commit is not to blame alone.
const NOT_THE_COMMITS: [&str; 2] = [handover::CONFLICT, "Forbidden"];

/// Whether a failed release is put back.
pub(crate) enum Begun {
    /// It is: see [`go_on`].
    Yes,
    /// It is not; why, where that needs saying.
    No(Option<String>),
}

/// A release whose set can be put back.
pub(crate) struct Good {
    pub(crate) release: Release,
    pub(crate) set: Arc<Rendered>,
}

/// True while the last good set is being put back.
pub(crate) fn is_under_way(state: &AppState) -> bool {
    state.open.as_ref().is_some_and(Open::goes_back)
}

/// A release with its set; `None` when there is no such release, or its set cannot be had any more.
pub(crate) async fn good(turn: &Turn<'_>, name: &str) -> Result<Option<Good>, String> {
    let found = turn.operator.releases.get(&turn.key.namespace, name).await;
    let Some(release) = found.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let set = set_of(turn, name).await?;
    // A name may have been used twice: what is kept must be what the record speaks of.
    let set = set.filter(|set| release.spec.set_digest.as_ref() == Some(&set.digest));
    Ok(set.map(|set| Good { release, set }))
}

/// The set that a release brought, as it was kept. It is never rendered again: inputs and spec may be others by now.
pub(crate) async fn set_of(turn: &Turn<'_>, release: &str) -> Result<Option<Arc<Rendered>>, String> {
    match sets::recall(turn.operator, turn.key, turn.app, release).await {
        Ok(set) => Ok(set),
        Err(trouble) if trouble.broken => {
            tracing::warn!(release, error = trouble.message, "its kept set cannot be read");
            Ok(None)
        }
        Err(trouble) => Err(format!("the kept set of Release {release}: {}", trouble.message)),
    }
}

/// The open release has failed: begins to put the last good one back, where the policies say so.
pub(crate) async fn begin(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    fault: &Fault,
) -> Result<Begun, String> {
    let Some(rule) = rule(turn, state) else {
        return Ok(Begun::No(None));
    };
    let no = |why: &str| Ok(Begun::No(Some(why.to_owned())));
    let status = turn.app.status.as_ref();
    let last_good = status.and_then(|status| status.last_good_release.clone());
    let good = match &last_good {
        Some(name) => good(turn, name).await?,
        None => None,
    };
    let Some(open) = state.open.as_mut() else {
        return Ok(Begun::No(None));
    };
    if open.spec.restores.is_some() {
        return no("it was a rollback itself, and is not followed by another");
    }
    if good.as_ref().is_some_and(|good| open.brings(&good.set.digest)) {
        return no("it brought what the last good Release had, so that there is nothing to go back to");
    }
    open.spared = NOT_THE_COMMITS.contains(&fault.reason);
    if rule.quarantine && !open.spared {
        let set = open.set.as_deref();
        edits.quarantined = Some(entry(open, &fault.message, set, good.as_ref()));
    }
    if rule.action == FailureAction::Hold {
        return Ok(Begun::No(None));
    }
    let Some(name) = last_good else {
        return no("no Release was good before, so that there is nothing to go back to");
    };
    let Some(good) = good else {
        let why = format!("Release {name} cannot be put back, since its set is not kept any more");
        return Ok(Begun::No(Some(why)));
    };
    open.status.rollback = Some(Rollback {
        to: name.clone(),
        cause: record::shorten(&fault.message, MAX_CAUSE),
        started: Timestamp::now().to_string(),
        finished: None,
    });
    open.failing = None;
    open.pause();
    open.say(&format!("{}; {name} is being put back", fault.message));
    state.diagnosis = None;
    // The newest commit is looked at anew when this is over.
    state.newest = None;
    note(state, edits, &good);
    write(turn, state).await?;
    Ok(Begun::Yes)
}

/// Brings the way back one step further.
pub(crate) async fn go_on(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits) -> Result<Again, String> {
    let Some(to) = destination(state) else {
        return Ok(Again::Never);
    };
    write(turn, state).await?;
    let Some(good) = good(turn, &to).await? else {
        return stop(turn, state, edits, "its set is not kept any more").await;
    };
    note(state, edits, &good);
    recall(turn, state).await?;
    if !is_recorded(turn, state, edits, &good) {
        return Ok(Again::after(RECORD));
    }
    let wants = good.set.objects.iter().map(|object| object.id.clone());
    relations::want(turn, state, wants.collect());
    turn.target.sync_desired(&good.set).await?;
    let back = plan_back(turn, state, &good.set, &to).await?;
    note_survivors(turn, state, &back.survivors).await?;
    if !back.plan.is_empty() || !back.plan.forgotten.is_empty() {
        let facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
        let question = facts.question(Asking::AutomaticRollback);
        let approved = match gate::decide(back.plan, &question, Timestamp::now()).decision {
            Decision::Go(approved) => approved,
            Decision::Wait(wait) => return Ok(wait.again.map_or(Again::Never, Again::at)),
        };
        let carried = carry_out_due(turn, state, &approved).await?;
        if !carried.report.complete() {
            let line = failure_line(&carried.report.failed, carried.report.failed.len());
            if !carried.report.terminal {
                return Err(format!("{to} could not be put back: {line}"));
            }
            return stop(turn, state, edits, &line).await;
        }
        match &carried.due.waits {
            Some(wait) => {
                if let Some(again) = wait_for(turn, state, wait) {
                    return Ok(again);
                }
                let held = format!("it is still there: {}", wait.why);
                note_survivors(turn, state, &[(wait.object.clone(), held)].into()).await?;
            }
            None if !carried.due.last => return Ok(carried.next),
            None => {}
        }
    }
    verify_back(turn, state, edits, &good.set, &back.survivors).await
}

/// After a restart: what failed, since its digests tell it from what is no culprit.
async fn recall(turn: &Turn<'_>, state: &mut AppState) -> Result<(), String> {
    let Some(open) = state.open.as_mut().filter(|open| open.set.is_none()) else {
        return Ok(());
    };
    open.set = set_of(turn, &open.name).await?;
    Ok(())
}

/// True when the newest set need not wait until the way back has come to its end: it may be released now.
pub(crate) async fn is_overtaken(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Arc<Rendered>,
) -> Result<bool, String> {
    let own = |open: &Open| open.brings(&rendered.digest);
    if state.open.as_ref().is_some_and(own) || held::held_back(turn, state, rendered).is_some() {
        return Ok(false);
    }
    turn.target.sync_desired(rendered).await?;
    let plan = make_plan(turn, state, rendered).await?;
    if is_refused(turn, state, edits, &plan).await? {
        return Ok(false);
    }
    let (answer, _) = waiting::consult(turn, state, rendered, plan).await?;
    Ok(answer.is_ok())
}

/// Closes a release whose way back is not gone to its end, since something newer takes its place.
pub(crate) async fn abandon(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    newer: &str,
) -> Result<(), String> {
    let Some((open, back)) = open_back(state) else {
        return Ok(());
    };
    let message = format!(
        "{}; {} was being put back when {newer} took its place",
        back.cause, back.to
    );
    edits.turn(open.spec.sequence, Phase::Failed);
    release::finish(turn.operator, turn.key, turn.app, open, Phase::Failed, &message).await?;
    state.open = None;
    Ok(())
}

fn rule(turn: &Turn<'_>, state: &AppState) -> Option<Rule> {
    let facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    way::on_failure(facts.policies.iter().map(AsRef::as_ref))
}

fn open_back(state: &mut AppState) -> Option<(&mut Open, Rollback)> {
    let open = state.open.as_mut()?;
    let back = open.status.rollback.clone()?;
    Some((open, back))
}

fn destination(state: &AppState) -> Option<String> {
    let back = state.open.as_ref()?.status.rollback.as_ref()?;
    Some(back.to.clone())
}

async fn write(turn: &Turn<'_>, state: &mut AppState) -> Result<(), String> {
    match state.open.as_mut() {
        Some(open) => release::write(turn.operator, turn.key, open).await,
        None => Ok(()),
    }
}

fn entry(
    open: &Open,
    cause: &str,
    set: Option<&Rendered>,
    good: Option<&Good>,
) -> tidegate_api::application::Quarantined {
    quarantine::entry(&Failed {
        commit: &open.spec.revision.commit,
        release: &open.name,
        cause,
        failures: &open.status.results.failed,
        set,
        good: good.map(|good| &*good.set),
    })
}

/// Says of the Application what it comes to.
fn note(state: &mut AppState, edits: &mut Edits, good: &Good) {
    let Some((open, back)) = open_back(state) else {
        return;
    };
    let (sequence, phase) = (open.spec.sequence, open.status.phase);
    let message = format!(
        "Release {}: {}; {} is being put back",
        open.name, back.cause, back.to
    );
    edits.turn(sequence, phase);
    let revision = &good.release.spec.revision;
    edits.applied = Some(Applied {
        commit: revision.commit.clone(),
        display: record::short_revision(&revision.reference, &revision.commit),
        release: Some(back.to),
    });
    state.progress = Some(Progress::Working {
        reason: UNDER_WAY,
        message,
    });
}

/// True once the Application says in the cluster what runs from now on, and what failed. Else it is told what is missing.
fn is_recorded(turn: &Turn<'_>, state: &AppState, edits: &mut Edits, good: &Good) -> bool {
    let Some(open) = state.open.as_ref() else {
        return false;
    };
    let written = state.written.as_ref();
    let list = written
        .map(|status| status.quarantined.as_slice())
        .unwrap_or_default();
    let wanted = rule(turn, state).is_some_and(|rule| rule.quarantine) && !open.spared;
    let quarantined = !wanted || list.iter().any(|entry| entry.release == open.name);
    if !quarantined {
        // Killed before it was written, or it could not be written.
        let cause = open.status.rollback.as_ref().map(|back| back.cause.as_str());
        let known = turn
            .app
            .status
            .as_ref()
            .map(|status| status.quarantined.as_slice());
        let noted = known
            .unwrap_or_default()
            .iter()
            .any(|entry| entry.release == open.name);
        if !noted {
            let set = open.set.as_deref();
            edits.quarantined = Some(entry(open, cause.unwrap_or_default(), set, Some(good)));
        }
    }
    let runs = written.is_some_and(|status| {
        status.current_release == good.release.metadata.name
            && status.last_applied_revision.as_ref() == Some(&good.release.spec.revision.commit)
    });
    quarantined && runs
}

async fn plan_back(
    turn: &Turn<'_>,
    state: &mut AppState,
    set: &Arc<Rendered>,
    to: &str,
) -> Result<WayBack, String> {
    let plan = make_plan(turn, state, set).await?;
    let mut fixed = BTreeMap::new();
    for (id, version) in way::needs_reading(&plan) {
        let (Some(object), Some(live)) = (set.get(id), turn.target.read_object(id, version).await) else {
            continue;
        };
        if let Some(why) = way::cannot_be_undone(object, &live) {
            fixed.insert(id.clone(), why);
        }
    }
    let (taken, _) = handover::contested(turn, &plan);
    let facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    let limits = facts.policies.iter().filter_map(|p| p.policy.limits.as_ref());
    let protected: Vec<String> = limits.flat_map(|l| l.protected_kinds.clone()).collect();
    Ok(way_back(&way::Inputs {
        plan,
        good: to,
        inventory: state.inventory.as_ref().unwrap_or(&Default::default()),
        protected: &protected,
        fixed: &fixed,
        others: &not_undone(turn, state, to).await?,
        taken: &taken,
        key: &turn.operator.key,
    }))
}

/// Releases after the good one, beside the one that is undone, that ended with what they brought in the cluster.
async fn not_undone(turn: &Turn<'_>, state: &AppState, good: &str) -> Result<BTreeSet<String>, String> {
    let open = state.open.as_ref().map(|open| open.name.as_str());
    let releases = turn.operator.list_releases(turn.key).await?;
    let good = releases.iter().find(|r| r.metadata.name.as_deref() == Some(good));
    let after = good.map_or(0, |good| good.spec.sequence);
    let stays = |r: &&Release| {
        let phase = r.status.as_ref().map(|s| s.phase).unwrap_or_default();
        r.spec.sequence > after
            && r.metadata.name.as_deref() != open
            && matches!(phase, Phase::Failed | Phase::Succeeded)
    };
    Ok(releases
        .iter()
        .filter(stays)
        .filter_map(|r| r.metadata.name.clone())
        .collect())
}

/// What stays is in the record before anything else is done.
async fn note_survivors(
    turn: &Turn<'_>,
    state: &mut AppState,
    found: &BTreeMap<ObjectId, String>,
) -> Result<(), String> {
    let Some(open) = state.open.as_mut() else {
        return Ok(());
    };
    let survivors = &mut open.status.results.survivors;
    for (id, why) in found {
        let line = format!("{id}: {why}");
        if survivors.len() < record::MAX_LISTED && !survivors.contains(&line) {
            survivors.push(line);
        }
    }
    write(turn, state).await
}

/// Objects that are on their way out hold what goes after them; `None` when that has taken too long.
fn wait_for(turn: &Turn<'_>, state: &mut AppState, wait: &Wait) -> Option<Again> {
    let now = Timestamp::now();
    let open = state.open.as_mut()?;
    let deadline = open.wait_until(&wait.key(), now, health_timeout(turn.app));
    (now < deadline).then(|| Again::at(deadline).sooner(Again::after(POD_LOOK)))
}

/// Everything is written: what was put back has to be healthy too.
async fn verify_back(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    set: &Rendered,
    survivors: &BTreeMap<ObjectId, String>,
) -> Result<Again, String> {
    let now = Timestamp::now();
    let counts = |id: &ObjectId| set.get(id).is_some() && !survivors.contains_key(id);
    let (failed, _) = failures(turn.target, state, counts, now).await;
    if failed.is_empty() {
        return finish(turn, state, edits).await;
    }
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    let until = now.checked_add(health_timeout(turn.app)).unwrap_or(now);
    let deadline = *open.deadline.get_or_insert(until);
    if now < deadline {
        return Ok(Again::at(deadline).sooner(Again::after(POD_LOOK)));
    }
    let line = failure_line(&failed, failed.len());
    let why = format!("not healthy within {}: {line}", turn.app.spec.health.timeout);
    stop(turn, state, edits, &why).await
}

async fn finish(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits) -> Result<Again, String> {
    let Some((open, back)) = open_back(state) else {
        return Ok(Again::Never);
    };
    let survivors = &open.status.results.survivors;
    let left = match survivors.as_slice() {
        [] => String::new(),
        [first] => format!("; not undone: {first}"),
        [first, rest @ ..] => format!("; not undone: {first}; and {} more", rest.len()),
    };
    let message = format!("{}; {} was put back{left}", back.cause, back.to);
    let now = Timestamp::now().to_string();
    open.status.rollback = Some(Rollback {
        finished: Some(now),
        ..back
    });
    edits.turn(open.spec.sequence, Phase::RolledBack);
    release::finish(
        turn.operator,
        turn.key,
        turn.app,
        open,
        Phase::RolledBack,
        &message,
    )
    .await?;
    state.open = None;
    state.newest = None;
    state.progress = None;
    Ok(Again::after(Duration::ZERO))
}

/// The way back is not gone on: a person has to look.
async fn stop(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits, why: &str) -> Result<Again, String> {
    let Some((open, back)) = open_back(state) else {
        return Ok(Again::Never);
    };
    let message = format!("{}; and {} could not be put back: {why}", back.cause, back.to);
    let progress = Progress::Failed {
        reason: FAILED,
        message: format!(
            "{} failed: {message}. What runs is partly of both, and nothing more is tried by itself: commit a fix, or name a good Release in the annotation tidegate.io/rollbackTo",
            open.short_revision()
        ),
        stalled: true,
    };
    edits.turn(open.spec.sequence, Phase::Failed);
    let told = release::finish(turn.operator, turn.key, turn.app, open, Phase::Failed, &message).await;
    state.progress = Some(progress);
    told?;
    state.open = None;
    state.newest = None;
    Ok(Again::after(Duration::ZERO))
}
