//! One run of a hook: from what the inventory has and what is live to its state, and from there to a step.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::names;
use tidegate_api::release::Failure;

use super::Hook;
use crate::duration::human;
use crate::health::assess;
use crate::inventory::Entry;
use crate::order::Stage;
use crate::ownership::{Owner, applied_by_us};
use crate::plan::{Action, Cause, Step};
use crate::record::shorten;

/// Longest reason of a failure, bytes: it is kept in the inventory.
const MAX_WHY: usize = 400;

/// What the inventory says about the last run of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Name of the Release that it runs for.
    pub release: String,
    /// What it came to; `None` until that was seen.
    pub outcome: Option<Outcome>,
    /// Why it failed; empty when it has not.
    pub why: String,
}

impl Run {
    /// A run that begins.
    fn of(release: &str) -> Self {
        Self {
            release: release.to_owned(),
            outcome: None,
            why: String::new(),
        }
    }

    /// Notes what it came to.
    pub fn end(&mut self, outcome: Outcome, why: &str) {
        self.outcome = Some(outcome);
        self.why = shorten(why, MAX_WHY);
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The Job is complete.
    Succeeded,
    /// The Job failed, vanished, or was not complete in time.
    Failed,
}

impl Outcome {
    /// The word in an Inventory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Reads it back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|o| o.as_str() == text)
    }
}

/// What a run is judged by.
pub struct Context<'a> {
    /// Name of the Release that is open.
    pub release: &'a str,
    /// The Application.
    pub owner: &'a Owner,
    /// How long a run may take.
    pub timeout: Duration,
    /// Now.
    pub now: Timestamp,
}

/// What is at a hook's place.
pub struct Seen<'a> {
    /// In the inventory.
    pub entry: Option<&'a Entry>,
    /// In the cluster, as a GET says.
    pub live: Option<&'a Value>,
    /// What its pods say about why they do not run.
    pub pods: Option<String>,
    /// True when they never will.
    pub hopeless: bool,
}

/// Where a hook stands in a release.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// A run of an earlier release is in the way.
    Old {
        /// UID, where the inventory has it.
        uid: Option<String>,
    },
    /// That is on its way out.
    Leaving(String),
    /// A Job that is not ours has its name.
    Foreign(String),
    /// Nothing is there: it can start.
    Ready,
    /// It runs.
    Running {
        /// What the Job says.
        why: String,
        /// When it has failed for being too slow.
        until: Timestamp,
    },
    /// It has come to this, which is not recorded yet.
    Ended(Outcome, String),
    /// It has come to this, and it is recorded.
    Recorded {
        /// What it came to.
        outcome: Outcome,
        /// Why it failed.
        why: String,
        /// UID of its Job, if that is still there.
        left: Option<String>,
    },
}

impl State {
    pub(super) fn succeeded(&self) -> bool {
        matches!(
            self,
            Self::Recorded {
                outcome: Outcome::Succeeded,
                ..
            }
        )
    }
}

/// True when its Job has to be read to know the state: the inventory alone does not tell.
pub fn needs_reading(hook: &Hook, entry: Option<&Entry>, release: &str, is_live: bool) -> bool {
    let run = entry
        .and_then(|entry| entry.run.as_ref())
        .filter(|run| run.release == release);
    match run.and_then(|run| run.outcome) {
        Some(outcome) => is_live && hook.delete.deletes(outcome),
        None => true,
    }
}

/// The state of a hook.
pub fn state(seen: &Seen<'_>, context: &Context<'_>) -> State {
    let ours = seen.entry.filter(|entry| {
        entry
            .run
            .as_ref()
            .is_some_and(|run| run.release == context.release)
    });
    let uid_of = |live: &Value| live["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let Some((entry, run)) = ours.and_then(|entry| Some((entry, entry.run.as_ref()?))) else {
        return before(seen, context);
    };
    let sealed = entry.sealed.as_ref().map(|sealed| sealed.uid.as_str());
    let live = seen.live.filter(|live| sealed == Some(&uid_of(live)));
    if let Some(outcome) = run.outcome {
        return State::Recorded {
            outcome,
            why: run.why.clone(),
            left: live.filter(|live| !deleting(live)).map(uid_of),
        };
    }
    match (sealed, live) {
        (Some(_), Some(live)) => verdict(live, seen, context),
        (Some(_), None) => {
            let why = "its Job vanished before it was seen to end: it was deleted, or its time to live was over; \
                       whether it did its work is not known";
            State::Ended(Outcome::Failed, why.to_owned())
        }
        // The create was sent or not, and its answer was not heard.
        (None, _) => before(seen, context),
    }
}

/// Nothing is known of a run for this release. What is live may be a run of an earlier release, or of this one if its
/// create was not answered.
fn before(seen: &Seen<'_>, context: &Context<'_>) -> State {
    let Some(live) = seen.live else {
        return State::Ready;
    };
    let metadata = &live["metadata"];
    if deleting(live) {
        return State::Leaving("an earlier run is being deleted".to_owned());
    }
    let annotation = |name: &str| metadata["annotations"][name].as_str();
    let recorded = seen.entry.and_then(|entry| entry.sealed.as_ref());
    if recorded.is_some_and(|sealed| metadata["uid"] == sealed.uid) {
        return State::Old {
            uid: recorded.map(|sealed| sealed.uid.clone()),
        };
    }
    let marked = annotation(names::ANNOTATION_OWNER) == Some(context.owner.annotation().as_str())
        && applied_by_us(live);
    let begun = seen.entry.is_some_and(|entry| {
        entry.sealed.is_none()
            && entry
                .run
                .as_ref()
                .is_some_and(|run| run.release == context.release)
    });
    if marked && begun && annotation(names::ANNOTATION_RELEASE) == Some(context.release) {
        // Creating it again finds it there and takes it up; nothing is started twice.
        return State::Ready;
    }
    if marked {
        return State::Old { uid: None };
    }
    State::Foreign(
        "a Job of that name exists and no release made it; delete it or rename the hook".to_owned(),
    )
}

fn deleting(live: &Value) -> bool {
    live["metadata"]["deletionTimestamp"].is_string()
}

fn verdict(live: &Value, seen: &Seen<'_>, context: &Context<'_>) -> State {
    let with_pods = |why: String| match &seen.pods {
        Some(pods) => format!("{why}; {pods}"),
        None => why,
    };
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let condition = |sort: &str| {
        let all = conditions.into_iter().flatten();
        all.clone().find(|c| c["type"] == sort && c["status"] == "True")
    };
    if let Some(failed) = condition("Failed") {
        let text = |field: &str| failed[field].as_str().unwrap_or_default();
        let why = format!("{}: {}", text("reason"), text("message"));
        return State::Ended(Outcome::Failed, with_pods(why));
    }
    if condition("Complete").is_some() {
        return State::Ended(Outcome::Succeeded, String::new());
    }
    if seen.hopeless {
        return State::Ended(Outcome::Failed, with_pods("its pods cannot run".to_owned()));
    }
    let made: Option<Timestamp> = live["metadata"]["creationTimestamp"]
        .as_str()
        .and_then(|t| t.parse().ok());
    let until = made
        .unwrap_or(context.now)
        .checked_add(context.timeout)
        .unwrap_or(context.now);
    let why = assess(live, context.now).message;
    if context.now >= until {
        let limit = human(context.timeout);
        let why = format!("it was not complete within {limit} (spec.health.timeout): {why}");
        return State::Ended(Outcome::Failed, with_pods(why));
    }
    State::Running { why, until }
}

/// Why a hook stops the release, if it does.
pub(super) fn failure(hook: &Hook, state: &State) -> Option<Failure> {
    let why = match state {
        State::Recorded {
            outcome: Outcome::Failed,
            why,
            ..
        }
        | State::Foreign(why) => why,
        _ => return None,
    };
    Some(Failure {
        object: hook.job.id.to_string(),
        location: Some(hook.job.location.to_string()),
        message: format!("{} hook: {why}", hook.point.as_str()),
        ..Failure::default()
    })
}

/// The step that a hook needs to start.
pub(super) fn step(hook: &Hook, state: &State, release: &str) -> Option<Step> {
    let (action, run) = match state {
        State::Old { uid } => (Action::Delete { uid: uid.clone() }, None),
        State::Ready => (Action::Create, Some(Run::of(release))),
        _ => return None,
    };
    Some(made(hook, action, run))
}

/// The step that deletes a run which has ended, as the policy says. The inventory keeps what it came to.
pub(super) fn tidy(hook: &Hook, state: &State, release: &str) -> Option<Step> {
    let State::Recorded {
        outcome,
        why,
        left: Some(uid),
    } = state
    else {
        return None;
    };
    let mut run = Run::of(release);
    run.end(*outcome, why);
    let action = Action::Delete {
        uid: Some(uid.clone()),
    };
    hook.delete
        .deletes(*outcome)
        .then(|| made(hook, action, Some(run)))
}

fn made(hook: &Hook, action: Action, run: Option<Run>) -> Step {
    Step {
        id: hook.job.id.clone(),
        version: hook.job.version.clone(),
        cause: match action {
            Action::Delete { .. } => Cause::Removed,
            _ => Cause::New,
        },
        action,
        wave: hook.job.wave,
        stage: Stage::of(&hook.job.id),
        accepted: None,
        run,
    }
}
