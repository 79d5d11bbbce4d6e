//! What is known of the live objects: which kinds are watched, and when that is complete.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_cluster::LiveMap;
use tidegate_core::catalog::Gvk;
use tidegate_core::desired::Rendered;
use tidegate_core::ignore::Scaled;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Live, comparable};

use crate::target::Site;

/// How long the first list of a kind may take.
const SYNC: Duration = Duration::from_secs(30);
/// Most objects without a record that are asked for by name in one go: with a namespace thousands may go at once.
const MAX_ABSENT: usize = 100;

/// Kinds that are watched, with the map that does: `None` for the operator's own, else the namespace of the Secrets.
pub(crate) type Watched = BTreeMap<Option<String>, HashSet<Gvk>>;

impl Site {
    /// Live records of an inventory's objects.
    pub(crate) fn live_of(&self, set: &InventorySet) -> Live {
        self.records(set.entries.iter().map(|(id, entry)| (id, entry.version.as_str())))
    }

    /// Live records of these objects, each at the version that it is watched at.
    pub(crate) fn records<'a>(&self, objects: impl Iterator<Item = (&'a ObjectId, &'a str)>) -> Live {
        let mut live = Live::new();
        let mut by_namespace: BTreeMap<Option<&str>, Vec<(&ObjectId, &str)>> = BTreeMap::new();
        for (id, version) in objects {
            by_namespace
                .entry(self.apart(id))
                .or_default()
                .push((id, version));
        }
        for objects in by_namespace.into_values() {
            if let Ok(map) = self.map_of(objects[0].0) {
                live.extend(map.snapshot_for(objects));
            }
        }
        live
    }

    /// Watches the kinds of these objects from now on. Kinds that are not served are left to the caller.
    pub(crate) fn watch_kinds<'a>(&self, objects: impl Iterator<Item = (&'a ObjectId, &'a str)>) -> Watched {
        let catalog = self.catalog();
        let mut watched = Watched::new();
        for (id, version) in objects {
            let gvk = Gvk::new(&id.group, version, &id.kind);
            let place = self.apart(id).map(str::to_owned);
            let (Some(info), Ok(map)) = (catalog.get(&gvk), self.map_of(id)) else {
                continue;
            };
            let kinds = watched.entry(place).or_default();
            if !kinds.contains(&gvk) {
                map.ensure(&gvk, info);
                kinds.insert(gvk);
            }
        }
        watched
    }

    /// Watches the kinds of an inventory and waits until what is known of them is complete.
    pub(crate) async fn sync_kinds(&self, set: &InventorySet) -> Result<(), String> {
        let objects = set.entries.iter().map(|(id, entry)| (id, entry.version.as_str()));
        self.synced(self.watch_kinds(objects)).await
    }

    /// What autoscalers scale. Waits until that is known.
    pub(crate) async fn scaled(&self) -> Result<Arc<Scaled>, String> {
        self.scalers.scaled(SYNC).await.map_err(|e| e.to_string())
    }

    /// Objects of an inventory whose replicas an autoscaler sets, as far as that is known now.
    pub(crate) fn scaled_of(&self, set: &InventorySet) -> BTreeSet<ObjectId> {
        let scaled = self.scalers.known();
        let ours = scaled.keys().filter(|id| set.entries.contains_key(*id));
        ours.cloned().collect()
    }

    /// As [`Site::sync_kinds`], for a desired set.
    pub(crate) async fn sync_desired(&self, rendered: &Rendered) -> Result<(), String> {
        let objects = rendered
            .objects
            .iter()
            .map(|object| (&object.id, &*object.version));
        self.synced(self.watch_kinds(objects)).await
    }

    async fn synced(&self, watched: Watched) -> Result<(), String> {
        for (namespace, gvks) in watched {
            let map = self.map_in(namespace.as_deref())?;
            if let Some(failure) = gvks.iter().find_map(|gvk| map.failure(gvk)) {
                return Err(failure);
            }
            let gvks: Vec<Gvk> = gvks.into_iter().collect();
            map.wait_synced(&gvks, SYNC).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Reads those objects again that the watch brought before it was known which of their fields others may set, or by
    /// what their health is judged, and those that it does not have: somebody may have taken their label while nobody
    /// looked.
    pub(crate) async fn reread(&self, set: &InventorySet) -> Result<(), String> {
        let live = self.live_of(set);
        let mut absent = 0;
        for (id, entry) in set.kept() {
            let unsure = match live.get(id) {
                Some(record) => {
                    let sealed = entry.sealed.as_ref();
                    let same_fields = sealed.is_none_or(|sealed| comparable(sealed, record));
                    !(record.deleting || same_fields && self.judged(id, record))
                }
                None => {
                    absent += usize::from(entry.sealed.is_some());
                    entry.sealed.is_some() && absent <= MAX_ABSENT
                }
            };
            if unsure {
                let read = self.map_of(id)?.reread(id, &entry.version).await;
                read.map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// The map that watches an object.
    pub(super) fn map_of(&self, id: &ObjectId) -> Result<LiveMap, String> {
        self.map_in(self.apart(id))
    }

    fn map_in(&self, namespace: Option<&str>) -> Result<LiveMap, String> {
        match (namespace, self.user.as_deref()) {
            (Some(namespace), Some(user)) => self.secrets_of(namespace, user),
            _ => Ok(self.live.clone()),
        }
    }

    /// The namespace of an object that is watched apart, as the account that applies it.
    fn apart<'a>(&self, id: &'a ObjectId) -> Option<&'a str> {
        let apart = self.terms.secrets_as_tenant && self.user.is_some();
        (apart && id.group.is_empty() && &*id.kind == "Secret").then_some(&*id.namespace)
    }
}
