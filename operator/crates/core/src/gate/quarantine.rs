//! Commits that still have what made an earlier release fail.

use jiff::Timestamp;
use tidegate_api::policy::GateName;
use tidegate_api::release::GateDecision;

use super::{Line, Question};
use crate::desired::Rendered;
use crate::quarantine::{holding, line};

/// Reason of a release that waits since it still has what made an earlier one fail.
pub const QUARANTINED: &str = "StillContainsQuarantined";

/// A line while the set has all culprits of a failed commit.
pub(super) fn ask(rendered: &Rendered, question: &Question<'_>) -> Option<Line> {
    let commit = &question.revision.commit;
    let entry = holding(question.quarantined, rendered, commit)?;
    let message = line(entry, commit);
    Some(Line::closed("", GateName::Quarantine, QUARANTINED, message, None))
}

/// Why the quarantine holds a set now; `None` where it does not, or an Override opens it.
pub fn quarantined(rendered: &Rendered, question: &Question<'_>, now: Timestamp) -> Option<String> {
    let mut lines: Vec<Line> = ask(rendered, question).into_iter().collect();
    super::overrides::open(&mut lines, question, now);
    let closed = lines.into_iter().find(|l| l.decision == GateDecision::Closed);
    closed.map(|line| line.message)
}
