//! Commits that failed, and what in them did: a later commit waits as long as it still has all of that.
//!
//! Rules: semantics.md "Rollback". Digests are compared, never commits alone, so that a revert of a revert, a force-push of
//! the same content and a restart change nothing, and a fix goes through by itself.
//!
//! **Culprits** are the failed objects which the release changed. Where it changed none of them, they fail over something
//! else that it changed: what they name (a ConfigMap, a Secret), else all that it changed or removed. Of more than
//! [`MAX_CULPRITS`] of those nobody can say which it was; then the set as a whole is the culprit, and any other set goes
//! through: to hold back the fix is worse than to fail, and be rolled back, once more.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_api::application::{Culprit, Quarantined};
use tidegate_api::release::Failure;

use crate::desired::{DesiredObject, Rendered};
use crate::object::ObjectId;
use crate::record::shorten;

/// Most commits that are remembered; the oldest is forgotten first.
pub const MAX_QUARANTINED: usize = 20;
/// Most culprits of one commit.
pub const MAX_CULPRITS: usize = 20;
/// Longest cause that is kept, bytes.
const MAX_CAUSE: usize = 300;
/// Stands for the whole set.
const WHOLE_SET: &str = "*";

/// What a failed release is known by.
pub struct Failed<'a> {
    /// Its commit.
    pub commit: &'a str,
    /// Its name.
    pub release: &'a str,
    /// Why it failed, for people.
    pub cause: &'a str,
    /// The objects that failed.
    pub failures: &'a [Failure],
    /// What it brought; `None` where that cannot be had any more.
    pub set: Option<&'a Rendered>,
    /// The last good set; `None` where there is none.
    pub good: Option<&'a Rendered>,
}

/// Makes the entry of a failed release.
pub fn entry(failed: &Failed<'_>) -> Quarantined {
    let culprits = failed.set.map(|set| culprits(set, failed.good, failed.failures));
    Quarantined {
        commit: failed.commit.to_owned(),
        release: failed.release.to_owned(),
        cause: shorten(failed.cause, MAX_CAUSE),
        culprits: culprits.unwrap_or_default(),
    }
}

/// Adds an entry, in the place of an earlier one of the same content.
pub fn add(list: &mut Vec<Quarantined>, new: Quarantined) {
    list.retain(|old| {
        old.release != new.release && (old.commit != new.commit || old.culprits != new.culprits)
    });
    list.push(new);
    let over = list.len().saturating_sub(MAX_QUARANTINED);
    list.drain(..over);
}

/// The newest entry that holds a set back.
pub fn holding<'q>(list: &'q [Quarantined], set: &Rendered, commit: &str) -> Option<&'q Quarantined> {
    list.iter().rev().find(|entry| holds(entry, set, commit))
}

/// A release of that set is good: what it has is no culprit any more.
pub fn clear(list: &mut Vec<Quarantined>, set: &Rendered) {
    list.retain(|entry| entry.culprits.is_empty() || !has_all(entry, set));
}

/// Why a set waits, for people.
pub fn line(entry: &Quarantined, commit: &str) -> String {
    let Quarantined {
        commit: failed,
        release,
        cause,
        culprits,
    } = entry;
    let short = |commit: &str| commit.get(..8).unwrap_or(commit).to_owned();
    let named: Vec<String> = culprits.iter().take(3).map(name).collect();
    let more = match culprits.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = if commit == failed {
        format!("commit {} failed in Release {release}", short(failed))
    } else {
        format!(
            "still has what made Release {release} of commit {} fail",
            short(failed)
        )
    };
    let whose = if named.is_empty() {
        String::new()
    } else {
        format!(": {}{more}", named.join(", "))
    };
    format!("{what}{whose} ({cause}); a commit that changes one of these goes through by itself")
}

fn name(culprit: &Culprit) -> String {
    if culprit.id == WHOLE_SET {
        return "the set as a whole".to_owned();
    }
    let id = ObjectId::parse(&culprit.id).map_or_else(|| culprit.id.clone(), |id| id.to_string());
    if culprit.digest.is_empty() {
        format!("{id}, which it removes")
    } else {
        id
    }
}

fn holds(entry: &Quarantined, set: &Rendered, commit: &str) -> bool {
    if entry.culprits.is_empty() {
        return entry.commit == commit;
    }
    has_all(entry, set)
}

fn has_all(entry: &Quarantined, set: &Rendered) -> bool {
    entry.culprits.iter().all(|culprit| {
        if culprit.id == WHOLE_SET {
            return set.digest == culprit.digest;
        }
        let id = ObjectId::parse(&culprit.id);
        id.is_some_and(|id| digest_of(set, &id).unwrap_or_default() == culprit.digest)
    })
}

/// Hooks count: a Job that fails is what the commit says it runs.
fn digest_of<'s>(set: &'s Rendered, id: &ObjectId) -> Option<&'s str> {
    let hook = || set.hooks.iter().map(|hook| &hook.job).find(|job| job.id == *id);
    let object = set.get(id).or_else(hook)?;
    Some(&object.digest)
}

fn culprits(set: &Rendered, good: Option<&Rendered>, failures: &[Failure]) -> Vec<Culprit> {
    let changed = changed(set, good);
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.object.as_str()).collect();
    let has_failed = |culprit: &&Culprit| {
        ObjectId::parse(&culprit.id).is_some_and(|id| failed.contains(id.to_string().as_str()))
    };
    let direct: Vec<Culprit> = changed
        .iter()
        .filter(has_failed)
        .take(MAX_CULPRITS)
        .cloned()
        .collect();
    if !direct.is_empty() {
        return direct;
    }
    let jobs = set.hooks.iter().map(|hook| &hook.job);
    let bodies: Vec<&DesiredObject> = set
        .objects
        .iter()
        .chain(jobs)
        .filter(|object| failed.contains(object.id.to_string().as_str()))
        .collect();
    let named = |culprit: &&Culprit| {
        ObjectId::parse(&culprit.id).is_some_and(|id| bodies.iter().any(|body| names(body, &id)))
    };
    let named: Vec<Culprit> = changed.iter().filter(named).cloned().collect();
    let chosen = if named.is_empty() { changed } else { named };
    if chosen.len() <= MAX_CULPRITS {
        return chosen;
    }
    vec![Culprit {
        id: WHOLE_SET.to_owned(),
        digest: set.digest.clone(),
    }]
}

/// What the release changed or brought, and with an empty digest what it removed. Sorted by identity.
fn changed(set: &Rendered, good: Option<&Rendered>) -> Vec<Culprit> {
    let before = |id: &ObjectId| good.and_then(|good| digest_of(good, id));
    let jobs = set.hooks.iter().map(|hook| &hook.job);
    let brought = set
        .objects
        .iter()
        .chain(jobs)
        .filter(|object| before(&object.id) != Some(&object.digest))
        .map(|object| Culprit {
            id: object.id.key(),
            digest: object.digest.clone(),
        });
    let old = good.map(|good| good.objects.as_slice()).unwrap_or_default();
    let removed = old
        .iter()
        .filter(|object| !set.names(&object.id))
        .map(|object| Culprit {
            id: object.id.key(),
            digest: String::new(),
        });
    let mut all: Vec<Culprit> = brought.chain(removed).collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

/// True when an object has the other's name in it, and they are of one namespace.
fn names(object: &DesiredObject, other: &ObjectId) -> bool {
    object.id.namespace == other.namespace && has_text(&object.body, &other.name)
}

fn has_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| has_text(item, text)),
        Value::Object(fields) => fields.values().any(|field| has_text(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
