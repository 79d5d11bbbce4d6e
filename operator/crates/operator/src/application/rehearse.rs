//! Changes are sent to the API server before a release, with the wish that nothing is stored: what admission refuses is
//! known before anything is written.

use std::sync::Arc;

use tidegate_api::application::DryRun;
use tidegate_core::plan::Plan;

use crate::application::act::is_older;
use crate::application::deny::deny;
use crate::application::status::Edits;
use crate::application::turn::Turn;
use crate::application::{AppState, waiting};

/// Rehearses a plan once, where the spec asks for it. True when the API server refuses some of it: then the commit is refused
/// as a whole, as any other that is not admissible.
pub(crate) async fn is_refused(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    plan: &Plan,
) -> Result<bool, String> {
    let spec = &turn.app.spec;
    let wanted = match spec.dry_run {
        DryRun::Always => true,
        DryRun::Never => false,
        DryRun::WhenPolicied => spec.force || turn.operator.is_bound(turn.key, turn.app),
    };
    if !wanted || is_older(state) || state.rehearsed.as_ref() == Some(&plan.digest) {
        return Ok(false);
    }
    let problems = turn.target.rehearse(plan).await?;
    if problems.is_empty() {
        state.rehearsed = Some(plan.digest.clone());
        return Ok(false);
    }
    let problems = Arc::new(problems);
    if let Some(newest) = &mut state.newest {
        newest.refused = Some(problems.clone());
        newest.admitted = None;
    }
    waiting::supersede(turn, state, "the API server refuses it by now").await?;
    deny(turn, state, edits, &problems).await?;
    Ok(true)
}
