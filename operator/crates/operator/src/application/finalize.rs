//! Deleting an Application: its objects go, or stay, as `deletionPolicy` says; then the inventory, then the finalizer.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_api::application::DeletionPolicy;
use tidegate_api::release::Phase;
use tidegate_core::gate::{self, Asking, Decision};
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::teardown;
use tidegate_core::record::{self, failure_line};
use tidegate_core::wave::due;

use crate::application::gate::Facts;
use crate::application::handover::Me;
use crate::application::part::next_look;
use crate::application::{AppState, inventory, keeping, outcome, release, status};
use crate::state::{Again, Operator};
use crate::store::Key;
use crate::target::Site;
use crate::targets::Trouble;

/// One step towards the end. The finalizer goes only when nothing is left to delete.
pub(crate) async fn finalize(
    operator: &Operator,
    target: &Site,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
) -> Result<Again, String> {
    if !is_held(app) {
        return Ok(Again::Never);
    }
    end_release(operator, key, app, state).await;
    let set = state.inventory.clone().unwrap_or_default();
    let delete = deletes(app);
    let synced = target.sync_kinds(&set).await;
    let in_view = synced.is_ok();
    // Nothing that only stays running is waited for. An account that may see nothing any more still says of each object
    // whether it may delete it.
    if delete && target.user.is_none() {
        synced?;
    }
    let live = target.live_of(&set);
    let plan = teardown(&set, &live, delete, &operator.key);
    let me = Me {
        operator,
        target,
        key,
        owner,
    };
    // What another one wants stays until it has it; for a while, since the deletion waits for it.
    let plan = me.settle(&mut state.kept, plan, |_| false, &set, &live, None);
    let kept: Vec<String> = plan
        .forgotten
        .iter()
        .filter_map(|f| f.kept_because.map(|why| format!("{} ({why})", f.id)))
        .collect();
    // A suspension stops releases; deleting the Application is a person's own act and is not held by it.
    let mut facts = Facts {
        suspend: None,
        ..Facts::gather(operator, key, app, Some(&set))
    };
    facts.look_at(operator, target, &set, in_view);
    let verdict = gate::decide(plan, &facts.question(Asking::Teardown), Timestamp::now());
    let approved = match verdict.decision {
        Decision::Go(approved) => approved,
        Decision::Wait(wait) => {
            let again = wait.again.map_or(Again::Never, Again::at);
            cannot_delete(operator, key, app, &wait.why);
            return Ok(again);
        }
    };
    let due = due(approved.get(), &set, &live);
    if let Some(wait) = &due.waits {
        tracing::info!("{}", wait.line());
    }
    let part = approved.part(&due);
    let report = outcome::carry_out(operator, target, key, app, owner, state, &part).await?;
    let mut denied = 0;
    // The rights of another account are the tenant's to give: without them nobody can delete what it made.
    if !report.denied.is_empty() && (target.user.is_some() || target.place.kube_config.is_some()) {
        let why = format!(
            "{} may not delete it",
            target.user.as_deref().unwrap_or("the kubeconfig's user")
        );
        denied = report.denied.len();
        orphan(operator, key, app, state, &why, |id| report.denied.contains(id)).await?;
    }
    if report.failed.len() > denied || report.not_attempted > 0 {
        let line = failure_line(&report.failed, report.failed.len());
        return Err(cannot_delete(operator, key, app, &line));
    }
    if !due.last && due.waits.is_none() {
        return Ok(next_look(state, part.get()));
    }
    if due.last && !kept.is_empty() {
        say_orphaned(operator, key, app, &kept.join(", "));
    }
    let left = state.inventory.as_ref().map_or(0, |i| i.entries.len());
    if left > 0 {
        // Finalizers of others hold them; their disappearance wakes us, the timer is for what the watch cannot see.
        return Ok(Again::after(Duration::from_secs(10)).sooner(state.kept.again()));
    }
    finish(operator, key, app, state).await
}

/// As [`finalize`], while the cluster that the objects are in cannot be acted on.
pub(crate) async fn without_site(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    trouble: &Trouble,
    wait: Duration,
) -> Result<Again, String> {
    if !is_held(app) {
        return Ok(Again::Never);
    }
    end_release(operator, key, app, state).await;
    let applied = state
        .inventory
        .as_ref()
        .is_some_and(|set| !set.entries.is_empty());
    match trouble {
        _ if !applied => {}
        _ if !deletes(app) => orphan(operator, key, app, state, "deletionPolicy", |_| true).await?,
        Trouble::Gone(why) => orphan(operator, key, app, state, why, |_| true).await?,
        Trouble::Refused(why) | Trouble::Unreachable(why) => {
            cannot_delete(operator, key, app, why);
            return Ok(Again::after(wait));
        }
        Trouble::NoAccount => {
            cannot_delete(
                operator,
                key,
                app,
                "it was applied as no ServiceAccount, and this installation demands one",
            );
            return Ok(Again::after(wait));
        }
    }
    finish(operator, key, app, state).await
}

fn is_held(app: &Application) -> bool {
    let mut finalizers = app.metadata.finalizers.iter().flatten();
    finalizers.any(|f| f == tidegate_api::names::FINALIZER_APPLICATION)
}

fn deletes(app: &Application) -> bool {
    match app.spec.deletion_policy {
        DeletionPolicy::Orphan => false,
        DeletionPolicy::Delete => true,
        DeletionPolicy::MirrorPrune => app.spec.prune,
    }
}

fn cannot_delete(operator: &Operator, key: &Key, app: &Application, why: &str) -> String {
    let note = format!(
        "cannot delete all objects: {why}; or set spec.deletionPolicy to Orphan to leave them running"
    );
    let about = status::reference(key, app);
    operator.event(about, true, "DeletionFailed", "Delete", &note);
    note
}

fn say_orphaned(operator: &Operator, key: &Key, app: &Application, what: &str) {
    let note = record::shorten(&format!("left running: {what}"), 900);
    operator.event(status::reference(key, app), false, "Orphaned", "Delete", &note);
}

/// Gives up the objects that `which` chooses, and says so.
async fn orphan(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    why: &str,
    which: impl Fn(&ObjectId) -> bool,
) -> Result<(), String> {
    let mut set = state.inventory.clone().unwrap_or_default();
    let lost: Vec<ObjectId> = set.entries.keys().filter(|id| which(id)).cloned().collect();
    for id in &lost {
        set.entries.remove(id);
    }
    let names: Vec<String> = lost.iter().map(ToString::to_string).collect();
    say_orphaned(operator, key, app, &format!("{} ({why})", names.join(", ")));
    inventory::store(operator, key, app, state, set).await
}

/// Nothing is left: the inventory goes, then the finalizer.
async fn finish(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
) -> Result<Again, String> {
    // Read anew after an error: the finalizer goes only when no shard is left.
    state.inventory = None;
    for shard in std::mem::take(&mut state.shards).objects {
        operator.delete_shard(&shard).await?;
    }
    keeping::remove_all(operator, key, app).await?;
    operator.set_finalizer(key, app, false).await?;
    operator.forget(key, state.registered.as_deref());
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
    if let Some(open) = state.waiting.as_mut().filter(|_| closed.is_ok()) {
        let message = "the Application is being deleted";
        closed = release::finish(operator, key, app, open, Phase::Superseded, message).await;
        operator.note_waiting(key, &[]);
    }
    match closed {
        Ok(()) => (state.open, state.waiting) = (None, None),
        Err(error) => tracing::warn!(application = %key, %error, "an unfinished Release could not be closed"),
    }
}
