//! What the gate is asked with: gathered from the watches at one moment. The answers are `core::gate`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_api::application::Quarantined;
use tidegate_api::{Application, Suspend};
use tidegate_core::gate::{
    AfterState, ApprovalFacts, Asking, FreezeFacts, OverrideFacts, Question, RevisionFacts,
};
use tidegate_core::inventory::InventorySet;
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy, PolicyName};

use crate::state::Operator;
use crate::store::Key;

/// All that the gate is asked with.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) application: ApplicationFacts,
    pub(crate) applied: usize,
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
}

impl Facts {
    /// What the policies of an Application know without looking at a commit: enough for all but a release.
    pub(crate) fn gather(
        operator: &Operator,
        key: &Key,
        app: &Application,
        inventory: Option<&InventorySet>,
    ) -> Self {
        let _ = operator;
        let status = app.status.as_ref();
        Self {
            application: ApplicationFacts {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                labels: app.metadata.labels.clone().unwrap_or_default(),
                ..ApplicationFacts::default()
            },
            applied: inventory.map_or(0, |set| set.kept().count()),
            suspend: app.spec.suspend.clone(),
            quarantined: status.map(|s| s.quarantined.clone()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The question about one plan.
    pub(crate) fn question(&self, asking: Asking) -> Question<'_> {
        Question {
            asking,
            suspend: self.suspend.as_ref(),
            application: &self.application,
            applied: self.applied,
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
        }
    }
}
