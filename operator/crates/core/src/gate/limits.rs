//! `limits` of a policy: how much one release may change. Counted over the whole plan, whatever goes in which wave.
//!
//! Runs of hooks are no changes of the set. What is only forgotten stays in the cluster, and is no deletion; nor is
//! what is gone already, or goes with its namespace (semantics.md "Prune and deletion").

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_api::policy::{GateName, Limits};

use super::{Asking, Line, Question};
use crate::inventory::{Entry, InventorySet};
use crate::object::ObjectId;
use crate::plan::{Action, Live, Plan, Step};
use crate::policy::CompiledPolicy;

/// Most kinds and objects that a message names.
const SHOWN: usize = 5;

/// What the limits of a policy say about a whole plan; one line for each that is broken, one if none is.
pub(super) fn ask(policy: &CompiledPolicy, plan: &Plan, question: &Question<'_>) -> Vec<Line> {
    let counts = Counts::of(plan, question);
    if let Some(line) = unusable(policy, &counts, question.asking) {
        return vec![line];
    }
    let Some(limits) = &policy.policy.limits else {
        return Vec::new();
    };
    let broken = [
        counts.protected(policy),
        counts.deletes(limits),
        counts.percent(limits, question.applied),
        counts.recreates(limits),
        counts.changes(limits),
    ];
    let name = policy.name.to_string();
    let what_to_do = what_to_do(policy, question);
    let closed: Vec<Line> = broken
        .into_iter()
        .flatten()
        .map(|(reason, what)| {
            let message = format!("{what}; {what_to_do}");
            Line::closed(&name, GateName::Limits, reason, message, None)
        })
        .collect();
    if closed.is_empty() {
        return vec![Line::open(&name, GateName::Limits, counts.within(), None)];
    }
    closed
}

/// Limits that cannot be read let nothing through that they might count. For a release the policy as a whole says so.
fn unusable(policy: &CompiledPolicy, counts: &Counts<'_>, asking: Asking) -> Option<Line> {
    if asking == Asking::Release || counts.all() == 0 {
        return None;
    }
    let of_limits = |field: &Option<String>| field.as_deref().is_none_or(|f| f.starts_with("spec.limits"));
    let problem = policy.problems.iter().find(|problem| of_limits(&problem.field))?;
    let ways = match asking {
        Asking::Teardown => {
            "correct the policy, or set spec.deletionPolicy to Orphan to leave the objects running"
        }
        Asking::Move => {
            "correct the policy, or set spec.prune to false to leave the objects in the former cluster"
        }
        _ => "correct the policy",
    };
    let message = format!("limits cannot be used, and let nothing through: {problem}; {ways}");
    let name = policy.name.to_string();
    Some(Line::closed(
        &name,
        GateName::Limits,
        problem.reason,
        message,
        None,
    ))
}

/// Steps that count, by what they do.
struct Counts<'a> {
    creates: usize,
    updates: usize,
    deleted: Vec<&'a ObjectId>,
    recreated: Vec<&'a ObjectId>,
}

impl<'a> Counts<'a> {
    fn of(plan: &'a Plan, question: &Question<'_>) -> Self {
        let mut counts = Self {
            creates: 0,
            updates: 0,
            deleted: Vec::new(),
            recreated: Vec::new(),
        };
        let counted = |step: &&Step| step.run.is_none();
        for step in plan.steps.iter().filter(counted) {
            match step.action {
                Action::Create => counts.creates += 1,
                Action::Update { .. } => counts.updates += 1,
                Action::Recreate { .. } => counts.recreated.push(&step.id),
                Action::Delete { .. } if question.uncounted.contains(&step.id) => {}
                Action::Delete { .. } => counts.deleted.push(&step.id),
            }
        }
        counts
    }

    /// Objects that would be taken away, for good or for a while.
    fn taken(&self) -> Vec<&'a ObjectId> {
        self.deleted.iter().chain(&self.recreated).copied().collect()
    }

    fn all(&self) -> usize {
        self.creates + self.updates + self.deleted.len() + self.recreated.len()
    }

    /// "would delete 8 and recreate 4 of 20 objects".
    fn would(&self, of: Option<usize>) -> String {
        let parts = [("delete", self.deleted.len()), ("recreate", self.recreated.len())];
        let said: Vec<String> = parts
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(verb, n)| format!("{verb} {n}"))
            .collect();
        let total = self.deleted.len() + self.recreated.len();
        match of {
            Some(of) => format!("would {} of {of} objects", said.join(" and ")),
            None if total == 1 => format!("would {} object", said.join(" and ")),
            None => format!("would {} objects", said.join(" and ")),
        }
    }

    fn protected(&self, policy: &CompiledPolicy) -> Option<(&'static str, String)> {
        let is_protected = |id: &&ObjectId| policy.protected_kinds.iter().any(|kind| kind.is_of(id));
        let named = |verb: &str, ids: &[&ObjectId]| {
            let hit: Vec<&ObjectId> = ids.iter().copied().filter(is_protected).collect();
            (!hit.is_empty()).then(|| format!("{verb} {}", names(&hit)))
        };
        let parts: Vec<String> = [named("delete", &self.deleted), named("recreate", &self.recreated)]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| {
            let what = format!("would {}, of protected kinds", parts.join(" and "));
            ("ProtectedKind", what)
        })
    }

    fn deletes(&self, limits: &Limits) -> Option<(&'static str, String)> {
        let most = count(limits.max_deletes?);
        let taken = self.taken();
        (taken.len() > most).then(|| {
            let what = format!("{}, at most {most}: {}", self.would(None), kinds(&taken));
            ("TooManyDeletes", what)
        })
    }

    fn percent(&self, limits: &Limits, applied: usize) -> Option<(&'static str, String)> {
        let most = count(limits.max_delete_percent?);
        let taken = self.taken();
        // What is deleted was applied, whatever the count says.
        let of = applied.max(taken.len());
        let share = percent(taken.len(), of);
        (wide(taken.len()) * 100 > wide(most) * wide(of)).then(|| {
            let what = format!(
                "{} ({share} %, at most {most} %): {}",
                self.would(Some(of)),
                kinds(&taken)
            );
            ("TooManyDeletes", what)
        })
    }

    fn recreates(&self, limits: &Limits) -> Option<(&'static str, String)> {
        let most = count(limits.max_recreates?);
        let hit = &self.recreated;
        (hit.len() > most).then(|| {
            let objects = if hit.len() == 1 { "object" } else { "objects" };
            let what = format!(
                "would recreate {} {objects}, at most {most}: {}",
                hit.len(),
                kinds(hit)
            );
            ("TooManyRecreates", what)
        })
    }

    fn changes(&self, limits: &Limits) -> Option<(&'static str, String)> {
        let most = count(limits.max_changes?);
        let all = self.all();
        (all > most).then(|| {
            let what = format!(
                "would change {all} objects, at most {most}: {} to create, {} to update, {} to recreate, {} to delete",
                self.creates,
                self.updates,
                self.recreated.len(),
                self.deleted.len()
            );
            ("TooManyChanges", what)
        })
    }

    fn within(&self) -> String {
        format!(
            "within limits: {} to create, {} to update, {} to recreate, {} to delete",
            self.creates,
            self.updates,
            self.recreated.len(),
            self.deleted.len()
        )
    }
}

/// A limit of the API; one that is negative allows nothing.
fn count(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

fn wide(n: usize) -> u128 {
    n as u128
}

/// Whole percent, rounded up: what is over a limit never looks as if it were on it.
fn percent(part: usize, of: usize) -> u128 {
    (wide(part) * 100).div_ceil(wide(of).max(1))
}

/// `8 ConfigMaps, 3 Services, 1 PersistentVolumeClaim`, the most frequent first.
fn kinds(ids: &[&ObjectId]) -> String {
    let mut by_kind: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for id in ids {
        *by_kind.entry((&id.kind, &id.group)).or_default() += 1;
    }
    let mut sorted: Vec<(&str, usize)> = by_kind.into_iter().map(|((kind, _), n)| (kind, n)).collect();
    sorted.sort_by_key(|(kind, n)| (Reverse(*n), *kind));
    let rest: usize = sorted.iter().skip(SHOWN).map(|(_, n)| n).sum();
    let mut said: Vec<String> = sorted
        .iter()
        .take(SHOWN)
        .map(|(kind, n)| format!("{n} {}", plural(kind, *n)))
        .collect();
    if rest > 0 {
        said.push(format!("{rest} of other kinds"));
    }
    said.join(", ")
}

/// `Ingresses`, `NetworkPolicies`, `Endpoints`.
fn plural(kind: &str, n: usize) -> String {
    match kind {
        _ if n == 1 => kind.to_owned(),
        "Endpoints" => kind.to_owned(),
        _ if kind.ends_with(['s', 'x', 'z']) || kind.ends_with("ch") => format!("{kind}es"),
        _ => match kind.strip_suffix('y') {
            Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
            _ => format!("{kind}s"),
        },
    }
}

fn names(ids: &[&ObjectId]) -> String {
    let mut said: Vec<String> = ids.iter().take(SHOWN).map(ToString::to_string).collect();
    if ids.len() > SHOWN {
        said.push(format!("{} more", ids.len() - SHOWN));
    }
    said.join(", ")
}

/// Objects whose deletion takes nothing away: Jobs of hooks, what is gone already, and what goes with its namespace.
/// `live` is absent where it is not known what is there.
pub fn uncounted(
    inventory: &InventorySet,
    live: Option<&Live>,
    terminating: &BTreeSet<String>,
) -> BTreeSet<ObjectId> {
    let takes_nothing = |(id, entry): &(&ObjectId, &Entry)| {
        entry.run.is_some()
            || live.is_some_and(|live| !live.contains_key(*id))
            || terminating.contains(&*id.namespace)
    };
    let entries = inventory.entries.iter().filter(takes_nothing);
    entries.map(|(id, _)| id.clone()).collect()
}

/// Who can let it through, and what else helps.
fn what_to_do(policy: &CompiledPolicy, question: &Question<'_>) -> String {
    let by = overriders(policy);
    let app = &question.application;
    match question.asking {
        Asking::Teardown => {
            let way = by.map_or_else(String::new, |by| {
                format!(
                    "an Override of gate Limits by {by}, made in the operator's namespace with spec.namespace {}, lets it go; or ",
                    app.namespace
                )
            });
            format!("{way}set spec.deletionPolicy to Orphan to leave the objects running")
        }
        Asking::Move => {
            let way = by.map_or_else(String::new, |by| {
                format!("an Override of gate Limits by {by} lets them be deleted; or ")
            });
            format!("{way}set spec.prune to false to leave the objects in the former cluster")
        }
        Asking::Correction => match by {
            Some(by) => format!("an Override of gate Limits by {by} lets the objects be put back"),
            None => format!("nobody may override it; raise spec.limits of {}", policy.name),
        },
        _ => match by {
            Some(by) => format!("an Override of gate Limits by {by} lets it through, or smaller commits"),
            None => format!(
                "nobody may override it: make smaller commits, or raise spec.limits of {}",
                policy.name
            ),
        },
    }
}

/// Who may open this gate of the policy; `None` when nobody may.
fn overriders(policy: &CompiledPolicy) -> Option<String> {
    let overrides = policy.policy.overrides.as_ref()?;
    if !overrides.gates.contains(&GateName::Limits) {
        return None;
    }
    let groups = overrides.groups.iter().map(|group| format!("group {group}"));
    let named: Vec<String> = overrides.users.iter().cloned().chain(groups).collect();
    if named.is_empty() {
        return Some("whoever has the verb `override`".to_owned());
    }
    Some(named.join(" or "))
}
