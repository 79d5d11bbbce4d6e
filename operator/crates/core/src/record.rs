//! What a Release says: names, plan summary, failures, times. Bounded whatever the size of the release.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tidegate_api::release::{
    Change, Failure, Gate, GateDecision, Phase, PlanSummary, ReleaseDisplay, ReleaseRevision, Results, Times,
};

use crate::desired::Rendered;
use crate::diff::changed_fields;
use crate::duration::human;
use crate::plan::{Action, Plan};

/// Most changes and failures in a record.
pub const MAX_LISTED: usize = 20;
/// Most fields of one change.
pub const MAX_FIELDS: usize = 5;
/// Longest message in a column of `kubectl get`, bytes; conditions and results have it whole.
pub const MAX_COLUMN: usize = 300;
/// Longest message of one failure, bytes.
const MAX_MESSAGE: usize = 400;

/// Longest part of an Application's name in a Release's name, bytes.
const MAX_NAME: usize = 40;

/// `<application up to 40>-<sequence, 6 digits>`. The end of a longer name is replaced by 8 digits of its hash, so that
/// two Applications whose names begin alike keep apart.
pub fn release_name(application: &str, sequence: i64) -> String {
    if application.len() <= MAX_NAME {
        return format!("{application}-{sequence:06}");
    }
    let hash = Sha256::digest(application);
    let tail = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let head = application.get(..MAX_NAME - 9).unwrap_or_default();
    let head = head.trim_end_matches(['-', '.']);
    format!("{head}-{tail:08x}-{sequence:06}")
}

/// The number in a Release's name.
pub fn sequence_of(release: &str) -> Option<i64> {
    let (_, digits) = release.rsplit_once('-')?;
    digits.parse().ok()
}

/// `master@1a2b3c4d`.
pub fn short_revision(reference: &str, commit: &str) -> String {
    format!("{reference}@{}", commit.get(..8).unwrap_or(commit))
}

/// Counts and first changes of a plan. `previous` is what the last applied commit made, for `from → to`.
pub fn summarize(plan: &Plan, previous: Option<&Rendered>) -> PlanSummary {
    let count = |verb: &str| i32::try_from(plan.count(verb)).unwrap_or(i32::MAX);
    PlanSummary {
        digest: plan.digest.clone(),
        create: count("create"),
        update: count("update"),
        recreate: count("recreate"),
        delete: count("delete"),
        unchanged: i32::try_from(plan.unchanged).unwrap_or(i32::MAX),
        ignored: i32::try_from(plan.rendered.left_out.len()).unwrap_or(i32::MAX),
        changes: all_changes(plan, previous).take(MAX_LISTED).collect(),
    }
}

/// Every change of a plan, in the order of execution; the record has the first of them.
pub fn all_changes<'a>(
    plan: &'a Plan,
    previous: Option<&'a Rendered>,
) -> impl Iterator<Item = Change> + use<'a> {
    plan.steps.iter().map(move |step| {
        let old = previous.and_then(|p| p.get(&step.id));
        let new = plan.rendered.get(&step.id);
        let fields = match (&step.action, old, new) {
            (Action::Update { .. } | Action::Recreate { .. }, Some(old), Some(new)) => {
                changed_fields(&step.id, &old.body, &new.body, MAX_FIELDS)
            }
            _ => Vec::new(),
        };
        Change {
            action: step.action.verb().to_owned(),
            object: step.id.to_string(),
            fields,
        }
    })
}

/// `+3 ~12 -1`.
pub fn changes(summary: &PlanSummary) -> String {
    format!(
        "+{} ~{} -{}",
        summary.create,
        summary.update + summary.recreate,
        summary.delete
    )
}

/// Failures and survivors, bounded.
pub fn results(mut failed: Vec<Failure>, mut survivors: Vec<String>) -> Results {
    let failed_total = i32::try_from(failed.len()).unwrap_or(i32::MAX);
    failed.truncate(MAX_LISTED);
    survivors.truncate(MAX_LISTED);
    for failure in &mut failed {
        failure.message = shorten(&failure.message, MAX_MESSAGE);
        failure.pod_reason = failure.pod_reason.take().map(|r| shorten(&r, MAX_MESSAGE));
    }
    Results {
        failed,
        failed_total,
        survivors,
    }
}

/// Most lines of `status.gates` and `status.approvals`: what the schema says.
pub const MAX_LINES: usize = 64;
/// Longest message of one gate, bytes.
const MAX_GATE: usize = 1000;

/// What the gates said, bounded: closed ones come first where there are too many.
pub fn gates(mut gates: Vec<Gate>) -> Vec<Gate> {
    if gates.len() > MAX_LINES {
        gates.sort_by_key(|gate| gate.decision != GateDecision::Closed);
        gates.truncate(MAX_LINES);
    }
    for gate in &mut gates {
        gate.message = shorten(&gate.message, MAX_GATE);
    }
    gates
}

/// Cuts a text at a character boundary and says so.
pub fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// One line about failures for conditions and columns: the first two, then how many more.
pub fn failure_line(failed: &[Failure], total: usize) -> String {
    let line = |f: &Failure| {
        let place = f
            .location
            .as_deref()
            .map(|l| format!("{l}: "))
            .unwrap_or_default();
        let object = if f.object.is_empty() {
            String::new()
        } else {
            format!("{}: ", f.object)
        };
        let field = f.field.as_deref().map(|x| format!("{x}: ")).unwrap_or_default();
        format!(
            "{place}{object}{field}{}",
            f.pod_reason.as_deref().unwrap_or(&f.message)
        )
    };
    let shown: Vec<String> = failed.iter().take(3).map(line).collect();
    let more = total.saturating_sub(shown.len());
    let tail = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join("; "))
}

/// What the columns of a Release show.
pub fn display(
    revision: &ReleaseRevision,
    summary: &PlanSummary,
    times: &Times,
    phase: Phase,
    message: &str,
) -> ReleaseDisplay {
    let by = revision.author.split('<').next().unwrap_or_default().trim();
    ReleaseDisplay {
        revision: short_revision(&revision.reference, &revision.commit),
        changes: changes(summary),
        by: by.to_owned(),
        took: if phase.is_final() {
            took(times).unwrap_or_default()
        } else {
            String::new()
        },
        message: shorten(message, MAX_COLUMN),
    }
}

/// Time from detection to the final phase.
fn took(times: &Times) -> Option<String> {
    let start: Timestamp = times.detected.as_deref()?.parse().ok()?;
    let end: Timestamp = times.finished.as_deref()?.parse().ok()?;
    end.duration_since(start).try_into().ok().map(human)
}

/// Names of finished Releases to delete, given (sequence, name, phase) and what must stay.
pub fn beyond_history(mut finished: Vec<(i64, String)>, limit: usize, keep: &[&str]) -> Vec<String> {
    finished.sort_unstable_by(|a, b| b.cmp(a));
    finished
        .into_iter()
        .skip(limit)
        .map(|(_, name)| name)
        .filter(|name| !keep.contains(&name.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_sequence_and_stay_short() {
        assert_eq!(release_name("shop", 7), "shop-000007");
        let long = "x".repeat(200);
        assert_eq!(release_name(&long, 1).len(), 47);
        assert_ne!(release_name(&long, 1), release_name(&format!("{long}y"), 1));
    }

    #[test]
    fn history_keeps_the_newest_and_the_last_good() {
        let all = (1..=5).map(|n| (n, format!("a-{n}"))).collect();
        assert_eq!(beyond_history(all, 2, &["a-1"]), ["a-3", "a-2"]);
    }
}
