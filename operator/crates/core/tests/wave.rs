//! Waves and deletion order: nothing of a wave goes while an earlier one is unfinished, and nothing of a group is deleted
//! while an object of the group before is still there.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a missing entry is a failed test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use tidegate_api::application::DriftMode;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::{self, Asking, Decision, Question, RevisionFacts};
use tidegate_core::health::HealthStatus;
use tidegate_core::inventory::{InventorySet, Sealed};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::order::{Departure, parse_wave};
use tidegate_core::plan::{Action, Cause, Inputs, Live, Plan, plan, teardown};
use tidegate_core::policy::ApplicationFacts;
use tidegate_core::recreate::Found;
use tidegate_core::wave::{Awaited, Due, due};

const KINDS: [(&str, &str); 5] = [
    ("", "ConfigMap"),
    ("apps", "Deployment"),
    ("example.com", "Lamp"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
];

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn object(id: ObjectId, wave: i32, content: u8) -> DesiredObject {
    let body = json!({ "kind": &*id.kind, "name": &*id.name, "data": content, "wave": wave });
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
        prune: PruneRule::Enabled,
        force: false,
        apply: ApplyRule::Always,
        wave,
    }
}

fn id(kind: &str, name: &str) -> ObjectId {
    let (group, _) = KINDS.iter().find(|(_, k)| *k == kind).unwrap();
    ObjectId::new(group, kind, "shop", name)
}

/// A cluster whose objects become healthy, and go, when somebody says so.
#[derive(Default)]
struct World {
    inventory: InventorySet,
    live: Live,
}

impl World {
    fn plan(&self, rendered: &Arc<Rendered>) -> Plan {
        plan(&Inputs {
            rendered,
            inventory: &self.inventory,
            live: &self.live,
            prune: true,
            drift: DriftMode::Correct,
            additions: DriftMode::Correct,
            found: &Found::default(),
            now: Timestamp::UNIX_EPOCH,
            key: &key(),
        })
    }

    /// One look: what is due is carried out. The part, and what it was a part of.
    fn look(&mut self, plan: Plan, held: bool) -> (Plan, Due) {
        let due = due(&plan, &self.inventory, &self.live);
        let (application, revision, after) = <(ApplicationFacts, RevisionFacts, _)>::default();
        let question = Question::unbound(Asking::Release, &application, &revision, &after);
        let Decision::Go(approved) = gate::decide(plan, &question, Timestamp::UNIX_EPOCH).decision else {
            unreachable!("nothing closes the gate")
        };
        let part = approved.part(&due).get().clone();
        self.inventory = part.intended(&self.inventory);
        for step in &part.steps {
            match &step.action {
                Action::Delete { .. } if held && self.live.contains_key(&step.id) => {
                    let record = self.live.get_mut(&step.id).unwrap();
                    record.deleting = true;
                    record.health = HealthStatus::Terminating;
                    record.message = "held".to_owned();
                }
                Action::Delete { .. } => {
                    self.live.remove(&step.id);
                    self.inventory.entries.remove(&step.id);
                }
                Action::Create | Action::Update { .. } | Action::Recreate { .. } => {
                    self.write(&part, &step.id);
                }
            }
        }
        (part, due)
    }

    fn write(&mut self, part: &Plan, id: &ObjectId) {
        let desired = part.rendered.get(id).unwrap().digest.clone();
        let sealed = Sealed {
            uid: format!("uid-{}", id.key()),
            ours: format!("ours-{desired}"),
            foreign: Some(Vec::new()),
            ignored: Vec::new(),
            apply: ApplyRule::Always,
            desired,
        };
        let record = LiveRecord {
            uid: sealed.uid.clone(),
            resource_version: "5".to_owned(),
            ours: Some(sealed.ours.clone()),
            foreign: Vec::new(),
            ignored: Vec::new(),
            judged_by: None,
            owner: None,
            health: HealthStatus::InProgress,
            message: "starting".to_owned(),
            deleting: false,
            hold: None,
            last_foreign_manager: None,
        };
        self.live.insert(id.clone(), record);
        self.inventory.entries.get_mut(id).unwrap().sealed = Some(sealed);
    }

    fn heal(&mut self, id: &ObjectId) {
        if let Some(record) = self.live.get_mut(id).filter(|record| !record.deleting) {
            record.health = HealthStatus::Current;
        }
    }

    fn let_go(&mut self, id: &ObjectId) {
        if self.live.get(id).is_some_and(|record| record.deleting) {
            self.live.remove(id);
        }
    }

    fn healthy(&self, id: &ObjectId) -> bool {
        self.live
            .get(id)
            .is_some_and(|record| record.health == HealthStatus::Current)
    }
}

fn rendered(objects: Vec<DesiredObject>) -> Arc<Rendered> {
    Arc::new(Rendered::new(objects, &key()))
}

fn names(part: &Plan) -> Vec<String> {
    part.steps
        .iter()
        .map(|step| format!("{} {}", step.action.verb(), step.id.name))
        .collect()
}

#[test]
fn a_wave_is_a_whole_number_within_bounds() {
    for (text, wave) in [("0", 0), ("-5", -5), ("1000", 1000), ("-1000", -1000), ("007", 7)] {
        assert_eq!(parse_wave(text), Some(wave), "{text}");
    }
    for text in [
        "",
        "-",
        "1001",
        "-1001",
        "1.5",
        "one",
        " 1",
        "+1",
        "1e2",
        "99999999999999999999",
    ] {
        assert_eq!(parse_wave(text), None, "{text}");
    }
}

#[test]
fn a_wave_waits_for_the_health_of_the_one_before_and_what_drifted_does_not_wait() {
    let set = rendered(vec![
        object(id("ConfigMap", "zero"), 0, 1),
        object(id("Deployment", "zero"), 0, 1),
        object(id("ConfigMap", "late"), 7, 1),
        object(id("ConfigMap", "early"), -3, 1),
    ]);
    let mut world = World::default();
    assert_eq!(names(&world.look(world.plan(&set), false).0), ["create early"]);
    let (part, due) = world.look(world.plan(&set), false);
    assert!(part.steps.is_empty() && due.only_waits(), "{due:?}");
    let wait = due.waits.unwrap();
    assert_eq!(wait.what, Awaited::Healthy { wave: -3, next: 0 });
    assert_eq!(
        wait.line(),
        "wave 0 waits until wave -3 is healthy: ConfigMap shop/early: starting"
    );
    world.heal(&id("ConfigMap", "early"));
    assert_eq!(
        names(&world.look(world.plan(&set), false).0),
        ["create zero", "create zero"]
    );
    world.heal(&id("ConfigMap", "zero"));
    world.live.get_mut(&id("ConfigMap", "early")).unwrap().ours = Some("edited".to_owned());
    world.live.remove(&id("ConfigMap", "zero"));
    let (part, due) = world.look(world.plan(&set), false);
    assert_eq!(names(&part), ["update early", "create zero"], "drift has no turn");
    assert!(due.waits.is_some() && !due.last);
    for name in ["early", "zero"] {
        world.heal(&id("ConfigMap", name));
    }
    world.heal(&id("Deployment", "zero"));
    let (part, due) = world.look(world.plan(&set), false);
    assert_eq!(names(&part), ["create late"]);
    assert!(due.last && due.waits.is_none());
}

#[test]
fn what_is_left_to_others_is_not_waited_for() {
    let (there, late) = (id("ConfigMap", "there"), id("ConfigMap", "late"));
    let mut once = object(there.clone(), 0, 1);
    once.apply = ApplyRule::IfNotPresent;
    let set = rendered(vec![once, object(late, 1, 1)]);
    let mut world = World::default();
    let found = Found {
        present: [there].into(),
        ..Found::default()
    };
    let whole = plan(&Inputs {
        rendered: &set,
        inventory: &world.inventory,
        live: &world.live,
        prune: true,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found: &found,
        now: Timestamp::UNIX_EPOCH,
        key: &key(),
    });
    assert_eq!(names(&world.look(whole, false).0), ["create late"]);
}

#[test]
fn what_was_begun_and_cut_short_waits_for_its_turn_again() {
    let (early, late) = (id("ConfigMap", "early"), id("ConfigMap", "late"));
    let set = rendered(vec![object(early.clone(), 0, 1), object(late.clone(), 1, 1)]);
    let mut world = World::default();
    world.look(world.plan(&set), false);
    // An earlier process had begun with it, and its answer was lost.
    world.inventory.entries.entry(late).or_default();
    let (part, due) = world.look(world.plan(&set), false);
    assert!(part.steps.is_empty() && due.only_waits(), "{part:?}");
    world.heal(&early);
    assert_eq!(names(&world.look(world.plan(&set), false).0), ["create late"]);
}

#[test]
fn an_object_of_the_same_name_that_is_not_ours_is_not_waited_for_in_vain() {
    let set = rendered(vec![
        object(id("ConfigMap", "a"), 0, 1),
        object(id("ConfigMap", "b"), 1, 1),
    ]);
    let mut world = World::default();
    world.look(world.plan(&set), false);
    world.heal(&id("ConfigMap", "a"));
    world.live.get_mut(&id("ConfigMap", "a")).unwrap().uid = "somebody-elses".to_owned();
    let due = due(&world.plan(&set), &world.inventory, &world.live);
    assert_eq!(due.waits.unwrap().why, "another object has its place");
}

#[test]
fn custom_resources_go_before_what_serves_them_and_definitions_last() {
    let all = [
        object(id("CustomResourceDefinition", "crd"), 0, 1),
        object(id("ConfigMap", "settings"), 0, 1),
        object(id("Deployment", "operator"), 0, 1),
        object(id("Lamp", "desk"), 0, 1),
        object(id("Deployment", "on-top"), 1, 1),
    ];
    let mut world = World::default();
    for object in &all {
        world.look(world.plan(&rendered(all.to_vec())), false);
        world.heal(&object.id);
        all.iter().for_each(|object| world.heal(&object.id));
    }
    let end = |world: &World| teardown(&world.inventory, &world.live, true, &key());
    assert_eq!(names(&world.look(end(&world), false).0), ["delete on-top"]);
    assert_eq!(names(&world.look(end(&world), true).0), ["delete desk"]);
    let (part, due) = world.look(end(&world), false);
    assert!(part.steps.is_empty() && due.only_waits());
    assert_eq!(
        due.waits.unwrap().line(),
        "Deployment shop/operator is deleted when Lamp shop/desk is gone: held"
    );
    world.let_go(&id("Lamp", "desk"));
    let rest: Vec<String> = (0..4)
        .flat_map(|_| names(&world.look(end(&world), false).0))
        .collect();
    assert_eq!(
        rest,
        ["delete desk", "delete operator", "delete settings", "delete crd"],
        "the entry of what is gone goes first"
    );
    assert!(world.inventory.entries.is_empty());
}

#[test]
fn what_stays_in_the_cluster_is_forgotten_with_the_last_part_only() {
    let mut kept = object(id("ConfigMap", "kept"), 0, 1);
    kept.prune = PruneRule::Disabled;
    let all = vec![
        kept,
        object(id("Deployment", "web"), 0, 1),
        object(id("Lamp", "desk"), 0, 1),
    ];
    let mut world = World::default();
    world.look(world.plan(&rendered(all)), false);
    let end = teardown(&world.inventory, &world.live, true, &key());
    let (first, _) = world.look(end, false);
    assert_eq!(
        (names(&first), first.forgotten.len()),
        (vec!["delete desk".to_owned()], 0)
    );
    let end = teardown(&world.inventory, &world.live, true, &key());
    let (last, _) = world.look(end, false);
    assert_eq!(
        (names(&last), last.forgotten.len()),
        (vec!["delete web".to_owned()], 1)
    );
}

fn any_objects() -> impl Strategy<Value = Vec<DesiredObject>> {
    let ids = (select(KINDS.to_vec()), select(vec!["a", "b"])).prop_map(|((_, kind), name)| id(kind, name));
    prop::collection::btree_map(ids, (-2_i32..3, 0_u8..2), 1..9).prop_map(|parts: BTreeMap<_, _>| {
        parts
            .into_iter()
            .map(|(id, (wave, content))| object(id, wave, content))
            .collect()
    })
}

/// Objects before and after, and which of them get healthy or let go after each look.
fn story() -> impl Strategy<Value = (Vec<DesiredObject>, Vec<DesiredObject>, Vec<(u8, bool)>)> {
    let events = prop::collection::vec((any::<u8>(), any::<bool>()), 0..60);
    (any_objects(), any_objects(), events)
}

/// Looks until nothing is left, with everything healing at the end; checks each part before it is carried out.
fn run(world: &mut World, set: &Arc<Rendered>, events: &[(u8, bool)]) -> Result<(), TestCaseError> {
    let mut events = events.iter();
    for _ in 0..400 {
        let before = world.plan(set);
        if before.is_empty() && world.inventory.entries.len() == set.objects.len() {
            return Ok(());
        }
        let event = events.next().copied();
        let due = due(&before, &world.inventory, &world.live);
        check(world, &before, &due)?;
        prop_assert!(
            before.is_empty() || !due.now.is_empty() || due.waits.is_some(),
            "nothing to do and nothing awaited: {before:?}"
        );
        world.look(before, event.is_none_or(|(_, held)| held));
        let everything: Vec<ObjectId> = world.live.keys().cloned().collect();
        for (n, id) in everything.iter().enumerate() {
            if event.is_none_or(|(bits, _)| bits >> (n % 8) & 1 == 1) {
                world.heal(id);
                world.let_go(id);
            }
        }
    }
    Err(TestCaseError::fail("it never ends"))
}

fn check(world: &World, whole: &Plan, due: &Due) -> Result<(), TestCaseError> {
    for step in whole.steps.iter().filter(|step| due.now.contains(&step.id)) {
        if matches!(step.cause, Cause::New | Cause::Changed) {
            let below = whole.rendered.objects.iter().filter(|o| o.wave < step.wave);
            for object in below {
                prop_assert!(
                    world.healthy(&object.id),
                    "{} goes, {} is not healthy",
                    step.id,
                    object.id
                );
                let pending = whole
                    .steps
                    .iter()
                    .any(|s| s.id == object.id && s.cause != Cause::Drifted);
                prop_assert!(!pending, "{} goes, {} is not written", step.id, object.id);
            }
        }
        if step.cause == Cause::Removed {
            let turn = Departure::of(step.wave, &step.id);
            for (id, entry) in world
                .inventory
                .entries
                .iter()
                .filter(|(id, _)| whole.rendered.get(id).is_none())
            {
                let there = world.live.contains_key(id);
                let earlier = Departure::of(entry.wave, id) < turn;
                prop_assert!(!(there && earlier), "{} goes, {id} is still there", step.id);
            }
            let unwritten = whole
                .steps
                .iter()
                .any(|s| s.cause != Cause::Removed && !due.now.contains(&s.id));
            prop_assert!(!unwritten, "{} goes before everything is written", step.id);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_goes_before_its_turn_and_everything_goes_at_last((old, new, events) in story()) {
        let mut world = World::default();
        run(&mut world, &rendered(old), &events)?;
        run(&mut world, &rendered(new.clone()), &events)?;
        prop_assert_eq!(world.inventory.entries.len(), new.len());
    }

    #[test]
    fn the_order_of_the_files_is_irrelevant(
        (one, other) in any_objects().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let (mut first, mut second) = (World::default(), World::default());
        let (one, other) = (rendered(one), rendered(other));
        for _ in 0..6 {
            let (a, b) = (first.look(first.plan(&one), false), second.look(second.plan(&other), false));
            prop_assert_eq!(a, b);
            for object in &one.objects {
                first.heal(&object.id);
                second.heal(&object.id);
            }
        }
    }
}
