//! What our digest of a live object sees, and what it does not.

use serde_json::{Value, json};
use tidegate_core::digest::DigestKey;
use tidegate_core::live::ours_digest;

fn digest(object: &Value) -> Option<String> {
    ours_digest(object, &DigestKey::new([7; 32]), &[])
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "managedFields": [{
            "manager": "tidegate", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:spec": {
                "f:securityContext": {},
                "f:tolerations": {},
                "f:nodeName": {},
                "f:volumes": {".": {}, "k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
            }},
        }]},
        "spec": {
            "securityContext": {}, "tolerations": [], "nodeName": "n1",
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    })
}

#[test]
fn a_leaf_that_was_applied_empty_counts_as_present_or_absent_whatever_others_put_into_it() {
    let before = digest(&pod());
    let others = json!({"f:spec": {
        "f:securityContext": {"f:runAsUser": {}},
        "f:volumes": {"k:{\"name\":\"tmp\"}": {"f:emptyDir": {"f:medium": {}}}},
    }});
    let mut filled = pod();
    let entries = filled["metadata"]["managedFields"].as_array_mut().unwrap();
    entries.push(json!({"manager": "someone", "operation": "Update", "fieldsV1": others}));
    filled["spec"]["securityContext"]["runAsUser"] = 0.into();
    filled["spec"]["volumes"][0]["emptyDir"]["medium"] = "Memory".into();
    filled["spec"]["tolerations"] = json!([{"key": "added-by-admission"}]);
    filled["spec"]["volumes"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "injected"}));
    assert_eq!(digest(&filled), before);

    for gone in ["securityContext", "tolerations"] {
        let mut object = pod();
        object["spec"].as_object_mut().unwrap().remove(gone);
        assert_ne!(digest(&object), before, "{gone} is gone");
    }
    let mut lost = pod();
    let volume = "/metadata/managedFields/0/fieldsV1/f:spec/f:volumes/k:{\"name\":\"tmp\"}";
    lost.pointer_mut(volume)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(".");
    assert_ne!(digest(&lost), before, "the item itself is no longer ours");
    let mut moved = pod();
    moved["spec"]["nodeName"] = "n2".into();
    assert_ne!(digest(&moved), before, "a scalar counts with its value");
}
