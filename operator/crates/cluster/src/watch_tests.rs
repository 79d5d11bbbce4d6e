use serde_json::{Value, json};

use super::*;
use crate::fake::{Reply, Seen, clients, status};

fn object(name: &str, version: &str, value: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": version,
            "managedFields": [{"manager": "tidegate", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}],
        },
        "data": {"k": value},
    })
}

fn full(name: &str, version: &str, value: &str) -> Value {
    let mut object = object(name, version, value);
    object["apiVersion"] = "v1".into();
    object["kind"] = "ConfigMap".into();
    object
}

fn list(version: &str, items: &[Value]) -> Reply {
    Reply::Json(
        200,
        json!({"metadata": {"resourceVersion": version}, "items": items}),
    )
}

fn event(sort: &str, object: impl Into<Value>) -> Value {
    json!({"type": sort, "object": object.into()})
}

fn gvk() -> Gvk {
    Gvk::new("", "v1", "ConfigMap")
}

fn id(name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", "shop", name)
}

fn map(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (LiveMap, crate::fake::Log) {
    let (clients, log) = clients(answer);
    let map = LiveMap::new(
        clients,
        "tg",
        DigestKey::new([7; 32]),
        Arc::new(|_| Lens::default()),
    );
    let info = KindInfo {
        plural: "configmaps".into(),
        namespaced: true,
    };
    map.ensure(&gvk(), &info);
    map.ensure(&gvk(), &info);
    (map, log)
}

fn is_watch(seen: &Seen) -> bool {
    seen.query.contains("watch=true")
}

fn names(map: &LiveMap) -> Vec<String> {
    let ids = ["a", "b", "c"].map(id);
    let live = map.snapshot_for(ids.iter().map(|id| (id, "v1")));
    live.keys().map(|id| id.name.to_string()).collect()
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn a_list_in_pages_then_events() {
    let (map, log) = map(|seen| {
        if is_watch(seen) {
            let lines = vec![
                event("ADDED", full("c", "12", "x")),
                event("BOOKMARK", json!({"metadata": {"resourceVersion": "20"}})),
            ];
            return Reply::Lines(lines, 1_000_000);
        }
        if seen.query.contains("continue=next") {
            return list("10", &[object("b", "2", "x")]);
        }
        Reply::Json(
            200,
            json!({"metadata": {"resourceVersion": "10", "continue": "next"}, "items": [object("a", "1", "x")]}),
        )
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    let mut changed = map.changes().await;
    while changed.len() < 3 {
        changed.extend(map.changes().await);
    }
    assert_eq!(names(&map), ["a", "b", "c"]);
    let log = log.lock().unwrap();
    assert!(
        log[0]
            .query
            .contains("labelSelector=tidegate.io%2Fmanaged-by%3Dtg"),
        "{}",
        log[0].query
    );
    assert!(log[2].query.contains("resourceVersion=10") && log[2].query.contains("allowWatchBookmarks=true"));
    assert_eq!(log.len(), 3, "one watch for a kind that is ensured twice");
}

#[tokio::test(start_paused = true)]
async fn after_410_it_lists_anew_and_what_is_missing_is_gone() {
    let lists = std::sync::atomic::AtomicU32::new(0);
    let (map, _) = map(move |seen| {
        if is_watch(seen) {
            let first = seen.query.contains("resourceVersion=10");
            let gone = event(
                "ERROR",
                json!({"kind": "Status", "code": 410, "message": "too old"}),
            );
            return Reply::Lines(if first { vec![gone] } else { Vec::new() }, 1_000_000);
        }
        match lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => list("10", &[object("a", "1", "x"), object("b", "2", "x")]),
            _ => list("30", &[object("a", "1", "x")]),
        }
    });
    while map.shared.kinds().failure(&gvk()).is_none() && names(&map) != ["a"] {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(names(&map), ["a"]);
    assert_eq!(map.failure(&gvk()), None, "an expired version is no failure");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_a_question() {
    let (map, _) = map(|seen| {
        if is_watch(seen) {
            let lines = vec![
                event("DELETED", full("a", "11", "x")),
                event("DELETED", full("b", "12", "x")),
            ];
            return Reply::Lines(lines, 1_000_000);
        }
        match seen.path.as_str() {
            "/api/v1/configmaps" => list("10", &[object("a", "1", "x"), object("b", "2", "x")]),
            // Its label was taken, and its value changed.
            "/api/v1/namespaces/shop/configmaps/a" => Reply::Json(200, full("a", "11", "edited")),
            _ => status(404, "not found", "b", "configmaps"),
        }
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&map), ["a"]);
    let after = map.snapshot_for([(&id("a"), "v1")]);
    assert_eq!(after[&id("a")].resource_version, "11");
}

#[tokio::test(start_paused = true)]
async fn an_answer_enters_at_once_unless_the_watch_is_past_it() {
    let (map, _) = map(|seen| {
        if is_watch(seen) {
            Reply::Lines(Vec::new(), 1_000_000)
        } else {
            list("10", &[object("a", "5", "x")])
        }
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    let record = |name: &str, version: &str| {
        let (_, record) = tidegate_core::live::reduce(
            &full(name, version, "new"),
            &DigestKey::new([7; 32]),
            jiff::Timestamp::UNIX_EPOCH,
            &[],
        )
        .unwrap();
        record
    };
    map.record(id("a"), "v1", record("a", "4"));
    map.record(id("b"), "v1", record("b", "9"));
    map.record(id("c"), "v1", record("c", "11"));
    assert_eq!(
        names(&map),
        ["a", "c"],
        "b was created before 10 and the list does not have it: deleted meanwhile"
    );
    assert_eq!(
        map.snapshot_for([(&id("a"), "v1")])[&id("a")].resource_version,
        "5"
    );
    map.record(id("a"), "v1", record("a", "12"));
    assert_eq!(
        map.snapshot_for([(&id("a"), "v1")])[&id("a")].resource_version,
        "12"
    );
    map.forget(&id("a"));
    assert_eq!(names(&map), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_kind_is_told_and_tried_again() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let (map, _) = map(move |seen| {
        if is_watch(seen) {
            return Reply::Lines(Vec::new(), 1_000_000);
        }
        match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0..4 => status(
                403,
                "configmaps is forbidden: User \"u\" cannot list resource \"configmaps\"",
                "",
                "configmaps",
            ),
            _ => list("10", &[]),
        }
    });
    let error = map
        .wait_synced(&[gvk()], Duration::from_secs(3))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("grant list and watch"), "{error}");
    assert_eq!(error.reason(), "CacheNotSynced");
    map.wait_synced(&[gvk()], Duration::from_secs(60)).await.unwrap();
    assert_eq!(map.failure(&gvk()), None);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_no_longer_served_ends_with_its_records() {
    let lists = std::sync::atomic::AtomicU32::new(0);
    let (map, log) = map(move |seen| {
        if is_watch(seen) {
            let gone = event("ERROR", json!({"kind": "Status", "code": 410}));
            return Reply::Lines(vec![gone], 0);
        }
        match lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => list("10", &[object("a", "5", "x")]),
            _ => status(404, "the server could not find the requested resource", "", ""),
        }
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(names(&map).is_empty());
    assert!(!map.is_synced(&gvk()));
    let requests = log.lock().unwrap().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(
        log.lock().unwrap().len(),
        requests,
        "it is not asked for any more"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_version_is_news_when_other_expressions_judged_it() {
    let (map, _) = map(|seen| {
        if is_watch(seen) {
            Reply::Lines(Vec::new(), 1_000_000)
        } else {
            list("10", &[object("a", "5", "x")])
        }
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    let known = || map.snapshot_for([(&id("a"), "v1")])[&id("a")].clone();
    let mut judged = known();
    judged.message = "not true yet".to_owned();
    map.record(id("a"), "v1", judged.clone());
    assert_eq!(known().message, "", "nothing new in the same version");
    judged.judged_by = Some("other".to_owned());
    map.record(id("a"), "v1", judged.clone());
    assert_eq!(known(), judged);
    judged.judged_by = None;
    judged.resource_version = "4".to_owned();
    map.record(id("a"), "v1", judged);
    assert_eq!(known().resource_version, "5", "an older version is no news");
}

#[tokio::test(start_paused = true)]
async fn retain_ends_a_watch() {
    let (map, _) = map(|seen| {
        if is_watch(seen) {
            Reply::Lines(Vec::new(), 1_000_000)
        } else {
            list("10", &[object("a", "5", "x")])
        }
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    map.retain(&HashSet::new());
    assert!(!map.is_synced(&gvk()) && names(&map).is_empty());
}
