//! A commit that is refused as a whole: recorded once, nothing of it applied.

use tidegate_api::Application;
use tidegate_api::release::{Phase, PlanSummary, Trigger};
use tidegate_core::problem::{self, Problem};
use tidegate_core::status::Progress;

use crate::application::AppState;
use crate::application::reconcile::is_asked;
use crate::application::release::{self, Open, Subject};
use crate::application::status::{self, Attempted, Edits};
use crate::application::turn::Turn;

/// Records a commit that is refused as a whole, once for each commit and generation.
pub(crate) async fn deny(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    problems: &[Problem],
) -> Result<(), String> {
    let revision = &turn.source.revision;
    let reason = problems.first().map_or("Inadmissible", |p| p.reason);
    let short = status::shown(revision);
    let summary = problem::summarize(problems, 3);
    let message = format!("{short} is refused, nothing of it was applied: {summary}");
    let status = turn.app.status.as_ref();
    let recorded = status.is_some_and(|s| {
        s.last_attempted_revision.as_ref() == Some(&revision.commit)
            && s.observed_generation == turn.app.metadata.generation
            && s.display.phase == Phase::Denied.as_str()
    });
    state.obstacle = Some(Progress::Failed {
        reason,
        message,
        stalled: true,
    });
    if recorded {
        return Ok(());
    }
    let mut open = match take_begun(state, &revision.commit) {
        Some(begun) => begun,
        None => begin(turn, state).await?,
    };
    open.fail(problems.iter().map(Problem::to_failure).collect(), Vec::new());
    let finished = release::finish(
        turn.operator,
        turn.key,
        turn.app,
        &mut open,
        Phase::Denied,
        &summary,
    );
    if let Err(error) = finished.await {
        state.denying = Some(open);
        return Err(error);
    }
    edits.turn(open.spec.sequence, Phase::Denied);
    edits.attempt(Attempted {
        commit: revision.commit.clone(),
        sequence: open.spec.sequence,
        digest: None,
    });
    Ok(())
}

/// The record of the same commit that an earlier try began. One of another commit is closed when the next is made.
fn take_begun(state: &mut AppState, commit: &str) -> Option<Open> {
    let begun = state.denying.take();
    begun.filter(|open| open.spec.revision.commit == commit)
}

async fn begin(turn: &Turn<'_>, state: &AppState) -> Result<Open, String> {
    let revision = &turn.source.revision;
    let tree = state.newest.as_ref().map(|n| n.tree.clone()).unwrap_or_default();
    let subject = Subject {
        signature: turn.source.verified.as_ref().map(tidegate_git::Verified::overall),
        revision,
        tree: &tree,
        trigger: trigger(turn.app, &revision.commit),
        detected: turn.source.detected,
        digest: None,
        restores: None,
    };
    let running = state.open.as_ref().map(|open| open.name.as_str());
    let summary = PlanSummary::default();
    release::open(turn.operator, turn.key, turn.app, subject, summary, running).await
}

/// What makes an attempt start now.
pub(crate) fn trigger(app: &Application, commit: &str) -> Trigger {
    let attempted = app
        .status
        .as_ref()
        .and_then(|s| s.last_attempted_revision.as_deref());
    match attempted {
        Some(last) if last != commit => Trigger::Commit,
        Some(_) if is_asked(app) => Trigger::Manual,
        Some(_) => Trigger::Config,
        None => Trigger::Commit,
    }
}
