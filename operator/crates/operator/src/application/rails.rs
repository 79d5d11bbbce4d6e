//! What the platform team lets the namespace of an Application release at all. The answers are `core::guard`'s.

use std::sync::Arc;

use tidegate_core::desired::Rendered;
use tidegate_core::guard::{self, Route};
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};
use tidegate_core::problem::Problem;
use tidegate_git::Remote;

use crate::application::turn::Turn;

/// The guard rails of an Application, with the way that its objects take.
pub(crate) struct Rails {
    policies: Vec<Arc<CompiledPolicy>>,
    application: ApplicationFacts,
    source: String,
    namespace: Option<String>,
    kube_config: Option<String>,
}

impl Rails {
    pub(crate) fn of(turn: &Turn<'_>, remote: &Remote) -> Self {
        let application = turn
            .operator
            .policies
            .facts(turn.key, turn.app.metadata.labels.as_ref());
        let target = &turn.app.spec.target;
        Self {
            policies: turn.operator.policies.binding(&application),
            application,
            // What is really read, not what a spec says.
            source: remote.url.to_string(),
            namespace: target.namespace.clone(),
            kube_config: target.kube_config.as_ref().map(|c| c.secret_ref.name.clone()),
        }
    }

    fn route(&self) -> Route<'_> {
        Route {
            application: &self.application,
            source: &self.source,
            namespace: self.namespace.as_deref(),
            kube_config: self.kube_config.as_deref(),
        }
    }

    /// What is not allowed of source and target. Asked before anything is rendered.
    pub(crate) fn refuse_route(&self) -> Vec<Problem> {
        guard::refuse_route(&self.policies, &self.route())
    }

    /// What is not allowed of the objects.
    pub(crate) fn refuse_objects(&self, rendered: &Rendered) -> Vec<Problem> {
        guard::refuse_objects(&self.policies, &self.route(), rendered)
    }

    /// Tells them from others: a commit that was judged under the same ones is not judged again.
    pub(crate) fn fingerprint(&self) -> String {
        guard::fingerprint(&self.policies, &self.route())
    }
}
