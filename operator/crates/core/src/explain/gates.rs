//! Gates: which are closed, and what opens each.

use jiff::Timestamp;
use tidegate_api::policy::GateName;
use tidegate_api::release::{Gate, GateDecision};

use super::{Subject, Text, at, when};

/// All about a release that waits.
pub(super) fn explain(subject: &Subject<'_>, text: &mut Text) {
    let gates = &subject.status().gates;
    let closed: Vec<&Gate> = gates
        .iter()
        .filter(|g| g.decision == GateDecision::Closed)
        .collect();
    if closed.is_empty() {
        let message = &subject.status().display.message;
        text.section("What it waits for");
        text.line(
            2,
            if message.is_empty() {
                "its turn: the gates are being asked"
            } else {
                message
            },
        );
        if let Some(suspend) = subject.app.and_then(|app| app.spec.suspend.as_ref()) {
            text.line(2, &format!("Suspended: {}", suspend.reason));
            text.line(
                2,
                &format!("-> tidegate resume {}", subject.application_argument()),
            );
        }
    } else {
        text.section(&format!("Closed: {} of {} gates", closed.len(), gates.len()));
        for gate in &closed {
            one(subject, gate, text);
        }
    }
    say_passed(subject, text);
    by_itself(subject, &closed, text);
}

fn one(subject: &Subject<'_>, gate: &Gate, text: &mut Text) {
    text.line(2, &title(gate));
    text.line(4, &gate.message);
    let until = gate.until.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
    if let Some(until) = until {
        text.line(4, &format!("-> opens by itself at {}", when(until, subject.now)));
    }
    for remedy in remedies(subject, gate, until.is_some()) {
        text.line(4, &format!("-> {remedy}"));
    }
}

/// `Windows (ReleasePolicy/office-hours), Outside`.
fn title(gate: &Gate) -> String {
    let policy = match gate.policy.as_str() {
        "" => String::new(),
        policy => format!(" ({policy})"),
    };
    let reason = if gate.reason.is_empty() || gate.reason == gate.gate {
        String::new()
    } else {
        format!(": {}", gate.reason)
    };
    format!("{}{policy}{reason}", gate.gate)
}

/// What a person can do about a closed gate.
fn remedies(subject: &Subject<'_>, gate: &Gate, by_itself: bool) -> Vec<String> {
    let release = subject.name;
    let namespace = subject.namespace;
    let mut remedies = match gate.gate.as_str() {
        "Approvals" => {
            let plan = &subject.status().plan.digest;
            let plan = plan.get(..12).unwrap_or(plan);
            vec![
                format!("tidegate diff {release} -n {namespace}    (what it changes)"),
                format!("tidegate approve {release} -n {namespace} --plan {plan}"),
            ]
        }
        "Freeze" => match gate.policy.strip_prefix("Freeze/") {
            Some(freeze) => vec![format!("tidegate unfreeze {}", unfreeze(freeze, namespace))],
            None if by_itself => Vec::new(),
            None => vec![format!("take freeze out of {}", gate.policy)],
        },
        "After" if !by_itself => {
            vec!["the commit must be healthy there first: tidegate explain <that Application>".to_owned()]
        }
        "Limits" => vec!["split the change into smaller commits".to_owned()],
        "Signatures" => vec!["sign the commits with a known key and push them again".to_owned()],
        "Rules" => vec!["make a commit that satisfies the rule, or change the rule".to_owned()],
        "Quarantine" => vec!["make a commit that changes what failed: it is released by itself".to_owned()],
        "Policy" if gate.policy.is_empty() => {
            vec![
                "kubectl get releasepolicies.tidegate.io -A; kubectl get clusterreleasepolicies.tidegate.io"
                    .to_owned(),
            ]
        }
        "Policy" => vec![format!(
            "correct {}: kubectl describe {}",
            gate.policy,
            described(&gate.policy, namespace)
        )],
        _ => Vec::new(),
    };
    let nobody = gate.message.contains("nobody may override");
    if overridable(&gate.gate) && !gate.policy.starts_with("Freeze/") && !nobody {
        remedies.push(format!(
            "if {} allows you to: tidegate override {} --gate {} --for 1h --reason '...'",
            if gate.policy.is_empty() {
                "the policy"
            } else {
                &gate.policy
            },
            subject.application_argument(),
            gate.gate
        ));
    }
    remedies
}

/// Gates that an Override may open (api.md).
fn overridable(gate: &str) -> bool {
    [
        GateName::Windows,
        GateName::Freeze,
        GateName::Approvals,
        GateName::After,
        GateName::Limits,
        GateName::Signatures,
    ]
    .iter()
    .any(|name| name.as_str() == gate)
}

/// A Freeze is named with its namespace where that is another one.
fn unfreeze(freeze: &str, namespace: &str) -> String {
    match freeze.split_once('/') {
        Some((other, name)) => format!("{name} -n {other}"),
        None => format!("{freeze} -n {namespace}"),
    }
}

fn described(policy: &str, namespace: &str) -> String {
    match policy.split_once('/') {
        Some(("ClusterReleasePolicy", name)) => format!("clusterreleasepolicies.tidegate.io {name}"),
        Some((_, name)) => format!("releasepolicies.tidegate.io {name} -n {namespace}"),
        None => policy.to_owned(),
    }
}

/// Gates that are open, and who approved.
pub(super) fn say_passed(subject: &Subject<'_>, text: &mut Text) {
    let status = subject.status();
    let open: Vec<&Gate> = status
        .gates
        .iter()
        .filter(|g| g.decision != GateDecision::Closed)
        .collect();
    if !open.is_empty() {
        text.section("Open");
    }
    for gate in open {
        let how = if gate.decision == GateDecision::Overridden {
            "OVERRIDDEN: "
        } else {
            ""
        };
        text.line(2, &format!("{}: {how}{}", title(gate), gate.message));
    }
    if !status.approvals.is_empty() {
        text.section("Approvals");
    }
    for approval in &status.approvals {
        let sum = match (&approval.why, approval.counts) {
            (_, true) => "counts".to_owned(),
            (Some(why), false) => format!("does not count: {why}"),
            (None, false) => "does not count".to_owned(),
        };
        let time = if approval.at.is_empty() {
            String::new()
        } else {
            format!(", {}", at(&approval.at))
        };
        text.line(
            2,
            &format!("{}: {sum}{time} ({})", approval.approver, approval.name),
        );
    }
}

/// When nobody has to do anything.
fn by_itself(subject: &Subject<'_>, closed: &[&Gate], text: &mut Text) {
    let times: Option<Vec<Timestamp>> = closed
        .iter()
        .map(|g| g.until.as_deref().and_then(|t| t.parse().ok()))
        .collect();
    let Some(last) = times.and_then(|times| times.into_iter().max()) else {
        return;
    };
    text.section(&format!(
        "Nobody has to do anything: it begins by itself at {}, unless another gate closes until then.",
        when(last, subject.now)
    ));
}
