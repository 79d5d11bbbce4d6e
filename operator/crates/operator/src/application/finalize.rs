//! Deleting an Application: its objects go, or stay, as `deletionPolicy` says; then the inventory, then the finalizer.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_api::application::DeletionPolicy;
use tidegate_api::release::Phase;
use tidegate_core::gate::{self, Decision};
use tidegate_core::ownership::Owner;
use tidegate_core::plan::teardown;
use tidegate_core::record::failure_line;

use crate::application::{AppState, inventory, outcome, release, status};
use crate::state::{Again, Operator};
use crate::store::Key;
use crate::target::Target;

/// One step towards the end. The finalizer goes only when nothing is left to delete.
pub(crate) async fn finalize(
    operator: &Operator,
    target: &Target,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
) -> Result<Again, String> {
    if !app
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|f| f == tidegate_api::names::FINALIZER_APPLICATION)
    {
        return Ok(Again::Never);
    }
    inventory::load(operator, target, key, state).await?;
    end_release(operator, key, app, state).await;
    let set = state.inventory.clone().unwrap_or_default();
    let delete = match app.spec.deletion_policy {
        DeletionPolicy::Orphan => false,
        DeletionPolicy::Delete => true,
        DeletionPolicy::MirrorPrune => app.spec.prune,
    };
    if delete {
        target.sync_kinds(&set).await?;
    }
    let live = target.live_of(&set);
    let plan = teardown(&set, &live, delete, &operator.key);
    let kept: Vec<String> = plan
        .forgotten
        .iter()
        .filter_map(|f| f.kept_because.map(|why| format!("{} ({why})", f.id)))
        .collect();
    // A suspension stops releases; deleting the Application is a person's own act and is not held by it.
    let Decision::Go(approved) = gate::decide(plan, None, Timestamp::now()) else {
        return Ok(Again::Never);
    };
    let report = outcome::carry_out(operator, target, key, app, owner, state, &approved).await?;
    if !report.complete() {
        let line = failure_line(&report.failed, report.failed.len());
        let note = format!(
            "cannot delete all objects: {line}; or set spec.deletionPolicy to Orphan to leave them running"
        );
        operator.event(
            status::reference(key, app),
            true,
            "DeletionFailed",
            "Delete",
            &note,
        );
        return Err(note);
    }
    let left = state.inventory.as_ref().map_or(0, |i| i.entries.len());
    if left > 0 {
        // Finalizers of others hold them; their disappearance wakes us, the timer is for what the watch cannot see.
        return Ok(Again::after(Duration::from_secs(10)));
    }
    if !kept.is_empty() {
        let note = format!("left running: {}", kept.join(", "));
        operator.event(status::reference(key, app), false, "Orphaned", "Delete", &note);
    }
    // Read anew after an error: the finalizer goes only when no shard is left.
    state.inventory = None;
    for shard in std::mem::take(&mut state.shards).objects {
        operator.delete_shard(&shard).await?;
    }
    operator.set_finalizer(key, app, false).await?;
    operator.forget(key);
    Ok(Again::Never)
}

/// Closes the record of a release that the deletion cuts short. Nothing waits for it: where it cannot be written, the
/// namespace is on its way out and the record with it.
async fn end_release(operator: &Operator, key: &Key, app: &Application, state: &mut AppState) {
    let mut closed = release::resume(operator, key, app, state).await;
    if let Some(open) = state.open.as_mut() {
        let message = "the Application is being deleted";
        closed = release::finish(operator, key, app, open, Phase::Superseded, message).await;
    }
    match closed {
        Ok(()) => state.open = None,
        Err(error) => tracing::warn!(application = %key, %error, "an unfinished Release could not be closed"),
    }
}
