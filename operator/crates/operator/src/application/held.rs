//! The newest commit while an earlier rollback has a word in it: it failed and was put back, or still has what failed.

use jiff::Timestamp;
use tidegate_api::application::ApplicationStatus;
use tidegate_api::condition::SYNCED;
use tidegate_api::release::Phase;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Asking, QUARANTINED};
use tidegate_core::quarantine;
use tidegate_core::status::Progress;

use crate::application::gate::Facts;
use crate::application::newest::Known;
use crate::application::rollback::FAILED;
use crate::application::turn::Turn;
use crate::application::{AppState, relations, status, waiting};

/// Why the newest set is not released although it is admissible, and gets no Release that waits: it failed, and was put
/// back. `None` when the gates decide.
pub(crate) fn held_back(turn: &Turn<'_>, state: &AppState, rendered: &Rendered) -> Option<Progress> {
    let known = turn.app.status.as_ref()?;
    let again = known.attempted_digest.as_deref() == Some(rendered.digest.as_str());
    let commit = &turn.source.revision.commit;
    let is_it = known.quarantined.iter().any(|entry| entry.commit == *commit);
    if !again && !is_it {
        return None;
    }
    let mut facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    facts.revision.commit.clone_from(commit);
    let held = gate::quarantined(rendered, &facts.question(Asking::Release), Timestamp::now());
    if has_failed(state) {
        let waits = held.is_some() || (again && !turn.asked);
        return state.progress.clone().filter(|_| waits);
    }
    let phase = known.display.phase.as_str();
    if again && phase == Phase::Failed.as_str() {
        // It stays as it failed, for people to look at.
        return None;
    }
    let shown = status::shown(&turn.source.revision);
    if let Some(why) = held {
        return Some(Progress::Waiting {
            reason: QUARANTINED,
            message: format!("{shown} waits: {why}"),
        });
    }
    (again && phase == Phase::RolledBack.as_str() && !turn.asked).then(|| Progress::Waiting {
        reason: "RolledBack",
        message: format!(
            "{shown} failed, and {} was put back; another commit is released by itself, this one when the Application is annotated with a new tidegate.io/requestedAt",
            known.current_release.as_deref().unwrap_or_default()
        ),
    })
}

/// The newest set failed and waits: what was put back is kept as it is.
pub(crate) async fn hold(
    turn: &Turn<'_>,
    state: &mut AppState,
    rendered: &Rendered,
    progress: Progress,
) -> Result<(), String> {
    waiting::supersede_other(turn, state, rendered).await?;
    state.obstacle = Some(progress);
    if let Some(newest) = &mut state.newest {
        newest.held = true;
    }
    Ok(())
}

/// Notes what is wanted: what runs, while the newest set still has what made an earlier one fail.
pub(crate) fn note_wants(turn: &Turn<'_>, state: &mut AppState, known: &Known) {
    let list = turn
        .app
        .status
        .as_ref()
        .map(|status| status.quarantined.as_slice());
    let commit = &turn.source.revision.commit;
    let failed = |set: &Rendered| quarantine::holding(list.unwrap_or_default(), set, commit).is_some();
    match known {
        Known::Admitted(set) if failed(set) || held_back(turn, state, set).is_some() => {
            let kept = state.inventory.iter().flat_map(|set| set.kept());
            let kept = kept.map(|(id, _)| id.clone()).collect();
            relations::want(turn, state, kept);
        }
        _ => relations::note_wants(turn, state, known),
    }
}

/// A failed rollback is said as long as nothing newer is released, whatever else waits.
pub(crate) fn remind(state: &mut AppState) {
    if has_failed(state) {
        state.obstacle.clone_from(&state.progress);
    }
}

fn has_failed(state: &AppState) -> bool {
    matches!(&state.progress, Some(Progress::Failed { reason: FAILED, .. }))
}

/// The failed rollback that an earlier process left behind: the condition is what is left of it.
pub(crate) fn left_behind(status: Option<&ApplicationStatus>) -> Option<Progress> {
    let mut conditions = status?.conditions.iter();
    let synced = conditions.find(|c| c.type_ == SYNCED && c.status == "False" && c.reason == FAILED)?;
    Some(Progress::Failed {
        reason: FAILED,
        message: synced.message.clone(),
        stalled: true,
    })
}
