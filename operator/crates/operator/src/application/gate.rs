//! What the gate is asked with: gathered from the watches at one moment. The answers are `core::gate`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tidegate_api::application::Quarantined;
use tidegate_api::{Application, Approval, Suspend};
use tidegate_core::gate::{
    self, AfterState, ApprovalFacts, Approved, Asking, Decision, FreezeFacts, OverrideFacts, Question,
    RevisionFacts, override_is_about, uncounted,
};
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy, PolicyName};

use crate::application::AppState;
use crate::application::fail::Fault;
use crate::application::turn::Turn;
use crate::state::Operator;
use crate::store::Key;
use crate::target::Site;

/// All that the gate is asked with.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) application: ApplicationFacts,
    pub(crate) applied: usize,
    pub(crate) uncounted: BTreeSet<ObjectId>,
    pub(crate) policies: Vec<Arc<CompiledPolicy>>,
    pub(crate) require_policy: bool,
    pub(crate) suspend: Option<Suspend>,
    pub(crate) revision: RevisionFacts,
    pub(crate) release: Option<String>,
    pub(crate) approvals: Vec<ApprovalFacts>,
    pub(crate) overrides: Vec<OverrideFacts>,
    pub(crate) freezes: Vec<FreezeFacts>,
    pub(crate) after: BTreeMap<(PolicyName, usize), AfterState>,
    pub(crate) quarantined: Vec<Quarantined>,
    pub(crate) unguarded: Option<String>,
    pub(crate) guarded_since: Option<Timestamp>,
}

impl Facts {
    /// What is known without looking at a commit: enough for all but a release.
    pub(crate) fn gather(
        operator: &Operator,
        key: &Key,
        app: &Application,
        inventory: Option<&InventorySet>,
    ) -> Self {
        let status = app.status.as_ref();
        let guard = operator.admission.state();
        let application = operator.policies.facts(key, app.metadata.labels.as_ref());
        let freezes = operator
            .policies
            .freezes_of(&application, &operator.settings.namespace);
        Self {
            policies: operator.policies.binding(&application),
            overrides: overrides(operator, &application),
            application,
            applied: inventory.map_or(0, |set| set.kept().count()),
            require_policy: operator.settings.require_policy,
            suspend: app.spec.suspend.clone(),
            freezes: freezes
                .into_iter()
                .map(|(name, freeze)| FreezeFacts {
                    name,
                    everywhere: freeze.metadata.namespace.as_deref() == Some(&operator.settings.namespace),
                    spec: freeze.spec.clone(),
                })
                .collect(),
            quarantined: status.map(|s| s.quarantined.clone()).unwrap_or_default(),
            unguarded: guard.why_not,
            guarded_since: guard.since,
            ..Self::default()
        }
    }

    /// Adds whose deletion takes nothing away: what is gone already, what goes with its namespace, Jobs of hooks. `live` is
    /// false where it is not known what is there.
    pub(crate) fn look_at(&mut self, operator: &Operator, site: &Site, set: &InventorySet, live: bool) {
        let limited = |policy: &Arc<CompiledPolicy>| policy.policy.limits.is_some();
        if !self.policies.iter().any(limited) {
            return;
        }
        let live = live.then(|| site.live_of(set));
        // Namespaces of other clusters are not watched.
        let terminating = match site.place.kube_config {
            None => operator.policies.terminating(),
            Some(_) => BTreeSet::new(),
        };
        self.uncounted = uncounted(set, live.as_ref(), &terminating);
    }

    /// Adds the Approvals of a Release.
    pub(crate) fn of_release(&mut self, operator: &Operator, key: &Key, release: &str) {
        self.release = Some(release.to_owned());
        let of =
            |at: &Key, approval: &Approval| at.namespace == key.namespace && approval.spec.release == release;
        let mut found: Vec<ApprovalFacts> = operator.policies.approvals.gather(|at, approval| {
            of(at, approval).then(|| ApprovalFacts {
                name: at.name.clone(),
                created: created(approval.metadata.creation_timestamp.as_ref()),
                spec: approval.spec.clone(),
            })
        });
        found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        self.approvals = found;
    }

    /// The question about one plan.
    pub(crate) fn question(&self, asking: Asking) -> Question<'_> {
        Question {
            asking,
            suspend: self.suspend.as_ref(),
            application: &self.application,
            applied: self.applied,
            uncounted: &self.uncounted,
            policies: &self.policies,
            require_policy: self.require_policy,
            revision: &self.revision,
            release: self.release.as_deref(),
            approvals: &self.approvals,
            overrides: &self.overrides,
            freezes: &self.freezes,
            after: &self.after,
            quarantined: &self.quarantined,
            unguarded: self.unguarded.as_deref(),
            guarded_since: self.guarded_since,
        }
    }
}

/// The Overrides of an Application: those of its namespace, and those of the operator's that name it.
fn overrides(operator: &Operator, application: &ApplicationFacts) -> Vec<OverrideFacts> {
    let home = &operator.settings.namespace;
    let mut found: Vec<OverrideFacts> = operator.policies.overrides.gather(|at, over| {
        override_is_about(&over.spec, &at.namespace, home, application).then(|| OverrideFacts {
            name: at.name.clone(),
            created: created(over.metadata.creation_timestamp.as_ref()),
            spec: over.spec.clone(),
        })
    });
    found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    found
}

fn created(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Asks the gates that stay on guard while a release is carried out.
pub(crate) fn go_on_with(turn: &Turn<'_>, state: &AppState, plan: Plan) -> Result<Approved<Plan>, Fault> {
    let facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    match gate::decide(plan, &facts.question(Asking::Begun), Timestamp::now()).decision {
        Decision::Go(approved) => Ok(approved),
        Decision::Wait(wait) => Err(Fault {
            reason: "WindowClosed",
            message: format!("it was cut off: {}", wait.why),
            applied: false,
        }),
    }
}
