use std::sync::Mutex;

use super::*;

fn helms() -> Value {
    let mut object = live("a", "u1", None);
    object["data"] = json!({"git": "1", "old": "2"});
    object["metadata"]["managedFields"] = json!([{
        "manager": "helm", "operation": "Update", "apiVersion": "v1",
        "fieldsV1": {"f:data": {"f:git": {}, "f:old": {}}},
    }]);
    object
}

/// The object as an apply leaves it: our entry, beside what others have.
fn applied_over(object: &Value, fields: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["annotations"] = json!({"tidegate.io/owner": "tg/shop/web"});
    let entries = object["metadata"]["managedFields"].as_array_mut().unwrap();
    entries.retain(|e| e["manager"] != "tidegate");
    entries
        .push(json!({"manager": "tidegate", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}));
    object
}

fn value_of<'a>(patch: &'a Value, path: &str) -> Option<&'a Value> {
    patch
        .as_array()?
        .iter()
        .find(|op| op["path"] == path)
        .map(|op| &op["value"])
}

#[tokio::test]
async fn an_apply_in_a_tools_place_that_is_refused_gives_the_tool_its_entry_back() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let there = Mutex::new(helms());
    let (execution, outcomes, log) = run(&plan, move |seen| {
        let mut there = there.lock().unwrap();
        let claimed = there["metadata"]["managedFields"][0]["manager"] == "tidegate";
        match seen.method.as_str() {
            "GET" => {}
            _ if seen.body["metadata"]["resourceVersion"] == "1" => {
                return status(409, "exists", "a", "configmaps");
            }
            _ if seen.body.is_array() => {
                if let Some(data) = value_of(&seen.body, "/data") {
                    assert_eq!(*data, json!({"git": "1"}), "only what the tool alone had");
                    return status(422, "field is immutable", "a", "configmaps");
                }
                there["metadata"]["managedFields"] =
                    value_of(&seen.body, "/metadata/managedFields").cloned().unwrap();
            }
            _ if claimed => return status(422, "field is immutable", "a", "configmaps"),
            _ => *there = applied_over(&there, &json!({"f:data": {"f:git": {}}})),
        }
        Reply::Json(200, there.clone())
    })
    .await;
    assert!(execution.is_complete(), "{outcomes:?}");
    let log = log.lock().unwrap();
    let patches: Vec<&Value> = log.iter().map(|s| &s.body).filter(|b| b.is_array()).collect();
    let entries = |patch: &Value| value_of(patch, "/metadata/managedFields").cloned().unwrap();
    assert_eq!(
        entries(patches[0])[0]["fieldsV1"],
        json!({"f:data": {"f:git": {}, "f:old": {}}})
    );
    assert_eq!(
        entries(patches[1]),
        helms()["metadata"]["managedFields"],
        "put back"
    );
    assert_eq!(entries(patches[3])[0]["manager"], "tidegate");
    assert_eq!(
        entries(patches[3]).as_array().unwrap().len(),
        1,
        "what stays is nobody's"
    );
    assert_eq!(patches.len(), 4);
}

#[tokio::test]
async fn a_tools_entry_comes_back_also_when_the_api_server_fails_in_between() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let there = Mutex::new(helms());
    let (_, outcomes, log) = run(&plan, move |seen| {
        let mut there = there.lock().unwrap();
        match seen.method.as_str() {
            "GET" => {}
            _ if seen.body["metadata"]["resourceVersion"] == "1" => {
                return status(409, "exists", "a", "configmaps");
            }
            _ if seen.body.is_array() => {
                there["metadata"]["managedFields"] =
                    value_of(&seen.body, "/metadata/managedFields").cloned().unwrap();
            }
            _ => return status(500, "etcd is away", "a", "configmaps"),
        }
        Reply::Json(200, there.clone())
    })
    .await;
    assert_eq!(failure(&outcomes[0]).class, Class::Transient);
    let log = log.lock().unwrap();
    let last = log.iter().rfind(|s| s.body.is_array()).unwrap();
    let managed = value_of(&last.body, "/metadata/managedFields");
    assert_eq!(managed, Some(&helms()["metadata"]["managedFields"]));
}
