//! The way back: what is put back, what is deleted, what stays and is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_api::ReleasePolicySpec;
use tidegate_api::application::DriftMode;
use tidegate_api::policy::{FailureAction, OnFailure, Policy};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::health::HealthStatus;
use tidegate_core::hook::Run;
use tidegate_core::inventory::{Entry, InventorySet, Sealed};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::plan::{Cause, Inputs, Live, plan};
use tidegate_core::policy::CompiledPolicy;
use tidegate_core::recreate::Found;
use tidegate_core::rollback::{self, Rule, WayBack, cannot_be_undone, on_failure, way_back};
use tidegate_core::wave::due;

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn id(kind: &str, name: &str) -> ObjectId {
    let group = match kind {
        "Deployment" | "StatefulSet" => "apps",
        "Job" => "batch",
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        _ => "",
    };
    ObjectId::new(group, kind, "shop", name)
}

fn object(kind: &str, name: &str, content: u32) -> DesiredObject {
    let body = json!({ "kind": kind, "metadata": { "name": name }, "data": content });
    DesiredObject {
        id: id(kind, name),
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: key().of_value(&body),
        body,
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

fn set(objects: Vec<DesiredObject>) -> Arc<Rendered> {
    Arc::new(Rendered::new(objects, &key()))
}

/// The cluster as a failed release left it.
#[derive(Default)]
struct Left {
    inventory: InventorySet,
    live: Live,
}

impl Left {
    /// Has an object, with this content; `made` names the release that created it.
    fn has(mut self, object: &DesiredObject, made: Option<&str>) -> Self {
        let uid = format!("uid-{}", object.id.key());
        let sealed = Sealed {
            uid: uid.clone(),
            desired: object.digest.clone(),
            ours: "ours".to_owned(),
            foreign: Some(Vec::new()),
            ignored: Vec::new(),
            apply: object.apply,
        };
        let entry = Entry {
            version: "v1".to_owned(),
            sealed: Some(sealed),
            prune: object.prune,
            wave: object.wave,
            made: made.map(str::to_owned),
            run: None,
        };
        self.inventory.entries.insert(object.id.clone(), entry);
        let record = LiveRecord {
            uid,
            resource_version: "5".to_owned(),
            ours: Some("ours".to_owned()),
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
        self.live.insert(object.id.clone(), record);
        self
    }

    fn back_to(&self, good: &Arc<Rendered>) -> WayBack {
        self.back(
            good,
            true,
            &[],
            &Found::default(),
            &BTreeMap::new(),
            &BTreeSet::new(),
        )
    }

    fn back(
        &self,
        good: &Arc<Rendered>,
        prune: bool,
        protected: &[&str],
        found: &Found,
        fixed: &BTreeMap<ObjectId, String>,
        taken: &BTreeSet<ObjectId>,
    ) -> WayBack {
        let plan = plan(&Inputs {
            rendered: good,
            inventory: &self.inventory,
            live: &self.live,
            prune,
            drift: DriftMode::Correct,
            additions: DriftMode::Correct,
            found,
            now: Timestamp::UNIX_EPOCH,
            key: &key(),
        });
        let protected: Vec<String> = protected.iter().map(|kind| (*kind).to_owned()).collect();
        way_back(&rollback::Inputs {
            plan,
            good: "shop-000003",
            inventory: &self.inventory,
            protected: &protected,
            fixed,
            others: &["shop-000006".to_owned()].into(),
            taken,
            key: &key(),
        })
    }
}

fn lines(back: &WayBack) -> Vec<String> {
    let steps = back.plan.steps.iter();
    steps
        .map(|step| format!("{} {}", step.action.verb(), step.id.name))
        .collect()
}

const FAILED: Option<&str> = Some("shop-000005");

#[test]
fn the_set_goes_back_as_a_whole_and_only_what_was_created_since_is_deleted() {
    let good = set(vec![
        object("Deployment", "web", 1),
        object("ConfigMap", "conf", 1),
        object("ConfigMap", "dropped", 1),
        object("ConfigMap", "same", 1),
    ]);
    let left = Left::default()
        .has(&object("Deployment", "web", 2), Some("shop-000001"))
        .has(&object("ConfigMap", "conf", 2), Some("shop-000001"))
        .has(&object("ConfigMap", "same", 1), Some("shop-000001"))
        .has(&object("ConfigMap", "fresh", 2), FAILED)
        .has(&object("ConfigMap", "superseded", 2), Some("shop-000004"))
        .has(&object("ConfigMap", "adopted", 2), None)
        .has(&object("ConfigMap", "runs-on", 2), Some("shop-000006"))
        .has(&object("ConfigMap", "older", 2), Some("shop-000002"));
    let back = left.back_to(&good);
    assert_eq!(
        lines(&back),
        [
            "update conf",
            "create dropped",
            "update web",
            "delete fresh",
            "delete superseded"
        ]
    );
    let why = |name: &str| {
        back.survivors
            .get(&id("ConfigMap", name))
            .cloned()
            .unwrap_or_default()
    };
    assert!(why("adopted").contains("there before"), "{:?}", back.survivors);
    assert!(why("older").contains("older"), "{:?}", back.survivors);
    assert!(
        why("runs-on").contains("shop-000006 made it"),
        "{:?}",
        back.survivors
    );
    assert_eq!(back.survivors.len(), 3);
    let after = back.plan.intended(&left.inventory);
    assert!(
        !after.entries.contains_key(&id("ConfigMap", "adopted")),
        "nobody's from now on"
    );
    assert!(
        after.entries.contains_key(&id("ConfigMap", "older")),
        "the next release sees to it"
    );
}

#[test]
fn no_wave_is_waited_for() {
    let late = |content| DesiredObject {
        wave: 5,
        ..object("ConfigMap", "conf", content)
    };
    let good = set(vec![object("Deployment", "web", 1), late(1)]);
    let mut left = Left::default()
        .has(&object("Deployment", "web", 1), FAILED)
        .has(&late(2), Some("shop-000001"));
    let web = left.live.get_mut(&id("Deployment", "web"));
    web.into_iter()
        .for_each(|web| web.health = HealthStatus::InProgress);
    let back = left.back_to(&good);
    assert_eq!(back.plan.steps.len(), 1);
    assert!(back.plan.steps.iter().all(|step| step.cause == Cause::Drifted));
    let due = due(&back.plan, &left.inventory, &left.live);
    assert!(
        due.last && due.waits.is_none(),
        "the workload waits for what it reads: {due:?}"
    );
}

#[test]
fn protected_kinds_stay_whoever_protects_them() {
    let good = set(vec![object("ConfigMap", "same", 1)]);
    let annotated = DesiredObject {
        prune: PruneRule::Disabled,
        ..object("ConfigMap", "annotated", 2)
    };
    let left = Left::default()
        .has(&object("ConfigMap", "same", 1), Some("shop-000001"))
        .has(&object("PersistentVolumeClaim", "disk", 2), FAILED)
        .has(&object("StatefulSet", "store", 2), FAILED)
        .has(&object("Deployment", "web", 2), FAILED)
        .has(&annotated, FAILED);
    let none = (BTreeMap::new(), BTreeSet::new());
    let protected = ["StatefulSet.apps", "Deployment.example.com"];
    let back = left.back(&good, true, &protected, &Found::default(), &none.0, &none.1);
    assert_eq!(
        lines(&back),
        ["delete web"],
        "another group's kind protects nothing"
    );
    let names: Vec<&str> = back.survivors.keys().map(|id| &*id.name).collect();
    assert_eq!(names, ["annotated", "disk", "store"]);
    let back = left.back(&good, false, &[], &Found::default(), &none.0, &none.1);
    assert_eq!(
        lines(&back),
        [] as [&str; 0],
        "where nothing is pruned nothing is deleted"
    );
    assert_eq!(back.survivors.len(), 4);
}

#[test]
fn jobs_are_neither_changed_nor_run_once_more() {
    let good = set(vec![
        object("Job", "changed", 1),
        object("Job", "dropped", 1),
        object("Job", "same", 1),
    ]);
    let left = Left::default()
        .has(&object("Job", "changed", 2), FAILED)
        .has(&object("Job", "same", 1), Some("shop-000001"))
        .has(&object("Job", "fresh", 2), FAILED);
    let back = left.back_to(&good);
    assert_eq!(lines(&back), ["delete fresh"]);
    let names: Vec<&str> = back.survivors.keys().map(|id| &*id.name).collect();
    assert_eq!(names, ["changed", "dropped"]);
}

#[test]
fn the_jobs_of_hooks_are_left_alone() {
    let good = set(vec![object("ConfigMap", "same", 1)]);
    let mut left = Left::default()
        .has(&object("ConfigMap", "same", 1), Some("shop-000001"))
        .has(&object("Job", "migrate", 2), None);
    for entry in left
        .inventory
        .entries
        .values_mut()
        .filter(|entry| entry.made.is_none())
    {
        entry.run = Some(Run {
            release: "shop-000005".to_owned(),
            outcome: None,
            why: String::new(),
        });
    }
    let back = left.back_to(&good);
    assert!(back.plan.is_empty() && back.plan.forgotten.is_empty() && back.survivors.is_empty());
}

#[test]
fn what_others_have_and_what_cannot_be_undone_is_not_tried() {
    let good = set(vec![
        object("ConfigMap", "moved", 1),
        object("PersistentVolumeClaim", "disk", 1),
        object("StatefulSet", "store", 1),
    ]);
    let left = Left::default()
        .has(&object("PersistentVolumeClaim", "disk", 2), Some("shop-000001"))
        .has(
            &DesiredObject {
                force: true,
                ..object("StatefulSet", "store", 2)
            },
            Some("shop-000001"),
        );
    let fixed = [(id("PersistentVolumeClaim", "disk"), "it grew".to_owned())].into();
    let taken = [id("ConfigMap", "moved")].into();
    let back = left.back(&good, true, &[], &Found::default(), &fixed, &taken);
    assert_eq!(lines(&back), ["update store"]);
    assert_eq!(back.survivors[&id("PersistentVolumeClaim", "disk")], "it grew");
    assert!(back.survivors[&id("ConfigMap", "moved")].contains("another Application"));

    // Made anew only where git allows it and no policy protects the kind.
    let forced = |kind, name| DesiredObject {
        force: true,
        ..object(kind, name, 1)
    };
    let good = set(vec![forced("StatefulSet", "store")]);
    let found = Found {
        immutable: [id("StatefulSet", "store")].into(),
        ..Found::default()
    };
    let none = (BTreeMap::new(), BTreeSet::new());
    let back = left.back(&good, true, &[], &found, &none.0, &none.1);
    assert!(
        lines(&back).contains(&"recreate store".to_owned()),
        "{:?}",
        lines(&back)
    );
    let back = left.back(&good, true, &["StatefulSet"], &found, &none.0, &none.1);
    assert!(
        !lines(&back).contains(&"recreate store".to_owned()),
        "{:?}",
        lines(&back)
    );
    assert!(back.survivors.contains_key(&id("StatefulSet", "store")));
}

fn claim(size: &str) -> Value {
    json!({"spec": {"resources": {"requests": {"storage": size}}}})
}

#[test]
fn a_claim_never_shrinks() {
    let undone = |wanted: &str, has: &str| {
        let mut disk = object("PersistentVolumeClaim", "disk", 1);
        disk.body = claim(wanted);
        cannot_be_undone(&disk, &claim(has)).is_some()
    };
    assert!(undone("1Gi", "2Gi"));
    assert!(undone("1G", "1Gi"));
    assert!(undone("1000Mi", "1Gi"));
    assert!(undone("1Gi", "odd"), "what cannot be compared is not tried");
    assert!(!undone("1024Mi", "1Gi"));
    assert!(!undone("2Gi", "1Gi"));
    assert!(!undone("1e9", "1G"));
    let mut map = object("ConfigMap", "disk", 1);
    map.body = claim("1Gi");
    assert_eq!(cannot_be_undone(&map, &claim("2Gi")), None, "no claim");
}

#[test]
fn a_definition_keeps_the_versions_that_objects_are_stored_at() {
    let mut crd = object("CustomResourceDefinition", "lamps", 1);
    crd.body = json!({"spec": {"versions": [{"name": "v1"}]}});
    let live = |stored: Value| json!({"status": {"storedVersions": stored}});
    assert_eq!(cannot_be_undone(&crd, &live(json!(["v1"]))), None);
    let why = cannot_be_undone(&crd, &live(json!(["v1", "v2"]))).unwrap_or_default();
    assert!(why.contains("stored at version v2"), "{why}");
}

fn policy(action: FailureAction, quarantine: bool) -> CompiledPolicy {
    let on_failure = OnFailure {
        action,
        quarantine,
        revert_commit: false,
    };
    let policy = Policy {
        on_failure,
        ..Policy::default()
    };
    CompiledPolicy::namespaced("shop", "any", &ReleasePolicySpec { policy })
}

#[test]
fn hold_beats_rollback_and_any_quarantine_counts() {
    use FailureAction::{Hold, Rollback};
    assert_eq!(on_failure([]), None, "without a policy nothing is put back");
    let of = |all: &[(FailureAction, bool)]| {
        let all: Vec<CompiledPolicy> = all.iter().map(|(action, q)| policy(*action, *q)).collect();
        on_failure(&all)
    };
    let rule = |action, quarantine| Some(Rule { action, quarantine });
    assert_eq!(of(&[(Rollback, false)]), rule(Rollback, false));
    assert_eq!(of(&[(Rollback, false), (Hold, true)]), rule(Hold, true));
    assert_eq!(of(&[(Hold, true), (Rollback, false)]), rule(Hold, true));
    assert_eq!(of(&[(Rollback, true), (Rollback, false)]), rule(Rollback, true));
}

#[test]
fn a_revert_commit_is_refused_and_not_silently_left_out() {
    let on_failure = OnFailure {
        revert_commit: true,
        ..OnFailure::default()
    };
    let policy = Policy {
        on_failure,
        ..Policy::default()
    };
    let read = CompiledPolicy::namespaced("shop", "any", &ReleasePolicySpec { policy });
    assert_eq!(read.problems.len(), 1);
    assert_eq!(
        read.problems[0].field.as_deref(),
        Some("spec.onFailure.revertCommit")
    );
}

/// A name, what the good set has of it (0: nothing), what the failed release left (0: nothing), and who made that.
fn parts() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
    prop::collection::vec((0_u32..3, 0_u32..3, 0_u8..4), 1..8)
}

proptest! {
    #[test]
    fn after_the_way_back_the_good_set_is_there_and_nothing_older_is_lost(parts in parts()) {
        let name = |n: usize| format!("m{n}");
        let has = parts.iter().enumerate().filter(|(_, (good, _, _))| *good > 0);
        let good = set(has.map(|(n, (good, _, _))| object("ConfigMap", &name(n), *good)).collect());
        let mut left = Left::default();
        for (n, (_, there, made)) in parts.iter().enumerate().filter(|(_, (_, there, _))| *there > 0) {
            let made = [None, Some("shop-000002"), Some("shop-000003"), FAILED][usize::from(*made)];
            left = left.has(&object("ConfigMap", &name(n), *there), made);
        }
        let back = left.back_to(&good);
        for (n, (wanted, there, made)) in parts.iter().enumerate() {
            let step = back.plan.steps.iter().find(|step| *step.id.name == *name(n));
            let expected = match (wanted, there) {
                (0, 0) => None,
                (0, _) => (*made == 3).then_some("delete"),
                (_, 0) => Some("create"),
                (wanted, there) => (wanted != there).then_some("update"),
            };
            prop_assert_eq!(step.map(|step| step.action.verb()), expected);
        }
    }
}
