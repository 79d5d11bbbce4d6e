use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tidegate_api::application::DriftMode;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::catalog::{Gvk, KindInfo};
use tidegate_core::desired::{PruneRule, Rendered};
use tidegate_core::gate::{self, Asking, Decision, Question, RevisionFacts};
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::inventory::{Entry, InventorySet};
use tidegate_core::object::Location;
use tidegate_core::plan::{Inputs, Live, plan, teardown};
use tidegate_core::policy::ApplicationFacts;
use tidegate_core::recreate::Found;
use tidegate_core::standing::Claim;

use super::*;
use crate::error::Class;
use crate::fake::{Log, Reply, Seen, clients, status};

#[path = "apply_drift_tests.rs"]
mod drift;
#[path = "apply_recreate_tests.rs"]
mod recreate;
#[path = "apply_rules_tests.rs"]
mod rules;
#[path = "apply_takeover_tests.rs"]
mod takeover;

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn owner() -> Owner {
    Owner::parse("tg/shop/web").unwrap()
}

fn desired(kind: &str, name: &str) -> DesiredObject {
    let group = if kind == "CustomResourceDefinition" {
        "apiextensions.k8s.io"
    } else {
        ""
    };
    let namespace = if kind == "ConfigMap" || kind == "Pod" {
        "shop"
    } else {
        ""
    };
    let body = json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
        "spec": {"group": "x.io", "names": {"kind": "Thing", "plural": "things"}},
    });
    DesiredObject {
        id: ObjectId::new(group, kind, namespace, name),
        version: "v1".into(),
        location: Location {
            file: "shop.yaml".into(),
            line: 12,
        },
        digest: format!("digest-{name}"),
        body,
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

fn approve(objects: Vec<DesiredObject>, inventory: &InventorySet, live: &Live) -> Approved<Plan> {
    let rendered = Arc::new(Rendered::new(objects, &key()));
    let plan = plan(&Inputs {
        rendered: &rendered,
        inventory,
        live,
        prune: true,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found: &Found::default(),
        now: jiff::Timestamp::UNIX_EPOCH,
        key: &key(),
    });
    approved(plan)
}

fn approved(plan: Plan) -> Approved<Plan> {
    let (application, revision, after) = <(ApplicationFacts, RevisionFacts, _)>::default();
    let question = Question::unbound(Asking::Release, &application, &revision, &after);
    match gate::decide(plan, &question, jiff::Timestamp::UNIX_EPOCH).decision {
        Decision::Go(approved) => approved,
        Decision::Wait(wait) => panic!("{}", wait.why),
    }
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (group, kind, plural, namespaced) in [
        ("", "ConfigMap", "configmaps", true),
        ("", "Pod", "pods", true),
        ("", "Namespace", "namespaces", false),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
        ),
    ] {
        let plural = plural.into();
        catalog.insert(Gvk::new(group, "v1", kind), KindInfo { plural, namespaced });
    }
    catalog
}

fn live(name: &str, uid: &str, owner: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid, "resourceVersion": "42",
            "annotations": owner.map(|o| json!({"tidegate.io/owner": o})),
            "managedFields": [{
                "manager": if owner.is_some() { "tidegate" } else { "my-tool" },
                "operation": "Apply", "fieldsV1": {"f:data": {}},
            }],
        },
    })
}

/// Application `gone` is none; any other keeps what it has.
fn claim(other: &Owner) -> Claim {
    match other.application.as_str() {
        "gone" => Claim::Gone,
        "leaving" => Claim::Leaving,
        _ => Claim::Wanted,
    }
}

async fn run(
    approved: &Approved<Plan>,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Execution, Vec<Outcome>, Log) {
    run_with(approved, Adopt::IfUnowned, CancellationToken::new(), answer).await
}

async fn run_with(
    approved: &Approved<Plan>,
    adopt: Adopt,
    cancel: CancellationToken,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Execution, Vec<Outcome>, Log) {
    let (clients, log) = clients(answer);
    let (sender, mut receiver) = mpsc::channel(100);
    let (catalog, owner, key) = (catalog(), owner(), key());
    let ctx = ExecuteContext {
        catalog: &catalog,
        owner: &owner,
        adopt,
        claim: &|other, _| claim(other),
        remover: None,
        health: &HealthRules::default(),
        key: &key,
        cancel,
        concurrency: 4,
        established_timeout: Duration::from_secs(5),
    };
    let execution = Executor::new(clients, LeaseGuard::alone())
        .execute(approved, ctx, sender)
        .await;
    let mut outcomes = Vec::new();
    while let Some(outcome) = receiver.recv().await {
        outcomes.push(outcome);
    }
    (execution, outcomes, log)
}

fn failure(outcome: &Outcome) -> &Failure {
    outcome.result.as_ref().unwrap_err()
}

#[tokio::test]
async fn a_create_is_an_apply_on_absence() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let (execution, outcomes, log) =
        run(&plan, |_| Reply::Json(201, live("a", "u1", Some("tg/shop/web")))).await;
    assert!(execution.is_complete());
    let log = log.lock().unwrap();
    assert_eq!(log[0].method, "PATCH");
    assert_eq!(log[0].path, "/api/v1/namespaces/shop/configmaps/a");
    assert_eq!(log[0].query, "fieldManager=tidegate&force=true");
    assert_eq!(log[0].body["metadata"]["resourceVersion"], "1");
    let Ok(Done::Applied {
        sealed,
        created,
        adopted_from,
        ..
    }) = &outcomes[0].result
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((sealed.uid.as_str(), sealed.desired.as_str()), ("u1", "digest-a"));
    assert!(!sealed.ours.is_empty() && *created && adopted_from.is_none());
}

/// Answers a create with 409, a GET with the object, and an apply on its uid with success.
fn existing(object: Value) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    move |seen| match (seen.method.as_str(), &seen.body["metadata"]["uid"]) {
        ("GET", _) => Reply::Json(200, object.clone()),
        _ if seen.body.is_array() => Reply::Json(200, object.clone()),
        (_, uid) if *uid == object["metadata"]["uid"] => Reply::Json(200, object.clone()),
        _ => status(409, "conflict", "a", "configmaps"),
    }
}

#[tokio::test]
async fn an_existing_object_is_adopted_resumed_or_refused() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let (_, outcomes, log) = run(&plan, existing(live("a", "u9", None))).await;
    let Ok(Done::Applied {
        adopted_from,
        created,
        ..
    }) = &outcomes[0].result
    else {
        panic!("{outcomes:?}")
    };
    let from = adopted_from.as_ref().map(|former| former.by.as_str());
    assert_eq!(from, Some("my-tool"));
    assert!(!created);
    assert_eq!(log.lock().unwrap().len(), 3);

    let (_, outcomes, _) = run(&plan, existing(live("a", "u9", Some("tg/shop/web")))).await;
    assert!(matches!(
        &outcomes[0].result,
        Ok(Done::Applied {
            adopted_from: None,
            ..
        })
    ));

    let (execution, outcomes, log) = run(&plan, existing(live("a", "u9", Some("tg/other/app")))).await;
    assert_eq!(failure(&outcomes[0]).problem.reason, "OwnershipConflict");
    assert_eq!(execution.failed, 1);
    assert_eq!(
        log.lock().unwrap().len(),
        2,
        "nothing is written over another's object"
    );

    let handed = existing(live("a", "u9", Some("tg/shop/leaving")));
    let (_, outcomes, _) = run(&plan, handed).await;
    let Ok(Done::Applied { adopted_from, .. }) = &outcomes[0].result else {
        panic!("{outcomes:?}")
    };
    let from = adopted_from.as_ref().map(|former| former.by.as_str());
    assert_eq!(from, Some("Application shop/leaving"));

    let never = existing(live("a", "u9", None));
    let (_, outcomes, _) = run_with(&plan, Adopt::Never, CancellationToken::new(), never).await;
    assert_eq!(failure(&outcomes[0]).problem.reason, "AlreadyExists");
}

#[tokio::test]
async fn an_object_that_another_application_adopts_first_is_left_to_it() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let reads = AtomicUsize::new(0);
    let raced = move |seen: &Seen| match seen.method.as_str() {
        "GET" if reads.fetch_add(1, Ordering::Relaxed) == 0 => Reply::Json(200, live("a", "u9", None)),
        "GET" => Reply::Json(200, live("a", "u9", Some("tg/other/app"))),
        _ => status(409, "conflict", "a", "configmaps"),
    };
    let (_, outcomes, log) = run(&plan, raced).await;
    assert_eq!(failure(&outcomes[0]).problem.reason, "OwnershipConflict");
    let log = log.lock().unwrap();
    assert_eq!(log[2].body["metadata"]["uid"], "u9");
    assert_eq!(log[2].body["metadata"]["resourceVersion"], "42", "as it was read");
    assert_eq!(log.len(), 4, "nothing is written over another's object");
}

fn sealed(name: &str, uid: Option<&str>) -> InventorySet {
    let mut set = InventorySet::default();
    let sealed = uid.map(|uid| Sealed {
        uid: uid.to_owned(),
        desired: "old".to_owned(),
        ours: String::new(),
        foreign: Some(Vec::new()),
        ignored: Vec::new(),
        apply: ApplyRule::Always,
    });
    let entry = Entry {
        version: "v1".to_owned(),
        sealed,
        prune: PruneRule::Default,
        wave: 0,
        made: None,
        run: None,
    };
    set.entries
        .insert(ObjectId::new("", "ConfigMap", "shop", name), entry);
    set
}

fn live_map(name: &str, uid: &str) -> Live {
    let object = live(name, uid, Some("tg/shop/web"));
    tidegate_core::live::reduce(&object, &key(), jiff::Timestamp::UNIX_EPOCH, &[])
        .into_iter()
        .collect()
}

#[tokio::test]
async fn an_update_names_the_uid_and_another_object_is_planned_anew() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &sealed("a", Some("u1")),
        &live_map("a", "u1"),
    );
    let (_, outcomes, log) = run(&plan, |_| Reply::Json(200, live("a", "u1", Some("tg/shop/web")))).await;
    assert_eq!(log.lock().unwrap()[0].body["metadata"]["uid"], "u1");
    assert!(outcomes[0].result.is_ok());
    for code in [404, 409] {
        let (_, outcomes, _) = run(&plan, move |_| status(code, "uid differs", "a", "configmaps")).await;
        let failure = failure(&outcomes[0]);
        assert_eq!(
            (failure.class, failure.problem.reason),
            (Class::Transient, "Conflict")
        );
    }
}

#[tokio::test]
async fn one_bad_object_does_not_stop_its_neighbours_but_the_next_stage() {
    let objects = ["a", "b", "c"].map(|name| desired("ConfigMap", name));
    let objects = objects.into_iter().chain([desired("Pod", "p")]).collect();
    let plan = approve(objects, &InventorySet::default(), &Live::new());
    let (execution, outcomes, _) = run(&plan, |seen| {
        if seen.path.ends_with("/b") {
            let message = "failed to create typed patch object (shop/b; v1, Kind=ConfigMap): .dada: field not declared in schema";
            return Reply::Json(500, json!({"kind": "Status", "message": message}));
        }
        Reply::Json(201, live("a", "u", Some("tg/shop/web")))
    })
    .await;
    assert_eq!(
        execution,
        Execution {
            done: 2,
            failed: 1,
            not_attempted: 1,
            cancelled: false
        }
    );
    let bad = outcomes.iter().find(|o| o.result.is_err()).unwrap();
    let problem = &failure(bad).problem;
    assert_eq!(failure(bad).class, Class::Terminal);
    assert_eq!(
        problem.to_string(),
        "shop.yaml:12: ConfigMap shop/b: dada: field not declared in schema; correct the field"
    );
}

#[tokio::test]
async fn a_missing_right_and_a_missing_namespace_say_what_to_do() {
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let (_, outcomes, _) = run(&plan, |_| {
        status(
            403,
            "configmaps \"a\" is forbidden: User \"u\" cannot patch",
            "a",
            "configmaps",
        )
    })
    .await;
    assert!(failure(&outcomes[0]).problem.message.contains("grant this right"));
    let (_, outcomes, _) = run(&plan, |_| {
        status(404, "namespaces \"shop\" not found", "shop", "namespaces")
    })
    .await;
    assert_eq!(failure(&outcomes[0]).problem.reason, "NamespaceMissing");
    assert_eq!(failure(&outcomes[0]).class, Class::Waiting);
}

#[tokio::test(start_paused = true)]
async fn instances_wait_for_their_crd() {
    let mut thing = desired("Pod", "t");
    thing.id = ObjectId::new("x.io", "Thing", "", "t");
    let mut crd = desired("CustomResourceDefinition", "things.x.io");
    crd.body["spec"]["versions"] = json!([{"name": "v1", "served": true}]);
    let plan = approve(vec![crd, thing], &InventorySet::default(), &Live::new());
    let asked = AtomicU32::new(0);
    let (execution, _, log) = run(&plan, move |seen| {
        let times = asked.fetch_add(1, Ordering::Relaxed);
        match (seen.method.as_str(), times) {
            ("GET", ..=2) => Reply::Json(200, json!({"status": {}})),
            ("GET", _) => Reply::Json(
                200,
                json!({"status": {"conditions": [{"type": "Established", "status": "True"}]}}),
            ),
            (_, 4) => status(404, "the server could not find the requested resource", "", ""),
            _ => Reply::Json(201, live("t", "u", Some("tg/shop/web"))),
        }
    })
    .await;
    assert!(execution.is_complete(), "{execution:?}");
    let log = log.lock().unwrap();
    assert_eq!(log.last().unwrap().path, "/apis/x.io/v1/things/t");
    assert_eq!(
        log.iter().filter(|s| s.path.ends_with("/t")).count(),
        2,
        "the fresh API's 404 is passed over"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crd_that_is_never_established_fails_and_stops_the_next_stage() {
    let crd = desired("CustomResourceDefinition", "things.x.io");
    let plan = approve(
        vec![crd, desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let (execution, outcomes, _) = run(&plan, |_| Reply::Json(200, live("things.x.io", "u", None))).await;
    assert_eq!(
        execution,
        Execution {
            done: 0,
            failed: 1,
            not_attempted: 1,
            cancelled: false
        }
    );
    assert_eq!(outcomes.len(), 2, "applied, and so sealed, then failed");
    assert_eq!(failure(&outcomes[1]).problem.reason, "NotEstablished");
}

fn removal(uid: Option<&str>) -> Approved<Plan> {
    approved(teardown(&sealed("a", uid), &Live::new(), true, &key()))
}

#[tokio::test]
async fn a_delete_names_uid_and_resource_version() {
    let (_, outcomes, log) = run(&removal(Some("u1")), |seen| match seen.method.as_str() {
        "GET" => Reply::Json(200, live("a", "u1", None)),
        _ => Reply::Json(200, json!({"kind": "Status", "status": "Success"})),
    })
    .await;
    assert_eq!(outcomes[0].result.clone().unwrap(), Done::Deleted);
    let log = log.lock().unwrap();
    assert_eq!(log[1].method, "DELETE");
    assert_eq!(
        log[1].body["preconditions"],
        json!({"uid": "u1", "resourceVersion": "42"})
    );
    assert_eq!(log[1].body["propagationPolicy"], "Background");
}

#[tokio::test]
async fn what_is_not_ours_is_not_deleted() {
    for (uid, object) in [
        (Some("u1"), live("a", "other", Some("tg/shop/web"))),
        (None, live("a", "u1", None)),
        (None, live("a", "u1", Some("tg/shop/other"))),
        // The uid that was applied, and another Application has taken it over.
        (Some("u1"), live("a", "u1", Some("tg/shop/other"))),
        (Some("u1"), live("a", "u1", Some("blue/shop/gone"))),
    ] {
        let (_, outcomes, log) = run(&removal(uid), move |_| Reply::Json(200, object.clone())).await;
        assert_eq!(outcomes[0].result.clone().unwrap(), Done::NotOurs);
        assert!(log.lock().unwrap().iter().all(|s| s.method == "GET"));
    }
    // A name that nobody has protects nothing.
    let (_, _, log) = run(&removal(Some("u1")), |_| {
        Reply::Json(200, live("a", "u1", Some("tg/shop/gone")))
    })
    .await;
    assert_eq!(log.lock().unwrap()[1].method, "DELETE");
    let (_, _, log) = run(&removal(None), |_| {
        Reply::Json(200, live("a", "u1", Some("tg/shop/web")))
    })
    .await;
    assert_eq!(
        log.lock().unwrap()[1].method,
        "DELETE",
        "intended and proven ours"
    );
}

#[tokio::test]
async fn a_delete_that_waits_for_finalizers_stays_and_a_conflict_is_read_anew() {
    let asked = AtomicU32::new(0);
    let (_, outcomes, log) = run(&removal(Some("u1")), move |seen| match seen.method.as_str() {
        "DELETE" if asked.fetch_add(1, Ordering::Relaxed) == 0 => status(409, "changed", "a", "configmaps"),
        _ => Reply::Json(200, live("a", "u1", None)),
    })
    .await;
    assert_eq!(outcomes[0].result.clone().unwrap(), Done::Deleting);
    assert_eq!(log.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn cancellation_stops_before_the_next_object() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let plan = approve(
        vec![desired("ConfigMap", "a")],
        &InventorySet::default(),
        &Live::new(),
    );
    let (execution, outcomes, log) = run_with(&plan, Adopt::IfUnowned, cancel, |_| Reply::Never).await;
    assert_eq!(
        execution,
        Execution {
            done: 0,
            failed: 0,
            not_attempted: 1,
            cancelled: true
        }
    );
    assert!(outcomes.is_empty() && log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_object_that_is_taken_over_just_before_its_deletion_stays() {
    let reads = AtomicUsize::new(0);
    let raced = move |seen: &Seen| match seen.method.as_str() {
        "GET" if reads.fetch_add(1, Ordering::Relaxed) == 0 => {
            Reply::Json(200, live("a", "u1", Some("tg/shop/web")))
        }
        "GET" => Reply::Json(200, live("a", "u1", Some("tg/shop/other"))),
        _ => status(409, "conflict", "a", "configmaps"),
    };
    let (_, outcomes, log) = run(&removal(Some("u1")), raced).await;
    assert_eq!(outcomes[0].result.clone().unwrap(), Done::NotOurs);
    let log = log.lock().unwrap();
    let deletes = log.iter().filter(|s| s.method == "DELETE");
    assert_eq!(deletes.count(), 1, "the one that could not go through");
}

#[tokio::test]
async fn a_service_is_gone_although_the_answer_is_the_object() {
    let gone = AtomicBool::new(false);
    let (_, outcomes, _) = run(&removal(Some("u1")), move |seen| match seen.method.as_str() {
        "DELETE" => {
            gone.store(true, Ordering::Relaxed);
            Reply::Json(200, live("a", "u1", None))
        }
        _ if gone.load(Ordering::Relaxed) => status(404, "not found", "a", "configmaps"),
        _ => Reply::Json(200, live("a", "u1", None)),
    })
    .await;
    assert_eq!(outcomes[0].result.clone().unwrap(), Done::Deleted);
}
