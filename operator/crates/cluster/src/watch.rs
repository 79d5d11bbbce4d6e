//! What is known of the live objects that we applied: one label-selected watch for each managed kind, each event
//! reduced at once to a small record (semantics.md, Drift 1, 3 and 8).
//!
//! Owns the records. May not decide: what a lost field or a missing object means is the plan's to say.

mod kinds;
mod sink;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tidegate_api::names;
use tidegate_core::catalog::{Gvk, KindInfo};
use tidegate_core::digest::DigestKey;
use tidegate_core::live::{Lens, LiveRecord, reduce_by};
use tidegate_core::object::{ObjectId, api_version};
use tidegate_core::plan::Live;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::connect::Clients;
use crate::error::Error;
use crate::paths;
use crate::stream::{self, Ended, Feed};
use kinds::{Kinds, Seen};
use sink::RecordSink;

/// The map. Clones share it. Watches end when the last clone is dropped.
#[derive(Clone)]
pub struct LiveMap {
    shared: Arc<Shared>,
    /// Cancels every watch when the last clone goes; watches hold `shared` only.
    _stop: Arc<tokio_util::sync::DropGuard>,
    stop: CancellationToken,
}

/// Tells what an Application says of an object: as the inventory has it sealed, or as the plan has it that is being
/// carried out.
pub type Lenses = Arc<dyn Fn(&ObjectId) -> Lens + Send + Sync>;

struct Shared {
    clients: Clients,
    /// The only namespace that is watched; empty for all.
    namespace: String,
    installation: String,
    resync: Duration,
    key: DigestKey,
    lenses: Lenses,
    kinds: Mutex<Kinds>,
    /// Changed since they were asked for last. Bounded by the number of objects: a set, not a queue.
    changed: Mutex<HashSet<ObjectId>>,
    wake: Notify,
    /// Goes up when a kind gets in sync, fails or ends.
    turns: watch::Sender<u64>,
}

impl LiveMap {
    /// A map of the objects that carry this installation's label. Watches nothing yet. `lenses` is asked at each event.
    /// Each kind is listed anew every `resync` beside its watch.
    pub fn new(
        clients: Clients,
        installation: &str,
        resync: Duration,
        key: DigestKey,
        lenses: Lenses,
    ) -> Self {
        Self::within(String::new(), clients, installation, resync, key, lenses)
    }

    /// As [`LiveMap::new`], of one namespace: for clients that may not watch more.
    pub fn within(
        namespace: String,
        clients: Clients,
        installation: &str,
        resync: Duration,
        key: DigestKey,
        lenses: Lenses,
    ) -> Self {
        let stop = CancellationToken::new();
        let shared = Shared {
            clients,
            namespace,
            installation: installation.to_owned(),
            resync,
            key,
            lenses,
            kinds: Mutex::default(),
            changed: Mutex::default(),
            wake: Notify::new(),
            turns: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
            _stop: Arc::new(stop.clone().drop_guard()),
            stop,
        }
    }

    /// Watches a kind at this version from now on. Does nothing when it is watched already.
    pub fn ensure(&self, gvk: &Gvk, info: &KindInfo) {
        let stop = self.stop.child_token();
        let Some(generation) = self.shared.kinds().add(gvk, &info.plural, stop.clone()) else {
            return;
        };
        let feed = Feed {
            api_version: api_version(&gvk.group, &gvk.version),
            kind: gvk.kind.to_string(),
            path: paths::collection(&gvk.group, &gvk.version, &self.shared.namespace, &info.plural),
            labels: Some(format!(
                "{}={}",
                names::LABEL_MANAGED_BY,
                self.shared.installation
            )),
            patient: false,
            resync: Some(self.shared.resync),
        };
        let shared = self.shared.clone();
        let gvk = gvk.clone();
        tokio::spawn(async move {
            let clients = shared.clients.clone();
            let mut sink = RecordSink::new(shared.clone(), gvk.clone());
            if stream::run(&clients, &feed, &mut sink, &stop).await == Ended::KindGone {
                tracing::info!(kind = %gvk.kind, group = %gvk.group, "no longer served: its watch ends");
                let gone = shared.kinds().remove_generation(&gvk, generation);
                shared.tell(gone);
                shared.turn();
            }
        });
    }

    /// Ends the watches of all other kinds, and forgets their records.
    pub fn retain(&self, wanted: &HashSet<Gvk>) {
        self.shared.kinds().retain(wanted);
    }

    /// The records of these objects, each with the version it was applied at. Objects that are not there are absent.
    pub fn snapshot_for<'a>(&self, ids: impl IntoIterator<Item = (&'a ObjectId, &'a str)>) -> Live {
        let kinds = self.shared.kinds();
        ids.into_iter()
            .filter_map(|(id, version)| Some((id.clone(), kinds.record(id, version)?.clone())))
            .collect()
    }

    /// True when the records of the kind are complete.
    pub fn is_synced(&self, gvk: &Gvk) -> bool {
        self.shared.kinds().is_synced(gvk)
    }

    /// Why a kind cannot be watched at the moment, where that is so.
    pub fn failure(&self, gvk: &Gvk) -> Option<String> {
        self.shared.kinds().failure(gvk)
    }

    /// Waits until all of these kinds are in sync; kinds that are not watched are not waited for. `within` bounds it.
    pub async fn wait_synced(&self, gvks: &[Gvk], within: Duration) -> Result<(), Error> {
        let mut turns = self.shared.turns.subscribe();
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let missing = self.shared.kinds().not_synced(gvks);
            if missing.is_empty() {
                return Ok(());
            }
            let in_time = tokio::time::timeout_at(deadline, turns.changed()).await;
            if !matches!(in_time, Ok(Ok(()))) {
                let (kinds, seconds) = (missing.join("; "), within.as_secs());
                return Err(Error::NotSynced { kinds, seconds });
            }
        }
    }

    /// Waits for objects to change, appear or go, and takes them. For one caller.
    pub async fn changes(&self) -> Vec<ObjectId> {
        loop {
            let woken = self.shared.wake.notified();
            let changed = std::mem::take(&mut *lock(&self.shared.changed));
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            woken.await;
        }
    }

    /// Enters the answer to an apply at once, before the watch brings it. Ignored when the watch knows better.
    pub fn record(&self, id: ObjectId, version: &str, record: LiveRecord) {
        let gvk = Gvk::new(&id.group, version, &id.kind);
        self.shared.kinds().put(&gvk, id, record, Seen::InAnswer);
    }

    /// Reads an object again. For a record that was made before it was known what is ignored or by what health is judged
    /// (see [`tidegate_core::plan::comparable`] and [`Lens::judged`]), and for an object that has no record: somebody may
    /// have taken its label, so that no list has it. Does nothing for a kind that is not watched at this version.
    pub async fn reread(&self, id: &ObjectId, version: &str) -> Result<(), Error> {
        let gvk = Gvk::new(&id.group, version, &id.kind);
        let Some(plural) = self.shared.kinds().plural(&gvk) else {
            return Ok(());
        };
        let path = paths::object(&gvk, &plural, id);
        let live = self.shared.clients.find(&id.kind, path).await?;
        let Some(live) = live else { return Ok(()) };
        let label = &live["metadata"]["labels"][names::LABEL_MANAGED_BY];
        let seen = if *label == *self.shared.installation {
            Seen::InAnswer
        } else {
            Seen::Unlabelled
        };
        if let Some((id, record)) = self.shared.reduce(&live) {
            self.shared.kinds().put(&gvk, id, record, seen);
        }
        Ok(())
    }

    /// Forgets an object of which a GET or a delete said that it is gone.
    pub fn forget(&self, id: &ObjectId) {
        self.shared.kinds().forget(id);
    }
}

impl Shared {
    fn reduce(&self, object: &Value) -> Option<(ObjectId, LiveRecord)> {
        let lens = ObjectId::of(object).map(|id| (self.lenses)(&id))?;
        let now = jiff::Timestamp::now();
        reduce_by(lens.health.as_deref(), object, &self.key, now, &lens.ignored)
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        lock(&self.kinds)
    }

    fn tell(&self, ids: impl IntoIterator<Item = ObjectId>) {
        lock(&self.changed).extend(ids);
        self.wake.notify_one();
    }

    fn turn(&self) {
        self.turns.send_modify(|turn| *turn += 1);
    }
}

/// Nothing in here can be left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
