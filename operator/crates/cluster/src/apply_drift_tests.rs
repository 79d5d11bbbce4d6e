use super::*;

/// An object of ours with a key that a person added, at that resource version.
fn with_an_addition(version: &str) -> Value {
    let mut object = live("a", "u1", Some("tg/shop/web"));
    object["metadata"]["resourceVersion"] = version.into();
    object["data"] = json!({"k": "v", "added": "x"});
    object["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:data": {"f:k": {}}});
    let added =
        json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:added": {}}}});
    object["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .push(added);
    object
}

#[tokio::test]
async fn an_addition_is_taken_away_in_one_request_on_the_version_that_was_read() {
    let (_, record) =
        tidegate_core::live::reduce(&with_an_addition("42"), &key(), jiff::Timestamp::UNIX_EPOCH, &[])
            .unwrap();
    let object = desired("ConfigMap", "a");
    let mut inventory = sealed("a", Some("u1"));
    for sealed in inventory.entries.values_mut().filter_map(|e| e.sealed.as_mut()) {
        sealed.desired.clone_from(&object.digest);
        sealed.ours = record.ours.clone().unwrap();
    }
    let plan = approve(
        vec![object.clone()],
        &inventory,
        &Live::from([(object.id, record)]),
    );
    let reads = AtomicUsize::new(0);
    let (execution, outcomes, log) = run(&plan, move |seen| match seen.method.as_str() {
        "GET" => {
            let first = reads.fetch_add(1, Ordering::Relaxed) == 0;
            Reply::Json(200, with_an_addition(if first { "41" } else { "42" }))
        }
        _ if seen.body[1]["value"] == "41" => status(409, "conflict", "a", "configmaps"),
        _ if seen.body.is_array() => {
            let mut patched = live("a", "u1", Some("tg/shop/web"));
            patched["metadata"]["resourceVersion"] = "43".into();
            Reply::Json(200, patched)
        }
        _ => Reply::Json(200, live("a", "u1", Some("tg/shop/web"))),
    })
    .await;
    assert!(execution.is_complete(), "{outcomes:?}");
    let log = log.lock().unwrap();
    let methods: Vec<&str> = log.iter().map(|s| s.method.as_str()).collect();
    assert_eq!(
        methods,
        ["GET", "PATCH", "GET", "PATCH", "PATCH"],
        "a lost race starts anew"
    );
    let patch = log[3].body.as_array().unwrap();
    let value = |path: &str| patch.iter().find(|op| op["path"] == path).map(|op| &op["value"]);
    assert_eq!(value("/data"), Some(&json!({"k": "v"})));
    assert_eq!(
        value("/metadata/managedFields"),
        Some(&json!([{
            "manager": "tidegate", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}},
        }]))
    );
    assert_eq!(log[4].body["metadata"]["resourceVersion"], "43");
    assert_eq!(log[4].body["metadata"]["uid"], "u1");
    let Ok(Done::Applied { sealed, .. }) = &outcomes[0].result else {
        panic!("{outcomes:?}")
    };
    assert_eq!(sealed.foreign, Some(Vec::new()));
}

#[tokio::test]
async fn an_addition_that_may_not_be_taken_away_stays_its_owners() {
    let object = desired("ConfigMap", "a");
    let (_, record) =
        tidegate_core::live::reduce(&with_an_addition("42"), &key(), jiff::Timestamp::UNIX_EPOCH, &[])
            .unwrap();
    let mut inventory = sealed("a", Some("u1"));
    for sealed in inventory.entries.values_mut().filter_map(|e| e.sealed.as_mut()) {
        sealed.desired.clone_from(&object.digest);
        sealed.ours = record.ours.clone().unwrap();
    }
    let plan = approve(
        vec![object.clone()],
        &inventory,
        &Live::from([(object.id, record)]),
    );
    let denied = "ValidatingAdmissionPolicy 'keep' denied request: stays";
    let (_, outcomes, log) = run(&plan, move |seen| match seen.method.as_str() {
        "GET" => Reply::Json(200, with_an_addition("42")),
        _ if seen.body.is_array() => status(422, denied, "a", "configmaps"),
        _ => Reply::Json(200, with_an_addition("43")),
    })
    .await;
    assert_eq!(failure(&outcomes[0]).problem.reason, "AdmissionDenied");
    let log = log.lock().unwrap();
    let writes: Vec<&Seen> = log.iter().filter(|s| s.method != "GET").collect();
    assert_eq!(
        writes.len(),
        1,
        "nothing was written before it, and nothing is to be put back"
    );
    let patch = writes[0].body.as_array().unwrap();
    assert!(
        patch.iter().any(|op| op["path"] == "/data"),
        "fields and entries go together"
    );
}

/// A live object whose `spec.scale` somebody set to 7: we own it, or that somebody does too.
fn scaled(version: &str, by: Option<&str>) -> Value {
    let mut object = live("a", "u1", Some("tg/shop/web"));
    object["metadata"]["resourceVersion"] = version.into();
    object["spec"] = json!({"scale": 7});
    let fields = json!({"f:spec": {"f:scale": {}}});
    let mut entries = vec![json!({"manager": "tidegate", "operation": "Apply", "fieldsV1": fields})];
    entries.extend(
        by.map(
            |by| json!({"manager": by, "operation": "Update", "subresource": "scale", "fieldsV1": fields}),
        ),
    );
    object["metadata"]["managedFields"] = entries.into();
    object
}

#[tokio::test]
async fn an_ignored_field_keeps_its_live_value_until_somebody_else_owns_it() {
    for (by, sent) in [
        (None, json!({"scale": 7, "x": 1})),
        (Some("hpa"), json!({"x": 1})),
    ] {
        let mut object = desired("ConfigMap", "a");
        object.body["spec"] = json!({"scale": 3, "x": 1});
        object.ignore(vec!["/spec/scale".to_owned()], &key());
        let plan = approve(vec![object], &sealed("a", Some("u1")), &live_map("a", "u1"));
        let reads = AtomicUsize::new(0);
        let (execution, outcomes, log) = run(&plan, move |seen| match seen.method.as_str() {
            "GET" => {
                let first = reads.fetch_add(1, Ordering::Relaxed) == 0;
                Reply::Json(200, scaled(if first { "41" } else { "42" }, by))
            }
            _ if seen.body["metadata"]["resourceVersion"] == "41" => {
                status(409, "conflict", "a", "configmaps")
            }
            _ => Reply::Json(200, scaled("43", by)),
        })
        .await;
        assert!(execution.is_complete(), "{outcomes:?}");
        let log = log.lock().unwrap();
        let methods: Vec<&str> = log.iter().map(|s| s.method.as_str()).collect();
        assert_eq!(
            methods,
            ["GET", "PATCH", "GET", "PATCH"],
            "a lost race starts anew"
        );
        assert_eq!(log[3].body["spec"], sent, "{by:?}");
        let Ok(Done::Applied { sealed, live, .. }) = &outcomes[0].result else {
            panic!("{outcomes:?}")
        };
        assert_eq!(sealed.ignored, ["/spec/scale"]);
        assert_eq!(live.ignored, ["/spec/scale"]);
    }
}

#[tokio::test]
async fn a_create_sends_gits_value_of_an_ignored_field_and_an_adoption_the_live_one() {
    let mut object = desired("ConfigMap", "a");
    object.body["spec"] = json!({"scale": 3});
    object.ignore(vec!["/spec/scale".to_owned()], &key());
    let plan = approve(vec![object], &InventorySet::default(), &Live::new());
    let (_, _, log) = run(&plan, existing(scaled("42", None))).await;
    let log = log.lock().unwrap();
    assert_eq!(log[0].body["spec"]["scale"], 3);
    assert_eq!(log[2].body["spec"]["scale"], 7);
}
