//! One reconcile of an Application: suspended? → source → newest commit → what runs → health.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_core::backoff::Backoff;
use tidegate_core::gate;
use tidegate_core::inventory::InventorySet;
use tidegate_core::ownership::Owner;
use tidegate_core::status::{Notes, Observed, Progress, observe};
use tracing::Instrument as _;

use crate::application::act::{act, begins_release, is_older};
use crate::application::deny::deny;
use crate::application::drift::{explain, needs_work, next_correction, running};
use crate::application::newest::{Known, newest};
use crate::application::relocate::is_elsewhere;
use crate::application::restore::{Acted, Restore};
use crate::application::site::Entry;
use crate::application::status::{self, Edits};
use crate::application::turn::Turn;
use crate::application::{
    AppState, finalize, handover, health, held, promotion, relations, release, restore, rollback, site,
    verify, waiting,
};
use crate::source::{mirrored, requested_at};
use crate::state::{Again, Operator, Source};
use crate::store::Key;
use crate::target::Site;

/// Brings one Application one step further. Returns when to come again.
pub(crate) async fn reconcile(operator: &Arc<Operator>, key: &Key) -> Again {
    let Some(stored) = operator.applications.get(key) else {
        let registered = operator.app_state(key).lock().await.registered.take();
        operator.forget(key, registered.as_deref());
        return Again::Never;
    };
    let state = operator.app_state(key);
    let mut state = state.lock().await;
    let app = recall(&stored, &mut state);
    if state.open.is_none() {
        state.reconcile_id = operator.next_reconcile_id();
    }
    let span = tracing::info_span!("reconcile", application = %key, id = state.reconcile_id);
    attempt(operator, key, &app, &mut state).instrument(span).await
}

async fn attempt(operator: &Arc<Operator>, key: &Key, app: &Application, state: &mut AppState) -> Again {
    let owner = operator.owner(key);
    let mut edits = Edits::default();
    let deleting = app.metadata.deletion_timestamp.is_some();
    if deleting {
        relations::want_nothing(operator, key, app, state);
    }
    let mut site = None;
    let result = match site::enter(operator, key, app, state).await {
        Ok(Entry::In(inside)) => {
            let result = if deleting {
                finalize::finalize(operator, &inside.site, key, app, &owner, state).await
            } else {
                step(operator, &inside.site, key, app, &owner, state, &mut edits).await
            };
            site = Some(inside.leave(operator, key, result.is_err()).await);
            result
        }
        Ok(Entry::Later(wait)) => return Again::after(wait),
        Ok(Entry::Barred(trouble, wait)) if deleting => {
            finalize::without_site(operator, key, app, state, &trouble, wait).await
        }
        Ok(Entry::Barred(trouble, wait)) => {
            state.obstacle = Some(trouble.progress());
            Ok(Again::after(wait))
        }
        Err(message) => Err(message),
    };
    let again = match result {
        Ok(again) => {
            if !is_retried(state) {
                state.failures = 0;
            }
            again
        }
        Err(message) => retry(operator, key, state, deleting, message),
    };
    if !deleting {
        let observed = site.and_then(|site| look(&site, app, state));
        let answered = !is_retried(state);
        status::write(operator, key, app, state, observed.as_ref(), edits, answered).await;
        relations::publish(operator, key, app, state);
    }
    again
}

/// True when what was to be done failed in a way that is tried again by itself.
fn is_retried(state: &AppState) -> bool {
    matches!(state.obstacle, Some(Progress::Failed { stalled: false, .. }))
}

/// The Application with the status as this process knows it: the watch may bring an older one, and a write may have failed.
fn recall(stored: &Application, state: &mut AppState) -> Application {
    let uid = stored.metadata.uid.clone().unwrap_or_default();
    if state.uid != uid {
        *state = AppState {
            uid,
            status: stored.status.clone(),
            written: stored.status.clone(),
            progress: handover::left_behind(stored.status.as_ref())
                .or_else(|| held::left_behind(stored.status.as_ref())),
            ..AppState::default()
        };
    }
    Application {
        metadata: stored.metadata.clone(),
        spec: stored.spec.clone(),
        status: state.status.clone(),
    }
}

/// The inventory without what is only kept for others: its health and its fields are theirs.
fn shown(state: &AppState) -> Option<Cow<'_, InventorySet>> {
    let mut set = Cow::Borrowed(state.inventory.as_ref()?);
    for id in state.kept.ids() {
        set.to_mut().entries.remove(id);
    }
    Some(set)
}

/// The state of the objects; `None` while it is not known which they are.
fn look(site: &Site, app: &Application, state: &mut AppState) -> Option<Observed> {
    if is_elsewhere(state, site) {
        return None;
    }
    let mut observed = {
        let set = shown(state)?;
        watch_over(site, app, state, &set)
    };
    if observed.healthy() {
        state.diagnosis = None;
    }
    if let Some(diagnosis) = &state.diagnosis {
        observed.failed = vec![diagnosis.clone()];
    }
    Some(observed)
}

fn watch_over(site: &Site, app: &Application, state: &AppState, set: &InventorySet) -> Observed {
    let notes = Notes {
        drift: &app.spec.drift,
        fights: &state.fights,
        explained: &state.explained,
        scaled: &site.scalers.known(),
    };
    observe(set, &site.live_of(set), &notes, Timestamp::now())
}

fn retry(operator: &Operator, key: &Key, state: &mut AppState, deleting: bool, message: String) -> Again {
    tracing::warn!(application = %key, error = %message, "reconcile failed and is tried again");
    operator.metrics.reconciled("Application", "error");
    if !deleting {
        state.obstacle = Some(Progress::Failed {
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
    target: &Site,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    edits: &mut Edits,
) -> Result<Again, String> {
    health::take(target, key, app, state);
    release::resume(operator, key, app, state).await?;
    verify::complete_record(operator, key, app, state, edits).await?;
    state.obstacle = None;
    state.at = None;
    state.promotion = promotion::Promotion::default();
    operator.standings.begin(key);
    if let Some((message, until)) = gate::suspended(app.spec.suspend.as_ref(), Timestamp::now()) {
        state.obstacle = Some(Progress::Waiting {
            reason: "Suspended",
            message,
        });
        state.newest = None;
        // What a suspended one wants does not hold: nobody waits for it without end, and nothing is taken from it.
        state.wants = None;
        state.open.iter_mut().for_each(release::Open::pause);
        // Health is shown all the same, also by expressions that were edited meanwhile.
        let set = state.inventory.clone().unwrap_or_default();
        if let Err(error) = target.reread(&set).await {
            tracing::warn!(%error, "objects could not be read again");
        }
        return Ok(until.map_or(Again::Never, Again::at));
    }
    let set = state.inventory.clone().unwrap_or_default();
    target.sync_kinds(&set).await?;
    target.reread(&set).await?;
    let (source, obstacle) = match source(operator, app, key) {
        Ok(source) => (source, None),
        Err(obstacle) => {
            let begun = state.open.as_ref().map(|open| open.spec.revision.commit.as_str());
            match mirrored(operator, app, key, begun).await {
                Some(mirror) => (mirror, Some(obstacle)),
                None => {
                    state.obstacle = state.expressions.obstacle().or(Some(obstacle));
                    return Ok(Again::Never);
                }
            }
        }
    };
    let turn = Turn {
        operator,
        target,
        key,
        app,
        owner,
        source: &source,
        asked: is_asked(app) || std::mem::take(&mut state.asked),
        restores: None,
    };
    let again = match obstacle {
        None => follow(&turn, state, edits).await,
        Some(obstacle) => keep_running(&turn, state, edits, obstacle).await,
    };
    explain(&turn, state).await;
    again
}

/// While the source cannot be read: what runs is kept as it is, from what was kept of it, or from what an earlier process
/// has mirrored.
async fn keep_running(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    obstacle: Progress,
) -> Result<Again, String> {
    state.obstacle = state.expressions.obstacle().or(Some(obstacle));
    state.newest = None;
    if rollback::is_under_way(state) {
        return rollback::go_on(turn, state, edits).await;
    }
    if needs_work(turn, state) {
        match running(turn, state).await {
            Ok(Some(rendered)) => return act(turn, state, edits, rendered).await,
            Ok(None) => {}
            Err(error) => {
                tracing::info!(application = %turn.key, %error, "what runs is neither kept nor mirrored");
            }
        }
    }
    settle(turn, state, edits).await
}

/// Looks at the newest commit, or at an older one that has earned its way in the Applications that go before.
async fn follow(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits) -> Result<Again, String> {
    let (older, again) = promotion::choose(turn, state).await;
    let Some(source) = older else {
        return Ok(look_and_act(turn, state, edits).await?.sooner(again));
    };
    let turn = Turn {
        source: &source,
        ..*turn
    };
    let acted = look_and_act(&turn, state, edits).await?;
    // All of it runs: the next look is at what comes after it.
    let through = state.at.is_some() && relations::is_settled(state);
    let next = if through {
        Again::after(Duration::ZERO)
    } else {
        Again::Never
    };
    Ok(acted.sooner(again).sooner(next))
}

async fn look_and_act(turn: &Turn<'_>, state: &mut AppState, edits: &mut Edits) -> Result<Again, String> {
    let first = relations::first_look(turn, state);
    let known = newest(turn, state).await;
    match restore::asked(turn, state, edits, &known).await? {
        Restore::No => {}
        Restore::Refused(progress) => {
            let again = look_and_release(turn, state, edits, known, first).await?;
            if matches!(state.obstacle, None | Some(Progress::Waiting { .. })) {
                state.obstacle = Some(progress);
            }
            return Ok(again);
        }
        Restore::Lost(progress) => {
            state.obstacle = Some(progress);
            if let Some(newest) = &mut state.newest {
                newest.held = true;
            }
            return keep_beside(turn, state, edits, Again::Never).await;
        }
        Restore::To(release) => match restore::act_on(turn, state, edits, &release).await? {
            Acted::Done(again) => return Ok(again),
            Acted::Waits(again) => return keep_beside(turn, state, edits, again).await,
        },
    }
    look_and_release(turn, state, edits, known, first).await
}

async fn look_and_release(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    known: Known,
    first: bool,
) -> Result<Again, String> {
    let mut again = Again::Never;
    if rollback::is_under_way(state) {
        match &known {
            Known::Admitted(rendered) if rollback::is_overtaken(turn, state, edits, rendered).await? => {
                let newer = status::shown(&turn.source.revision);
                rollback::abandon(turn, state, edits, &newer).await?;
            }
            _ => return rollback::go_on(turn, state, edits).await,
        }
    }
    let holds = match &known {
        Known::Admitted(rendered) => held::held_back(turn, state, rendered),
        _ => None,
    };
    held::note_wants(turn, state, &known);
    if let Some(newest) = &mut state.newest {
        newest.held = false;
    }
    let before = relations::goes_first(turn);
    if before.is_none() || first {
        state.at = Some(relations::place(turn.app, turn.key, turn.source));
    }
    let waits_for = relations::say_circle(state, before);
    match known {
        Known::Admitted(rendered) if let Some(progress) = holds => {
            held::hold(turn, state, &rendered, progress).await?;
        }
        Known::Admitted(rendered) => match waits_for {
            Some(progress) if begins_release(turn, state, &rendered).await? => {
                relations::hold(turn, state, progress);
            }
            _ => {
                let acted = act(turn, state, edits, rendered).await?;
                note_acted(turn, state);
                if !is_older(state) || rollback::is_under_way(state) {
                    return Ok(acted);
                }
                held::remind(state);
                again = acted;
            }
        },
        Known::Unchanged => recover(state),
        Known::Refused(problems) => {
            let why = format!("{} came, and is refused", status::shown(&turn.source.revision));
            waiting::supersede(turn, state, &why).await?;
            deny(turn, state, edits, &problems).await?;
        }
        Known::Failed(progress) => again = look_again(turn, state, progress),
    }
    keep_beside(turn, state, edits, again).await
}

/// Nothing of the newest commit is written now: what runs is kept as it is.
async fn keep_beside(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    again: Again,
) -> Result<Again, String> {
    let others_moved = handover::is_conflict(state) || handover::kept_moved(turn, state);
    if (others_moved || needs_work(turn, state))
        && let Some(rendered) = running(turn, state).await?
    {
        return Ok(act(turn, state, edits, rendered).await?.sooner(again));
    }
    Ok(settle(turn, state, edits).await?.sooner(again))
}

/// An admitted commit needs no second look once all of it is written, or is given up until a person moves.
fn note_acted(turn: &Turn<'_>, state: &mut AppState) {
    let moving = is_elsewhere(state, turn.target);
    let waits = matches!(state.progress, Some(Progress::Waiting { .. }));
    let written = state.open.as_ref().is_none_or(|open| !open.being_written());
    if let Some(newest) = &mut state.newest {
        newest.acted = written && !waits && !moving && !newest.held;
        if newest.acted {
            newest.admitted = None;
        }
    }
}

/// What was waited for is over, and what runs is what the newest commit says.
fn recover(state: &mut AppState) {
    if state.open.is_none() && !matches!(state.progress, Some(Progress::Failed { .. })) {
        state.progress = Some(Progress::Synced);
    }
}

/// The newest commit could not be looked at: what runs stays, and is kept as it is.
fn look_again(turn: &Turn<'_>, state: &mut AppState, progress: Progress) -> Again {
    let stalled = matches!(progress, Progress::Failed { stalled: true, .. });
    state.obstacle = Some(progress);
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
        return Ok(next_correction(turn, state).sooner(state.kept.again()));
    }
    let set = shown(state).map(Cow::into_owned).unwrap_or_default();
    let observed = watch_over(turn.target, turn.app, state, &set);
    let again = verify::verify(turn, state, &observed, edits).await?;
    Ok(again.sooner(state.kept.again()))
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
