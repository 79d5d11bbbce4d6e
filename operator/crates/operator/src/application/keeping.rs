//! When the set of a release is kept, and which kept set is the one that runs.
//!
//! It is kept when the release begins, before anything is written: an operator that is killed in mid-release finishes it,
//! and puts back what drifts meanwhile, though the repository be gone, its history rewritten or the spec edited. When it
//! does not end well, its set goes with the next release; what is good stays as long as its record. Failing to keep a set
//! is no reason to hold a release back: it may be the fix that is waited for. It is tried again before the release is
//! called good, and then waited for where waiting may help.

use std::sync::Arc;

use tidegate_api::Application;
use tidegate_api::release::Change;
use tidegate_core::desired::Rendered;
use tidegate_core::plan::Plan;
use tidegate_core::record::{self, MAX_LISTED};

use crate::application::desired::desired;
use crate::application::drift::is_newest;
use crate::application::release::Open;
use crate::application::turn::Turn;
use crate::application::{AppState, sets, status};
use crate::state::Operator;
use crate::store::Key;

/// A release begins: its set, and its plan where the record has only the first changes.
pub(crate) async fn begin(turn: &Turn<'_>, state: &AppState, rendered: &Arc<Rendered>, plan: &Plan) {
    let Some(open) = &state.open else { return };
    let (operator, key, app, release) = (turn.operator, turn.key, turn.app, &open.name);
    if let Err(trouble) = sets::keep(operator, key, app, release, rendered).await {
        tracing::warn!(release, error = trouble.message, "its set is not kept yet");
    }
    if plan.steps.len() <= MAX_LISTED {
        return;
    }
    let before = previous(turn, rendered).await;
    let changes: Vec<Change> = record::all_changes(plan, before.as_deref()).collect();
    if let Err(trouble) = sets::keep_plan(operator, key, app, release, &changes).await {
        tracing::warn!(release, error = trouble.message, "its full plan is not kept");
    }
}

/// What ran before, for `from → to`. Where it cannot be had, the fields are just left out.
pub(crate) async fn previous(turn: &Turn<'_>, rendered: &Rendered) -> Option<Arc<Rendered>> {
    let status = turn.app.status.as_ref()?;
    let commit = status.last_applied_revision.clone()?;
    if commit == turn.source.revision.commit || rendered.objects.is_empty() {
        return None;
    }
    let current = status.current_release.as_deref().unwrap_or_default();
    if let Ok(Some(kept)) = sets::kept(turn.operator, turn.key, turn.app, current).await {
        return Some(kept);
    }
    desired(
        turn.operator,
        turn.target,
        turn.app,
        turn.owner,
        turn.source.remote().ok()?,
        &commit,
    )
    .await
    .ok()
}

/// A release is about to be called good. `Err` when its set cannot be kept now and may be soon.
pub(crate) async fn before_good(turn: &Turn<'_>, open: &Open) -> Result<(), String> {
    let Some(rendered) = &open.set else { return Ok(()) };
    let kept = sets::keep(turn.operator, turn.key, turn.app, &open.name, rendered).await;
    let Err(trouble) = kept else { return Ok(()) };
    let line = format!(
        "the set of Release {} could not be kept: {}",
        open.name, trouble.message
    );
    if !trouble.lasting {
        return Err(line);
    }
    let note = format!("{line}; nothing can be rolled back to this release, and drift is corrected from git");
    tracing::warn!(
        release = open.name,
        error = trouble.message,
        "its set is not kept"
    );
    turn.operator.event(
        status::reference(turn.key, turn.app),
        true,
        "SetNotKept",
        "Release",
        &record::shorten(&note, 900),
    );
    Ok(())
}

/// The newest commit makes what runs: where the set of the release that brought it is not kept, since it could not be or a
/// version before this one made it, it is now.
pub(crate) async fn mend(turn: &Turn<'_>, state: &AppState, rendered: &Arc<Rendered>) {
    let Some(status) = &turn.app.status else { return };
    let Some(current) = &status.current_release else {
        return;
    };
    let is_last = *current == record::release_name(&turn.key.name, status.last_sequence);
    let same = status.attempted_digest.as_deref() == Some(rendered.digest.as_str());
    if state.open.is_some() || !is_last || !same || turn.operator.sets.is_known(turn.key) {
        return;
    }
    if let Err(trouble) = sets::keep(turn.operator, turn.key, turn.app, current, rendered).await {
        tracing::warn!(release = current, error = trouble.message, "its set is not kept");
    }
}

/// The kept set of what runs; `None` where there is none that can be read. `Err` when it is not known now.
pub(crate) async fn running(turn: &Turn<'_>, state: &AppState) -> Result<Option<Arc<Rendered>>, String> {
    for (release, digest) in candidates(turn, state) {
        match sets::recall(turn.operator, turn.key, turn.app, &release).await {
            Ok(Some(set)) if digest.as_ref().is_none_or(|digest| set.digest == *digest) => {
                return Ok(Some(set));
            }
            Ok(_) => {}
            Err(trouble) if trouble.lasting => {
                tracing::warn!(
                    release,
                    error = trouble.message,
                    "its kept set cannot be read; its commit is rendered again instead"
                );
            }
            Err(trouble) => {
                return Err(format!("the kept set of Release {release}: {}", trouble.message));
            }
        }
    }
    Ok(None)
}

/// Releases whose set may be what runs, with the digest that it must have then.
fn candidates(turn: &Turn<'_>, state: &AppState) -> Vec<(String, Option<String>)> {
    if let Some(open) = &state.open {
        return vec![(open.name.clone(), open.spec.set_digest.clone())];
    }
    let Some(status) = &turn.app.status else {
        return Vec::new();
    };
    let current = status.current_release.clone();
    if !is_newest(state) {
        return current.map(|release| (release, None)).into_iter().collect();
    }
    // While the newest commit has not been acted on, nothing of it was kept.
    if state.newest.as_ref().is_none_or(|newest| !newest.acted) {
        return Vec::new();
    }
    // The last release brought it; or an older one did, and a commit was refused since.
    let last = record::release_name(&turn.key.name, status.last_sequence);
    let digest = status.attempted_digest.clone();
    let releases = [Some(last), current].into_iter().flatten();
    let with_digest = releases.filter_map(|release| Some((release, Some(digest.clone()?))));
    with_digest.collect()
}

/// The Application is being deleted: what may not be removed is no reason to keep it. Nobody can read it.
pub(crate) async fn remove_all(operator: &Operator, key: &Key, app: &Application) -> Result<(), String> {
    match sets::remove_all(operator, key, app).await {
        Err(trouble) if trouble.lasting => {
            tracing::warn!(application = %key, error = trouble.message, "its kept sets stay");
            Ok(())
        }
        other => other.map_err(|trouble| format!("kept sets could not be removed: {}", trouble.message)),
    }
}
