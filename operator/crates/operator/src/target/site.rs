//! A cluster, and whom we act as there.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_api::application::Adopt;
use tidegate_api::inventory::Place;
use tidegate_cluster::{ExecuteContext, Execution, Executor, Outcome};
use tidegate_core::catalog::Gvk;
use tidegate_core::desired::DesiredObject;
use tidegate_core::gate::Approved;
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::live::LiveRecord;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::plan::Plan;
use tidegate_core::problem::Problem;
use tidegate_core::recreate::Candidate;
use tidegate_core::standing::Claim;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::target::Target;

/// How long a CustomResourceDefinition may take to become Established.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// See the module's header. What does not depend on the account is the target's.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) target: Arc<Target>,
    /// User that every write, and every read that shapes one, is made as; the operator itself when absent.
    pub(crate) user: Option<String>,
    /// Both, as the inventory records them.
    pub(crate) place: Place,
}

impl Deref for Site {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

/// What a plan is carried out under, beside the plan.
pub(crate) struct Terms<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) adopt: Adopt,
    /// What another Application that an object names as its owner makes of it.
    pub(crate) claim: &'a (dyn Fn(&Owner, &ObjectId) -> Claim + Send + Sync),
    /// What judges the health of the objects beside the rules of kinds.
    pub(crate) health: &'a HealthRules,
    /// Mutations in flight within one stage.
    pub(crate) concurrency: usize,
    /// User that the objects were applied as, and are deleted as.
    pub(crate) former_user: Option<&'a str>,
}

impl Site {
    /// Carries an approved plan out.
    pub(crate) async fn execute(
        &self,
        approved: &Approved<Plan>,
        terms: Terms<'_>,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Result<Execution, String> {
        let catalog = self.catalog();
        let clients = |user| self.clients_of(user).map_err(|e| e.to_string());
        let context = ExecuteContext {
            catalog: &catalog,
            owner: terms.owner,
            adopt: terms.adopt,
            claim: terms.claim,
            remover: Some(clients(terms.former_user)?),
            health: terms.health,
            key: &self.terms.key,
            cancel: CancellationToken::new(),
            concurrency: terms.concurrency,
            established_timeout: ESTABLISHED,
        };
        Ok(self.actor()?.execute(approved, context, outcomes).await)
    }

    /// Sends as the account.
    fn actor(&self) -> Result<Executor, String> {
        let actor = self.clients_of(self.user.as_deref()).map_err(|e| e.to_string())?;
        Ok(Executor::new(actor, self.terms.lease.clone()))
    }

    /// Those of the candidates whose change is refused for immutable fields alone.
    pub(crate) async fn immutable(
        &self,
        candidates: &[Candidate<'_>],
        owner: &Owner,
    ) -> Result<BTreeSet<ObjectId>, String> {
        let found = self.actor()?.immutable(candidates, &self.catalog(), owner).await;
        found.map_err(|e| e.to_string())
    }

    /// What the API server refuses of a plan, asked without changing anything.
    pub(crate) async fn rehearse(&self, plan: &Plan) -> Result<Vec<Problem>, String> {
        let refused = self.actor()?.rehearse(plan, &self.catalog()).await;
        let refused = refused.map_err(|e| e.to_string())?;
        Ok(refused
            .iter()
            .flat_map(|failure| failure.problems().cloned())
            .collect())
    }

    /// Those of the objects that are there and are not ours.
    pub(crate) async fn present(
        &self,
        objects: &[&DesiredObject],
        owner: &Owner,
    ) -> Result<BTreeSet<ObjectId>, String> {
        let found = self.actor()?.present(objects, &self.catalog(), owner).await;
        found.map_err(|e| e.to_string())
    }

    /// An object as it is now, as whoever writes it sees it; `None` when it is not there.
    pub(crate) async fn find_object(&self, id: &ObjectId, version: &str) -> Result<Option<Value>, String> {
        let gvk = Gvk::new(&id.group, version, &id.kind);
        let Some(info) = self.catalog().get(&gvk).cloned() else {
            return Err(format!("{id}: the API server does not serve its kind"));
        };
        let clients = self.clients_of(self.user.as_deref()).map_err(|e| e.to_string())?;
        let found = clients.object(&gvk, &info.plural, id).await;
        found.map_err(|e| e.to_string())
    }

    /// Enters the answer to an apply at once, before the watch brings it.
    pub(crate) fn record(&self, id: &ObjectId, version: &str, record: LiveRecord) {
        if let Ok(map) = self.map_of(id) {
            map.record(id.clone(), version, record);
        }
    }

    /// Forgets an object of which a GET or a delete said that it is gone.
    pub(crate) fn forget_object(&self, id: &ObjectId) {
        if let Ok(map) = self.map_of(id) {
            map.forget(id);
        }
    }
}
