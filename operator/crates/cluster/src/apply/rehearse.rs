//! What only admission knows: changes are sent as they will be, with the wish that nothing is stored.
//!
//! Rule: semantics.md "Plan, admissibility, limits".

use std::collections::BTreeSet;

use futures::StreamExt as _;
use http::Method;
use tidegate_api::names;
use tidegate_core::catalog::{Catalog, Gvk};
use tidegate_core::desired::DesiredObject;
use tidegate_core::ignore::body_over;
use tidegate_core::plan::{Action, Plan};

use super::Executor;
use super::body::{Condition, serialise};
use super::report::Failure;
use crate::call::Call;
use crate::connect::MAX_IN_FLIGHT;
use crate::error::{Class, Error};
use crate::paths;

/// Refusals that say nothing about the object itself: whose it is, and whether it is still there, is decided when it is
/// written.
const PASSED_OVER: [&str; 2] = ["Conflict", "NotFound"];
/// Group of the kinds that give rights.
const RIGHTS: &str = "rbac.authorization.k8s.io";

impl Executor {
    /// What the API server refuses of a plan's creations and updates. One request for each; one more where fields of the
    /// object are left to others. Objects of namespaces and kinds that the plan itself makes cannot be asked about.
    ///
    /// # Errors
    /// When it cannot be told now.
    pub async fn rehearse(&self, plan: &Plan, catalog: &Catalog) -> Result<Vec<Failure>, Error> {
        let made: BTreeSet<&str> = plan
            .steps
            .iter()
            .filter(|step| &*step.id.kind == "Namespace" && step.id.group.is_empty())
            .map(|step| &*step.id.name)
            .collect();
        let mut asked = Vec::new();
        for step in &plan.steps {
            let Some(object) = plan.rendered.get(&step.id) else {
                continue;
            };
            let uid = match &step.action {
                Action::Create => None,
                Action::Update { uid } => Some(uid.as_str()),
                Action::Recreate { .. } | Action::Delete { .. } => continue,
            };
            if !made.contains(&*step.id.namespace) {
                asked.push(self.is_refused(object, uid, catalog));
            }
        }
        let mut answers = futures::stream::iter(asked).buffered(MAX_IN_FLIGHT);
        let mut refused = Vec::new();
        while let Some(answer) = answers.next().await {
            refused.extend(answer?);
        }
        // What is forbidden now may be allowed by then, where the plan itself gives rights.
        if plan.steps.iter().any(|step| &*step.id.group == RIGHTS) {
            refused.retain(|failure| failure.problem.reason != "Forbidden");
        }
        Ok(refused)
    }

    async fn is_refused(
        &self,
        object: &DesiredObject,
        uid: Option<&str>,
        catalog: &Catalog,
    ) -> Result<Option<Failure>, Error> {
        let gvk = Gvk::new(&object.id.group, &object.version, &object.id.kind);
        let Some(info) = catalog.get(&gvk) else {
            return Ok(None);
        };
        let path = paths::object(&gvk, &info.plural, &object.id);
        let mut body = object.body.clone();
        if uid.is_some() && !object.ignored.is_empty() {
            let Some(live) = self.clients.find(&object.id.kind, path.clone()).await? else {
                return Ok(None);
            };
            body = body_over(&object.body, &object.ignored, &live);
        }
        let condition = uid.map_or(Condition::Absent, Condition::Uid);
        let path = format!(
            "{path}?fieldManager={}&force=true&dryRun=All",
            names::FIELD_MANAGER
        );
        let call = Call::mutate("dry-run", Method::PATCH, &object.id.kind, path, &self.lease)
            .body("application/apply-patch+yaml", serialise(&body, condition));
        let Err(error) = self.clients.call(&call).await else {
            return Ok(None);
        };
        let failure = Failure::of(&object.id, Some(object), &error);
        match error.class() {
            _ if PASSED_OVER.contains(&failure.problem.reason) => Ok(None),
            Class::Terminal => Ok(Some(failure)),
            // A namespace, a kind or a quota may come before it is written.
            Class::Waiting => Ok(None),
            Class::Transient | Class::Bug => Err(error),
        }
    }
}
