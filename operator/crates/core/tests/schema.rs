//! Schema checks on a small document in the form the API server serves, and on CRDs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests build values in place"
)]

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::schema::{MAX_VIOLATIONS, SchemaSet};

fn refer(name: &str) -> Value {
    json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "default": {}})
}

fn document() -> Value {
    let text = || json!({"type": "string", "default": ""});
    json!({"openapi": "3.0.0", "components": {"schemas": {
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {
            "name": text(), "namespace": text(),
            "labels": {"type": "object", "additionalProperties": text()},
            "creationTimestamp": {"type": "string", "format": "date-time"},
            "finalizers": {"type": "array", "items": text(), "x-kubernetes-list-type": "set"}}},
        "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
        "io.k8s.api.apps.v1.Deployment": {"type": "object", "required": ["spec"], "properties": {
            "apiVersion": text(), "kind": text(), "metadata": refer("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
            "spec": refer("io.k8s.api.apps.v1.DeploymentSpec"),
            "status": {"type": "object", "required": ["replicas"], "properties": {"replicas": {"type": "integer"}}}},
            "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}]},
        "io.k8s.api.apps.v1.DeploymentSpec": {"type": "object", "required": ["containers"], "properties": {
            "replicas": {"type": "integer", "format": "int32"}, "paused": {"type": "boolean"},
            "surge": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
            "uid": {"type": "integer", "format": "int64"}, "weight": {"type": "number", "format": "double"},
            "containers": {"type": "array", "items": refer("io.k8s.api.core.v1.Container"),
                "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}}},
        "io.k8s.api.core.v1.Container": {"type": "object", "required": ["name"], "properties": {
            "name": text(), "image": {"type": "string"},
            "limits": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}},
            "env": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": text(), "value": {"type": "string"}}},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            "ports": {"type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.ContainerPort"},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"]}}},
        "io.k8s.api.core.v1.ContainerPort": {"type": "object", "required": ["containerPort"], "properties": {
            "containerPort": {"type": "integer", "format": "int32"}, "protocol": {"type": "string", "default": "TCP"}}},
        "io.k8s.api.core.v1.Secret": {"type": "object", "properties": {
            "apiVersion": text(), "kind": text(), "metadata": refer("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
            "data": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}}},
            "x-kubernetes-group-version-kind": [{"group": "", "kind": "Secret", "version": "v1"}]},
    }}})
}

fn set() -> SchemaSet {
    let mut set = SchemaSet::new();
    set.add_document(&document());
    set
}

fn found(set: &SchemaSet, object: &Value) -> Vec<(String, String)> {
    let (api_version, kind) = (
        object["apiVersion"].as_str().unwrap(),
        object["kind"].as_str().unwrap(),
    );
    set.validate(api_version, kind, object)
        .into_iter()
        .map(|v| (v.pointer, v.message))
        .collect()
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

#[track_caller]
fn only(set: &SchemaSet, object: &Value, pointer: &str, message: &str) {
    let all = found(set, object);
    let [(at, text)] = all.as_slice() else {
        panic!("expected one violation, found {all:?}")
    };
    assert_eq!(at, pointer);
    assert!(text.contains(message), "{text}");
}

#[test]
fn a_right_object_passes() {
    let object = deployment(
        json!({"replicas": 3, "paused": null, "surge": "25%", "uid": 5e9, "weight": 1, "containers": [
        {"name": "web", "image": null, "limits": {"cpu": 1, "memory": "1.5Gi", "x": "1e3", "y": "500m"},
         "env": [{"name": "A", "value": "1"}, {"name": "B"}],
         "ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]}]}),
    );
    assert_eq!(found(&set(), &object), []);
    let mut with_status = object;
    with_status["status"] = json!({});
    with_status["metadata"]["creationTimestamp"] = Value::Null;
    assert_eq!(
        found(&set(), &with_status),
        [],
        "what controller-gen and kubectl leave behind"
    );
}

#[test]
fn unknown_fields_are_named_with_what_was_meant() {
    let set = set();
    let with = |spec| deployment(spec);
    only(
        &set,
        &with(json!({"replcas": 1, "containers": []})),
        "/spec/replcas",
        "unknown field `replcas`; did you mean `replicas`?",
    );
    only(
        &set,
        &with(json!({"zzz": 1, "containers": []})),
        "/spec/zzz",
        "unknown field `zzz`",
    );
    let mut object = with(json!({"containers": []}));
    object["metadata"]["lables"] = json!({});
    only(&set, &object, "/metadata/lables", "did you mean `labels`?");
    let object = with(json!({"containers": [{"name": "a", "a/b~": 1}]}));
    only(&set, &object, "/spec/containers/0/a~1b~0", "unknown field");
}

#[test]
fn wrong_types_are_said_with_both_types() {
    let set = set();
    let spec = |field: &str, value: Value| {
        let mut spec = json!({"containers": []});
        spec[field] = value;
        deployment(spec)
    };
    only(
        &set,
        &spec("replicas", json!("3")),
        "/spec/replicas",
        "must be an integer, but is a string; remove the quotes",
    );
    only(
        &set,
        &spec("replicas", json!("two")),
        "/spec/replicas",
        "must be an integer, but is a string",
    );
    only(
        &set,
        &spec("replicas", json!(1.5)),
        "/spec/replicas",
        "must be an integer, but is a number",
    );
    only(
        &set,
        &spec("replicas", json!(3_000_000_000_i64)),
        "/spec/replicas",
        "out of range",
    );
    assert_eq!(
        found(&set, &spec("replicas", json!(3.0))),
        [],
        "the server takes a whole double"
    );
    only(&set, &spec("uid", json!(u64::MAX)), "/spec/uid", "out of range");
    only(
        &set,
        &spec("paused", json!("yes")),
        "/spec/paused",
        "must be a boolean",
    );
    only(
        &set,
        &spec("surge", json!(true)),
        "/spec/surge",
        "an integer or a string",
    );
    only(
        &set,
        &spec("containers", json!({})),
        "/spec/containers",
        "must be a list, but is an object",
    );
    only(
        &set,
        &deployment(json!([])),
        "/spec",
        "must be an object, but is a list",
    );
    let object = deployment(json!({"containers": [{"name": "a", "env": [{"name": "A", "value": 5432}]}]}));
    only(
        &set,
        &object,
        "/spec/containers/0/env/0/value",
        "must be a string, but is an integer; put it in quotes",
    );
    let object = deployment(json!({"containers": [{"name": "a", "limits": {"cpu": "500mm"}}]}));
    only(
        &set,
        &object,
        "/spec/containers/0/limits/cpu",
        "\"500mm\" is not a quantity",
    );
}

#[test]
fn missing_required_fields_and_nulls() {
    let set = set();
    only(
        &set,
        &deployment(json!({})),
        "/spec",
        "required field `containers` is missing",
    );
    only(
        &set,
        &deployment(json!({"containers": null})),
        "/spec",
        "required field `containers` is missing",
    );
    only(
        &set,
        &deployment(Value::Null),
        "",
        "required field `spec` is missing",
    );
}

#[test]
fn list_elements_with_one_key_are_duplicates() {
    let set = set();
    let with = |container: Value| deployment(json!({ "containers": [container] }));
    let env = with(json!({"name": "a", "env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}));
    only(
        &set,
        &env,
        "/spec/containers/0/env/2",
        "duplicate: name \"A\" is already at index 0",
    );
    let ports = with(
        json!({"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}),
    );
    only(
        &set,
        &ports,
        "/spec/containers/0/ports/1",
        "duplicate: containerPort 80, protocol \"TCP\"",
    );
    let twice = deployment(json!({"containers": [{"name": "a"}, {"name": "a"}]}));
    only(&set, &twice, "/spec/containers/1", "duplicate: name \"a\"");
    let mut set_type = deployment(json!({"containers": []}));
    set_type["metadata"]["finalizers"] = json!(["x", "x"]);
    only(&set, &set_type, "/metadata/finalizers/1", "duplicate: \"x\"");
}

#[test]
fn secrets_are_checked_and_never_quoted() {
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": value}});
    assert_eq!(found(&set(), &secret("aHVudGVy\nMg==\n")), []);
    let all = found(&set(), &secret("hunter2!"));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, "/data/password");
    assert!(all[0].1.contains("base64") && !all[0].1.contains("hunter2"));
}

fn crd(schema: &Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {
        "group": "example.com", "names": {"kind": "Widget", "plural": "widgets"}, "scope": "Namespaced",
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
                     {"name": "v0", "served": false, "storage": false, "schema": {"openAPIV3Schema": schema}}]}})
}

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn widgets(properties: &Value) -> SchemaSet {
    let mut set = set();
    set.add_crd(&crd(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}),
    ));
    set
}

#[test]
fn a_crd_of_the_same_commit_gives_its_schema() {
    let mut one = set();
    let copy = one.clone();
    one.add_crd(&crd(&json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object",
        "required": ["size", "mode"], "properties": {"size": {"type": "integer"}, "mode": {"type": "string", "default": "a"}}}}})));
    assert!(one.has("example.com/v1", "Widget") && !one.has("example.com/v0", "Widget"));
    assert!(
        !copy.has("example.com/v1", "Widget"),
        "the cluster's set stays as it is"
    );
    assert_eq!(found(&one, &widget(json!({"size": 1}))), []);
    only(&one, &widget(json!({})), "/spec", "required field `size`");
    only(
        &one,
        &widget(json!({"size": 1, "sizes": 2})),
        "/spec/sizes",
        "did you mean `size`?",
    );
    let mut object = widget(json!({"size": 1}));
    object["metadata"]["anotations"] = json!({});
    only(&one, &object, "/metadata/anotations", "unknown field");
    one.add_crd(&crd(
        &json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    ));
    assert_eq!(
        found(&one, &widget(json!({"sizes": 2}))),
        [],
        "the newer definition replaces the older"
    );
}

#[test]
fn value_rules_of_crds() {
    let set = widgets(&json!({
        "mode": {"type": "string", "enum": ["Always", "Never"]},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "odd": {"type": "string", "pattern": "^(?!x).*$"},
        "n": {"type": "integer", "minimum": 1, "maximum": 5, "multipleOf": 2},
        "list": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
        "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
        "ios": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "maybe": {"type": "string", "nullable": true},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}}}));
    let one = |field: &str, value: Value, pointer: &str, message: &str| {
        only(
            &set,
            &widget(json!({ field: value })),
            &format!("/spec/{pointer}"),
            message,
        );
    };
    one(
        "mode",
        json!("Alway"),
        "mode",
        "\"Alway\" is not one of \"Always\", \"Never\"; did you mean Always?",
    );
    one("name", json!("A1"), "name", "does not match the pattern ^[a-z]+$");
    one("name", json!("abcdef"), "name", "has 6 characters, but at most 5");
    one("n", json!(0), "n", "must be at least 1");
    one("n", json!(6), "n", "must be at most 5");
    one("n", json!(3), "n", "multiple of 2");
    one("list", json!([]), "list", "needs at least 1");
    one("map", json!({"a": "1", "b": "2"}), "map", "at most 1");
    one("map", json!({"a": 1}), "map/a", "must be a string");
    one("one", json!({}), "one", "oneOf");
    one("one", json!({"a": "", "b": ""}), "one", "only one may be used");
    one(
        "embedded",
        json!({"metadata": {"lables": {}}}),
        "embedded/metadata/lables",
        "unknown field",
    );
    assert_eq!(
        found(
            &set,
            &widget(
                json!({"mode": "Never", "odd": "x", "n": 2, "ios": "a", "maybe": null, "free": {"x": [1]},
            "one": {"a": ""}, "embedded": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}}})
            )
        ),
        []
    );
}

#[test]
fn violations_and_depth_are_bounded() {
    let many: serde_json::Map<String, Value> = (0..500).map(|i| (format!("zz{i}"), json!(1))).collect();
    assert_eq!(
        found(&set(), &deployment(Value::Object(many))).len(),
        MAX_VIOLATIONS
    );
    let set = {
        let mut set = SchemaSet::new();
        set.add_document(
            &json!({"components": {"schemas": {"com.example.T": {"type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/com.example.T"},
            "x-kubernetes-group-version-kind": [{"group": "e", "version": "v1", "kind": "T"}]},
            "com.example.Loop": {"$ref": "#/components/schemas/com.example.Loop"}}}}),
        );
        set
    };
    let deep = (0..120).fold(json!({}), |inner, _| json!({ "a": inner }));
    let all = set.validate("e/v1", "T", &deep);
    assert_eq!(all.len(), 1);
    assert!(all[0].message.contains("nested deeper"));
    assert_eq!(
        set.validate("e/v1", "Other", &deep),
        [],
        "no schema, nothing to check"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = [
        "type",
        "properties",
        "items",
        "allOf",
        "$ref",
        "spec",
        "metadata",
        "containers",
        "env",
        "name",
        "required",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        Just(json!("object")),
        Just(json!("array")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(keys.to_vec()), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_schema_and_no_object_panics(schema in any_json(), object in any_json()) {
        prop_assert!(set().validate("apps/v1", "Deployment", &object).len() <= MAX_VIOLATIONS);
        let mut set = SchemaSet::new();
        set.add_document(&schema);
        set.add_document(&json!({"components": {"schemas": {"a": schema}}}));
        set.add_crd(&schema);
        set.add_crd(&crd(&schema));
        set.validate("example.com/v1", "Widget", &object);
    }
}
