use super::*;
use crate::fake::{Reply, clients, status};

fn news(reason: &'static str, note: &str) -> News {
    News {
        regarding: Regarding {
            api_version: "tidegate.io/v1alpha1".to_owned(),
            kind: "Application".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: "u".to_owned(),
        },
        warning: true,
        reason,
        action: "Reconcile",
        note: note.to_owned(),
    }
}

fn recorder(clients: Clients) -> EventRecorder {
    EventRecorder::start(clients, LeaseGuard::alone(), "pod-1", CancellationToken::new())
}

#[tokio::test(start_paused = true)]
async fn the_same_news_raises_a_count_and_an_expired_event_begins_anew() {
    let (clients, log) = clients(|seen| match seen.method.as_str() {
        "PATCH" if seen.body["series"]["count"] == 4 => status(404, "gone", "e", "events"),
        _ => Reply::Json(200, Value::Null),
    });
    let recorder = recorder(clients);
    for _ in 0..4 {
        recorder.publish(news("Invalid", "bad"));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = log.lock().unwrap().clone();
    let methods: Vec<&str> = seen.iter().map(|s| s.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH", "PATCH", "POST"]);
    assert_eq!(seen[0].path, "/apis/events.k8s.io/v1/namespaces/shop/events");
    assert_eq!(seen[0].body["type"], "Warning");
    assert_eq!(seen[2].body["series"]["count"], 3);
    tokio::time::sleep(WINDOW).await;
    recorder.publish(news("Invalid", "bad"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        log.lock().unwrap().last().unwrap().method,
        "POST",
        "ten minutes later it is news again"
    );
}

#[tokio::test(start_paused = true)]
async fn ever_new_notes_are_folded() {
    let (clients, log) = clients(|_| Reply::Json(200, Value::Null));
    let recorder = recorder(clients);
    for n in 0..40 {
        recorder.publish(news("Invalid", &format!("attempt {n}")));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let posts = log.lock().unwrap().iter().filter(|s| s.method == "POST").count();
    assert_eq!(posts, 10);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_delays_nobody() {
    let (clients, _) = clients(|_| Reply::Never);
    let recorder = recorder(clients);
    for n in 0..5000 {
        recorder.publish(news("Invalid", &n.to_string()));
    }
}

#[test]
fn notes_are_cut_between_characters() {
    assert_eq!(cut(&"é".repeat(600)).len(), 1000);
    assert_eq!(cut("short"), "short");
}
