//! One list-and-watch of a kind, for as long as it is wanted: pages, bookmarks, 410, broken connections, backoff.
//!
//! Owns the protocol. Holds one object at a time; what is kept of it is the sink's. Ends only when cancelled or when
//! the kind is no longer served.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, DEADLINE};
use crate::connect::{Clients, chain};
use crate::error::{Error, Refusal};
use crate::paths;

/// Objects in a page of the list. Small, since a whole page is in memory at once.
const PAGE: usize = 100;
const PAGE_CAP: usize = 200 << 20;
/// Most bytes of one event.
const EVENT_CAP: usize = 16 << 20;
/// How long the server is asked to keep a watch open, seconds.
const WATCH_SECONDS: u64 = 290;
/// A connection that died silently is noticed then.
const WATCH_DEADLINE: Duration = Duration::from_secs(WATCH_SECONDS + 15);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A kind that was just established may answer 404 for a moment.
const GONE_TRIES: u32 = 5;

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// Path of the collection.
    pub(crate) path: String,
    pub(crate) labels: Option<String>,
    /// Waits for a kind that is not served instead of ending.
    pub(crate) patient: bool,
    /// Lists anew beside the watch this often: what an event that never came would have told is seen then.
    pub(crate) resync: Option<Duration>,
}

/// Where the objects go.
pub(crate) trait Sink: Send {
    /// A list begins: what it does not name is gone.
    fn relist(&mut self);
    /// An object as it is now.
    fn object(&mut self, object: Value) -> impl Future<Output = ()> + Send;
    /// The list is complete as of this resource version.
    fn listed(&mut self, resource_version: &str) -> impl Future<Output = ()> + Send;
    /// All up to this resource version was delivered.
    fn reached(&mut self, resource_version: &str);
    /// A DELETED event. An error makes the feed list anew.
    fn deleted(&mut self, object: Value) -> impl Future<Output = Result<(), Error>> + Send;
    /// It does not work at the moment, and is tried again.
    fn failed(&mut self, error: &Error);
}

/// Why a feed is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Cancelled,
    KindGone,
}

/// Runs until the end.
pub(crate) async fn run<S: Sink>(
    clients: &Clients,
    feed: &Feed,
    sink: &mut S,
    cancel: &CancellationToken,
) -> Ended {
    tokio::select! {
        () = cancel.cancelled() => Ended::Cancelled,
        ended = forever(clients, feed, sink) => ended,
    }
}

async fn forever<S: Sink>(clients: &Clients, feed: &Feed, sink: &mut S) -> Ended {
    let mut failures = 0;
    let mut position: Option<String> = None;
    let mut due = Resync::of(feed);
    loop {
        let started = Instant::now();
        let result = match position.take() {
            None => list(clients, feed, sink).await.inspect(|_| due.listed()),
            Some(from) if due.is_due() => {
                due.listed();
                // A watch that works is not given up for a list that does not.
                list(clients, feed, sink).await.map_err(|stopped| Stopped {
                    resume: Some(from),
                    ..stopped
                })
            }
            Some(from) => watch(clients, feed, sink, from, due.at).await,
        };
        match result {
            Ok(reached) => {
                failures = 0;
                position = Some(reached.version);
                // A watch that ends at once, again and again, must not become a busy loop.
                if reached.by_watch && started.elapsed() < SHORTEST_PAUSE {
                    tokio::time::sleep(SHORTEST_PAUSE).await;
                }
            }
            Err(Stopped { error, resume }) => {
                // The version is too old, which is no failure: list anew.
                if error.reason() == "Expired" && failures == 0 {
                    failures = 1;
                    if started.elapsed() < SHORTEST_PAUSE {
                        tokio::time::sleep(SHORTEST_PAUSE).await;
                    }
                    continue;
                }
                position = resume;
                failures += 1;
                sink.failed(&error);
                if error.reason() == "KindMissing" && !feed.patient && failures >= GONE_TRIES {
                    return Ended::KindGone;
                }
                tokio::time::sleep(pause(failures)).await;
            }
        }
    }
}

/// When the next list beside the watch is due.
struct Resync {
    every: Option<Duration>,
    at: Option<Instant>,
}

impl Resync {
    fn of(feed: &Feed) -> Self {
        let mut resync = Self {
            every: feed.resync,
            at: None,
        };
        resync.listed();
        resync
    }

    /// The next is an interval from now, give or take a tenth, so that kinds do not come together.
    fn listed(&mut self) {
        let tenths = 0.9 + 0.2 * f64::from(random()) / 1000.0;
        self.at = self.every.map(|every| Instant::now() + every.mul_f64(tenths));
    }

    fn is_due(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }
}

/// Up to 999. Spreads what would else happen at the same moment; nothing depends on it.
fn random() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let drawn = RandomState::new().build_hasher().finish() % 1000;
    u32::try_from(drawn).unwrap_or_default()
}

/// Doubles, with up to a quarter more so that many feeds do not come back at the same moment.
fn pause(failures: u32) -> Duration {
    let pause = SHORTEST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(5))
        .min(LONGEST_PAUSE);
    pause + pause.mul_f64(f64::from(random()) / 4000.0)
}

struct Reached {
    version: String,
    by_watch: bool,
}

struct Stopped {
    error: Error,
    /// Where to go on; `None` to list anew.
    resume: Option<String>,
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self { error, resume: None }
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    #[serde(default = "Vec::new")]
    items: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

async fn list<S: Sink>(clients: &Clients, feed: &Feed, sink: &mut S) -> Result<Reached, Stopped> {
    sink.relist();
    let mut next = String::new();
    loop {
        let mut path = format!("{}?limit={PAGE}{}", feed.path, selector(feed));
        if !next.is_empty() {
            path.push_str(&format!("&continue={}", paths::segment(&next)));
        }
        let call = Call {
            verb: "list",
            cap: PAGE_CAP,
            ..Call::get(&feed.kind, path)
        };
        let answer = clients.call(&call).await?;
        let page: Page = serde_json::from_slice(&answer.body).map_err(|e| undecodable("list", feed, &e))?;
        drop(answer);
        for item in page.items {
            let mut object: Value =
                serde_json::from_str(item.get()).map_err(|e| undecodable("list", feed, &e))?;
            drop(item);
            // Items of a list of a built-in kind come without their kind.
            object["apiVersion"] = feed.api_version.as_str().into();
            object["kind"] = feed.kind.as_str().into();
            sink.object(object).await;
        }
        next = page.metadata.next;
        if next.is_empty() {
            let version = page.metadata.resource_version;
            sink.listed(&version).await;
            let by_watch = false;
            return Ok(Reached { version, by_watch });
        }
    }
}

fn selector(feed: &Feed) -> String {
    let encoded = feed.labels.as_deref().map(paths::segment);
    encoded
        .map(|labels| format!("&labelSelector={labels}"))
        .unwrap_or_default()
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    sort: String,
    object: Value,
}

async fn watch<S: Sink>(
    clients: &Clients,
    feed: &Feed,
    sink: &mut S,
    from: String,
    until: Option<Instant>,
) -> Result<Reached, Stopped> {
    let mut version = from;
    let path = format!(
        "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}{}",
        feed.path,
        paths::segment(&version),
        selector(feed)
    );
    let resume = |error: Error, version: &str| Stopped {
        resume: (error.reason() != "Expired").then(|| version.to_owned()),
        error,
    };
    let mut body = open(clients, feed, path).await.map_err(|e| resume(e, &version))?;
    // A resumed watch may be silent for a minute: that it stands again is news by itself.
    sink.reached(&version);
    let deadline = Instant::now() + WATCH_DEADLINE;
    let deadline = until.map_or(deadline, |until| until.min(deadline));
    let mut buffer = BytesMut::new();
    let mut scanned = 0;
    loop {
        while let Some(end) = buffer[scanned..]
            .iter()
            .position(|b| *b == b'\n')
            .map(|at| at + scanned)
        {
            let line = buffer.split_to(end);
            buffer.advance(1);
            scanned = 0;
            if line.is_empty() {
                continue;
            }
            let event: Event = serde_json::from_slice(&line).map_err(|e| undecodable("watch", feed, &e))?;
            drop(line);
            deliver(event, feed, sink, &mut version).await?;
        }
        scanned = buffer.len();
        if scanned > EVENT_CAP {
            let (call, cap) = (format!("watch {}", feed.path), EVENT_CAP);
            return Err(Error::AnswerTooLarge { call, cap }.into());
        }
        // The end of a connection, whole or broken, is no failure: go on where it ended.
        match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    buffer.extend_from_slice(data);
                }
            }
            Ok(None | Some(Err(_))) | Err(_) => {
                let by_watch = true;
                return Ok(Reached { version, by_watch });
            }
        }
    }
}

async fn deliver<S: Sink>(
    event: Event,
    feed: &Feed,
    sink: &mut S,
    version: &mut String,
) -> Result<(), Stopped> {
    if event.sort == "ERROR" {
        let code = event.object["code"].as_u64().and_then(|c| u16::try_from(c).ok());
        let text = event.object.to_string();
        let refusal = Box::new(Refusal::read(code.unwrap_or(500), text.as_bytes()));
        let call = format!("watch {}", feed.path);
        return Err(Error::Refused { call, refusal }.into());
    }
    let reached = event.object["metadata"]["resourceVersion"].as_str();
    let reached = reached.unwrap_or_default().to_owned();
    match event.sort.as_str() {
        "ADDED" | "MODIFIED" => sink.object(event.object).await,
        "DELETED" => sink.deleted(event.object).await?,
        _ => {}
    }
    if !reached.is_empty() {
        sink.reached(&reached);
        *version = reached;
    }
    Ok(())
}

async fn open(clients: &Clients, feed: &Feed, path: String) -> Result<Body, Error> {
    let name = || format!("watch {}", feed.path);
    let request = Request::get(path)
        .header(http::header::ACCEPT, "application/json")
        // Newer servers compress each event by itself, which our decoder does not read past the first.
        .header(http::header::ACCEPT_ENCODING, "identity")
        .body(Body::empty())
        .map_err(|e| Error::Request {
            call: name(),
            cause: e.to_string(),
        })?;
    let started = Instant::now();
    let sent = tokio::time::timeout(DEADLINE, clients.watch.send(request)).await;
    let response = match sent {
        Err(_) => Err(Error::Timeout {
            call: name(),
            seconds: DEADLINE.as_secs(),
        }),
        Ok(Err(error)) => Err(Error::Unreachable {
            call: name(),
            cause: chain(&error),
        }),
        Ok(Ok(response)) => Ok(response),
    };
    let code = response.as_ref().map_or(0, |r| r.status().as_u16());
    clients
        .metrics
        .answered("watch", &feed.kind, code, started.elapsed().as_secs_f64());
    let response = response?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let body = Limited::new(response.into_body(), 64 << 10);
    let body = tokio::time::timeout(DEADLINE, body.collect()).await;
    let bytes = body
        .ok()
        .and_then(Result::ok)
        .map(|b| b.to_bytes())
        .unwrap_or_default();
    let refusal = Box::new(Refusal::read(code, &bytes));
    Err(Error::Refused {
        call: name(),
        refusal,
    })
}

fn undecodable(verb: &str, feed: &Feed, cause: &serde_json::Error) -> Error {
    Error::Undecodable {
        call: format!("{verb} {}", feed.path),
        cause: cause.to_string(),
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
