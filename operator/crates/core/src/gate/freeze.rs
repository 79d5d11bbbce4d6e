//! `freeze` of a policy, and the kind `Freeze`.

use jiff::Timestamp;

use super::{Line, Question};
use crate::policy::CompiledPolicy;

/// What the freeze of a policy says; nothing without one.
pub(super) fn ask(policy: &CompiledPolicy, now: Timestamp) -> Option<Line> {
    let _ = (policy, now);
    None
}

/// One line for each Freeze that stops the Application.
pub(super) fn ask_freezes(question: &Question<'_>, now: Timestamp) -> Vec<Line> {
    let _ = (question, now);
    Vec::new()
}
