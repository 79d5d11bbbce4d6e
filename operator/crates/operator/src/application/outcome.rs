//! Execution of an approved plan, and what its answers do to the inventory.

use std::collections::BTreeSet;
use std::time::Instant;

use tidegate_api::Application;
use tidegate_api::application::Adopt;
use tidegate_api::release::Failure;
use tidegate_cluster::{Class, Done, Outcome};
use tidegate_core::desired::DesiredObject;
use tidegate_core::gate::Approved;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::{Cause, Plan, Step};
use tidegate_core::record;
use tidegate_core::takeover::{self, Former};
use tokio::sync::mpsc;

use crate::application::{AppState, handover, inventory, release, status};
use crate::state::Operator;
use crate::store::Key;
use crate::target::{Site, Terms};
use crate::targets;

/// What came of an execution.
#[derive(Default)]
pub(crate) struct Report {
    /// Objects that could not be written, in the form of a record.
    pub(crate) failed: Vec<Failure>,
    /// True when a failure needs a person: trying again does not help.
    pub(crate) terminal: bool,
    /// Reason of the first failure that needs a person, else of the first failure.
    pub(crate) reason: Option<&'static str>,
    /// Objects that belong to others.
    pub(crate) conflicts: Vec<ObjectId>,
    /// Objects that the account has no right to.
    pub(crate) denied: Vec<ObjectId>,
    /// Steps that were not tried, because an earlier stage failed or leadership was lost.
    pub(crate) not_attempted: usize,
}

impl Report {
    /// True when everything was written.
    pub(crate) fn complete(&self) -> bool {
        self.failed.is_empty() && self.not_attempted == 0
    }
}

/// Writes the intended inventory, carries the plan out, seals the inventory.
pub(crate) async fn carry_out(
    operator: &Operator,
    target: &Site,
    key: &Key,
    app: &Application,
    owner: &Owner,
    state: &mut AppState,
    approved: &Approved<Plan>,
) -> Result<Report, String> {
    let plan = approved.get();
    let before = state.inventory.clone().unwrap_or_default();
    if !before.entries.is_empty() && before.place.kube_config != target.place.kube_config {
        return Err("what was applied is in another cluster; this is a bug, please report it".to_owned());
    }
    let former_user = former_user(target, key, &before);
    let mut intended = plan.intended(&before);
    if before.entries.is_empty() {
        intended.place = target.place.clone();
    }
    if let Some(maker) = state.open.as_ref().map(release::Open::maker) {
        plan.made_by(maker, &before, &mut intended);
    }
    inventory::store(operator, key, app, state, intended).await?;
    target.prepare(key, plan);
    target.watch_kinds(plan.steps.iter().map(|s| (&s.id, &*s.version)));
    let started = Instant::now();
    let (sender, mut outcomes) = mpsc::channel(256);
    let mut set = state.inventory.clone().unwrap_or_default();
    let (mut report, mut adopted) = (Report::default(), Vec::new());
    let health = state.expressions.rules.clone();
    let claim = |other: &Owner, id: &ObjectId| operator.claim(target, other, id);
    let terms = Terms {
        owner,
        // A Job that somebody else made is no run of a hook, and is left alone.
        adopt: if plan.steps.iter().any(|step| step.run.is_some()) {
            Adopt::Never
        } else {
            app.spec.adopt
        },
        claim: &claim,
        health: &health,
        concurrency: operator.settings.apply_concurrency,
        former_user: former_user.as_deref(),
    };
    let execution = target.execute(approved, terms, sender);
    let mut made = BTreeSet::new();
    let collect = async {
        while let Some(outcome) = outcomes.recv().await {
            if outcome.result.is_ok() {
                made.insert(outcome.id.clone());
            }
            // A definition is made before it is found not to be Established.
            if !made.contains(&outcome.id) && was_never_made(&before, &outcome) {
                set.entries.remove(&outcome.id);
            }
            adopted.extend(absorb(target, &mut set, &mut report, plan, outcome));
        }
    };
    let (execution, ()) = tokio::join!(execution, collect);
    report.not_attempted = execution?.not_attempted;
    // While something of the former account waits for its deletion, that account deletes it.
    let whole = set.entries.keys().all(|id| plan.rendered.names(id));
    if report.complete() && !plan.more && whole {
        set.place = target.place.clone();
    }
    target.own_objects(key, &set);
    inventory::store(operator, key, app, state, set).await?;
    operator.metrics.stage("apply", started.elapsed());
    if !adopted.is_empty() {
        let note = record::shorten(&takeover::note(&adopted), 1000);
        operator.event(status::reference(key, app), false, "Adopted", "Release", &note);
    }
    // A kind that has just come or gone: else its objects would be watched only when the kinds are read the next time.
    if plan
        .steps
        .iter()
        .any(|step| &*step.id.kind == "CustomResourceDefinition")
        && let Err(error) = operator.refresh_catalog(target).await
    {
        tracing::warn!(%error, "the served kinds could not be read");
    }
    Ok(report)
}

/// What was applied as one account is deleted as that one, also after another has taken its place in the spec.
fn former_user(target: &Site, key: &Key, before: &InventorySet) -> Option<String> {
    if before.entries.is_empty() {
        return target.user.clone();
    }
    let account = before.place.service_account_name.as_deref();
    account.map(|account| targets::user(&key.namespace, account))
}

/// True when the API server has said no to the first creation of an object: there is nothing of ours to look after, and
/// perhaps no right to.
fn was_never_made(before: &InventorySet, outcome: &Outcome) -> bool {
    let refused = matches!(&outcome.result, Err(failure) if failure.class == Class::Terminal);
    refused && !before.entries.contains_key(&outcome.id)
}

/// Takes an outcome in. Returns from whom the object was taken over, if it was.
fn absorb(
    target: &Site,
    set: &mut InventorySet,
    report: &mut Report,
    plan: &Plan,
    outcome: Outcome,
) -> Option<(ObjectId, Former)> {
    let Outcome { id, result } = outcome;
    match result {
        Ok(Done::Applied {
            sealed,
            live,
            adopted_from,
            created,
        }) => {
            if let Some(entry) = set.entries.get_mut(&id) {
                target.record(&id, &entry.version, live);
                entry.sealed = Some(sealed);
                entry.prune = plan
                    .rendered
                    .get(&id)
                    .map(DesiredObject::prune_rule)
                    .unwrap_or_default();
                // What is new to the inventory and was there all the same was let go once, or is somebody's.
                let new = |step: &Step| step.id == id && step.cause == Cause::New;
                if adopted_from.is_some() || (!created && plan.steps.iter().any(new)) {
                    entry.made = None;
                }
            }
            return adopted_from.map(|from| (id, from));
        }
        Ok(Done::Deleted) => {
            target.forget_object(&id);
            // What an ended run came to stays known when its Job goes.
            let is_run = set.entries.get(&id).is_some_and(|entry| entry.run.is_some());
            let keeps = |step: &Step| step.id == id && step.run.is_some();
            if !(is_run && plan.steps.iter().any(keeps)) {
                set.entries.remove(&id);
            }
        }
        // What is not ours lives on, and whoever has it sees it.
        Ok(Done::NotOurs) => {
            set.entries.remove(&id);
        }
        Ok(Done::Deleting) => {}
        Err(failure) => {
            // It is another's: there is nothing of ours to look after.
            if failure.problem.reason == handover::CONFLICT {
                set.entries.remove(&id);
                report.conflicts.push(id.clone());
            }
            if failure.problem.reason == "Forbidden" {
                report.denied.push(id);
            }
            let terminal = !matches!(failure.class, Class::Transient | Class::Waiting);
            if terminal && !report.terminal {
                report.reason = None;
            }
            report.terminal |= terminal;
            report.reason.get_or_insert(failure.problem.reason);
            report
                .failed
                .extend(failure.problems().map(|problem| problem.to_failure()));
        }
    }
    None
}
