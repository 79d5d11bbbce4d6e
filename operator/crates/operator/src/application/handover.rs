//! Objects that move from one Application to another: what this one keeps for others, and what it waits for itself.
//! The rules are `core::handover`'s.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tidegate_api::application::ApplicationStatus;
use tidegate_api::condition::SYNCED;
use tidegate_core::handover::{self, Among, Fate, Other, PATIENCE};
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::{self, Owner};
use tidegate_core::plan::{Action, Live, Plan};
use tidegate_core::standing::{Claim, Place};
use tidegate_core::status::Progress;

use crate::application::AppState;
use crate::application::relations::{cluster_name, cluster_of, place, source_of};
use crate::application::turn::Turn;
use crate::standings::View;
use crate::state::{Again, Operator};
use crate::store::Key;
use crate::target::Site;

/// Shortest time between two looks that nobody asked for.
const SOON: SignedDuration = SignedDuration::from_secs(1);

/// Objects that git no longer has and that stay for now.
#[derive(Default)]
pub(crate) struct Kept {
    /// Since when each is not wanted; also of those that are on their way out.
    since: BTreeMap<ObjectId, Timestamp>,
    /// Why each stays.
    why: BTreeMap<ObjectId, String>,
    /// When the first wait ends in any case.
    until: Option<Timestamp>,
}

impl Kept {
    /// Objects that are shown as little as those that are gone: they are another's, or nobody's before long.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ObjectId> {
        self.why.keys()
    }

    /// One line for people; empty when nothing is kept.
    pub(crate) fn line(&self) -> String {
        let shown: Vec<&str> = self.why.values().take(3).map(String::as_str).collect();
        let more = match self.why.len().saturating_sub(3) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("{}{more}", shown.join("; "))
    }

    /// When to look again, if nobody moves.
    pub(crate) fn again(&self) -> Again {
        let floor = Timestamp::now().checked_add(SOON).unwrap_or_default();
        self.until
            .map_or(Again::Never, |until| Again::at(until.max(floor)))
    }
}

/// Who an Application is among the others.
pub(crate) struct Me<'a> {
    pub(crate) operator: &'a Operator,
    pub(crate) target: &'a Site,
    pub(crate) key: &'a Key,
    pub(crate) owner: &'a Owner,
}

impl<'a> Me<'a> {
    pub(crate) fn of(turn: &'a Turn<'_>) -> Self {
        Self {
            operator: turn.operator,
            target: turn.target,
            key: turn.key,
            owner: turn.owner,
        }
    }

    /// Looks at the others, and waits from now on for those that `look` names.
    fn among<T>(&self, look: impl FnOnce(&Among<'_>) -> (T, Vec<Owner>)) -> T {
        let recorded = |owner: &Owner, id: &ObjectId| self.target.has(&key_of(owner), id);
        let cluster = cluster_name(self.target.place.kube_config.as_ref(), self.key);
        self.operator.standings.ask(self.key, |view| {
            let among = Among {
                ours: self.owner,
                others: others(self.operator, view, self.key, &cluster),
                recorded: &recorded,
                now: Timestamp::now(),
            };
            let (answer, on) = look(&among);
            (answer, on.iter().map(key_of).collect())
        })
    }

    /// The inventory to plan with: without what another Application has by now.
    pub(crate) fn without_lost(
        &self,
        set: &InventorySet,
        wanted: impl Fn(&ObjectId) -> bool,
        live: &Live,
    ) -> Option<InventorySet> {
        let ours = self.owner.annotation();
        // Nearly always nothing: then nobody is asked.
        let foreign = |id: &&ObjectId| {
            let named = live.get(*id).and_then(|live| live.owner.as_deref());
            named.is_some_and(|named| named != ours)
        };
        let named: BTreeSet<&ObjectId> = set.entries.keys().filter(foreign).collect();
        if named.is_empty() {
            return None;
        }
        self.among(|among| {
            let lost = |id: &ObjectId| named.contains(id) && among.is_lost(id, live.get(id));
            (handover::without_lost(set, wanted, lost), Vec::new())
        })
    }

    /// A plan whose removals wait for, or are left to, other Applications.
    /// `wanted` tells of what is in the plan's set whether the newest set wants it too.
    pub(crate) fn settle(
        &self,
        kept: &mut Kept,
        plan: Plan,
        wanted: impl Fn(&ObjectId) -> bool,
        set: &InventorySet,
        live: &Live,
        at: Option<&Place>,
    ) -> Plan {
        let leaves =
            |id: &&ObjectId| !plan.rendered.names(id) || (plan.rendered.get(id).is_some() && !wanted(id));
        let leaving: Vec<&ObjectId> = set.entries.keys().filter(leaves).collect();
        let fates = self.fates(kept, &leaving, live, at);
        handover::settle(plan, &fates, &self.operator.key)
    }

    fn fates(
        &self,
        kept: &mut Kept,
        leaving: &[&ObjectId],
        live: &Live,
        at: Option<&Place>,
    ) -> BTreeMap<ObjectId, Fate> {
        let now = Timestamp::now();
        let before = std::mem::take(kept);
        if leaving.is_empty() {
            return BTreeMap::new();
        }
        for id in leaving {
            let since = before.since.get(*id).copied().unwrap_or(now);
            kept.since.insert((*id).clone(), since);
        }
        let since = |id: &ObjectId| kept.since.get(id).copied().unwrap_or(now);
        let fates = self.among(|among| {
            let fates = among.fates(leaving.iter().map(|id| (*id, since(id))), live, at);
            let on: BTreeSet<Owner> = fates.values().flat_map(waits_for).cloned().collect();
            (fates, on.into_iter().collect())
        });
        for (id, fate) in &fates {
            if let Fate::Keep { why, until, .. } = fate {
                kept.why.insert(id.clone(), why.clone());
                kept.until = kept.until.into_iter().chain(*until).min();
            }
        }
        fates
    }
}

fn waits_for(fate: &Fate) -> &[Owner] {
    match fate {
        Fate::Keep { on, .. } => on,
        Fate::Prune | Fate::LetGo { .. } => &[],
    }
}

fn key_of(owner: &Owner) -> Key {
    Key::new(&owner.namespace, &owner.application)
}

/// All other Applications, as they stand.
fn others<'v>(operator: &Operator, view: &'v View, us: &Key, cluster: &str) -> Vec<Other<'v>> {
    operator.applications.gather(|key, app| {
        let uid = app.metadata.uid.as_ref();
        (key != us).then(|| Other {
            owner: operator.owner(key),
            source: source_of(app, key),
            here: cluster_of(app, key) == cluster,
            standing: view.get(key).filter(|standing| Some(&standing.uid) == uid),
        })
    })
}

/// True when what was kept for others has another fate now.
pub(crate) fn kept_moved(turn: &Turn<'_>, state: &mut AppState) -> bool {
    let Some(set) = state.inventory.as_ref().filter(|_| !state.kept.why.is_empty()) else {
        return false;
    };
    let live = turn.target.live_of(set);
    let mut kept = std::mem::take(&mut state.kept);
    let leaving: Vec<ObjectId> = kept.since.keys().cloned().collect();
    let was: BTreeSet<ObjectId> = kept.why.keys().cloned().collect();
    let leaving: Vec<&ObjectId> = leaving.iter().collect();
    let at = place(turn.app, turn.key, turn.source);
    let fates = Me::of(turn).fates(&mut kept, &leaving, &live, Some(&at));
    state.kept = kept;
    was.iter()
        .any(|id| !matches!(fates.get(id), Some(Fate::Keep { .. })))
}

/// Why the objects that a plan creates cannot be taken over yet, though they may be soon. Bounded: after a while the API
/// server's answer decides.
pub(crate) fn not_yet(turn: &Turn<'_>, state: &mut AppState, plan: &Plan) -> Option<(Progress, Again)> {
    let at = place(turn.app, turn.key, turn.source);
    let now = Timestamp::now();
    let created = created(plan);
    let live = turn.target.records(created.iter().copied());
    let found: Vec<(String, Owner)> = if live.is_empty() {
        Vec::new()
    } else {
        Me::of(turn).among(|among| {
            let waits = created
                .iter()
                .filter_map(|(id, _)| among.not_yet(id, live.get(*id), &at));
            let found: Vec<(String, Owner)> = waits.collect();
            let on = found.iter().map(|(_, owner)| owner.clone()).collect();
            (found, on)
        })
    };
    let Some((first, _)) = found.first() else {
        state.claims = None;
        return None;
    };
    let since = match &state.claims {
        Some((commit, since)) if *commit == at.commit => *since,
        _ => now,
    };
    state.claims = Some((at.commit.clone(), since));
    let until = since.checked_add(PATIENCE).unwrap_or(since);
    if until <= now {
        return None;
    }
    let more = match found.len() - 1 {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let waits = Progress::Waiting {
        reason: "HandOver",
        message: format!("{} waits: {first}{more}", at.shown),
    };
    Some((waits, Again::at(until)))
}

fn created(plan: &Plan) -> Vec<(&ObjectId, &str)> {
    let creates = plan.steps.iter().filter(|step| step.action == Action::Create);
    creates.map(|step| (&step.id, &*step.version)).collect()
}

/// True when the newest release failed because objects belong to others, and one of those can be had now, or is gone: it is
/// tried again. Else those others are waited for.
pub(crate) fn conflict_is_over(turn: &Turn<'_>, state: &mut AppState, plan: &Plan) -> bool {
    if !is_conflict(state) {
        return false;
    }
    let (now, _) = contested(turn, plan);
    if state.contested.is_empty() {
        // After a restart.
        state.contested.clone_from(&now);
    }
    state.contested.iter().any(|id| !now.contains(id))
}

/// A release has ended: notes what it was refused, if that is why it failed. True when some of it can be had already.
pub(crate) fn note_conflict(
    turn: &Turn<'_>,
    state: &mut AppState,
    plan: &Plan,
    refused: &BTreeSet<ObjectId>,
) -> bool {
    state.contested.clear();
    if !is_conflict(state) {
        return false;
    }
    let (now, seen) = contested(turn, plan);
    // What is not in our view, another installation's for one, says nothing when it is over: a person does.
    state.contested = refused.intersection(&seen).cloned().collect();
    state.contested.iter().any(|id| !now.contains(id))
}

/// Objects that a plan creates and that others have and keep; those others are waited for. And all that it creates and of
/// which it is known whose they are.
pub(crate) fn contested(turn: &Turn<'_>, plan: &Plan) -> (BTreeSet<ObjectId>, BTreeSet<ObjectId>) {
    let created = created(plan);
    let live = turn.target.records(created.iter().copied());
    let adopt = turn.app.spec.adopt;
    let named = |id: &ObjectId| live.get(id)?.owner.as_deref().and_then(Owner::parse);
    let seen = created.iter().filter(|(id, _)| named(id).is_some());
    let seen = seen.map(|(id, _)| (*id).clone()).collect();
    let contested = Me::of(turn).among(|among| {
        let refused = |(id, _): &(&ObjectId, &str)| {
            let other = named(id).filter(|other| other != turn.owner)?;
            let claim = among.claim_of(&other, id);
            ownership::refusal(&other, turn.owner, adopt, claim).map(|_| ((*id).clone(), other))
        };
        let refused: BTreeMap<ObjectId, Owner> = created.iter().filter_map(refused).collect();
        let on = refused.values().cloned().collect();
        (refused.into_keys().collect(), on)
    });
    (contested, seen)
}

pub(crate) fn is_conflict(state: &AppState) -> bool {
    matches!(state.progress, Some(Progress::Failed { reason: CONFLICT, .. }))
}

/// The conflict that an earlier process left behind: the condition is what is left of it.
pub(crate) fn left_behind(status: Option<&ApplicationStatus>) -> Option<Progress> {
    let mut conditions = status?.conditions.iter();
    let synced = conditions.find(|c| c.type_ == SYNCED && c.status == "False" && c.reason == CONFLICT)?;
    Some(Progress::Failed {
        reason: CONFLICT,
        message: synced.message.clone(),
        stalled: true,
    })
}

/// Reason of a release that failed because an object is another Application's.
pub(crate) const CONFLICT: &str = "OwnershipConflict";

impl Operator {
    /// What another Application makes of an object that names it.
    pub(crate) fn claim(&self, target: &Site, owner: &Owner, id: &ObjectId) -> Claim {
        let key = key_of(owner);
        let Some(app) = self.applications.get(&key) else {
            return Claim::Gone;
        };
        let uid = app.metadata.uid.as_ref();
        self.standings.look(|view| {
            let standing = view.get(&key).filter(|standing| Some(&standing.uid) == uid);
            standing.map_or(Claim::Unknown, |standing| {
                standing.claim(id, target.has(&key, id))
            })
        })
    }
}
