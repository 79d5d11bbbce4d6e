//! A scripted API server for the tests of this room: a `tower::Service` that answers with a function.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::Value;

use crate::connect::Clients;
use crate::metrics::KubeMetrics;

/// One request as the fake got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) accept: String,
    pub(crate) body: Value,
}

/// What the fake answers.
pub(crate) enum Reply {
    Json(u16, Value),
    RetryAfter(u16, u64),
    /// Lines of a watch, after which the connection stays open for `.1` milliseconds.
    Lines(Vec<Value>, u64),
    Never,
}

pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

pub(crate) fn status(code: u16, message: &str, name: &str, kind: &str) -> Reply {
    let details = serde_json::json!({"name": name, "kind": kind});
    Reply::Json(
        code,
        serde_json::json!({"kind": "Status", "code": code, "message": message, "details": details}),
    )
}

pub(crate) fn clients(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Clients, Log) {
    let log: Log = Arc::default();
    let (answer, seen_log) = (Arc::new(answer), log.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answer, log) = (answer.clone(), seen_log.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            let accept = parts.headers.get(http::header::ACCEPT);
            let seen = Seen {
                accept: accept
                    .and_then(|a| a.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            log.lock().unwrap().push(seen.clone());
            Ok::<_, Infallible>(respond(answer(&seen)).await)
        }
    });
    let client = kube::Client::new(service, "default");
    let metrics = KubeMetrics::register(&prometheus::Registry::new()).unwrap();
    (Clients::from_parts(client.clone(), client, metrics), log)
}

type AnyBody = UnsyncBoxBody<Bytes, std::io::Error>;

async fn respond(reply: Reply) -> Response<AnyBody> {
    match reply {
        Reply::Json(code, value) => full(code, &value),
        Reply::RetryAfter(code, seconds) => {
            let mut response = full(code, &Value::Null);
            let value = http::HeaderValue::from(seconds);
            response.headers_mut().insert(http::header::RETRY_AFTER, value);
            response
        }
        Reply::Lines(lines, open_ms) => {
            let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
            let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(4);
            tokio::spawn(async move {
                if sender.send_data(Bytes::from(text)).await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(open_ms)).await;
                }
            });
            Response::new(body.boxed_unsync())
        }
        Reply::Never => std::future::pending().await,
    }
}

fn full(code: u16, value: &Value) -> Response<AnyBody> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
