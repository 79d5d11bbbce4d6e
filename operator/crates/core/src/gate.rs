//! The gate between a plan and the cluster. `Approved<Plan>` has one constructor, here, and the cluster room takes
//! nothing else: nothing reaches the cluster ungated, by type. With nothing that closes it, the answer is "go".

use jiff::Timestamp;
use tidegate_api::Suspend;

use crate::plan::Plan;
use crate::wave::Due;

/// Proof that the gate was asked. Made by [`decide`] only.
#[derive(Clone, Debug)]
pub struct Approved<T> {
    inner: T,
    at: Timestamp,
}

impl<T> Approved<T> {
    /// What was approved.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Approved<Plan> {
    /// The part of it that is due: fewer steps, never others. What is forgotten goes with the last part.
    pub fn part(&self, due: &Due) -> Self {
        let mut part = self.clone();
        part.inner.steps.retain(|step| due.now.contains(&step.id));
        part.inner.more = !due.last;
        if part.inner.more {
            part.inner.forgotten.clear();
        }
        part
    }
}

/// The gate's answer.
#[derive(Debug)]
pub enum Decision {
    /// It may go.
    Go(Approved<Plan>),
    /// It may not go now.
    Wait {
        /// When it is worth asking again, where that is known.
        until: Option<Timestamp>,
        /// Why, for the condition.
        why: String,
    },
}

/// Asks whether a plan may go.
pub fn decide(plan: Plan, suspend: Option<&Suspend>, now: Timestamp) -> Decision {
    match suspended(suspend, now) {
        Some((why, until)) => Decision::Wait { until, why },
        None => Decision::Go(Approved { inner: plan, at: now }),
    }
}

/// Whether a suspension holds now: the message and when it ends. An `until` that is not a time never ends.
pub fn suspended(suspend: Option<&Suspend>, now: Timestamp) -> Option<(String, Option<Timestamp>)> {
    let suspend = suspend?;
    let until = suspend.until.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    if until.is_some_and(|end| end <= now) {
        return None;
    }
    let by = suspend
        .by
        .as_deref()
        .map(|by| format!(" by {by}"))
        .unwrap_or_default();
    let end = until.map_or_else(|| "spec.suspend is removed".to_owned(), |t| t.to_string());
    Some((format!("Suspended{by} until {end}: {}", suspend.reason), until))
}
