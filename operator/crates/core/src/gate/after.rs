//! `after` of a policy: where the commit must have been healthy before.

use jiff::Timestamp;
use tidegate_api::policy::{After, GateName};

use super::{AfterState, Line, Question};
use crate::policy::CompiledPolicy;
use crate::record::short_revision;

/// One line for each Application that goes before.
pub(super) fn ask(policy: &CompiledPolicy, question: &Question<'_>, now: Timestamp) -> Vec<Line> {
    let revision = question.revision;
    let shown = short_revision(&revision.reference, &revision.commit);
    let line = |(at, after): (usize, &After)| {
        let stage = stage_name(after, &question.application.namespace);
        let state = question.after.get(&(policy.name.clone(), at));
        answer(&policy.name.to_string(), &stage, after, &shown, state, now)
    };
    policy.policy.after.iter().enumerate().map(line).collect()
}

/// `staging/shop`; with the Secret that names the cluster where that is another.
pub fn stage_name(after: &After, namespace: &str) -> String {
    let application = &after.application;
    let namespace = application.namespace.as_deref().unwrap_or(namespace);
    match &after.kube_config {
        None => format!("{namespace}/{}", application.name),
        Some(config) => format!(
            "{namespace}/{} (cluster of Secret {})",
            application.name, config.secret_ref.name
        ),
    }
}

fn answer(
    policy: &str,
    stage: &str,
    after: &After,
    shown: &str,
    state: Option<&AfterState>,
    now: Timestamp,
) -> Line {
    let gate = GateName::After;
    let closed = |reason, message, until| Line::closed(policy, gate, reason, message, until);
    match state {
        Some(AfterState::Earned { since }) => Line::open(
            policy,
            gate,
            format!(
                "{shown} has been healthy in {stage} for {}, since {since}",
                after.soak
            ),
            None,
        ),
        // Its time passed since the facts were gathered.
        Some(AfterState::Soaking { until }) if *until <= now => Line::open(
            policy,
            gate,
            format!("{shown} has been healthy in {stage} for {}", after.soak),
            None,
        ),
        Some(AfterState::Soaking { until }) => closed(
            "Soaking",
            format!("{shown} is healthy in {stage}, for {} at {until}", after.soak),
            Some(*until),
        ),
        Some(AfterState::NotYet { message }) => closed("NotHealthyBefore", message.clone(), None),
        Some(AfterState::Never { message }) => closed("NeverOpens", message.clone(), None),
        None => closed(
            "NotHealthyBefore",
            format!("Application {stage} has not been looked at yet"),
            None,
        ),
    }
}
