//! Kubernetes Events (`events.k8s.io/v1`): queued, aggregated, never in anybody's way.
//!
//! The same news about the same object within ten minutes raises a count instead of making another Event.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::connect::Clients;
use crate::error::Error;
use crate::lease::LeaseGuard;
use crate::paths;

/// Events that wait to be sent; more are dropped, since Events are a courtesy.
const QUEUE: usize = 512;
/// Series that are remembered.
const SERIES: usize = 2048;
const WINDOW: Duration = Duration::from_secs(600);
/// Different notes of one reason on one object that make Events of their own within the window.
const NOTES: u32 = 10;
/// The API's own limit is 1024 bytes.
const LONGEST_NOTE: usize = 1000;

/// What an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// `tidegate.io/v1alpha1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace of the object and of the Event; empty for cluster-scoped objects, whose Events go to `default`.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// One piece of news.
#[derive(Clone, Debug)]
pub struct News {
    /// What it is about.
    pub regarding: Regarding,
    /// True for type Warning, false for Normal.
    pub warning: bool,
    /// CamelCase, as in conditions.
    pub reason: &'static str,
    /// What was being done, CamelCase.
    pub action: &'static str,
    /// For people; cut at 1000 bytes.
    pub note: String,
}

/// Takes news. Clones share the queue.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<News>,
}

impl EventRecorder {
    /// Starts the sender. `instance` is the pod's name. Ends when cancelled.
    pub fn start(clients: Clients, lease: LeaseGuard, instance: &str, cancel: CancellationToken) -> Self {
        let (queue, mut news) = mpsc::channel(QUEUE);
        let mut sender = Sender {
            clients,
            lease,
            instance: instance.to_owned(),
            series: HashMap::new(),
        };
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    () = cancel.cancelled() => return,
                    next = news.recv() => next,
                };
                let Some(next) = next else { return };
                if let Err(error) = sender.send(&next).await {
                    tracing::debug!(%error, reason = next.reason, "an Event could not be written");
                }
            }
        });
        Self { queue }
    }

    /// Queues news. Never waits: when the queue is full it is dropped.
    pub fn publish(&self, news: News) {
        if self.queue.try_send(news).is_err() {
            tracing::debug!("an Event was dropped: the queue is full");
        }
    }
}

/// Same object and reason. The note is part of it while there are few.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    uid: String,
    reason: &'static str,
    note: Option<String>,
}

struct Series {
    name: String,
    count: u64,
    last: Instant,
    notes: u32,
}

struct Sender {
    clients: Clients,
    lease: LeaseGuard,
    instance: String,
    series: HashMap<SeriesKey, Series>,
}

impl Sender {
    async fn send(&mut self, news: &News) -> Result<(), Error> {
        self.forget_old();
        let all = SeriesKey {
            uid: news.regarding.uid.clone(),
            reason: news.reason,
            note: None,
        };
        let exact = SeriesKey {
            note: Some(news.note.clone()),
            ..all.clone()
        };
        let folded = self.series.get(&all).is_some_and(|s| s.notes >= NOTES);
        let key = if self.series.contains_key(&exact) || !folded {
            exact.clone()
        } else {
            all.clone()
        };
        if let Some(series) = self.series.get_mut(&key) {
            series.count += 1;
            series.last = Instant::now();
            let (name, count) = (series.name.clone(), series.count);
            return match self.raise(news, &name, count).await {
                // Events live for an hour or less: begin another.
                Err(error) if error.code() == 404 => self.begin(news, exact, all).await,
                other => other,
            };
        }
        self.begin(news, exact, all).await
    }

    async fn begin(&mut self, news: &News, exact: SeriesKey, all: SeriesKey) -> Result<(), Error> {
        let name = event_name(&news.regarding.name);
        let body = self.event(news, &name);
        let call = Call::mutate("create", Method::POST, "Event", collection(news), &self.lease)
            .body("application/json", body.to_string().into_bytes());
        let call = Call { attempts: 2, ..call };
        self.clients.call(&call).await?;
        let last = Instant::now();
        let (count, notes) = (1, 1);
        self.series.insert(
            exact,
            Series {
                name: name.clone(),
                count,
                last,
                notes,
            },
        );
        let folded = self.series.entry(all).or_insert(Series {
            name: String::new(),
            count: 0,
            last,
            notes: 0,
        });
        folded.notes += 1;
        (folded.name, folded.count, folded.last) = (name, 1, last);
        Ok(())
    }

    async fn raise(&self, news: &News, name: &str, count: u64) -> Result<(), Error> {
        let now = micro_time();
        let patch = json!({"series": {"count": count, "lastObservedTime": now}});
        let path = format!("{}/{name}", collection(news));
        let call = Call::mutate("patch", Method::PATCH, "Event", path, &self.lease)
            .body("application/merge-patch+json", patch.to_string().into_bytes());
        let call = Call { attempts: 1, ..call };
        self.clients.call(&call).await.map(|_| ())
    }

    fn event(&self, news: &News, name: &str) -> Value {
        let about = &news.regarding;
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"namespace": namespace(about), "name": name},
            "eventTime": micro_time(),
            "reportingController": "tidegate.io/operator", "reportingInstance": self.instance,
            "action": news.action, "reason": news.reason,
            "type": if news.warning { "Warning" } else { "Normal" },
            "note": cut(&news.note),
            "regarding": {
                "apiVersion": about.api_version, "kind": about.kind, "namespace": about.namespace,
                "name": about.name, "uid": about.uid,
            },
        })
    }

    fn forget_old(&mut self) {
        self.series.retain(|_, s| s.last.elapsed() < WINDOW);
        if self.series.len() >= SERIES {
            self.series.clear();
        }
    }
}

fn namespace(about: &Regarding) -> &str {
    if about.namespace.is_empty() {
        "default"
    } else {
        &about.namespace
    }
}

fn collection(news: &News) -> String {
    paths::collection("events.k8s.io", "v1", namespace(&news.regarding), "events")
}

/// Unique: the time, and a number for Events of the same nanosecond.
fn event_name(object: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) & 0xffff;
    let nanos = jiff::Timestamp::now().as_nanosecond();
    let object: String = object.chars().take(200).collect();
    format!("{object}.{nanos:x}{number:04x}")
}

fn micro_time() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn cut(note: &str) -> &str {
    let mut end = note.len().min(LONGEST_NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    &note[..end]
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
