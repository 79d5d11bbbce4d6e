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

const HOUR: Duration = Duration::from_secs(3600);

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
        HOUR,
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

/// A watch that says nothing for an hour, although objects were edited, made and deleted.
fn silent(failing: usize) -> (LiveMap, crate::fake::Log) {
    let lists = std::sync::atomic::AtomicUsize::new(0);
    map(move |seen| {
        if is_watch(seen) {
            return Reply::Lines(Vec::new(), 200_000);
        }
        match lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => list("10", &[object("a", "1", "x"), object("b", "2", "x")]),
            at if at <= failing => status(500, "etcd is slow", "", "configmaps"),
            _ => list("90", &[object("a", "50", "edited"), object("c", "60", "x")]),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn what_the_watch_never_told_is_seen_within_the_hour() {
    let (map, log) = silent(0);
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    map.changes().await;
    let before = map.snapshot_for([(&id("a"), "v1")])[&id("a")].clone();
    tokio::time::sleep(HOUR.mul_f64(0.85)).await;
    assert_eq!(names(&map), ["a", "b"]);
    tokio::time::sleep(HOUR.mul_f64(0.3)).await;
    assert_eq!(names(&map), ["a", "c"]);
    let after = &map.snapshot_for([(&id("a"), "v1")])[&id("a")];
    assert_ne!(after.ours, before.ours);
    let mut told = map.changes().await;
    told.sort_unstable();
    assert_eq!(told, [id("a"), id("b"), id("c")], "each change wakes somebody");
    let log = log.lock().unwrap();
    assert_eq!(
        log.iter().filter(|seen| !is_watch(seen)).count(),
        2,
        "once an hour"
    );
    assert!(
        log.last().unwrap().query.contains("resourceVersion=90"),
        "the watch goes on from the list"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_works_goes_on_when_the_list_beside_it_fails() {
    let (map, log) = silent(1);
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    tokio::time::sleep(HOUR.mul_f64(1.15)).await;
    assert_eq!(map.failure(&gvk()), None, "it is no failure any more");
    assert!(
        log.lock()
            .unwrap()
            .last()
            .unwrap()
            .query
            .contains("resourceVersion=10")
    );
    tokio::time::sleep(HOUR.mul_f64(1.15)).await;
    assert_eq!(names(&map), ["a", "c"], "the next one heals");
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_label_was_taken_while_nobody_looked_is_found_by_name() {
    let (map, _) = map(|seen| match seen.path.as_str() {
        _ if is_watch(seen) => Reply::Lines(Vec::new(), 1_000_000),
        "/api/v1/configmaps" => list("10", &[]),
        "/api/v1/namespaces/shop/configmaps/a" => Reply::Json(200, full("a", "7", "x")),
        "/api/v1/namespaces/shop/configmaps/b" => {
            let mut labelled = full("b", "7", "x");
            labelled["metadata"]["labels"] = json!({"tidegate.io/managed-by": "tg"});
            Reply::Json(200, labelled)
        }
        _ => status(404, "not found", "c", "configmaps"),
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    for name in ["a", "b", "c"] {
        map.reread(&id(name), "v1").await.unwrap();
    }
    assert_eq!(
        names(&map),
        ["a"],
        "b has the label, and the list that is newer does not have it: deleted since"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_of_before_our_own_write_does_not_undo_it() {
    let (map, _) = map(|seen| {
        if is_watch(seen) {
            Reply::Lines(Vec::new(), 1_000_000)
        } else {
            list("10", &[object("a", "5", "x")])
        }
    });
    map.wait_synced(&[gvk()], SOON).await.unwrap();
    let seen = |version: &str, value: &str| map.shared.reduce(&full("a", version, value)).unwrap().1;
    let version = || {
        map.snapshot_for([(&id("a"), "v1")])[&id("a")]
            .resource_version
            .clone()
    };
    map.record(id("a"), "v1", seen("20", "written"));
    let put = |record| {
        map.shared
            .kinds()
            .put(&gvk(), id("a"), record, kinds::Seen::InWatch)
    };
    assert!(!put(seen("15", "x")), "a status of before the write");
    assert_eq!(version(), "20");
    assert!(!put(seen("20", "written")), "the write itself");
    assert!(put(seen("21", "edited")), "an edit after it");
    assert!(
        put(seen("3", "restored")),
        "the watch is believed again once it has caught up"
    );
    map.record(id("a"), "v1", seen("30", "written"));
    map.shared.kinds().reached(&gvk(), "31");
    assert!(put(seen("4", "restored")), "a bookmark catches up too");
}
