//! What of a plan may go now, and what the rest waits for.
//!
//! Owns the order between waves and between groups of deletions. Holds nothing: each look takes the whole plan and what
//! is live, so that a restart in the middle goes on where it was. May not know deadlines: how long a wait may last is the
//! caller's to say.
//!
//! - A wave starts when all objects of the waves below are written, and healthy in the live map.
//! - What drifted is put back at once, whatever waits.
//! - Deletions start when nothing is left to write, one group after another ([`Departure`]); a group starts when the
//!   objects of the one before are gone.

use std::collections::BTreeSet;

use crate::desired::DesiredObject;
use crate::health::HealthStatus;
use crate::inventory::{Entry, InventorySet};
use crate::live::LiveRecord;
use crate::object::ObjectId;
use crate::order::Departure;
use crate::plan::{Action, Cause, Live, Plan, Step};

/// The part of a plan that may go now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Objects whose steps may go.
    pub now: BTreeSet<ObjectId>,
    /// True when nothing is left after that.
    pub last: bool,
    /// What the rest waits for; `None` when it can be looked at as soon as this part is done.
    pub waits: Option<Wait>,
}

impl Due {
    /// True when there is nothing to do but wait.
    pub fn only_waits(&self) -> bool {
        self.now.is_empty() && self.waits.is_some()
    }
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What has to come to pass.
    pub what: Awaited,
    /// The first object that it is not true of yet.
    pub object: ObjectId,
    /// What that object says.
    pub why: String,
}

/// Why a part of a plan may not go yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Everything up to a wave has to be healthy.
    Healthy {
        /// That wave.
        wave: i32,
        /// The wave that waits.
        next: i32,
    },
    /// Objects have to be gone.
    Gone {
        /// The first object that is deleted after them.
        next: ObjectId,
    },
}

impl Wait {
    /// The same as long as the same part of a release waits, whichever object it waits for.
    pub fn key(&self) -> String {
        match &self.what {
            Awaited::Healthy { next, .. } => format!("wave {next}"),
            Awaited::Gone { next } => format!("deletion of {next}"),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let Self { what, object, why } = self;
        match what {
            Awaited::Healthy { wave, next } => {
                format!("wave {next} waits until wave {wave} is healthy: {object}: {why}")
            }
            Awaited::Gone { next } => format!("{next} is deleted when {object} is gone: {why}"),
        }
    }
}

/// What may go now. `live` must be in sync for the kinds in the inventory.
pub fn due(plan: &Plan, inventory: &InventorySet, live: &Live) -> Due {
    let next = plan.steps.iter().filter(|s| is_gated(s)).map(|s| s.wave).min();
    let waits = next.and_then(|next| unhealthy_below(next, plan, inventory, live));
    let written = |step: &Step| !is_gated(step) || (waits.is_none() && Some(step.wave) == next);
    let mut now: BTreeSet<ObjectId> = plan
        .steps
        .iter()
        .filter(|step| !is_deletion(step) && written(step))
        .map(|step| step.id.clone())
        .collect();
    let all_written = plan.steps.iter().all(|s| is_deletion(s) || now.contains(&s.id));
    if !all_written {
        return Due {
            now,
            last: false,
            waits,
        };
    }
    let waits = match deletions(plan, inventory, live) {
        Deletions::Now(group) => {
            now.extend(group);
            None
        }
        Deletions::Held(wait) => Some(wait),
        Deletions::None => None,
    };
    Due {
        last: now.len() == plan.steps.len(),
        now,
        waits,
    }
}

/// True for an object that is as it was sealed, and healthy; otherwise why it is not.
pub fn settled(entry: Option<&Entry>, live: Option<&LiveRecord>) -> Result<(), String> {
    let Some(sealed) = entry.and_then(|entry| entry.sealed.as_ref()) else {
        return Err("not written yet".to_owned());
    };
    match live {
        None => Err("not found".to_owned()),
        Some(live) if live.uid != sealed.uid => Err("another object has its place".to_owned()),
        Some(live) if live.health == HealthStatus::Current => Ok(()),
        Some(live) => Err(live.message.clone()),
    }
}

fn is_deletion(step: &Step) -> bool {
    matches!(step.action, Action::Delete { .. })
}

/// True for what a commit brings, also when it was begun before; what is merely put back has no turn.
fn is_gated(step: &Step) -> bool {
    matches!(step.cause, Cause::New | Cause::Begun | Cause::Changed)
}

/// The first object in a wave below `next` that is not healthy, lowest wave first.
fn unhealthy_below(next: i32, plan: &Plan, inventory: &InventorySet, live: &Live) -> Option<Wait> {
    // What others have, and is left to them, has neither an entry nor a step: nobody waits for it.
    let ours = |object: &&DesiredObject| {
        inventory.entries.contains_key(&object.id) || plan.steps.iter().any(|step| step.id == object.id)
    };
    let below = plan
        .rendered
        .objects
        .iter()
        .filter(|object| object.wave < next && ours(object));
    let unhealthy = below.filter_map(|object| {
        let (entry, record) = (inventory.entries.get(&object.id), live.get(&object.id));
        let why = settled(entry, record).err()?;
        Some((object.wave, &object.id, why))
    });
    let (wave, object, why) = unhealthy.min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)))?;
    Some(Wait {
        what: Awaited::Healthy { wave, next },
        object: object.clone(),
        why,
    })
}

enum Deletions {
    None,
    Now(Vec<ObjectId>),
    Held(Wait),
}

/// The first group that has something to delete, unless objects of an earlier one are still on their way out.
fn deletions(plan: &Plan, inventory: &InventorySet, live: &Live) -> Deletions {
    let turn = |step: &Step| Departure::of(step.wave, &step.id);
    let deletes = || plan.steps.iter().filter(|step| is_deletion(step));
    let Some(first) = deletes().min_by_key(|step| turn(step)) else {
        return Deletions::None;
    };
    let held = departing(plan, inventory, live).min();
    match held {
        Some((group, object, why)) if group < turn(first) => Deletions::Held(Wait {
            what: Awaited::Gone {
                next: first.id.clone(),
            },
            object: object.clone(),
            why: why.to_owned(),
        }),
        _ => {
            let group = deletes().filter(|step| turn(step) == turn(first));
            Deletions::Now(group.map(|step| step.id.clone()).collect())
        }
    }
}

/// Objects of ours that were deleted and are still there.
fn departing<'a>(
    plan: &'a Plan,
    inventory: &'a InventorySet,
    live: &'a Live,
) -> impl Iterator<Item = (Departure, &'a ObjectId, &'a str)> {
    let stays: BTreeSet<&ObjectId> = plan.forgotten.iter().map(|f| &f.id).collect();
    let dropped = move |id: &ObjectId| !plan.rendered.names(id) && !stays.contains(id);
    let gone = inventory.entries.iter().filter(move |(id, _)| dropped(id));
    gone.filter_map(|(id, entry)| {
        let record = live.get(id).filter(|record| record.deleting)?;
        let ours = entry
            .sealed
            .as_ref()
            .is_none_or(|sealed| sealed.uid == record.uid);
        ours.then(|| (Departure::of(entry.wave, id), id, record.message.as_str()))
    })
}
