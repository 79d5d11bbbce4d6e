//! The records by kind, and which of two is newer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tidegate_core::catalog::Gvk;
use tidegate_core::live::LiveRecord;
use tidegate_core::object::ObjectId;
use tokio_util::sync::CancellationToken;

/// Where a record comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The watch itself: in order, and right but for answers that it has not caught up with.
    InWatch,
    /// The answer to a request: may be older than what the watch brought meanwhile.
    InAnswer,
    /// The answer to a GET, without our label: the watch does not know the object, and tells nothing of it.
    Unlabelled,
}

#[derive(Default)]
pub(super) struct Kinds {
    kinds: HashMap<Gvk, KindState>,
    generations: u64,
}

struct KindState {
    generation: u64,
    plural: Arc<str>,
    stop: CancellationToken,
    synced: bool,
    failure: Option<String>,
    /// All up to this resource version was delivered by the watch.
    reached: u128,
    records: HashMap<ObjectId, LiveRecord>,
    /// Resource versions of answers that the watch has not brought yet. What it brings of before them is old: taken in, it
    /// would look as if our own write had been undone.
    ahead: HashMap<ObjectId, u128>,
}

impl Kinds {
    /// The number of the new watch, or `None` when there is one.
    pub(super) fn add(&mut self, gvk: &Gvk, plural: &Arc<str>, stop: CancellationToken) -> Option<u64> {
        if self.kinds.contains_key(gvk) {
            return None;
        }
        self.generations += 1;
        let state = KindState {
            generation: self.generations,
            plural: plural.clone(),
            stop,
            synced: false,
            failure: None,
            reached: 0,
            records: HashMap::new(),
            ahead: HashMap::new(),
        };
        self.kinds.insert(gvk.clone(), state);
        Some(self.generations)
    }

    /// Ends a watch; its objects are returned. A later watch of the same kind is left alone.
    pub(super) fn remove_generation(&mut self, gvk: &Gvk, generation: u64) -> Vec<ObjectId> {
        if self.kinds.get(gvk).is_none_or(|k| k.generation != generation) {
            return Vec::new();
        }
        let state = self.kinds.remove(gvk);
        state.map(|s| s.records.into_keys().collect()).unwrap_or_default()
    }

    pub(super) fn retain(&mut self, wanted: &HashSet<Gvk>) {
        self.kinds.retain(|gvk, state| {
            let keep = wanted.contains(gvk);
            if !keep {
                state.stop.cancel();
            }
            keep
        });
    }

    /// The record at that version, or at any other at which the kind is watched.
    pub(super) fn record(&self, id: &ObjectId, version: &str) -> Option<&LiveRecord> {
        let exact = Gvk::new(&id.group, version, &id.kind);
        if let Some(state) = self.kinds.get(&exact) {
            return state.records.get(id);
        }
        let mut same_kind = self
            .kinds
            .iter()
            .filter(|(gvk, _)| gvk.group == id.group && gvk.kind == id.kind);
        same_kind.find_map(|(_, state)| state.records.get(id))
    }

    /// Takes a record in. True when something that matters changed.
    pub(super) fn put(&mut self, gvk: &Gvk, id: ObjectId, record: LiveRecord, seen: Seen) -> bool {
        let Some(state) = self.kinds.get_mut(gvk) else {
            return false;
        };
        let before = state.records.get(&id);
        let at = number(&record.resource_version);
        let known = match seen {
            Seen::InWatch => state.ahead.get(&id).is_some_and(|answer| at < *answer),
            Seen::InAnswer => !is_news(before, &record, state.reached),
            Seen::Unlabelled => before.is_some_and(|before| !is_news(Some(before), &record, 0)),
        };
        if known {
            return false;
        }
        if seen == Seen::InAnswer && at > state.reached {
            state.ahead.insert(id.clone(), at);
        } else {
            state.ahead.remove(&id);
        }
        let changed = before.is_none_or(|before| differs(before, &record));
        state.records.insert(id, record);
        changed
    }

    /// True when it was there.
    pub(super) fn remove(&mut self, gvk: &Gvk, id: &ObjectId) -> bool {
        self.kinds.get_mut(gvk).is_some_and(|state| {
            state.ahead.remove(id);
            state.records.remove(id).is_some()
        })
    }

    pub(super) fn forget(&mut self, id: &ObjectId) {
        for (gvk, state) in &mut self.kinds {
            if gvk.group == id.group && gvk.kind == id.kind {
                state.ahead.remove(id);
                state.records.remove(id);
            }
        }
    }

    /// A list begins. It shows all that was answered before; the versions may have gone back, after a restored backup.
    pub(super) fn relist(&mut self, gvk: &Gvk) {
        if let Some(state) = self.kinds.get_mut(gvk) {
            state.ahead.clear();
        }
    }

    /// After a list: what it did not name and what no later answer told is gone. Returns the gone.
    pub(super) fn listed(
        &mut self,
        gvk: &Gvk,
        named: &HashSet<ObjectId>,
        resource_version: &str,
    ) -> Vec<ObjectId> {
        let Some(state) = self.kinds.get_mut(gvk) else {
            return Vec::new();
        };
        let at = number(resource_version);
        state.reached = state.reached.max(at);
        state.synced = true;
        state.failure = None;
        let is_gone = |(id, record): (&ObjectId, &LiveRecord)| {
            let older = number(&record.resource_version) <= at;
            (older && !named.contains(id)).then(|| id.clone())
        };
        let gone: Vec<ObjectId> = state.records.iter().filter_map(is_gone).collect();
        for id in &gone {
            state.records.remove(id);
        }
        gone
    }

    pub(super) fn reached(&mut self, gvk: &Gvk, resource_version: &str) {
        if let Some(state) = self.kinds.get_mut(gvk) {
            state.reached = state.reached.max(number(resource_version));
            let reached = state.reached;
            state.ahead.retain(|_, answer| *answer > reached);
            state.failure = None;
        }
    }

    pub(super) fn fail(&mut self, gvk: &Gvk, message: String) {
        if let Some(state) = self.kinds.get_mut(gvk) {
            state.failure = Some(message);
        }
    }

    pub(super) fn plural(&self, gvk: &Gvk) -> Option<Arc<str>> {
        self.kinds.get(gvk).map(|s| s.plural.clone())
    }

    pub(super) fn is_synced(&self, gvk: &Gvk) -> bool {
        self.kinds.get(gvk).is_some_and(|s| s.synced)
    }

    pub(super) fn failure(&self, gvk: &Gvk) -> Option<String> {
        self.kinds.get(gvk)?.failure.clone()
    }

    /// Kinds among these that are watched and not in sync, each with its failure.
    pub(super) fn not_synced(&self, gvks: &[Gvk]) -> Vec<String> {
        let waiting = gvks.iter().filter_map(|gvk| {
            let state = self.kinds.get(gvk).filter(|s| !s.synced)?;
            let why = state.failure.as_deref().unwrap_or("the list has not come yet");
            Some(format!("{} ({}): {why}", gvk.kind, gvk.version))
        });
        waiting.collect()
    }
}

/// An answer is news when the watch has not gone past it: neither with a newer record nor with a deletion. The same state
/// is news when it was read with other fields left out, or judged by other expressions.
fn is_news(before: Option<&LiveRecord>, record: &LiveRecord, reached: u128) -> bool {
    let at = number(&record.resource_version);
    match before {
        Some(before) if before.ignored != record.ignored || before.judged_by != record.judged_by => {
            at >= number(&before.resource_version)
        }
        Some(before) => at > number(&before.resource_version),
        None => at > reached,
    }
}

/// A new resource version alone is no change: status heartbeats would wake everybody up.
fn differs(a: &LiveRecord, b: &LiveRecord) -> bool {
    a.uid != b.uid
        || a.ours != b.ours
        || a.foreign != b.foreign
        || a.ignored != b.ignored
        || a.health != b.health
        || a.message != b.message
        || a.deleting != b.deleting
        || a.hold != b.hold
}

/// Resource versions are decimal numbers that grow, within a kind, in every API server there is (and by promise since
/// Kubernetes 1.35). One that is not counts as 0: then only the watch is believed.
fn number(resource_version: &str) -> u128 {
    resource_version.parse().unwrap_or(0)
}
