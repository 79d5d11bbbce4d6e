//! `after` of the policies that bind an Application: which commit it looks at, and what became of that in the
//! Applications that go before. The answers are `core::promotion`'s; asked of git here is who descends from whom.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_api::policy::{After, GateName};
use tidegate_core::gate::stage_name;
use tidegate_core::policy::{CompiledPolicy, PolicyName};
use tidegate_core::promotion::{
    self, Candidate, Sight, Stage, States, Wanted, all_earned, circle, earned_commits, follow, follow_line,
    judge,
};
use tidegate_core::soak::Shown;
use tidegate_core::status::Progress;
use tidegate_core::{duration, record};

use crate::application::gate::Facts;
use crate::application::status::shown;
use crate::application::turn::Turn;
use crate::application::{AppState, rollback};
use crate::stages;
use crate::standings::{Standings, View};
use crate::state::{Again, Operator, Source};
use crate::store::Key;

/// Earned commits of one stage that are looked at for one to follow.
const MAX_CANDIDATES: usize = 5;
/// Applications that are looked at for a circle.
const MAX_CIRCLE: usize = 1000;
/// How often another cluster's answer is looked at while it is waited for.
const FAR: Duration = Duration::from_secs(15);

/// What became of the commit that is looked at.
#[derive(Default)]
pub(crate) struct Promotion {
    /// For the gate.
    pub(crate) states: States,
    /// Why it is not the newest commit, where it is not.
    pub(crate) follows: Option<String>,
}

/// One entry of `after` of one policy.
struct Leg {
    policy: PolicyName,
    at: usize,
    soak: Duration,
    stage: Stage,
    /// The folder that the stage releases.
    path: Option<String>,
    /// The newest commit that the stage has come to, also if it changed nothing there.
    seen: Option<String>,
    far: bool,
}

/// What is looked at: the source as it is, or the same source at an older commit, which has earned its way while the newest
/// has not. And when to look again by itself.
pub(crate) async fn choose(turn: &Turn<'_>, state: &mut AppState) -> (Option<Source>, Again) {
    state.promotion = Promotion::default();
    let legs = legs(turn);
    if legs.is_empty() {
        return (None, Again::Never);
    }
    say_circle(&legs, state);
    let generation = turn.app.metadata.generation;
    let tip = &turn.source.revision;
    let reached = state.reached.as_ref().filter(|(_, of)| *of == generation);
    let reached = reached.map(|(place, _)| place.commit.clone());
    let now = Timestamp::now();
    let newest = states(turn, &legs, &tip.commit, &shown(tip), now).await;
    let there = reached.as_ref() == Some(&tip.commit) && state.open.is_none();
    // What a person or a failure has put back stays until the newest commit may take its place.
    let put_back =
        rollback::is_under_way(state) || turn.app.status.as_ref().is_some_and(|s| s.rolled_back.is_some());
    if there || put_back || all_earned(&newest) {
        state.promotion.states = newest;
        return (None, Again::Never);
    }
    let again = when(&legs, now);
    if let Some(ends) = overridden(turn, state, now) {
        state.promotion.states = newest;
        return (None, again.sooner(Again::at(ends)));
    }
    match older(turn, state, &legs, reached, now).await {
        Some((source, states)) => {
            let names: Vec<&str> = legs.iter().map(|leg| leg.stage.name.as_str()).collect();
            let line = follow_line(&shown(&source.revision), &names, &shown(tip), &newest, now);
            state.promotion = Promotion {
                states,
                follows: Some(line),
            };
            (Some(source), again)
        }
        None => {
            state.promotion.states = newest;
            (None, again)
        }
    }
}

/// The older commit that is followed, as the source would be if it were its newest.
async fn older(
    turn: &Turn<'_>,
    state: &AppState,
    legs: &[Leg],
    reached: Option<String>,
    now: Timestamp,
) -> Option<(Source, States)> {
    let begun = state.open.as_ref().map(|open| open.spec.revision.commit.clone());
    let status = turn.app.status.as_ref();
    let applied = status.and_then(|s| s.last_applied_revision.clone());
    let tried = status.and_then(|s| s.last_attempted_revision.clone());
    let ran: Vec<String> = applied.into_iter().chain(reached).collect();
    let mut names: Vec<String> = begun.iter().cloned().collect();
    for leg in legs {
        let earned = earned_commits(&leg.stage, leg.soak, now);
        names.extend(earned.iter().take(MAX_CANDIDATES).map(|e| e.commit.clone()));
    }
    let tip = &turn.source.revision.commit;
    let mut candidates: Vec<Candidate> = Vec::new();
    for commit in names {
        let known = candidates.iter().any(|c| c.commit == commit);
        if known || commit == *tip || !descends(turn, &commit, tip).await {
            continue;
        }
        // What was tried and put back again was newer still.
        let mut newer = match &tried {
            Some(tried) => descends(turn, tried, &commit).await,
            None => true,
        };
        for before in &ran {
            newer &= commit != *before && descends(turn, before, &commit).await;
        }
        let line = record::short_revision(&turn.source.revision.reference, &commit);
        let candidate = Candidate {
            states: states(turn, legs, &commit, &line, now).await,
            newer,
            begun: begun.as_ref() == Some(&commit),
            commit,
        };
        let mut at = candidates.len();
        for (place, other) in candidates.iter().enumerate() {
            if descends(turn, &other.commit, &candidate.commit).await {
                at = place;
                break;
            }
        }
        candidates.insert(at, candidate);
    }
    let chosen = candidates.swap_remove(follow(&candidates)?);
    let source = turn.source;
    let git = &turn.operator.git;
    let remote = source.remote.as_ref()?;
    let revision = git.revision(remote, &chosen.commit, &source.revision.reference);
    let revision = revision.await.ok()?;
    let source = Source {
        number: Standings::older_commit(revision.committed_at),
        revision,
        ..source.clone()
    };
    Some((source, chosen.states))
}

/// Whether a commit is an ancestor of another one. What the mirror does not have is not.
async fn descends(turn: &Turn<'_>, ancestor: &str, commit: &str) -> bool {
    let Some(remote) = &turn.source.remote else {
        return false;
    };
    let asked = turn.operator.git.is_ancestor(remote, ancestor, commit);
    asked.await.unwrap_or(false)
}

/// What became of a commit in each stage.
async fn states(turn: &Turn<'_>, legs: &[Leg], commit: &str, line: &str, now: Timestamp) -> States {
    let mut states = States::new();
    for leg in legs {
        let wanted = wanted(turn, leg, commit, line).await;
        let state = judge(&leg.stage, &wanted, leg.soak, now);
        states.insert((leg.policy.clone(), leg.at), state);
    }
    states
}

/// Which commits of a stage's log stand for a commit. One that is not in the log changed nothing there, if its folder is
/// that of the commit which runs, or of a newer one.
async fn wanted(turn: &Turn<'_>, leg: &Leg, commit: &str, line: &str) -> Wanted {
    let mut wanted = Wanted {
        commit: commit.to_owned(),
        shown: line.to_owned(),
        ..Wanted::default()
    };
    let Sight::At(stage) = &leg.stage.sight else {
        return wanted;
    };
    if stage.log.iter().any(|entry| entry.commit == commit) {
        wanted.alike.insert(commit.to_owned());
        wanted.observed = true;
        return wanted;
    }
    wanted.observed = leg.seen.as_deref() == Some(commit);
    if let Some(seen) = leg.seen.as_ref().filter(|_| !wanted.observed) {
        wanted.observed = descends(turn, commit, seen).await;
    }
    let path = leg.path.as_deref().unwrap_or_default();
    let Some(remote) = &turn.source.remote else {
        return wanted;
    };
    let tree = turn.operator.git.tree_id(remote, commit, path).await;
    let Ok(tree) = tree else { return wanted };
    let last = stage.log.last().map(|entry| &entry.commit);
    for entry in stage.log.iter().filter(|entry| entry.tree == tree) {
        let newer = descends(turn, commit, &entry.commit).await;
        wanted.observed |= newer;
        if newer || last == Some(&entry.commit) {
            wanted.alike.insert(entry.commit.clone());
        }
    }
    wanted
}

/// Until when somebody has opened `after` for this Application, where a policy lets anybody do that: then the newest commit
/// is what is meant.
fn overridden(turn: &Turn<'_>, state: &AppState, now: Timestamp) -> Option<Timestamp> {
    let facts = Facts::gather(turn.operator, turn.key, turn.app, state.inventory.as_ref());
    let allows = |policy: &CompiledPolicy| {
        let overrides = policy.policy.overrides.as_ref();
        overrides.is_some_and(|overrides| overrides.gates.contains(&GateName::After))
    };
    if facts.unguarded.is_some() || !facts.policies.iter().any(|policy| allows(policy)) {
        return None;
    }
    let opens = facts
        .overrides
        .iter()
        .filter(|over| over.spec.gates.contains(&GateName::After));
    let ends = opens.filter_map(|over| over.spec.until.parse::<Timestamp>().ok());
    ends.filter(|end| *end > now).max()
}

/// When a stage has the next commit earned, and when to ask another cluster again.
fn when(legs: &[Leg], now: Timestamp) -> Again {
    let next = |leg: &Leg| promotion::next(&leg.stage, leg.soak, now);
    let soaked = legs.iter().filter_map(next).min();
    let far = legs.iter().any(|leg| leg.far);
    let again = soaked.map_or(Again::Never, Again::at);
    if far {
        again.sooner(Again::after(FAR))
    } else {
        again
    }
}

fn legs(turn: &Turn<'_>) -> Vec<Leg> {
    let operator = turn.operator;
    let facts = operator
        .policies
        .facts(turn.key, turn.app.metadata.labels.as_ref());
    let mut legs = Vec::new();
    for policy in operator.policies.binding(&facts) {
        for (at, after) in policy.policy.after.iter().enumerate() {
            legs.push(leg(turn, &policy.name, at, after));
        }
    }
    if legs.iter().all(|leg| leg.far) {
        return legs;
    }
    let start = turn.key.to_string();
    let Some(way) = circle(&start, MAX_CIRCLE, |name| goes_before(operator, name)) else {
        return legs;
    };
    // Whoever goes in it is waited for: one of them may break it.
    let on = way
        .iter()
        .filter_map(|name| key(name))
        .filter(|on| on != turn.key);
    operator.standings.ask(turn.key, |_| ((), on.collect()));
    for leg in legs.iter_mut().filter(|leg| way.get(1) == Some(&leg.stage.name)) {
        leg.stage.sight = Sight::Circle(way.clone());
    }
    legs
}

fn leg(turn: &Turn<'_>, policy: &PolicyName, at: usize, after: &After) -> Leg {
    let operator = turn.operator;
    let stage = stage_key(after, &turn.key.namespace);
    let look = match &after.kube_config {
        None => operator.standings.ask(turn.key, |view| {
            (near(operator, view, &stage), vec![stage.clone()])
        }),
        Some(config) => {
            let home = match policy {
                PolicyName::Cluster(_) => &operator.settings.namespace,
                PolicyName::Namespaced(namespace, _) => namespace,
            };
            stages::look(operator, home, config, &stage, turn.key)
        }
    };
    Leg {
        policy: policy.clone(),
        at,
        // The API server has checked it.
        soak: duration::parse(&after.soak).unwrap_or(Duration::MAX),
        stage: Stage {
            name: stage_name(after, &turn.key.namespace),
            sight: look.sight,
        },
        path: look.path,
        seen: look.seen,
        far: after.kube_config.is_some(),
    }
}

fn stage_key(after: &After, namespace: &str) -> Key {
    let application = &after.application;
    let namespace = application.namespace.as_deref().unwrap_or(namespace);
    Key::new(namespace, &application.name)
}

/// What is seen of a stage.
#[derive(Clone, PartialEq)]
pub(crate) struct Look {
    pub(crate) sight: Sight,
    pub(crate) path: Option<String>,
    pub(crate) seen: Option<String>,
}

impl Look {
    pub(crate) fn nothing(sight: Sight) -> Self {
        Self {
            sight,
            path: None,
            seen: None,
        }
    }

    /// As the Application says of itself.
    pub(crate) fn at(app: &Application, seen: Option<String>) -> Self {
        let status = app.status.as_ref();
        let sight = match status {
            _ if app.metadata.deletion_timestamp.is_some() => Sight::Deleting,
            None => Sight::Unknown("it has not been looked at yet".to_owned()),
            Some(status) if status.observed_generation != app.metadata.generation => Sight::Edited,
            Some(status) => Sight::At(Shown::of(status)),
        };
        Self {
            sight,
            path: Some(app.spec.source.path.clone()),
            seen,
        }
    }
}

/// A stage of the same cluster: as this process knows it, else as an earlier one has left it.
fn near(operator: &Operator, view: &View, stage: &Key) -> Look {
    let Some(app) = operator.applications.get(stage) else {
        return Look::nothing(Sight::Missing);
    };
    let standing = view
        .get(stage)
        .filter(|s| Some(&s.uid) == app.metadata.uid.as_ref());
    let Some(standing) = standing.filter(|_| app.metadata.deletion_timestamp.is_none()) else {
        return Look::at(&app, None);
    };
    let seen = standing.seen.as_ref().or(standing.reached.as_ref());
    Look {
        sight: if standing.generation == app.metadata.generation {
            Sight::At((*standing.soak).clone())
        } else {
            Sight::Edited
        },
        path: Some(app.spec.source.path.clone()),
        seen: seen.map(|place| place.commit.clone()),
    }
}

/// A circle is said whatever there is to release.
fn say_circle(legs: &[Leg], state: &mut AppState) {
    let circle = legs
        .iter()
        .find(|leg| matches!(leg.stage.sight, Sight::Circle(_)));
    let Some(leg) = circle else { return };
    let never = judge(&leg.stage, &Wanted::default(), leg.soak, Timestamp::UNIX_EPOCH);
    if let tidegate_core::gate::AfterState::Never { message } = never {
        state.obstacle = Some(Progress::Failed {
            reason: "NeverOpens",
            message,
            stalled: true,
        });
    }
}

/// For whom an Application of this cluster waits: by `spec.dependsOn`, and by `after` of the policies that bind it.
fn goes_before(operator: &Operator, name: &str) -> Vec<String> {
    let Some(here) = key(name) else {
        return Vec::new();
    };
    let Some(app) = operator.applications.get(&here) else {
        return Vec::new();
    };
    if app.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let on = app.spec.depends_on.iter();
    let mut next: BTreeSet<String> = on
        .map(|d| Key::new(&here.namespace, &d.name).to_string())
        .collect();
    let facts = operator.policies.facts(&here, app.metadata.labels.as_ref());
    for policy in operator.policies.binding(&facts) {
        let near = policy
            .policy
            .after
            .iter()
            .filter(|after| after.kube_config.is_none());
        next.extend(near.map(|after| stage_key(after, &here.namespace).to_string()));
    }
    next.into_iter().collect()
}

fn key(name: &str) -> Option<Key> {
    let (namespace, name) = name.split_once('/')?;
    Some(Key::new(namespace, name))
}
