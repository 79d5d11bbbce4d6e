//! A release in parts: wave after wave, then one group of deletions after another. Holds no worker between them: live
//! changes and the deadline of a wait wake it.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::release::Failure;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::Approved;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Action, Plan};
use tidegate_core::record::failure_line;
use tidegate_core::status::Progress;
use tidegate_core::wave::{Awaited, Due, Wait, due};

use crate::application::act::is_older;
use crate::application::fail::{Fault, fail};
use crate::application::release::{self, health_timeout};
use crate::application::status::{Attempted, Edits};
use crate::application::turn::Turn;
use crate::application::verify::{POD_LOOK, failures};
use crate::application::{AppState, outcome};
use crate::state::Again;

/// How soon deleted objects are looked at that were still there when the answer came, beside the watch that tells.
const GONE_LOOK: Duration = Duration::from_secs(1);

/// Reason of a release that could not delete in order what its commit drops.
pub(crate) const DELETION_HELD: &str = "DeletionHeld";

/// What came of the part of a plan that was due.
pub(crate) struct Carried {
    pub(crate) due: Due,
    pub(crate) report: outcome::Report,
    /// When the next part can be looked at.
    pub(crate) next: Again,
}

/// Carries out what is due of a plan.
pub(crate) async fn carry_out_due(
    turn: &Turn<'_>,
    state: &mut AppState,
    approved: &Approved<Plan>,
) -> Result<Carried, String> {
    let set = state.inventory.clone().unwrap_or_default();
    let due = due(approved.get(), &set, &turn.target.live_of(&set));
    let part = approved.part(&due);
    let plan = part.get();
    let report = if plan.is_empty() && plan.forgotten.is_empty() {
        outcome::Report::default()
    } else {
        outcome::carry_out(
            turn.operator,
            turn.target,
            turn.key,
            turn.app,
            turn.owner,
            state,
            &part,
        )
        .await?
    };
    let next = if due.last || due.waits.is_some() {
        Again::Never
    } else {
        next_look(state, plan)
    };
    Ok(Carried { due, report, next })
}

/// At once, but for deletions that have not come to their end: those are told by the watch.
pub(crate) fn next_look(state: &AppState, part: &Plan) -> Again {
    let there = |id: &ObjectId| {
        state
            .inventory
            .as_ref()
            .is_some_and(|set| set.entries.contains_key(id))
    };
    let deleted = |action: &Action| matches!(action, Action::Delete { .. });
    let left = part
        .steps
        .iter()
        .any(|step| deleted(&step.action) && there(&step.id));
    Again::after(if left { GONE_LOOK } else { Duration::ZERO })
}

/// The rest of a release waits for its next part.
pub(crate) async fn go_on(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Rendered,
    carried: Carried,
) -> Result<Again, String> {
    note_attempt(turn, state, edits, rendered);
    if let Some(wait) = carried.due.waits {
        return wait_for(turn, state, edits, rendered, &wait).await;
    }
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    edits.turn(open.spec.sequence, open.status.phase);
    state.progress = Some(Progress::Working {
        reason: "Applying",
        message: format!("Release {} is being applied", open.name),
    });
    Ok(carried.next)
}

/// What is being tried. A newer commit that makes the same set is what runs then.
pub(crate) fn note_attempt(turn: &Turn<'_>, state: &AppState, edits: &mut Edits, rendered: &Rendered) {
    let Some(open) = &state.open else { return };
    let own = &open.spec.revision.commit;
    let commit = if is_older(state) {
        own
    } else {
        &turn.source.revision.commit
    };
    edits.attempt(Attempted {
        commit: commit.clone(),
        sequence: open.spec.sequence,
        digest: Some(rendered.digest.clone()),
    });
}

async fn wait_for(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Rendered,
    wait: &Wait,
) -> Result<Again, String> {
    let now = Timestamp::now();
    let (failed, hopeless) = match wait.what {
        Awaited::Healthy { wave, .. } => {
            let belongs = |id: &ObjectId| rendered.get(id).is_some_and(|object| object.wave <= wave);
            failures(turn.target, state, belongs, now).await
        }
        Awaited::Gone { .. } => {
            let failure = Failure {
                object: wait.object.to_string(),
                message: format!("it is still there: {}", wait.why),
                ..Failure::default()
            };
            (vec![failure], false)
        }
    };
    let Some(open) = state.open.as_mut() else {
        return Ok(Again::Never);
    };
    let timeout = &turn.app.spec.health.timeout;
    let deadline = open.wait_until(&wait.key(), now, health_timeout(turn.app));
    if now >= deadline || hopeless {
        let line = failure_line(&failed, failed.len());
        let (reason, message) = match &wait.what {
            Awaited::Healthy { wave, next } if hopeless => (
                "WaveNotHealthy",
                format!(
                    "wave {wave} cannot become healthy, nothing of wave {next} and later was applied: {line}"
                ),
            ),
            Awaited::Healthy { wave, next } => (
                "WaveNotHealthy",
                format!(
                    "wave {wave} was not healthy within {timeout}, nothing of wave {next} and later was applied: {line}"
                ),
            ),
            Awaited::Gone { next } => (
                DELETION_HELD,
                format!("{line}; after {timeout} {next} and what comes after it are not deleted yet"),
            ),
        };
        let fault = Fault {
            reason,
            message,
            applied: false,
        };
        return fail(turn, state, edits, fault, failed).await;
    }
    let message = format!("Release {} is being applied: {}", open.name, wait.line());
    if open.says_anew(&format!("{} {}", wait.key(), wait.object)) {
        open.say(&wait.line());
        release::write(turn.operator, turn.key, open).await?;
    }
    edits.turn(open.spec.sequence, open.status.phase);
    state.progress = Some(Progress::Working {
        reason: "Applying",
        message,
    });
    Ok(Again::at(deadline).sooner(Again::after(POD_LOOK)))
}
