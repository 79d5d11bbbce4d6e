use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::fake::{Reply, clients};

fn document(kind: &str, hash: &str) -> Value {
    json!({"components": {"schemas": {"io.x.Thing": {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {hash: {"type": "string"}}}},
        "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": kind}],
    }}}})
}

#[tokio::test(start_paused = true)]
async fn documents_are_loaded_once_until_their_hash_changes() {
    let hash = Arc::new(Mutex::new("aaa"));
    let served = hash.clone();
    let (clients, log) = clients(move |seen| {
        let hash = *served.lock().unwrap();
        if seen.path == "/openapi/v3" {
            let url = format!("/openapi/v3/apis/x.io/v1?hash={hash}");
            return Reply::Json(
                200,
                json!({"paths": {"apis/x.io/v1": {"serverRelativeURL": url}}}),
            );
        }
        Reply::Json(200, document("Thing", hash))
    });
    let cache = SchemaCache::new();
    let wanted = [("x.io".to_owned(), "v1".to_owned())];
    let set = cache.schemas(&clients, &wanted).await.unwrap();
    assert!(set.has("x.io/v1", "Thing"));
    cache.schemas(&clients, &wanted).await.unwrap();
    assert_eq!(
        log.lock().unwrap().len(),
        2,
        "the second answer comes from the cache"
    );
    *hash.lock().unwrap() = "bbb";
    tokio::time::sleep(Duration::from_secs(11)).await;
    cache.schemas(&clients, &wanted).await.unwrap();
    let seen = log.lock().unwrap().clone();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[3].query, "hash=bbb");
}

#[tokio::test]
async fn an_unserved_version_is_left_out() {
    let (clients, _) = clients(|_| Reply::Json(200, json!({"paths": {}})));
    let set = SchemaCache::new()
        .schemas(&clients, &[("no.io".to_owned(), "v1".to_owned())])
        .await
        .unwrap();
    assert!(!set.has("no.io/v1", "Thing"));
}
