//! Deleting an object and making it anew, because a field that git changes cannot be changed (semantics.md, Ownership 3).
//!
//! Never guessed: git allows it (`spec.force`, `tidegate.io/force: Enabled`), the kind may be deleted at all, and the API
//! server has refused exactly this change in a dry-run, for nothing but immutable fields. So the plan says `recreate`
//! before anything is deleted.

use std::collections::BTreeSet;

use crate::apply_rule::ApplyRule;
use crate::desired::{DesiredObject, PruneRule, Rendered};
use crate::inventory::InventorySet;
use crate::object::ObjectId;
use crate::order::never_pruned_by_default;
use crate::plan::{Action, Cause, Live, Plan};

/// What only the API server can tell, asked before planning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Objects whose change it refuses for immutable fields alone.
    pub immutable: BTreeSet<ObjectId>,
    /// Objects that are there and not ours, of those that git wants created only where there are none.
    pub present: BTreeSet<ObjectId>,
}

/// True when git allows that the object is deleted and made anew.
pub fn is_allowed(object: &DesiredObject) -> bool {
    object.force && object.apply == ApplyRule::Always && may_be_deleted(object)
}

fn may_be_deleted(object: &DesiredObject) -> bool {
    match object.prune {
        PruneRule::Enabled => true,
        PruneRule::Disabled => false,
        PruneRule::Default => !never_pruned_by_default(&object.id),
    }
}

/// An object that may have to be made anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// As git has it.
    pub object: &'a DesiredObject,
    /// UID of the live one. `None` when the inventory does not have it: then the live object must carry our owner
    /// annotation and our manager's entry.
    pub uid: Option<&'a str>,
}

/// Objects of a plan whose change has to be tried before it can be told whether they are made anew.
pub fn candidates<'a>(plan: &'a Plan, live: &Live) -> Vec<Candidate<'a>> {
    let steps = plan.steps.iter().filter_map(|step| {
        let object = plan.rendered.get(&step.id).filter(|object| is_allowed(object))?;
        match (&step.action, step.cause) {
            (Action::Update { uid }, Cause::Changed) => Some(Candidate {
                object,
                uid: Some(uid),
            }),
            // Begun and cut short, perhaps between its deletion and its creation.
            (Action::Create, Cause::New | Cause::Begun) if live.contains_key(&step.id) => {
                Some(Candidate { object, uid: None })
            }
            _ => None,
        }
    });
    steps.collect()
}

/// Objects of which it has to be asked whether they are there, since git wants them created only where they are not, and
/// the inventory does not know them.
pub fn unknown<'a>(rendered: &'a Rendered, inventory: &InventorySet) -> Vec<&'a DesiredObject> {
    let objects = rendered.objects.iter();
    objects
        .filter(|o| o.apply == ApplyRule::IfNotPresent && !inventory.entries.contains_key(&o.id))
        .collect()
}

/// The action in place of this one, where the API server refuses it for immutable fields.
pub(crate) fn instead(action: Action, cause: Cause, object: &DesiredObject, found: &Found) -> Action {
    if !is_allowed(object) || !found.immutable.contains(&object.id) {
        return action;
    }
    match (action, cause) {
        (Action::Update { uid }, Cause::Changed) => Action::Recreate { uid: Some(uid) },
        (Action::Create, Cause::New | Cause::Begun) => Action::Recreate { uid: None },
        (other, _) => other,
    }
}

/// What to do about a field that cannot be changed, to follow the API server's own words.
pub fn way_out(object: &DesiredObject) -> &'static str {
    match (object.force, may_be_deleted(object), object.prune) {
        (true, true, _) => {
            "; it is not known to be Tidegate's and is not deleted: delete it by hand, or revert the change"
        }
        (_, false, PruneRule::Disabled) => {
            "; revert the change, or delete the object by hand: it is annotated tidegate.io/prune: Disabled"
        }
        (true, false, _) => {
            "; revert the change, or annotate the object tidegate.io/prune: Enabled too: then it is deleted, with what it holds, and made anew"
        }
        (false, false, _) => {
            "; revert the change, or annotate the object tidegate.io/force: Enabled and tidegate.io/prune: Enabled: then it is deleted, with what it holds, and made anew"
        }
        (false, true, _) => {
            "; revert the change, or annotate the object tidegate.io/force: Enabled in git: then it is deleted and made anew"
        }
    }
}
