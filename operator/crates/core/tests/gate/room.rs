//! What the gate is asked with, put together by hand: one Application, one Release, a plan that is empty but for its digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::release::{ApprovalShown, Gate, GateDecision};
use tidegate_core::desired::Rendered;
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::{
    self, ApprovalFacts, Asking, Decision, FreezeFacts, OverrideFacts, Question, RevisionFacts, Verdict,
};
use tidegate_core::people::CommitFacts;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};

/// When everything is asked, if nothing else is said.
pub(crate) const NOW: &str = "2026-11-25T12:00:00Z";
/// Digest of the plan.
pub(crate) const PLAN: &str = "0123456789abcdef0123456789abcdef";
/// Name of the Release.
pub(crate) const RELEASE: &str = "shop-000007";

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) asking: Asking,
    pub(crate) app: ApplicationFacts,
    pub(crate) revision: RevisionFacts,
    pub(crate) release: Option<&'static str>,
    pub(crate) policies: Vec<Arc<CompiledPolicy>>,
    pub(crate) approvals: Vec<ApprovalFacts>,
    pub(crate) overrides: Vec<OverrideFacts>,
    pub(crate) freezes: Vec<FreezeFacts>,
    pub(crate) unguarded: Option<&'static str>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            asking: Asking::Release,
            app: ApplicationFacts {
                namespace: "shop".to_owned(),
                name: "shop".to_owned(),
                ..ApplicationFacts::default()
            },
            revision: RevisionFacts::default(),
            release: Some(RELEASE),
            policies: Vec::new(),
            approvals: Vec::new(),
            overrides: Vec::new(),
            freezes: Vec::new(),
            unguarded: None,
            since: None,
            now: time(NOW),
        }
    }

    /// With a ReleasePolicy of these rules.
    pub(crate) fn policy(mut self, name: &str, rules: Value) -> Self {
        self.policies.push(policy(name, rules));
        self
    }

    /// With a ClusterReleasePolicy of these rules.
    pub(crate) fn cluster_policy(mut self, name: &str, rules: Value) -> Self {
        self.policies.push(cluster_policy(name, rules));
        self
    }

    /// With an Approval of the plan.
    pub(crate) fn approved(mut self, name: &str, approver: &str, groups: &[&str], created: &str) -> Self {
        self.approvals.push(approval(name, approver, groups, created));
        self
    }

    /// With an Override that ends at `until`.
    pub(crate) fn overridden(mut self, by: &str, gates: &[&str], created: &str, until: &str) -> Self {
        self.overrides.push(override_of(by, by, gates, created, until));
        self
    }

    pub(crate) fn frozen(mut self, name: &str, everywhere: bool, until: Option<&str>) -> Self {
        self.freezes.push(freeze(name, everywhere, until));
        self
    }

    /// With a commit by this author.
    pub(crate) fn commit(mut self, id: &str, author: &str) -> Self {
        self.revision.commits.push(CommitFacts {
            commit: id.to_owned(),
            subject: "a change".to_owned(),
            author_email: author.to_owned(),
            committer_email: author.to_owned(),
            ..CommitFacts::default()
        });
        self
    }

    pub(crate) fn at(mut self, now: &str) -> Self {
        self.now = time(now);
        self
    }

    pub(crate) fn ask(&self) -> Verdict {
        self.with(|question| gate::decide(plan(), question, self.now))
    }

    pub(crate) fn shown(&self) -> Vec<ApprovalShown> {
        self.with(|question| gate::show_approvals(&plan(), question, self.now))
    }

    fn with<R>(&self, ask: impl FnOnce(&Question<'_>) -> R) -> R {
        let after = BTreeMap::new();
        ask(&Question {
            release: self.release,
            policies: &self.policies,
            approvals: &self.approvals,
            overrides: &self.overrides,
            freezes: &self.freezes,
            unguarded: self.unguarded,
            guarded_since: self.since,
            ..Question::unbound(self.asking, &self.app, &self.revision, &after)
        })
    }

    /// The only line; more or fewer are a failed test.
    pub(crate) fn line(&self) -> Gate {
        let gates = self.ask().gates;
        assert_eq!(gates.len(), 1, "{gates:#?}");
        gates.into_iter().next().unwrap()
    }

    pub(crate) fn goes(&self) -> bool {
        matches!(self.ask().decision, Decision::Go(_))
    }
}

pub(crate) fn policy(name: &str, rules: Value) -> Arc<CompiledPolicy> {
    let spec = serde_json::from_value(rules).unwrap();
    Arc::new(CompiledPolicy::namespaced("shop", name, &spec))
}

pub(crate) fn cluster_policy(name: &str, rules: Value) -> Arc<CompiledPolicy> {
    let spec = serde_json::from_value(rules).unwrap();
    Arc::new(CompiledPolicy::cluster(name, &spec))
}

pub(crate) fn approval(name: &str, approver: &str, groups: &[&str], created: &str) -> ApprovalFacts {
    let spec = json!({
        "application": "shop", "release": RELEASE, "planDigest": PLAN, "approver": approver, "groups": groups,
    });
    ApprovalFacts {
        name: name.to_owned(),
        created: time(created),
        spec: serde_json::from_value(spec).unwrap(),
    }
}

pub(crate) fn override_of(name: &str, by: &str, gates: &[&str], created: &str, until: &str) -> OverrideFacts {
    let spec = json!({
        "application": "shop", "gates": gates, "reason": "the shop is down", "until": until, "requester": by,
    });
    OverrideFacts {
        name: name.to_owned(),
        created: time(created),
        spec: serde_json::from_value(spec).unwrap(),
    }
}

pub(crate) fn freeze(name: &str, everywhere: bool, until: Option<&str>) -> FreezeFacts {
    FreezeFacts {
        name: name.to_owned(),
        everywhere,
        spec: serde_json::from_value(json!({ "reason": "pager", "by": "dora", "until": until })).unwrap(),
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        steps: Vec::new(),
        rendered: Arc::new(Rendered::new(Vec::new(), &DigestKey::new([7; 32]))),
        unchanged: 0,
        forgotten: Vec::new(),
        digest: PLAN.to_owned(),
        more: false,
    }
}

pub(crate) const OPEN: GateDecision = GateDecision::Open;
pub(crate) const CLOSED: GateDecision = GateDecision::Closed;
pub(crate) const OVERRIDDEN: GateDecision = GateDecision::Overridden;
