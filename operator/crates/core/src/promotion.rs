//! `after` of policies: what became of a commit in the Applications that go before, and which commit to follow meanwhile.
//!
//! Rules: semantics.md "After / soak". A newer commit takes nothing from an older one: while the newest has not earned its
//! way, the newest that has is followed, never one older than what was applied last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::observed::ObservedCommit;

use crate::duration::human;
use crate::gate::AfterState;
use crate::policy::PolicyName;
use crate::record::shorten;
use crate::soak::Shown;

/// Longest message of another Application that is repeated, bytes.
const MAX_MESSAGE: usize = 300;

/// An Application that goes before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `staging/shop`, with its cluster where that is another.
    pub name: String,
    /// What is seen of it.
    pub sight: Sight,
}

/// What is seen of an Application that goes before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// There is none of that name.
    Missing,
    /// It is on its way out.
    Deleting,
    /// Nothing, and why.
    Unknown(String),
    /// It was edited, and has not been looked at since.
    Edited,
    /// It waits for the Application that waits for it: the way around.
    Circle(Vec<String>),
    /// It stands so.
    At(Shown),
}

/// The commit that is to be released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Full id.
    pub commit: String,
    /// `master@1a2b3c4d`.
    pub shown: String,
    /// Commits in the stage's log that make there what this one makes there, this one included.
    pub alike: BTreeSet<String>,
    /// Whether the stage has come to this commit, or to a newer one.
    pub observed: bool,
}

/// What became of a commit in one stage.
pub fn judge(stage: &Stage, wanted: &Wanted, soak: Duration, now: Timestamp) -> AfterState {
    let name = &stage.name;
    let not_yet = |message: String| AfterState::NotYet { message };
    let shown = match &stage.sight {
        Sight::Missing => {
            return AfterState::Never {
                message: format!(
                    "there is no Application {name}; create it, or correct `after` of the policy"
                ),
            };
        }
        Sight::Circle(way) => {
            return AfterState::Never {
                message: circle_line(way),
            };
        }
        Sight::Deleting => return not_yet(format!("Application {name} is being deleted")),
        Sight::Edited => {
            return not_yet(format!(
                "Application {name} was edited and has not been looked at since"
            ));
        }
        Sight::Unknown(why) => return not_yet(format!("Application {name}: {why}")),
        Sight::At(shown) => shown,
    };
    let same: Vec<&ObservedCommit> = shown
        .log
        .iter()
        .filter(|entry| wanted.alike.contains(&entry.commit))
        .collect();
    let failed = same
        .iter()
        .map(|entry| entry.commit.as_str())
        .chain([wanted.commit.as_str()])
        .find_map(|commit| shown.failure(commit));
    if let Some(cause) = failed {
        return not_yet(format!(
            "{} failed in {name}: {}",
            wanted.shown,
            shorten(cause, MAX_MESSAGE)
        ));
    }
    if !wanted.observed {
        let runs = match shown.runs.as_str() {
            "" => "runs nothing yet".to_owned(),
            runs => format!("runs {runs}"),
        };
        return not_yet(format!(
            "{} has not come to {name}, which {runs}: {}",
            wanted.shown,
            shorten(&shown.message, MAX_MESSAGE)
        ));
    }
    if let Some(since) = same.iter().filter_map(|e| earned(e, soak, now)).min() {
        return AfterState::Earned { since };
    }
    if let Some(until) = same.iter().filter_map(|e| soaking_until(e, soak)).min() {
        return AfterState::Soaking { until };
    }
    not_yet(match same.last() {
        None => format!(
            "{} has come to {name}, and is not what runs there: {}",
            wanted.shown,
            shorten(&shown.message, MAX_MESSAGE)
        ),
        Some(entry) => match &entry.soaked {
            Some(span) => format!(
                "{} was replaced in {name} after {} of {}; a newer commit may earn it",
                wanted.shown,
                span_length(&span.from, &span.until).map_or_else(|| "less".to_owned(), human),
                human(soak)
            ),
            None => format!(
                "{} is not healthy in {name}: {}",
                wanted.shown,
                shorten(&shown.message, MAX_MESSAGE)
            ),
        },
    })
}

/// Since when an entry has been healthy for long enough.
fn earned(entry: &ObservedCommit, soak: Duration, now: Timestamp) -> Option<Timestamp> {
    let kept = entry.soaked.as_ref().and_then(|span| {
        let end = span.from.parse::<Timestamp>().ok()?.checked_add(soak).ok()?;
        (end <= span.until.parse().ok()?).then_some(end)
    });
    let current = soaking_until(entry, soak).filter(|end| *end <= now);
    [kept, current].into_iter().flatten().min()
}

/// When an entry that is healthy now will have been for long enough.
fn soaking_until(entry: &ObservedCommit, soak: Duration) -> Option<Timestamp> {
    let since: Timestamp = entry.healthy_since.as_deref()?.parse().ok()?;
    since.checked_add(soak).ok()
}

fn span_length(from: &str, until: &str) -> Option<Duration> {
    let (from, until): (Timestamp, Timestamp) = (from.parse().ok()?, until.parse().ok()?);
    until.duration_since(from).try_into().ok()
}

/// When a commit of a stage will next have earned its way, whichever it is.
pub fn next(stage: &Stage, soak: Duration, now: Timestamp) -> Option<Timestamp> {
    let Sight::At(shown) = &stage.sight else {
        return None;
    };
    let ends = shown.log.iter().filter_map(|entry| soaking_until(entry, soak));
    ends.filter(|end| *end > now).min()
}

/// The commits of a stage's log that have earned their way, newest first.
pub fn earned_commits(stage: &Stage, soak: Duration, now: Timestamp) -> Vec<&ObservedCommit> {
    let Sight::At(shown) = &stage.sight else {
        return Vec::new();
    };
    let good = |e: &&ObservedCommit| earned(e, soak, now).is_some() && shown.failure(&e.commit).is_none();
    shown.log.iter().rev().filter(good).collect()
}

/// What became of one commit in each stage, by policy and index.
pub type States = BTreeMap<(PolicyName, usize), AfterState>;

/// True when a commit has earned its way in all stages.
pub fn all_earned(states: &States) -> bool {
    states.values().all(|s| matches!(s, AfterState::Earned { .. }))
}

/// True when no commit ever will.
pub fn never(states: &States) -> Option<&str> {
    states.values().find_map(|state| match state {
        AfterState::Never { message } => Some(message.as_str()),
        _ => None,
    })
}

/// An older commit than the newest, which may be followed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Full id.
    pub commit: String,
    /// What became of it.
    pub states: States,
    /// True when it is newer than what was applied last.
    pub newer: bool,
    /// True when a release of it is being carried out.
    pub begun: bool,
}

/// Which of the candidates, newest first, is followed while the newest commit has not earned its way. `None`: none of
/// them, the newest commit waits. A release that has begun is brought to its end, also if what it earned has been lost.
pub fn follow(candidates: &[Candidate]) -> Option<usize> {
    let good = |c: &Candidate| c.begun || (c.newer && all_earned(&c.states));
    candidates.iter().position(good)
}

/// What is said of a followed commit: why it is not the newest.
pub fn follow_line(followed: &str, stages: &[&str], newest: &str, states: &States, now: Timestamp) -> String {
    let until = states.values().filter_map(|state| match state {
        AfterState::Soaking { until } if *until > now => Some(*until),
        _ => None,
    });
    let waits = states.values().find_map(|state| match state {
        AfterState::NotYet { message } | AfterState::Never { message } => Some(message.clone()),
        _ => None,
    });
    let rest = match (waits, until.max()) {
        (Some(why), _) => why,
        (None, Some(until)) => format!("{newest} will have by {until}"),
        (None, None) => format!("{newest} follows"),
    };
    format!(
        "follows {followed}, the newest commit that has soaked in {}; {rest}",
        stages.join(" and ")
    )
}

fn circle_line(way: &[String]) -> String {
    format!(
        "`after` of policies and spec.dependsOn go in a circle, so that none of these can begin: {}; remove one of them",
        way.join(" → ")
    )
}

/// The shortest way from an Application back to itself, both ends included. `next` says for whom one waits; at most
/// `max` Applications are looked at.
pub fn circle(start: &str, max: usize, mut next: impl FnMut(&str) -> Vec<String>) -> Option<Vec<String>> {
    let mut from: BTreeMap<String, String> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start.to_owned()]);
    while let Some(here) = queue.pop_front() {
        if from.len() > max {
            return None;
        }
        for on in next(&here) {
            if on == start {
                return Some(way_back(start, here, &from));
            }
            if !from.contains_key(&on) {
                from.insert(on.clone(), here.clone());
                queue.push_back(on);
            }
        }
    }
    None
}

fn way_back(start: &str, last: String, from: &BTreeMap<String, String>) -> Vec<String> {
    let mut way = vec![start.to_owned()];
    let mut here = last;
    while here != start {
        let before = from.get(&here).cloned().unwrap_or_else(|| start.to_owned());
        way.push(std::mem::replace(&mut here, before));
    }
    way.push(start.to_owned());
    way.reverse();
    way
}
