//! Bad manifests: all of them are named at once, with file, line, cause and what to do.

#![expect(clippy::unwrap_used, reason = "a helper of tests: indexes are small")]

use serde_json::{Value, json};
use tidegate_core::admit::{Context, admit};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::catalog::{Catalog, Gvk, KindInfo};
use tidegate_core::desired::{RawObject, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::hook::Point;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::ownership::Owner;
use tidegate_core::problem::Problem;
use tidegate_core::schema::SchemaSet;

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (group, kind, plural, namespaced) in [
        ("", "ConfigMap", "configmaps", true),
        ("", "Secret", "secrets", true),
        ("", "Namespace", "namespaces", false),
        ("apps", "Deployment", "deployments", true),
        ("batch", "Job", "jobs", true),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
        ),
    ] {
        catalog.insert(
            Gvk::new(group, "v1", kind),
            KindInfo {
                plural: plural.into(),
                namespaced,
            },
        );
    }
    catalog
}

fn check(values: Vec<Value>) -> Result<Rendered, Vec<Problem>> {
    let raw = values.into_iter().enumerate().map(|(index, value)| RawObject {
        value,
        location: Location {
            file: "deploy/a.yaml".into(),
            line: u32::try_from(index).unwrap() * 10 + 1,
        },
        lines: None,
    });
    let owner = Owner {
        installation: "tidegate".into(),
        namespace: "shop".into(),
        application: "web".into(),
    };
    let (catalog, schemas, key) = (catalog(), SchemaSet::new(), DigestKey::new([1; 32]));
    let context = Context {
        force: false,
        catalog: &catalog,
        schemas: &schemas,
        namespace: "shop",
        owner: &owner,
        scaled: &std::collections::BTreeMap::new(),
        ignore: &[],
        key: &key,
    };
    admit(raw.collect(), &context)
}

fn config_map(extra: &Value) -> Value {
    let mut value = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
    merge(&mut value, extra);
    value
}

fn hook(point: &str, policy: &str, spec: &Value) -> Value {
    let annotations = json!({ "tidegate.io/hook": point, "tidegate.io/hook-delete-policy": policy });
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "spec": spec,
        "metadata": { "name": "migrate", "annotations": annotations },
    })
}

fn merge(into: &mut Value, extra: &Value) {
    match (into, extra) {
        (Value::Object(into), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, extra) => *into = extra.clone(),
    }
}

#[test]
fn each_fault_has_its_reason_and_says_what_to_do() {
    let secret = |data: Value| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": data });
    for (value, reason, words) in [
        (json!("text"), "NotAnObject", "is not an object"),
        (
            json!({ "apiVersion": "v1", "metadata": { "name": "a" } }),
            "MissingField",
            "kind: is required",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "ConfigMap" }),
            "MissingField",
            "metadata.name: is required",
        ),
        (
            json!({ "apiVersion": 1, "kind": "ConfigMap", "metadata": { "name": "a" } }),
            "InvalidField",
            "quote it",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "a-" } }),
            "GenerateName",
            "fixed metadata.name",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Gadget", "metadata": { "name": "a" } }),
            "UnknownKind",
            "CustomResourceDefinition",
        ),
        (
            json!({ "apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": { "name": "a" } }),
            "UnknownKind",
            "at v1",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Deployment", "metadata": { "name": "a" } }),
            "UnknownKind",
            "in apps/v1",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "a", "namespace": "b" } }),
            "WrongScope",
            "cluster-scoped",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" },
                "data": { "password": "YQ==" }, "stringData": { "password": "hunter2" } }),
            "AmbiguousSecretKey",
            "stringData.password: key `password` is under data too",
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "pin": 1234 } }),
            "InvalidField",
            "stringData.pin: must be a string",
        ),
        (
            config_map(&json!({ "metadata": { "name": "../x" } })),
            "InvalidName",
            "not a valid name",
        ),
        (
            config_map(&json!({ "metadata": { "namespace": "A b" } })),
            "InvalidName",
            "not a valid name",
        ),
        (
            config_map(&json!({ "metadata": { "resourceVersion": "5" } })),
            "ServerSetField",
            "metadata.resourceVersion",
        ),
        (
            config_map(&json!({ "metadata": { "labels": { "a": 1 } } })),
            "InvalidField",
            "metadata.labels.a: must be a string",
        ),
        (
            config_map(&json!({ "status": { "x": 1 } })),
            "StatusInGit",
            "status",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/owner": "x/y/z" } } })),
            "ReservedAnnotation",
            "remove it",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/substitute": "Disabled" } } })),
            "UnsupportedAnnotation",
            "not supported",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/wave": "1001" } } })),
            "InvalidField",
            "annotations[\"tidegate.io/wave\"]: must be a whole number from -1000 to 1000 in quotes, not `1001`",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/wave": 1 } } })),
            "InvalidField",
            "must be a string; quote the value",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/hook": "PreSync" } } })),
            "InvalidHook",
            "a hook is a Job of batch/v1; a ConfigMap has no end",
        ),
        (
            hook("BeforeSync", "HookFailed", &json!({})),
            "InvalidHook",
            "must be PreSync, PostSync or SyncFail, not `BeforeSync`",
        ),
        (
            hook("PreSync", "HookFailed,Never", &json!({})),
            "InvalidHook",
            "not `Never`",
        ),
        (
            hook("PreSync", "HookFailed", &json!({ "suspend": true })),
            "InvalidHook",
            "spec.suspend: a suspended Job never ends",
        ),
        (
            hook("PreSync", "HookFailed", &json!({ "ttlSecondsAfterFinished": 5 })),
            "InvalidHook",
            "use at least 60",
        ),
        (
            config_map(
                &json!({ "metadata": { "annotations": { "tidegate.io/hook-delete-policy": "HookFailed" } } }),
            ),
            "InvalidHook",
            "means nothing without tidegate.io/hook",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/release": "shop-000001" } } })),
            "ReservedAnnotation",
            "remove it",
        ),
        (
            config_map(&json!({ "metadata": { "annotations": { "tidegate.io/prune": "no" } } })),
            "InvalidField",
            "Enabled or Disabled",
        ),
        (
            config_map(&json!({ "data": { "big": "x".repeat(1_500_000) } })),
            "ObjectTooLarge",
            "split the object",
        ),
        (
            secret(json!({ "password": "hunter2!" })),
            "InvalidBase64",
            "data.password: is not base64",
        ),
    ] {
        let problems = check(vec![value.clone()]).unwrap_err();
        let text = problems[0].to_string();
        assert_eq!(problems[0].reason, reason, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(text.starts_with("deploy/a.yaml:1: "), "{text}");
        assert!(!text.contains("hunter2"), "no secret in a message");
    }
}

#[test]
fn all_bad_ones_are_listed_and_none_of_the_good_ones() {
    let good = |name: &str| config_map(&json!({ "metadata": { "name": name } }));
    let bad = json!({ "apiVersion": "v1", "kind": "Gadget", "metadata": { "name": "a" } });
    let problems = check(vec![
        good("a"),
        bad.clone(),
        good("b"),
        bad.clone(),
        good("a"),
        bad,
    ])
    .unwrap_err();
    let lines: Vec<u32> = problems
        .iter()
        .map(|p| p.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [11, 31, 41, 51]);
    assert!(
        problems[2].message.contains("is also defined at deploy/a.yaml:1"),
        "{}",
        problems[2]
    );
}

#[test]
fn what_generators_leave_behind_is_dropped_and_ownership_is_added() {
    let value = json!({
        "apiVersion": "v1", "kind": "Secret", "status": {},
        "metadata": { "name": "s", "creationTimestamp": null, "labels": null },
        "data": { "kept": "YQ==", "both": "Yg==" }, "stringData": { "both": "b", "plain": "c" },
    });
    let rendered = check(vec![value]).unwrap();
    let body = &rendered.objects[0].body;
    assert_eq!(
        body["data"],
        json!({ "kept": "YQ==", "both": "Yg==", "plain": "Yw==" })
    );
    assert_eq!(body.get("stringData"), None);
    assert_eq!(body.get("status"), None);
    assert_eq!(body["metadata"]["namespace"], "shop");
    assert_eq!(
        body["metadata"]["annotations"]["tidegate.io/owner"],
        "tidegate/shop/web"
    );
    assert_eq!(body["metadata"]["labels"]["tidegate.io/managed-by"], "tidegate");
    assert_eq!(body["metadata"].get("creationTimestamp"), None);
}

#[test]
fn nothing_is_in_a_wave_before_its_namespace_or_its_definition() {
    let in_wave = |mut value: Value, wave: &str| {
        merge(
            &mut value,
            &json!({ "metadata": { "annotations": { "tidegate.io/wave": wave } } }),
        );
        value
    };
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "gadgets.example.com" },
        "spec": { "group": "example.com", "scope": "Namespaced", "names": { "kind": "Gadget", "plural": "gadgets" },
            "versions": [{ "name": "v1", "served": true, "storage": true }] },
    });
    let gadget = json!({ "apiVersion": "example.com/v1", "kind": "Gadget", "metadata": { "name": "g" } });
    let set = |ns: &str, crd_wave: &str, map: &str, instance: &str| {
        check(vec![
            in_wave(namespace.clone(), ns),
            in_wave(crd.clone(), crd_wave),
            in_wave(config_map(&json!({})), map),
            in_wave(gadget.clone(), instance),
        ])
    };
    assert!(
        set("-1", "0", "-1", "0").is_ok(),
        "the same wave is enough: stages do the rest"
    );
    let problems = set("0", "2", "-1", "1").unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{lines:?}");
    assert!(problems.iter().all(|p| p.reason == "WaveOrder"));
    assert!(
        lines[0].contains("ConfigMap shop/a") && lines[0].contains("Namespace shop (deploy/a.yaml:1)"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("in wave 1, and CustomResourceDefinition gadgets.example.com"),
        "{lines:?}"
    );
}

#[test]
fn hooks_are_part_of_the_set_and_not_among_its_objects() {
    let job = hook("PreSync", "HookSucceeded, HookFailed", &json!({}));
    let rendered = check(vec![config_map(&json!({})), job]).unwrap();
    assert_eq!(rendered.objects.len(), 1);
    let found = &rendered.hooks[0];
    assert_eq!(found.point, Point::PreSync);
    assert!(found.delete.succeeded && found.delete.failed);
    assert!(rendered.names(&found.job.id) && rendered.get(&found.job.id).is_none());
    let other = hook("PreSync", "HookSucceeded", &json!({}));
    let changed = check(vec![config_map(&json!({})), other]).unwrap();
    assert_ne!(
        rendered.digest, changed.digest,
        "what a hook is belongs to the set"
    );
    let one = hook("PreSync", "HookFailed", &json!({}));
    let twice = check(vec![one.clone(), one]).unwrap_err();
    assert_eq!(twice[0].reason, "DuplicateObject");
}

#[test]
fn empty_labels_and_annotations_are_not_ours_and_other_empty_maps_are() {
    let set = check(vec![json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {}, "annotations": {}},
        "spec": {"selector": {}, "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": {}},
            "spec": {"securityContext": {}, "metadata": {"annotations": {}}},
        }},
    })]);
    let set = set.unwrap();
    let template = &set.objects[0].body["spec"]["template"];
    assert_eq!(template["metadata"], json!({"labels": {"app": "web"}}));
    assert_eq!(
        template["spec"],
        json!({"securityContext": {}, "metadata": {"annotations": {}}})
    );
}

#[test]
fn a_crd_makes_its_kind_known_in_the_same_commit() {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "gadgets.example.com" },
        "spec": { "group": "example.com", "scope": "Namespaced", "names": { "kind": "Gadget", "plural": "gadgets" },
            "versions": [{ "name": "v1", "served": true, "storage": true }, { "name": "v0", "served": false }] },
    });
    let gadget = |version: &str| json!({ "apiVersion": format!("example.com/{version}"), "kind": "Gadget", "metadata": { "name": "g" } });
    assert_eq!(check(vec![gadget("v1"), crd.clone()]).unwrap().objects.len(), 2);
    assert!(
        check(vec![gadget("v0"), crd]).is_err(),
        "a version that is not served is not known"
    );
    assert!(check(vec![gadget("v1")]).is_err());
}

#[test]
fn a_hundred_thousand_objects_are_refused_at_once() {
    let many = (0..100_000)
        .map(|n| json!({ "kind": "ConfigMap", "n": n }))
        .collect();
    assert_eq!(check(many).unwrap_err()[0].reason, "TooManyObjects");
}

#[test]
fn force_is_said_by_the_object_and_a_word_that_is_none_is_named() {
    for (annotation, force) in [(None, false), (Some("Enabled"), true), (Some("Disabled"), false)] {
        let annotations = annotation
            .map(|a| json!({ "tidegate.io/force": a }))
            .unwrap_or_default();
        let set = check(vec![config_map(
            &json!({ "metadata": { "annotations": annotations } }),
        )])
        .unwrap();
        assert_eq!(set.objects[0].force, force, "{annotation:?}");
    }
    let bad = config_map(&json!({ "metadata": { "annotations": { "tidegate.io/force": "yes" } } }));
    let problems = check(vec![bad]).unwrap_err();
    let said = problems[0].to_string();
    assert!(
        said.contains("Enabled or Disabled, not `yes`") && said.contains("deploy/a.yaml:1"),
        "{said}"
    );
}

#[test]
fn how_an_object_is_applied_is_said_by_the_object_and_what_is_left_out_is_not_looked_at() {
    let said = |rule: &str| json!({ "metadata": { "annotations": { "tidegate.io/apply": rule } } });
    for (rule, apply) in [
        ("IfNotPresent", ApplyRule::IfNotPresent),
        ("Merge", ApplyRule::Merge),
    ] {
        let set = check(vec![config_map(&said(rule))]).unwrap();
        assert_eq!(set.objects[0].apply, apply);
    }
    let problems = check(vec![config_map(&said("Once"))]).unwrap_err();
    let line = problems[0].to_string();
    assert!(
        line.contains("IfNotPresent, Merge or Ignore, not `Once`") && line.contains("deploy/a.yaml:1"),
        "{line}"
    );
    let mut faulty = config_map(&said("Ignore"));
    faulty["data"] = json!(1);
    faulty["metadata"]["labels"] = json!({ "a": 1 });
    let mut unknown = faulty.clone();
    unknown["kind"] = "Gadget".into();
    let set = check(vec![faulty, unknown]).unwrap();
    assert!(set.objects.is_empty());
    assert_eq!(set.left_out, [ObjectId::new("", "ConfigMap", "shop", "a")]);
    // Left out and not known which: it would count as dropped, and be deleted.
    let mut elsewhere = config_map(&said("Ignore"));
    elsewhere["apiVersion"] = "v7".into();
    let problems = check(vec![elsewhere]).unwrap_err();
    assert_eq!(problems[0].reason, "UnknownKind", "{problems:?}");
}
