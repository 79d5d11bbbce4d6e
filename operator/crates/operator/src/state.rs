//! Everything that the controllers share: stores, queues, what is known of sources, and who owns which live object.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use tidegate_api::{Application, GitRepository, Inventory, Release};
use tidegate_cluster::events::EventRecorder;
use tidegate_cluster::own::Own;
use tidegate_cluster::{Clients, Executor, LeaseGuard, LiveMap, SchemaCache};
use tidegate_core::catalog::Catalog;
use tidegate_core::digest::DigestKey;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::Plan;
use tidegate_git::{GitPool, Remote, Revision};
use tokio::time::Instant;

use crate::application::AppState;
use crate::ignored_fields::IgnoredFields;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::settings::RunSettings;
use crate::store::{Key, Store};

/// A source that was fetched in this process: its mirror has the revision.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) remote: Remote,
    pub(crate) revision: Revision,
    /// When the revision was first seen.
    pub(crate) detected: Timestamp,
}

/// When a reconcile wants to come again by itself. Changes wake it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Only on a change.
    Never,
    /// After a time.
    After(Duration),
}

impl Again {
    pub(crate) fn after(wait: Duration) -> Self {
        Self::After(wait)
    }

    /// At a wall-clock time; at once when it has passed.
    pub(crate) fn at(time: Timestamp) -> Self {
        Self::After(
            time.duration_since(Timestamp::now())
                .try_into()
                .unwrap_or(Duration::ZERO),
        )
    }

    /// The earlier of two.
    pub(crate) fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) => other,
            (this, Self::Never) => this,
            (Self::After(a), Self::After(b)) => Self::After(a.min(b)),
        }
    }
}

/// See the module's header.
pub(crate) struct Operator {
    pub(crate) settings: RunSettings,
    pub(crate) clients: Clients,
    pub(crate) own_applications: Own<Application>,
    pub(crate) own_repositories: Own<GitRepository>,
    pub(crate) releases: Own<Release>,
    pub(crate) inventories: Own<Inventory>,
    pub(crate) secrets: Own<Secret>,
    pub(crate) executor: Executor,
    pub(crate) lease: LeaseGuard,
    pub(crate) live: LiveMap,
    pub(crate) schema_cache: SchemaCache,
    pub(crate) recorder: EventRecorder,
    pub(crate) git: GitPool,
    pub(crate) metrics: Metrics,
    pub(crate) key: DigestKey,
    pub(crate) applications: Store<Application>,
    pub(crate) repositories: Store<GitRepository>,
    pub(crate) sources: Store<Source>,
    pub(crate) application_queue: Queue<Key>,
    pub(crate) repository_queue: Queue<Key>,
    /// True once all Applications and sources were seen: before that nobody knows whose an object is.
    pub(crate) in_view: tokio::sync::watch::Sender<bool>,
    pub(crate) catalog: RwLock<Arc<Catalog>>,
    pub(crate) kinds: AtomicU64,
    /// Number of the next reconcile; starts anywhere.
    pub(crate) reconciles: AtomicU64,
    pub(crate) states: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<AppState>>>>,
    pub(crate) owners: RwLock<HashMap<ObjectId, Key>>,
    pub(crate) ignored: Arc<IgnoredFields>,
}

impl Operator {
    /// Memory of one Application between its reconciles.
    pub(crate) fn app_state(&self, key: &Key) -> Arc<tokio::sync::Mutex<AppState>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.entry(key.clone()).or_default().clone()
    }

    /// Drops what is kept of an Application that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        self.owners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, owner| owner != key);
        self.ignored.replace(key, std::iter::empty());
    }

    /// Drops the memory of one Application after a panic: everything is read anew.
    pub(crate) fn reset(&self, key: &Key) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    /// Owner annotation of an Application's objects.
    pub(crate) fn owner(&self, key: &Key) -> Owner {
        Owner {
            installation: self.settings.installation.clone(),
            namespace: key.namespace.clone(),
            application: key.name.clone(),
        }
    }

    /// Id of a reconcile in the log, unlike any other of this process and of those before it.
    pub(crate) fn next_reconcile_id(&self) -> String {
        format!("{:012x}", self.reconciles.fetch_add(1, Ordering::Relaxed))
    }

    /// A number that differs between Applications, so that they do not retry in step.
    pub(crate) fn seed(&self, key: &Key) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// Notes which Application is woken by changes of its inventory's objects, and which of their fields others may set.
    /// Comes from the inventory, never from metadata.
    pub(crate) fn own_objects(&self, key: &Key, set: &InventorySet) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|_, owner| owner != key);
        owners.extend(set.entries.keys().map(|id| (id.clone(), key.clone())));
        drop(owners);
        let sealed = set.entries.iter().filter_map(|(id, entry)| {
            let sealed = entry.sealed.as_ref().filter(|s| !s.ignored.is_empty())?;
            Some((id, &*sealed.ignored))
        });
        self.ignored.replace(key, sealed);
    }

    /// Notes the fields that others may set in objects that are about to be written.
    pub(crate) fn leave_to_others(&self, key: &Key, plan: &Plan) {
        let objects = plan.steps.iter().filter_map(|step| plan.rendered.get(&step.id));
        self.ignored.put(key, objects.map(|o| (&o.id, &*o.ignored)));
    }

    /// The Application that is woken by changes of an object.
    pub(crate) fn application_of(&self, id: &ObjectId) -> Option<Key> {
        self.owners
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Wakes the Applications that read a source.
    pub(crate) fn wake_applications_of(&self, source: &Key) {
        let reads = |key: &Key, app: &Application| {
            key.namespace == source.namespace && app.spec.source.name == source.name
        };
        for key in self.applications.keys(reads) {
            self.application_queue.add(key);
        }
    }

    /// Asks for a poll of the Application's source: its mirror lacks what is needed.
    pub(crate) fn poll_again(&self, app: &Application, error: &tidegate_git::Error) {
        if !matches!(
            error,
            tidegate_git::Error::MirrorLost { .. } | tidegate_git::Error::Corrupt { .. }
        ) {
            return;
        }
        let namespace = app.metadata.namespace.clone().unwrap_or_default();
        let source = Key {
            namespace,
            name: app.spec.source.name.clone(),
        };
        self.sources.remove(&source);
        self.repository_queue.add(source);
    }

    /// The kinds that the API server serves.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Counts changes of the served kinds.
    pub(crate) fn kinds_version(&self) -> u64 {
        self.kinds.load(Ordering::Acquire)
    }

    /// Reads the served kinds anew. When they changed, all Applications are looked at again, whoever saw it first: a
    /// refused one may be admissible now.
    pub(crate) async fn refresh_catalog(&self) -> Result<Arc<Catalog>, String> {
        let fresh = tidegate_cluster::discovery::catalog(&self.clients)
            .await
            .map_err(|e| e.to_string())?;
        let fresh = Arc::new(fresh);
        if self.take_catalog(&fresh) {
            for key in self.applications.keys(|_, _| true) {
                self.application_queue.add(key);
            }
        }
        Ok(fresh)
    }

    /// True when it differs from the one that was known.
    fn take_catalog(&self, fresh: &Arc<Catalog>) -> bool {
        let mut current = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        if **current == **fresh {
            return false;
        }
        *current = fresh.clone();
        self.kinds.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Comes back to a key when the reconcile asked for it.
    pub(crate) fn schedule(queue: &Queue<Key>, key: &Key, again: Again) {
        if let Again::After(wait) = again {
            queue.add_at(key.clone(), Instant::now() + wait);
        }
    }
}
