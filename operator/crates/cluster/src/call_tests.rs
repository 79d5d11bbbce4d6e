use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::*;
use crate::fake::{Reply, clients, status};

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_when_it_says() {
    let asked = AtomicU32::new(0);
    let (clients, log) = clients(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::RetryAfter(429, 3),
        1 => Reply::RetryAfter(503, 1),
        _ => Reply::Json(200, json!({"kind": "ConfigMap"})),
    });
    let started = Instant::now();
    let (code, _) = clients
        .json(&Call::get("ConfigMap", "/x".to_owned()))
        .await
        .unwrap();
    assert_eq!(code, 200);
    assert_eq!(log.lock().unwrap().len(), 3);
    assert!(
        started.elapsed() >= Duration::from_secs(4),
        "Retry-After is honoured"
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let (clients, log) = clients(|_| Reply::RetryAfter(503, 3600));
    let started = Instant::now();
    let error = clients
        .json(&Call::get("ConfigMap", "/x".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), 503);
    assert_eq!(log.lock().unwrap().len(), 4);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "a server cannot make us sleep for an hour"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_at_the_deadline() {
    let (clients, log) = clients(|_| Reply::Never);
    let error = clients
        .json(&Call::get("ConfigMap", "/x?secret=1".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "get /x: no answer from the API server within 30 s"
    );
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_over_the_cap_is_not_read() {
    let (clients, _) = clients(|_| Reply::Json(200, json!("x".repeat(5000))));
    let call = Call {
        cap: 1000,
        ..Call::get("ConfigMap", "/x".to_owned())
    };
    let error = clients.json(&call).await.unwrap_err();
    assert_eq!(error.reason(), "AnswerTooLarge");
}

#[tokio::test]
async fn only_a_missing_object_is_absent() {
    let (clients, _) = clients(|seen| match seen.path.as_str() {
        "/gone" => status(404, "configmaps \"a\" not found", "a", "configmaps"),
        _ => status(404, "the server could not find the requested resource", "", ""),
    });
    assert_eq!(clients.find("ConfigMap", "/gone".to_owned()).await, Ok(None));
    let error = clients.find("ConfigMap", "/kind".to_owned()).await.unwrap_err();
    assert_eq!(error.reason(), "KindMissing");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_is_in_flight() {
    let (clients, log) = clients(|_| Reply::Never);
    for _ in 0..40 {
        let clients = clients.clone();
        tokio::spawn(async move { clients.json(&Call::get("ConfigMap", "/x".to_owned())).await });
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(log.lock().unwrap().len(), crate::connect::MAX_IN_FLIGHT);
}
