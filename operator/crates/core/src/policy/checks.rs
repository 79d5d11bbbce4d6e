//! What can be wrong in a policy that the API server cannot see, or that was never sent to one (`tidegate lint`).
//!
//! A part that cannot be used is a problem of the whole policy: it is closed, never skipped.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tidegate_api::policy::{Allow, Approvals, GateName, HttpCheck, Limits, Metric, Policy, Verification};

use crate::duration;
use crate::guard::{KindPattern, SourcePattern, TargetPattern};
use crate::kind_name::KindName;
use crate::problem::Problem;

/// Longest time in a policy.
const LONGEST: Duration = Duration::from_hours(744);

/// The problems of one policy, as they are found.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) problems: Vec<Problem>,
}

impl Checks {
    fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            reason: "InvalidPolicy",
            object: String::new(),
            field: Some(field.into()),
            location: None,
            message: message.into(),
        });
    }

    /// All but `windows` and `rules`, which are read elsewhere.
    pub(super) fn policy(&mut self, policy: &Policy) {
        self.selector("spec.selector", policy.selector.as_ref());
        if let Some(until) = policy.freeze.as_ref().and_then(|f| f.until.as_deref())
            && until.parse::<Timestamp>().is_err()
        {
            let message = format!("`{until}` is no time; write RFC 3339, as in 2026-11-30T00:00:00Z");
            self.wrong("spec.freeze.until", message);
        }
        if let Some(approvals) = &policy.approvals {
            self.approvals(approvals);
        }
        if let Some(overrides) = &policy.overrides {
            self.gates("spec.overrides.gates", &overrides.gates);
            if overrides.gates.is_empty() {
                self.wrong(
                    "spec.overrides.gates",
                    "is empty; name the gates that an Override may open",
                );
            }
            self.time("spec.overrides.maxDuration", overrides.max_duration.as_deref());
        }
        for (index, after) in policy.after.iter().enumerate() {
            self.span(&format!("spec.after[{index}].soak"), &after.soak);
        }
        if let Some(limits) = &policy.limits {
            self.limits(limits);
        }
        for (index, signer) in policy
            .signatures
            .iter()
            .flat_map(|s| s.signers.iter().enumerate())
        {
            for (at, kind) in signer.kinds.iter().enumerate() {
                self.kind(&format!("spec.signatures.signers[{index}].kinds[{at}]"), kind);
            }
        }
        if let Some(verification) = &policy.verification {
            self.verification(verification);
        }
        self.gates("spec.driftCorrections.gates", &policy.drift_corrections.gates);
    }

    /// `allow` of a cluster policy.
    pub(super) fn allow(&mut self, allow: &Allow) {
        for (index, source) in allow.sources.iter().flatten().enumerate() {
            if let Err(why) = SourcePattern::parse(source) {
                self.wrong(format!("spec.allow.sources[{index}]"), why);
            }
        }
        for (index, target) in allow.targets.iter().flatten().enumerate() {
            if let Err((field, why)) = TargetPattern::parse(target) {
                self.wrong(format!("spec.allow.targets[{index}].{field}"), why);
            }
        }
        let lists = [("kinds", &allow.kinds), ("clusterScoped", &allow.cluster_scoped)];
        for (name, list) in lists {
            for (index, kind) in list.iter().flatten().enumerate() {
                if let Err((field, why)) = KindPattern::parse(kind) {
                    self.wrong(format!("spec.allow.{name}[{index}].{field}"), why);
                }
            }
        }
    }

    pub(super) fn selector(&mut self, field: &str, selector: Option<&LabelSelector>) {
        let expressions = selector.and_then(|s| s.match_expressions.as_ref());
        for (index, expression) in expressions.into_iter().flatten().enumerate() {
            let at = format!("{field}.matchExpressions[{index}]");
            let values = expression.values.as_deref().unwrap_or_default();
            match expression.operator.as_str() {
                "In" | "NotIn" if values.is_empty() => {
                    self.wrong(
                        format!("{at}.values"),
                        "is empty; In and NotIn need at least one value",
                    );
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    self.wrong(format!("{at}.values"), "Exists and DoesNotExist take no values");
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                other => {
                    let message = format!("`{other}` is none of In, NotIn, Exists and DoesNotExist");
                    self.wrong(format!("{at}.operator"), message);
                }
            }
        }
    }

    /// A cluster policy narrows only by labels that not everybody may set.
    pub(super) fn narrowing(&mut self, selector: Option<&LabelSelector>, protected: &[String]) {
        let labels = selector
            .and_then(|s| s.match_labels.as_ref())
            .into_iter()
            .flatten();
        let expressions = selector
            .and_then(|s| s.match_expressions.as_ref())
            .into_iter()
            .flatten();
        let keys = labels.map(|(key, _)| key).chain(expressions.map(|e| &e.key));
        for key in keys.filter(|key| !protected.contains(*key)) {
            let message = format!(
                "narrows by label {key}, which spec.protectedLabels does not name; whoever may label an Application could take it out"
            );
            self.wrong("spec.selector", message);
        }
    }

    fn approvals(&mut self, approvals: &Approvals) {
        if approvals.required < 1 {
            self.wrong(
                "spec.approvals.required",
                "must be at least 1; leave approvals out to ask nobody",
            );
        }
        let named = approvals.users.len();
        let most = usize::try_from(approvals.required).unwrap_or(0);
        if approvals.groups.is_empty() && named > 0 && named < most {
            let message =
                format!("{most} approvals can never come from {named} users; name more users or a group");
            self.wrong("spec.approvals.required", message);
        }
        self.time("spec.approvals.validFor", approvals.valid_for.as_deref());
    }

    fn limits(&mut self, limits: &Limits) {
        let counts = [
            ("maxDeletes", limits.max_deletes),
            ("maxDeletePercent", limits.max_delete_percent),
            ("maxChanges", limits.max_changes),
            ("maxRecreates", limits.max_recreates),
        ];
        for (name, limit) in counts {
            if limit.is_some_and(|limit| limit < 0) {
                self.wrong(format!("spec.limits.{name}"), "must not be negative");
            }
        }
        if limits.max_delete_percent.is_some_and(|percent| percent > 100) {
            self.wrong("spec.limits.maxDeletePercent", "must be at most 100");
        }
        for (index, kind) in limits.protected_kinds.iter().enumerate() {
            self.kind(&format!("spec.limits.protectedKinds[{index}]"), kind);
        }
    }

    fn verification(&mut self, verification: &Verification) {
        let stable = self.span("spec.verification.stableFor", &verification.stable_for);
        let timeout = self.time("spec.verification.timeout", Some(&verification.timeout));
        if let (Some(stable), Some(timeout)) = (stable, timeout)
            && stable > timeout
        {
            self.wrong(
                "spec.verification.stableFor",
                "is longer than spec.verification.timeout: no release could ever be verified",
            );
        }
        for (index, metric) in verification.metrics.iter().enumerate() {
            self.metric(&format!("spec.verification.metrics[{index}]"), metric);
        }
        for (index, check) in verification.http.iter().enumerate() {
            self.http(&format!("spec.verification.http[{index}]"), check);
        }
    }

    fn metric(&mut self, at: &str, metric: &Metric) {
        let mut read = |name: &str, text: Option<&String>| {
            let text = text?;
            let number = decimal(text);
            if number.is_none() {
                let message = format!("`{text}` is no decimal number; write for example \"0.01\"");
                self.wrong(format!("{at}.{name}"), message);
            }
            number
        };
        let (min, max) = (read("min", metric.min.as_ref()), read("max", metric.max.as_ref()));
        if metric.min.is_none() && metric.max.is_none() {
            self.wrong(at, "needs min or max: else any answer would do");
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.wrong(format!("{at}.min"), "is larger than max: no answer is good");
        }
        self.address(&format!("{at}.prometheus.address"), &metric.prometheus.address);
    }

    fn http(&mut self, at: &str, check: &HttpCheck) {
        self.address(&format!("{at}.url"), &check.url);
        if !(100..=599).contains(&check.expect_status) {
            self.wrong(
                format!("{at}.expectStatus"),
                "must be the status of an HTTP answer, 100 to 599",
            );
        }
    }

    fn address(&mut self, field: &str, address: &str) {
        let rest = address
            .strip_prefix("https://")
            .or(address.strip_prefix("http://"));
        let host = rest
            .and_then(|rest| rest.split(['/', '?', '#']).next())
            .unwrap_or_default();
        if host.is_empty() || host.contains('@') || address.contains(char::is_whitespace) {
            self.wrong(
                field,
                "must be http://host or https://host with an optional path, without credentials",
            );
        }
    }

    fn kind(&mut self, field: &str, kind: &str) {
        if let Err(why) = KindName::parse(kind) {
            self.wrong(field, why);
        }
    }

    fn gates(&mut self, field: &str, gates: &[GateName]) {
        for (index, gate) in gates.iter().enumerate() {
            if gates[..index].contains(gate) {
                self.wrong(
                    format!("{field}[{index}]"),
                    format!("{} is there already", gate.as_str()),
                );
            }
        }
    }

    /// A duration of at least one second.
    fn time(&mut self, field: &str, text: Option<&str>) -> Option<Duration> {
        let time = self.span(field, text?)?;
        if time < Duration::from_secs(1) {
            self.wrong(field, "must be at least 1s");
        }
        Some(time)
    }

    /// A duration that may be zero.
    fn span(&mut self, field: &str, text: &str) -> Option<Duration> {
        match duration::parse(text) {
            Ok(time) if time > LONGEST => {
                self.wrong(field, "must be at most 744h");
                None
            }
            Ok(time) => Some(time),
            Err(why) => {
                self.wrong(field, why);
                None
            }
        }
    }
}

/// A decimal number as the CRD allows it: no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| text.parse().ok())?
}
