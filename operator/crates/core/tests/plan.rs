//! Plans: what is done, what never is, and properties over random sets.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: a missing entry is a failed test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use tidegate_api::application::{Drift, DriftMode};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::differences::{Difference, Explained, Sort};
use tidegate_core::digest::DigestKey;
use tidegate_core::fights::Fights;
use tidegate_core::health::HealthStatus;
use tidegate_core::ignore::Scaled;
use tidegate_core::inventory::{InventorySet, Sealed};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::plan::{Action, Cause, Inputs, Live, Plan, Upkeep, plan, postponed, teardown};
use tidegate_core::recreate::Found;
use tidegate_core::status::{Notes, observe};

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn object(kind: &str, name: &str, content: u32, prune: PruneRule) -> DesiredObject {
    let group = if kind == "Deployment" { "apps" } else { "" };
    let namespace = if kind == "Namespace" { "" } else { "shop" };
    let body = json!({ "kind": kind, "metadata": { "name": name }, "data": content });
    DesiredObject {
        id: ObjectId::new(group, kind, namespace, name),
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: key().of_value(&body),
        body,
        ignored: Vec::new(),
        prune,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

fn rendered(objects: Vec<DesiredObject>) -> Arc<Rendered> {
    Arc::new(Rendered::new(objects, &key()))
}

fn live(uid: &str, ours: &str) -> LiveRecord {
    LiveRecord {
        uid: uid.to_owned(),
        resource_version: "5".to_owned(),
        ours: Some(ours.to_owned()),
        foreign: Vec::new(),
        ignored: Vec::new(),
        judged_by: None,
        health: HealthStatus::Current,
        message: String::new(),
        deleting: false,
        hold: None,
        owner: None,
        last_foreign_manager: None,
    }
}

/// What the cluster and the inventory are after everything of a plan was carried out.
fn carry_out(plan: &Plan, inventory: &InventorySet, before: &Live) -> (InventorySet, Live) {
    let mut set = plan.intended(inventory);
    let mut after = before.clone();
    for step in &plan.steps {
        match &step.action {
            Action::Delete { .. } => {
                set.entries.remove(&step.id);
                after.remove(&step.id);
            }
            action => {
                let uid = match action {
                    Action::Update { uid } => uid.clone(),
                    _ => format!("uid-{}", step.id.key()),
                };
                let desired = plan.rendered.get(&step.id).unwrap().digest.clone();
                let sealed = Sealed {
                    uid: uid.clone(),
                    ours: format!("ours-{desired}"),
                    foreign: Some(Vec::new()),
                    ignored: Vec::new(),
                    apply: ApplyRule::Always,
                    desired,
                };
                after.insert(step.id.clone(), live(&uid, &sealed.ours));
                set.entries.get_mut(&step.id).unwrap().sealed = Some(sealed);
            }
        }
    }
    (set, after)
}

fn make(rendered: &Arc<Rendered>, inventory: &InventorySet, live: &Live, prune: bool) -> Plan {
    plan(&Inputs {
        rendered,
        inventory,
        live,
        prune,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found: &Found::default(),
        now: Timestamp::UNIX_EPOCH,
        key: &key(),
    })
}

fn applied(objects: Vec<DesiredObject>) -> (InventorySet, Live) {
    let first = make(&rendered(objects), &InventorySet::default(), &Live::new(), true);
    carry_out(&first, &InventorySet::default(), &Live::new())
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|s| format!("{} {} {:?}", s.action.verb(), s.id, s.cause))
        .collect()
}

#[test]
fn one_of_each() {
    let default = PruneRule::Default;
    let (inventory, mut cluster) = applied(vec![
        object("ConfigMap", "same", 1, default),
        object("ConfigMap", "changed", 1, default),
        object("ConfigMap", "dropped", 1, default),
        object("Deployment", "edited", 1, default),
        object("Deployment", "vanished", 1, default),
    ]);
    cluster
        .get_mut(&ObjectId::new("apps", "Deployment", "shop", "edited"))
        .unwrap()
        .ours = Some("other".into());
    cluster.remove(&ObjectId::new("apps", "Deployment", "shop", "vanished"));
    let next = rendered(vec![
        object("ConfigMap", "same", 1, default),
        object("ConfigMap", "changed", 2, default),
        object("Deployment", "edited", 1, default),
        object("Deployment", "vanished", 1, default),
        object("Namespace", "new", 1, default),
    ]);
    let plan = make(&next, &inventory, &cluster, true);
    assert_eq!(
        lines(&plan),
        [
            "create Namespace new New",
            "update ConfigMap shop/changed Changed",
            "update Deployment shop/edited Drifted",
            "create Deployment shop/vanished Missing",
            "delete ConfigMap shop/dropped Removed",
        ]
    );
    assert_eq!(plan.unchanged, 1);
}

#[test]
fn an_object_made_anew_by_somebody_else_is_never_updated_or_deleted_by_its_old_uid() {
    let (inventory, mut cluster) = applied(vec![object("ConfigMap", "a", 1, PruneRule::Default)]);
    let id = ObjectId::new("", "ConfigMap", "shop", "a");
    cluster.get_mut(&id).unwrap().uid = "somebody-elses".to_owned();
    let again = make(
        &rendered(vec![object("ConfigMap", "a", 1, PruneRule::Default)]),
        &inventory,
        &cluster,
        true,
    );
    assert_eq!(
        again.steps[0].action,
        Action::Create,
        "ownership decides at the conflict"
    );
    let gone = make(
        &rendered(vec![object("ConfigMap", "b", 1, PruneRule::Default)]),
        &inventory,
        &cluster,
        true,
    );
    let delete = gone.steps.iter().find(|s| s.cause == Cause::Removed).unwrap();
    assert_eq!(
        delete.action,
        Action::Delete {
            uid: Some("uid-/ConfigMap/shop/a".to_owned())
        }
    );
}

#[test]
fn protected_kinds_and_annotations_decide_what_is_pruned() {
    let (inventory, cluster) = applied(vec![
        object("Namespace", "kept", 1, PruneRule::Default),
        object("Namespace", "goes", 1, PruneRule::Enabled),
        object("PersistentVolumeClaim", "kept", 1, PruneRule::Default),
        object("ConfigMap", "kept", 1, PruneRule::Disabled),
        object("ConfigMap", "goes", 1, PruneRule::Default),
    ]);
    let rest = rendered(vec![object("ConfigMap", "other", 1, PruneRule::Default)]);
    let pruned = make(&rest, &inventory, &cluster, true);
    let deleted: Vec<String> = lines(&pruned)
        .into_iter()
        .filter(|l| l.starts_with("delete"))
        .collect();
    assert_eq!(
        deleted,
        [
            "delete ConfigMap shop/goes Removed",
            "delete Namespace goes Removed"
        ]
    );
    assert_eq!(pruned.forgotten.len(), 3);
    let unpruned = make(&rest, &inventory, &cluster, false);
    assert_eq!(unpruned.count("delete"), 0, "prune: false deletes nothing");
    assert_eq!(
        teardown(&inventory, &cluster, false, &key()).steps.len(),
        0,
        "Orphan deletes nothing"
    );
    assert_eq!(teardown(&inventory, &cluster, true, &key()).steps.len(), 2);
}

#[test]
fn report_and_ignore_change_nothing() {
    let (inventory, mut cluster) = applied(vec![object("ConfigMap", "a", 1, PruneRule::Default)]);
    cluster.values_mut().for_each(|record| record.ours = None);
    let same = rendered(vec![object("ConfigMap", "a", 1, PruneRule::Default)]);
    for drift in [DriftMode::Report, DriftMode::Ignore] {
        let inputs = Inputs {
            rendered: &same,
            inventory: &inventory,
            live: &cluster,
            prune: true,
            drift,
            additions: DriftMode::Correct,
            found: &Found::default(),
            now: Timestamp::UNIX_EPOCH,
            key: &key(),
        };
        assert!(plan(&inputs).is_empty(), "{drift:?}");
    }
    assert_eq!(make(&same, &inventory, &cluster, true).steps.len(), 1);
}

#[test]
fn a_hold_pauses_corrections_until_it_expires_but_not_releases() {
    let (inventory, mut cluster) = applied(vec![object("ConfigMap", "a", 1, PruneRule::Default)]);
    let hold = |cluster: &mut Live, text: &str| {
        cluster.values_mut().for_each(|record| {
            record.ours = Some("edited".into());
            record.hold = Some(text.to_owned());
        });
    };
    let steps = |content: u32, cluster: &Live| {
        let set = rendered(vec![object("ConfigMap", "a", content, PruneRule::Default)]);
        make(&set, &inventory, cluster, true).steps.len()
    };
    hold(&mut cluster, "1970-01-02T00:00:00Z incident 42");
    assert_eq!(steps(1, &cluster), 0);
    assert_eq!(
        steps(2, &cluster),
        1,
        "a commit that changes the object is applied"
    );
    for expired_or_endless in [
        "1969-12-31T00:00:00Z incident 42",
        "forever because",
        "1970-01-02T00:00:00Z",
    ] {
        hold(&mut cluster, expired_or_endless);
        assert_eq!(steps(1, &cluster), 1, "{expired_or_endless}");
    }
}

/// The set as it was applied, and the inventory after putting `a` back was begun and failed.
fn begun() -> (Arc<Rendered>, InventorySet, Live) {
    let set = || vec![object("ConfigMap", "a", 1, PruneRule::Default)];
    let (inventory, mut cluster) = applied(set());
    cluster.clear();
    let intended = make(&rendered(set()), &inventory, &cluster, true).intended(&inventory);
    assert!(intended.entries.values().all(|entry| entry.sealed.is_none()));
    (rendered(set()), intended, cluster)
}

#[test]
fn what_was_begun_and_not_ended_is_upkeep_only_of_a_set_that_was_applied_as_a_whole() {
    let (set, inventory, cluster) = begun();
    let plan = make(&set, &inventory, &cluster, true);
    assert_eq!(lines(&plan), ["create ConfigMap shop/a Begun"]);
    for begun in [true, false] {
        let upkeep = Upkeep { removed: true, begun };
        assert_eq!(plan.brings_nothing_new(upkeep), begun);
        assert_eq!(
            plan.upkeep(upkeep, &key(), |_| true).steps.len(),
            usize::from(begun)
        );
    }
    let new = make(&set, &InventorySet::default(), &cluster, true);
    assert_eq!(lines(&new), ["create ConfigMap shop/a New"]);
    let most = Upkeep {
        removed: true,
        begun: true,
    };
    assert!(!new.brings_nothing_new(most), "what nobody has begun is new");
}

#[test]
fn what_a_commit_changes_while_it_is_being_deleted_is_remembered() {
    let (inventory, mut cluster) = applied(vec![
        object("ConfigMap", "a", 1, PruneRule::Default),
        object("ConfigMap", "b", 1, PruneRule::Default),
    ]);
    let next = rendered(vec![
        object("ConfigMap", "a", 2, PruneRule::Default),
        object("ConfigMap", "b", 1, PruneRule::Default),
    ]);
    assert!(
        postponed(&next, &inventory, &cluster).is_empty(),
        "it can be applied"
    );
    cluster.values_mut().for_each(|record| record.deleting = true);
    let a = ObjectId::new("", "ConfigMap", "shop", "a");
    assert_eq!(
        postponed(&next, &inventory, &cluster),
        [a].into(),
        "b is as git has it"
    );
}

#[test]
fn additions_are_judged_by_themselves_and_never_put_back_edits_that_are_only_reported() {
    use DriftMode::{Correct, Ignore, Report};
    let (inventory, mut cluster) = applied(vec![object("ConfigMap", "a", 1, PruneRule::Default)]);
    let cause = |live: &Live, drift: DriftMode, additions: DriftMode, now: i64| {
        let steps = plan(&Inputs {
            rendered: &rendered(vec![object("ConfigMap", "a", 1, PruneRule::Default)]),
            inventory: &inventory,
            live,
            prune: true,
            drift,
            additions,
            found: &Found::default(),
            now: Timestamp::from_second(now).unwrap(),
            key: &key(),
        })
        .steps;
        steps.first().map(|s| s.cause)
    };
    cluster.values_mut().for_each(|r| r.foreign = vec!["new".into()]);
    for mode in [Correct, Report, Ignore] {
        assert_eq!(cause(&cluster, mode, Correct, 0), Some(Cause::Added), "{mode:?}");
        assert_eq!(cause(&cluster, mode, Report, 0), None, "{mode:?}");
        assert_eq!(cause(&cluster, mode, Ignore, 0), None, "{mode:?}");
    }
    let mut edited = cluster.clone();
    edited.values_mut().for_each(|r| r.ours = Some("edited".into()));
    assert_eq!(cause(&edited, Correct, Correct, 0), Some(Cause::Drifted));
    assert_eq!(cause(&edited, Report, Correct, 0), None);
    cluster
        .values_mut()
        .for_each(|r| r.hold = Some("1970-01-02T00:00:00Z why".into()));
    assert_eq!(cause(&cluster, Correct, Correct, 0), None, "held");
    assert_eq!(
        cause(&cluster, Correct, Correct, 100_000),
        Some(Cause::Added),
        "expired"
    );
}

#[test]
fn status_counts_additions_unless_they_are_ignored() {
    let (inventory, mut cluster) = applied(vec![object("ConfigMap", "a", 1, PruneRule::Default)]);
    cluster.values_mut().for_each(|r| r.foreign = vec!["new".into()]);
    for (additions, count) in [
        (DriftMode::Correct, 1),
        (DriftMode::Report, 1),
        (DriftMode::Ignore, 0),
    ] {
        let drift = Drift {
            mode: DriftMode::Ignore,
            additions,
            ..Drift::default()
        };
        let notes = Notes {
            drift: &drift,
            fights: &Fights::default(),
            explained: &Explained::default(),
            scaled: &Scaled::new(),
        };
        let seen = observe(&inventory, &cluster, &notes, Timestamp::UNIX_EPOCH);
        assert_eq!(seen.counts.drifted, count, "{additions:?}");
        assert_eq!(
            seen.drifted.join("").contains("ConfigMap shop/a (fields added"),
            count == 1
        );
    }
}

#[test]
fn the_condition_names_field_manager_and_autoscaler_and_says_what_is_gone() {
    let (mut inventory, mut cluster) = applied(vec![
        object("ConfigMap", "edited", 1, PruneRule::Default),
        object("ConfigMap", "gone", 1, PruneRule::Default),
        object("Deployment", "web", 1, PruneRule::Default),
    ]);
    let id = |kind: &str, name: &str| object(kind, name, 1, PruneRule::Default).id;
    let (edited, web) = (id("ConfigMap", "edited"), id("Deployment", "web"));
    cluster.remove(&id("ConfigMap", "gone"));
    let leaves = vec!["/spec/replicas".to_owned()];
    cluster.get_mut(&web).unwrap().ignored = leaves.clone();
    inventory
        .entries
        .get_mut(&web)
        .unwrap()
        .sealed
        .as_mut()
        .unwrap()
        .ignored = leaves;
    cluster.get_mut(&edited).unwrap().ours = Some("other".into());
    let mut explained = Explained::default();
    let drift = Drift::default();
    assert_eq!(
        explained.unknown(&inventory, &cluster, &drift),
        [(edited.clone(), Sort::Changed)]
    );
    let found = vec![Difference {
        field: "data.key".into(),
        manager: Some("vi".into()),
    }];
    explained.put(edited.clone(), &cluster[&edited], found);
    assert!(
        explained.unknown(&inventory, &cluster, &drift).is_empty(),
        "it is known"
    );
    let scaled = Scaled::from([(
        web,
        ObjectId::new("autoscaling", "HorizontalPodAutoscaler", "shop", "web"),
    )]);
    let look = |cluster: &Live, drift: &Drift, explained: &Explained| {
        let notes = Notes {
            drift,
            fights: &Fights::default(),
            explained,
            scaled: &scaled,
        };
        observe(&inventory, cluster, &notes, Timestamp::UNIX_EPOCH)
    };
    let seen = look(&cluster, &drift, &explained);
    assert_eq!(
        seen.drifted,
        [
            "ConfigMap shop/edited (changed by vi: data.key)",
            "ConfigMap shop/gone (deleted)"
        ]
    );
    assert_eq!(
        seen.scaled,
        ["spec.replicas of Deployment shop/web is left to HorizontalPodAutoscaler shop/web"]
    );
    let ignore = Drift {
        mode: DriftMode::Ignore,
        ..Drift::default()
    };
    assert!(look(&cluster, &ignore, &explained).drifted.is_empty());
    cluster.get_mut(&edited).unwrap().ours = Some("again".into());
    assert!(
        look(&cluster, &drift, &explained).drifted[0].contains("unknown manager"),
        "it changed since"
    );
    assert_eq!(explained.unknown(&inventory, &cluster, &drift).len(), 1);
}

fn any_object() -> impl Strategy<Value = (String, u32, u8)> {
    ("[a-e]", 0_u32..3, 0_u8..8)
}

fn set_of(parts: &[(String, u32, u8)]) -> Vec<DesiredObject> {
    let kinds = ["ConfigMap", "Deployment", "Namespace", "Secret"];
    let rules = [PruneRule::Default, PruneRule::Enabled];
    let unique: BTreeMap<(u8, String), u32> =
        parts.iter().map(|(n, c, k)| ((k % 4, n.clone()), *c)).collect();
    let make = |((k, name), content): ((u8, String), u32)| {
        object(kinds[usize::from(k)], &name, content, rules[content as usize % 2])
    };
    unique.into_iter().map(make).collect()
}

proptest! {
    #[test]
    fn the_plan_of_an_applied_plan_is_empty(
        old in prop::collection::vec(any_object(), 0..12),
        new in prop::collection::vec(any_object(), 1..12),
    ) {
        let (inventory, cluster) = applied(set_of(&old));
        let next = rendered(set_of(&new));
        let first = make(&next, &inventory, &cluster, true);
        let (inventory, cluster) = carry_out(&first, &inventory, &cluster);
        let second = make(&next, &inventory, &cluster, true);
        prop_assert!(second.is_empty() && second.forgotten.is_empty(), "{:?}", lines(&second));
        prop_assert_eq!(second.unchanged, next.objects.len());
    }

    #[test]
    fn deletes_only_what_is_in_the_inventory_and_not_in_git(
        old in prop::collection::vec(any_object(), 0..12),
        new in prop::collection::vec(any_object(), 0..12),
    ) {
        let (inventory, cluster) = applied(set_of(&old));
        let next = rendered(set_of(&new));
        for step in make(&next, &inventory, &cluster, true).steps {
            if matches!(step.action, Action::Delete { .. }) {
                prop_assert!(inventory.entries.contains_key(&step.id));
                prop_assert!(next.get(&step.id).is_none());
            }
        }
    }

    #[test]
    fn input_order_is_irrelevant(mut parts in prop::collection::vec(any_object(), 1..12)) {
        let forward = rendered(set_of(&parts));
        let mut objects = set_of(&parts);
        objects.reverse();
        parts.reverse();
        let backward = rendered(objects);
        prop_assert_eq!(&forward.digest, &backward.digest);
        let empty = (InventorySet::default(), Live::new());
        prop_assert_eq!(make(&forward, &empty.0, &empty.1, true), make(&backward, &empty.0, &empty.1, true));
    }
}
