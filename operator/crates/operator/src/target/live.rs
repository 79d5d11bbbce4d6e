//! What is known of the live objects: which kinds are watched, and when that is complete.

use std::collections::HashSet;
use std::time::Duration;

use tidegate_core::catalog::Gvk;
use tidegate_core::desired::Rendered;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Live, comparable};

use crate::target::Target;

/// How long the first list of a kind may take.
const SYNC: Duration = Duration::from_secs(30);

impl Target {
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
}
