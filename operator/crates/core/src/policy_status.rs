//! The status of a policy: whether it can be used, and in one line what it demands.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tidegate_api::condition::{READY, STALLED, clear, condition, set};
use tidegate_api::policy::{After, Approvals, Limits, Policy, ReleasePolicyStatus, Verification};

use crate::policy::CompiledPolicy;
use crate::problem::summarize;
use crate::record::shorten;
use crate::windows::State;

/// Longest line that a printer column shows, bytes.
const MAX_LINE: usize = 300;
/// Problems that a condition names.
const MAX_PROBLEMS: usize = 5;

/// What is known besides the policy itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Applications that it binds.
    pub applications: usize,
    /// Releases that wait for it.
    pub waiting: usize,
    /// Now.
    pub now: Timestamp,
}

/// Writes the status. Returns when it changes by time alone, if it does.
pub fn write(status: &mut ReleasePolicyStatus, policy: &CompiledPolicy, facts: &Facts) -> Option<Timestamp> {
    let usable = policy.problems.is_empty();
    let reason = policy.problems.first().map_or("Valid", |p| p.reason);
    let message = if usable {
        demands(policy)
    } else {
        format!(
            "cannot be used, and lets no release through: {}",
            summarize(&policy.problems, MAX_PROBLEMS)
        )
    };
    let now = Time(facts.now);
    let made = |type_, is| condition(type_, is, reason, message.clone(), facts.generation, now.clone());
    set(&mut status.conditions, made(READY, usable));
    if usable {
        clear(&mut status.conditions, STALLED);
    } else {
        set(&mut status.conditions, made(STALLED, true));
    }
    status.observed_generation = facts.generation;
    status.applications = count(facts.applications);
    status.waiting = count(facts.waiting);
    let (window, until) = window(policy, facts.now);
    status.display.window = window;
    status.display.message = shorten(&message, MAX_LINE);
    until
}

/// What its windows say now, and until when; empty without any.
fn window(policy: &CompiledPolicy, now: Timestamp) -> (String, Option<Timestamp>) {
    if policy.windows.is_empty() {
        return (String::new(), None);
    }
    let state = policy.windows.state(now);
    let text = policy.windows.describe(&state);
    let (State::Open { until } | State::Closed { opens: until, .. }) = state;
    (text, until.wake())
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// One line: what a policy demands of a release.
pub fn demands(policy: &CompiledPolicy) -> String {
    let rules = &policy.policy;
    let mut parts = Vec::new();
    if !rules.windows.is_empty() {
        parts.push(number(rules.windows.len(), "window"));
    }
    if let Some(freeze) = &rules.freeze {
        let until = freeze
            .until
            .as_ref()
            .map(|t| format!(" until {t}"))
            .unwrap_or_default();
        parts.push(format!("frozen{until}: {}", freeze.reason));
    }
    parts.extend(rules.approvals.as_ref().map(approvals));
    parts.extend(rules.after.iter().map(after));
    parts.extend(rules.limits.iter().flat_map(limits));
    parts.extend(signatures(rules));
    parts.extend(rules.verification.iter().flat_map(verification));
    if !rules.rules.is_empty() {
        parts.push(number(rules.rules.len(), "rule"));
    }
    if policy.guard.is_some() {
        parts.push("guard rails".to_owned());
    }
    if parts.is_empty() {
        return "demands nothing".to_owned();
    }
    parts.join("; ")
}

fn number(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

fn approvals(approvals: &Approvals) -> String {
    let required = usize::try_from(approvals.required).unwrap_or(0);
    let who: Vec<&str> = approvals
        .groups
        .iter()
        .chain(&approvals.users)
        .map(String::as_str)
        .collect();
    let of = if who.is_empty() {
        String::new()
    } else {
        format!(" of {}", who.join(" or "))
    };
    format!("{}{of}", number(required, "approval"))
}

fn after(after: &After) -> String {
    let app = &after.application;
    let name = match &app.namespace {
        Some(namespace) => format!("{namespace}/{}", app.name),
        None => app.name.clone(),
    };
    match after.soak.as_str() {
        "0s" => format!("after {name}"),
        soak => format!("after {name} for {soak}"),
    }
}

fn limits(limits: &Limits) -> Vec<String> {
    let most = |limit: Option<i32>, what: &str| {
        limit.map(|n| format!("at most {}", number(usize::try_from(n).unwrap_or(0), what)))
    };
    let percent = limits
        .max_delete_percent
        .map(|n| format!("at most {n} % deleted"));
    let kinds = &limits.protected_kinds;
    let protected = (!kinds.is_empty()).then(|| number(kinds.len(), "protected kind"));
    [
        most(limits.max_deletes, "deletion"),
        percent,
        most(limits.max_changes, "change"),
        most(limits.max_recreates, "recreation"),
        protected,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn signatures(policy: &Policy) -> Option<String> {
    let signatures = policy.signatures.as_ref()?;
    match signatures.signers.len() {
        0 => signatures.required.then(|| "signed commits".to_owned()),
        n => Some(format!("commits signed by {}", number(n, "signer"))),
    }
}

fn verification(verification: &Verification) -> Vec<String> {
    let stable = &verification.stable_for;
    let mut parts = Vec::new();
    if stable != "0s" {
        parts.push(format!("healthy for {stable}"));
    }
    if !verification.metrics.is_empty() {
        parts.push(number(verification.metrics.len(), "metric"));
    }
    if !verification.http.is_empty() {
        parts.push(number(verification.http.len(), "HTTP check"));
    }
    parts
}
