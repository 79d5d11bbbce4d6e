//! Undoing a failed release as a whole: the way back to the last good set.
//!
//! Owns what a failure leads to (`onFailure` of all policies) and which steps lead back. Takes an ordinary plan for the
//! good set and leaves out what no rollback does. Rules: semantics.md "Rollback".
//!
//! - Only what was created since the good release is deleted. What was there before and was taken over stays.
//! - Protected kinds are never deleted, nor made anew.
//! - What cannot be undone is left as it is, and named: see [`cannot_be_undone`].
//! - Waves are an order here, and no wait: what is being put back may be what a later wave needs to get healthy.

mod undone;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_api::policy::{FailureAction, Policy};

use crate::digest::DigestKey;
use crate::inventory::InventorySet;
use crate::kind_name::KindName;
use crate::object::ObjectId;
use crate::order::never_pruned_by_default;
use crate::plan::{Action, Cause, Forgotten, Plan, Step, TAKEN, seal_plan};
use crate::policy::CompiledPolicy;
use crate::problem::Problem;
use crate::record::sequence_of;

pub use undone::{cannot_be_undone, needs_reading};

/// What happens when a release fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of the set.
    pub action: FailureAction,
    /// Whether later commits wait as long as they still have what failed.
    pub quarantine: bool,
}

/// What all policies that match say together: Hold beats Rollback, and one that wants a quarantine gets it. `None` without
/// a policy: the failed set stays as it is.
pub fn on_failure<'p>(policies: impl IntoIterator<Item = &'p CompiledPolicy>) -> Option<Rule> {
    let rules = policies.into_iter().map(|policy| &policy.policy.on_failure);
    rules
        .map(|rule| Rule {
            action: rule.action,
            quarantine: rule.quarantine,
        })
        .reduce(|one, other| Rule {
            action: if one.action == FailureAction::Hold {
                FailureAction::Hold
            } else {
                other.action
            },
            quarantine: one.quarantine || other.quarantine,
        })
}

/// What cannot be used of a policy's `onFailure`.
pub fn problem(policy: &Policy) -> Option<Problem> {
    policy.on_failure.revert_commit.then(|| Problem {
        reason: "InvalidPolicy",
        object: String::new(),
        field: Some("spec.onFailure.revertCommit".to_owned()),
        location: None,
        message: "pushing a commit that undoes the failed one is not supported yet; set it to false: the set is put \
                  back in the cluster in any case"
            .to_owned(),
    })
}

/// What the way back is made of.
pub struct Inputs<'a> {
    /// An ordinary plan for the good set: see [`crate::plan::plan`].
    pub plan: Plan,
    /// Name of the good Release.
    pub good: &'a str,
    /// What was applied.
    pub inventory: &'a InventorySet,
    /// `limits.protectedKinds` of all policies.
    pub protected: &'a [String],
    /// What cannot be undone of objects that were read, and why.
    pub fixed: &'a BTreeMap<ObjectId, String>,
    /// Releases after the good one that were not undone: what they made runs on.
    pub others: &'a BTreeSet<String>,
    /// Objects that other Applications have by now.
    pub taken: &'a BTreeSet<ObjectId>,
    /// For the digest.
    pub key: &'a DigestKey,
}

/// The way back.
#[derive(Clone, Debug, PartialEq)]
pub struct WayBack {
    /// What is to be done.
    pub plan: Plan,
    /// What stays as the failed release left it, and why.
    pub survivors: BTreeMap<ObjectId, String>,
}

/// Makes the way back.
pub fn way_back(inputs: &Inputs<'_>) -> WayBack {
    let mut survivors = BTreeMap::new();
    let mut forgotten = Vec::new();
    let good = sequence_of(inputs.good);
    let mut steps = Vec::new();
    for step in &inputs.plan.steps {
        let fate = match step.action {
            Action::Delete { .. } => removal(step, inputs, good),
            Action::Create | Action::Update { .. } | Action::Recreate { .. } => apply(step, inputs),
        };
        match fate {
            Fate::Go => steps.push(Step {
                cause: without_turn(step.cause),
                ..step.clone()
            }),
            Fate::Later => {}
            Fate::Stays(why) => {
                survivors.insert(step.id.clone(), why);
            }
            Fate::LetGo(why) => {
                survivors.insert(step.id.clone(), why.to_owned());
                forgotten.push(Forgotten {
                    id: step.id.clone(),
                    kept_because: Some(why),
                });
            }
        }
    }
    for gone in &inputs.plan.forgotten {
        let run = inputs
            .inventory
            .entries
            .get(&gone.id)
            .and_then(|e| e.run.as_ref());
        if run.is_some() {
            continue;
        }
        if let Some(why) = gone.kept_because.filter(|why| *why != TAKEN) {
            survivors.insert(gone.id.clone(), why.to_owned());
        }
        forgotten.push(gone.clone());
    }
    let unchanged = inputs.plan.unchanged + inputs.plan.steps.len() - steps.len();
    WayBack {
        plan: seal_plan(
            steps,
            inputs.plan.rendered.clone(),
            unchanged,
            forgotten,
            inputs.key,
        ),
        survivors,
    }
}

enum Fate {
    /// It is done.
    Go,
    /// It is none of the rollback's: it stays in the inventory for the next release.
    Later,
    /// The object stays as it is.
    Stays(String),
    /// As `Stays`, and it is nobody's from now on.
    LetGo(&'static str),
}

fn removal(step: &Step, inputs: &Inputs<'_>, good: Option<i64>) -> Fate {
    let entry = inputs.inventory.entries.get(&step.id);
    // What hooks did is not undone, and their Jobs say what they did.
    if entry.is_some_and(|entry| entry.run.is_some()) {
        return Fate::Later;
    }
    if is_protected(inputs.protected, &step.id) {
        return Fate::LetGo("a policy protects its kind (limits.protectedKinds)");
    }
    let made = entry.and_then(|entry| entry.made.as_deref());
    if let Some(other) = made.filter(|made| inputs.others.contains(*made)) {
        return Fate::Stays(format!("Release {other} made it, and was not undone"));
    }
    match made.map(sequence_of) {
        None => Fate::LetGo("the failed release did not create it: it was there before"),
        Some(made) if made > good => Fate::Go,
        Some(_) => Fate::Stays("it is older than the release that is put back".to_owned()),
    }
}

fn apply(step: &Step, inputs: &Inputs<'_>) -> Fate {
    let id = &step.id;
    if inputs.taken.contains(id) {
        return Fate::Stays("another Application has it now".to_owned());
    }
    if let Some(why) = inputs.fixed.get(id) {
        return Fate::Stays(why.clone());
    }
    let brings = matches!(step.cause, Cause::New | Cause::Begun | Cause::Changed);
    if brings && is_job(id) {
        let why = if step.action == Action::Create {
            "a Job is not run once more by a rollback"
        } else {
            "a Job that has run cannot be taken back, nor its pods changed"
        };
        return Fate::Stays(why.to_owned());
    }
    let anew = matches!(step.action, Action::Recreate { .. });
    if anew && (is_protected(inputs.protected, id) || never_pruned_by_default(id)) {
        return Fate::Stays(
            "it would have to be deleted and made anew, and its kind is protected".to_owned(),
        );
    }
    Fate::Go
}

/// As a correction: no wave is waited for.
fn without_turn(cause: Cause) -> Cause {
    match cause {
        Cause::New | Cause::Begun => Cause::Missing,
        Cause::Changed => Cause::Drifted,
        other => other,
    }
}

fn is_job(id: &ObjectId) -> bool {
    (&*id.group, &*id.kind) == ("batch", "Job")
}

/// A name that is none protects nothing; the policy that has it says so and is closed.
fn is_protected(kinds: &[String], id: &ObjectId) -> bool {
    let mut named = kinds.iter().filter_map(|kind| KindName::parse(kind).ok());
    named.any(|kind| kind.is_of(id))
}
