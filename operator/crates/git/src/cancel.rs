//! Cancellation and the deadline of one operation. Owns nothing of git.

use crate::{Error, escape};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The flag that a dropped future raises. Cutting the HTTP connection wakes a worker that hangs in a read.
#[derive(Default)]
pub(crate) struct Cancel {
    raised: AtomicBool,
    agent: Mutex<Option<ureq::Agent>>,
}

impl Cancel {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(agent) = agent {
            agent.shutdown();
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Shuts `agent` down when (or if already) raised.
    pub(crate) fn cuts(&self, agent: &ureq::Agent) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = Some(agent.clone());
        if self.is_raised() {
            self.raise();
        }
    }
}

/// Raises the flag when dropped, unless the answer arrived.
pub(crate) struct CancelOnDrop(pub(crate) Option<Arc<Cancel>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.raise();
        }
    }
}

/// What every step of an operation asks: is it still wanted, and is there time left?
#[derive(Clone)]
pub(crate) struct Watch {
    cancel: Arc<Cancel>,
    url: String,
    timeout: Duration,
    deadline: Instant,
}

impl Watch {
    /// Starts the clock now; `timeout` covers the whole operation.
    pub(crate) fn start(cancel: &Arc<Cancel>, url: &str, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self {
            cancel: cancel.clone(),
            url: url.to_owned(),
            timeout,
            deadline,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancel.is_raised() {
            return Err(Error::Cancelled {
                url: self.url.clone(),
            });
        }
        if Instant::now() >= self.deadline {
            return Err(self.timed_out());
        }
        Ok(())
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn timed_out(&self) -> Error {
        Error::Timeout {
            url: self.url.clone(),
            after: self.timeout,
        }
    }

    pub(crate) fn protocol(&self, why: impl Into<String>) -> Error {
        Error::Protocol {
            url: self.url.clone(),
            why: why.into(),
        }
    }

    /// Sorts an error of a read or write: our own errors travel inside `io::Error` unharmed.
    pub(crate) fn io_error(&self, error: io::Error) -> Error {
        if let Err(stopped) = self.check() {
            return stopped;
        }
        let url = self.url.clone();
        if let Some(own) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
            return own.clone();
        }
        if let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return Error::TlsFailed {
                url,
                why: escape::line(&tls.to_string(), 200),
            };
        }
        if error.get_ref().is_some_and(|e| e.is::<ureq::Error>()) {
            return match error.into_inner().map(|e| e.downcast::<ureq::Error>()) {
                Some(Ok(inner)) => self.http_error(*inner),
                _ => Error::Unreachable {
                    url,
                    why: "connection lost".to_owned(),
                },
            };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated {
                url,
                why: "the connection closed in the middle".to_owned(),
            },
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => self.timed_out(),
            _ => Error::Unreachable {
                url,
                why: escape::line(&error.to_string(), 200),
            },
        }
    }

    /// Sorts an error of the HTTP client.
    pub(crate) fn http_error(&self, error: ureq::Error) -> Error {
        if let Err(stopped) = self.check() {
            return stopped;
        }
        let url = self.url.clone();
        match error {
            ureq::Error::Io(inner) => self.io_error(inner),
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => Error::Unreachable {
                url,
                why: "no connection within 10 s".to_owned(),
            },
            ureq::Error::Timeout(_) => self.timed_out(),
            ureq::Error::Rustls(tls) => Error::TlsFailed {
                url,
                why: escape::line(&tls.to_string(), 200),
            },
            ureq::Error::Tls(why) => Error::TlsFailed {
                url,
                why: why.to_owned(),
            },
            ureq::Error::HostNotFound => Error::Unreachable {
                url,
                why: "host name not found".to_owned(),
            },
            ureq::Error::Protocol(why) => Error::Protocol {
                url,
                why: escape::line(&why.to_string(), 200),
            },
            other => Error::Unreachable {
                url,
                why: escape::line(&other.to_string(), 200),
            },
        }
    }
}
