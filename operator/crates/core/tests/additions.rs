//! Additions beside our fields: what counts, and what is taken over so that the next apply removes it.

use serde_json::{Value, json};
use tidegate_core::additions::{
    MAX_KEPT, added_fields, any_added, foreign, is_persons_manager, still_accepted, without,
};
use tidegate_core::digest::DigestKey;
use tidegate_core::live::ours_digest;

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn entry(manager: &str, operation: &str, subresource: &str, fields: &Value) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if !subresource.is_empty() {
        entry["subresource"] = subresource.into();
    }
    entry
}

/// A Deployment that we applied, with the entries of others.
fn deployment(others: &[Value]) -> Value {
    let ours = json!({
        "f:metadata": {"f:annotations": {"f:tidegate.io/owner": {}}},
        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
            "f:securityContext": {},
            "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}},
        }}},
    });
    let mut entries = vec![entry("tidegate", "Apply", "", &ours)];
    entries.extend_from_slice(others);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "managedFields": entries, "annotations": {"note": "x"}},
        "spec": {"replicas": 2, "template": {
            "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
            "spec": {
                "securityContext": {"runAsUser": 0},
                "containers": [
                    {"name": "web", "image": "web:1", "args": ["a"]},
                    {"name": "debug", "image": "shell:1"},
                ],
            },
        }},
    })
}

fn in_pod(fields: &Value) -> Value {
    json!({"f:spec": {"f:template": {"f:spec": fields}}})
}

fn sidecar() -> Value {
    in_pod(&json!({"f:containers": {"k:{\"name\":\"debug\"}": {".": {}, "f:name": {}, "f:image": {}}}}))
}

#[test]
fn what_counts_as_an_addition() {
    let restart = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {
        ".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}});
    let hold = json!({"f:metadata": {"f:annotations": {"f:tidegate.io/hold": {}}}});
    let cases = [
        ("a sidecar", entry("kubectl-edit", "Update", "", &sidecar()), 2),
        (
            "an argument list",
            entry(
                "kubectl-patch",
                "Update",
                "",
                &in_pod(&json!({"f:containers": {"k:{\"name\":\"web\"}": {"f:args": {}}}})),
            ),
            1,
        ),
        (
            "a field in a map that we apply empty",
            entry(
                "kubectl",
                "Apply",
                "",
                &in_pod(&json!({"f:securityContext": {"f:runAsUser": {}}})),
            ),
            1,
        ),
        (
            "an annotation",
            entry(
                "Mozilla",
                "Update",
                "",
                &json!({"f:metadata": {"f:annotations": {"f:note": {}}}}),
            ),
            1,
        ),
        (
            "before server-side apply",
            entry("before-first-apply", "Update", "", &sidecar()),
            2,
        ),
        (
            "a field that is ours too",
            entry(
                "kubectl-client-side-apply",
                "Update",
                "",
                &json!({"f:spec": {"f:replicas": {}}}),
            ),
            0,
        ),
        ("a restart", entry("kubectl-rollout", "Update", "", &restart), 0),
        (
            "a finalizer",
            entry(
                "kubectl-edit",
                "Update",
                "",
                &json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"example.com/keep\"": {}}}}),
            ),
            0,
        ),
        ("a hold", entry("kubectl-annotate", "Update", "", &hold), 0),
        (
            "a scale",
            entry(
                "kubectl",
                "Update",
                "scale",
                &json!({"f:spec": {"f:replicas": {}, "f:more": {}}}),
            ),
            0,
        ),
        (
            "a status",
            entry("kubectl", "Update", "status", &json!({"f:status": {"f:x": {}}})),
            0,
        ),
        (
            "a controller's sidecar",
            entry("istiod", "Update", "", &sidecar()),
            0,
        ),
    ];
    for (what, entry, count) in cases {
        let object = deployment(std::slice::from_ref(&entry));
        let found = foreign(&object, &key(), &[]);
        assert_eq!(found.len(), count, "{what}");
        assert_eq!(without(&object, &key(), &[], &[]).is_some(), count > 0, "{what}");
        assert_eq!(without(&object, &key(), &[], &found), None, "{what}: accepted");
        assert_eq!(
            ours_digest(&object, &key(), &[]),
            ours_digest(&deployment(&[]), &key(), &[]),
            "{what}: ours stays"
        );
    }
}

#[test]
fn a_value_that_changes_at_an_accepted_path_is_an_addition_and_the_container_goes_as_a_whole() {
    let mut object = deployment(&[entry("kubectl-edit", "Update", "", &sidecar())]);
    let accepted = foreign(&object, &key(), &[]);
    object["spec"]["template"]["spec"]["containers"][1]["image"] = "shell:2".into();
    assert!(any_added(&foreign(&object, &key(), &[]), &accepted));
    let fewer = without(&object, &key(), &[], &accepted).unwrap();
    let containers = &fewer["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        *containers,
        json!([{"name": "web", "image": "web:1", "args": ["a"]}])
    );
    let managed = fewer["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managed.len(), 1, "an entry with nothing left goes");
    let added = added_fields(&object, &key(), &[], &accepted, 5);
    let fields: Vec<&str> = added.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!(fields, ["spec.template.spec.containers[name=debug].image"]);
    assert_eq!(added[0].manager.as_deref(), Some("kubectl-edit"));
}

#[test]
fn only_additions_go_and_what_git_applies_stays() {
    let note = json!({"f:metadata": {"f:annotations": {".": {}, "f:note": {}, "f:tidegate.io/hold": {}}}});
    let in_empty = in_pod(&json!({"f:securityContext": {"f:runAsUser": {}}}));
    let object = deployment(&[
        entry("kubectl-annotate", "Update", "", &note),
        entry("kubectl-edit", "Update", "", &in_empty),
        entry(
            "kube-controller-manager",
            "Update",
            "status",
            &json!({"f:status": {"f:replicas": {}}}),
        ),
    ]);
    let fewer = without(&object, &key(), &[], &[]).unwrap();
    let managed = &fewer["metadata"]["managedFields"];
    assert_eq!(managed[0], object["metadata"]["managedFields"][0], "ours stays");
    assert_eq!(fewer["metadata"]["annotations"], json!({}), "the note goes");
    assert_eq!(
        fewer["spec"]["template"]["spec"]["securityContext"],
        json!({}),
        "a map that git applies empty stays, and is empty again"
    );
    assert_eq!(
        managed[1]["fieldsV1"],
        json!({"f:metadata": {"f:annotations": {".": {}, "f:tidegate.io/hold": {}}}})
    );
    assert_eq!(managed[2]["subresource"], "status");
    assert_eq!(managed.as_array().unwrap().len(), 3);
}

#[test]
fn an_update_accepts_nothing_new_and_what_went_stays_gone() {
    let have = ["a".to_owned(), "b".to_owned()];
    assert_eq!(
        still_accepted(&have, None),
        have,
        "nothing is known: the answer is the baseline"
    );
    assert_eq!(
        still_accepted(&have, Some(&["b".to_owned(), "c".to_owned()])),
        ["b"]
    );
    assert!(!any_added(&[], &have), "less is no addition");
}

/// An object beside whose fields a person owns `count` keys.
fn with_keys(count: usize) -> Value {
    let fields: serde_json::Map<String, Value> = (0..count).map(|n| (format!("f:k{n}"), json!({}))).collect();
    let data: serde_json::Map<String, Value> = (0..count).map(|n| (format!("k{n}"), json!("v"))).collect();
    let mut object = deployment(&[entry("kubectl-edit", "Update", "", &json!({"f:data": fields}))]);
    object["data"] = Value::Object(data);
    object
}

#[test]
fn more_additions_than_are_kept_are_seen_and_taken_away() {
    let object = with_keys(MAX_KEPT + 1);
    let found = foreign(&object, &key(), &[]);
    assert_eq!(found.len(), 1, "one digest for all");
    assert!(any_added(&found, &[]));
    assert!(without(&object, &key(), &[], &[]).is_some());
    let accepted = foreign(&with_keys(3), &key(), &[]);
    assert_eq!(
        still_accepted(&found, Some(&accepted)),
        accepted,
        "what was accepted one by one stays accepted"
    );
}

#[test]
fn nothing_is_taken_away_where_too_much_was_accepted_to_tell_it_apart() {
    let mut object = with_keys(MAX_KEPT + 6);
    let accepted = foreign(&object, &key(), &[]);
    object["data"]["k3"] = json!("changed");
    let fewer = with_keys(MAX_KEPT);
    for now in [&object, &with_keys(MAX_KEPT + 7), &fewer] {
        assert!(!any_added(&foreign(now, &key(), &[]), &accepted));
        assert_eq!(without(now, &key(), &[], &accepted), None);
    }
    let found = foreign(&fewer, &key(), &[]);
    assert_eq!(
        still_accepted(&found, Some(&accepted)),
        found,
        "told apart again from here on"
    );
}

#[test]
fn fields_of_another_ones_list_item_stay_with_it() {
    let image = in_pod(&json!({"f:containers": {"k:{\"name\":\"mesh\"}": {"f:image": {}}}}));
    let object = deployment(&[entry("kubectl-set", "Update", "", &image)]);
    assert!(any_added(&foreign(&object, &key(), &[]), &[]), "it is said");
    assert_eq!(without(&object, &key(), &[], &[]), None, "and left");
}

#[test]
fn who_is_a_person() {
    for manager in [
        "kubectl",
        "kubectl-client-side-apply",
        "kubectl-edit",
        "before-first-apply",
        "Mozilla",
    ] {
        assert!(is_persons_manager(manager), "{manager}");
    }
    for manager in [
        "tidegate",
        "kube-controller-manager",
        "helm",
        "istiod",
        "",
        "my-kubectl",
    ] {
        assert!(!is_persons_manager(manager), "{manager}");
    }
}
