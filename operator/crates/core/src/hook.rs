//! Hooks: Jobs that a release runs before its first object, after everything is healthy, or when it fails.
//!
//! Owns what an annotation says, what a run has come to, and which steps come next. A run belongs to one release: that is
//! what the inventory says, never an annotation alone. Which release is open, and when a message is written, is the
//! caller's.

mod run;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::names;
use tidegate_api::release::Failure;

use crate::desired::{DesiredObject, Rendered};
use crate::digest::DigestKey;
use crate::inventory::InventorySet;
use crate::object::ObjectId;
use crate::plan::{Plan, Step};

pub use run::{Context, Outcome, Run, Seen, State, needs_reading, state};

/// Most hooks of one Application: each is looked at by itself.
pub const MAX_HOOKS: usize = 50;
/// Shortest `ttlSecondsAfterFinished` of a hook: a run that goes by itself must have been seen to end before.
pub const MIN_TTL: i64 = 60;

/// When a hook runs (annotation `tidegate.io/hook`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Before the first object is applied.
    PreSync,
    /// When everything is applied and healthy.
    PostSync,
    /// When the release fails.
    SyncFail,
}

impl Point {
    /// Reads the annotation's value.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::PreSync, Self::PostSync, Self::SyncFail]
            .into_iter()
            .find(|point| point.as_str() == text)
    }

    /// The annotation's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreSync => "PreSync",
            Self::PostSync => "PostSync",
            Self::SyncFail => "SyncFail",
        }
    }
}

/// What happens to the Job of a run that has ended (annotation `tidegate.io/hook-delete-policy`). It is deleted before the
/// next run in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeletePolicy {
    /// Deleted when it has succeeded.
    pub succeeded: bool,
    /// Deleted when it has failed.
    pub failed: bool,
}

impl DeletePolicy {
    /// Reads the annotation's value: a list with commas. `Err` has the first word that is none of the three.
    pub fn parse(text: &str) -> Result<Self, &str> {
        let mut policy = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "BeforeHookCreation" => {}
                "HookSucceeded" => policy.succeeded = true,
                "HookFailed" => policy.failed = true,
                other => return Err(other),
            }
        }
        Ok(policy)
    }

    /// Whether a run that ended so is deleted at once.
    pub fn deletes(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Succeeded => self.succeeded,
            Outcome::Failed => self.failed,
        }
    }
}

/// A hook as a commit has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// When it runs.
    pub point: Point,
    /// What becomes of its runs.
    pub delete: DeletePolicy,
    /// The Job; its wave orders the hooks of one point.
    pub job: DesiredObject,
}

/// What comes next for the hooks of one point.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// All have succeeded.
    Done,
    /// These have ended: it has to be recorded before anything else is done.
    Record(Vec<(ObjectId, Outcome, String)>),
    /// Steps to carry out; then it is looked at again.
    Go(Plan),
    /// A run is under way, or an old one is on its way out.
    Waits {
        /// The Job.
        object: ObjectId,
        /// What it says.
        why: String,
        /// When it has failed if nothing changes; `None` for an old run, whose going has no time of its own.
        until: Option<Timestamp>,
    },
    /// Some have failed.
    Failed(Vec<Failure>),
}

/// Decides from what was seen of all hooks of one point. Hooks of one wave run together; a wave starts when the one before
/// has succeeded.
pub fn next(seen: &[(&Hook, State)], release: &str, key: &DigestKey) -> Next {
    let ended = |(hook, state): &(&Hook, State)| match state {
        State::Ended(outcome, why) => Some((hook.job.id.clone(), *outcome, why.clone())),
        _ => None,
    };
    let record: Vec<_> = seen.iter().filter_map(ended).collect();
    if !record.is_empty() {
        return Next::Record(record);
    }
    let tidy: Vec<Step> = seen
        .iter()
        .filter_map(|(hook, state)| run::tidy(hook, state, release))
        .collect();
    if !tidy.is_empty() {
        return Next::Go(plan(tidy, Vec::new(), key));
    }
    let unfinished = seen.iter().filter(|(_, state)| !state.succeeded());
    let Some(wave) = unfinished.map(|(hook, _)| hook.job.wave).min() else {
        return Next::Done;
    };
    let current = || seen.iter().filter(|(hook, _)| hook.job.wave == wave);
    let failed: Vec<Failure> = current()
        .filter_map(|(hook, state)| run::failure(hook, state))
        .collect();
    if !failed.is_empty() {
        return Next::Failed(failed);
    }
    let steps: Vec<Step> = current()
        .filter_map(|(hook, state)| run::step(hook, state, release))
        .collect();
    if !steps.is_empty() {
        let bodies = current()
            .map(|(hook, _)| body_of_run(&hook.job, release))
            .collect();
        return Next::Go(plan(steps, bodies, key));
    }
    current()
        .find_map(|(hook, state)| match state {
            State::Running { why, until } => Some(Next::Waits {
                object: hook.job.id.clone(),
                why: why.clone(),
                until: Some(*until),
            }),
            State::Leaving(why) => Some(Next::Waits {
                object: hook.job.id.clone(),
                why: why.clone(),
                until: None,
            }),
            _ => None,
        })
        .unwrap_or(Next::Done)
}

/// The Job as it is sent: it names the release that it runs for. Its digest stays that of what git says.
fn body_of_run(job: &DesiredObject, release: &str) -> DesiredObject {
    let mut job = job.clone();
    if let Some(annotations) = job
        .body
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.insert(names::ANNOTATION_RELEASE.to_owned(), json!(release));
    }
    job
}

fn plan(steps: Vec<Step>, bodies: Vec<DesiredObject>, key: &DigestKey) -> Plan {
    let rendered = Arc::new(Rendered::new(bodies, key));
    Plan {
        more: true,
        ..crate::plan::seal_plan(steps, rendered, 0, Vec::new(), key)
    }
}

/// True when a set brings a hook before or after the objects that has not run with this content. Such a set makes a release
/// although no object changes.
pub fn brings_news(rendered: &Rendered, inventory: &InventorySet) -> bool {
    let runs = rendered.hooks.iter().filter(|hook| hook.point != Point::SyncFail);
    runs.into_iter().any(|hook| {
        let entry = inventory
            .entries
            .get(&hook.job.id)
            .filter(|entry| entry.run.is_some());
        let ran = entry.and_then(|entry| entry.sealed.as_ref());
        ran.is_none_or(|sealed| sealed.desired != hook.job.digest)
    })
}

/// The hooks before or after the objects whose last run failed.
pub fn failed<'a>(rendered: &'a Rendered, inventory: &'a InventorySet) -> impl Iterator<Item = &'a Hook> {
    let has_failed = |hook: &&Hook| {
        let run = inventory
            .entries
            .get(&hook.job.id)
            .and_then(|entry| entry.run.as_ref());
        run.is_some_and(|run| run.outcome == Some(Outcome::Failed))
    };
    let counts = |hook: &&Hook| hook.point != Point::SyncFail;
    rendered.hooks.iter().filter(counts).filter(has_failed)
}

/// True when a hook of that point has begun for a release.
pub fn has_begun(rendered: &Rendered, inventory: &InventorySet, point: Point, release: &str) -> bool {
    rendered.hooks_at(point).any(|hook| {
        let run = inventory
            .entries
            .get(&hook.job.id)
            .and_then(|entry| entry.run.as_ref());
        run.is_some_and(|run| run.release == release)
    })
}
