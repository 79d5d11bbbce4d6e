use super::*;

fn ruled(apply: ApplyRule) -> DesiredObject {
    DesiredObject {
        apply,
        ..desired("ConfigMap", "a")
    }
}

#[tokio::test]
async fn what_is_created_once_is_not_written_over_whosever_it_is() {
    let plan = approve(
        vec![ruled(ApplyRule::IfNotPresent)],
        &InventorySet::default(),
        &Live::new(),
    );
    for (by, ours) in [
        (Some("tg/shop/web"), true),
        (Some("tg/other/app"), false),
        (None, false),
    ] {
        let (execution, outcomes, log) = run(&plan, existing(live("a", "u9", by))).await;
        assert!(execution.is_complete(), "{outcomes:?}");
        let log = log.lock().unwrap();
        let methods: Vec<&str> = log.iter().map(|s| s.method.as_str()).collect();
        assert_eq!(methods, ["PATCH", "GET"], "only the creation that was refused");
        match &outcomes[0].result {
            Ok(Done::Applied { sealed, created, .. }) => {
                assert!(ours && !created, "{by:?}");
                assert_eq!(
                    (sealed.uid.as_str(), sealed.apply),
                    ("u9", ApplyRule::IfNotPresent)
                );
            }
            Ok(Done::Deleted) => assert!(!ours, "{by:?}: the inventory forgets it"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn only_objects_that_are_there_and_not_ours_are_present() {
    let object = ruled(ApplyRule::IfNotPresent);
    for (answer, present) in [
        (Some(live("a", "u1", None)), true),
        (Some(live("a", "u1", Some("tg/other/app"))), true),
        (Some(live("a", "u1", Some("tg/shop/web"))), false),
        (None, false),
    ] {
        let (clients, log) = clients(move |_| match &answer {
            Some(object) => Reply::Json(200, object.clone()),
            None => status(404, "not found", "a", "configmaps"),
        });
        let executor = Executor::new(clients, LeaseGuard::alone());
        let found = executor.present(&[&object], &catalog(), &owner()).await.unwrap();
        assert_eq!(found.len(), usize::from(present));
        assert!(log.lock().unwrap().iter().all(|s| s.method == "GET"));
    }
}

#[tokio::test]
async fn an_apply_beside_others_is_without_force_and_a_conflict_over_a_field_is_said() {
    let mut object = ruled(ApplyRule::Merge);
    object.body["data"] = json!({"k": "git", "other": "git"});
    let plan = approve(vec![object], &sealed("a", Some("u1")), &live_map("a", "u1"));
    let mut there = live("a", "u1", Some("tg/shop/web"));
    there["data"] = json!({"other": "theirs"});
    let theirs = json!({"manager": "helm", "operation": "Update", "fieldsV1": {"f:data": {"f:other": {}}}});
    there["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(theirs);
    let (execution, outcomes, log) = run(&plan, existing(there.clone())).await;
    assert!(execution.is_complete(), "{outcomes:?}");
    let sent = log.lock().unwrap()[1].clone();
    assert_eq!(sent.query, "fieldManager=tidegate&force=false");
    assert_eq!(sent.body["data"], json!({"k": "git"}));

    let (_, outcomes, log) = run(&plan, move |seen| match seen.method.as_str() {
        "GET" => Reply::Json(200, there.clone()),
        _ => Reply::Json(409, json!({"code": 409, "reason": "Conflict",
            "message": "Apply failed with 1 conflict: conflict with \"helm\": .data.k",
            "details": {"name": "a", "causes": [{"reason": "FieldManagerConflict", "field": ".data.k", "message": "c"}]}})),
    })
    .await;
    let problem = &failure(&outcomes[0]).problem;
    assert!(
        problem.message.contains("conflict with \"helm\": .data.k"),
        "{problem}"
    );
    assert_eq!(log.lock().unwrap().len(), 2, "trying again does not help");
}
