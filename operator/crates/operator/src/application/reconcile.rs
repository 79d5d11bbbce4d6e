//! One reconcile of an Application: suspended? → source → desired → plan → gate → cluster → health → record.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_api::application::DriftMode;
use tidegate_api::release::{Failure, Phase, Trigger};
use tidegate_core::backoff::Backoff;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Decision};
use tidegate_core::inventory::InventorySet;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::{Cause, Inputs, Plan, plan};
use tidegate_core::problem::{self, Problem};
use tidegate_core::record::{self, failure_line};
use tidegate_core::status::{Progress, observe};

use crate::application::desired::{Refusal, desired};
use crate::application::release::{self, Subject};
use crate::application::status::{self, Applied, Attempted, Edits};
use crate::application::{AppState, Digest, Newest, finalize, inventory, outcome, verify};
use crate::source::requested_at;
use crate::state::{Again, Operator, Source};
use crate::store::Key;

/// Brings one Application one step further. Returns when to come again.
pub(crate) async fn reconcile(operator: &Arc<Operator>, key: &Key) -> Again {
    let Some(app) = operator.applications.get(key) else {
        operator.forget(key);
        return Again::Never;
    };
    let state = operator.app_state(key);
    let mut state = state.lock().await;
    let owner = operator.owner(key);
    let mut edits = Edits::default();
    let deleting = app.metadata.deletion_timestamp.is_some();
    let result = if deleting {
        finalize::finalize(operator, key, &app, &owner, &mut state).await
    } else {
        step(operator, key, &app, &owner, &mut state, &mut edits).await
    };
    let again = match result {
        Ok(again) => {
            state.failures = 0;
            again
        }
        Err(message) => retry(operator, key, &mut state, deleting, message),
    };
    if !deleting {
        let set = state.inventory.clone().unwrap_or_default();
        let observed = observe(&set, &operator.live_of(&set));
        status::write(operator, key, &app, &mut state, &observed, edits).await;
    }
    again
}

fn retry(operator: &Operator, key: &Key, state: &mut AppState, deleting: bool, message: String) -> Again {
    tracing::warn!(application = %key, error = %message, "reconcile failed and is tried again");
    operator.metrics.reconciled("Application", "error");
    if !deleting {
        state.progress = Some(Progress::Failed {
            reason: "Retrying",
            message,
            stalled: false,
        });
    }
    let wait = Backoff::RECONCILE.wait(state.failures, operator.seed(key));
    state.failures = state.failures.saturating_add(1);
    Again::after(wait)
}

async fn step(
    operator: &Arc<Operator>,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    edits: &mut Edits,
) -> Result<Again, String> {
    operator.set_finalizer(key, app, true).await?;
    inventory::load(operator, key, state).await?;
    if let Some((why, until)) = gate::suspended(app.spec.suspend.as_ref(), Timestamp::now()) {
        state.progress = Some(Progress::Waiting {
            reason: "Suspended",
            message: why,
        });
        return Ok(until.map_or(Again::Never, Again::at));
    }
    let set = state.inventory.clone().unwrap_or_default();
    operator.sync_kinds(&set).await?;
    let source = match source(operator, app, key) {
        Ok(source) => source,
        Err(progress) => {
            state.progress = Some(progress);
            return Ok(Again::Never);
        }
    };
    let asked = is_asked(app);
    let newest = newest(operator, app, owner, state, &source, asked).await?;
    let rendered = match newest {
        Known::Unchanged => None,
        Known::Admitted(rendered) => Some(rendered),
        Known::Refused { reason, problems } => {
            deny(operator, key, app, state, edits, &source, reason, &problems).await?;
            None
        }
        Known::Failed(progress) => {
            let stalled = matches!(progress, Progress::Failed { stalled: true, .. });
            state.progress = Some(progress);
            let again = if stalled {
                Again::Never
            } else {
                Again::after(Backoff::RECONCILE.wait(state.failures, operator.seed(key)))
            };
            state.failures = state.failures.saturating_add(1);
            return Ok(again);
        }
    };
    let rendered = match rendered {
        Some(rendered) => rendered,
        None if !needs_work(operator, app, state) => return settle(operator, key, app, state, edits).await,
        None => match running(operator, app, owner, state, &source).await? {
            Some(rendered) => rendered,
            None => return settle(operator, key, app, state, edits).await,
        },
    };
    act(operator, key, app, owner, state, edits, &source, rendered, asked).await
}

/// The source in memory, or what is waited for.
fn source(operator: &Operator, app: &Application, key: &Key) -> Result<Source, Progress> {
    let wanted = Key::new(&key.namespace, &app.spec.source.name);
    let waiting = |reason, message| Err(Progress::Waiting { reason, message });
    let Some(repository) = operator.repositories.get(&wanted) else {
        let message =
            format!("spec.source: there is no GitRepository {wanted}; create it or correct the name");
        return waiting("SourceNotFound", message);
    };
    if let Some(source) = operator.sources.get(&wanted) {
        return Ok((*source).clone());
    }
    let conditions = repository
        .status
        .as_ref()
        .map(|s| s.conditions.as_slice())
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "False");
    let why = ready.map_or_else(|| "it has not been fetched yet".to_owned(), |c| c.message.clone());
    waiting("SourceNotReady", format!("GitRepository {wanted}: {why}"))
}

/// True while `tidegate.io/requestedAt` has a value that was not answered.
fn is_asked(app: &Application) -> bool {
    let asked = requested_at(app.metadata.annotations.as_ref());
    asked.is_some()
        && asked
            != app
                .status
                .as_ref()
                .and_then(|s| s.last_handled_requested_at.clone())
}

enum Known {
    /// Nothing that shapes the set changed since it was last looked at.
    Unchanged,
    Admitted(Arc<Rendered>),
    Refused {
        reason: &'static str,
        problems: Arc<Vec<Problem>>,
    },
    Failed(Progress),
}

/// Looks at the newest commit, unless tree, spec and known kinds are those of the last look.
async fn newest(
    operator: &Operator,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    source: &Source,
    asked: bool,
) -> Result<Known, String> {
    let commit = &source.revision.commit;
    let tree = match operator
        .git
        .tree_id(&source.remote, commit, &app.spec.source.path)
        .await
    {
        Ok(tree) => tree,
        Err(error) => {
            let stalled = error.class() == tidegate_git::Class::Terminal;
            operator.poll_again(app, &error);
            return Ok(Known::Failed(Progress::Failed {
                reason: error.reason(),
                message: error.to_string(),
                stalled,
            }));
        }
    };
    let kinds = operator.kinds_version();
    let seen = state
        .newest
        .as_ref()
        .filter(|n| n.tree == tree && n.generation == app.metadata.generation);
    match seen {
        Some(Newest { result: Ok(_), .. })
            if !asked
                && state
                    .open
                    .as_ref()
                    .is_none_or(|o| o.status.phase == Phase::Verifying) =>
        {
            return Ok(Known::Unchanged);
        }
        Some(Newest {
            result: Err(_),
            kinds: then,
            ..
        }) if !asked && *then == kinds => return Ok(Known::Unchanged),
        _ => {}
    }
    let remember = |result| {
        Some(Newest {
            tree: tree.clone(),
            generation: app.metadata.generation,
            kinds,
            result,
        })
    };
    match desired(operator, app, owner, &source.remote, commit).await {
        Ok(rendered) => {
            state.newest = remember(Ok(Digest::from(&*rendered)));
            Ok(Known::Admitted(rendered))
        }
        Err(Refusal::Inadmissible(problems)) => {
            let problems = Arc::new(problems);
            state.newest = remember(Err(problems.clone()));
            let reason = problems.first().map_or("Inadmissible", |p| p.reason);
            Ok(Known::Refused { reason, problems })
        }
        Err(Refusal::Failed {
            reason,
            message,
            stalled,
        }) => {
            state.newest = None;
            Ok(Known::Failed(Progress::Failed {
                reason,
                message,
                stalled,
            }))
        }
    }
}

/// Records a commit that is refused as a whole, once for each commit and generation.
#[expect(
    clippy::too_many_arguments,
    reason = "the facts of one record; a struct would only rename them"
)]
async fn deny(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    edits: &mut Edits,
    source: &Source,
    reason: &'static str,
    problems: &[Problem],
) -> Result<(), String> {
    let revision = &source.revision;
    let short = status::shown(revision);
    let summary = problem::summarize(problems, 3);
    let message = format!("{short} is refused, nothing of it was applied: {summary}");
    let status = app.status.as_ref();
    let recorded = status.is_some_and(|s| {
        s.last_attempted_revision.as_ref() == Some(&revision.commit)
            && s.observed_generation == app.metadata.generation
            && s.display.phase == Phase::Denied.as_str()
    });
    state.progress = Some(Progress::Failed {
        reason,
        message: message.clone(),
        stalled: true,
    });
    if recorded {
        return Ok(());
    }
    let tree = state.newest.as_ref().map(|n| n.tree.clone()).unwrap_or_default();
    let trigger = trigger(app, &revision.commit);
    let subject = Subject {
        revision,
        tree: &tree,
        trigger,
        detected: source.detected,
        digest: "",
    };
    let mut open = release::open(operator, key, app, subject, Default::default()).await?;
    open.fail(problems.iter().map(Problem::to_failure).collect(), Vec::new());
    release::finish(operator, key, app, &mut open, Phase::Denied, &summary).await?;
    edits.phase = Some(Phase::Denied);
    edits.attempted = Some(Attempted {
        commit: revision.commit.clone(),
        sequence: open.spec.sequence,
        digest: None,
    });
    Ok(())
}

fn trigger(app: &Application, commit: &str) -> Trigger {
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

/// True when the live objects are not as the inventory has them.
fn needs_work(operator: &Operator, app: &Application, state: &AppState) -> bool {
    let Some(set) = &state.inventory else { return false };
    if app.spec.drift.mode != DriftMode::Correct {
        return false;
    }
    let live = operator.live_of(set);
    set.entries
        .iter()
        .any(|(id, entry)| match (&entry.sealed, live.get(id)) {
            (Some(sealed), Some(record)) => {
                tidegate_core::plan::drifted(sealed, record) && !already_corrected(state, id, record)
            }
            (Some(_), None) => true,
            (None, _) => false,
        })
}

/// True when a correction of that object came out with this very digest: repeating it changes nothing.
fn already_corrected(
    state: &AppState,
    id: &tidegate_core::object::ObjectId,
    record: &tidegate_core::live::LiveRecord,
) -> bool {
    let now = record.ours.clone().unwrap_or_default();
    state
        .corrected
        .iter()
        .any(|(key, digest)| *key == id.key() && *digest == now)
}

/// The set that runs: that of the newest commit if it was admitted, else of the last applied one.
async fn running(
    operator: &Operator,
    app: &Application,
    owner: &Owner,
    state: &AppState,
    source: &Source,
) -> Result<Option<Arc<Rendered>>, String> {
    let admitted = matches!(&state.newest, Some(Newest { result: Ok(_), .. }));
    let applied = app.status.as_ref().and_then(|s| s.last_applied_revision.clone());
    let commit = if admitted {
        Some(source.revision.commit.clone())
    } else {
        applied
    };
    let Some(commit) = commit else { return Ok(None) };
    match desired(operator, app, owner, &source.remote, &commit).await {
        Ok(rendered) => Ok(Some(rendered)),
        Err(Refusal::Inadmissible(problems)) => Err(problem::summarize(&problems, 3)),
        Err(Refusal::Failed { message, .. }) => Err(message),
    }
}

/// Nothing to write: look at health.
async fn settle(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    edits: &mut Edits,
) -> Result<Again, String> {
    let set = state.inventory.clone().unwrap_or_default();
    let observed = observe(&set, &operator.live_of(&set));
    if state.open.is_some() {
        return verify::verify(operator, key, app, state, &observed, edits).await;
    }
    if !matches!(state.progress, Some(Progress::Failed { stalled: true, .. })) {
        state.progress = Some(Progress::Synced);
    }
    Ok(Again::Never)
}

/// Plans, asks the gate, and carries out.
#[expect(
    clippy::too_many_arguments,
    reason = "the facts of one step; a struct would only rename them"
)]
async fn act(
    operator: &Arc<Operator>,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    edits: &mut Edits,
    source: &Source,
    rendered: Arc<Rendered>,
    asked: bool,
) -> Result<Again, String> {
    let set = state.inventory.clone().unwrap_or_default();
    operator.sync_desired(&rendered).await?;
    if !state.resumed {
        let commit = &source.revision.commit;
        state.open = release::resume(operator, key, app, commit, &rendered.digest).await?;
        state.resumed = true;
    }
    let plan = make_plan(operator, app, &set, &rendered);
    let refused = matches!(&state.newest, Some(Newest { result: Err(_), .. }));
    let attempted = app.status.as_ref().and_then(|s| s.attempted_digest.clone());
    let same = attempted.as_deref() == Some(rendered.digest.as_str());
    if plan.is_empty() && plan.forgotten.is_empty() {
        return nothing_to_write(operator, key, app, state, edits, source, &rendered, refused).await;
    }
    let correction = plan
        .steps
        .iter()
        .all(|s| matches!(s.cause, Cause::Drifted | Cause::Missing));
    if (refused || same) && correction && state.open.is_none() && !plan.steps.is_empty() {
        return correct_drift(operator, key, app, owner, state, plan).await;
    }
    let failed_before = app
        .status
        .as_ref()
        .is_some_and(|s| s.display.phase == Phase::Failed.as_str());
    if refused || (same && failed_before && !asked && state.open.is_none()) {
        return settle(operator, key, app, state, edits).await;
    }
    release_plan(operator, key, app, owner, state, edits, source, rendered, plan).await
}

fn make_plan(operator: &Operator, app: &Application, set: &InventorySet, rendered: &Arc<Rendered>) -> Plan {
    let live = operator.live_of(set);
    plan(&Inputs {
        rendered,
        inventory: set,
        live: &live,
        prune: app.spec.prune,
        drift: app.spec.drift.mode,
        key: &operator.key,
    })
}

/// The cluster is as the commit says already: the commit is noted, no Release is made for it.
#[expect(
    clippy::too_many_arguments,
    reason = "the facts of one step; a struct would only rename them"
)]
async fn nothing_to_write(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    edits: &mut Edits,
    source: &Source,
    rendered: &Rendered,
    refused: bool,
) -> Result<Again, String> {
    if !refused {
        state.progress = Some(Progress::Synced);
        let sequence = app.status.as_ref().map_or(0, |s| s.last_sequence);
        edits.applied = Some(applied(source, None));
        edits.attempted = Some(Attempted {
            commit: source.revision.commit.clone(),
            sequence,
            digest: Some(rendered.digest.clone()),
        });
        if app
            .status
            .as_ref()
            .is_some_and(|s| s.display.phase == Phase::Denied.as_str())
        {
            edits.phase = Some(Phase::Succeeded);
        }
    }
    settle(operator, key, app, state, edits).await
}

fn applied(source: &Source, release: Option<String>) -> Applied {
    Applied {
        commit: source.revision.commit.clone(),
        display: status::shown(&source.revision),
        release,
    }
}

/// Puts live objects back. Makes no Release: counted, evented, shown in `status.drift`.
async fn correct_drift(
    operator: &Operator,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    plan: Plan,
) -> Result<Again, String> {
    let lines = operator.describe_drift(&plan).await;
    let Decision::Go(approved) = gate::decide(plan, app.spec.suspend.as_ref(), Timestamp::now()) else {
        return Ok(Again::Never);
    };
    let report = outcome::carry_out(operator, key, app, owner, state, &approved).await?;
    if !report.complete() {
        return Err(format!(
            "drift could not be put back: {}",
            failure_line(&report.failed, report.failed.len())
        ));
    }
    let steps = &approved.get().steps;
    for step in steps {
        let sealed = state
            .inventory
            .as_ref()
            .and_then(|i| i.entries.get(&step.id))
            .and_then(|e| e.sealed.as_ref());
        let digest = sealed.map(|s| s.ours.clone()).unwrap_or_default();
        state.corrected.retain(|(k, _)| *k != step.id.key());
        state.corrected.push((step.id.key(), digest));
    }
    state.drift.count += i64::try_from(steps.len()).unwrap_or(i64::MAX);
    state.drift.last = Some(Timestamp::now());
    state.drift.manager = lines.manager;
    state.drift.fields = lines.fields;
    operator.metrics.corrected(&key.namespace, &key.name, steps.len());
    let by = state.drift.manager.as_deref().unwrap_or("somebody");
    let note = format!(
        "Put back what {by} had changed: {}",
        state.drift.fields.join(", ")
    );
    operator.event(
        status::reference(key, app),
        false,
        "DriftCorrected",
        "Correct",
        &record::shorten(&note, 900),
    );
    Ok(Again::Never)
}

/// Makes or continues a Release and carries its plan out.
#[expect(
    clippy::too_many_arguments,
    reason = "the facts of one release; a struct would only rename them"
)]
async fn release_plan(
    operator: &Arc<Operator>,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    edits: &mut Edits,
    source: &Source,
    rendered: Arc<Rendered>,
    plan: Plan,
) -> Result<Again, String> {
    supersede(operator, key, app, state, &rendered, source).await?;
    let previous = previous(operator, app, owner, source, &rendered).await;
    let summary = record::summarize(&plan, previous.as_deref());
    let approved = match gate::decide(plan, app.spec.suspend.as_ref(), Timestamp::now()) {
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
            revision: &source.revision,
            tree: &tree,
            trigger: trigger(app, &source.revision.commit),
            detected: source.detected,
            digest: &rendered.digest,
        };
        let mut open = release::open(operator, key, app, subject, summary).await?;
        open.turn(Phase::Applying, "Writing objects", Timestamp::now());
        release::write(operator, key, &mut open).await?;
        state.corrected.clear();
        state.open = Some(open);
    }
    let report = outcome::carry_out(operator, key, app, owner, state, &approved).await?;
    finish_apply(operator, key, app, state, edits, source, &rendered, report).await
}

/// A newer admissible set takes the place of an unfinished release.
async fn supersede(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    rendered: &Rendered,
    source: &Source,
) -> Result<(), String> {
    let Some(open) = state.open.as_mut().filter(|open| open.digest != rendered.digest) else {
        return Ok(());
    };
    let message = format!("{} took its place", status::shown(&source.revision));
    release::finish(operator, key, app, open, Phase::Superseded, &message).await?;
    state.open = None;
    Ok(())
}

/// What the last applied commit made, for `from → to`. A mirror without that commit just leaves the fields out.
async fn previous(
    operator: &Operator,
    app: &Application,
    owner: &Owner,
    source: &Source,
    rendered: &Rendered,
) -> Option<Arc<Rendered>> {
    let commit = app.status.as_ref()?.last_applied_revision.clone()?;
    if commit == source.revision.commit || rendered.objects.is_empty() {
        return None;
    }
    desired(operator, app, owner, &source.remote, &commit).await.ok()
}

#[expect(
    clippy::too_many_arguments,
    reason = "the facts of one release; a struct would only rename them"
)]
async fn finish_apply(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    edits: &mut Edits,
    source: &Source,
    rendered: &Rendered,
    report: outcome::Report,
) -> Result<Again, String> {
    let Some(mut open) = state.open.take() else {
        return Ok(Again::Never);
    };
    edits.attempted = Some(Attempted {
        commit: source.revision.commit.clone(),
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
                status::shown(&source.revision)
            ),
            stalled: true,
        });
        release::finish(operator, key, app, &mut open, Phase::Failed, &line).await?;
        edits.phase = Some(Phase::Failed);
        return Ok(Again::Never);
    }
    if !report.adopted.is_empty() {
        let note = format!(
            "Took over objects that existed: {}",
            record::shorten(&report.adopted.join(", "), 800)
        );
        operator.event(status::reference(key, app), false, "Adopted", "Release", &note);
    }
    edits.applied = Some(applied(source, Some(open.name.clone())));
    operator.metrics.stage("commit_to_live", open.started.elapsed());
    open.status.times.applied = Some(Timestamp::now().to_string());
    state.open = Some(open);
    let set = state.inventory.clone().unwrap_or_default();
    let observed = observe(&set, &operator.live_of(&set));
    verify::verify(operator, key, app, state, &observed, edits).await
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
