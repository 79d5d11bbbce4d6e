//! One request to the API server: its deadline, byte cap, turn, lease check and retries.
//!
//! Owns what every request has in common. A mutation names its fence; it is asked just before *each* sending.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use crate::connect::{Clients, chain};
use crate::error::{Error, Refusal};
use crate::lease::LeaseGuard;

/// Deadline of one attempt, where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Most bytes of an answer, where nothing else is said. etcd holds objects of 1.5 MiB.
pub const CAP: usize = 16 << 20;
const ATTEMPTS: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A request before it is sent.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) verb: &'static str,
    pub(crate) kind: &'a str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) accept: &'static str,
    pub(crate) body: Bytes,
    pub(crate) fence: Option<&'a LeaseGuard>,
    pub(crate) attempts: u32,
    pub(crate) deadline: Duration,
    pub(crate) cap: usize,
}

/// Code and body of an answer that is no error.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn get(kind: &'a str, path: String) -> Self {
        Self {
            verb: "get",
            kind,
            method: Method::GET,
            path,
            content_type: None,
            accept: "application/json",
            body: Bytes::new(),
            fence: None,
            attempts: ATTEMPTS,
            deadline: DEADLINE,
            cap: CAP,
        }
    }

    /// A request that changes something, and so may be sent by the lease's holder only.
    pub(crate) fn mutate(
        verb: &'static str,
        method: Method,
        kind: &'a str,
        path: String,
        fence: &'a LeaseGuard,
    ) -> Self {
        Self {
            verb,
            method,
            fence: Some(fence),
            ..Self::get(kind, path)
        }
    }

    pub(crate) fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.content_type = Some(content_type);
        self.body = Bytes::from(body);
        self
    }

    fn name(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.verb)
    }

    fn request(&self) -> Result<Request<Body>, Error> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(http::header::ACCEPT, self.accept);
        if let Some(content_type) = self.content_type {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(self.body.clone()));
        request.map_err(|e| Error::Request {
            call: self.name(),
            cause: e.to_string(),
        })
    }
}

impl Clients {
    /// Sends, again after a short pause where that may help.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let mut attempt = 1;
        loop {
            let (error, asked) = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if attempt >= call.attempts || !worth_retrying(&error) {
                return Err(error);
            }
            let backoff = Duration::from_millis(200 << attempt.min(6));
            tokio::time::sleep(asked.unwrap_or(backoff).min(LONGEST_PAUSE)).await;
            attempt += 1;
        }
    }

    /// As [`Clients::call`], with the answer as JSON.
    pub(crate) async fn json(&self, call: &Call<'_>) -> Result<(u16, Value), Error> {
        let answer = self.call(call).await?;
        let value = serde_json::from_slice(&answer.body).map_err(|e| Error::Undecodable {
            call: call.name(),
            cause: e.to_string(),
        })?;
        Ok((answer.code, value))
    }

    /// GET of an object; `None` when it is not there.
    pub(crate) async fn find(&self, kind: &str, path: String) -> Result<Option<Value>, Error> {
        match self.json(&Call::get(kind, path)).await {
            Ok((_, value)) => Ok(Some(value)),
            Err(error) if error.refusal().is_some_and(Refusal::nothing_there) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Answer, (Error, Option<Duration>)> {
        let waiting = Instant::now();
        // The semaphore lives as long as the clients and is never closed.
        let _permit = self.permits.acquire().await.ok();
        self.metrics.waited(waiting.elapsed().as_secs_f64());
        let request = call.request().map_err(|e| (e, None))?;
        if let Some(fence) = call.fence
            && !fence.may_write()
        {
            return Err((Error::NotLeader { call: call.name() }, None));
        }
        let _flight = self.metrics.flight();
        let started = Instant::now();
        let sent = within(call, self.exchange(call, request)).await;
        let result = sent.unwrap_or_else(|| {
            let seconds = started.elapsed().as_secs();
            Err((
                Error::Timeout {
                    call: call.name(),
                    seconds,
                },
                None,
            ))
        });
        self.note_reachable(!matches!(
            &result,
            Err((Error::Unreachable { .. } | Error::Timeout { .. }, _))
        ));
        let code = match &result {
            Ok(answer) => answer.code,
            Err((error, _)) => error.code(),
        };
        self.metrics
            .answered(call.verb, call.kind, code, started.elapsed().as_secs_f64());
        result
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        request: Request<Body>,
    ) -> Result<Answer, (Error, Option<Duration>)> {
        let response = self.request.send(request).await.map_err(|e| {
            let (call, cause) = (call.name(), chain(&e));
            (Error::Unreachable { call, cause }, None)
        })?;
        let (parts, body) = response.into_parts();
        let code = parts.status.as_u16();
        let body = Limited::new(body, call.cap).collect().await.map_err(|e| {
            let (call_name, cap) = (call.name(), call.cap);
            if e.is::<http_body_util::LengthLimitError>() {
                return (Error::AnswerTooLarge { call: call_name, cap }, None);
            }
            let cause = chain(&*e);
            (
                Error::Unreachable {
                    call: call_name,
                    cause,
                },
                None,
            )
        })?;
        let body = body.to_bytes();
        if parts.status.is_success() {
            return Ok(Answer { code, body });
        }
        let asked = parts.headers.get(http::header::RETRY_AFTER);
        let asked = asked
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let refusal = Box::new(Refusal::read(code, &body));
        Err((
            Error::Refused {
                call: call.name(),
                refusal,
            },
            asked,
        ))
    }
}

/// What the future comes to within the call's deadline, and for a mutation while the lease is renewed: one in flight past
/// that could meet what the next leader has done.
async fn within<T>(call: &Call<'_>, exchange: impl Future<Output = T>) -> Option<T> {
    let mut exchange = std::pin::pin!(exchange);
    let end = Instant::now() + call.deadline;
    loop {
        let left = call.fence.map_or(Duration::MAX, LeaseGuard::left);
        let lease = Instant::now().checked_add(left);
        let next = lease.map_or(end, |lease| lease.min(end));
        if let Ok(done) = tokio::time::timeout_at(next, &mut exchange).await {
            return Some(done);
        }
        if left.is_zero() || Instant::now() >= end {
            return None;
        }
    }
}

/// Every mutation is conditional, so that one which got through unseen is harmless when sent again.
fn worth_retrying(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused { refusal, .. } => matches!(refusal.code, 429 | 502 | 503 | 504),
        _ => false,
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
