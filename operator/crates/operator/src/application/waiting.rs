//! A release that a gate holds: its record says what it would do, which gates are closed and what opens them. Nothing of
//! it is in the cluster; what ran before is kept.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::release::{ApprovalShown, Gate, GateDecision, Phase, PlanSummary, Trigger};
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{Approved, Asking, Decision, QUARANTINED, Verdict, Wait, decide, show_approvals};
use tidegate_core::plan::Plan;
use tidegate_core::record;
use tidegate_core::status::Progress;

use crate::application::gate::Facts;
use crate::application::keeping::previous;
use crate::application::release::{self, Open, Subject};
use crate::application::status::{self, Edits};
use crate::application::turn::Turn;
use crate::application::{AppState, commits, relations};
use crate::state::Again;

/// Wait before what could not be found out is asked again, beside the events that wake sooner.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// The plan may go, or what holds it.
pub(crate) type Answer = Result<Approved<Plan>, Wait>;

/// What the gates say about a release that has not begun, for its record.
pub(crate) struct Said {
    gates: Vec<Gate>,
    approvals: Vec<ApprovalShown>,
    /// True when something could not be found out that may be found out later.
    retry: bool,
    /// The plan as the record shows it; `None` where the record has it already.
    summary: Option<PlanSummary>,
}

/// Asks the gates about a release that has not begun.
pub(crate) async fn consult(
    turn: &Turn<'_>,
    state: &mut AppState,
    rendered: &Rendered,
    plan: Plan,
) -> Result<(Answer, Said), String> {
    supersede_other(turn, state, rendered).await?;
    let now = Timestamp::now();
    let mut facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    if let Some(set) = &state.inventory {
        facts.look_at(turn.operator, turn.target, set, true);
    }
    facts.after.clone_from(&state.promotion.states);
    if facts.policies.is_empty() {
        facts.revision.commit.clone_from(&turn.source.revision.commit);
    } else {
        facts.revision = commits::since_last_good(turn, state).await;
    }
    let waiting = state.waiting.as_ref();
    if let Some(open) = waiting {
        facts.of_release(turn.operator, turn.key, &open.name);
    }
    let known = waiting.is_some_and(|open| open.status.plan.digest == plan.digest);
    let summary = if known {
        None
    } else {
        Some(record::summarize(
            &plan,
            previous(turn, rendered).await.as_deref(),
        ))
    };
    let retry = facts.revision.unknown.is_some();
    let question = facts.question(match turn.restores {
        None => Asking::Release,
        Some(_) => Asking::Rollback,
    });
    let approvals = show_approvals(&plan, &question, now);
    let Verdict { gates, decision } = decide(plan, &question, now);
    let answer = match decision {
        Decision::Go(approved) => Ok(approved),
        Decision::Wait(wait) => Err(wait),
    };
    let said = Said {
        gates,
        approvals,
        retry,
        summary,
    };
    Ok((answer, said))
}

/// Holds a release: its record is made, or brought to what is known now, and what runs is kept.
pub(crate) async fn hold(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Arc<Rendered>,
    said: Said,
    wait: &Wait,
    trigger: Trigger,
) -> Result<Again, String> {
    let on = closed(&said.gates);
    let (named, retry) = (state.waiting.is_some(), said.retry);
    let follows = state.promotion.follows.clone();
    let open = taken(turn, state, rendered, said, trigger).await?;
    open.turn(Phase::Waiting, &wait.why, Timestamp::now());
    release::write(turn.operator, turn.key, open).await?;
    edits.turn(open.spec.sequence, Phase::Waiting);
    let progress = Progress::Waiting {
        reason: if wait.reason == QUARANTINED {
            QUARANTINED
        } else {
            "Waiting"
        },
        message: match follows {
            None => format!("Release {} waits: {}", open.name, wait.why),
            Some(follows) => format!("Release {} {follows}; it waits: {}", open.name, wait.why),
        },
    };
    relations::hold(turn, state, progress);
    turn.operator.note_waiting(turn.key, &on);
    if !named {
        // Asked again by its name, the gates say how it is approved.
        return Ok(Again::after(Duration::ZERO));
    }
    let again = wait.again.map_or(Again::Never, Again::at);
    Ok(if retry {
        again.sooner(Again::after(ASK_AGAIN))
    } else {
        again
    })
}

/// A release may go: the one that waited becomes the open one, or a new one is made.
pub(crate) async fn begin(
    turn: &Turn<'_>,
    state: &mut AppState,
    rendered: &Arc<Rendered>,
    said: Said,
    trigger: Trigger,
) -> Result<(), String> {
    taken(turn, state, rendered, said, trigger).await?;
    state.open = state.waiting.take();
    turn.operator.note_waiting(turn.key, &[]);
    Ok(())
}

/// The record of the release that waits, made where there is none yet, with what the gates say now.
async fn taken<'s>(
    turn: &Turn<'_>,
    state: &'s mut AppState,
    rendered: &Arc<Rendered>,
    said: Said,
    trigger: Trigger,
) -> Result<&'s mut Open, String> {
    let mut open = match state.waiting.take() {
        Some(open) => open,
        None => made(turn, state, rendered, &said, trigger).await?,
    };
    if let Some(summary) = said.summary {
        open.status.plan = summary;
    }
    open.status.gates = record::gates(said.gates);
    open.status.approvals = said.approvals;
    open.status.approvals.truncate(record::MAX_LINES);
    open.set = Some(rendered.clone());
    Ok(state.waiting.insert(open))
}

async fn made(
    turn: &Turn<'_>,
    state: &AppState,
    rendered: &Rendered,
    said: &Said,
    trigger: Trigger,
) -> Result<Open, String> {
    let tree = state.newest.as_ref().map(|n| n.tree.clone()).unwrap_or_default();
    let subject = Subject {
        signature: turn.source.verified.as_ref().map(tidegate_git::Verified::overall),
        revision: &turn.source.revision,
        tree: &tree,
        trigger,
        detected: turn.source.detected,
        digest: Some(&rendered.digest),
        restores: turn.restores,
    };
    let running = state.open.as_ref().map(|open| open.name.as_str());
    let summary = said.summary.clone().unwrap_or_default();
    release::open(turn.operator, turn.key, turn.app, subject, summary, running).await
}

/// The policies of the gates that are closed.
fn closed(gates: &[Gate]) -> Vec<String> {
    let closed = gates.iter().filter(|gate| gate.decision == GateDecision::Closed);
    let mut policies: Vec<String> = closed.map(|gate| gate.policy.clone()).collect();
    policies.sort();
    policies.dedup();
    policies
}

/// Closes the record of a waiting release that is not needed any more.
pub(crate) async fn supersede(turn: &Turn<'_>, state: &mut AppState, why: &str) -> Result<(), String> {
    let Some(open) = state.waiting.as_mut() else {
        return Ok(());
    };
    release::finish(turn.operator, turn.key, turn.app, open, Phase::Superseded, why).await?;
    state.waiting = None;
    turn.operator.note_waiting(turn.key, &[]);
    Ok(())
}

/// As [`supersede`], unless the waiting release brings the set that the newest commit makes.
pub(crate) async fn supersede_other(
    turn: &Turn<'_>,
    state: &mut AppState,
    rendered: &Rendered,
) -> Result<(), String> {
    let waiting = state.waiting.as_ref();
    let same = |open: &Open| open.brings(&rendered.digest) && open.spec.restores.as_deref() == turn.restores;
    if waiting.is_none_or(same) {
        return Ok(());
    }
    let why = format!("{} took its place", status::shown(&turn.source.revision));
    supersede(turn, state, &why).await
}
