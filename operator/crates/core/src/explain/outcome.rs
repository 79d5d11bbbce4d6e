//! What came of a release, and what an Application has come to.

use jiff::Timestamp;
use tidegate_api::condition::{DRIFTED, HEALTHY, READY, SYNCED};
use tidegate_api::release::{Failure, Phase};
use tidegate_api::{Application, Release};

use super::{Subject, Text, at};
use crate::gate::suspended;

/// A release that is being carried out.
pub(super) fn under_way(subject: &Subject<'_>, text: &mut Text) {
    text.section("Now");
    text.line(2, &subject.status().display.message);
    failures(subject, "Not written yet, and tried again", text);
}

/// A release that did not come to a good end.
pub(super) fn failed(subject: &Subject<'_>, text: &mut Text) {
    let status = subject.status();
    text.section("Why");
    text.line(2, &status.display.message);
    failures(
        subject,
        if subject.phase == Phase::Denied {
            "What is wrong"
        } else {
            "Failed objects"
        },
        text,
    );
    if !status.results.survivors.is_empty() {
        text.section("Left behind");
        for survivor in &status.results.survivors {
            text.line(2, survivor);
        }
    }
    if let Some(rollback) = &status.rollback {
        text.section("Way back");
        let end = match &rollback.finished {
            Some(finished) => format!("finished {}", at(finished)),
            None => "not finished".to_owned(),
        };
        text.line(
            2,
            &format!("to {}, begun {}, {end}", rollback.to, at(&rollback.started)),
        );
        text.line(2, &format!("because {}", rollback.cause));
    }
    what_runs(subject, text);
    text.section("What to do");
    let argument = subject.application_argument();
    let quarantined = subject
        .app
        .and_then(|app| app.status.as_ref())
        .is_some_and(|status| {
            status
                .quarantined
                .iter()
                .any(|q| q.commit == subject.release.spec.revision.commit)
        });
    match subject.phase {
        Phase::Denied => text.line(
            2,
            "-> correct what is listed and push: the next commit is looked at by itself",
        ),
        _ => text.line(2, "-> push a commit that corrects it: it is released by itself"),
    }
    if quarantined {
        text.line(
            2,
            "-> this commit is in quarantine: a later one waits as long as it has all of what failed",
        );
    } else {
        text.line(
            2,
            &format!(
                "-> if the cause was outside of git, try the same commit again: tidegate reconcile {argument}"
            ),
        );
    }
    let good = subject
        .app
        .and_then(|app| app.status.as_ref()?.last_good_release.clone());
    if let Some(good) = good.filter(|_| subject.phase == Phase::Failed) {
        text.line(
            2,
            &format!("-> or go back: tidegate rollback {argument} --to {good}"),
        );
    }
}

/// A release that is done.
pub(super) fn ended(subject: &Subject<'_>, text: &mut Text) {
    text.section("Result");
    text.line(2, &subject.status().display.message);
    if subject.phase == Phase::Superseded {
        text.line(
            2,
            &format!("-> tidegate explain {}", subject.application_argument()),
        );
    }
}

fn failures(subject: &Subject<'_>, title: &str, text: &mut Text) {
    let results = &subject.status().results;
    if results.failed.is_empty() {
        return;
    }
    text.section(&format!("{title}: {}", results.failed_total));
    for failure in &results.failed {
        one(failure, text);
    }
    let more = usize::try_from(results.failed_total)
        .unwrap_or(0)
        .saturating_sub(results.failed.len());
    if more > 0 {
        text.line(2, &format!("and {more} more"));
    }
}

fn one(failure: &Failure, text: &mut Text) {
    let place = failure
        .location
        .as_deref()
        .map(|l| format!("  at {l}"))
        .unwrap_or_default();
    let object = if failure.object.is_empty() {
        "(the source)"
    } else {
        &failure.object
    };
    text.line(2, &format!("{object}{place}"));
    let field = failure
        .field
        .as_deref()
        .map(|f| format!("{f}: "))
        .unwrap_or_default();
    text.line(4, &format!("{field}{}", failure.message));
    if let Some(reason) = &failure.pod_reason {
        text.line(4, &format!("its pods: {reason}"));
    }
}

fn what_runs(subject: &Subject<'_>, text: &mut Text) {
    let Some(status) = subject.app.and_then(|app| app.status.as_ref()) else {
        return;
    };
    text.section("What runs now");
    text.line(2, &running(status));
}

fn running(status: &tidegate_api::application::ApplicationStatus) -> String {
    let display = &status.display;
    if display.revision.is_empty() {
        return "nothing: no commit was applied yet".to_owned();
    }
    let release = status
        .current_release
        .as_deref()
        .map(|r| format!(" of Release {r}"))
        .unwrap_or_default();
    format!(
        "{}{release}; {} objects healthy",
        display.revision, display.objects
    )
}

/// An Application as a whole.
pub(super) fn application(app: &Application, newest: Option<&Release>, now: Timestamp, text: &mut Text) {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    text.line(0, &format!("Application {name} in namespace {namespace}"));
    text.gap();
    let Some(status) = &app.status else {
        text.line(2, "the operator has not looked at it yet; is it running?");
        return;
    };
    text.fact("Runs", &running(status));
    if let Some(newest) = newest {
        let phase = newest.status.as_ref().map(|s| s.phase).unwrap_or_default();
        let newest = newest.metadata.name.as_deref().unwrap_or_default();
        text.fact("Newest", &format!("Release {newest}, {}", phase.as_str()));
    }
    for kind in [READY, SYNCED, HEALTHY, DRIFTED] {
        if let Some(condition) = status.conditions.iter().find(|c| c.type_ == kind) {
            text.fact(
                kind,
                &format!(
                    "{}, {}: {}",
                    condition.status, condition.reason, condition.message
                ),
            );
        }
    }
    if status.observed_generation != app.metadata.generation {
        text.fact(
            "",
            "its spec has changed since; the operator has not looked at it yet",
        );
    }
    holds(app, status, now, text);
}

/// What keeps newer commits from running beside a release's gates.
fn holds(
    app: &Application,
    status: &tidegate_api::application::ApplicationStatus,
    now: Timestamp,
    text: &mut Text,
) {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    let resume = format!("-> tidegate resume {name} -n {namespace}");
    if let Some((message, _)) = suspended(app.spec.suspend.as_ref(), now) {
        text.section("Suspended");
        text.line(2, &message);
        text.line(2, &resume);
    }
    if let Some(back) = &status.rolled_back {
        text.section("Rolled back");
        text.line(
            2,
            &format!(
                "{} was put back because somebody asked; it holds until a commit makes something else",
                back.to
            ),
        );
        text.line(2, &resume);
    }
    if !status.quarantined.is_empty() {
        text.section("In quarantine");
    }
    for bad in &status.quarantined {
        let commit = bad.commit.get(..8).unwrap_or(&bad.commit);
        text.line(2, &format!("{commit} of {}: {}", bad.release, bad.cause));
        let culprits: Vec<&str> = bad.culprits.iter().map(|c| c.id.as_str()).collect();
        text.line(
            4,
            &format!(
                "a commit passes when one of these differs: {}",
                culprits.join(", ")
            ),
        );
    }
    let waits = status
        .conditions
        .iter()
        .any(|c| c.type_ == SYNCED && c.status == "False");
    if waits && !app.spec.depends_on.is_empty() {
        text.section("Goes after");
        for dependency in &app.spec.depends_on {
            text.line(
                2,
                &format!("-> tidegate explain {} -n {namespace}", dependency.name),
            );
        }
    }
}
