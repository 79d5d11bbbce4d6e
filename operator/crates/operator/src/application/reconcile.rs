//! One reconcile of an Application: suspended? → source → newest commit → what runs → health.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_core::backoff::Backoff;
use tidegate_core::gate;
use tidegate_core::ownership::Owner;
use tidegate_core::status::{Progress, observe};

use crate::application::act::act;
use crate::application::deny::deny;
use crate::application::drift::{hold_ends, needs_work, running};
use crate::application::newest::{Known, newest};
use crate::application::status::{self, Edits};
use crate::application::turn::Turn;
use crate::application::{AppState, finalize, inventory, verify};
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
            if !matches!(state.progress, Some(Progress::Failed { stalled: false, .. })) {
                state.failures = 0;
            }
            again
        }
        Err(message) => retry(operator, key, &mut state, deleting, message),
    };
    if !deleting {
        let set = state.inventory.clone().unwrap_or_default();
        let mut observed = observe(&set, &operator.live_of(&set), &app.spec.drift, Timestamp::now());
        match state.diagnosis.take() {
            Some(diagnosis) if !observed.healthy() => {
                observed.failed = vec![diagnosis.clone()];
                state.diagnosis = Some(diagnosis);
            }
            _ => {}
        }
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
    if let Some((message, until)) = gate::suspended(app.spec.suspend.as_ref(), Timestamp::now()) {
        state.progress = Some(Progress::Waiting {
            reason: "Suspended",
            message,
        });
        state.newest = None;
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
    let turn = Turn {
        operator,
        key,
        app,
        owner,
        source: &source,
        asked: is_asked(app),
    };
    let mut again = Again::Never;
    match newest(&turn, state).await {
        Known::Admitted(rendered) => return act(&turn, state, edits, rendered).await,
        Known::Unchanged => recover(state),
        Known::Refused(problems) => deny(&turn, state, edits, &problems).await?,
        Known::Failed(progress) => again = look_again(&turn, state, progress),
    }
    if needs_work(&turn, state)
        && let Some(rendered) = running(&turn, state).await?
    {
        return Ok(act(&turn, state, edits, rendered).await?.sooner(again));
    }
    Ok(settle(&turn, state, edits).await?.sooner(again))
}

/// What was waited for or retried is over, and what runs is what the newest commit says.
fn recover(state: &mut AppState) {
    if state.open.is_none() && !matches!(state.progress, Some(Progress::Failed { stalled: true, .. })) {
        state.progress = Some(Progress::Synced);
    }
}

/// The newest commit could not be looked at: what runs stays, and is kept as it is.
fn look_again(turn: &Turn<'_>, state: &mut AppState, progress: Progress) -> Again {
    let stalled = matches!(progress, Progress::Failed { stalled: true, .. });
    state.progress = Some(progress);
    if stalled {
        return Again::Never;
    }
    let wait = Backoff::RECONCILE.wait(state.failures, turn.operator.seed(turn.key));
    state.failures = state.failures.saturating_add(1);
    Again::after(wait)
}

/// Nothing to write: look at health.
pub(crate) async fn settle(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
) -> Result<Again, String> {
    if state.open.is_none() {
        return Ok(hold_ends(turn, state));
    }
    let set = state.inventory.clone().unwrap_or_default();
    let observed = observe(
        &set,
        &turn.operator.live_of(&set),
        &turn.app.spec.drift,
        Timestamp::now(),
    );
    verify::verify(turn.operator, turn.key, turn.app, state, &observed, edits).await
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
pub(crate) fn is_asked(app: &Application) -> bool {
    let asked = requested_at(app.metadata.annotations.as_ref());
    asked.is_some()
        && asked
            != app
                .status
                .as_ref()
                .and_then(|s| s.last_handled_requested_at.clone())
}
