//! Controller of the status of policies. What it says is `core::policy_status`'s.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tidegate_api::policy::ReleasePolicyStatus;
use tidegate_api::{ClusterReleasePolicy, ReleasePolicy};
use tidegate_cluster::own::{Own, OwnKind};
use tidegate_core::policy::{CompiledPolicy, PolicyName};
use tidegate_core::policy_status::{Facts, write};
use tokio::time::Instant;

use crate::state::{Again, Operator};

/// Counts follow Applications with this delay: a thousand of them change the status once.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// After a write that failed.
const RETRY: Duration = Duration::from_secs(5);

impl Operator {
    /// An Application came, went or was labelled otherwise: policies bind others than before.
    pub(crate) fn recount_policies(&self) {
        for name in self.policies.names() {
            self.policy_queue.add_at(name, Instant::now() + DEBOUNCE);
        }
    }
}

/// Writes the status of one policy where it changed. Returns when to come again.
pub(crate) async fn reconcile(operator: &Operator, name: &PolicyName) -> Again {
    let Some(policy) = operator.policies.get(name) else {
        return Again::Never;
    };
    let written = match name {
        PolicyName::Cluster(own) => {
            let parts = |p: ClusterReleasePolicy| (p.metadata, p.status);
            bring(
                operator,
                &operator.own_cluster_policies,
                &policy,
                ("", own),
                parts,
            )
            .await
        }
        PolicyName::Namespaced(namespace, own) => {
            let parts = |p: ReleasePolicy| (p.metadata, p.status);
            bring(operator, &operator.own_policies, &policy, (namespace, own), parts).await
        }
    };
    match written {
        Ok(again) => again,
        Err(error) => {
            tracing::warn!(policy = %name, %error, "the status of a policy could not be written and is tried again");
            Again::after(RETRY)
        }
    }
}

async fn bring<K: OwnKind>(
    operator: &Operator,
    own: &Own<K>,
    policy: &CompiledPolicy,
    (namespace, name): (&str, &str),
    parts: impl Fn(K) -> (ObjectMeta, Option<ReleasePolicyStatus>),
) -> Result<Again, tidegate_cluster::Error> {
    let (metadata, before) = match own.get(namespace, name).await {
        Ok(Some(found)) => parts(found),
        Ok(None) => return Ok(Again::Never),
        // It is there and cannot be read as its kind: then it is known by its name alone.
        Err(_) if !policy.problems.is_empty() => (ObjectMeta::default(), None),
        Err(error) => return Err(error),
    };
    let bound = operator.applications.keys(|key, app| {
        let facts = operator.policies.facts(key, app.metadata.labels.as_ref());
        policy.binds(&facts)
    });
    let before = before.unwrap_or_default();
    let mut after = before.clone();
    let facts = Facts {
        generation: metadata.generation,
        applications: bound.len(),
        waiting: operator.policies.waiting_for(&policy.name),
        now: Timestamp::now(),
    };
    let until = write(&mut after, policy, &facts);
    let uid = metadata.uid.unwrap_or_default();
    own.patch_status(namespace, name, &uid, &before, &after).await?;
    Ok(until.map_or(Again::Never, Again::at))
}
