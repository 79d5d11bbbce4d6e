//! An Application whose cluster was changed: what it had in the former one goes, as `spec.prune` says, with the account that
//! it was applied with. Only then is anything written to the new one, and only once the new set is known to be admissible.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::inventory::Place;
use tidegate_api::release::Phase;
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{self, Asking, Decision};
use tidegate_core::inventory::InventorySet;
use tidegate_core::plan::{Inputs, Live, Plan, plan, teardown};
use tidegate_core::record::failure_line;
use tidegate_core::recreate::{self, Found};
use tidegate_core::status::Progress;
use tidegate_core::wave::due;

use crate::application::act::cause;
use crate::application::gate::Facts;
use crate::application::handover::Me;
use crate::application::part::next_look;
use crate::application::status::Edits;
use crate::application::turn::Turn;
use crate::application::{AppState, inventory, outcome, release, status, waiting};
use crate::state::Again;
use crate::target::Site;
use crate::targets::{self, Reach, Trouble};

/// Wait for objects that others hold in the former cluster.
const HELD: std::time::Duration = std::time::Duration::from_secs(5);

/// True while what was applied is in another cluster than the one that the spec names.
pub(crate) fn is_elsewhere(state: &AppState, site: &Site) -> bool {
    let set = state.inventory.as_ref().filter(|set| !set.entries.is_empty());
    set.is_some_and(|set| set.place.kube_config != site.place.kube_config)
}

/// Nothing is taken from the former cluster before the gates let the set into the new one. `None` when nothing is left there.
pub(crate) async fn moves_away(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    rendered: &Arc<Rendered>,
) -> Result<Option<Again>, String> {
    if !is_elsewhere(state, turn.target) {
        state.leaves = false;
        return Ok(None);
    }
    if let Some(open) = state.open.as_mut() {
        let message = "the Application moves to another cluster";
        release::finish(
            turn.operator,
            turn.key,
            turn.app,
            open,
            Phase::Superseded,
            message,
        )
        .await?;
        state.open = None;
    }
    if !state.leaves {
        turn.target.sync_desired(rendered).await?;
        let plan = plan_anew(turn, rendered).await?;
        let trigger = cause(turn, state, rendered);
        let (answer, said) = waiting::consult(turn, state, rendered, plan).await?;
        if let Err(wait) = answer {
            let held = waiting::hold(turn, state, edits, rendered, said, &wait, trigger).await;
            return held.map(Some);
        }
        state.leaves = true;
    }
    leave_former(turn, state).await
}

/// The plan for a place where nothing was applied yet.
async fn plan_anew(turn: &Turn<'_>, rendered: &Arc<Rendered>) -> Result<Plan, String> {
    let (inventory, live) = (InventorySet::default(), Live::new());
    let absent = recreate::unknown(rendered, &inventory);
    let found = Found {
        present: turn.target.present(&absent, turn.owner).await?,
        ..Found::default()
    };
    let plan = plan(&Inputs {
        rendered,
        inventory: &inventory,
        live: &live,
        prune: turn.app.spec.prune,
        drift: turn.app.spec.drift.mode,
        additions: turn.app.spec.drift.additions,
        found: &found,
        now: Timestamp::now(),
        key: &turn.operator.key,
    });
    Ok(plan.placed(&turn.target.place, &turn.operator.key))
}

/// One step out of the former cluster; `None` when nothing is left there.
async fn leave_former(turn: &Turn<'_>, state: &mut AppState) -> Result<Option<Again>, String> {
    let set = state.inventory.clone().unwrap_or_default();
    if !is_elsewhere(state, turn.target) {
        return Ok(None);
    }
    if turn.operator.settings.tenant_mode && set.place.service_account_name.is_none() {
        state.obstacle = Some(Trouble::NoAccount.progress());
        return Ok(Some(Again::Never));
    }
    let (site, _turn) = match targets::reach(turn.operator, &turn.key.namespace, &set.place).await {
        Reach::Site(site, permit) => (site, permit),
        Reach::Busy(wait) => return Ok(Some(Again::after(wait))),
        Reach::Not(Trouble::Gone(why), _) => return forget(turn, state, &why).await.map(|()| None),
        Reach::Not(trouble, wait) => {
            state.obstacle = Some(trouble.progress());
            return Ok(Some(Again::after(wait)));
        }
    };
    let prune = turn.app.spec.prune;
    if prune {
        site.sync_kinds(&set).await?;
    }
    let live = site.live_of(&set);
    let plan = teardown(&set, &live, prune, &turn.operator.key);
    let me = Me {
        target: &site,
        ..Me::of(turn)
    };
    // Who stays there may want some of it.
    let plan = me.settle(&mut state.kept, plan, |_| false, &set, &live, None);
    let mut facts = Facts::gather(turn.operator, turn.key, turn.app, Some(&set));
    facts.look_at(turn.operator, &site, &set, prune);
    let verdict = gate::decide(plan, &facts.question(Asking::Move), Timestamp::now());
    let approved = match verdict.decision {
        Decision::Go(approved) => approved,
        Decision::Wait(wait) => {
            let message = format!("the objects in the former cluster stay: {}", wait.why);
            state.obstacle = Some(Progress::Waiting {
                reason: "Waiting",
                message,
            });
            return Ok(Some(wait.again.map_or(Again::Never, Again::at)));
        }
    };
    let due = due(approved.get(), &set, &live);
    let part = approved.part(&due);
    say_left(turn, part.get(), "stays in the former cluster");
    let report = outcome::carry_out(turn.operator, &site, turn.key, turn.app, turn.owner, state, &part).await;
    targets::settle(turn.operator, &turn.key.namespace, &site, report.is_err()).await;
    let report = report?;
    if !report.complete() {
        let line = failure_line(&report.failed, report.failed.len());
        return Err(format!(
            "what is in the former cluster cannot be deleted: {line}; set spec.prune to false to leave it there"
        ));
    }
    let left = state.inventory.as_ref().map_or(0, |set| set.entries.len());
    if left == 0 {
        settle_in(turn, state, turn.target.place.clone()).await?;
        return Ok(None);
    }
    state.obstacle = Some(Progress::Working {
        reason: "Moving",
        message: format!("{left} objects are still on their way out of the former cluster"),
    });
    let more = !due.last && due.waits.is_none();
    let next = if more {
        next_look(state, part.get())
    } else {
        Again::after(HELD)
    };
    Ok(Some(next))
}

/// The way to the former cluster is gone: what is there is nobody's from now on.
async fn forget(turn: &Turn<'_>, state: &mut AppState, why: &str) -> Result<(), String> {
    let set = state.inventory.clone().unwrap_or_default();
    let plan = teardown(&set, &Live::new(), false, &turn.operator.key);
    say_left(turn, &plan, &format!("is left running, since {why}"));
    let mut set = set;
    set.entries.clear();
    state.moved = true;
    set.place = turn.target.place.clone();
    inventory::store(turn.operator, turn.key, turn.app, state, set).await
}

async fn settle_in(turn: &Turn<'_>, state: &mut AppState, place: Place) -> Result<(), String> {
    let mut set = state.inventory.clone().unwrap_or_default();
    set.place = place;
    state.moved = true;
    inventory::store(turn.operator, turn.key, turn.app, state, set).await
}

fn say_left(turn: &Turn<'_>, plan: &Plan, why: &str) {
    let left: Vec<String> = plan.forgotten.iter().map(|f| f.id.to_string()).collect();
    if left.is_empty() {
        return;
    }
    let note = tidegate_core::record::shorten(&format!("{}: {why}", left.join(", ")), 900);
    let about = status::reference(turn.key, turn.app);
    turn.operator.event(about, false, "Orphaned", "Release", &note);
}
