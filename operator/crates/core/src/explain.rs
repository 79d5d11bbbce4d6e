//! Why a release waits and what opens it, or why it failed and what to do: text for people, the same wherever it is shown.
//!
//! Lays out what the status says; the sentences about gates are those of [`crate::gate`].

mod gates;
mod outcome;

use std::fmt::Write as _;

use jiff::Timestamp;
use tidegate_api::release::{Phase, Trigger};
use tidegate_api::{Application, Release};

use crate::duration::human;
use crate::record::{changes, short_revision};

/// Explains one Release. `app` is its Application, where that is still there.
pub fn release(release: &Release, app: Option<&Application>, now: Timestamp) -> String {
    let subject = Subject::of(release, app, now);
    let mut text = Text::default();
    text.line(0, &subject.headline());
    text.gap();
    subject.facts(&mut text);
    match subject.phase {
        Phase::Planned | Phase::Waiting => gates::explain(&subject, &mut text),
        Phase::Applying | Phase::Verifying => {
            gates::say_passed(&subject, &mut text);
            outcome::under_way(&subject, &mut text);
        }
        Phase::Failed | Phase::RolledBack | Phase::Denied => {
            outcome::failed(&subject, &mut text);
            gates::say_passed(&subject, &mut text);
        }
        Phase::Superseded | Phase::Succeeded => {
            outcome::ended(&subject, &mut text);
            gates::say_passed(&subject, &mut text);
        }
    }
    text.out
}

/// Explains an Application: what runs, what keeps the newest commit from running, and its newest Release.
pub fn application(app: &Application, newest: Option<&Release>, now: Timestamp) -> String {
    let mut text = Text::default();
    outcome::application(app, newest, now, &mut text);
    // A release that is done and has nothing to say more than what runs is not told.
    let told = newest.filter(|release| {
        let status = release.status.as_ref();
        status.is_none_or(|status| !matches!(status.phase, Phase::Succeeded | Phase::Superseded))
    });
    if let Some(newest) = told {
        text.gap();
        text.out.push_str(&release(newest, Some(app), now));
    }
    text.out
}

/// A Release and what belongs to it.
struct Subject<'a> {
    release: &'a Release,
    app: Option<&'a Application>,
    now: Timestamp,
    name: &'a str,
    namespace: &'a str,
    phase: Phase,
}

impl<'a> Subject<'a> {
    fn of(release: &'a Release, app: Option<&'a Application>, now: Timestamp) -> Self {
        Self {
            release,
            app,
            now,
            name: release.metadata.name.as_deref().unwrap_or_default(),
            namespace: release.metadata.namespace.as_deref().unwrap_or_default(),
            phase: release.status.as_ref().map(|s| s.phase).unwrap_or_default(),
        }
    }

    fn status(&self) -> &'a tidegate_api::ReleaseStatus {
        static NONE: std::sync::LazyLock<tidegate_api::ReleaseStatus> =
            std::sync::LazyLock::new(Default::default);
        self.release.status.as_ref().unwrap_or(&NONE)
    }

    /// `shop -n shop`, as commands take it.
    fn application_argument(&self) -> String {
        format!("{} -n {}", self.release.spec.application, self.namespace)
    }

    fn headline(&self) -> String {
        let status = self.status();
        let took = &status.display.took;
        let after = if took.is_empty() {
            String::new()
        } else {
            format!(" after {took}")
        };
        let state = match self.phase {
            Phase::Planned => "is planned".to_owned(),
            Phase::Waiting => "waits".to_owned(),
            Phase::Applying => "is being applied".to_owned(),
            Phase::Verifying => "is applied and waits for health".to_owned(),
            Phase::Succeeded if took.is_empty() => "succeeded".to_owned(),
            Phase::Succeeded => format!("succeeded in {took}"),
            Phase::Failed => format!("failed{after}"),
            Phase::RolledBack => {
                let to = status
                    .rollback
                    .as_ref()
                    .map_or("the last good release", |r| &r.to);
                format!("failed{after}, and {to} was put back")
            }
            Phase::Superseded => format!("was superseded{after}"),
            Phase::Denied => "was refused: nothing of it was applied".to_owned(),
        };
        format!(
            "Release {} of Application {} in namespace {} {state}.",
            self.name, self.release.spec.application, self.namespace
        )
    }

    fn facts(&self, text: &mut Text) {
        let spec = &self.release.spec;
        let revision = &spec.revision;
        text.fact(
            "Commit",
            &format!(
                "{} \"{}\" by {}, {}",
                short_revision(&revision.reference, &revision.commit),
                revision.subject,
                revision.author,
                at(&revision.committed_at)
            ),
        );
        if let Some(signer) = &revision.signer {
            let who = signer.identity.as_deref().or(signer.key_id.as_deref());
            let who = who.map(|who| format!(" ({who})")).unwrap_or_default();
            text.fact("Signature", &format!("{}{who}", signer.state));
        }
        text.fact("Begun by", &self.trigger());
        let plan = &self.status().plan;
        if !plan.digest.is_empty() {
            text.fact(
                "Changes",
                &format!(
                    "{}, {} unchanged; plan {}",
                    changes(plan),
                    plan.unchanged,
                    plan.digest.get(..12).unwrap_or(&plan.digest)
                ),
            );
        }
        let times = &self.status().times;
        let since = times.planned.as_deref().and_then(|t| t.parse::<Timestamp>().ok());
        if let Some(since) = since.filter(|_| self.phase == Phase::Waiting) {
            text.fact(
                "Waiting",
                &format!("{}, since {}", between(since, self.now), second(since)),
            );
        }
        if let Some(finished) = &times.finished {
            text.fact("Ended", &at(finished));
        }
    }

    fn trigger(&self) -> String {
        let spec = &self.release.spec;
        match spec.trigger {
            Trigger::Commit => "a new commit".to_owned(),
            Trigger::Config => "a change of the Application's spec or inputs".to_owned(),
            Trigger::Manual => "somebody who asked for it".to_owned(),
            Trigger::Delete => "the deletion of the Application".to_owned(),
            Trigger::Drift => "objects that differ from what was applied".to_owned(),
            Trigger::Rollback => {
                let to = spec.restores.as_deref().unwrap_or("an earlier release");
                format!("somebody who wants {to} back")
            }
        }
    }
}

/// A text under way.
#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    fn line(&mut self, indent: usize, line: &str) {
        let _ = writeln!(self.out, "{:indent$}{}", "", line.trim_end());
    }

    fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn section(&mut self, title: &str) {
        self.gap();
        self.line(0, title);
    }

    fn fact(&mut self, label: &str, value: &str) {
        self.line(2, &format!("{label:<11}{value}"));
    }
}

/// A time of the status to the second; as it stands where it is none.
fn at(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), second)
}

fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

fn between(from: Timestamp, to: Timestamp) -> String {
    human(to.duration_since(from).try_into().unwrap_or_default())
}

/// `2026-11-26T08:00:00Z, in 14h`.
fn when(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("{}, in {}", second(time), between(now, time))
    } else {
        format!("{}, {} ago", second(time), between(time, now))
    }
}
