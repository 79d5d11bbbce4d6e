//! What the policies of the cluster would say to a plan that is no commit yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use tidegate_api::release::Gate;
use tidegate_api::{Application, ClusterReleasePolicy, Freeze, Override, ReleasePolicy};
use tidegate_core::gate::{
    AfterState, Asking, Decision, FreezeFacts, OverrideFacts, Question, RevisionFacts, decide,
};
use tidegate_core::plan::Plan;
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy, PolicyName};
use tidegate_core::selector::selects;

use crate::command::Failure;
use crate::command::connect::Cluster;

/// The answer.
pub(super) struct Answer {
    pub(super) gates: Vec<Gate>,
    /// Why it would wait; `None` when it would go.
    pub(super) waits: Option<String>,
    /// What could not be looked at.
    pub(super) notes: Vec<String>,
}

/// Asks the gate as the operator would, as far as that is known.
pub(super) async fn ask(
    cluster: &Cluster,
    app: &Application,
    plan: Plan,
    applied: usize,
    home: &str,
) -> Result<Answer, Failure> {
    let mut notes = Vec::new();
    let application = facts(cluster, app, &mut notes).await;
    let policies = policies(cluster, &application, &mut notes).await?;
    let freezes = freezes(cluster, &application, home, &mut notes).await;
    let overrides: Vec<OverrideFacts> = cluster
        .list::<Override>(Some(&cluster.namespace), "")
        .await?
        .into_iter()
        .filter(|over| over.spec.application == application.name && over.spec.namespace.is_none())
        .map(|over| OverrideFacts {
            name: over.metadata.name.clone().unwrap_or_default(),
            created: over
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            spec: over.spec,
        })
        .collect();
    let nowhere = || AfterState::NotYet {
        message: "a directory is no commit: it was nowhere healthy yet".to_owned(),
    };
    let after: BTreeMap<(PolicyName, usize), AfterState> = policies
        .iter()
        .flat_map(|policy| (0..policy.policy.after.len()).map(|n| ((policy.name.clone(), n), nowhere())))
        .collect();
    let revision = RevisionFacts {
        unknown: Some("a directory is no commit: who wrote and signed it is not known".to_owned()),
        ..RevisionFacts::default()
    };
    let quarantined = app
        .status
        .as_ref()
        .map(|s| s.quarantined.clone())
        .unwrap_or_default();
    let question = Question {
        suspend: app.spec.suspend.as_ref(),
        applied,
        policies: &policies,
        overrides: &overrides,
        freezes: &freezes,
        quarantined: &quarantined,
        ..Question::unbound(Asking::Release, &application, &revision, &after)
    };
    let verdict = decide(plan, &question, Timestamp::now());
    let waits = match verdict.decision {
        Decision::Go(_) => None,
        Decision::Wait(wait) => Some(wait.why),
    };
    Ok(Answer {
        gates: verdict.gates,
        waits,
        notes,
    })
}

async fn facts(cluster: &Cluster, app: &Application, notes: &mut Vec<String>) -> ApplicationFacts {
    let namespace = cluster.namespace.clone();
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let read = cluster
        .within(&format!("get namespaces {namespace}"), api.get(&namespace))
        .await;
    let namespace_labels = match read {
        Ok(found) => Some(found.metadata.labels.unwrap_or_default()),
        Err(error) => {
            notes.push(format!(
                "labels of the namespace are not known, so that each policy that selects by them is taken to bind: {error}"
            ));
            None
        }
    };
    ApplicationFacts {
        namespace,
        name: app.metadata.name.clone().unwrap_or_default(),
        labels: app.metadata.labels.clone().unwrap_or_default(),
        namespace_labels,
    }
}

async fn policies(
    cluster: &Cluster,
    app: &ApplicationFacts,
    notes: &mut Vec<String>,
) -> Result<Vec<Arc<CompiledPolicy>>, Failure> {
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    let own: Vec<ReleasePolicy> = cluster.list(Some(&app.namespace), "").await?;
    let mut all: Vec<CompiledPolicy> = own
        .iter()
        .map(|p| CompiledPolicy::namespaced(&app.namespace, &named(&p.metadata.name), &p.spec))
        .collect();
    let api: Api<ClusterReleasePolicy> = Api::all(cluster.client.clone());
    let params = ListParams::default();
    match cluster
        .within("list clusterreleasepolicies.tidegate.io", api.list(&params))
        .await
    {
        Ok(found) => {
            let compiled = found
                .items
                .iter()
                .map(|p| CompiledPolicy::cluster(&named(&p.metadata.name), &p.spec));
            all.extend(compiled);
        }
        Err(error) => notes.push(format!("what cluster policies say is not known: {error}")),
    }
    all.retain(|policy| policy.binds(app));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all.into_iter().map(Arc::new).collect())
}

async fn freezes(
    cluster: &Cluster,
    app: &ApplicationFacts,
    home: &str,
    notes: &mut Vec<String>,
) -> Vec<FreezeFacts> {
    let mut places = vec![app.namespace.as_str(), home];
    places.dedup();
    let mut found = Vec::new();
    for place in places {
        match cluster.list::<Freeze>(Some(place), "").await {
            Ok(freezes) => found.extend(freezes),
            Err(error) => notes.push(format!("Freezes of namespace {place} are not known: {error}")),
        }
    }
    found.retain(|freeze| selects(freeze.spec.selector.as_ref(), &app.labels));
    found
        .into_iter()
        .map(|freeze| FreezeFacts {
            name: freeze.metadata.name.unwrap_or_default(),
            everywhere: freeze.metadata.namespace.as_deref() == Some(home),
            spec: freeze.spec,
        })
        .collect()
}
