//! The gate between a plan and the cluster. `Approved<Plan>` has one constructor, here, and the cluster room takes
//! nothing else: nothing reaches the cluster ungated, by type. With nothing that closes it, the answer is "go".
//!
//! Each part of a policy has its own file below, which says for one policy whether it lets a plan through. Here the
//! answers are put together: all must agree, whatever their order.

mod after;
mod approvals;
mod authors;
mod freeze;
mod limits;
mod overrides;
mod quarantine;
mod question;
mod rules;
mod signatures;
mod windows;

use jiff::Timestamp;
use tidegate_api::Suspend;
use tidegate_api::policy::{GateName, WhenWindowCloses};
use tidegate_api::release::{Gate, GateDecision};

pub use after::stage_name;
pub use approvals::{ApprovalFacts, show as show_approvals};
pub use freeze::stops as freeze_stops;
pub use limits::uncounted;
pub use overrides::is_about as override_is_about;
pub use quarantine::{QUARANTINED, quarantined};
pub use question::{AfterState, Asking, FreezeFacts, OverrideFacts, Question, RevisionFacts};

use crate::plan::Plan;
use crate::policy::CompiledPolicy;
use crate::problem::summarize;
use crate::wave::Due;

/// Proof that the gate was asked. Made by [`decide`] only.
#[derive(Clone, Debug)]
pub struct Approved<T> {
    inner: T,
    at: Timestamp,
}

impl<T> Approved<T> {
    /// What was approved.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Approved<Plan> {
    /// The part of it that is due: fewer steps, never others. What is forgotten goes with the last part.
    pub fn part(&self, due: &Due) -> Self {
        let mut part = self.clone();
        part.inner.steps.retain(|step| due.now.contains(&step.id));
        part.inner.more = !due.last;
        if part.inner.more {
            part.inner.forgotten.clear();
        }
        part
    }
}

/// The gate's answer.
#[derive(Debug)]
pub enum Decision {
    /// It may go.
    Go(Approved<Plan>),
    /// It may not go now.
    Wait(Wait),
}

/// Why a plan may not go now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// CamelCase cause: that of the first gate that is closed.
    pub reason: &'static str,
    /// When it is worth asking again, where that is known.
    pub again: Option<Timestamp>,
    /// Why, for conditions: each closed gate with what opens it.
    pub why: String,
}

/// What each gate of each policy says, and what follows.
#[derive(Debug)]
pub struct Verdict {
    /// One line for each gate of each policy, in a fixed order.
    pub gates: Vec<Gate>,
    /// What follows.
    pub decision: Decision,
}

/// What one gate of one policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// `ReleasePolicy/office-hours`.
    policy: String,
    /// `None`: the policy itself cannot be used, or is missing.
    gate: Option<GateName>,
    decision: GateDecision,
    reason: &'static str,
    message: String,
    /// When it opens, or for an open one when it closes.
    until: Option<Timestamp>,
}

impl Line {
    fn open(policy: &str, gate: GateName, message: String, until: Option<Timestamp>) -> Self {
        Self {
            policy: policy.to_owned(),
            gate: Some(gate),
            decision: GateDecision::Open,
            reason: "",
            message,
            until,
        }
    }

    fn closed(
        policy: &str,
        gate: GateName,
        reason: &'static str,
        message: String,
        until: Option<Timestamp>,
    ) -> Self {
        Self {
            policy: policy.to_owned(),
            gate: Some(gate),
            decision: GateDecision::Closed,
            reason,
            message,
            until,
        }
    }

    fn shown(&self) -> Gate {
        Gate {
            policy: self.policy.clone(),
            gate: self.gate.map_or("Policy", GateName::as_str).to_owned(),
            decision: self.decision,
            reason: self.reason.to_owned(),
            message: self.message.clone(),
            until: self.until.map(|time| time.to_string()),
        }
    }
}

/// Asks whether a plan may go.
pub fn decide(plan: Plan, question: &Question<'_>, now: Timestamp) -> Verdict {
    if let Some((why, again)) = suspended(question.suspend, now) {
        let wait = Wait {
            reason: "Suspended",
            again,
            why,
        };
        return Verdict {
            gates: Vec::new(),
            decision: Decision::Wait(wait),
        };
    }
    let lines = lines(&plan, question, now);
    let closed: Vec<&Line> = lines
        .iter()
        .filter(|l| l.decision == GateDecision::Closed)
        .collect();
    let decision = match closed.first() {
        None => Decision::Go(Approved { inner: plan, at: now }),
        Some(first) => Decision::Wait(Wait {
            reason: first.reason,
            again: closed
                .iter()
                .filter_map(|l| l.until)
                .chain(rules::again(&closed, question, now))
                .filter(|t| *t > now)
                .min(),
            why: closed.iter().map(|l| said(l)).collect::<Vec<_>>().join("; "),
        }),
    };
    let gates = lines.iter().map(Line::shown).collect();
    Verdict { gates, decision }
}

fn said(line: &Line) -> String {
    if line.policy.is_empty() {
        line.message.clone()
    } else {
        format!("{}: {}", line.policy, line.message)
    }
}

/// What all gates say, in an order that does not depend on that of the policies.
fn lines(plan: &Plan, question: &Question<'_>, now: Timestamp) -> Vec<Line> {
    if question.asking == Asking::AutomaticRollback {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for policy in question.policies {
        let name = policy.name.to_string();
        if let Some(problem) = policy
            .problems
            .first()
            .filter(|_| matches!(question.asking, Asking::Release | Asking::Rollback))
        {
            lines.push(Line {
                policy: name.clone(),
                gate: None,
                decision: GateDecision::Closed,
                reason: problem.reason,
                message: format!(
                    "cannot be used, and lets nothing through: {}",
                    summarize(&policy.problems, 3)
                ),
                until: None,
            });
        }
        let asks = |gate| asks(question.asking, policy, gate);
        if asks(GateName::Windows) {
            lines.extend(windows::ask(policy, now));
        }
        if asks(GateName::Freeze) {
            lines.extend(freeze::ask(policy, now));
        }
        if asks(GateName::Approvals) {
            lines.extend(approvals::ask(policy, plan, question, now));
        }
        if asks(GateName::After) {
            lines.extend(after::ask(policy, question, now));
        }
        if asks(GateName::Limits) {
            lines.extend(limits::ask(policy, plan, question));
        }
        if asks(GateName::Signatures) {
            lines.extend(signatures::ask(policy, plan, question));
        }
        if asks(GateName::Rules) {
            lines.extend(rules::ask(policy, plan, question, now));
        }
    }
    if question.asking == Asking::Release {
        windows::say_together(&mut lines, question.policies, now);
        lines.extend(freeze::ask_freezes(question, now));
        lines.extend(quarantine::ask(&plan.rendered, question));
        lines.extend(required(question));
    }
    overrides::open(&mut lines, question, now);
    lines.sort_by(|a, b| (a.gate, &a.policy, &a.message).cmp(&(b.gate, &b.policy, &b.message)));
    lines
}

/// Whether a gate of a policy is asked at all for what is planned.
fn asks(asking: Asking, policy: &CompiledPolicy, gate: GateName) -> bool {
    match asking {
        Asking::Release => true,
        Asking::Begun => {
            gate == GateName::Windows && policy.policy.when_window_closes == WhenWindowCloses::Abort
        }
        Asking::Correction => {
            gate == GateName::Limits || policy.policy.drift_corrections.gates.contains(&gate)
        }
        Asking::Rollback => {
            gate == GateName::Limits
                || (gate == GateName::Approvals && policy.policy.rollback.require_approval)
        }
        Asking::Teardown | Asking::Move => gate == GateName::Limits,
        Asking::AutomaticRollback => false,
    }
}

/// Where the installation demands a policy, none at all lets nothing through.
fn required(question: &Question<'_>) -> Option<Line> {
    let missing = question.require_policy && question.policies.is_empty();
    missing.then(|| Line {
        policy: String::new(),
        gate: None,
        decision: GateDecision::Closed,
        reason: "PolicyRequired",
        message: "this installation releases nothing without a policy, and none matches this Application; make a ReleasePolicy in its namespace, or label the Application so that one matches".to_owned(),
        until: None,
    })
}

/// Whether a suspension holds now: the message and when it ends. An `until` that is not a time never ends.
pub fn suspended(suspend: Option<&Suspend>, now: Timestamp) -> Option<(String, Option<Timestamp>)> {
    let suspend = suspend?;
    let until = suspend.until.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    if until.is_some_and(|end| end <= now) {
        return None;
    }
    let by = suspend
        .by
        .as_deref()
        .map(|by| format!(" by {by}"))
        .unwrap_or_default();
    let end = until.map_or_else(|| "spec.suspend is removed".to_owned(), |t| t.to_string());
    Some((format!("Suspended{by} until {end}: {}", suspend.reason), until))
}
