use serde_json::json;

use super::*;
use crate::fake::{Reply, clients, status};

fn resource(plural: &str, kind: &str, scope: &str) -> Value {
    json!({"resource": plural, "scope": scope, "verbs": ["get", "patch"],
        "responseKind": {"group": "", "version": "", "kind": kind}})
}

#[tokio::test]
async fn aggregated_discovery_takes_two_requests() {
    let (clients, log) = clients(|seen| {
        let items = match seen.path.as_str() {
            "/api" => {
                json!([{"metadata": {}, "versions": [{"version": "v1", "resources": [resource("namespaces", "Namespace", "Cluster")]}]}])
            }
            _ => json!([
                {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [resource("deployments", "Deployment", "Namespaced")]}]},
                {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
            ]),
        };
        Reply::Json(200, json!({"kind": "APIGroupDiscoveryList", "items": items}))
    });
    let found = discover(&clients).await.unwrap();
    assert_eq!(log.lock().unwrap().len(), 2);
    let deployment = found.catalog.get(&Gvk::new("apps", "v1", "Deployment")).unwrap();
    assert_eq!(
        (&*deployment.plural, deployment.namespaced),
        ("deployments", true)
    );
    assert!(
        !found
            .catalog
            .get(&Gvk::new("", "v1", "Namespace"))
            .unwrap()
            .namespaced
    );
    assert!(found.stale_groups.contains("metrics.k8s.io"));
}

#[tokio::test]
async fn an_old_server_is_asked_group_by_group_and_a_broken_group_hides_no_other() {
    let (clients, _) = clients(|seen| match seen.path.as_str() {
        "/api" => Reply::Json(200, json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Reply::Json(
            200,
            json!({"kind": "APIGroupList", "groups": [
            {"versions": [{"groupVersion": "apps/v1"}]}, {"versions": [{"groupVersion": "broken.io/v1"}]}]}),
        ),
        "/api/v1" => Reply::Json(
            200,
            json!({"resources": [
            {"name": "pods", "kind": "Pod", "namespaced": true, "verbs": ["patch"]},
            {"name": "pods/eviction", "kind": "Eviction", "namespaced": true, "verbs": ["create"]}]}),
        ),
        "/apis/apps/v1" => Reply::Json(
            200,
            json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["patch"]}]}),
        ),
        _ => status(500, "no endpoints", "", ""),
    });
    let found = discover(&clients).await.unwrap();
    assert_eq!(found.catalog.len(), 2);
    assert!(found.stale_groups.contains("broken.io"));
}
