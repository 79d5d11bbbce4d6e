use std::sync::Mutex;

use tidegate_core::recreate::{Candidate, Found};

use super::*;

fn forced() -> DesiredObject {
    DesiredObject {
        force: true,
        ..desired("ConfigMap", "a")
    }
}

/// A plan that makes the object anew.
fn anew() -> Approved<Plan> {
    let object = forced();
    let found = Found {
        immutable: [object.id.clone()].into(),
        ..Found::default()
    };
    let rendered = Arc::new(Rendered::new(vec![object], &key()));
    approved(plan(&Inputs {
        rendered: &rendered,
        inventory: &sealed("a", Some("u1")),
        live: &live_map("a", "u1"),
        prune: true,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found: &found,
        now: jiff::Timestamp::UNIX_EPOCH,
        key: &key(),
    }))
}

#[tokio::test]
async fn an_object_is_deleted_by_uid_and_version_waited_for_and_made_anew() {
    let there = Mutex::new(Some(live("a", "u1", Some("tg/shop/web"))));
    let reads = AtomicUsize::new(0);
    let (execution, outcomes, log) = run(&anew(), move |seen| {
        let mut there = there.lock().unwrap();
        match seen.method.as_str() {
            "GET" => {
                // Gone at the third look after its deletion.
                let leaving = there
                    .as_ref()
                    .is_some_and(|o| o["metadata"]["deletionTimestamp"].is_string());
                if leaving && reads.fetch_add(1, Ordering::Relaxed) == 2 {
                    *there = None;
                }
                match &*there {
                    Some(object) => Reply::Json(200, object.clone()),
                    None => status(404, "not found", "a", "configmaps"),
                }
            }
            "DELETE" => {
                let object = there.as_mut().unwrap();
                object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                Reply::Json(200, object.clone())
            }
            _ => Reply::Json(201, live("a", "u2", Some("tg/shop/web"))),
        }
    })
    .await;
    assert!(execution.is_complete(), "{outcomes:?}");
    let log = log.lock().unwrap();
    let writes: Vec<&Seen> = log.iter().filter(|s| s.method != "GET").collect();
    assert_eq!(
        (writes[0].method.as_str(), writes[1].method.as_str()),
        ("DELETE", "PATCH")
    );
    assert_eq!(
        writes[0].body["preconditions"],
        json!({"uid": "u1", "resourceVersion": "42"})
    );
    assert_eq!(writes[0].body["propagationPolicy"], "Foreground");
    assert_eq!(
        writes[1].body["metadata"]["resourceVersion"], "1",
        "only if absent"
    );
    assert_eq!(log.len(), 6, "it is waited for");
    assert!(
        matches!(&outcomes[0].result, Ok(Done::Applied { sealed, created: true, .. }) if sealed.uid == "u2")
    );
}

#[tokio::test]
async fn another_object_under_the_name_is_neither_deleted_nor_taken_from_its_owner() {
    let other = live("a", "u9", Some("tg/other/app"));
    let (_, outcomes, log) = run(&anew(), existing(other)).await;
    assert_eq!(failure(&outcomes[0]).problem.reason, "OwnershipConflict");
    assert!(log.lock().unwrap().iter().all(|s| s.method != "DELETE"));
}

#[tokio::test]
async fn only_a_refusal_for_immutable_fields_alone_is_a_proof_and_trying_changes_nothing() {
    let refused = |causes: Value| {
        Reply::Json(
            422,
            json!({"code": 422, "message": "invalid", "details": {"name": "a", "causes": causes}}),
        )
    };
    let selector = json!({"field": "spec.selector", "message": "field is immutable"});
    let (ours, theirs) = (Some("tg/shop/web"), None);
    let object = forced();
    for (case, owner_of, uid, proven) in [
        (0, ours, Some("u1"), true),
        (1, ours, Some("u1"), false),
        (2, ours, Some("u1"), false),
        (0, ours, None, true),
        (0, theirs, None, false),
        (0, ours, Some("u0"), false),
    ] {
        let selector = selector.clone();
        let (clients, log) = clients(move |seen| match (seen.method.as_str(), case) {
            ("GET", _) => Reply::Json(200, live("a", "u1", owner_of)),
            (_, 0) => refused(json!([selector])),
            (_, 1) => refused(json!([selector, {"field": "spec.ports", "message": "required"}])),
            _ => Reply::Json(200, live("a", "u1", owner_of)),
        });
        let executor = Executor::new(clients, LeaseGuard::alone());
        let candidates = [Candidate { object: &object, uid }];
        let found = executor
            .immutable(&candidates, &catalog(), &owner())
            .await
            .unwrap();
        assert_eq!(found.len(), usize::from(proven), "{case} {owner_of:?} {uid:?}");
        let log = log.lock().unwrap();
        let writes: Vec<&Seen> = log.iter().filter(|s| s.method != "GET").collect();
        assert!(
            writes.iter().all(|s| s.query.contains("dryRun=All")),
            "{writes:?}"
        );
    }
}

#[tokio::test]
async fn nothing_is_planned_while_it_cannot_be_told() {
    let object = forced();
    let (clients, _) = clients(|seen| match seen.method.as_str() {
        "GET" => Reply::Json(200, live("a", "u1", Some("tg/shop/web"))),
        _ => status(500, "etcd is away", "a", "configmaps"),
    });
    let executor = Executor::new(clients, LeaseGuard::alone());
    let candidates = [Candidate {
        object: &object,
        uid: Some("u1"),
    }];
    let found = executor.immutable(&candidates, &catalog(), &owner()).await;
    assert!(found.is_err(), "{found:?}");
}
