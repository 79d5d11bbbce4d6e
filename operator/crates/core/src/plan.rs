//! The plan: what has to be done to bring the cluster from what was applied to what a commit says.
//!
//! Rules: semantics.md "Ownership 1", "Inventory", "Prune and deletion", "Drift".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::DriftMode;
use tidegate_api::inventory::Place;

use crate::additions::any_added;
use crate::apply_rule::ApplyRule;
use crate::desired::{DesiredObject, PruneRule, Rendered};
use crate::digest::DigestKey;
use crate::hook::Run;
use crate::inventory::{Entry, InventorySet, Sealed};
use crate::live::LiveRecord;
use crate::object::ObjectId;
use crate::order::{Departure, Stage, never_pruned_by_default};
use crate::recreate::{Found, instead};

/// One conditional mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Apply, only if absent (`resourceVersion: "1"`).
    Create,
    /// Apply, only to this uid.
    Update {
        /// UID from the inventory.
        uid: String,
    },
    /// Delete, wait until it is gone, and create: a field that git changes cannot be changed. See [`crate::recreate`].
    Recreate {
        /// As of [`Action::Delete`].
        uid: Option<String>,
    },
    /// Delete, only this uid at a resource version read just before.
    Delete {
        /// UID from the inventory; `None` for an entry that was only intended: then the live object must carry our
        /// owner annotation and our manager's entry.
        uid: Option<String>,
    },
}

impl Action {
    /// The word in a Release's `plan.changes`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update { .. } => "update",
            Self::Recreate { .. } => "recreate",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Why a step is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Not applied before.
    New,
    /// Making it was begun, and there is no answer: it failed, or the answer was lost.
    Begun,
    /// The commit changes it.
    Changed,
    /// The live object lost fields that we had applied.
    Drifted,
    /// People added something beside our fields: it is taken away.
    Added,
    /// The live object is gone, or another one has its place.
    Missing,
    /// The commit no longer has it, or the Application is being deleted.
    Removed,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The object.
    pub id: ObjectId,
    /// Version of the mutation.
    pub version: Arc<str>,
    /// What to do.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// When: wave before stage.
    pub wave: i32,
    /// When.
    pub stage: Stage,
    /// What people may own beside our fields, as it was sealed. `None` accepts what the answer has.
    pub accepted: Option<Vec<String>>,
    /// For the Job of a hook: the run that the step is about. The entry stays after a deletion, and has it.
    pub run: Option<Run>,
}

/// Everything to do, in order. A value of this type can do nothing yet: see [`crate::gate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps: applies by wave and stage, then deletes in the reverse order, each group after the other: see
    /// [`crate::wave`]. Within a group by identity.
    pub steps: Vec<Step>,
    /// The desired set that the bodies come from.
    pub rendered: Arc<Rendered>,
    /// Objects that stay as they are.
    pub unchanged: usize,
    /// Entries to forget: gone already, or left running because their kind or an annotation protects them.
    pub forgotten: Vec<Forgotten>,
    /// Keyed digest over identity, action and desired digest of each step.
    pub digest: String,
    /// True for a part of a plan that more follows.
    pub more: bool,
}

/// An inventory entry that goes without a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The object.
    pub id: ObjectId,
    /// Why it stays in the cluster; `None` when it is gone already.
    pub kept_because: Option<&'static str>,
}

/// Why an entry is forgotten whose object was handed over.
pub const TAKEN: &str = "another Application has it now";

/// What is known of live objects. The map must be in sync for the kinds in the inventory.
pub type Live = BTreeMap<ObjectId, LiveRecord>;

/// What a plan is made of.
pub struct Inputs<'a> {
    /// The desired set.
    pub rendered: &'a Arc<Rendered>,
    /// What was applied.
    pub inventory: &'a InventorySet,
    /// What is there.
    pub live: &'a Live,
    /// `spec.prune`.
    pub prune: bool,
    /// `spec.drift.mode`.
    pub drift: DriftMode,
    /// `spec.drift.additions`.
    pub additions: DriftMode,
    /// What the API server was asked before.
    pub found: &'a Found,
    /// Now: holds expire.
    pub now: Timestamp,
    /// For the digest.
    pub key: &'a DigestKey,
}

impl Plan {
    /// True when nothing is to be done in the cluster.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Number of steps with that action word.
    pub fn count(&self, verb: &str) -> usize {
        self.steps.iter().filter(|s| s.action.verb() == verb).count()
    }

    /// True when nothing in it is new: live objects are put back as they were applied, and what [`Upkeep`] says.
    pub fn brings_nothing_new(&self, upkeep: Upkeep) -> bool {
        self.steps.iter().all(|step| upkeep.has(step.cause))
    }

    /// The part that brings nothing new, without the objects that are not `ready` to be corrected.
    pub fn upkeep(&self, upkeep: Upkeep, key: &DigestKey, ready: impl Fn(&ObjectId) -> bool) -> Self {
        let wanted = |step: &&Step| upkeep.has(step.cause) && ready(&step.id);
        let steps: Vec<Step> = self.steps.iter().filter(wanted).cloned().collect();
        let unchanged = self.unchanged + self.steps.len() - steps.len();
        // What another Application has by now is forgotten in any case.
        let mut forgotten = self.forgotten.clone();
        forgotten.retain(|gone| upkeep.removed || gone.kept_because == Some(TAKEN));
        seal_plan(steps, self.rendered.clone(), unchanged, forgotten, key)
    }

    /// Entries as *intended* before the first mutation: all that is there plus all that will be.
    pub fn intended(&self, inventory: &InventorySet) -> InventorySet {
        let mut set = inventory.clone();
        set.follow(&self.rendered);
        for forgotten in &self.forgotten {
            set.entries.remove(&forgotten.id);
        }
        for step in self
            .steps
            .iter()
            .filter(|s| !matches!(s.action, Action::Delete { .. }))
        {
            let prune = self.rendered.get(&step.id).map(DesiredObject::prune_rule);
            let prune = prune.unwrap_or_default();
            let entry = set.entries.entry(step.id.clone()).or_default();
            entry.version = step.version.to_string();
            entry.prune = prune;
            entry.wave = step.wave;
            entry.run.clone_from(&step.run);
            if matches!(step.action, Action::Create | Action::Recreate { .. }) {
                entry.sealed = None;
            }
        }
        set
    }
}

impl Plan {
    /// Notes in the *intended* entries which release makes what was not there `before`.
    pub fn made_by(&self, release: &str, before: &InventorySet, intended: &mut InventorySet) {
        for step in self.steps.iter().filter(|step| step.run.is_none()) {
            let new = !before.entries.contains_key(&step.id);
            if let Some(entry) = intended.entries.get_mut(&step.id).filter(|_| new) {
                entry.made = Some(release.to_owned());
            }
        }
    }
}

/// What belongs to keeping a set as it is, besides putting back what drifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// The set is the one that was tried last: what outlived an earlier prune is looked after.
    pub removed: bool,
    /// The set was once applied as a whole: what was begun since, and has no answer, had been there before.
    pub begun: bool,
}

impl Upkeep {
    fn has(self, cause: Cause) -> bool {
        match cause {
            Cause::Drifted | Cause::Added | Cause::Missing => true,
            Cause::Removed => self.removed,
            Cause::Begun => self.begun,
            Cause::New | Cause::Changed => false,
        }
    }
}

/// Objects that a commit changes and that are on their way out: nothing can be applied to them, and when they are gone
/// they are made anew, whatever `spec.drift.mode` says.
pub fn postponed(rendered: &Rendered, inventory: &InventorySet, live: &Live) -> BTreeSet<ObjectId> {
    let waits = |object: &&DesiredObject| {
        let sealed = inventory.entries.get(&object.id).and_then(|e| e.sealed.as_ref());
        let changed = sealed.is_some_and(|sealed| sealed.desired != object.digest);
        changed && live.get(&object.id).is_some_and(|live| live.deleting)
    };
    rendered
        .objects
        .iter()
        .filter(waits)
        .map(|o| o.id.clone())
        .collect()
}

/// Makes the plan of a release or of a drift correction.
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let mut steps = Vec::new();
    let mut unchanged = 0;
    for object in &inputs.rendered.objects {
        let entry = inputs.inventory.entries.get(&object.id);
        let live = inputs.live.get(&object.id);
        match apply_action(entry, live, object, inputs) {
            Some((action, cause)) => {
                let action = instead(action, cause, object, inputs.found);
                let stage = Stage::of(&object.id);
                let sealed = entry.and_then(|e| e.sealed.as_ref());
                let accepted = match action {
                    Action::Update { .. } => sealed.and_then(|s| s.foreign.clone()),
                    Action::Create | Action::Recreate { .. } | Action::Delete { .. } => None,
                };
                steps.push(Step {
                    id: object.id.clone(),
                    version: object.version.clone(),
                    action,
                    cause,
                    wave: object.wave,
                    stage,
                    accepted,
                    run: None,
                });
            }
            None => unchanged += 1,
        }
    }
    steps.sort_by(|a, b| (a.wave, a.stage, &a.id).cmp(&(b.wave, b.stage, &b.id)));
    let left_out = |id: &ObjectId| inputs.rendered.left_out.binary_search(id).is_ok();
    let gone = inputs
        .inventory
        .entries
        .iter()
        .filter(|(id, _)| !inputs.rendered.names(id));
    let removal = removals(gone, inputs.live, inputs.prune, left_out);
    steps.extend(removal.steps);
    seal_plan(
        steps,
        inputs.rendered.clone(),
        unchanged,
        removal.forgotten,
        inputs.key,
    )
}

/// Makes the plan of a deleted Application. `delete` false leaves every object running.
pub fn teardown(inventory: &InventorySet, live: &Live, delete: bool, key: &DigestKey) -> Plan {
    let removal = removals(inventory.entries.iter(), live, delete, |_| false);
    seal_plan(removal.steps, Arc::default(), 0, removal.forgotten, key)
}

/// What an object needs, if anything. A live object under another uid was made by somebody else: `Create` then meets
/// a conflict, and ownership decides.
fn apply_action(
    entry: Option<&Entry>,
    live: Option<&LiveRecord>,
    object: &DesiredObject,
    inputs: &Inputs<'_>,
) -> Option<(Action, Cause)> {
    let once = object.apply == ApplyRule::IfNotPresent;
    if once && entry.is_none() && inputs.found.present.contains(&object.id) {
        return None;
    }
    let Some(Entry {
        sealed: Some(sealed),
        version: applied_version,
        ..
    }) = entry
    else {
        let cause = if entry.is_some() { Cause::Begun } else { Cause::New };
        return Some((Action::Create, cause));
    };
    let update = || Action::Update {
        uid: sealed.uid.clone(),
    };
    let changed = sealed.desired != object.digest || *applied_version != *object.version;
    // What comes back with another content is no mere correction.
    let gone = if changed { Cause::Changed } else { Cause::Missing };
    if once && sealed.apply == ApplyRule::IfNotPresent {
        let absent = live.is_none() && inputs.drift == DriftMode::Correct;
        return absent.then_some((Action::Create, Cause::Missing));
    }
    match live {
        None => (changed || inputs.drift == DriftMode::Correct).then_some((Action::Create, gone)),
        // Nothing can be applied to an object on its way out; when it is gone it is missing, and made anew.
        Some(live) if live.deleting => None,
        Some(live) if live.uid != sealed.uid => Some((Action::Create, gone)),
        Some(_) if changed => Some((update(), Cause::Changed)),
        Some(live) => {
            let cause = correction(sealed, live, inputs.drift, inputs.additions, inputs.now)?;
            Some((update(), cause))
        }
    }
}

/// Why a live object is to be corrected now, if it is and nobody has put it on hold. Lost fields come first: what was
/// taken from us is in a person's entry until it is put back, and looks like an addition. Where they are not to be put
/// back, additions stay too, since no apply takes away one without putting back the other.
pub fn correction(
    sealed: &Sealed,
    live: &LiveRecord,
    mode: DriftMode,
    additions: DriftMode,
    now: Timestamp,
) -> Option<Cause> {
    if live.held(now).is_some() {
        return None;
    }
    if drifted(sealed, live) {
        return (mode == DriftMode::Correct).then_some(Cause::Drifted);
    }
    (additions == DriftMode::Correct && added(sealed, live)).then_some(Cause::Added)
}

/// True when people own something beside our fields that they did not when the object was sealed. Beside others, and in
/// what is only created, they may.
pub fn added(sealed: &Sealed, live: &LiveRecord) -> bool {
    if sealed.apply != ApplyRule::Always {
        return false;
    }
    let accepted = sealed.foreign.as_deref();
    comparable(sealed, live) && accepted.is_some_and(|accepted| any_added(&live.foreign, accepted))
}

/// True when fields that we applied were taken from us.
pub fn drifted(sealed: &Sealed, live: &LiveRecord) -> bool {
    let kept = sealed.apply != ApplyRule::IfNotPresent;
    // Of some kinds (CertificateSigningRequest) the API server does not keep who owns what: nothing can be lost there.
    kept && comparable(sealed, live) && live.ours.as_deref().unwrap_or_default() != sealed.ours
}

/// True when a record and a seal leave out the same fields. Else the object has to be read again: a watch may have
/// brought it before it was known what is ignored.
pub fn comparable(sealed: &Sealed, live: &LiveRecord) -> bool {
    !live.deleting && live.ignored == sealed.ignored
}

struct Removal {
    steps: Vec<Step>,
    forgotten: Vec<Forgotten>,
}

fn removals<'a>(
    gone: impl Iterator<Item = (&'a ObjectId, &'a Entry)>,
    live: &Live,
    delete: bool,
    left_out: impl Fn(&ObjectId) -> bool,
) -> Removal {
    let mut removal = Removal {
        steps: Vec::new(),
        forgotten: Vec::new(),
    };
    for (id, entry) in gone {
        let ignored = left_out(id).then_some("it is annotated tidegate.io/apply: Ignore");
        if let Some(why) = ignored.or(kept(id, entry, delete)) {
            removal.forgotten.push(Forgotten {
                id: id.clone(),
                kept_because: Some(why),
            });
            continue;
        }
        // Already on its way out: it stays in the inventory until it is gone.
        if live.get(id).is_some_and(|l| l.deleting) {
            continue;
        }
        let uid = entry.sealed.as_ref().map(|s| s.uid.clone());
        removal.steps.push(Step {
            id: id.clone(),
            version: entry.version.as_str().into(),
            action: Action::Delete { uid },
            cause: Cause::Removed,
            wave: entry.wave,
            stage: Stage::of(id),
            accepted: None,
            run: None,
        });
    }
    removal
        .steps
        .sort_by(|a, b| (Departure::of(a.wave, &a.id), &a.id).cmp(&(Departure::of(b.wave, &b.id), &b.id)));
    removal
}

fn kept(id: &ObjectId, entry: &Entry, delete: bool) -> Option<&'static str> {
    let merged = entry.sealed.as_ref().is_some_and(|s| s.apply == ApplyRule::Merge);
    match entry.prune {
        _ if !delete => Some("pruning is switched off"),
        PruneRule::Enabled => None,
        _ if merged => Some(
            "others have a part of it (tidegate.io/apply: Merge); annotate it tidegate.io/prune: Enabled in git to have it deleted",
        ),
        PruneRule::Disabled => Some("it is annotated tidegate.io/prune: Disabled"),
        PruneRule::Default if never_pruned_by_default(id) => {
            Some("its kind is never pruned unless annotated tidegate.io/prune: Enabled in git")
        }
        PruneRule::Default => None,
    }
}

impl Plan {
    /// The same plan with a digest that says where it goes, and as whom: who agreed to the one agreed to no other.
    #[must_use]
    pub fn placed(mut self, place: &Place, key: &DigestKey) -> Self {
        if !place.is_default() {
            let place = serde_json::to_vec(place).unwrap_or_default();
            let mut digester = key.start();
            digester.part(self.digest.as_bytes()).part(&place);
            self.digest = digester.finish();
        }
        self
    }
}

/// The same plan with the digest of the steps that it has now.
pub(crate) fn reseal(plan: Plan, key: &DigestKey) -> Plan {
    seal_plan(plan.steps, plan.rendered, plan.unchanged, plan.forgotten, key)
}

pub(crate) fn seal_plan(
    steps: Vec<Step>,
    rendered: Arc<Rendered>,
    unchanged: usize,
    forgotten: Vec<Forgotten>,
    key: &DigestKey,
) -> Plan {
    let mut digester = key.start();
    for step in &steps {
        let desired = rendered.get(&step.id).map_or("", |o| o.digest.as_str());
        digester
            .part(step.id.key().as_bytes())
            .part(step.action.verb().as_bytes())
            .part(desired.as_bytes());
    }
    Plan {
        digest: digester.finish(),
        steps,
        rendered,
        unchanged,
        forgotten,
        more: false,
    }
}
