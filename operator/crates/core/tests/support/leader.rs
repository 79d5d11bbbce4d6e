//! A leader as a state machine: which calls it would send next, and what it makes of an answer. Decisions are those of
//! `core`; the calls of a step are those of the executor in the cluster room, the inventory's those of the operator.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::application::{Adopt, DriftMode};
use tidegate_api::names;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, Rendered};
use tidegate_core::gate::{self, Asking, Decision, Question, RevisionFacts};
use tidegate_core::inventory::{InventorySet, Layout, Sealed};
use tidegate_core::live::reduce;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::{Owner, Takeover, applied_by_us, decide};
use tidegate_core::plan::{Action, Inputs, Live, Plan, Step, plan};
use tidegate_core::policy::ApplicationFacts;
use tidegate_core::recreate::Found;
use tidegate_core::standing::Claim;
use tidegate_core::wave::due;

use super::server::{Answer, Condition, Request, uid, version};
use super::{key, owner};

/// One operator process that believes to be the leader.
pub(crate) struct Leader {
    /// What it wants to run.
    pub(crate) commit: Arc<Rendered>,
    /// True when its last plan had nothing to do.
    pub(crate) quiet: bool,
    /// Objects that its plans left running on purpose.
    pub(crate) kept: Vec<ObjectId>,
    adopt: Adopt,
    inventory: InventorySet,
    stored_at: Option<u64>,
    phase: Phase,
}

enum Phase {
    Reading,
    Planning,
    Intending(Plan, InventorySet),
    Executing(Run),
    Sealing(InventorySet),
}

struct Run {
    plan: Plan,
    set: InventorySet,
    batches: VecDeque<Vec<Step>>,
    tasks: Vec<Task>,
    failed: bool,
}

struct Task {
    step: Step,
    call: Call,
}

enum Call {
    Apply(Condition),
    TakeOver,
    ReadBeforeDelete,
    Delete(String, String),
    ReadAfterDelete(String),
}

/// What became of a step.
enum Done {
    Applied(Value),
    Deleted,
    Deleting,
    Failed,
}

impl Leader {
    /// A process that has just started.
    pub(crate) fn new(commit: Arc<Rendered>, adopt: Adopt) -> Self {
        Self {
            commit,
            quiet: false,
            kept: Vec::new(),
            adopt,
            inventory: InventorySet::default(),
            stored_at: None,
            phase: Phase::Reading,
        }
    }

    /// Calls that may be sent now, in any order: within a stage steps run concurrently.
    pub(crate) fn requests(&self) -> Vec<Request> {
        match &self.phase {
            Phase::Reading => vec![Request::ReadInventory],
            Phase::Planning => vec![Request::Watch],
            Phase::Intending(_, set) | Phase::Sealing(set) => {
                vec![Request::WriteInventory(
                    self.stored_at,
                    set.to_specs("web", "uid", Layout::default()),
                )]
            }
            Phase::Executing(run) => run.tasks.iter().map(|task| run.request(task)).collect(),
        }
    }

    /// Takes the answer to one of [`Leader::requests`].
    pub(crate) fn answer(&mut self, slot: usize, answer: Answer) {
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        self.phase = match (phase, answer) {
            (Phase::Reading, Answer::Inventory(stored_at, set)) => {
                (self.stored_at, self.inventory) = (stored_at, set);
                Phase::Planning
            }
            (Phase::Planning, Answer::Live(live)) => self.planned(&live),
            (Phase::Intending(plan, set), Answer::Written(at)) => {
                (self.stored_at, self.inventory) = (Some(at), set);
                self.execute(plan)
            }
            (Phase::Sealing(set), Answer::Written(at)) => {
                (self.stored_at, self.inventory) = (Some(at), set);
                Phase::Planning
            }
            // A failed write leaves an unknown inventory behind: it is read anew.
            (Phase::Intending(..) | Phase::Sealing(_), Answer::Conflict) => Phase::Reading,
            (Phase::Executing(mut run), answer) => {
                run.absorb(slot, answer, self.adopt);
                self.next(run)
            }
            (_, answer) => panic!("an answer to nothing: {answer:?}"),
        };
    }

    fn planned(&mut self, live: &Live) -> Phase {
        let plan = plan(&Inputs {
            rendered: &self.commit,
            inventory: &self.inventory,
            live,
            prune: true,
            drift: DriftMode::Correct,
            // Taking additions away has requests of its own, which this model does not have.
            additions: DriftMode::Ignore,
            found: &Found::default(),
            now: Timestamp::UNIX_EPOCH,
            key: &key(),
        });
        self.quiet = plan.is_empty() && plan.forgotten.is_empty();
        if self.quiet {
            return Phase::Planning;
        }
        let (application, revision, after) = <(ApplicationFacts, RevisionFacts, _)>::default();
        let question = Question::unbound(Asking::Release, &application, &revision, &after);
        let Decision::Go(approved) = gate::decide(plan, &question, Timestamp::UNIX_EPOCH).decision else {
            panic!("nothing closes the gate");
        };
        let due = due(approved.get(), &self.inventory, live);
        let plan = approved.part(&due).get().clone();
        if plan.is_empty() && plan.forgotten.is_empty() {
            return Phase::Planning;
        }
        self.kept.extend(plan.forgotten.iter().map(|f| f.id.clone()));
        let set = plan.intended(&self.inventory);
        if set == self.inventory {
            self.execute(plan)
        } else {
            Phase::Intending(plan, set)
        }
    }

    fn execute(&mut self, plan: Plan) -> Phase {
        let kind = |step: &Step| {
            (
                step.wave,
                step.stage,
                matches!(step.action, Action::Delete { .. }),
            )
        };
        let batches = plan
            .steps
            .chunk_by(|a, b| kind(a) == kind(b))
            .map(<[Step]>::to_vec)
            .collect();
        self.next(Run {
            plan,
            set: self.inventory.clone(),
            batches,
            tasks: Vec::new(),
            failed: false,
        })
    }

    fn next(&mut self, mut run: Run) -> Phase {
        if run.tasks.is_empty() && !run.failed {
            let batch = run.batches.pop_front().unwrap_or_default();
            run.tasks = batch.into_iter().map(Task::new).collect();
        }
        if !run.tasks.is_empty() {
            return Phase::Executing(run);
        }
        if run.set == self.inventory {
            Phase::Planning
        } else {
            Phase::Sealing(run.set)
        }
    }
}

impl Task {
    fn new(step: Step) -> Self {
        let call = match &step.action {
            Action::Create => Call::Apply(Condition::Absent),
            Action::Update { uid } => Call::Apply(Condition::Uid(uid.clone())),
            Action::Delete { .. } | Action::Recreate { .. } => Call::ReadBeforeDelete,
        };
        Self { step, call }
    }
}

impl Run {
    fn request(&self, task: &Task) -> Request {
        let id = task.step.id.clone();
        match &task.call {
            Call::Apply(condition) => Request::Apply(Box::new(self.object(&id).clone()), condition.clone()),
            Call::TakeOver | Call::ReadBeforeDelete | Call::ReadAfterDelete(_) => Request::Get(id),
            Call::Delete(uid, rv) => Request::Delete(id, uid.clone(), rv.clone()),
        }
    }

    fn object(&self, id: &ObjectId) -> &DesiredObject {
        self.plan.rendered.get(id).unwrap()
    }

    fn absorb(&mut self, slot: usize, answer: Answer, adopt: Adopt) {
        let Task { step, call } = self.tasks.remove(slot);
        match proceed(&step, call, answer, adopt) {
            Ok(call) => self.tasks.push(Task { step, call }),
            Err(done) => self.record(&step.id, done),
        }
    }

    /// What an outcome does to the inventory.
    fn record(&mut self, id: &ObjectId, done: Done) {
        match done {
            Done::Applied(live) => {
                let (_, record) = reduce(&live, &key(), Timestamp::UNIX_EPOCH, &[]).unwrap();
                let object = self.object(id).clone();
                let entry = self.set.entries.get_mut(id).unwrap();
                entry.prune = object.prune;
                entry.sealed = Some(Sealed {
                    uid: record.uid,
                    desired: object.digest,
                    ours: record.ours.unwrap_or_default(),
                    foreign: Some(record.foreign),
                    ignored: record.ignored,
                    apply: ApplyRule::Always,
                });
            }
            Done::Deleted => {
                self.set.entries.remove(id);
            }
            Done::Deleting => {}
            Done::Failed => self.failed = true,
        }
    }
}

/// The next call of a step, or its end.
fn proceed(step: &Step, call: Call, answer: Answer, adopt: Adopt) -> Result<Call, Done> {
    match (call, answer) {
        (Call::Apply(_), Answer::Applied(live)) => Err(Done::Applied(live)),
        (Call::Apply(Condition::Absent | Condition::Read(..)), Answer::Conflict) => Ok(Call::TakeOver),
        (Call::Apply(_), Answer::Conflict) | (Call::TakeOver, Answer::Object(None)) => Err(Done::Failed),
        (Call::TakeOver, Answer::Object(Some(live))) => match decide(&live, &owner("web"), adopt, claim) {
            Takeover::Resume | Takeover::Adopt { .. } => {
                Ok(Call::Apply(Condition::Read(uid(&live), version(&live))))
            }
            Takeover::Refuse { .. } => Err(Done::Failed),
        },
        (Call::ReadBeforeDelete, Answer::Object(None)) => Err(Done::Deleted),
        (Call::ReadBeforeDelete, Answer::Object(Some(live))) => {
            if !is_ours(step, &live) {
                return Err(Done::Deleted);
            }
            if live["metadata"]["deletionTimestamp"].is_string() {
                return Err(Done::Deleting);
            }
            Ok(Call::Delete(uid(&live), version(&live)))
        }
        (Call::Delete(uid, _), Answer::Deleted) => Ok(Call::ReadAfterDelete(uid)),
        (Call::Delete(..), Answer::NotFound) => Err(Done::Deleted),
        (Call::Delete(..), Answer::Conflict) => Ok(Call::ReadBeforeDelete),
        (Call::ReadAfterDelete(wanted), Answer::Object(live)) => {
            let held = live.is_some_and(|live| uid(&live) == wanted);
            Err(if held { Done::Deleting } else { Done::Deleted })
        }
        (_, answer) => panic!("an answer to nothing: {answer:?}"),
    }
}

/// Application `other` lives and keeps what it has; any other is gone.
fn claim(owner: &Owner) -> Claim {
    if owner.application == "other" {
        Claim::Wanted
    } else {
        Claim::Gone
    }
}

fn is_ours(step: &Step, live: &Value) -> bool {
    match &step.action {
        Action::Delete { uid: Some(wanted) } => uid(live) == *wanted,
        _ => {
            let annotation = live["metadata"]["annotations"][names::ANNOTATION_OWNER].as_str();
            annotation == Some(owner("web").annotation().as_str()) && applied_by_us(live)
        }
    }
}
