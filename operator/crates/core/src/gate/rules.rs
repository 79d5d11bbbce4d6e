//! `rules` of a policy: expressions of one's own.

use jiff::Timestamp;
use tidegate_api::policy::GateName;
use tidegate_api::release::GateDecision;

use super::{Asking, Line, Question};
use crate::plan::Plan;
use crate::policy::CompiledPolicy;
use crate::policy_rules::{self, CompiledRule, Said};

/// One line for each rule. A rule that cannot be used is closed; where the policy as a whole says so, it has no line.
pub(super) fn ask(
    policy: &CompiledPolicy,
    plan: &Plan,
    question: &Question<'_>,
    now: Timestamp,
) -> Vec<Line> {
    if policy.rules.is_empty() {
        return Vec::new();
    }
    let said = policy_rules::ask(&policy.rules, plan, question, now);
    let lines = policy.rules.iter().zip(said);
    lines
        .filter_map(|(rule, said)| line(policy, rule, &said, question.asking))
        .collect()
}

fn line(policy: &CompiledPolicy, rule: &CompiledRule, said: &Said, asking: Asking) -> Option<Line> {
    let policy_name = policy.name.to_string();
    let name = &rule.name;
    let (reason, message) = match said {
        Said::Holds => {
            let message = format!("rule {name} holds");
            return Some(Line::open(&policy_name, GateName::Rules, message, None));
        }
        Said::Unusable if asking == Asking::Release => return None,
        Said::Unusable => (
            "InvalidExpression",
            format!(
                "rule {name} cannot be used, and lets nothing through; see the policy's condition Stalled"
            ),
        ),
        Said::Fails => match &rule.message {
            Some(message) => ("RuleNotMet", format!("rule {name}: {message}")),
            None => ("RuleNotMet", format!("rule {name} is not met: {}", rule.text())),
        },
        Said::NoAnswer(why) => (
            "RuleNotAnswered",
            format!(
                "rule {name} has no answer for this plan, and lets nothing through: it {why}; correct the expression, with has() or .? where a field can be missing"
            ),
        ),
        Said::TooCostly => (
            "ExpressionTooCostly",
            format!(
                "rule {name} lets nothing through: over a plan of this size the rules of the policy can take more than {} steps; nest fewer all(), exists(), map() and filter(), or make smaller commits",
                policy_rules::MAX_STEPS
            ),
        ),
    };
    Some(Line::closed(&policy_name, GateName::Rules, reason, message, None))
}

/// When a closed rule that reads the time is worth asking again: at the next full minute.
pub(super) fn again(closed: &[&Line], question: &Question<'_>, now: Timestamp) -> Option<Timestamp> {
    let reads_time = |line: &&&Line| {
        line.gate == Some(GateName::Rules)
            && line.decision == GateDecision::Closed
            && question
                .policies
                .iter()
                .any(|p| p.name.to_string() == line.policy && p.rules.iter().any(CompiledRule::reads_time))
    };
    closed.iter().find(reads_time)?;
    Timestamp::from_second((now.as_second().div_euclid(60) + 1) * 60).ok()
}
