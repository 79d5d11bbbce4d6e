//! Properties of plans over any inventory and any cluster, not only over what an undisturbed release leaves behind:
//! entries that were only intended, objects made anew, on their way out, edited, held or gone.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: a missing entry is a failed test"
)]

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use tidegate_api::application::DriftMode;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::health::HealthStatus;
use tidegate_core::inventory::{Entry, InventorySet, Sealed};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::plan::{Action, Inputs, Live, Plan, plan, teardown};
use tidegate_core::recreate::Found;

const KINDS: [(&str, &str); 5] = [
    ("", "ConfigMap"),
    ("apps", "Deployment"),
    ("", "Namespace"),
    ("", "PersistentVolumeClaim"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];
const PROTECTED: [&str; 4] = [
    "Namespace",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "CustomResourceDefinition",
];

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn any_id() -> impl Strategy<Value = ObjectId> {
    (select(KINDS.to_vec()), select(vec!["a", "b", "c"])).prop_map(|((group, kind), name)| {
        let namespaced = !matches!(kind, "Namespace" | "CustomResourceDefinition");
        ObjectId::new(group, kind, if namespaced { "shop" } else { "" }, name)
    })
}

fn any_rule() -> impl Strategy<Value = PruneRule> {
    select(vec![PruneRule::Default, PruneRule::Enabled, PruneRule::Disabled])
}

fn object(id: ObjectId, content: u8, prune: PruneRule) -> DesiredObject {
    let body = json!({ "kind": &*id.kind, "metadata": { "name": &*id.name }, "data": content, "prune": prune.as_str() });
    DesiredObject {
        id,
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: key().of_value(&body),
        ignored: Vec::new(),
        body,
        prune,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

/// Objects with unique identities, in any order.
fn any_objects(least: usize) -> impl Strategy<Value = Vec<DesiredObject>> {
    let parts = prop::collection::btree_map(any_id(), (0_u8..3, any_rule()), least..9);
    parts
        .prop_map(|parts| {
            parts
                .into_iter()
                .map(|(id, (c, p))| object(id, c, p))
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// Entries sealed with any uid, digest and rule, or only intended.
fn any_inventory() -> impl Strategy<Value = InventorySet> {
    let sealed = prop::option::of((0_u8..2, 0_u8..3, any_rule(), 0_u8..2));
    prop::collection::btree_map(any_id(), (sealed, any_rule()), 0..9).prop_map(|parts| {
        let entry = |(id, (sealed, prune)): (ObjectId, (Option<_>, _))| {
            let sealed = sealed.map(|(uid, content, rule, ours)| Sealed {
                uid: format!("uid-{uid}"),
                desired: object(id.clone(), content, rule).digest,
                ours: format!("ours-{ours}"),
                foreign: Some(Vec::new()),
                ignored: Vec::new(),
                apply: ApplyRule::Always,
            });
            let version = "v1".to_owned();
            (
                id,
                Entry {
                    version,
                    sealed,
                    prune,
                    wave: 0,
                    made: None,
                    run: None,
                },
            )
        };
        InventorySet {
            entries: parts.into_iter().map(entry).collect(),
            ..InventorySet::default()
        }
    })
}

fn any_live() -> impl Strategy<Value = Live> {
    let record = (0_u8..2, prop::option::of(0_u8..2), any::<bool>(), any::<bool>());
    let record = record.prop_map(|(uid, ours, deleting, held)| LiveRecord {
        uid: format!("uid-{uid}"),
        resource_version: "5".to_owned(),
        ours: ours.map(|n| format!("ours-{n}")),
        foreign: Vec::new(),
        ignored: Vec::new(),
        judged_by: None,
        health: HealthStatus::Current,
        message: String::new(),
        deleting,
        hold: held.then(|| "1970-01-02T00:00:00Z incident 42".to_owned()),
        owner: None,
        last_foreign_manager: None,
    });
    prop::collection::btree_map(any_id(), record, 0..9)
}

fn rendered(objects: Vec<DesiredObject>) -> Arc<Rendered> {
    Arc::new(Rendered::new(objects, &key()))
}

fn make(
    rendered: &Arc<Rendered>,
    inventory: &InventorySet,
    live: &Live,
    prune: bool,
    drift: DriftMode,
) -> Plan {
    plan(&Inputs {
        rendered,
        inventory,
        live,
        prune,
        drift,
        additions: DriftMode::Correct,
        found: &Found::default(),
        now: Timestamp::UNIX_EPOCH,
        key: &key(),
    })
}

fn any_drift() -> impl Strategy<Value = DriftMode> {
    select(vec![DriftMode::Correct, DriftMode::Report, DriftMode::Ignore])
}

/// Inventory and cluster after every step was done and answered.
fn carry_out(plan: &Plan, inventory: &InventorySet, live: &Live) -> (InventorySet, Live) {
    let (mut set, mut live) = (plan.intended(inventory), live.clone());
    for step in &plan.steps {
        let Some(object) = plan.rendered.get(&step.id) else {
            set.entries.remove(&step.id);
            live.remove(&step.id);
            continue;
        };
        let uid = match &step.action {
            Action::Update { uid } => uid.clone(),
            _ => "uid-new".to_owned(),
        };
        let ours = format!("ours-{}", object.digest);
        let record = LiveRecord {
            uid: uid.clone(),
            resource_version: "6".to_owned(),
            ours: Some(ours.clone()),
            foreign: Vec::new(),
            ignored: Vec::new(),
            judged_by: None,
            health: HealthStatus::Current,
            message: String::new(),
            deleting: false,
            hold: None,
            owner: None,
            last_foreign_manager: None,
        };
        live.insert(step.id.clone(), record);
        set.entries.get_mut(&step.id).unwrap().sealed = Some(Sealed {
            uid,
            desired: object.digest.clone(),
            ours,
            foreign: Some(Vec::new()),
            ignored: Vec::new(),
            apply: ApplyRule::Always,
        });
    }
    (set, live)
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_do(
        objects in any_objects(1), inventory in any_inventory(), live in any_live(),
        prune in any::<bool>(), drift in any_drift(),
    ) {
        let set = rendered(objects);
        let first = make(&set, &inventory, &live, prune, drift);
        let (inventory, live) = carry_out(&first, &inventory, &live);
        let second = make(&set, &inventory, &live, prune, drift);
        prop_assert!(second.is_empty() && second.forgotten.is_empty(), "{:?} {:?}", second.steps, second.forgotten);
        prop_assert_eq!(second.intended(&inventory), inventory);
    }

    #[test]
    fn the_order_of_the_files_is_irrelevant(
        (one, other) in any_objects(1).prop_flat_map(|objects| (Just(objects.clone()), Just(objects).prop_shuffle())),
        inventory in any_inventory(), live in any_live(), prune in any::<bool>(), drift in any_drift(),
    ) {
        let one = make(&rendered(one), &inventory, &live, prune, drift);
        let other = make(&rendered(other), &inventory, &live, prune, drift);
        prop_assert_eq!(&one.digest, &other.digest);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn nothing_is_deleted_but_what_is_recorded_and_may_go(
        objects in any_objects(0), inventory in any_inventory(), live in any_live(), drift in any_drift(),
    ) {
        let set = rendered(objects);
        let released = make(&set, &inventory, &live, true, drift);
        let torn_down = teardown(&inventory, &live, true, &key());
        let deletes = |plan: &Plan| {
            let deletes = plan.steps.iter().filter(|s| matches!(s.action, Action::Delete { .. }));
            deletes.cloned().collect::<Vec<_>>()
        };
        for step in deletes(&released) {
            prop_assert!(set.get(&step.id).is_none(), "{} is in git", step.id);
        }
        for step in deletes(&released).into_iter().chain(deletes(&torn_down)) {
            let entry = inventory.entries.get(&step.id);
            prop_assert!(entry.is_some(), "{} is not in the inventory", step.id);
            let entry = entry.unwrap();
            let uid = entry.sealed.as_ref().map(|s| s.uid.clone());
            prop_assert_eq!(step.action, Action::Delete { uid });
            prop_assert!(entry.prune != PruneRule::Disabled, "{} is annotated", step.id);
            let protected = PROTECTED.contains(&&*step.id.kind);
            prop_assert!(!protected || entry.prune == PruneRule::Enabled, "{} is protected", step.id);
        }
        prop_assert_eq!(make(&set, &inventory, &live, false, drift).count("delete"), 0);
        prop_assert!(teardown(&inventory, &live, false, &key()).is_empty());
    }

    #[test]
    fn everything_that_a_plan_may_make_is_recorded_before(
        objects in any_objects(1), inventory in any_inventory(), live in any_live(),
        prune in any::<bool>(), drift in any_drift(),
    ) {
        let plan = make(&rendered(objects), &inventory, &live, prune, drift);
        let intended = plan.intended(&inventory);
        for step in &plan.steps {
            let entry = intended.entries.get(&step.id);
            prop_assert!(entry.is_some(), "{} is not recorded", step.id);
            let uid = entry.unwrap().sealed.as_ref().map(|s| s.uid.clone());
            match &step.action {
                Action::Create => prop_assert_eq!(uid, None),
                Action::Update { uid: wanted } => {
                    prop_assert_eq!(uid.as_ref(), Some(wanted));
                    prop_assert_eq!(live.get(&step.id).map(|l| &l.uid), Some(wanted));
                }
                Action::Delete { uid: wanted } | Action::Recreate { uid: wanted } => prop_assert_eq!(&uid, wanted),
            }
        }
    }
}
