//! `approvals` of a policy: people who agree to the plan as it is.

use jiff::Timestamp;
use tidegate_api::ApprovalSpec;
use tidegate_api::release::ApprovalShown;

use super::{Line, Question};
use crate::plan::Plan;
use crate::policy::CompiledPolicy;

/// An Approval that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalFacts {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it says.
    pub spec: ApprovalSpec,
}

/// What the approvals of a policy come to; nothing where it asks for none.
pub(super) fn ask(
    policy: &CompiledPolicy,
    plan: &Plan,
    question: &Question<'_>,
    now: Timestamp,
) -> Option<Line> {
    let _ = (policy, plan, question, now);
    None
}

/// The Approvals of a Release for its status, and whether each counts.
pub fn show(plan: &Plan, question: &Question<'_>, now: Timestamp) -> Vec<ApprovalShown> {
    let _ = (plan, question, now);
    Vec::new()
}
