//! `tidegate.io/apply`: what is created once, what is left out, and what is applied beside others.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::application::DriftMode;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::beside::{beside, has_yielded};
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::health::HealthStatus;
use tidegate_core::inventory::{Entry, InventorySet, Sealed};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::plan::{Inputs, Live, Plan, plan, teardown};
use tidegate_core::recreate::{Found, unknown};

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn object(apply: ApplyRule, digest: &str) -> DesiredObject {
    DesiredObject {
        id: ObjectId::new("", "ConfigMap", "shop", "a"),
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: digest.to_owned(),
        body: json!({}),
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply,
        wave: 0,
    }
}

fn entry(apply: ApplyRule) -> Entry {
    let sealed = Sealed {
        uid: "u1".to_owned(),
        desired: "old".to_owned(),
        ours: "o".to_owned(),
        foreign: Some(Vec::new()),
        ignored: Vec::new(),
        apply,
    };
    Entry {
        version: "v1".to_owned(),
        sealed: Some(sealed),
        prune: PruneRule::Default,
        ..Entry::default()
    }
}

fn record(uid: &str, ours: &str, foreign: &[&str]) -> LiveRecord {
    LiveRecord {
        uid: uid.to_owned(),
        resource_version: "5".to_owned(),
        ours: Some(ours.to_owned()),
        foreign: foreign.iter().map(|s| (*s).to_owned()).collect(),
        ignored: Vec::new(),
        health: HealthStatus::Current,
        message: String::new(),
        deleting: false,
        hold: None,
        last_foreign_manager: None,
        judged_by: None,
        owner: None,
    }
}

fn planned(rendered: Rendered, entry: Option<Entry>, live: Option<LiveRecord>, found: &Found) -> Plan {
    let id = object(ApplyRule::Always, "").id;
    plan(&Inputs {
        rendered: &Arc::new(rendered),
        inventory: &InventorySet {
            entries: entry.map(|entry| (id.clone(), entry)).into_iter().collect(),
            ..InventorySet::default()
        },
        live: &live.map(|live| (id, live)).into_iter().collect(),
        prune: true,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found,
        now: Timestamp::UNIX_EPOCH,
        key: &key(),
    })
}

fn one(object: DesiredObject) -> Rendered {
    Rendered::new(vec![object], &key())
}

fn verbs(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.action.verb()).collect()
}

#[test]
fn what_is_created_once_is_never_changed_and_made_anew_only_when_it_is_gone() {
    let once = || one(object(ApplyRule::IfNotPresent, "new"));
    let none = Found::default();
    let was = |apply| Some(entry(apply));
    let steps = |entry, live, found: &Found| verbs(&planned(once(), entry, live, found)).join(",");
    assert_eq!(steps(None, None, &none), "create");
    let there = Found {
        present: [object(ApplyRule::Always, "").id].into(),
        ..Found::default()
    };
    assert_eq!(
        steps(None, None, &there),
        "",
        "what was there before is nobody's business"
    );
    let sealed = was(ApplyRule::IfNotPresent);
    for live in [
        record("u1", "o", &[]),
        record("u1", "drifted", &[]),
        record("u1", "o", &["added"]),
        record("u2", "o", &[]),
    ] {
        assert_eq!(steps(sealed.clone(), Some(live), &none), "");
    }
    assert_eq!(steps(sealed, None, &none), "create");
    let applied = steps(was(ApplyRule::Always), Some(record("u1", "o", &[])), &none);
    assert_eq!(
        applied, "update",
        "the commit that says so is the last that changes it"
    );
    let gone = planned(
        Rendered::default(),
        was(ApplyRule::IfNotPresent),
        Some(record("u1", "o", &[])),
        &none,
    );
    assert_eq!(verbs(&gone), ["delete"], "git no longer has it");
}

#[test]
fn only_objects_that_the_inventory_does_not_know_are_looked_for() {
    let set = InventorySet {
        entries: [(object(ApplyRule::Always, "").id, entry(ApplyRule::IfNotPresent))].into(),
        ..InventorySet::default()
    };
    let once = one(object(ApplyRule::IfNotPresent, "new"));
    assert_eq!(unknown(&once, &InventorySet::default()).len(), 1);
    assert_eq!(unknown(&once, &set).len(), 0);
    assert_eq!(
        unknown(&one(object(ApplyRule::Merge, "new")), &InventorySet::default()).len(),
        0
    );
}

#[test]
fn what_is_left_out_is_neither_applied_nor_pruned() {
    let id = object(ApplyRule::Always, "").id;
    let rendered = Rendered::whole(Vec::new(), Vec::new(), vec![id.clone()], &key());
    assert_ne!(rendered.digest, Rendered::default().digest);
    let plan = planned(
        rendered,
        Some(entry(ApplyRule::Always)),
        Some(record("u1", "o", &[])),
        &Found::default(),
    );
    assert!(plan.steps.is_empty());
    assert_eq!(plan.forgotten[0].id, id);
    assert!(
        plan.forgotten[0]
            .kept_because
            .is_some_and(|why| why.contains("apply: Ignore"))
    );
}

#[test]
fn what_is_applied_beside_others_is_not_pruned_and_may_have_their_fields() {
    let merged = entry(ApplyRule::Merge);
    let merge = |digest: &str| one(object(ApplyRule::Merge, digest));
    let none = Found::default();
    let added = planned(
        merge("old"),
        Some(merged.clone()),
        Some(record("u1", "o", &["added"])),
        &none,
    );
    assert!(added.steps.is_empty());
    let lost = planned(
        merge("old"),
        Some(merged.clone()),
        Some(record("u1", "drifted", &[])),
        &none,
    );
    assert_eq!(verbs(&lost), ["update"]);
    let gone = planned(
        Rendered::default(),
        Some(merged.clone()),
        Some(record("u1", "o", &[])),
        &none,
    );
    assert!(gone.steps.is_empty() && gone.forgotten.len() == 1, "{gone:?}");
    let set = InventorySet {
        entries: [(object(ApplyRule::Always, "").id, merged.clone())].into(),
        ..InventorySet::default()
    };
    assert!(teardown(&set, &Live::new(), true, &key()).steps.is_empty());
    let wanted = Entry {
        prune: PruneRule::Enabled,
        ..merged
    };
    let gone = planned(
        Rendered::default(),
        Some(wanted),
        Some(record("u1", "o", &[])),
        &none,
    );
    assert_eq!(verbs(&gone), ["delete"]);
}

fn live(spec: &Value, others: &[(&str, &str, Value)]) -> Value {
    let entries: Vec<Value> = others
        .iter()
        .map(|(manager, subresource, fields)| {
            json!({"manager": manager, "operation": if *manager == "tidegate" { "Apply" } else { "Update" },
                   "subresource": subresource, "fieldsV1": fields})
        })
        .collect();
    json!({"metadata": {"name": "a", "managedFields": entries}, "spec": spec})
}

#[test]
fn fields_that_others_have_set_otherwise_are_not_sent() {
    let body = json!({"metadata": {"name": "a"}, "spec": {
        "replicas": 2, "mode": "x", "opts": {"a": 1, "b": 2},
        "ports": [{"port": 80, "name": "git"}, {"port": 81, "name": "git"}],
    }});
    let theirs = json!({"f:spec": {
        "f:replicas": {}, "f:mode": {}, "f:opts": {"f:a": {}},
        "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}},
    }});
    let spec = json!({"replicas": 5, "mode": "x", "opts": {"a": 9},
        "ports": [{"port": 80, "protocol": "TCP", "name": "theirs"}]});
    let wanted = json!({"mode": "x", "opts": {"b": 2}, "ports": [{"port": 80}, {"port": 81, "name": "git"}]});
    for (manager, subresource) in [("hpa", "scale"), ("kubectl-edit", ""), ("my-operator", "")] {
        let live = live(&spec, &[(manager, subresource, theirs.clone())]);
        assert_eq!(beside(&body, &live)["spec"], wanted, "{manager}");
    }
    for (manager, subresource) in [("tidegate", ""), ("kube-controller-manager", "status")] {
        let live = live(&spec, &[(manager, subresource, theirs.clone())]);
        assert_eq!(beside(&body, &live), body, "{manager}");
    }
    let nobodys = live(&spec, &[]);
    assert_eq!(beside(&body, &nobodys), body, "what nobody owns is ours to set");
}

#[test]
fn to_yield_is_to_own_less_than_before() {
    let merge = object(ApplyRule::Merge, "d");
    let (before, mut after) = (entry(ApplyRule::Merge), entry(ApplyRule::Merge));
    assert!(
        !has_yielded(&merge, Some(&before), Some(&after)),
        "it was put back"
    );
    if let Some(sealed) = &mut after.sealed {
        sealed.ours = "less".to_owned();
    }
    assert!(has_yielded(&merge, Some(&before), Some(&after)));
    assert!(!has_yielded(
        &object(ApplyRule::Always, "d"),
        Some(&before),
        Some(&after)
    ));
}

#[test]
fn what_others_have_a_part_of_is_not_deleted_before_it_is_known_what_became_of_it() {
    let merged = object(ApplyRule::Merge, "new");
    let begun =
        planned(one(merged.clone()), None, None, &Found::default()).intended(&InventorySet::default());
    assert_eq!(begun.entries[&merged.id].sealed, None);
    let plan = teardown(&begun, &Live::new(), true, &key());
    assert_eq!(verbs(&plan), Vec::<&str>::new(), "{plan:?}");
    assert!(plan.forgotten[0].kept_because.is_some());
}

#[test]
fn what_git_says_of_a_deletion_holds_although_the_object_is_not_written_again() {
    let mut kept = object(ApplyRule::IfNotPresent, "old");
    kept.prune = PruneRule::Disabled;
    let id = kept.id.clone();
    let mut set = InventorySet {
        entries: [(id, entry(ApplyRule::IfNotPresent))].into(),
        ..InventorySet::default()
    };
    set.follow(&one(kept));
    let plan = teardown(&set, &Live::new(), true, &key());
    assert_eq!(verbs(&plan), Vec::<&str>::new(), "{plan:?}");
}
