//! Carries out an approved plan: stage by stage, concurrently within a stage, every mutation conditional.
//!
//! Owns the order of sending and what an answer means for the inventory. May not decide what to do: the plan and
//! `core::ownership` do. Tells each outcome at once, so that the caller can seal what is done before the rest is.

mod body;
mod established;
mod over;
mod prove;
mod recreate;
mod rehearse;
mod remove;
mod report;
mod rewrite;
mod write;

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt as _;
use tidegate_api::application::Adopt;
use tidegate_core::catalog::Catalog;
use tidegate_core::desired::DesiredObject;
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::Approved;
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::inventory::Sealed;
use tidegate_core::live::LiveRecord;
use tidegate_core::object::ObjectId;
use tidegate_core::order::Stage;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::{Action, Plan, Step};
use tidegate_core::standing::Claim;
use tidegate_core::takeover::Former;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::connect::{Clients, MAX_IN_FLIGHT};
use crate::lease::LeaseGuard;

pub use report::Failure;

/// Sends approved plans to one API server.
#[derive(Clone)]
pub struct Executor {
    clients: Clients,
    lease: LeaseGuard,
}

/// What a plan is carried out with.
pub struct ExecuteContext<'a> {
    /// Served kinds; kinds of CRDs in the plan itself are added.
    pub catalog: &'a Catalog,
    /// The Application.
    pub owner: &'a Owner,
    /// `spec.adopt`.
    pub adopt: Adopt,
    /// What another Application that an object names as its owner makes of it.
    pub claim: &'a (dyn Fn(&Owner, &ObjectId) -> Claim + Send + Sync),
    /// Deletes with these instead: what was applied as another account goes as that one.
    pub remover: Option<Clients>,
    /// The expressions that judge the health of what was applied.
    pub health: &'a HealthRules,
    /// For the digests of what was applied.
    pub key: &'a DigestKey,
    /// Stops before the next object; what is in flight is waited for, since its answer must be recorded.
    pub cancel: CancellationToken,
    /// Objects in flight, at most [`MAX_IN_FLIGHT`].
    pub concurrency: usize,
    /// How long a CRD may take to become Established.
    pub established_timeout: Duration,
}

/// What became of one object. A CRD that was applied but is not Established in time gives two: `Applied`, then a
/// failure.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The object.
    pub id: ObjectId,
    /// What was done, or why not.
    pub result: Result<Done, Failure>,
}

/// A success.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each object in flight, and nearly always the large one"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Applied; to be sealed in the inventory.
    Applied {
        /// For the inventory.
        sealed: Sealed,
        /// The object as the answer has it.
        live: LiveRecord,
        /// From whom it was taken over.
        adopted_from: Option<Former>,
        /// True when it was not there before.
        created: bool,
    },
    /// Gone: the inventory forgets it.
    Deleted,
    /// It is there and is not ours, or not any more: the inventory forgets it.
    NotOurs,
    /// On its way out, held by finalizers or a grace period: it stays in the inventory until it is gone.
    Deleting,
}

/// The plan as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Objects applied, deleted or being deleted.
    pub done: usize,
    /// Objects with a failure.
    pub failed: usize,
    /// Objects not tried: an earlier stage failed, or it was cancelled.
    pub not_attempted: usize,
    /// True when cancellation or the loss of the lease cut it short.
    pub cancelled: bool,
}

impl Execution {
    /// True when every step was done.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.not_attempted == 0
    }
}

/// All that one step needs.
struct Run<'a> {
    clients: &'a Clients,
    lease: &'a LeaseGuard,
    ctx: &'a ExecuteContext<'a>,
    /// Served kinds with those of the plan's own CRDs.
    catalog: Catalog,
    /// Group and kind of the plan's own CRDs: such a kind may answer 404 for a moment.
    own_kinds: HashSet<(String, String)>,
    plan: &'a Plan,
}

impl Executor {
    /// An executor whose every mutation asks `lease`.
    pub fn new(clients: Clients, lease: LeaseGuard) -> Self {
        Self { clients, lease }
    }

    /// Carries the plan out and tells each outcome. A dropped receiver does not stop it.
    pub async fn execute(
        &self,
        approved: &Approved<Plan>,
        ctx: ExecuteContext<'_>,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Execution {
        let plan = approved.get();
        let (catalog, own_kinds) = with_own_kinds(ctx.catalog, plan);
        let run = Run {
            clients: &self.clients,
            lease: &self.lease,
            ctx: &ctx,
            catalog,
            own_kinds,
            plan,
        };
        let mut execution = Execution::default();
        for batch in batches(&plan.steps) {
            if execution.failed > 0 || execution.cancelled {
                execution.not_attempted += batch.len();
                continue;
            }
            run.batch(batch, &outcomes, &mut execution).await;
        }
        execution
    }
}

impl Run<'_> {
    async fn batch(&self, batch: &[Step], outcomes: &mpsc::Sender<Outcome>, execution: &mut Execution) {
        let width = self.ctx.concurrency.clamp(1, MAX_IN_FLIGHT);
        // Futures do nothing until their turn comes. A list of them, not a closure over the stream: the compiler cannot
        // show the latter to be `Send` for every lifetime.
        let turns: Vec<_> = batch.iter().map(|step| self.turn(step)).collect();
        let mut results = futures::stream::iter(turns).buffer_unordered(width);
        let mut crds = Vec::new();
        while let Some((step, result)) = results.next().await {
            let Some(result) = result else {
                execution.not_attempted += 1;
                execution.cancelled = true;
                continue;
            };
            match &result {
                Ok(Done::Applied { .. }) if is_crd(&step.id) => crds.push(&step.id),
                _ => {}
            }
            execution.count(&result);
            tell(outcomes, &step.id, result).await;
        }
        drop(results);
        for (id, failure) in self.wait_established(&crds).await {
            execution.done -= 1;
            execution.failed += 1;
            tell(outcomes, &id, Err(failure)).await;
        }
    }

    /// One step; `None` when it was not tried any more. Asked when its turn comes, not when the batch starts.
    async fn turn<'s>(&self, step: &'s Step) -> (&'s Step, Option<Result<Done, Failure>>) {
        let stop = self.ctx.cancel.is_cancelled() || !self.lease.may_write();
        (step, if stop { None } else { Some(self.step(step).await) })
    }

    async fn step(&self, step: &Step) -> Result<Done, Failure> {
        let object = self.plan.rendered.get(&step.id);
        match (&step.action, object) {
            (Action::Delete { uid }, _) => self.delete(step, uid.as_deref()).await,
            (Action::Create, Some(object)) => self.create(object).await,
            (Action::Update { uid }, Some(object)) => self.update(object, uid, step).await,
            (Action::Recreate { uid }, Some(object)) => self.recreate(object, step, uid.as_deref()).await,
            (Action::Create | Action::Update { .. } | Action::Recreate { .. }, None) => {
                Err(Failure::bug(&step.id, "the plan has no body for it"))
            }
        }
    }
}

impl Execution {
    fn count(&mut self, result: &Result<Done, Failure>) {
        match result {
            Ok(_) => self.done += 1,
            Err(failure) => {
                self.failed += 1;
                self.cancelled |= failure.problem.reason == "NotLeader";
            }
        }
    }
}

async fn tell(outcomes: &mpsc::Sender<Outcome>, id: &ObjectId, result: Result<Done, Failure>) {
    let id = id.clone();
    if outcomes.send(Outcome { id, result }).await.is_err() {
        tracing::debug!("nobody listens to outcomes any more");
    }
}

/// Steps that may run together: same wave and stage, and applies never with deletes.
fn batches(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    let kind = |step: &Step| {
        (
            step.wave,
            step.stage,
            matches!(step.action, Action::Delete { .. }),
        )
    };
    steps.chunk_by(move |a, b| kind(a) == kind(b))
}

fn with_own_kinds(catalog: &Catalog, plan: &Plan) -> (Catalog, HashSet<(String, String)>) {
    let mut catalog = catalog.clone();
    let mut own = HashSet::new();
    for crd in plan.rendered.objects.iter().filter(|o| is_crd(&o.id)) {
        catalog.insert_crd(&crd.body);
        own.insert(crd_kind(crd));
    }
    (catalog, own)
}

fn crd_kind(crd: &DesiredObject) -> (String, String) {
    let text = |pointer: &str| crd.body.pointer(pointer).and_then(serde_json::Value::as_str);
    let own = |pointer: &str| text(pointer).unwrap_or_default().to_owned();
    (own("/spec/group"), own("/spec/names/kind"))
}

fn is_crd(id: &ObjectId) -> bool {
    Stage::of(id) == Stage::Foundations && &*id.kind == "CustomResourceDefinition"
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
