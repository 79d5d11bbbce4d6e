//! Plans and questions, built in place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::policy::Policy;
use tidegate_api::release::{Gate, GateDecision};
use tidegate_api::{ClusterReleasePolicySpec, ReleasePolicySpec};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::{Asking, Decision, Question, RevisionFacts, Verdict, decide};
use tidegate_core::health::HealthStatus;
use tidegate_core::hook::Run;
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::order::Stage;
use tidegate_core::plan::{Action, Cause, Plan, Step};
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};

pub(crate) fn now() -> Timestamp {
    "2026-11-25T17:30:20Z".parse().unwrap()
}

pub(crate) fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

pub(crate) fn id(kind: &str, name: &str) -> ObjectId {
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let scoped = matches!(kind, "Namespace" | "ClusterRole" | "CustomResourceDefinition");
    ObjectId::new(group, kind, if scoped { "" } else { "shop" }, name)
}

pub(crate) fn step(action: Action, id: ObjectId) -> Step {
    Step {
        stage: Stage::of(&id),
        id,
        version: "v1".into(),
        action,
        cause: Cause::Changed,
        wave: 0,
        accepted: None,
        run: None,
    }
}

/// `n` steps of one kind: `create`, `update`, `recreate` or `delete`.
pub(crate) fn steps(verb: &str, kind: &str, n: usize) -> Vec<Step> {
    let uid = || "u".to_owned();
    let action = || match verb {
        "create" => Action::Create,
        "update" => Action::Update { uid: uid() },
        "recreate" => Action::Recreate { uid: Some(uid()) },
        "delete" => Action::Delete { uid: Some(uid()) },
        other => panic!("{other}"),
    };
    (0..n)
        .map(|i| step(action(), id(kind, &format!("{verb}-{i}"))))
        .collect()
}

pub(crate) fn of_hook(mut step: Step) -> Step {
    step.run = Some(Run {
        release: "shop-000001".to_owned(),
        outcome: None,
        why: String::new(),
    });
    step
}

pub(crate) fn live() -> LiveRecord {
    LiveRecord {
        uid: "u".to_owned(),
        resource_version: "1".to_owned(),
        ours: None,
        foreign: Vec::new(),
        ignored: Vec::new(),
        judged_by: None,
        health: HealthStatus::Current,
        message: String::new(),
        deleting: false,
        hold: None,
        owner: None,
        last_foreign_manager: None,
    }
}

pub(crate) fn plan(steps: Vec<Step>) -> Plan {
    plan_of(steps, Rendered::default())
}

pub(crate) fn plan_of(steps: Vec<Step>, rendered: Rendered) -> Plan {
    Plan {
        steps,
        rendered: Arc::new(rendered),
        unchanged: 3,
        forgotten: Vec::new(),
        digest: "d".to_owned(),
        more: false,
    }
}

pub(crate) fn object(body: Value) -> DesiredObject {
    let id = ObjectId::of(&body).unwrap();
    DesiredObject {
        version: "v1".into(),
        location: Location {
            file: "deploy/all.yaml".into(),
            line: 7,
        },
        digest: String::new(),
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
        id,
        body,
    }
}

pub(crate) fn rendered(bodies: &[Value]) -> Rendered {
    Rendered::new(bodies.iter().cloned().map(object).collect(), &key())
}

pub(crate) fn policy(rules: Value) -> Policy {
    serde_json::from_value(rules).unwrap()
}

pub(crate) fn namespaced(name: &str, rules: Value) -> Arc<CompiledPolicy> {
    let spec = ReleasePolicySpec {
        policy: policy(rules),
    };
    Arc::new(CompiledPolicy::namespaced("shop", name, &spec))
}

pub(crate) fn cluster(name: &str, spec: Value) -> Arc<CompiledPolicy> {
    let spec: ClusterReleasePolicySpec = serde_json::from_value(spec).unwrap();
    Arc::new(CompiledPolicy::cluster(name, &spec))
}

/// What the gate is asked with besides plan and policies.
pub(crate) struct World {
    pub(crate) asking: Asking,
    pub(crate) applied: usize,
    pub(crate) uncounted: BTreeSet<ObjectId>,
    pub(crate) application: ApplicationFacts,
    pub(crate) revision: RevisionFacts,
    pub(crate) now: Timestamp,
}

impl Default for World {
    fn default() -> Self {
        let labels = [("tier".to_owned(), "production".to_owned())];
        Self {
            asking: Asking::Release,
            applied: 20,
            uncounted: BTreeSet::new(),
            application: ApplicationFacts {
                namespace: "shop".to_owned(),
                name: "shop".to_owned(),
                labels: labels.into(),
                ..ApplicationFacts::default()
            },
            revision: RevisionFacts::default(),
            now: now(),
        }
    }
}

impl World {
    pub(crate) fn ask(&self, policies: &[Arc<CompiledPolicy>], plan: Plan) -> Verdict {
        let after = BTreeMap::new();
        let question = Question {
            applied: self.applied,
            uncounted: &self.uncounted,
            policies,
            ..Question::unbound(self.asking, &self.application, &self.revision, &after)
        };
        decide(plan, &question, self.now)
    }

    /// Messages of the closed gates.
    pub(crate) fn closed(&self, policies: &[Arc<CompiledPolicy>], plan: Plan) -> Vec<String> {
        let verdict = self.ask(policies, plan);
        let closed: Vec<String> = verdict
            .gates
            .iter()
            .filter(|gate| gate.decision == GateDecision::Closed)
            .map(line)
            .collect();
        assert_eq!(closed.is_empty(), matches!(verdict.decision, Decision::Go(_)));
        closed
    }
}

pub(crate) fn line(gate: &Gate) -> String {
    format!("{} {} {}: {}", gate.policy, gate.gate, gate.reason, gate.message)
}

pub(crate) fn deployment(name: &str, images: &[&str]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(i, image)| json!({"name": format!("c{i}"), "image": image}))
        .collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}},
    })
}
