use serde_json::{Value, json};
use tidegate_api::inventory::Inventory;
use tidegate_api::names::FINALIZER_INVENTORY;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fake::{Log, Reply, Seen, clients, status};

fn shard(name: &str, spec: impl Into<Value>) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Inventory",
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": "5", "generation": 3},
        "spec": spec.into(),
    })
}

fn good() -> Value {
    json!({"application": "web", "applicationUID": "x"})
}

fn own(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Own<Inventory>, Log) {
    let (clients, log) = clients(answer);
    (Own::new(clients, LeaseGuard::alone()), log)
}

#[tokio::test(start_paused = true)]
async fn one_undecodable_object_stalls_only_itself() {
    let (own, _) = own(|seen| {
        if seen.query.contains("watch=true") {
            let gone = json!({"type": "DELETED", "object": shard("a", good())});
            return Reply::Lines(vec![gone], 1_000_000);
        }
        let items = [
            shard("a", good()),
            shard("b", json!({"application": 7})),
            shard("c", good()),
        ];
        Reply::Json(200, json!({"metadata": {"resourceVersion": "9"}, "items": items}))
    });
    let mut events = own.watch(None, None, CancellationToken::new());
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(match events.recv().await.unwrap() {
            OwnEvent::Upsert(shard) => format!("upsert {}", shard.metadata.name.unwrap()),
            OwnEvent::Undecodable {
                name,
                generation,
                message,
                ..
            } => {
                assert!(
                    message.contains("application") || message.contains("invalid type"),
                    "{message}"
                );
                format!("undecodable {name} {generation}")
            }
            OwnEvent::Deleted { namespace, name } => format!("deleted {namespace}/{name}"),
            OwnEvent::Synced => "synced".to_owned(),
        });
    }
    assert_eq!(
        told,
        [
            "upsert a",
            "undecodable b 3",
            "upsert c",
            "synced",
            "deleted shop/a"
        ]
    );
}

#[tokio::test]
async fn a_status_is_sent_only_where_it_changed() {
    let (own, log) = own(|_| Reply::Json(200, shard("a", good())));
    let before = json!({"phase": "Applying", "message": "x", "count": {"a": 1, "b": 2}});
    let same = own
        .patch_status("shop", "a", "u", &before, &before)
        .await
        .unwrap();
    assert!(!same && log.lock().unwrap().is_empty());
    let after = json!({"phase": "Done", "count": {"a": 1, "b": 3}});
    assert!(own.patch_status("shop", "a", "u", &before, &after).await.unwrap());
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(
        seen.path,
        "/apis/tidegate.io/v1alpha1/namespaces/shop/inventories/a/status"
    );
    assert_eq!(
        seen.body[0],
        json!({"op": "test", "path": "/metadata/uid", "value": "u"})
    );
    assert_eq!(
        seen.body[1],
        json!({"op": "add", "path": "/status", "value": after})
    );
}

#[tokio::test]
async fn a_finalizer_is_set_on_the_newest_version_and_only_when_it_is_not_there() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let (own, log) = own(move |seen| match seen.method.as_str() {
        "PATCH" if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
            status(409, "changed", "a", "inventories")
        }
        _ => Reply::Json(200, shard("a", good())),
    });
    assert!(own.set_finalizer("shop", "a", "u", "x/y", true).await.unwrap());
    let seen = log.lock().unwrap().clone();
    assert_eq!(seen.len(), 4);
    assert_eq!(
        seen[3].body["metadata"],
        json!({"uid": "u", "resourceVersion": "5", "finalizers": ["x/y"]})
    );
    assert!(
        !own.set_finalizer("shop", "a", "u", "x/y", false).await.unwrap(),
        "not there: nothing to remove"
    );
    assert!(
        !own.set_finalizer("shop", "a", "another", "x/y", true)
            .await
            .unwrap(),
        "another object"
    );
}

#[tokio::test]
async fn a_shard_is_made_with_its_finalizer_and_removed_without_it() {
    let (own, log) = own(|seen| {
        let mut live = shard("a", good());
        live["metadata"]["finalizers"] = json!([FINALIZER_INVENTORY]);
        match seen.method.as_str() {
            "DELETE" => status(404, "gone", "a", "inventories"),
            _ => Reply::Json(200, live),
        }
    });
    let object: Inventory = serde_json::from_value(shard("a", good())).unwrap();
    own.create_shard(object).await.unwrap();
    own.delete_shard("shop", "a", "u").await.unwrap();
    let seen = log.lock().unwrap().clone();
    assert_eq!(
        seen[0].body["metadata"]["finalizers"],
        json!([FINALIZER_INVENTORY])
    );
    assert_eq!(seen[0].body["kind"], "Inventory");
    assert_eq!(seen[2].body["metadata"]["finalizers"], json!([]));
    assert_eq!(seen[3].body["preconditions"], json!({"uid": "u"}));
}

#[tokio::test]
async fn a_status_of_an_object_that_cannot_be_read_is_merged_by_name() {
    let (own, log) = own(|_| Reply::Json(200, shard("a", good())));
    let sent = own
        .patch_status("shop", "a", "", &json!({}), &json!({"phase": "Stalled"}))
        .await;
    assert_eq!(sent, Ok(true));
    let body = log.lock().unwrap()[0].body.clone();
    assert_eq!(body, json!({"status": {"phase": "Stalled"}}));
}

#[tokio::test]
async fn a_status_of_another_object_is_not_written_and_a_bad_status_is_an_error() {
    let before = json!({});
    let after = json!({"phase": "Done"});
    let (own_other, _) = own(|_| {
        status(
            422,
            "the server rejected our request due to an error in our request",
            "",
            "",
        )
    });
    let sent = own_other.patch_status("shop", "a", "u", &before, &after).await;
    assert_eq!(sent, Ok(false));
    let (own_bad, _) = own(|_| {
        let details =
            json!({"name": "a", "causes": [{"field": "status.phase", "message": "Unsupported value"}]});
        Reply::Json(
            422,
            json!({"kind": "Status", "message": "invalid", "details": details}),
        )
    });
    let error = own_bad
        .patch_status("shop", "a", "u", &before, &after)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "Invalid");
}

#[tokio::test]
async fn a_list_goes_on_to_its_last_page() {
    let (own, log) = own(|seen| {
        let (name, next) = if seen.query.contains("continue=more") {
            ("b", "")
        } else {
            ("a", "more")
        };
        let metadata = json!({"resourceVersion": "9", "continue": next});
        Reply::Json(200, json!({"metadata": metadata, "items": [shard(name, good())]}))
    });
    let found = own.list("shop", "a=b").await.unwrap();
    let names: Vec<_> = found.into_iter().filter_map(|s| s.metadata.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn names_are_listed_without_contents_and_in_one_page() {
    let (own, log) = own(|_| {
        let item = json!({"metadata": {"name": "a", "uid": "u", "annotations": {"x": "y"}}});
        Reply::Json(200, json!({"metadata": {}, "items": [item]}))
    });
    let found = own.list_metadata("shop", "a=b").await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name.as_deref(), Some("a"));
    assert_eq!(found[0].uid.as_deref(), Some("u"));
    let seen = log.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].query, "labelSelector=a%3Db");
    assert!(seen[0].accept.contains("as=PartialObjectMetadataList"));
}
