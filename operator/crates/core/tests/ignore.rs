//! Ignored fields: what is sent, what is left out, and that neither is ever seen as drift.

use serde_json::{Value, json};
use tidegate_api::application::{DriftIgnore, DriftTarget};
use tidegate_core::additions::{foreign, without};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule};
use tidegate_core::digest::DigestKey;
use tidegate_core::ignore::{autoscaled, body_over, fault, ignored};
use tidegate_core::live::ours_digest;
use tidegate_core::object::{Location, ObjectId};

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn live(fields: Value, owners: &[(&str, &str, Value)]) -> Value {
    let entries: Vec<Value> = owners
        .iter()
        .map(|(manager, subresource, fields)| {
            let operation = if *manager == "tidegate" { "Apply" } else { "Update" };
            let mut entry = json!({"manager": manager, "operation": operation, "fieldsV1": fields});
            if !subresource.is_empty() {
                entry["subresource"] = (*subresource).into();
            }
            entry
        })
        .collect();
    let mut live = fields;
    live["metadata"]["managedFields"] = entries.into();
    live
}

const US: &str = "tidegate";

#[test]
fn what_is_sent() {
    let replicas = || json!({"f:spec": {"f:replicas": {}}});
    let paused = || json!({"f:spec": {"f:paused": {}}});
    let web = |inner: Value| json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": inner}}});
    let note = |key: &str| json!({"f:metadata": {"f:annotations": {key: {}}}});
    let web_image = "/spec/containers/{\"name\":\"web\"}/image";
    let cases = [
        (
            "we are the only owner: the live value",
            json!({"spec": {"replicas": 3, "paused": false}}),
            "/spec/replicas",
            live(json!({"spec": {"replicas": 7}}), &[(US, "", replicas())]),
            json!({"spec": {"replicas": 7, "paused": false}}),
        ),
        (
            "an item that is not live yet: as git has it",
            json!({"spec": {"containers": [{"name": "web", "image": "web:1"}, {"name": "log", "image": "log:1"}]}}),
            "/spec/containers/{\"name\":\"log\"}/image",
            live(
                json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}}),
                &[(US, "", web(json!({".": {}, "f:name": {}, "f:image": {}})))],
            ),
            json!({"spec": {"containers": [{"name": "web", "image": "web:1"}, {"name": "log", "image": "log:1"}]}}),
        ),
        (
            "an item of a list that is not live yet: as git has it",
            json!({"spec": {"volumes": [{"name": "tmp", "medium": "Memory"}]}}),
            "/spec/volumes/{\"name\":\"tmp\"}/medium",
            live(json!({"spec": {}}), &[]),
            json!({"spec": {"volumes": [{"name": "tmp", "medium": "Memory"}]}}),
        ),
        (
            "an autoscaler owns it through a subresource: nothing",
            json!({"spec": {"replicas": 3, "paused": false}}),
            "/spec/replicas",
            live(
                json!({"spec": {"replicas": 7}}),
                &[(US, "", paused()), ("hpa", "scale", replicas())],
            ),
            json!({"spec": {"paused": false}}),
        ),
        (
            "both own it: nothing, the other keeps it",
            json!({"spec": {"replicas": 3, "paused": false}}),
            "/spec/replicas",
            live(
                json!({"spec": {"replicas": 3}}),
                &[(US, "", replicas()), ("hpa", "scale", replicas())],
            ),
            json!({"spec": {"paused": false}}),
        ),
        (
            "nobody owns it: the live value",
            json!({"spec": {"replicas": 3}}),
            "/spec/replicas",
            live(json!({"spec": {"replicas": 0}}), &[(US, "", paused())]),
            json!({"spec": {"replicas": 0}}),
        ),
        (
            "git dropped it and we are the only owner: the live value",
            json!({"spec": {"paused": false}}),
            "/spec/replicas",
            live(json!({"spec": {"replicas": 7}}), &[(US, "", replicas())]),
            json!({"spec": {"replicas": 7, "paused": false}}),
        ),
        (
            "git dropped what led to it, too",
            json!({"kind": "X"}),
            "/spec/replicas",
            live(json!({"spec": {"replicas": 7}}), &[(US, "", replicas())]),
            json!({"kind": "X", "spec": {"replicas": 7}}),
        ),
        (
            "git never had it: it is not taken over",
            json!({"spec": {"paused": false}}),
            "/spec/replicas",
            live(json!({"spec": {"replicas": 7}}), &[(US, "", paused())]),
            json!({"spec": {"paused": false}}),
        ),
        (
            "gone: it stays gone, and so does the map that only led to it",
            json!({"metadata": {"name": "a", "annotations": {"x/y": "1"}}}),
            "/metadata/annotations/x~1y",
            live(json!({"metadata": {"name": "a"}}), &[(US, "", paused())]),
            json!({"metadata": {"name": "a"}}),
        ),
        (
            "an item of a keyed list, found by name wherever it stands",
            json!({"spec": {"containers": [{"name": "web", "image": "a:1"}]}}),
            web_image,
            live(
                json!({"spec": {"containers": [{"name": "mesh"}, {"name": "web", "image": "a:9"}]}}),
                &[(US, "", web(json!({".": {}, "f:name": {}, "f:image": {}})))],
            ),
            json!({"spec": {"containers": [{"name": "web", "image": "a:9"}]}}),
        ),
        (
            "the same, owned by another",
            json!({"spec": {"containers": [{"name": "web", "image": "a:1"}]}}),
            web_image,
            live(
                json!({"spec": {"containers": [{"name": "web", "image": "a:9"}]}}),
                &[
                    (US, "", web(json!({".": {}, "f:name": {}}))),
                    ("updater", "", web(json!({"f:image": {}}))),
                ],
            ),
            json!({"spec": {"containers": [{"name": "web"}]}}),
        ),
        (
            "an item that git dropped is not made up",
            json!({"spec": {"containers": [{"name": "api"}]}}),
            web_image,
            live(
                json!({"spec": {"containers": [{"name": "web", "image": "a:9"}]}}),
                &[(US, "", web(json!({".": {}, "f:name": {}, "f:image": {}})))],
            ),
            json!({"spec": {"containers": [{"name": "api"}]}}),
        ),
        (
            "a map that is owned in parts: ours is sent, the other's is not, nobody's is not taken",
            json!({"metadata": {"annotations": {"ours": "git", "theirs": "git"}}}),
            "/metadata/annotations",
            live(
                json!({"metadata": {"annotations": {"ours": "live", "theirs": "live", "nobodys": "live"}}}),
                &[(US, "", note("f:ours")), ("other", "", note("f:theirs"))],
            ),
            json!({"metadata": {"annotations": {"ours": "live"}}}),
        ),
        (
            "a keyed list that is owned in parts: our items with their keys",
            json!({"spec": {"containers": [{"name": "web", "image": "a:1"}], "x": 1}}),
            "/spec/containers",
            live(
                json!({"spec": {"containers": [{"name": "web", "image": "a:9"}, {"name": "mesh"}]}}),
                &[
                    (US, "", web(json!({"f:image": {}}))),
                    (
                        "mesh",
                        "",
                        json!({"f:spec": {"f:containers": {"k:{\"name\":\"mesh\"}": {".": {}, "f:name": {}}}}}),
                    ),
                ],
            ),
            json!({"spec": {"containers": [{"name": "web", "image": "a:9"}], "x": 1}}),
        ),
        (
            "a list that another owns as a whole",
            json!({"spec": {"args": ["a"], "x": 1}}),
            "/spec/args",
            live(
                json!({"spec": {"args": ["b"]}}),
                &[("other", "", json!({"f:spec": {"f:args": {}}}))],
            ),
            json!({"spec": {"x": 1}}),
        ),
    ];
    for (what, body, pointer, live, expected) in cases {
        assert_eq!(body_over(&body, &[pointer.to_owned()], &live), expected, "{what}");
    }
}

#[test]
fn an_ignored_field_is_no_drift_whoever_owns_it_and_whatever_it_is() {
    let fields =
        |inner: Value| json!({"f:spec": {"f:paused": {}, "f:containers": {"k:{\"name\":\"web\"}": inner}}});
    let object = |image: &str, inner: Value| {
        live(
            json!({"spec": {"paused": true, "containers": [{"name": "mesh"}, {"name": "web", "image": image, "tty": true}]}}),
            &[(US, "", fields(inner))],
        )
    };
    let full = json!({".": {}, "f:name": {}, "f:image": {}, "f:tty": {}});
    let lost = json!({".": {}, "f:name": {}, "f:tty": {}});
    let by_name = ["/spec/containers/{\"name\":\"web\"}/image".to_owned()];
    let by_index = ["/spec/containers/1/image".to_owned()];
    for pointers in [&by_name, &by_index] {
        let digest = |object: &Value| ours_digest(object, &key(), pointers);
        let before = digest(&object("a:1", full.clone()));
        assert_eq!(
            digest(&object("a:2", full.clone())),
            before,
            "{pointers:?}: value"
        );
        assert_eq!(
            digest(&object("a:2", lost.clone())),
            before,
            "{pointers:?}: ownership"
        );
        assert_ne!(
            digest(&object("a:1", json!({".": {}, "f:name": {}, "f:image": {}}))),
            before,
            "another field"
        );
    }
    assert_ne!(
        ours_digest(&object("a:1", full.clone()), &key(), &[]),
        ours_digest(&object("a:2", full), &key(), &[]),
    );
    let only = live(
        json!({"spec": {"replicas": 1, "x": {"y": 1}}}),
        &[(
            US,
            "",
            json!({"f:spec": {"f:replicas": {}, "f:x": {".": {}, "f:y": {}}}}),
        )],
    );
    let without = live(
        json!({"spec": {"replicas": 1}}),
        &[(US, "", json!({"f:spec": {"f:replicas": {}}}))],
    );
    let digest = |object: &Value| ours_digest(object, &key(), &["/spec/x/y".to_owned()]);
    assert_eq!(
        digest(&only),
        digest(&without),
        "what only led to an ignored field goes with it"
    );
}

#[test]
fn what_people_write_to_an_ignored_field_is_no_addition() {
    let object = live(
        json!({"metadata": {"annotations": {"note": "x", "more": "y"}}}),
        &[
            (US, "", json!({"f:spec": {}})),
            (
                "kubectl-annotate",
                "",
                json!({"f:metadata": {"f:annotations": {"f:note": {}, "f:more": {}}}}),
            ),
        ],
    );
    let note = ["/metadata/annotations/note".to_owned()];
    assert_eq!(foreign(&object, &key(), &[]).len(), 2);
    assert_eq!(foreign(&object, &key(), &note).len(), 1);
    let fewer = without(&object, &key(), &note, &[]).unwrap();
    assert_eq!(
        fewer["metadata"]["managedFields"][1]["fieldsV1"],
        json!({"f:metadata": {"f:annotations": {"f:note": {}}}})
    );
}

fn object(group: &str, kind: &str, name: &str, body: Value) -> DesiredObject {
    DesiredObject {
        id: ObjectId::new(group, kind, "shop", name),
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

#[test]
fn which_pointers_an_object_has() {
    let body = json!({"spec": {"containers": [{"name": "web", "args": ["a"]}]}});
    let web = object("apps", "Deployment", "web", body);
    let by_hpa =
        json!({"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    let by_keda = json!({"spec": {"scaleTargetRef": {"name": "web"}}});
    let rule = |target: DriftTarget, pointer: &str| DriftIgnore {
        target,
        json_pointers: vec![pointer.to_owned()],
    };
    let kind = |kind: &str| DriftTarget {
        kind: Some(kind.to_owned()),
        ..DriftTarget::default()
    };
    let other = DriftTarget {
        name: Some("other".to_owned()),
        ..DriftTarget::default()
    };
    let rules = [
        rule(kind("Deployment"), "/spec/containers/0/image"),
        rule(DriftTarget::default(), "/spec/containers/0/args/0"),
        rule(kind("StatefulSet"), "/spec/not"),
        rule(other, "/spec/not"),
        rule(DriftTarget::default(), "no-pointer"),
    ];
    let expected = [
        "/spec/containers/{\"name\":\"web\"}/args/0",
        "/spec/containers/{\"name\":\"web\"}/image",
    ];
    assert_eq!(ignored(&web, &rules, &autoscaled(&[])), expected);
    for scaler in [
        object("autoscaling", "HorizontalPodAutoscaler", "h", by_hpa),
        object("keda.sh", "ScaledObject", "h", by_keda),
    ] {
        let set = [web.clone(), scaler.clone()];
        assert_eq!(
            ignored(&web, &[], &autoscaled(&set)),
            ["/spec/replicas"],
            "{}",
            scaler.id
        );
    }
    let mut ignoring = web.clone();
    ignoring.ignore(vec!["/spec/replicas".to_owned()], &key());
    assert_ne!(
        ignoring.digest, web.digest,
        "what is ignored is part of what is applied"
    );
}

#[test]
fn pointers_that_cannot_be_ignored() {
    for good in [
        "/spec/replicas",
        "/metadata/annotations/a~1b",
        "/metadata/labels/app",
        "/data",
    ] {
        assert_eq!(fault(good), None, "{good}");
    }
    for bad in [
        "",
        "spec/replicas",
        "/a~2b",
        "/metadata",
        "/metadata/annotations",
        "/metadata/labels/tidegate.io~1managed-by",
        "/kind",
        "/metadata/name/x",
    ] {
        assert!(fault(bad).is_some(), "{bad}");
    }
}
