//! Handing an object over from one Application to another, without deleting it and without a moment in which nobody has
//! it (semantics.md, Ownership 2).
//!
//! The one that no longer wants it keeps it in its inventory until the other has it. The other takes it over as soon as
//! it is known that the first one wants it no more. Neither waits for anything that needs the other to move first, and
//! every wait for what is *not known* is bounded.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::digest::DigestKey;
use crate::inventory::InventorySet;
use crate::live::LiveRecord;
use crate::object::ObjectId;
use crate::ownership::Owner;
use crate::plan::{Action, Forgotten, Live, Plan, TAKEN, reseal};
use crate::record::shorten;
use crate::standing::{Claim, Place, Standing};

/// How long it is waited for what is not known.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// Longest message of another Application that is repeated, bytes.
const MAX_MESSAGE: usize = 300;

/// Another Application that exists.
#[derive(Clone, Debug)]
pub struct Other<'a> {
    /// Its name.
    pub owner: Owner,
    /// `<namespace>/<name>` of its source.
    pub source: String,
    /// True when it is known to apply to the same cluster. One that names the same cluster in another way may have its
    /// objects there too: what an object says of it is believed all the same.
    pub here: bool,
    /// What it has come to; `None` when it was not looked at yet.
    pub standing: Option<&'a Standing>,
}

impl Other<'_> {
    /// What it makes of an object; `recorded` when its inventory has it.
    pub fn claim(&self, id: &ObjectId, recorded: bool) -> Claim {
        self.standing
            .map_or(Claim::Unknown, |standing| standing.claim(id, recorded))
    }

    fn message(&self) -> String {
        match self.standing {
            None => "it has not been looked at yet".to_owned(),
            Some(standing) => shorten(&standing.message, MAX_MESSAGE),
        }
    }
}

/// What becomes of an object that an Application has and no longer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody wants it.
    Prune,
    /// It stays, and stays in the inventory.
    Keep {
        /// Why, for people.
        why: String,
        /// Whose change ends the wait.
        on: Vec<Owner>,
        /// When the wait ends in any case.
        until: Option<Timestamp>,
        /// True when another Application wants it; false when that is not known.
        wanted: bool,
    },
    /// Another Application has it now: the inventory forgets it.
    LetGo {
        /// Which.
        to: Owner,
    },
}

/// An Application among the others.
pub struct Among<'a> {
    /// The Application.
    pub ours: &'a Owner,
    /// All others.
    pub others: Vec<Other<'a>>,
    /// Whether an Application's inventory has an object.
    pub recorded: &'a dyn Fn(&Owner, &ObjectId) -> bool,
    /// Now.
    pub now: Timestamp,
}

impl Among<'_> {
    /// The other Application that a live object names as its owner, if it exists.
    fn named(&self, live: Option<&LiveRecord>) -> Option<&Other<'_>> {
        let owner = Owner::parse(live?.owner.as_deref()?)?;
        self.others.iter().find(|other| other.owner == owner)
    }

    fn claim(&self, other: &Other<'_>, id: &ObjectId) -> Claim {
        other.claim(id, (self.recorded)(&other.owner, id))
    }

    /// True when a live object that the inventory has belongs to another Application by now.
    pub fn is_lost(&self, id: &ObjectId, live: Option<&LiveRecord>) -> bool {
        self.named(live).is_some_and(|other| match self.claim(other, id) {
            // An annotation alone proves nothing: what is not known of one that was looked at is in its inventory or not.
            Claim::Unknown => other.standing.is_none() || (self.recorded)(&other.owner, id),
            claim => claim.is_held(),
        })
    }

    /// What becomes of objects of the inventory that are not wanted since a time. `at` is the commit that no longer has
    /// them; `None` when the Application is being deleted: then nobody is asked what he may want of a commit, and who
    /// does not come for what he wants loses it to nobody.
    pub fn fates<'i>(
        &self,
        leaving: impl Iterator<Item = (&'i ObjectId, Timestamp)>,
        live: &Live,
        at: Option<&Place>,
    ) -> BTreeMap<ObjectId, Fate> {
        let behind = |other: &&Other<'_>| {
            at.is_some_and(|at| {
                other.here
                    && other.source == at.source
                    && !other.standing.is_some_and(|standing| standing.has_seen(at))
            })
        };
        let undecided: Vec<&Other<'_>> = self.others.iter().filter(behind).collect();
        let fate = |(id, since): (&ObjectId, Timestamp)| {
            let until = since.checked_add(PATIENCE).unwrap_or(since);
            (id.clone(), self.fate(id, live.get(id), at, &undecided, until))
        };
        leaving.map(fate).collect()
    }

    fn fate(
        &self,
        id: &ObjectId,
        live: Option<&LiveRecord>,
        at: Option<&Place>,
        undecided: &[&Other<'_>],
        until: Timestamp,
    ) -> Fate {
        // What is gone cannot be handed over: whoever wants it makes it anew.
        if live.is_none() {
            return Fate::Prune;
        }
        let late = until <= self.now;
        if let Some(other) = self.named(live) {
            match self.claim(other, id) {
                Claim::Wanted | Claim::Leaving => {
                    let to = other.owner.clone();
                    return Fate::LetGo { to };
                }
                Claim::Unknown if !late => {
                    let why = format!(
                        "names Application {} as its owner: {}",
                        other.owner.name(),
                        other.message()
                    );
                    return Fate::Keep {
                        why: format!("{id} {why}"),
                        on: vec![other.owner.clone()],
                        until: Some(until),
                        wanted: false,
                    };
                }
                Claim::Unknown | Claim::LetGo | Claim::Gone => {}
            }
        }
        // Whether one of another namespace may have it at all is not known: it is waited for, and not for ever.
        let near = |other: &Other<'_>| other.owner.namespace == self.ours.namespace;
        let wants = |other: &&Other<'_>| {
            let wanted = other.standing.is_some_and(|standing| standing.wants(id));
            other.here && wanted && (near(other) || !late)
        };
        if let Some(other) = self.others.iter().find(wants) {
            if at.is_none() && late {
                let to = other.owner.clone();
                return Fate::LetGo { to };
            }
            return Fate::Keep {
                why: format!(
                    "{id} stays until Application {} has taken it over: {}",
                    other.owner.name(),
                    if near(other) {
                        other.message()
                    } else {
                        "see its status".into()
                    }
                ),
                on: vec![other.owner.clone()],
                until: (at.is_none() || !near(other)).then_some(until),
                wanted: true,
            };
        }
        // What one of the others made of a newer commit says nothing about this one, and our own set may have it again.
        let newer = |other: &Other<'_>| {
            let seen = other.standing.and_then(|standing| standing.seen.as_ref());
            seen.zip(at)
                .is_some_and(|(seen, at)| seen.source == at.source && seen.number > at.number)
        };
        if !late && self.others.iter().any(newer) {
            return Fate::Keep {
                why: format!("{id} stays until the newest commit was looked at"),
                on: Vec::new(),
                until: Some(until),
                wanted: false,
            };
        }
        match undecided.first() {
            Some(first) if !late => Fate::Keep {
                why: format!(
                    "{id} is deleted at {until} at the latest, unless Application {} wants it{}, which is not known yet: {}",
                    first.owner.name(),
                    match undecided.len() {
                        1 => String::new(),
                        more => format!(" (or one of {} others)", more - 1),
                    },
                    first.message()
                ),
                on: undecided.iter().map(|other| other.owner.clone()).collect(),
                until: Some(until),
                wanted: false,
            },
            _ => Fate::Prune,
        }
    }

    /// Why an object that is to be created cannot be taken over yet, though it may be soon: the Application that it
    /// names has not looked at the commit. With whose change ends the wait.
    pub fn not_yet(&self, id: &ObjectId, live: Option<&LiveRecord>, at: &Place) -> Option<(String, Owner)> {
        let other = self.named(live)?;
        let waits = match other.standing {
            None => true,
            Some(standing) => {
                // One that is suspended will not look.
                standing.wants(id) && standing.source == at.source && !standing.has_seen(at)
            }
        };
        waits.then(|| {
            let name = other.owner.name();
            let why = format!(
                "{id} belongs to Application {name}, which has not looked at {} yet: {}",
                at.shown,
                other.message()
            );
            (why, other.owner.clone())
        })
    }

    /// What an Application that an object names makes of it.
    pub fn claim_of(&self, owner: &Owner, id: &ObjectId) -> Claim {
        match self.others.iter().find(|other| other.owner == *owner) {
            Some(other) => self.claim(other, id),
            None => Claim::Gone,
        }
    }
}

/// The inventory to plan with: what another Application has by now counts as not applied, so that ownership decides.
pub fn without_lost(
    set: &InventorySet,
    wanted: impl Fn(&ObjectId) -> bool,
    lost: impl Fn(&ObjectId) -> bool,
) -> Option<InventorySet> {
    let gone: Vec<ObjectId> = set
        .entries
        .keys()
        .filter(|id| wanted(id) && lost(id))
        .cloned()
        .collect();
    if gone.is_empty() {
        return None;
    }
    let mut set = set.clone();
    for id in gone {
        set.entries.remove(&id);
    }
    Some(set)
}

/// A plan whose removals have these fates.
pub fn settle(plan: Plan, fates: &BTreeMap<ObjectId, Fate>, key: &DigestKey) -> Plan {
    if fates.values().all(|fate| *fate == Fate::Prune) {
        return plan;
    }
    let mut plan = plan;
    let removal = |action: &Action| matches!(action, Action::Delete { .. });
    plan.steps.retain(|step| {
        !removal(&step.action) || !matches!(fates.get(&step.id), Some(Fate::Keep { .. } | Fate::LetGo { .. }))
    });
    // What is left running on purpose is forgotten at once, unless somebody is known to want it.
    plan.forgotten.retain(|forgotten| {
        !matches!(
            fates.get(&forgotten.id),
            Some(Fate::Keep { wanted: true, .. } | Fate::LetGo { .. })
        )
    });
    let let_go = fates
        .iter()
        .filter(|(_, fate)| matches!(fate, Fate::LetGo { .. }));
    plan.forgotten.extend(let_go.map(|(id, _)| Forgotten {
        id: id.clone(),
        kept_because: Some(TAKEN),
    }));
    reseal(plan, key)
}

/// A plan without the applies of objects that are not wanted: they are neither made nor kept up.
pub fn spare(mut plan: Plan, wanted: impl Fn(&ObjectId) -> bool, key: &DigestKey) -> Plan {
    let before = plan.steps.len();
    plan.steps
        .retain(|step| matches!(step.action, Action::Delete { .. }) || wanted(&step.id));
    if plan.steps.len() == before {
        return plan;
    }
    plan.unchanged += before - plan.steps.len();
    reseal(plan, key)
}
