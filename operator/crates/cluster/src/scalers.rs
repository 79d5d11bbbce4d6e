//! What autoscalers scale: one watch of all HorizontalPodAutoscalers of the cluster, and one of KEDA's ScaledObjects where
//! they are served, each reduced at once to its target (semantics.md, Drift 6).
//!
//! Owns the pairs of autoscaler and target. Replicas of a target are somebody else's to say, whoever made the autoscaler.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tidegate_core::catalog::{Catalog, Gvk};
use tidegate_core::ignore::{Scaled, scale_target};
use tidegate_core::object::{ObjectId, api_version};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connect::Clients;
use crate::error::Error;
use crate::paths;
use crate::stream::{self, Feed, Sink};

/// Group, version and kind of autoscalers.
const KINDS: [(&str, &str, &str); 2] = [
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("keda.sh", "v1alpha1", "ScaledObject"),
];

/// The pairs. Clones share them. Watches end when the last clone is dropped.
#[derive(Clone)]
pub struct Scalers {
    shared: Arc<Shared>,
    _stop: Arc<tokio_util::sync::DropGuard>,
    stop: CancellationToken,
}

struct Shared {
    clients: Clients,
    resync: Duration,
    known: Mutex<Known>,
    /// Goes up with each change of the pairs or of what is in sync.
    turns: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    kinds: HashMap<Gvk, Kind>,
    /// Targets whose autoscaler came, went or turned elsewhere, since they were asked for last.
    changed: HashSet<ObjectId>,
    /// The pairs as they are given out, until one of them changes.
    pairs: Option<Arc<Scaled>>,
}

#[derive(Default)]
struct Kind {
    synced: bool,
    failure: Option<String>,
    /// Autoscaler to target.
    targets: HashMap<ObjectId, ObjectId>,
}

impl Scalers {
    /// Watches nothing yet. Each kind is listed anew every `resync` beside its watch.
    pub fn new(clients: Clients, resync: Duration) -> Self {
        let stop = CancellationToken::new();
        let shared = Shared {
            clients,
            resync,
            known: Mutex::default(),
            turns: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
            _stop: Arc::new(stop.clone().drop_guard()),
            stop,
        }
    }

    /// Watches the kinds of autoscalers that are served, from now on.
    pub fn ensure(&self, catalog: &Catalog) {
        for (group, version, kind) in KINDS {
            let gvk = Gvk::new(group, version, kind);
            let Some(info) = catalog.get(&gvk) else { continue };
            let mut known = self.shared.known();
            if known.kinds.contains_key(&gvk) {
                continue;
            }
            known.kinds.insert(gvk.clone(), Kind::default());
            drop(known);
            self.follow(gvk, &info.plural);
        }
    }

    fn follow(&self, gvk: Gvk, plural: &str) {
        let feed = Feed {
            api_version: api_version(&gvk.group, &gvk.version),
            kind: gvk.kind.to_string(),
            path: paths::collection(&gvk.group, &gvk.version, "", plural),
            labels: None,
            patient: false,
            resync: Some(self.shared.resync),
        };
        let (shared, stop) = (self.shared.clone(), self.stop.child_token());
        tokio::spawn(async move {
            let clients = shared.clients.clone();
            let mut sink = TargetSink {
                shared: shared.clone(),
                gvk: gvk.clone(),
                listing: None,
            };
            stream::run(&clients, &feed, &mut sink, &stop).await;
            let mut known = shared.known();
            let gone = known.kinds.remove(&gvk).unwrap_or_default();
            known.changed.extend(gone.targets.into_values());
            known.pairs = None;
            drop(known);
            shared.turn();
        });
    }

    /// What is scaled now, each with its autoscaler. Waits until the first lists are complete.
    ///
    /// # Errors
    /// When that takes longer than `within`, with why: who guesses that there is no autoscaler scales what it scales. A
    /// kind that may not be listed is not waited for.
    pub async fn scaled(&self, within: Duration) -> Result<Arc<Scaled>, Error> {
        let mut turns = self.shared.turns.subscribe();
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let missing = self.shared.known().not_synced();
            if missing.is_empty() {
                return Ok(self.shared.known().scaled());
            }
            let in_time = tokio::time::timeout_at(deadline, turns.changed()).await;
            if !matches!(in_time, Ok(Ok(()))) {
                let (kinds, seconds) = (missing.join("; "), within.as_secs());
                return Err(Error::NotSynced { kinds, seconds });
            }
        }
    }

    /// What is known to be scaled now.
    pub fn known(&self) -> Arc<Scaled> {
        self.shared.known().scaled()
    }

    /// Waits for targets to get, change or lose their autoscaler, and takes them. For one caller.
    pub async fn changes(&self) -> Vec<ObjectId> {
        let mut turns = self.shared.turns.subscribe();
        loop {
            let changed = std::mem::take(&mut self.shared.known().changed);
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            // The sender lives as long as `self`.
            turns.changed().await.ok();
        }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in it can be left half-changed by a panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) {
        self.turns.send_modify(|turn| *turn += 1);
    }
}

impl Known {
    fn scaled(&mut self) -> Arc<Scaled> {
        let pairs = self.kinds.values().flat_map(|kind| &kind.targets);
        let by_target = || {
            pairs
                .map(|(scaler, target)| (target.clone(), scaler.clone()))
                .collect()
        };
        self.pairs.get_or_insert_with(|| Arc::new(by_target())).clone()
    }

    fn not_synced(&self) -> Vec<String> {
        let waiting = self.kinds.iter().filter(|(_, kind)| !kind.synced);
        let line = |(gvk, kind): (&Gvk, &Kind)| {
            let why = kind.failure.as_deref().unwrap_or("the list has not come yet");
            format!("{} ({}): {why}", gvk.kind, gvk.version)
        };
        waiting.map(line).collect()
    }

    /// Sets the target of an autoscaler; `None` for one that is gone.
    fn set(&mut self, gvk: &Gvk, scaler: ObjectId, target: Option<ObjectId>) -> bool {
        let Some(kind) = self.kinds.get_mut(gvk) else {
            return false;
        };
        let before = match &target {
            Some(target) => kind.targets.insert(scaler, target.clone()),
            None => kind.targets.remove(&scaler),
        };
        if before == target {
            return false;
        }
        self.pairs = None;
        self.changed.extend(before);
        self.changed.extend(target);
        true
    }
}

struct TargetSink {
    shared: Arc<Shared>,
    gvk: Gvk,
    /// Autoscalers that the list under way has named.
    listing: Option<HashSet<ObjectId>>,
}

impl TargetSink {
    fn set(&self, scaler: ObjectId, target: Option<ObjectId>) {
        let changed = self.shared.known().set(&self.gvk, scaler, target);
        if changed {
            self.shared.turn();
        }
    }
}

impl Sink for TargetSink {
    fn relist(&mut self) {
        self.listing = Some(HashSet::new());
    }

    async fn object(&mut self, object: Value) {
        let Some(scaler) = ObjectId::of(&object) else {
            return;
        };
        if let Some(named) = &mut self.listing {
            named.insert(scaler.clone());
        }
        let target = scale_target(&scaler, &object);
        self.set(scaler, target);
    }

    async fn listed(&mut self, _: &str) {
        let named = self.listing.take().unwrap_or_default();
        let mut known = self.shared.known();
        let Some(kind) = known.kinds.get_mut(&self.gvk) else {
            return;
        };
        kind.synced = true;
        kind.failure = None;
        let gone: Vec<ObjectId> = kind
            .targets
            .keys()
            .filter(|id| !named.contains(id))
            .cloned()
            .collect();
        for scaler in gone {
            known.set(&self.gvk, scaler, None);
        }
        drop(known);
        self.shared.turn();
    }

    fn reached(&mut self, _: &str) {}

    async fn deleted(&mut self, object: Value) -> Result<(), Error> {
        if let Some(scaler) = ObjectId::of(&object) {
            self.set(scaler, None);
        }
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        if let Some(kind) = self.shared.known().kinds.get_mut(&self.gvk) {
            // Who may not see autoscalers, in somebody else's cluster, goes on as if there were none.
            kind.synced |= error.code() == 403;
            kind.failure = Some(error.to_string());
        }
        self.shared.turn();
        tracing::warn!(kind = %self.gvk.kind, %error, "autoscalers cannot be watched");
    }
}

#[cfg(test)]
#[path = "scalers_tests.rs"]
mod tests;
