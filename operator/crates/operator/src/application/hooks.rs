//! Hooks of the open release: their Jobs are made, followed to their end, and recorded. Decisions are `core::hook`'s.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::release::Failure;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Asking, Decision};
use tidegate_core::hook::{self, Context, Hook, Next, Outcome, Point, Seen, State};
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Live, Plan};
use tidegate_core::record::failure_line;
use tidegate_core::status::Progress;

use crate::application::gate::Facts;
use crate::application::release::{self, health_timeout};
use crate::application::status::Edits;
use crate::application::turn::Turn;
use crate::application::verify::{POD_LOOK, pods};
use crate::application::{AppState, inventory, outcome};
use crate::state::Again;

/// How soon a Job that was just made or deleted is looked at, beside the watch that tells.
const NEXT_LOOK: Duration = Duration::from_millis(200);
/// Most records in one reconcile; each ends a wave of hooks at most.
const MAX_RECORDS: usize = 60;

/// Where the hooks of one point stand.
pub(crate) enum Ran {
    /// All have succeeded.
    Done,
    /// Something runs, or is about to.
    Waits(Again),
    /// Some have failed.
    Failed(Vec<Failure>),
}

/// Brings the hooks of one point one step further.
pub(crate) async fn run_hooks(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Rendered,
    point: Point,
) -> Result<Ran, String> {
    let Some(release) = state.open.as_ref().map(|open| open.name.clone()) else {
        return Ok(Ran::Done);
    };
    for _ in 0..MAX_RECORDS {
        let seen = look(turn, state, rendered, point, &release).await?;
        match hook::next(&seen, &release, &turn.operator.key) {
            Next::Done => return Ok(Ran::Done),
            Next::Failed(failures) => return Ok(Ran::Failed(failures)),
            Next::Record(ended) => record(turn, state, &ended).await?,
            Next::Go(plan) => return go(turn, state, edits, plan, point).await,
            Next::Waits { object, why, until } => {
                return wait(turn, state, edits, point, &object, &why, until).await;
            }
        }
    }
    Ok(Ran::Waits(Again::after(Duration::ZERO)))
}

/// The states of the hooks, wave by wave, up to the first wave that has not succeeded.
async fn look<'r>(
    turn: &Turn<'_>,
    state: &AppState,
    rendered: &'r Rendered,
    point: Point,
    release: &str,
) -> Result<Vec<(&'r Hook, State)>, String> {
    let mut hooks: Vec<&Hook> = rendered.hooks_at(point).collect();
    hooks.sort_by(|a, b| (a.job.wave, &a.job.id).cmp(&(b.job.wave, &b.job.id)));
    let set = state.inventory.clone().unwrap_or_default();
    let live = turn.target.live_of(&set);
    let mut seen = Vec::with_capacity(hooks.len());
    for wave in hooks.chunk_by(|a, b| a.job.wave == b.job.wave) {
        let mut all = true;
        for hook in wave {
            let entry = set.entries.get(&hook.job.id);
            let state = look_at(turn, hook, entry, &live, release).await?;
            all &= matches!(
                state,
                State::Recorded {
                    outcome: Outcome::Succeeded,
                    ..
                }
            );
            seen.push((*hook, state));
        }
        if !all {
            break;
        }
    }
    Ok(seen)
}

async fn look_at(
    turn: &Turn<'_>,
    hook: &Hook,
    entry: Option<&tidegate_core::inventory::Entry>,
    live: &Live,
    release: &str,
) -> Result<State, String> {
    let now = Timestamp::now();
    let (id, version) = (&hook.job.id, &hook.job.version);
    let job: Option<Value> = if hook::needs_reading(hook, entry, release, live.contains_key(id)) {
        turn.target.find_object(id, version).await?
    } else {
        None
    };
    let (pods, hopeless) = match &job {
        Some(_) => pods(turn.target, id, version, now).await,
        None => (None, false),
    };
    let seen = Seen {
        entry,
        live: job.as_ref(),
        pods,
        hopeless,
    };
    let context = Context {
        release,
        owner: turn.owner,
        timeout: health_timeout(turn.app),
        now,
    };
    Ok(hook::state(&seen, &context))
}

/// What runs came to is in the inventory before anything follows from it.
async fn record(
    turn: &Turn<'_>,
    state: &mut AppState,
    ended: &[(ObjectId, Outcome, String)],
) -> Result<(), String> {
    let mut set = state.inventory.clone().unwrap_or_default();
    for (id, outcome, why) in ended {
        tracing::info!(hook = %id, outcome = outcome.as_str(), why, "a hook ends");
        if let Some(run) = set.entries.get_mut(id).and_then(|entry| entry.run.as_mut()) {
            run.end(*outcome, why);
        }
    }
    inventory::store(turn.operator, turn.key, turn.app, state, set).await
}

async fn go(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    plan: Plan,
    point: Point,
) -> Result<Ran, String> {
    let first = plan
        .steps
        .first()
        .map(|step| step.id.to_string())
        .unwrap_or_default();
    let facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    let approved = match gate::decide(plan, &facts.question(Asking::Begun), Timestamp::now()).decision {
        Decision::Go(approved) => approved,
        Decision::Wait(wait) => return Ok(Ran::Waits(wait.again.map_or(Again::Never, Again::at))),
    };
    let report = outcome::carry_out(
        turn.operator,
        turn.target,
        turn.key,
        turn.app,
        turn.owner,
        state,
        &approved,
    )
    .await?;
    if !report.complete() {
        let now = Timestamp::now();
        let timeout = health_timeout(turn.app);
        let open = state.open.as_mut();
        let until = open.map(|open| open.wait_until(&format!("{first} to start"), now, timeout));
        if report.terminal || until.is_some_and(|until| now >= until) {
            return Ok(Ran::Failed(report.failed));
        }
        return Err(failure_line(&report.failed, report.failed.len()));
    }
    say(turn, state, edits, point, &first, "starts").await?;
    Ok(Ran::Waits(Again::after(NEXT_LOOK)))
}

async fn wait(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    point: Point,
    object: &ObjectId,
    why: &str,
    until: Option<Timestamp>,
) -> Result<Ran, String> {
    let now = Timestamp::now();
    let Some(open) = state.open.as_mut() else {
        return Ok(Ran::Done);
    };
    let timeout = health_timeout(turn.app);
    let until = until.unwrap_or_else(|| open.wait_until(&format!("{object} to be gone"), now, timeout));
    if now >= until {
        let limit = &turn.app.spec.health.timeout;
        let failure = Failure {
            object: object.to_string(),
            message: format!("{} hook: {why}, and is still there after {limit}", point.as_str()),
            ..Failure::default()
        };
        return Ok(Ran::Failed(vec![failure]));
    }
    say(turn, state, edits, point, &object.to_string(), why).await?;
    Ok(Ran::Waits(Again::at(until).sooner(Again::after(POD_LOOK))))
}

/// Tells what the release is at.
async fn say(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    point: Point,
    object: &str,
    why: &str,
) -> Result<(), String> {
    let Some(open) = state.open.as_mut() else {
        return Ok(());
    };
    let line = format!("{} hook {object}: {why}", point.as_str());
    // While a release fails, its message is why: it is what a restart goes by.
    if open.failing.is_none() && open.says_anew(&format!("{} hook {object}", point.as_str())) {
        open.say(&line);
        release::write(turn.operator, turn.key, open).await?;
    }
    edits.turn(open.spec.sequence, open.status.phase);
    let message = match &open.failing {
        Some(fault) => format!("Release {} fails: {}; {line}", open.name, fault.message),
        None => format!("Release {}: {line}", open.name),
    };
    state.progress = Some(Progress::Working {
        reason: "RunningHook",
        message,
    });
    Ok(())
}
