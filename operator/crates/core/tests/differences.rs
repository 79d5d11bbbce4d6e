//! Which fields were lost and to whom, as a person is told.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use serde_json::{Value, json};
use tidegate_core::differences::lost;

fn desired() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app.example.com/name": "web"}},
        "spec": {"replicas": 2, "args": ["a", "b"], "containers": [
            {"name": "web", "image": "web:1", "cpu": "1000m", "ports": [{"containerPort": 80}]},
            {"name": "log", "image": "log:1"},
        ]},
    })
}

fn ours() -> Value {
    json!({
        "f:metadata": {"f:labels": {"f:app.example.com/name": {}}},
        "f:spec": {"f:replicas": {}, "f:args": {}, "f:containers": {
            "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:cpu": {}, "f:ports": {
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}},
            "k:{\"name\":\"log\"}": {".": {}, "f:name": {}, "f:image": {}},
        }},
    })
}

fn live(ours: &Value, others: &[(&str, &str, Value)]) -> Value {
    let mut object = desired();
    let mut entries = vec![json!({"manager": "tidegate", "operation": "Apply", "fieldsV1": ours})];
    for (manager, subresource, fields) in others {
        entries.push(json!({
            "manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields,
        }));
    }
    object["metadata"]["managedFields"] = Value::Array(entries);
    // As the server writes them.
    object["spec"]["containers"][0]["cpu"] = json!("1");
    object["spec"]["containers"][0]["ports"][0]["protocol"] = json!("TCP");
    object
}

fn without(pointer: &str, name: &str) -> Value {
    let mut fields = ours();
    let parent = fields
        .pointer_mut(pointer)
        .and_then(Value::as_object_mut)
        .unwrap();
    assert!(parent.remove(name).is_some(), "{pointer} {name}");
    fields
}

fn told(live: &Value, ignored: &[&str]) -> Vec<String> {
    let ignored: Vec<String> = ignored.iter().map(|p| (*p).to_owned()).collect();
    let found = lost(&desired(), live, &ignored, 5);
    let lines = found.into_iter();
    lines
        .map(|d| {
            format!("{} {}", d.field, d.manager.unwrap_or_default())
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn what_the_server_writes_in_another_way_is_not_lost() {
    assert!(told(&live(&ours(), &[]), &[]).is_empty());
}

#[test]
fn a_lost_field_is_named_with_whoever_owns_it_now() {
    let scaled = json!({"f:spec": {"f:replicas": {}}});
    let status = json!({"f:spec": {"f:replicas": {}}});
    let object = live(
        &without("/f:spec", "f:replicas"),
        &[("kubelet", "status", status), ("kubectl", "scale", scaled)],
    );
    assert_eq!(told(&object, &[]), ["spec.replicas kubectl"]);
    assert!(told(&object, &["/spec/replicas"]).is_empty(), "it is ignored");
    let object = live(
        &without("/f:spec", "f:args"),
        &[("vi", "", json!({"f:spec": {"f:args": {}}}))],
    );
    assert_eq!(told(&object, &[]), ["spec.args vi"], "a list that is one value");
}

#[test]
fn fields_of_items_are_named_by_the_item() {
    let web = "/f:spec/f:containers/k:{\"name\":\"web\"}";
    let image = json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}});
    let object = live(&without(web, "f:image"), &[("rival", "", image)]);
    assert_eq!(told(&object, &[]), ["spec.containers[name=web].image rival"]);
    let mut object = live(&without("/f:spec/f:containers", "k:{\"name\":\"log\"}"), &[]);
    object["spec"]["containers"].as_array_mut().unwrap().pop();
    assert_eq!(
        told(&object, &[]),
        ["spec.containers[name=log]"],
        "the item as a whole"
    );
}

#[test]
fn what_is_gone_is_named_without_an_owner_down_to_the_leaf() {
    let mut object = live(&without("", "f:metadata"), &[]);
    object["metadata"].as_object_mut().unwrap().remove("labels");
    assert_eq!(told(&object, &[]), ["metadata.labels[app.example.com/name]"]);
}
