//! `limits` of a policy: how much one release may change.

use super::{Line, Question};
use crate::plan::Plan;
use crate::policy::CompiledPolicy;

/// What the limits of a policy say about a whole plan.
pub(super) fn ask(policy: &CompiledPolicy, plan: &Plan, question: &Question<'_>) -> Vec<Line> {
    let _ = (policy, plan, question);
    Vec::new()
}
