//! `windows` of a policy.

use jiff::Timestamp;

use super::Line;
use crate::policy::CompiledPolicy;

/// What the windows of a policy say; nothing without any.
pub(super) fn ask(policy: &CompiledPolicy, now: Timestamp) -> Option<Line> {
    let _ = (policy, now);
    None
}
