//! What the controllers ask of the API server, with errors as lines for people.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use tidegate_api::inventory::InventorySpec;
use tidegate_api::{Application, Inventory, Release, names};
use tidegate_cluster::events::{News, Regarding};
use tidegate_cluster::own::{Own, OwnKind};
use tidegate_cluster::{ExecuteContext, Execution, Outcome};
use tidegate_core::additions::added_paths;
use tidegate_core::catalog::Gvk;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::Approved;
use tidegate_core::inventory::{self, InventorySet, layout_of};
use tidegate_core::live::{lost_paths, reduce};
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::{Cause, Live, Plan, Step, comparable};
use tidegate_core::schema::SchemaSet;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::application::label_value;
use crate::state::Operator;
use crate::store::Key;

/// How long the first list of a kind may take.
const SYNC: Duration = Duration::from_secs(30);
/// How long a CustomResourceDefinition may take to become Established.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// What is known of one drifted object, for people.
pub(crate) struct DriftedObject {
    pub(crate) id: ObjectId,
    /// Field manager that did it.
    pub(crate) manager: Option<String>,
    /// Paths of fields; empty for Secrets and deleted objects.
    pub(crate) paths: Vec<String>,
    /// One line of `status.drift.fields`.
    pub(crate) line: String,
}

impl Operator {
    /// Patches a status to what it should be; sends nothing when it is that already. True when something was sent.
    pub(crate) async fn write_status<K: OwnKind, S: Serialize>(
        &self,
        own: &Own<K>,
        key: &Key,
        uid: &str,
        before: &S,
        after: &S,
    ) -> Result<bool, String> {
        own.patch_status(&key.namespace, &key.name, uid, before, after)
            .await
            .map_err(|e| e.to_string())
    }

    /// Tells an Event. A standby is silent.
    pub(crate) fn event(
        &self,
        regarding: Regarding,
        warning: bool,
        reason: &'static str,
        action: &'static str,
        note: &str,
    ) {
        if self.lease.may_write() {
            self.recorder.publish(News {
                regarding,
                warning,
                reason,
                action,
                note: note.to_owned(),
            });
        }
    }

    /// Data of a Secret.
    pub(crate) async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let found = self
            .secrets
            .get(namespace, name)
            .await
            .map_err(|e| e.to_string())?;
        let secret = found.ok_or("does not exist; create it or correct the name")?;
        Ok(secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect())
    }

    /// Schemas of at least these group versions.
    pub(crate) async fn schemas(&self, wanted: &[(String, String)]) -> Result<SchemaSet, String> {
        self.schema_cache
            .schemas(&self.clients, wanted)
            .await
            .map_err(|e| e.to_string())
    }

    /// Live records of an inventory's objects.
    pub(crate) fn live_of(&self, set: &InventorySet) -> Live {
        self.live
            .snapshot_for(set.entries.iter().map(|(id, entry)| (id, entry.version.as_str())))
    }

    /// Watches the kinds of these objects from now on. Kinds that are not served are left to the caller.
    pub(crate) fn watch_kinds<'a>(&self, objects: impl Iterator<Item = (&'a ObjectId, &'a str)>) -> Vec<Gvk> {
        let catalog = self.catalog();
        let gvks: HashSet<Gvk> = objects
            .map(|(id, version)| Gvk::new(&id.group, version, &id.kind))
            .collect();
        let mut watched = Vec::new();
        for gvk in gvks {
            if let Some(info) = catalog.get(&gvk) {
                self.live.ensure(&gvk, info);
                watched.push(gvk);
            }
        }
        watched
    }

    /// Watches the kinds of an inventory and waits until what is known of them is complete.
    pub(crate) async fn sync_kinds(&self, set: &InventorySet) -> Result<(), String> {
        let objects = set.entries.iter().map(|(id, entry)| (id, entry.version.as_str()));
        self.synced(self.watch_kinds(objects)).await
    }

    /// Reads those objects again that the watch brought before it was known which of their fields others may set.
    pub(crate) async fn reread(&self, set: &InventorySet) -> Result<(), String> {
        let live = self.live_of(set);
        for (id, entry) in &set.entries {
            let (Some(sealed), Some(record)) = (&entry.sealed, live.get(id)) else {
                continue;
            };
            if !record.deleting && !comparable(sealed, record) {
                let read = self.live.reread(id, &entry.version).await;
                read.map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// As [`Operator::sync_kinds`], for a desired set.
    pub(crate) async fn sync_desired(&self, rendered: &Rendered) -> Result<(), String> {
        let objects = rendered
            .objects
            .iter()
            .map(|object| (&object.id, &*object.version));
        self.synced(self.watch_kinds(objects)).await
    }

    async fn synced(&self, gvks: Vec<Gvk>) -> Result<(), String> {
        if let Some(failure) = gvks.iter().find_map(|gvk| self.live.failure(gvk)) {
            return Err(failure);
        }
        self.live
            .wait_synced(&gvks, SYNC)
            .await
            .map_err(|e| e.to_string())
    }

    /// Carries an approved plan out.
    pub(crate) async fn execute(
        &self,
        approved: &Approved<Plan>,
        app: &Application,
        owner: &Owner,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Execution {
        let catalog = self.catalog();
        let lives = |other: &Owner| {
            self.applications
                .get(&Key::new(&other.namespace, &other.application))
                .is_some()
        };
        let context = ExecuteContext {
            catalog: &catalog,
            owner,
            adopt: app.spec.adopt,
            owner_lives: &lives,
            key: &self.key,
            cancel: CancellationToken::new(),
            concurrency: self.settings.apply_concurrency,
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

    /// Reads what drifted objects look like now, before they are put back. At most five are read.
    pub(crate) async fn describe_drift(&self, plan: &Plan) -> Vec<DriftedObject> {
        let drifted = plan
            .steps
            .iter()
            .filter(|s| matches!(s.cause, Cause::Drifted | Cause::Added | Cause::Missing));
        let mut described = Vec::new();
        for step in drifted.take(5) {
            described.push(self.describe_one(plan, step).await);
        }
        described
    }

    async fn describe_one(&self, plan: &Plan, step: &Step) -> DriftedObject {
        let id = step.id.clone();
        let Some(live) = self.read_object(&id, &step.version).await else {
            return DriftedObject {
                line: format!("{id} (deleted)"),
                manager: None,
                paths: Vec::new(),
                id,
            };
        };
        let object = plan.rendered.get(&id);
        let desired = object.map(|o| &o.body);
        let ignored = object.map(|o| &*o.ignored).unwrap_or_default();
        let secret = id.group.is_empty() && &*id.kind == "Secret";
        let paths = match (step.cause, &step.accepted) {
            _ if secret => Vec::new(),
            (Cause::Added, Some(accepted)) => added_paths(&live, &self.key, ignored, accepted, 3),
            _ => desired.map(|d| lost_paths(d, &live, 3)).unwrap_or_default(),
        };
        let record = reduce(&live, &self.key, Timestamp::now(), ignored);
        DriftedObject {
            manager: record.and_then(|(_, record)| record.last_foreign_manager),
            line: format!("{id} {}", paths.join(" ")).trim_end().to_owned(),
            paths,
            id,
        }
    }

    /// Releases of an Application's name.
    pub(crate) async fn list_releases(&self, key: &Key) -> Result<Vec<Release>, String> {
        let labels = format!("{}={}", names::LABEL_APPLICATION, label_value(&key.name));
        let mut releases = self
            .releases
            .list(&key.namespace, &labels)
            .await
            .map_err(|e| e.to_string())?;
        releases.retain(|r| r.spec.application == key.name);
        Ok(releases)
    }

    pub(crate) async fn create_release(&self, release: &Release) -> Result<Release, String> {
        self.releases.create(release).await.map_err(|e| e.to_string())
    }

    pub(crate) async fn delete_release(&self, namespace: &str, name: &str, uid: &str) -> Result<(), String> {
        self.releases
            .delete(namespace, name, uid)
            .await
            .map_err(|e| e.to_string())
    }

    /// The shards of an Application's inventory, leftovers included.
    pub(crate) async fn read_inventory(&self, key: &Key) -> Result<Vec<Inventory>, String> {
        let labels = format!("{}={}", names::LABEL_APPLICATION, label_value(&key.name));
        let mut shards = self
            .inventories
            .list(&key.namespace, &labels)
            .await
            .map_err(|e| e.to_string())?;
        shards.retain(|shard| shard.spec.application == key.name);
        Ok(shards)
    }

    /// Brings the stored shards to the wanted ones. Shards of other layouts go last: until then they hold (core's
    /// `inventory::Layout`).
    pub(crate) async fn write_inventory(
        &self,
        key: &Key,
        wanted: Vec<InventorySpec>,
        mut stored: Vec<Inventory>,
    ) -> Result<Vec<Inventory>, String> {
        let mut written = Vec::with_capacity(wanted.len());
        for spec in wanted {
            let same =
                |old: &Inventory| layout_of(&old.spec) == layout_of(&spec) && old.spec.shard == spec.shard;
            let at = stored.iter().position(same);
            let shard = match at.map(|at| stored.swap_remove(at)) {
                Some(old) if old.spec == spec => old,
                Some(old) => self
                    .inventories
                    .replace(&Inventory { spec, ..old })
                    .await
                    .map_err(|e| e.to_string())?,
                None => self
                    .inventories
                    .create_shard(shard(key, spec))
                    .await
                    .map_err(|e| e.to_string())?,
            };
            written.push(shard);
        }
        for old in stored {
            self.delete_shard(&old).await?;
        }
        Ok(written)
    }

    pub(crate) async fn delete_shard(&self, shard: &Inventory) -> Result<(), String> {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let meta = &shard.metadata;
        self.inventories
            .delete_shard(&text(&meta.namespace), &text(&meta.name), &text(&meta.uid))
            .await
            .map_err(|e| e.to_string())
    }

    /// Puts our finalizer on an Application, or takes it away.
    pub(crate) async fn set_finalizer(
        &self,
        key: &Key,
        app: &Application,
        present: bool,
    ) -> Result<(), String> {
        let has = app
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|f| f == names::FINALIZER_APPLICATION);
        if has == present {
            return Ok(());
        }
        let uid = app.metadata.uid.as_deref().unwrap_or_default();
        self.own_applications
            .set_finalizer(
                &key.namespace,
                &key.name,
                uid,
                names::FINALIZER_APPLICATION,
                present,
            )
            .await
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}

fn shard(key: &Key, spec: InventorySpec) -> Inventory {
    let label = (names::LABEL_APPLICATION.to_owned(), label_value(&key.name));
    Inventory {
        metadata: ObjectMeta {
            name: Some(inventory::shard_name(&spec)),
            namespace: Some(key.namespace.clone()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        spec,
    }
}
