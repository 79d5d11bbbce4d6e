//! The checks of policies, asked in the background: a reconcile looks at what the last round came to, and is woken by the
//! next one. Each request has a deadline and a byte cap, follows no redirect, uses no proxy, and goes to the very address
//! that was checked against the platform team's rules.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tidegate_api::policy::{HttpCheck, Metric};
use tidegate_core::addresses::Addresses;
use tidegate_core::verification::{Checks, Measured, plain, query, read_metric, read_status};
use tokio::sync::Semaphore;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, config::Config};

use crate::state::Operator;
use crate::store::Key;

/// How long one request may take, from the name to the last byte.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read.
const CAP: u64 = 1 << 20;
/// Requests at the same time, of all Applications.
const AT_ONCE: usize = 16;

/// See the module's header.
pub(crate) struct Checker {
    agent: Agent,
    turns: Arc<Semaphore>,
    rounds: Mutex<HashMap<Key, Slot>>,
    numbers: AtomicU64,
}

/// The checks of one Application.
#[derive(Default)]
struct Slot {
    /// The release that they are about.
    release: String,
    /// The round that is under way.
    under_way: Option<u64>,
    last: Option<Round>,
}

/// One round of checks.
#[derive(Clone)]
pub(crate) struct Round {
    /// When the last of them was answered.
    pub(crate) at: Timestamp,
    pub(crate) measured: Vec<Measured>,
}

/// What is asked about.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) key: Key,
    pub(crate) release: String,
}

impl Checker {
    pub(crate) fn new(addresses: Addresses) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots().clone())
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("tidegate")
            .timeout_global(Some(DEADLINE))
            .max_idle_connections(0)
            .tls_config(tls)
            .build();
        let resolver = Guarded {
            addresses,
            names: DefaultResolver::default(),
        };
        Self {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            rounds: Mutex::default(),
            numbers: AtomicU64::new(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest round about a release.
    pub(crate) fn last(&self, about: &About) -> Option<Round> {
        let rounds = self.lock();
        let slot = rounds
            .get(&about.key)
            .filter(|slot| slot.release == about.release)?;
        slot.last.clone()
    }

    /// Forgets what was measured for an Application: its release has ended, or its health is lost.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Number of the round that begins; `None` while one is under way.
    fn begin(&self, about: &About) -> Option<u64> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut rounds = self.lock();
        let slot = rounds.entry(about.key.clone()).or_default();
        if slot.release != about.release {
            *slot = Slot {
                release: about.release.clone(),
                ..Slot::default()
            };
        }
        if slot.under_way.is_some() {
            return None;
        }
        slot.under_way = Some(number);
        Some(number)
    }

    fn end(&self, about: &About, number: u64, measured: Vec<Measured>) {
        let mut rounds = self.lock();
        let slot = rounds.get_mut(&about.key);
        if let Some(slot) = slot.filter(|slot| slot.under_way == Some(number)) {
            slot.under_way = None;
            slot.last = Some(Round {
                at: Timestamp::now(),
                measured,
            });
        }
    }
}

/// Begins a round unless one is under way; its end wakes the Application.
pub(crate) fn ask(operator: &Arc<Operator>, about: &About, checks: &Checks) {
    let Some(number) = operator.checker.begin(about) else {
        return;
    };
    let (operator, about, checks) = (operator.clone(), about.clone(), checks.clone());
    tokio::spawn(async move {
        let asked = checks.metrics.into_iter().map(Check::Metric);
        let asked: Vec<Check> = asked.chain(checks.http.into_iter().map(Check::Http)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for check in asked {
            answers.push(tokio::spawn(one(operator.clone(), about.clone(), check)));
        }
        let mut measured = Vec::with_capacity(answers.len());
        for answer in answers {
            measured.push(answer.await.unwrap_or_else(|error| Measured {
                what: "a check".to_owned(),
                wrong: Some(format!(
                    "could not be made: {error}; this is a bug, please report it"
                )),
            }));
        }
        operator.checker.end(&about, number, measured);
        operator.application_queue.add(about.key);
    });
}

enum Check {
    Metric(Metric),
    Http(HttpCheck),
}

/// Makes one check, when it is its turn.
async fn one(operator: Arc<Operator>, about: About, check: Check) -> Measured {
    let _turn = operator.checker.turns.clone().acquire_owned().await;
    let agent = operator.checker.agent.clone();
    let kind = match check {
        Check::Metric(_) => "metric",
        Check::Http(_) => "http",
    };
    let made = tokio::task::spawn_blocking(move || match check {
        Check::Metric(metric) => {
            let Key { namespace, name } = &about.key;
            let asked = query(&metric, namespace, name, &about.release);
            let answer = prometheus(&agent, &metric, &asked);
            read_metric(&metric, &asked, answer.as_deref().map_err(Clone::clone))
        }
        Check::Http(check) => {
            let answer = agent.get(&check.url).call();
            let status = answer.map(|answer| answer.status().as_u16());
            read_status(&check, status.map_err(|error| said(&check.url, &error)))
        }
    });
    let measured = made.await.unwrap_or_else(|error| Measured {
        what: "a check".to_owned(),
        wrong: Some(error.to_string()),
    });
    let outcome = if measured.wrong.is_none() { "good" } else { "bad" };
    operator.metrics.checked(kind, outcome);
    measured
}

fn prometheus(agent: &Agent, metric: &Metric, asked: &str) -> Result<Vec<u8>, String> {
    let address = metric.prometheus.address.trim_end_matches('/');
    let url = format!("{address}/api/v1/query");
    let answer = agent
        .get(&url)
        .query("query", asked)
        .call()
        .map_err(|error| said(&url, &error))?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!("{} redirects, which is not followed", plain(&url)));
    }
    let mut body = Vec::new();
    let mut reader = answer.into_body().into_reader().take(CAP + 1);
    let read = reader.read_to_end(&mut body);
    read.map_err(|_| format!("{} did not answer to the end", plain(&url)))?;
    if body.len() as u64 > CAP {
        return Err(format!("{} answers with more than {CAP} bytes", plain(&url)));
    }
    // A failed query comes with a status of its own and says why.
    if !status.is_success() && !body.starts_with(b"{") {
        return Err(format!("{} answers {}", plain(&url), status.as_u16()));
    }
    Ok(body)
}

/// Why there was no answer.
fn said(url: &str, error: &ureq::Error) -> String {
    let url = plain(url);
    match error {
        ureq::Error::Timeout(_) => format!("{url} did not answer within {} s", DEADLINE.as_secs()),
        ureq::Error::HostNotFound => format!("{url}: its host has no address"),
        ureq::Error::Other(refused) => refused.to_string(),
        other => format!("{url}: {other}"),
    }
}

/// Looks a host up and passes on only what may be asked: what is connected to is what was checked.
#[derive(Debug)]
struct Guarded {
    addresses: Addresses,
    names: DefaultResolver,
}

/// None of a host's addresses may be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let found = self.names.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        let mut refused = None;
        for address in found.iter() {
            match self.addresses.check(host, SocketAddr::ip(address)) {
                Ok(()) => allowed.push(*address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(why) if allowed.is_empty() => Err(ureq::Error::Other(Box::new(Refused(why)))),
            _ => Ok(allowed),
        }
    }
}

/// The machine's own authorities, read once. None at all is no error here: the handshake will say so.
fn roots() -> &'static RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let owned =
            |der: &rustls_pki_types::CertificateDer<'_>| Certificate::from_der(der.as_ref()).to_owned();
        let certs: Vec<_> = found.certs.iter().map(owned).collect();
        RootCerts::new_with_certs(&certs)
    })
}
