//! The log that an Application keeps of the commits that it ran, and how long each was healthy: the ground of `after`.
//!
//! Rules: semantics.md "After / soak". The time counts for what runs, not for the commit: one that makes the same as the
//! one before it (it touches only another Application's folder) has its time at once. Health that is lost ends the time
//! of what runs, and it begins anew when health is back. What was healthy up to the moment when something else took its
//! place keeps its time: earned is earned.

use jiff::Timestamp;
use tidegate_api::application::ApplicationStatus;
use tidegate_api::condition::READY;
use tidegate_api::observed::{HealthySpan, ObservedCommit};
use tidegate_api::release::Phase;

use crate::record::shorten;

/// Most commits in the log.
pub const MAX: usize = 20;
/// Longest cause that is repeated, bytes.
const MAX_CAUSE: usize = 300;

/// A commit that was looked at to the end: what runs is what it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Full id.
    pub commit: String,
    /// `master@1a2b3c4d`.
    pub shown: String,
    /// Tree at the Application's path.
    pub tree: String,
    /// Keyed digest of the set.
    pub digest: String,
}

/// What is known at the end of a look.
#[derive(Clone, Debug, Default)]
pub struct Runs<'a> {
    /// The newest commit, if what runs is what it makes and its release did not fail.
    pub settled: Option<Settled>,
    /// Digest of the set that runs as a whole; `None` while it is being replaced, or is no whole.
    pub digest: Option<&'a str>,
    /// Whether all of it is healthy and as it was applied; `None` while that is not known.
    pub sound: Option<bool>,
}

/// The digest of the set that runs as a whole, as the log and the status have it; `bringing` is that of a release which is
/// not finished.
pub fn running<'a>(status: &'a ApplicationStatus, bringing: Option<&'a str>) -> Option<&'a str> {
    if bringing.is_some() {
        return bringing;
    }
    let applied = status.last_applied_revision.as_deref()?;
    let entry = status.observed.iter().rev().find(|e| e.commit == applied)?;
    // A release that failed half-way leaves neither the one set nor the other.
    let tried = status.attempted_digest.as_deref() == Some(&entry.digest);
    let put_back = status.rolled_back.is_some() || status.display.phase == Phase::RolledBack.as_str();
    (tried || put_back).then_some(entry.digest.as_str())
}

/// Brings the log to what is known now. `unlogged` is the newest commit that makes the same as the one that runs: it is
/// entered only when something else takes its place, so that a commit which changes nothing is not written down at once.
pub fn note(log: &mut Vec<ObservedCommit>, unlogged: &mut Option<Settled>, runs: &Runs<'_>, now: Timestamp) {
    let mut late = None;
    for entry in log.iter_mut() {
        if runs.digest == Some(entry.digest.as_str()) {
            match runs.sound {
                None => {}
                Some(true) => {
                    entry.healthy_since.get_or_insert_with(|| now.to_string());
                }
                Some(false) => entry.healthy_since = None,
            }
        } else if let Some(from) = entry.healthy_since.take() {
            let until = now.to_string();
            keep_longer(entry, HealthySpan { from, until });
            let newer = unlogged.take_if(|newer| newer.digest == entry.digest);
            late = late.or_else(|| newer.map(|newer| same_as(entry, newer)));
        }
    }
    log.extend(late);
    if let Some(settled) = &runs.settled {
        enter(log, unlogged, settled, runs.sound, now);
    }
    while log.len() > MAX {
        log.remove(dispensable(log));
    }
}

fn keep_longer(entry: &mut ObservedCommit, span: HealthySpan) {
    let length = |span: &HealthySpan| seconds(&span.from, &span.until);
    if entry
        .soaked
        .as_ref()
        .is_none_or(|before| length(before) < length(&span))
    {
        entry.soaked = Some(span);
    }
}

fn same_as(entry: &ObservedCommit, newer: Settled) -> ObservedCommit {
    ObservedCommit {
        commit: newer.commit,
        revision: newer.shown,
        ..entry.clone()
    }
}

fn enter(
    log: &mut Vec<ObservedCommit>,
    unlogged: &mut Option<Settled>,
    settled: &Settled,
    sound: Option<bool>,
    now: Timestamp,
) {
    let known = |e: &ObservedCommit| e.commit == settled.commit && e.digest == settled.digest;
    if log.iter().any(known) {
        return;
    }
    let running = log.last().filter(|last| last.digest == settled.digest);
    if let Some(last) = running.filter(|last| last.tree == settled.tree) {
        if last.commit != settled.commit {
            *unlogged = Some(settled.clone());
        }
        return;
    }
    let begun = running.and_then(|last| last.healthy_since.clone());
    let soaked = running.and_then(|last| last.soaked.clone());
    // The same commit makes something else since the spec was edited: its time begins anew.
    log.retain(|e| e.commit != settled.commit);
    log.push(ObservedCommit {
        commit: settled.commit.clone(),
        revision: settled.shown.clone(),
        tree: settled.tree.clone(),
        digest: settled.digest.clone(),
        since: now.to_string(),
        healthy_since: begun.or_else(|| (sound == Some(true)).then(|| now.to_string())),
        soaked,
    });
    *unlogged = None;
}

/// The entry that is missed least: the oldest that a newer one has outlasted, else the one with the shortest time. Never
/// the newest.
fn dispensable(log: &[ObservedCommit]) -> usize {
    let time = |e: &ObservedCommit| e.soaked.as_ref().map_or(0, |s| seconds(&s.from, &s.until));
    let old = log.len().saturating_sub(1);
    let outlasted = (0..old).find(|at| {
        log[at + 1..old]
            .iter()
            .any(|newer| time(newer) >= time(&log[*at]))
    });
    outlasted.unwrap_or_else(|| (0..old).min_by_key(|at| time(&log[*at])).unwrap_or(0))
}

fn seconds(from: &str, until: &str) -> i64 {
    match (from.parse::<Timestamp>(), until.parse::<Timestamp>()) {
        (Ok(from), Ok(until)) => until.as_second().saturating_sub(from.as_second()),
        _ => 0,
    }
}

/// What an Application shows to those that come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// `master@1a2b3c4d` of what runs; empty before the first release.
    pub runs: String,
    /// The message of condition `Ready`.
    pub message: String,
    /// The log, oldest first.
    pub log: Vec<ObservedCommit>,
    /// Commits that failed, and why.
    pub failed: Vec<(String, String)>,
}

impl Shown {
    /// As the status says it.
    pub fn of(status: &ApplicationStatus) -> Self {
        let ready = status.conditions.iter().find(|c| c.type_ == READY);
        let message = shorten(ready.map_or("", |c| &c.message), MAX_CAUSE);
        let bad = [Phase::Failed, Phase::Denied, Phase::RolledBack].map(Phase::as_str);
        let newest = status
            .last_attempted_revision
            .clone()
            .filter(|_| bad.contains(&status.display.phase.as_str()))
            .map(|commit| (commit, message.clone()));
        let quarantined = status
            .quarantined
            .iter()
            .map(|q| (q.commit.clone(), shorten(&q.cause, MAX_CAUSE)));
        Self {
            runs: status.display.revision.clone(),
            message,
            log: status.observed.clone(),
            failed: quarantined.chain(newest).collect(),
        }
    }

    /// Why a commit failed.
    pub fn failure(&self, commit: &str) -> Option<&str> {
        let found = self.failed.iter().find(|(failed, _)| failed == commit);
        found.map(|(_, cause)| cause.as_str())
    }

    /// True when what counts for others is the same; words do not.
    pub fn equals(&self, other: &Self) -> bool {
        let failed = |shown: &Self| -> Vec<String> { shown.failed.iter().map(|(c, _)| c.clone()).collect() };
        self.log == other.log && failed(self) == failed(other)
    }
}
