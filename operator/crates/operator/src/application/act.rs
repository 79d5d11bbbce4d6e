//! From an admitted set to the cluster: plan, gate, execution, and what came of it.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::release::{Failure, Phase};
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Decision};
use tidegate_core::inventory::InventorySet;
use tidegate_core::plan::{Cause, Inputs, Plan, plan};
use tidegate_core::record::{self, failure_line};
use tidegate_core::status::{Progress, observe};

use crate::application::deny::trigger;
use crate::application::desired::desired;
use crate::application::drift::correct_drift;
use crate::application::reconcile::settle;
use crate::application::release::{self, Subject};
use crate::application::status::{self, Applied, Attempted, Edits};
use crate::application::turn::Turn;
use crate::application::{AppState, Newest, outcome, verify};
use crate::state::Again;

/// Plans, asks the gate, and carries out.
pub(crate) async fn act(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: Arc<Rendered>,
) -> Result<Again, String> {
    let set = state.inventory.clone().unwrap_or_default();
    turn.operator.sync_desired(&rendered).await?;
    if !state.resumed {
        let commit = &turn.source.revision.commit;
        state.open = release::resume(turn.operator, turn.key, turn.app, commit, &rendered.digest).await?;
        state.resumed = true;
    }
    let plan = make_plan(turn, &set, &rendered);
    let refused = matches!(&state.newest, Some(Newest { result: Err(_), .. }));
    let attempted = turn.app.status.as_ref().and_then(|s| s.attempted_digest.clone());
    let same = attempted.as_deref() == Some(rendered.digest.as_str());
    if plan.is_empty() && plan.forgotten.is_empty() {
        return nothing_to_write(turn, state, edits, &rendered, refused).await;
    }
    if state.open.is_none() && (refused || same) && is_upkeep(&plan, same) {
        return correct_drift(turn, state, plan).await;
    }
    let failed_before = turn
        .app
        .status
        .as_ref()
        .is_some_and(|s| s.display.phase == Phase::Failed.as_str());
    if state.open.is_none() && refused {
        return settle(turn, state, edits).await;
    }
    if state.open.is_none() && same && failed_before && !turn.asked {
        state.progress.get_or_insert_with(|| failed_before_progress(turn));
        return settle(turn, state, edits).await;
    }
    release_plan(turn, state, edits, rendered, plan).await
}

/// True when a plan brings nothing new: live objects are put back, and what outlived an earlier prune of the same set
/// is looked after.
fn is_upkeep(plan: &Plan, same: bool) -> bool {
    plan.steps.iter().all(|step| match step.cause {
        Cause::Drifted | Cause::Added | Cause::Missing => true,
        Cause::Removed => same,
        Cause::New | Cause::Changed => false,
    })
}

/// After a restart: the same set failed before, and is not tried again until somebody asks or commits.
fn failed_before_progress(turn: &Turn<'_>) -> Progress {
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

fn make_plan(turn: &Turn<'_>, set: &InventorySet, rendered: &Arc<Rendered>) -> Plan {
    let live = turn.operator.live_of(set);
    plan(&Inputs {
        rendered,
        inventory: set,
        live: &live,
        prune: turn.app.spec.prune,
        drift: turn.app.spec.drift.mode,
        additions: turn.app.spec.drift.additions,
        now: Timestamp::now(),
        key: &turn.operator.key,
    })
}

/// The cluster is as the commit says already: the commit is noted, no Release is made for it.
async fn nothing_to_write(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Rendered,
    refused: bool,
) -> Result<Again, String> {
    if !refused {
        state.progress = Some(Progress::Synced);
        let sequence = turn.app.status.as_ref().map_or(0, |s| s.last_sequence);
        edits.applied = Some(Applied {
            commit: turn.source.revision.commit.clone(),
            display: status::shown(&turn.source.revision),
            release: None,
        });
        edits.attempted = Some(Attempted {
            commit: turn.source.revision.commit.clone(),
            sequence,
            digest: Some(rendered.digest.clone()),
        });
        if turn
            .app
            .status
            .as_ref()
            .is_some_and(|s| s.display.phase == Phase::Denied.as_str())
        {
            edits.phase = Some(Phase::Succeeded);
        }
    }
    settle(turn, state, edits).await
}

/// Makes or continues a Release and carries its plan out.
async fn release_plan(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: Arc<Rendered>,
    plan: Plan,
) -> Result<Again, String> {
    supersede(turn, state, &rendered).await?;
    let previous = previous(turn, &rendered).await;
    let summary = record::summarize(&plan, previous.as_deref());
    let approved = match gate::decide(plan, turn.app.spec.suspend.as_ref(), Timestamp::now()) {
        Decision::Go(approved) => approved,
        Decision::Wait { until, why } => {
            state.progress = Some(Progress::Waiting {
                reason: "Waiting",
                message: why,
            });
            return Ok(until.map_or(Again::Never, Again::at));
        }
    };
    if state.open.is_none() {
        let tree = state.newest.as_ref().map(|n| n.tree.clone()).unwrap_or_default();
        let subject = Subject {
            revision: &turn.source.revision,
            tree: &tree,
            trigger: trigger(turn.app, &turn.source.revision.commit),
            detected: turn.source.detected,
            digest: &rendered.digest,
        };
        let mut open = release::open(turn.operator, turn.key, turn.app, subject, summary).await?;
        open.turn(Phase::Applying, "Writing objects", Timestamp::now());
        release::write(turn.operator, turn.key, &mut open).await?;
        state.corrected.clear();
        state.diagnosis = None;
        state.open = Some(open);
    }
    let report = outcome::carry_out(turn.operator, turn.key, turn.app, turn.owner, state, &approved).await?;
    finish_apply(turn, state, edits, &rendered, report).await
}

/// A newer admissible set takes the place of an unfinished release.
async fn supersede(turn: &Turn<'_>, state: &mut AppState, rendered: &Rendered) -> Result<(), String> {
    let Some(open) = state.open.as_mut().filter(|open| open.digest != rendered.digest) else {
        return Ok(());
    };
    let message = format!("{} took its place", status::shown(&turn.source.revision));
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

/// What the last applied commit made, for `from → to`. A mirror without that commit just leaves the fields out.
async fn previous(turn: &Turn<'_>, rendered: &Rendered) -> Option<Arc<Rendered>> {
    let commit = turn.app.status.as_ref()?.last_applied_revision.clone()?;
    if commit == turn.source.revision.commit || rendered.objects.is_empty() {
        return None;
    }
    desired(turn.operator, turn.app, turn.owner, &turn.source.remote, &commit)
        .await
        .ok()
}

async fn finish_apply(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Rendered,
    report: outcome::Report,
) -> Result<Again, String> {
    let Some(mut open) = state.open.take() else {
        return Ok(Again::Never);
    };
    edits.attempted = Some(Attempted {
        commit: turn.source.revision.commit.clone(),
        sequence: open.spec.sequence,
        digest: Some(rendered.digest.clone()),
    });
    let failed = locate(report.failed, rendered);
    if !failed.is_empty() || report.not_attempted > 0 {
        let line = failure_line(&failed, failed.len());
        let line = if line.is_empty() {
            format!("{} objects were not tried", report.not_attempted)
        } else {
            line
        };
        open.fail(failed, Vec::new());
        if report.transient {
            edits.phase = Some(open.status.phase);
            state.open = Some(open);
            return Err(line);
        }
        state.progress = Some(Progress::Failed {
            reason: report.reason.unwrap_or("ApplyFailed"),
            message: format!(
                "{} could not be applied as a whole: {line}",
                status::shown(&turn.source.revision)
            ),
            stalled: true,
        });
        release::finish(turn.operator, turn.key, turn.app, &mut open, Phase::Failed, &line).await?;
        edits.phase = Some(Phase::Failed);
        return Ok(Again::Never);
    }
    if !report.adopted.is_empty() {
        let note = format!(
            "Took over objects that existed: {}",
            record::shorten(&report.adopted.join(", "), 800)
        );
        turn.operator.event(
            status::reference(turn.key, turn.app),
            false,
            "Adopted",
            "Release",
            &note,
        );
    }
    edits.applied = Some(Applied {
        commit: open.spec.revision.commit.clone(),
        display: open.short_revision(),
        release: Some(open.name.clone()),
    });
    turn.operator
        .metrics
        .stage("commit_to_live", open.started.elapsed());
    open.status.times.applied = Some(Timestamp::now().to_string());
    state.open = Some(open);
    let set = state.inventory.clone().unwrap_or_default();
    let observed = observe(
        &set,
        &turn.operator.live_of(&set),
        &turn.app.spec.drift,
        Timestamp::now(),
    );
    verify::verify(turn.operator, turn.key, turn.app, state, &observed, edits).await
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
