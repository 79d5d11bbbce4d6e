//! The end of a release that failed: its `SyncFail` hooks run, then its record is closed.

use std::time::Duration;

use tidegate_api::release::{Failure, Phase};
use tidegate_core::desired::Rendered;
use tidegate_core::hook::{self, Point, has_begun};
use tidegate_core::inventory::InventorySet;
use tidegate_core::record::{self, failure_line};
use tidegate_core::status::Progress;

use crate::application::AppState;
use crate::application::hooks::{Ran, run_hooks};
use crate::application::release::{self, Open};
use crate::application::rollback::{self, Begun};
use crate::application::status::Edits;
use crate::application::turn::Turn;
use crate::state::Again;

/// Why a release fails.
#[derive(Clone)]
pub(crate) struct Fault {
    /// CamelCase cause, of the Application's conditions.
    pub(crate) reason: &'static str,
    /// One line for people.
    pub(crate) message: String,
    /// True when everything was applied, whatever became of it.
    pub(crate) applied: bool,
}

/// Fails the open release. The same set is not tried again until somebody asks or commits.
pub(crate) async fn fail(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    fault: Fault,
    failed: Vec<Failure>,
) -> Result<Again, String> {
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    open.fail(failed, Vec::new());
    let set = open.set.clone().unwrap_or_default();
    let hooks = set.hooks_at(Point::SyncFail).count() > 0;
    open.failing = Some(fault.clone());
    if hooks {
        // The reason is in the record before a hook runs: a restart then knows what they run for.
        open.say(&fault.message);
        release::write(turn.operator, turn.key, open).await?;
        return end(turn, state, edits).await;
    }
    close(turn, state, edits, fault).await
}

/// Goes on with a release that is failing: looks after its hooks, closes it when they have ended.
pub(crate) async fn end(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits) -> Result<Again, String> {
    let Some(open) = state.open.as_ref() else {
        return Ok(Again::Never);
    };
    let (Some(mut fault), Some(set)) = (open.failing.clone(), open.set.clone()) else {
        return Ok(Again::Never);
    };
    if set.hooks_at(Point::SyncFail).next().is_none() {
        return close(turn, state, edits, fault).await;
    }
    let outcome = match run_hooks(turn, state, edits, &set, Point::SyncFail).await? {
        Ran::Waits(again) => return Ok(again),
        Ran::Done => "the SyncFail hooks have run".to_owned(),
        Ran::Failed(failed) => format!("and then: {}", failure_line(&failed, failed.len())),
    };
    fault.message = format!("{}; {outcome}", fault.message);
    close(turn, state, edits, fault).await
}

/// After a restart: a release whose `SyncFail` hooks had begun was failing, and its message says why.
pub(crate) fn recall(open: &mut Open, rendered: &Rendered, set: &InventorySet) {
    if open.failing.is_some() || !has_begun(rendered, set, Point::SyncFail, &open.name) {
        return;
    }
    let hook = hook::failed(rendered, set).next().is_some();
    open.failing = Some(Fault {
        reason: if hook { "HookFailed" } else { "ApplyFailed" },
        message: open.status.display.message.clone(),
        applied: open.status.times.applied.is_some() && !hook,
    });
}

/// After a restart: the same set failed before, and is not tried again until somebody asks or commits.
pub(crate) fn failed_before(turn: &Turn<'_>) -> Progress {
    let release = record::release_name(
        &turn.key.name,
        turn.app.status.as_ref().map_or(0, |s| s.last_sequence),
    );
    let message = format!(
        "Release {release} could not be applied as a whole; see `kubectl describe releases.tidegate.io {release}`, then commit a fix or annotate the Application with a new tidegate.io/requestedAt"
    );
    Progress::Failed {
        reason: "ApplyFailed",
        message,
        stalled: true,
    }
}

/// After a restart: as [`failed_before`], where a hook alone failed.
pub(crate) fn hook_failed_before(turn: &Turn<'_>, hook: &hook::Hook) -> Progress {
    let sequence = turn.app.status.as_ref().map_or(0, |s| s.last_sequence);
    let release = record::release_name(&turn.key.name, sequence);
    let message = format!(
        "{} hook {} failed in Release {release}; see `kubectl describe releases.tidegate.io {release}`, then commit a fix or annotate the Application with a new tidegate.io/requestedAt",
        hook.point.as_str(),
        hook.job.id
    );
    Progress::Failed {
        reason: "HookFailed",
        message,
        stalled: true,
    }
}

/// All that the commit says of failures is done: the last good set is put back, or the failed one stays.
async fn close(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    mut fault: Fault,
) -> Result<Again, String> {
    match rollback::begin(turn, state, edits, &fault).await? {
        Begun::Yes => return Ok(Again::after(Duration::ZERO)),
        Begun::No(None) => {}
        Begun::No(Some(why)) => fault.message = format!("{}; {why}", fault.message),
    }
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    // Told first: it stays true when the record cannot be written now, and keeps the set from being tried again.
    edits.turn(open.spec.sequence, Phase::Failed);
    if fault.applied {
        state.diagnosis = Some(fault.message.clone());
        state.progress = Some(Progress::Synced);
    } else {
        let shown = open.short_revision();
        state.progress = Some(Progress::Failed {
            reason: fault.reason,
            message: format!("{shown} could not be applied as a whole: {}", fault.message),
            stalled: true,
        });
    }
    let (phase, message) = (Phase::Failed, &fault.message);
    release::finish(turn.operator, turn.key, turn.app, open, phase, message).await?;
    state.open = None;
    Ok(Again::Never)
}
