//! `spec.dependsOn`: what has to be there before a release begins, and what can never be.
//!
//! Rules: semantics.md "Several policies". A dependency is there when it is Ready and, with `SameCommit`, not behind on a
//! commit of the same source.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate_api::application::{Dependency, DependencyAt};

use crate::record::shorten;
use crate::standing::{Place, Standing};

/// Dependencies that are named in one message.
const MAX_NAMED: usize = 3;
/// Longest message of a dependency that is repeated, bytes.
const MAX_MESSAGE: usize = 400;

/// What is known of a dependency.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// There is no such Application.
    Missing,
    /// It is on its way out.
    Deleting,
    /// It was not looked at yet.
    Unseen,
    /// It was edited since this was true.
    Edited(&'a Standing),
    /// It stands so.
    At(&'a Standing),
}

/// Why a release cannot begin yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// `DependencyMissing`, `DependencyNotReady` or `DependencyBehind`.
    pub reason: &'static str,
    /// Each one that is waited for, and why.
    pub message: String,
}

/// Whether a release of that commit may begin. `None` when all that goes first is there.
pub fn unmet<'a>(
    wanted: &[Dependency],
    namespace: &str,
    at: &Place,
    known: impl Fn(&str) -> Known<'a>,
) -> Option<Unmet> {
    let all: Vec<(&'static str, String)> = wanted
        .iter()
        .filter_map(|wanted| {
            let (reason, what) = lacks(wanted.at, at, known(&wanted.name))?;
            Some((reason, format!("Application {namespace}/{} {what}", wanted.name)))
        })
        .collect();
    let (reason, _) = all.first()?;
    let named: Vec<&str> = all
        .iter()
        .take(MAX_NAMED)
        .map(|(_, line)| line.as_str())
        .collect();
    let more = match all.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(Unmet {
        reason,
        message: format!("{} waits: {}{more}", at.shown, named.join("; ")),
    })
}

/// What a dependency lacks: reason and the rest of the sentence.
fn lacks(wanted: DependencyAt, at: &Place, known: Known<'_>) -> Option<(&'static str, String)> {
    let not_ready = |why: &str| Some(("DependencyNotReady", format!("is not ready: {why}")));
    let (standing, edited) = match known {
        Known::Missing => {
            let line = "does not exist; create it, or remove it from spec.dependsOn";
            return Some(("DependencyMissing", line.to_owned()));
        }
        Known::Deleting => return not_ready("it is being deleted"),
        Known::Unseen => return not_ready("it has not been looked at yet"),
        Known::Edited(standing) => (standing, true),
        Known::At(standing) => (standing, false),
    };
    let message = shorten(&standing.message, MAX_MESSAGE);
    if !standing.ready {
        return not_ready(&message);
    }
    if wanted == DependencyAt::Any || standing.source != at.source {
        return None;
    }
    if edited {
        let line = "was edited and has not been looked at since".to_owned();
        return Some(("DependencyBehind", line));
    }
    if standing
        .reached
        .as_ref()
        .is_some_and(|reached| reached.covers(at))
    {
        return None;
    }
    Some((
        "DependencyBehind",
        format!("has not come to {}: {message}", at.shown),
    ))
}

/// Who depends on whom in one namespace.
pub type Edges = BTreeMap<String, Vec<String>>;

/// The shortest way over dependencies from an Application back to itself, both ends included.
pub fn cycle(name: &str, edges: &Edges) -> Option<Vec<String>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([name]);
    while let Some(here) = queue.pop_front() {
        for next in edges.get(here).into_iter().flatten() {
            if next == name {
                return Some(way_back(name, here, &from));
            }
            if !from.contains_key(next.as_str()) {
                from.insert(next, here);
                queue.push_back(next);
            }
        }
    }
    None
}

fn way_back(name: &str, last: &str, from: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut way = vec![name.to_owned()];
    let mut here = last;
    while here != name {
        way.push(here.to_owned());
        here = from.get(here).copied().unwrap_or(name);
    }
    way.push(name.to_owned());
    way.reverse();
    way
}

/// What a cycle says of itself.
pub fn cycle_line(way: &[String]) -> String {
    let shown = if way.len() > 10 {
        let (head, tail) = (way[..5].join(" → "), way[way.len() - 4..].join(" → "));
        format!("{head} → … → {tail}")
    } else {
        way.join(" → ")
    };
    format!(
        "spec.dependsOn goes in a circle, so that none of these can begin: {shown}; remove one of the dependencies"
    )
}

/// All that depend on an Application, directly or through others: whom a change of its dependencies concerns.
pub fn dependents(name: &str, edges: &Edges) -> BTreeSet<String> {
    let mut on: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (who, what) in edges {
        for what in what {
            on.entry(what).or_default().push(who);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(here) = open.pop() {
        for who in on.get(here).into_iter().flatten() {
            if found.insert((*who).to_owned()) {
                open.push(who);
            }
        }
    }
    found.remove(name);
    found
}
