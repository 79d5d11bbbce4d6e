//! Inventory of one Application, between memory and the cluster.

use tidegate_api::inventory::InventorySpec;
use tidegate_api::{Application, Inventory};
use tidegate_core::inventory::{InventorySet, Layout};

use crate::application::AppState;
use crate::state::Operator;
use crate::store::Key;

/// An inventory's objects in the cluster.
#[derive(Default)]
pub(crate) struct Shards {
    /// As they are stored, leftovers of other layouts included.
    pub(crate) objects: Vec<Inventory>,
    layout: Layout,
    next_layout: i64,
}

/// Reads the inventory on the first reconcile after a start, and after a write that failed.
pub(crate) async fn load(operator: &Operator, key: &Key, state: &mut AppState) -> Result<(), String> {
    if state.inventory.is_some() {
        return Ok(());
    }
    let objects = operator.read_inventory(key).await?;
    let specs: Vec<InventorySpec> = objects.iter().map(|shard| shard.spec.clone()).collect();
    let stored = InventorySet::from_specs(&specs).map_err(|e| e.to_string())?;
    state.shards = Shards {
        objects,
        layout: stored.layout,
        next_layout: stored.next_layout,
    };
    state.inventory = Some(stored.set);
    state.registered = None;
    Ok(())
}

/// Writes a new state of the inventory; does nothing when it is the one in the cluster.
pub(crate) async fn store(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    set: InventorySet,
) -> Result<(), String> {
    if state.inventory.as_ref() == Some(&set) {
        return Ok(());
    }
    // A failed write leaves unknown shards behind: they are read anew.
    state.inventory = None;
    let old = std::mem::take(&mut state.shards);
    // A namespace on its way out takes no new shard.
    let layout = match app.metadata.deletion_timestamp {
        Some(_) => old.layout,
        None => old.layout.fit(set.entries.len(), old.next_layout.max(1)),
    };
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let specs = set.to_specs(&key.name, uid, layout);
    state.shards = Shards {
        objects: operator.write_inventory(key, specs, old.objects).await?,
        layout,
        next_layout: old.next_layout.max(layout.number + 1),
    };
    if let Some(target) = &state.registered {
        target.own_objects(key, &set);
    }
    state.inventory = Some(set);
    Ok(())
}
