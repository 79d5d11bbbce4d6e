//! A proxy between an operator and the API server that refuses requests or loses their answers. Owns the faults and the
//! listener on loopback; passes everything else on, watches too, under the account of a given kubeconfig.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::{Method, StatusCode, header};
use tokio::task::JoinHandle;

use crate::cluster::client_of;
use crate::error::{Error, Result};

/// Largest request that is passed on, bytes.
const BODY_CAP: usize = 16 << 20;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with 500 and never reaches the API server.
    Refuse,
    /// It reaches the API server, and its answer is replaced by 500.
    LoseAnswer,
}

/// Requests of that method whose path has that part meet the fault, as often as `left` says.
#[derive(Clone, Debug)]
struct Rule {
    method: Method,
    path: String,
    fault: Fault,
    left: usize,
}

#[derive(Debug, Default)]
struct Faults {
    rules: Vec<Rule>,
    /// Share of all mutations that fail, in percent; state of the random numbers.
    random: Option<(u64, u64)>,
    /// Watches whose path has this part lose every event but bookmarks.
    silenced: Option<String>,
    hits: usize,
}

impl Faults {
    fn next(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let fault = self.named(method, path).or_else(|| self.drawn(method, path))?;
        self.hits += 1;
        Some(fault)
    }

    fn named(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let fits = |rule: &&mut Rule| rule.left > 0 && rule.method == method && path.contains(&rule.path);
        let rule = self.rules.iter_mut().find(fits)?;
        rule.left -= 1;
        Some(rule.fault)
    }

    /// The lease is spared: losing it ends the process, which other tests are about.
    fn drawn(&mut self, method: &Method, path: &str) -> Option<Fault> {
        if method == Method::GET || path.contains("/leases") {
            return None;
        }
        let (percent, state) = self.random.as_mut()?;
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if (*state >> 33) % 100 >= *percent {
            return None;
        }
        let lose = (*state >> 60) % 2 == 0;
        Some(if lose { Fault::LoseAnswer } else { Fault::Refuse })
    }
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    faults: Arc<Mutex<Faults>>,
    server: String,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Passage {
    faults: Arc<Mutex<Faults>>,
    client: kube::Client,
}

impl FaultProxy {
    /// Starts one in front of the API server of a kubeconfig; requests go on under that kubeconfig's account.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used or there is no port.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let setup = |e: std::io::Error| Error::Setup(format!("fault proxy: {e}"));
        let faults = Arc::new(Mutex::new(Faults::default()));
        let passage = Passage {
            faults: faults.clone(),
            client: client_of(kubeconfig).await?,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(setup)?;
        let server = format!("http://{}", listener.local_addr().map_err(setup)?);
        let router = Router::new().fallback(pass).with_state(passage);
        let task = tokio::spawn(async move {
            // It ends with the test's runtime.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { faults, server, task })
    }

    /// Address for a kubeconfig's `server`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The next `times` requests of that method whose path contains `path` meet the fault.
    pub fn fail(&self, method: Method, path: &str, fault: Fault, times: usize) {
        self.faults().rules.push(Rule {
            method,
            path: path.to_owned(),
            fault,
            left: times,
        });
    }

    /// That share of all mutations fails from now on, half of them after they were carried out.
    pub fn fail_some(&self, percent: u64, seed: u64) {
        self.faults().random = Some((percent, seed));
    }

    /// Watches whose path contains `path`, those that are open too, lose each event that comes from now on.
    pub fn silence(&self, path: &str) {
        self.faults().silenced = Some(path.to_owned());
    }

    /// Nothing fails any more. What was lost stays lost.
    pub fn heal(&self) {
        let mut faults = self.faults();
        faults.rules.clear();
        faults.random = None;
        faults.silenced = None;
    }

    /// Requests that met a fault so far.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.faults().hits
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(State(passage): State<Passage>, mut request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let fault = lock(&passage.faults).next(request.method(), &path);
    if fault == Some(Fault::Refuse) {
        return broken("refused by the fault proxy");
    }
    // The client adds its own account and address.
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().remove(header::HOST);
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY_CAP).await {
        Ok(body) => kube::client::Body::from(body.to_vec()),
        Err(error) => return broken(&error.to_string()),
    };
    let request = http::Request::from_parts(parts, body);
    match passage.client.send(request).await {
        Ok(_) if fault.is_some() => broken("answer lost by the fault proxy"),
        Ok(answer) if watch => answer.map(|body| filtered(passage.faults, path, Body::new(body))),
        Ok(answer) => answer.map(Body::new),
        Err(error) => broken(&error.to_string()),
    }
}

/// A watch, line by line, without the events that are to be lost.
fn filtered(faults: Arc<Mutex<Faults>>, path: String, body: Body) -> Body {
    let mut pending = Vec::new();
    let lines = body.into_data_stream().map(move |data| {
        pending.extend_from_slice(&data?);
        let end = pending
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let whole: Vec<u8> = pending.drain(..end).collect();
        let mut passed = Vec::with_capacity(whole.len());
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            if !loses(&mut lock(&faults), &path, line) {
                passed.extend_from_slice(line);
            }
        }
        Ok::<_, axum::Error>(passed)
    });
    Body::from_stream(lines)
}

fn loses(faults: &mut Faults, path: &str, event: &[u8]) -> bool {
    let silenced = faults.silenced.as_ref().is_some_and(|part| path.contains(part));
    let lost = silenced && !event.starts_with(br#"{"type":"BOOKMARK""#);
    faults.hits += usize::from(lost);
    lost
}

fn broken(why: &str) -> Response {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": why, "reason": "InternalError", "code": 500,
    });
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        content_type,
        status.to_string(),
    )
        .into_response()
}
