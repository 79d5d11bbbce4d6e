use serde_json::json;

use super::*;
use crate::fake::{Reply, clients};

#[derive(Default)]
struct Names(Vec<String>, usize);

impl Sink for Names {
    fn relist(&mut self) {
        self.1 += 1;
    }
    async fn object(&mut self, object: Value) {
        self.0.push(format!(
            "{}@{}",
            object["metadata"]["name"].as_str().unwrap_or_default(),
            object["kind"].as_str().unwrap_or_default()
        ));
    }
    async fn listed(&mut self, _: &str) {}
    fn reached(&mut self, _: &str) {}
    async fn deleted(&mut self, _: Value) -> Result<(), Error> {
        Ok(())
    }
    fn failed(&mut self, error: &Error) {
        self.0.push(error.reason().to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_goes_on_where_it_ended_without_a_list() {
    let (clients, log) = clients(|seen| {
        if !seen.query.contains("watch=true") {
            return Reply::Json(200, json!({"metadata": {"resourceVersion": "5"}, "items": []}));
        }
        let next = if seen.query.contains("resourceVersion=5") {
            "6"
        } else {
            "7"
        };
        let object = json!({"kind": "Thing", "metadata": {"name": next, "resourceVersion": next}});
        Reply::Lines(vec![json!({"type": "ADDED", "object": object})], 10)
    });
    let feed = Feed {
        api_version: "x.io/v1".to_owned(),
        kind: "Thing".to_owned(),
        path: "/apis/x.io/v1/things".to_owned(),
        labels: None,
        patient: false,
        resync: None,
    };
    let cancel = CancellationToken::new();
    let mut sink = Names::default();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.cancel();
    });
    assert_eq!(run(&clients, &feed, &mut sink, &cancel).await, Ended::Cancelled);
    assert_eq!(sink.1, 1, "one list");
    assert_eq!(sink.0[..2], ["6@Thing", "7@Thing"]);
    let log = log.lock().unwrap();
    assert!(log[2].query.contains("resourceVersion=6"), "{}", log[2].query);
    assert!(
        log.len() <= 6,
        "a watch that ends at once is not a busy loop: {}",
        log.len()
    );
}

#[test]
fn pauses_grow_to_a_bound() {
    assert!(pause(1) < Duration::from_millis(1300));
    assert!(pause(30) >= LONGEST_PAUSE && pause(30) < LONGEST_PAUSE * 5 / 4);
}
