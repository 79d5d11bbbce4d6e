//! One cluster that objects are applied to: its connection, its kinds, its live objects and who owns which of them.

mod drifted;
mod live;
mod site;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tidegate_cluster::{Clients, LeaseGuard, LiveMap, Scalers, SchemaCache};
use tidegate_core::catalog::{Catalog, Gvk};
use tidegate_core::digest::DigestKey;
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::inventory::InventorySet;
use tidegate_core::live::LiveRecord;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::Plan;
use tidegate_core::schema::SchemaSet;
use tokio::sync::mpsc;

use crate::lenses::Lenses;
use crate::store::Key;

pub(crate) use site::{Site, Terms};

/// Namespaces in which one account's Secrets are watched.
const SECRET_NAMESPACES: usize = 32;
/// Batches of changed Secrets that wait for whoever follows them.
const NEWS: usize = 64;

/// See the module's header.
pub(crate) struct Target {
    clients: Clients,
    terms: Connection,
    live: LiveMap,
    pub(crate) scalers: Scalers,
    /// Users that act here, each with its clients.
    actors: Mutex<HashMap<String, Clients>>,
    /// Secrets by namespace and the user who watches them there; only where the operator itself may not.
    secrets: Mutex<HashMap<(String, String), LiveMap>>,
    secret_news: (
        mpsc::Sender<Vec<ObjectId>>,
        tokio::sync::Mutex<mpsc::Receiver<Vec<ObjectId>>>,
    ),
    schema_cache: SchemaCache,
    catalog: RwLock<Arc<Catalog>>,
    kinds: AtomicU64,
    owners: RwLock<HashMap<ObjectId, Vec<Arc<Key>>>>,
    lenses: Arc<Lenses>,
}

/// What every cluster is reached under.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) lease: LeaseGuard,
    /// Name of this installation.
    pub(crate) installation: String,
    /// For digests.
    pub(crate) key: DigestKey,
    /// How often kinds are listed anew beside their watches.
    pub(crate) resync: Duration,
    /// The operator itself may not list Secrets: they are watched as the account that applies them.
    pub(crate) secrets_as_tenant: bool,
}

impl Target {
    /// Connects: reads the served kinds. Watches nothing yet.
    pub(crate) async fn connect(
        clients: Clients,
        terms: Connection,
    ) -> Result<Self, tidegate_cluster::Error> {
        let catalog = tidegate_cluster::discovery::catalog(&clients).await?;
        let scalers = Scalers::new(clients.clone(), terms.resync);
        scalers.ensure(&catalog);
        let lenses = Arc::new(Lenses::default());
        let (sender, receiver) = mpsc::channel(NEWS);
        Ok(Self {
            live: LiveMap::new(
                clients.clone(),
                &terms.installation,
                terms.resync,
                terms.key.clone(),
                lookup(&lenses),
            ),
            scalers,
            actors: Mutex::default(),
            secrets: Mutex::default(),
            secret_news: (sender, tokio::sync::Mutex::new(receiver)),
            schema_cache: SchemaCache::new(),
            catalog: RwLock::new(Arc::new(catalog)),
            kinds: AtomicU64::new(0),
            owners: RwLock::new(HashMap::new()),
            lenses,
            clients,
            terms,
        })
    }

    /// False once a request met no API server, until one is answered again.
    pub(crate) fn reachable(&self) -> bool {
        self.clients.reachable()
    }

    /// Waits for objects to change, appear or go, and takes them. For one caller.
    pub(crate) async fn changes(&self) -> Vec<ObjectId> {
        let mut secrets = self.secret_news.1.lock().await;
        tokio::select! {
            changed = self.live.changes() => changed,
            changed = self.scalers.changes() => changed,
            // The sender is ours, so that there is always one.
            changed = secrets.recv() => changed.unwrap_or_default(),
        }
    }

    /// Clients that act as a user; the operator's own for none.
    pub(crate) fn clients_of(&self, user: Option<&str>) -> Result<Clients, tidegate_cluster::Error> {
        let Some(user) = user else {
            return Ok(self.clients.clone());
        };
        let mut actors = lock(&self.actors);
        if let Some(clients) = actors.get(user) {
            return Ok(clients.clone());
        }
        let clients = self.clients.acting_as(user)?;
        actors.insert(user.to_owned(), clients.clone());
        Ok(clients)
    }

    /// The map of Secrets of a namespace, as a user sees them.
    fn secrets_of(&self, namespace: &str, user: &str) -> Result<LiveMap, String> {
        let clients = self.clients_of(Some(user)).map_err(|e| e.to_string())?;
        let mut maps = lock(&self.secrets);
        let place = (namespace.to_owned(), user.to_owned());
        let others = maps.keys().filter(|(_, watcher)| watcher == user).count();
        if !maps.contains_key(&place) && others >= SECRET_NAMESPACES {
            return Err(format!(
                "{user} has Secrets in more than {SECRET_NAMESPACES} namespaces; spread them over more accounts"
            ));
        }
        let map = maps.entry(place).or_insert_with(|| {
            let map = LiveMap::within(
                namespace.to_owned(),
                clients,
                &self.terms.installation,
                self.terms.resync,
                self.terms.key.clone(),
                lookup(&self.lenses),
            );
            tokio::spawn(forward(map.clone(), self.secret_news.0.clone()));
            map
        });
        Ok(map.clone())
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
        self.scalers.ensure(fresh);
        self.kinds.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Notes that an Application is woken by changes of its inventory's objects, and what it says of them beside their
    /// bodies. While an object is handed over, two Applications have it. Comes from the inventory and the spec, never from
    /// metadata.
    pub(crate) fn own_objects(&self, key: &Key, set: &InventorySet) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        disown(&mut owners, key);
        let key_of_all = Arc::new(key.clone());
        for id in set.entries.keys() {
            owners.entry(id.clone()).or_default().push(key_of_all.clone());
        }
        drop(owners);
        let objects = set.entries.iter().map(|(id, entry)| {
            let ignored = entry.sealed.as_ref().map_or(&[][..], |sealed| &sealed.ignored);
            (id, &*entry.version, ignored)
        });
        self.lenses.replace(key, objects);
    }

    /// Sets by which expressions an Application's objects are judged. True when they were others: then its objects are to
    /// be owned anew.
    pub(crate) fn judge_by(&self, key: &Key, rules: &Arc<HealthRules>) -> bool {
        self.lenses.judge_by(key, rules)
    }

    /// True when a record was made by the expressions that judge the object now.
    pub(crate) fn judged(&self, id: &ObjectId, record: &LiveRecord) -> bool {
        self.lenses.of(id).judged(record)
    }

    /// Notes what an Application says of objects that are about to be written.
    pub(crate) fn prepare(&self, key: &Key, plan: &Plan) {
        let objects = plan.steps.iter().filter_map(|step| plan.rendered.get(&step.id));
        self.lenses
            .put(key, objects.map(|o| (&o.id, &*o.version, &*o.ignored)));
    }

    /// The Applications that are woken by changes of an object.
    pub(crate) fn applications_of(&self, id: &ObjectId) -> Vec<Key> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        let keys = owners.get(id).into_iter().flatten();
        keys.map(|key| Key::clone(key)).collect()
    }

    /// True when an Application's inventory has an object.
    pub(crate) fn has(&self, key: &Key, id: &ObjectId) -> bool {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners
            .get(id)
            .is_some_and(|keys| keys.iter().any(|k| **k == *key))
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
        disown(
            &mut self.owners.write().unwrap_or_else(PoisonError::into_inner),
            key,
        );
        self.lenses.forget(key);
    }
}

fn lookup(lenses: &Arc<Lenses>) -> tidegate_cluster::watch::Lenses {
    let lenses = lenses.clone();
    Arc::new(move |id: &ObjectId| lenses.of(id))
}

/// Carries the changes of one map to the target they belong to, until that is gone.
async fn forward(map: LiveMap, news: mpsc::Sender<Vec<ObjectId>>) {
    loop {
        let changed = tokio::select! {
            () = news.closed() => return,
            changed = map.changes() => changed,
        };
        if news.send(changed).await.is_err() {
            return;
        }
    }
}

/// Nothing in here can be left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes an Application from all objects.
fn disown(owners: &mut HashMap<ObjectId, Vec<Arc<Key>>>, key: &Key) {
    owners.retain(|_, keys| {
        keys.retain(|k| **k != *key);
        !keys.is_empty()
    });
}
