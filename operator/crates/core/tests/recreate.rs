//! Deleting an object and making it anew: only where git allows it, the kind may go, and the API server proved the need.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tidegate_api::application::DriftMode;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::health::HealthStatus;
use tidegate_core::inventory::{Entry, InventorySet, Sealed};
use tidegate_core::live::LiveRecord;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::ownership::immutable_is_proven;
use tidegate_core::plan::{Action, Inputs, Live, Plan, plan};
use tidegate_core::record::summarize;
use tidegate_core::recreate::{Found, candidates, way_out};

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn object(kind: &str, force: bool, prune: PruneRule) -> DesiredObject {
    DesiredObject {
        id: ObjectId::new("", kind, "shop", "a"),
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: "new".to_owned(),
        body: json!({}),
        ignored: Vec::new(),
        prune,
        force,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

/// The object was applied before with another digest, or only intended, and is there.
fn planned(object: &DesiredObject, sealed: bool, found: &Found) -> (Plan, Live) {
    let uid = "u1".to_owned();
    let seal = Sealed {
        uid: uid.clone(),
        desired: "old".to_owned(),
        ours: "o".to_owned(),
        foreign: Some(Vec::new()),
        ignored: Vec::new(),
        apply: ApplyRule::Always,
    };
    let entry = Entry {
        version: "v1".to_owned(),
        sealed: sealed.then_some(seal),
        prune: PruneRule::Default,
        ..Entry::default()
    };
    let record = LiveRecord {
        uid,
        resource_version: "5".to_owned(),
        ours: Some("o".to_owned()),
        foreign: Vec::new(),
        ignored: Vec::new(),
        health: HealthStatus::Current,
        message: String::new(),
        deleting: false,
        hold: None,
        last_foreign_manager: None,
        judged_by: None,
        owner: None,
    };
    let live = Live::from([(object.id.clone(), record)]);
    let plan = plan(&Inputs {
        rendered: &Arc::new(Rendered::new(vec![object.clone()], &key())),
        inventory: &InventorySet {
            entries: [(object.id.clone(), entry)].into(),
            ..InventorySet::default()
        },
        live: &live,
        prune: true,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found,
        now: Timestamp::UNIX_EPOCH,
        key: &key(),
    });
    (plan, live)
}

fn immutable(object: &DesiredObject) -> Found {
    Found {
        immutable: [object.id.clone()].into(),
        ..Found::default()
    }
}

#[test]
fn only_what_git_allows_is_tried_and_only_what_is_proven_is_made_anew() {
    use PruneRule::{Default, Disabled, Enabled};
    for (kind, force, prune, may) in [
        ("ConfigMap", true, Default, true),
        ("ConfigMap", false, Default, false),
        ("ConfigMap", true, Disabled, false),
        ("PersistentVolumeClaim", true, Default, false),
        ("PersistentVolumeClaim", true, Enabled, true),
        ("PersistentVolumeClaim", false, Enabled, false),
        ("Namespace", true, Default, false),
        ("PersistentVolume", true, Default, false),
    ] {
        let object = object(kind, force, prune);
        let what = format!("{kind} {force} {prune:?}");
        let (unasked, live) = planned(&object, true, &Found::default());
        assert_eq!(unasked.count("update"), 1, "{what}");
        assert_eq!(candidates(&unasked, &live).len(), usize::from(may), "{what}");
        let (asked, _) = planned(&object, true, &immutable(&object));
        assert_eq!(asked.count("recreate"), usize::from(may), "{what}");
        assert_eq!(
            asked.digest == unasked.digest,
            !may,
            "the plan's digest tells: {what}"
        );
    }
}

#[test]
fn a_recreate_is_counted_and_recorded_as_begun_before_anything_is_deleted() {
    let object = object("ConfigMap", true, PruneRule::Default);
    let (plan, _) = planned(&object, true, &immutable(&object));
    assert_eq!(
        plan.steps[0].action,
        Action::Recreate {
            uid: Some("u1".to_owned())
        }
    );
    let summary = summarize(&plan, None);
    assert_eq!((summary.recreate, summary.update, summary.delete), (1, 0, 0));
    assert_eq!(summary.changes[0].action, "recreate");
    let intended = plan.intended(&InventorySet::default());
    assert_eq!(
        intended.entries[&object.id].sealed, None,
        "what comes has another uid"
    );
}

#[test]
fn one_that_was_cut_short_is_tried_again_without_a_uid() {
    let object = object("ConfigMap", true, PruneRule::Default);
    let (plan, live) = planned(&object, false, &Found::default());
    let tried = candidates(&plan, &live);
    assert_eq!((tried.len(), tried[0].uid), (1, None));
    assert!(
        candidates(&plan, &Live::new()).is_empty(),
        "gone: it is just created"
    );
    let (plan, _) = planned(&object, false, &immutable(&object));
    assert_eq!(plan.steps[0].action, Action::Recreate { uid: None });
}

#[test]
fn the_message_says_how_to_allow_it() {
    for (kind, force, prune, said) in [
        (
            "ConfigMap",
            false,
            PruneRule::Default,
            "tidegate.io/force: Enabled in git",
        ),
        ("ConfigMap", true, PruneRule::Default, "delete it by hand"),
        (
            "ConfigMap",
            true,
            PruneRule::Disabled,
            "annotated tidegate.io/prune: Disabled",
        ),
        (
            "PersistentVolumeClaim",
            true,
            PruneRule::Default,
            "tidegate.io/prune: Enabled too",
        ),
        (
            "PersistentVolumeClaim",
            false,
            PruneRule::Default,
            "tidegate.io/force: Enabled and tidegate.io/prune: Enabled",
        ),
    ] {
        let way_out = way_out(&object(kind, force, prune));
        assert!(way_out.contains(said), "{kind} {force} {prune:?}: {way_out}");
    }
}

#[test]
fn immutable_is_proven_only_by_such_causes_alone_and_never_by_one_under_metadata() {
    let causes = |causes: &[(&str, &str)]| {
        let causes: Vec<_> = causes
            .iter()
            .map(|(f, m)| json!({"field": f, "message": m}))
            .collect();
        json!({"code": 422, "details": {"causes": causes}})
    };
    let selector = ("spec.selector", "Invalid value: {}: field is immutable");
    let address = ("spec.clusterIPs[0]", "Invalid value: []: may not change once set");
    for (status, proven) in [
        (causes(&[selector]), true),
        (causes(&[selector, address]), true),
        (
            causes(&[("roleRef", "Invalid value: {}: cannot change roleRef")]),
            true,
        ),
        (
            causes(&[selector, ("spec.replicas", "must be greater than or equal to 0")]),
            false,
        ),
        (causes(&[("metadata.uid", "field is immutable")]), false),
        (causes(&[]), false),
        (
            json!({"code": 500, "message": "failed to create typed patch object: field is immutable"}),
            false,
        ),
    ] {
        assert_eq!(immutable_is_proven(&status), proven, "{status}");
    }
}
