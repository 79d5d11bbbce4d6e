use serde_json::json;
use tidegate_core::catalog::KindInfo;

use super::*;
use crate::fake::{Reply, Seen, clients, status};

const SOON: Duration = Duration::from_secs(20);

fn catalog(kinds: &[usize]) -> Catalog {
    let mut catalog = Catalog::default();
    for (group, version, kind) in kinds.iter().map(|at| KINDS[*at]) {
        let plural = format!("{}s", kind.to_lowercase()).into();
        let info = KindInfo {
            plural,
            namespaced: true,
        };
        catalog.insert(Gvk::new(group, version, kind), info);
    }
    catalog
}

fn scalers(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Scalers, crate::fake::Log) {
    let (clients, log) = clients(answer);
    (Scalers::new(clients, Duration::from_secs(3600)), log)
}

fn hpa(name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "5"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}},
    })
}

fn list(items: &[Value]) -> Reply {
    Reply::Json(
        200,
        json!({"metadata": {"resourceVersion": "10"}, "items": items}),
    )
}

fn names(scaled: &Scaled) -> Vec<String> {
    scaled
        .iter()
        .map(|(target, scaler)| format!("{target} by {scaler}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn targets_come_turn_elsewhere_and_go() {
    let (scalers, log) = scalers(|seen| {
        if !seen.query.contains("watch=true") {
            return list(&[hpa("a", "web"), hpa("b", "api")]);
        }
        let event = |sort: &str, object| json!({"type": sort, "object": object});
        let lines = vec![
            event("MODIFIED", hpa("a", "shop")),
            event("DELETED", hpa("b", "api")),
            event("ADDED", hpa("c", "job")),
        ];
        Reply::Lines(lines, 1_000_000)
    });
    scalers.ensure(&catalog(&[0]));
    scalers.ensure(&catalog(&[0]));
    let first = scalers.scaled(SOON).await.unwrap();
    assert!(first.len() >= 2, "{first:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        names(&scalers.known()),
        [
            "Deployment shop/job by HorizontalPodAutoscaler shop/c",
            "Deployment shop/shop by HorizontalPodAutoscaler shop/a",
        ]
    );
    let mut changed = scalers.changes().await;
    changed.sort_unstable();
    let changed: Vec<&str> = changed.iter().map(|id| &*id.name).collect();
    assert_eq!(changed, ["api", "job", "shop", "web"]);
    assert_eq!(
        log.lock().unwrap().len(),
        2,
        "one watch for a kind that is ensured twice"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_guesses_before_the_list_is_there() {
    let (scalers, _) = scalers(|seen| {
        if seen.path.contains("keda") {
            return status(403, "forbidden: cannot list", "", "scaledobjects");
        }
        status(500, "etcd is slow", "", "horizontalpodautoscalers")
    });
    assert!(
        scalers.scaled(SOON).await.unwrap().is_empty(),
        "nothing is served"
    );
    scalers.ensure(&catalog(&[1]));
    assert!(
        scalers.scaled(SOON).await.unwrap().is_empty(),
        "nothing may be seen"
    );
    scalers.ensure(&catalog(&[0]));
    let error = scalers.scaled(SOON).await.unwrap_err().to_string();
    assert!(
        error.contains("HorizontalPodAutoscaler (v2)") && error.contains("etcd is slow"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_goes_takes_its_targets_with_it_and_may_come_again() {
    let lists = std::sync::atomic::AtomicU32::new(0);
    let (scalers, _) = scalers(move |seen| {
        let keda = json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "k", "namespace": "shop", "resourceVersion": "5"},
            "spec": {"scaleTargetRef": {"name": "web"}},
        });
        if seen.query.contains("watch=true") {
            return Reply::Lines(vec![json!({"type": "ERROR", "object": {"code": 410}})], 0);
        }
        match lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 20.. => list(&[keda]),
            _ => status(404, "the server could not find the requested resource", "", ""),
        }
    });
    scalers.ensure(&catalog(&[1]));
    let scaled = scalers.scaled(SOON).await.unwrap();
    assert_eq!(names(&scaled), ["Deployment shop/web by ScaledObject shop/k"]);
    scalers.changes().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(scalers.known().is_empty());
    assert_eq!(
        scalers.changes().await.len(),
        1,
        "whoever owns the target is told"
    );
}
