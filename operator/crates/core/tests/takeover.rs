//! What goes with a take-over from another tool, what stays, and what is said.

use serde_json::{Value, json};
use tidegate_core::object::ObjectId;
use tidegate_core::takeover::{Handover, claimed, former, handover, note};

fn entry(manager: &str, operation: &str, subresource: &str, fields: &Value) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if !subresource.is_empty() {
        entry["subresource"] = subresource.into();
    }
    entry
}

/// A ConfigMap after our first apply: git has key `git`, and others have these entries.
fn map(data: &Value, others: &[Value]) -> Value {
    let ours = json!({"f:metadata": {"f:annotations": {"f:tidegate.io/owner": {}}}, "f:data": {"f:git": {}}});
    let mut entries = vec![entry("tidegate", "Apply", "", &ours)];
    entries.extend_from_slice(others);
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "annotations": {"tidegate.io/owner": "o"}, "managedFields": entries},
        "data": data,
    })
}

fn both() -> Value {
    json!({"f:data": {".": {}, "f:git": {}, "f:old": {}}})
}

/// What is left of the data, and of the other's fields.
fn left(other: Value) -> (Value, Value) {
    let live = map(&json!({"git": "1", "old": "2"}), &[other]);
    let after = handover(&live, &[]).map_or(live, |handover| handover.without);
    let fields = &after["metadata"]["managedFields"][1]["fieldsV1"];
    (after["data"].clone(), fields.clone())
}

#[test]
fn tools_lose_all_people_what_is_gits_and_controllers_nothing() {
    for (manager, operation) in [
        ("kubectl-client-side-apply", "Update"),
        ("kubectl", "Apply"),
        ("helm", "Update"),
        ("kustomize-controller", "Apply"),
        ("helm-controller", "Update"),
        ("argocd-controller", "Apply"),
        ("argocd-application-controller", "Update"),
    ] {
        let (data, fields) = left(entry(manager, operation, "", &both()));
        assert_eq!((data, fields), (json!({"git": "1"}), Value::Null), "{manager}");
    }
    let all = json!({"git": "1", "old": "2"});
    for manager in ["kubectl-edit", "before-first-apply", "Mozilla"] {
        let (data, fields) = left(entry(manager, "Update", "", &both()));
        assert_eq!(data, all, "{manager}");
        assert_eq!(fields, json!({"f:data": {".": {}, "f:old": {}}}), "{manager}");
    }
    for (manager, operation, subresource) in [
        ("kube-controller-manager", "Update", ""),
        ("my-operator", "Apply", ""),
        ("my-operator", "Update", "scale"),
        ("kubectl", "Update", "status"),
    ] {
        let live = map(&all, &[entry(manager, operation, subresource, &both())]);
        assert_eq!(handover(&live, &[]), None, "{manager}");
    }
}

#[test]
fn what_a_controller_owns_too_stays_and_a_list_item_goes_or_stays_as_a_whole() {
    let shared = entry("my-operator", "Update", "", &json!({"f:data": {"f:old": {}}}));
    let live = map(
        &json!({"git": "1", "old": "2"}),
        &[entry("helm", "Update", "", &both()), shared],
    );
    let Handover { without, .. } = handover(&live, &[]).unwrap();
    assert_eq!(without["data"], json!({"git": "1", "old": "2"}));

    let port = |n: u16| format!("k:{{\"port\":{n}}}");
    let item = json!({".": {}, "f:port": {}, "f:name": {}});
    let mut service = map(&json!({}), &[]);
    service["spec"] = json!({"ports": [
        {"port": 1, "name": "a"}, {"port": 2, "name": "b"}, {"port": 3, "name": "c", "nodePort": 7},
    ]});
    let entries = service["metadata"]["managedFields"].as_array_mut().unwrap();
    entries[0]["fieldsV1"]["f:spec"] = json!({"f:ports": {port(1): {".": {}, "f:port": {}}}});
    let tool = json!({"f:spec": {"f:ports": {".": {}, port(1): item, port(2): item, port(3): item}}});
    entries.push(entry("helm", "Update", "", &tool));
    let theirs = json!({"f:spec": {"f:ports": {port(3): {"f:nodePort": {}}}}});
    entries.push(entry("balancer", "Update", "", &theirs));
    let Handover { without, .. } = handover(&service, &[]).unwrap();
    assert_eq!(
        without["spec"]["ports"],
        json!([{"port": 1}, {"port": 3, "name": "c", "nodePort": 7}])
    );
}

#[test]
fn notes_of_tools_go_whoever_owns_them_unless_git_has_them_and_finalizers_stay() {
    let tool = json!({"f:metadata": {
        "f:annotations": {"f:meta.helm.sh/release-name": {}}, "f:finalizers": {".": {}, "v:\"keep\"": {}},
    }});
    let person = json!({"f:metadata": {"f:annotations": {
        ".": {}, "f:argocd.argoproj.io/tracking-id": {}, "f:mine": {}}}});
    let others = [
        entry("helm", "Update", "", &tool),
        entry("kubectl-annotate", "Update", "", &person),
    ];
    let mut live = map(&json!({"git": "1"}), &others);
    live["metadata"]["annotations"] = json!({
        "tidegate.io/owner": "o", "mine": "x", "argocd.argoproj.io/tracking-id": "x", "meta.helm.sh/release-name": "y",
    });
    live["metadata"]["finalizers"] = json!(["keep"]);
    let Handover { without, .. } = handover(&live, &[]).unwrap();
    assert_eq!(
        without["metadata"]["annotations"],
        json!({"tidegate.io/owner": "o", "mine": "x"})
    );
    assert_eq!(without["metadata"]["finalizers"], json!(["keep"]));
    assert_eq!(
        without["metadata"]["managedFields"][1]["fieldsV1"],
        json!({"f:metadata": {"f:annotations": {".": {}, "f:mine": {}}}})
    );
    let ours = &mut live["metadata"]["managedFields"][0]["fieldsV1"];
    ours["f:metadata"]["f:annotations"]["f:meta.helm.sh/release-name"] = json!({});
    let Handover { without, .. } = handover(&live, &[]).unwrap();
    assert_eq!(
        without["metadata"]["annotations"]["meta.helm.sh/release-name"],
        "y"
    );
}

#[test]
fn what_may_not_go_stays_without_an_owner_and_notes_go_all_the_same() {
    let mut live = map(
        &json!({"git": "1", "old": "2"}),
        &[entry("helm", "Update", "", &both())],
    );
    live["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("web");
    let Handover { released, .. } = handover(&live, &[]).unwrap();
    assert_eq!(released["data"], json!({"git": "1", "old": "2"}));
    assert_eq!(
        released["metadata"]["annotations"],
        json!({"tidegate.io/owner": "o"})
    );
    assert_eq!(released["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    assert_eq!(handover(&released, &[]), None, "there is nothing more to do");
}

#[test]
fn string_data_is_owned_where_it_never_is() {
    let tool = json!({"f:stringData": {"f:git": {}, "f:old": {}}});
    let mut live = map(
        &json!({"git": "MQ==", "old": "Mg=="}),
        &[entry("kubectl", "Apply", "", &tool)],
    );
    live["kind"] = "Secret".into();
    let Handover { without, .. } = handover(&live, &[]).unwrap();
    assert_eq!(without["data"], json!({"git": "MQ=="}));
    assert_eq!(without["metadata"]["managedFields"].as_array().unwrap().len(), 1);
}

#[test]
fn the_event_says_from_whom_and_who_must_let_go() {
    let mut live = map(&json!({}), &[entry("kustomize-controller", "Apply", "", &both())]);
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    let plain = former(&live);
    assert_eq!(
        (plain.by.as_str(), plain.advice.as_ref()),
        ("kustomize-controller", None)
    );
    let cases = [
        (
            "labels",
            json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "fl"}),
            "Flux Kustomization fl/apps",
            "spec.prune: false",
        ),
        (
            "labels",
            json!({"helm.toolkit.fluxcd.io/name": "web"}),
            "Flux HelmRelease web",
            "suspend",
        ),
        (
            "annotations",
            json!({"argocd.argoproj.io/tracking-id": "web:/ConfigMap:shop/a"}),
            "Argo CD Application web",
            "--cascade=false",
        ),
        (
            "annotations",
            json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}),
            "Helm release shop/web",
            "never run helm uninstall",
        ),
    ];
    for (field, marks, tool, advice) in cases {
        let mut live = live.clone();
        live["metadata"][field] = marks;
        let from = former(&live);
        assert_eq!(from.by, format!("kustomize-controller ({tool})"));
        let ids: Vec<_> = (0..6)
            .map(|n| {
                (
                    ObjectId::new("", "ConfigMap", "shop", &format!("m{n}")),
                    from.clone(),
                )
            })
            .chain([(ObjectId::new("", "Secret", "shop", "s"), plain.clone())])
            .collect();
        let said = note(&ids);
        for part in [
            "ConfigMap shop/m3, 2 more from kustomize-controller (",
            "Secret shop/s from kustomize-controller;",
            advice,
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn a_field_that_others_may_set_keeps_its_value_and_loses_its_owner() {
    let live = map(
        &json!({"git": "1", "old": "2", "free": "3"}),
        &[entry(
            "helm",
            "Update",
            "",
            &json!({"f:data": {".": {}, "f:old": {}, "f:free": {}}}),
        )],
    );
    let Handover { without, .. } = handover(&live, &["/data/free".to_owned()]).unwrap();
    assert_eq!(without["data"], json!({"git": "1", "free": "3"}));
    assert_eq!(without["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    let mut scaled = map(
        &json!({}),
        &[entry(
            "helm",
            "Update",
            "",
            &json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}),
        )],
    );
    scaled["spec"] = json!({"replicas": 7, "paused": true});
    let Handover { without, .. } = handover(&scaled, &[]).unwrap();
    assert_eq!(
        without["spec"],
        json!({"replicas": 7}),
        "never scaled to the default"
    );
    let only = map(
        &json!({"git": "1", "free": "3"}),
        &[entry("helm", "Update", "", &json!({"f:data": {"f:free": {}}}))],
    );
    let Handover { without, .. } = handover(&only, &["/data/free".to_owned()]).unwrap();
    assert_eq!(without["data"], only["data"]);
}

#[test]
fn fields_of_tools_become_ours_for_the_first_apply_and_nothing_else_does() {
    let tool = json!({"f:metadata": {"f:finalizers": {"v:\"keep\"": {}}}, "f:data": {".": {}, "f:old": {}},
        "f:spec": {"f:replicas": {}, "f:paused": {}}});
    let mut elsewhere = entry(
        "helm-controller",
        "Update",
        "",
        &json!({"f:data": {"f:beta": {}}}),
    );
    elsewhere["apiVersion"] = "v1beta1".into();
    let others = [
        entry("helm", "Update", "", &tool),
        elsewhere.clone(),
        entry("my-operator", "Update", "", &both()),
        entry("kubectl-edit", "Update", "", &both()),
    ];
    let mut live = map(&json!({"old": "2"}), &others);
    live["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    let after = claimed(&live, &[]).unwrap();
    let managed = &after["metadata"]["managedFields"];
    assert_eq!(managed[0]["manager"], "tidegate");
    assert_eq!(
        managed[0]["fieldsV1"],
        json!({"f:metadata": {}, "f:data": {".": {}, "f:old": {}}, "f:spec": {"f:paused": {}}})
    );
    assert_eq!(
        managed[1]["fieldsV1"],
        json!({"f:metadata": {"f:finalizers": {"v:\"keep\"": {}}}, "f:spec": {"f:replicas": {}}})
    );
    assert_eq!(
        managed[2], elsewhere,
        "paths of another version mean other fields"
    );
    assert_eq!(
        (&managed[3]["fieldsV1"], &managed[4]["fieldsV1"]),
        (&both(), &both())
    );
    assert_eq!((&after["data"], &after["spec"]), (&live["data"], &live["spec"]));
    assert_eq!(claimed(&map(&json!({}), &others[2..]), &[]), None);
}
