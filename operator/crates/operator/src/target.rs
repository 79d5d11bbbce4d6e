//! One cluster that objects are applied to: its connection, its kinds, its live objects and who owns which of them.

mod drifted;
mod live;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tidegate_api::application::Adopt;
use tidegate_cluster::{
    Clients, ExecuteContext, Execution, Executor, LeaseGuard, LiveMap, Outcome, SchemaCache,
};
use tidegate_core::catalog::{Catalog, Gvk};
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::Approved;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::Plan;
use tidegate_core::schema::SchemaSet;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ignored_fields::IgnoredFields;
use crate::store::Key;

/// How long a CustomResourceDefinition may take to become Established.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// See the module's header.
pub(crate) struct Target {
    clients: Clients,
    executor: Executor,
    pub(crate) live: LiveMap,
    schema_cache: SchemaCache,
    key: DigestKey,
    catalog: RwLock<Arc<Catalog>>,
    kinds: AtomicU64,
    owners: RwLock<HashMap<ObjectId, Key>>,
    ignored: Arc<IgnoredFields>,
}

/// What a plan is carried out under, beside the plan.
pub(crate) struct Terms<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) adopt: Adopt,
    /// Whether an Application that an object names as its owner still exists.
    pub(crate) owner_lives: &'a (dyn Fn(&Owner) -> bool + Send + Sync),
    /// Mutations in flight within one stage.
    pub(crate) concurrency: usize,
}

impl Target {
    /// Connects: reads the served kinds. Watches nothing yet.
    pub(crate) async fn connect(
        clients: Clients,
        lease: LeaseGuard,
        installation: &str,
        key: DigestKey,
    ) -> Result<Self, String> {
        let catalog = tidegate_cluster::discovery::catalog(&clients)
            .await
            .map_err(|e| e.to_string())?;
        let ignored = Arc::new(IgnoredFields::default());
        let lookup = {
            let ignored = ignored.clone();
            Arc::new(move |id: &ObjectId| ignored.of(id))
        };
        Ok(Self {
            executor: Executor::new(clients.clone(), lease),
            live: LiveMap::new(clients.clone(), installation, key.clone(), lookup),
            schema_cache: SchemaCache::new(),
            catalog: RwLock::new(Arc::new(catalog)),
            kinds: AtomicU64::new(0),
            owners: RwLock::new(HashMap::new()),
            ignored,
            clients,
            key,
        })
    }

    /// Schemas of at least these group versions.
    pub(crate) async fn schemas(&self, wanted: &[(String, String)]) -> Result<SchemaSet, String> {
        self.schema_cache
            .schemas(&self.clients, wanted)
            .await
            .map_err(|e| e.to_string())
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

    /// Reads the served kinds anew; true with it when they changed.
    pub(crate) async fn refresh_catalog(&self) -> Result<(Arc<Catalog>, bool), String> {
        let fresh = tidegate_cluster::discovery::catalog(&self.clients)
            .await
            .map_err(|e| e.to_string())?;
        let fresh = Arc::new(fresh);
        let changed = self.take_catalog(&fresh);
        Ok((fresh, changed))
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

    /// Carries an approved plan out.
    pub(crate) async fn execute(
        &self,
        approved: &Approved<Plan>,
        terms: Terms<'_>,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Execution {
        let catalog = self.catalog();
        let context = ExecuteContext {
            catalog: &catalog,
            owner: terms.owner,
            adopt: terms.adopt,
            owner_lives: terms.owner_lives,
            key: &self.key,
            cancel: CancellationToken::new(),
            concurrency: terms.concurrency,
            established_timeout: ESTABLISHED,
        };
        self.executor.execute(approved, context, outcomes).await
    }

    /// An object as it is now; `None` when it cannot be read.
    pub(crate) async fn read_object(&self, id: &ObjectId, version: &str) -> Option<Value> {
        let gvk = Gvk::new(&id.group, version, &id.kind);
        let info = self.catalog().get(&gvk)?.clone();
        self.clients.object(&gvk, &info.plural, id).await.ok().flatten()
    }

    /// Pods that a selector chooses; none when they cannot be read.
    pub(crate) async fn pods(&self, namespace: &str, selector: &str) -> Vec<Value> {
        self.clients
            .pods_for(namespace, selector)
            .await
            .unwrap_or_default()
    }

    /// Drops what is kept of an Application that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.owners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, owner| owner != key);
        self.ignored.replace(key, std::iter::empty());
    }
}
