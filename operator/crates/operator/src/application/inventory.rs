//! Inventory of one Application, between memory and the cluster.

use tidegate_api::Application;
use tidegate_api::inventory::InventorySpec;
use tidegate_core::inventory::InventorySet;

use crate::application::AppState;
use crate::state::Operator;
use crate::store::Key;

/// Reads the inventory on the first reconcile after a start.
pub(crate) async fn load(operator: &Operator, key: &Key, state: &mut AppState) -> Result<(), String> {
    if state.inventory.is_some() {
        return Ok(());
    }
    let shards = operator.read_inventory(key).await?;
    let specs: Vec<InventorySpec> = shards.iter().map(|shard| shard.spec.clone()).collect();
    let set = InventorySet::from_specs(&specs).map_err(|e| e.to_string())?;
    state.shards = shards;
    operator.own_objects(key, set.entries.keys());
    state.inventory = Some(set);
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
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let specs = set.to_specs(&key.name, uid);
    // A failed write leaves unknown shards behind: they are read anew.
    let stored = std::mem::take(&mut state.shards);
    state.inventory = None;
    state.shards = operator.write_inventory(key, specs, stored).await?;
    operator.own_objects(key, set.entries.keys());
    state.inventory = Some(set);
    Ok(())
}
