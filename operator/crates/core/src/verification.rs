//! `verification` of policies: what must hold, after everything is healthy, before a release is good.
//!
//! Rules: semantics.md "Several policies": all checks of all policies, the longest `stableFor`, the shortest `timeout`. A
//! check that fails once fails nothing yet: the time that all must hold for begins anew. What does not hold by the end of
//! the timeout fails the release, with what was measured.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::policy::{HttpCheck, Metric};

use crate::duration::{human, parse};
use crate::policy::CompiledPolicy;
use crate::record::shorten;

/// Longest query that is repeated in a message, bytes.
const MAX_QUERY: usize = 120;
/// Checks that are named in one message.
const MAX_NAMED: usize = 3;
/// Most values of one answer that are looked at.
const MAX_VALUES: usize = 10_000;

/// What must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// How long all must hold without a break.
    pub stable_for: Duration,
    /// When the release has failed, from the moment that everything was healthy first. Never shorter than `stable_for`.
    pub timeout: Duration,
    /// Queries.
    pub metrics: Vec<Metric>,
    /// Requests.
    pub http: Vec<HttpCheck>,
}

impl Checks {
    /// True when there is nothing to ask: health alone must hold.
    pub fn ask_nothing(&self) -> bool {
        self.metrics.is_empty() && self.http.is_empty()
    }
}

/// What the policies demand together; `None` when they demand nothing.
pub fn demanded(policies: &[Arc<CompiledPolicy>]) -> Option<Checks> {
    let mut all: Option<Checks> = None;
    for policy in policies {
        let Some(asked) = &policy.policy.verification else {
            continue;
        };
        // The API server has checked both.
        let stable_for = parse(&asked.stable_for).unwrap_or_default();
        let timeout = parse(&asked.timeout).unwrap_or(Duration::from_secs(600));
        let checks = all.get_or_insert_with(|| Checks {
            timeout,
            ..Checks::default()
        });
        checks.stable_for = checks.stable_for.max(stable_for);
        checks.timeout = checks.timeout.min(timeout);
        for metric in &asked.metrics {
            if !checks.metrics.contains(metric) {
                checks.metrics.push(metric.clone());
            }
        }
        for http in &asked.http {
            if !checks.http.contains(http) {
                checks.http.push(http.clone());
            }
        }
    }
    if let Some(checks) = &mut all {
        checks.timeout = checks.timeout.max(checks.stable_for);
    }
    all
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What was asked, for people.
    pub what: String,
    /// What is wrong with the answer; `None` when it is good.
    pub wrong: Option<String>,
}

/// How far a release is with its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// When everything was healthy first.
    pub began: Timestamp,
    /// Since when all of it has held.
    pub good_since: Option<Timestamp>,
    /// True once something did not hold.
    pub broken: bool,
}

impl Watch {
    /// Everything is healthy for the first time.
    pub fn begin(now: Timestamp) -> Self {
        Self {
            began: now,
            good_since: None,
            broken: false,
        }
    }

    /// Health was lost: the time begins anew.
    pub fn lose(&mut self) {
        self.good_since = None;
        self.broken = true;
    }
}

/// What follows from what was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All has held for long enough.
    Good,
    /// It is looked at again, at that time at the latest.
    Wait {
        /// When something is decided.
        until: Timestamp,
        /// What is waited for.
        message: String,
    },
    /// The time is over.
    Failed {
        /// What was measured.
        message: String,
    },
}

/// Judges one round of checks, which was made at `now`.
pub fn judge(checks: &Checks, watch: &mut Watch, round: &[Measured], now: Timestamp) -> Verdict {
    let wrong = wrong(round);
    let end = watch.began.checked_add(checks.timeout).unwrap_or(Timestamp::MAX);
    let Some(wrong) = wrong else {
        if watch.broken && watch.good_since.is_none() && now >= end {
            return Verdict::Failed {
                message: format!(
                    "it did not stay healthy for {} within {}",
                    human(checks.stable_for),
                    human(checks.timeout)
                ),
            };
        }
        let since = *watch.good_since.get_or_insert(now);
        let stable = since.checked_add(checks.stable_for).unwrap_or(Timestamp::MAX);
        if now >= stable {
            return Verdict::Good;
        }
        // What holds at last is not cut off in the middle of its time.
        return Verdict::Wait {
            until: stable,
            message: format!("everything is healthy, and all checks must hold until {stable}"),
        };
    };
    watch.lose();
    if now >= end {
        return Verdict::Failed {
            message: format!(
                "checks did not hold for {} within {}: {wrong}",
                human(checks.stable_for),
                human(checks.timeout)
            ),
        };
    }
    Verdict::Wait {
        until: end,
        message: format!("checks do not hold, and have until {end}: {wrong}"),
    }
}

fn wrong(round: &[Measured]) -> Option<String> {
    let mut lines = round
        .iter()
        .filter_map(|m| Some(format!("{}: {}", m.what, m.wrong.as_ref()?)));
    let first = lines.next()?;
    let mut shown = vec![first];
    shown.extend(lines.by_ref().take(MAX_NAMED - 1));
    let more = lines.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    Some(shown.join("; "))
}

/// The query with its variables replaced.
pub fn query(metric: &Metric, namespace: &str, application: &str, release: &str) -> String {
    metric
        .prometheus
        .query
        .replace("$namespace", namespace)
        .replace("$application", application)
        .replace("$release", release)
}

/// Judges the answer of a Prometheus server to an instant query: every value must lie within the limits, and there must
/// be one.
pub fn read_metric(metric: &Metric, asked: &str, answer: Result<&[u8], String>) -> Measured {
    let wrong = match answer.and_then(values) {
        Err(cause) => Some(cause),
        Ok(values) if values.is_empty() => Some("no value at all, which is not good".to_owned()),
        Ok(values) => outside(metric, &values),
    };
    Measured {
        what: shorten(asked, MAX_QUERY),
        wrong,
    }
}

/// Judges the status of an answer.
pub fn read_status(check: &HttpCheck, answer: Result<u16, String>) -> Measured {
    let wrong = match answer {
        Err(cause) => Some(cause),
        Ok(status) if i32::from(status) == check.expect_status => None,
        Ok(status) => Some(format!("{status}, expected {}", check.expect_status)),
    };
    Measured {
        what: format!("GET {}", plain(&check.url)),
        wrong,
    }
}

/// An address without what may be secret in it: query and fragment.
pub fn plain(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    shorten(url.get(..end).unwrap_or_default(), MAX_QUERY)
}

fn values(body: &[u8]) -> Result<Vec<f64>, String> {
    let odd = || "the answer is not that of a Prometheus server".to_owned();
    let answer: Value = serde_json::from_slice(body).map_err(|_| odd())?;
    if answer["status"] != "success" {
        let error = answer["error"].as_str().ok_or_else(odd)?;
        return Err(format!("the query failed: {}", shorten(error, MAX_QUERY)));
    }
    let result = &answer["data"]["result"];
    let number = |sample: &Value| -> Result<f64, String> {
        let text = sample[1].as_str().ok_or_else(odd)?;
        // As Go writes them: `NaN`, `+Inf`.
        text.parse().map_err(|_| odd())
    };
    match answer["data"]["resultType"].as_str() {
        Some("scalar") => Ok(vec![number(result)?]),
        Some("vector") => {
            let series = result.as_array().ok_or_else(odd)?;
            if series.len() > MAX_VALUES {
                return Err(format!("more than {MAX_VALUES} values; aggregate in the query"));
            }
            series.iter().map(|one| number(&one["value"])).collect()
        }
        Some(other) => Err(format!(
            "the query makes a {}; it must make numbers",
            shorten(other, 20)
        )),
        None => Err(odd()),
    }
}

/// The first value outside of the limits. What is not a number is.
fn outside(metric: &Metric, values: &[f64]) -> Option<String> {
    let limit = |text: &Option<String>| text.as_ref().map(|text| (text.clone(), text.parse::<f64>()));
    let (min, max) = (limit(&metric.min), limit(&metric.max));
    for value in values {
        if let Some((text, min)) = &min
            && !min.as_ref().is_ok_and(|min| value >= min)
        {
            return Some(format!("{value}, at least {text}"));
        }
        if let Some((text, max)) = &max
            && !max.as_ref().is_ok_and(|max| value <= max)
        {
            return Some(format!("{value}, at most {text}"));
        }
    }
    None
}
