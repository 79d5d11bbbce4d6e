//! One Application among the others: what goes before it, and what the others see of it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_api::Application;
use tidegate_api::application::KubeConfig;
use tidegate_api::condition::READY;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::depends::{self, Edges, Known};
use tidegate_core::object::ObjectId;
use tidegate_core::soak::Shown;
use tidegate_core::standing::{Place, Standing};
use tidegate_core::status::Progress;
use tokio::time::Instant;

use crate::application::turn::Turn;
use crate::application::{AppState, newest, status};
use crate::standings::View;
use crate::state::{Operator, Source};
use crate::store::Key;

/// How long those who wait may go on with an older message.
const WORDS: Duration = Duration::from_secs(1);

/// The commit of a source, as others compare it with what they have come to.
pub(crate) fn place(app: &Application, key: &Key, source: &Source) -> Place {
    Place {
        source: source_of(app, key),
        commit: source.revision.commit.clone(),
        number: source.number,
        shown: status::shown(&source.revision),
    }
}

pub(crate) fn source_of(app: &Application, key: &Key) -> String {
    Key::new(&key.namespace, &app.spec.source.name).to_string()
}

/// Names the cluster that an Application applies to, among those that others name.
pub(crate) fn cluster_of(app: &Application, key: &Key) -> String {
    cluster_name(app.spec.target.kube_config.as_ref(), key)
}

/// Empty for the cluster that the operator runs in. Two that are named by Secrets of different names or namespaces count
/// as different.
pub(crate) fn cluster_name(config: Option<&KubeConfig>, key: &Key) -> String {
    let Some(KubeConfig { secret_ref }) = config else {
        return String::new();
    };
    let key_of_data = secret_ref.key.as_deref().unwrap_or_default();
    format!("{}/{}/{key_of_data}", key.namespace, secret_ref.name)
}

/// What keeps a release from beginning, as `spec.dependsOn` says; and true with it when it holds whatever there is to
/// release: a circle.
pub(crate) fn goes_first(turn: &Turn<'_>) -> Option<(Progress, bool)> {
    let wanted = &turn.app.spec.depends_on;
    if wanted.is_empty() {
        return None;
    }
    let namespace = &turn.key.namespace;
    if let Some(way) = depends::cycle(&turn.key.name, &turn.operator.edges(namespace)) {
        let circle = Progress::Failed {
            reason: "DependencyCycle",
            message: depends::cycle_line(&way),
            stalled: true,
        };
        return Some((circle, true));
    }
    let at = place(turn.app, turn.key, turn.source);
    let unmet = turn.operator.standings.ask(turn.key, |view| {
        let known = |name: &str| known(turn.operator, view, &Key::new(namespace, name));
        let on = wanted.iter().map(|d| Key::new(namespace, &d.name));
        (depends::unmet(wanted, namespace, &at, known), on.collect())
    })?;
    let waits = Progress::Waiting {
        reason: unmet.reason,
        message: unmet.message,
    };
    Some((waits, false))
}

fn known<'v>(operator: &Operator, view: &'v View, key: &Key) -> Known<'v> {
    let Some(app) = operator.applications.get(key) else {
        return Known::Missing;
    };
    if app.metadata.deletion_timestamp.is_some() {
        return Known::Deleting;
    }
    let standing = view
        .get(key)
        .filter(|s| Some(&s.uid) == app.metadata.uid.as_ref());
    match standing {
        None => Known::Unseen,
        Some(standing) if standing.generation != app.metadata.generation => Known::Edited(standing),
        Some(standing) => Known::At(standing),
    }
}

/// True when this process looks at the Application for the first time, and an earlier one had applied this very commit:
/// what goes first was there then.
pub(crate) fn first_look(turn: &Turn<'_>, state: &AppState) -> bool {
    let applied = turn
        .app
        .status
        .as_ref()
        .and_then(|s| s.last_applied_revision.as_ref());
    let unknown = state.newest.is_none() && state.reached.is_none();
    unknown && applied == Some(&turn.source.revision.commit)
}

/// A circle is said whatever there is to release.
pub(crate) fn say_circle(state: &mut AppState, before: Option<(Progress, bool)>) -> Option<Progress> {
    let (progress, circle) = before?;
    if circle {
        state.obstacle = Some(progress.clone());
    }
    Some(progress)
}

/// No release begins now: the set that ran before is kept.
pub(crate) fn hold(turn: &Turn<'_>, state: &mut AppState, progress: Progress) {
    state.obstacle = Some(progress);
    state.asked = turn.asked;
    if let Some(newest) = &mut state.newest {
        newest.held = true;
    }
}

/// Notes what the newest commit wants, whether or not it can be applied now, and tells the others at once: one of them
/// may wait for an object that it no longer has.
pub(crate) fn note_wants(turn: &Turn<'_>, state: &mut AppState, known: &newest::Known) {
    match known {
        newest::Known::Admitted(rendered) => {
            // Sorted by identity.
            let ours = |id: &ObjectId| {
                state
                    .inventory
                    .as_ref()
                    .is_some_and(|set| set.entries.contains_key(id))
            };
            // What is created only where it is absent is not taken over from anybody.
            let wants = rendered
                .objects
                .iter()
                .filter(|object| object.apply != ApplyRule::IfNotPresent || ours(&object.id))
                .map(|object| object.id.clone());
            state.wants = Some(wants.collect());
        }
        newest::Known::Unchanged if state.wants.is_some() => {}
        _ => return,
    }
    state.seen = Some(place(turn.app, turn.key, turn.source));
    publish(turn.operator, turn.key, turn.app, state);
}

/// What is put back, or kept in the place of the newest commit, is what it wants: nobody takes it away.
pub(crate) fn want(turn: &Turn<'_>, state: &mut AppState, mut ids: Vec<ObjectId>) {
    ids.sort_unstable();
    state.wants = Some(ids.into());
    state.seen = Some(place(turn.app, turn.key, turn.source));
    publish(turn.operator, turn.key, turn.app, state);
}

/// A deleted one wants nothing: whoever wants one of its objects may have it.
pub(crate) fn want_nothing(operator: &Operator, key: &Key, app: &Application, state: &mut AppState) {
    operator.standings.begin(key);
    state.wants = Some(Arc::default());
    publish(operator, key, app, state);
}

/// True when the commit that was looked at has been looked at to the end: what runs is what it makes.
pub(crate) fn is_settled(state: &AppState) -> bool {
    let newest = state.newest.as_ref();
    let acted = newest.is_some_and(|n| n.acted && n.refused.is_none() && !n.held);
    acted && state.obstacle.is_none() && state.open.is_none() && state.progress == Some(Progress::Synced)
}

/// Tells the others what this one has come to, once its status is known.
pub(crate) fn publish(operator: &Operator, key: &Key, app: &Application, state: &mut AppState) {
    let generation = app.metadata.generation;
    let settled = is_settled(state);
    if let Some(place) = state.at.take().filter(|_| settled) {
        state.reached = Some((place, generation));
    }
    let reached = state.reached.as_ref().filter(|(_, of)| *of == generation);
    let conditions = state.status.iter().flat_map(|s| &s.conditions);
    let ready = conditions.into_iter().find(|c| c.type_ == READY);
    let standing = Standing {
        uid: state.uid.clone(),
        generation,
        source: source_of(app, key),
        cluster: cluster_of(app, key),
        seen: state.seen.clone(),
        wants: state.wants.clone(),
        reached: reached.map(|(place, _)| place.clone()),
        soak: Arc::new(state.status.as_ref().map(Shown::of).unwrap_or_default()),
        ready: ready.is_some_and(|c| c.status == "True"),
        message: ready.map(|c| c.message.clone()).unwrap_or_default(),
    };
    let woken = operator.standings.put(key, standing);
    for who in woken.who {
        if woken.at_once {
            operator.application_queue.add(who);
        } else {
            operator.application_queue.add_at(who, Instant::now() + WORDS);
        }
    }
}

impl Operator {
    /// Who depends on whom in a namespace.
    pub(crate) fn edges(&self, namespace: &str) -> Edges {
        self.applications.gather(|key, app| {
            let bound = key.namespace == namespace
                && !app.spec.depends_on.is_empty()
                && app.metadata.deletion_timestamp.is_none();
            let on = || app.spec.depends_on.iter().map(|d| d.name.clone()).collect();
            bound.then(|| (key.name.clone(), on()))
        })
    }

    /// An Application came, went, or was edited: whoever waits for it looks again, and where its dependencies changed,
    /// whoever depends on it in any number of steps, since there may be a circle now or one fewer.
    pub(crate) fn wake_related(&self, key: &Key, dependencies_changed: bool) {
        for who in self.standings.waiting_for(key) {
            self.application_queue.add(who);
        }
        if dependencies_changed {
            for name in depends::dependents(&key.name, &self.edges(&key.namespace)) {
                self.application_queue.add(Key::new(&key.namespace, &name));
            }
        }
    }
}
