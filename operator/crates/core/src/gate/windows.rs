//! `windows` of a policy, and of all that bind an Application together.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::policy::GateName;
use tidegate_api::release::GateDecision;

use super::Line;
use crate::policy::CompiledPolicy;
use crate::windows::{Next, State, Windows, next_common_opening};

/// What the windows of a policy say; nothing without any.
pub(super) fn ask(policy: &CompiledPolicy, now: Timestamp) -> Option<Line> {
    if policy.windows.is_empty() {
        return None;
    }
    let name = policy.name.to_string();
    let state = policy.windows.state(now);
    let message = policy.windows.describe(&state);
    Some(match state {
        State::Open { until } => Line::open(&name, GateName::Windows, message, until.wake()),
        State::Closed { opens, .. } => {
            Line::closed(&name, GateName::Windows, reason(opens), message, opens.wake())
        }
    })
}

/// Says with each closed gate when all policies are open at once, where that is later than its own opening, or never.
pub(super) fn say_together(lines: &mut [Line], policies: &[Arc<CompiledPolicy>], now: Timestamp) {
    let windowed: Vec<&Arc<CompiledPolicy>> = policies.iter().filter(|p| !p.windows.is_empty()).collect();
    if windowed.len() < 2 || !lines.iter().any(opens_by_itself) {
        return;
    }
    let all: Vec<&Windows> = windowed.iter().map(|p| &p.windows).collect();
    let together = next_common_opening(&all, now);
    for line in lines.iter_mut().filter(|line| opens_by_itself(line)) {
        let policy = windowed.iter().find(|p| p.name.to_string() == line.policy);
        let said = match (together, policy) {
            (Next::Never, _) => {
                line.reason = NEVER;
                "not open at once within five years; change one of them".to_owned()
            }
            (Next::At(at), Some(policy)) if line.until.is_some_and(|own| own < at) => {
                format!("open at once from {}", policy.windows.moment(at))
            }
            _ => continue,
        };
        line.message
            .push_str("; the windows of all policies that bind it are ");
        line.message.push_str(&said);
    }
}

fn opens_by_itself(line: &Line) -> bool {
    line.gate == Some(GateName::Windows) && line.decision == GateDecision::Closed && line.reason != NEVER
}

const NEVER: &str = "NeverOpens";

fn reason(opens: Next) -> &'static str {
    match opens {
        Next::Never => NEVER,
        Next::At(_) | Next::NotBefore(_) => "WindowClosed",
    }
}
