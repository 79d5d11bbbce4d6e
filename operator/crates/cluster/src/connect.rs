//! The two clients: one for watches, which stay open for minutes, one for requests, which may not.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request};
use kube::Config;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::metrics::KubeMetrics;

/// Requests in flight at once. kube speaks HTTP/1.1, so that this is the number of connections too.
pub const MAX_IN_FLIGHT: usize = 16;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any request's own deadline, so that the deadline decides.
const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a watch lasts (see [`crate::stream`]).
const WATCH_READ_TIMEOUT: Duration = Duration::from_secs(330);

/// Clients of one API server. Clones share connections, limits and metrics.
#[derive(Clone)]
pub struct Clients {
    /// For watches: no response timeout, no retry.
    pub watch: kube::Client,
    /// For everything else, through [`crate::call`] only.
    pub request: kube::Client,
    pub(crate) permits: Arc<Semaphore>,
    reachable: Arc<AtomicBool>,
    pub(crate) metrics: KubeMetrics,
}

impl Clients {
    /// Connects with a kubeconfig file, or else with `KUBECONFIG` or the pod's service account. Sends nothing yet.
    pub async fn connect(kubeconfig: Option<PathBuf>, metrics: KubeMetrics) -> Result<Self, Error> {
        Self::with(load(kubeconfig).await?, metrics)
    }

    /// Connects to another cluster with a kubeconfig that somebody else wrote: see [`crate::kubeconfig`]. Sends nothing yet.
    pub async fn to(kubeconfig: Value, metrics: KubeMetrics) -> Result<Self, Error> {
        let kubeconfig = crate::kubeconfig::read(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|e| Error::Config { cause: chain(&e) })?;
        // Not from the environment either: the operator's proxy is for the operator's own traffic.
        config.proxy_url = None;
        Self::with(config, metrics)
    }

    fn with(mut config: Config, metrics: KubeMetrics) -> Result<Self, Error> {
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.write_timeout = Some(REQUEST_READ_TIMEOUT);
        let mut watch = config.clone();
        watch.read_timeout = Some(WATCH_READ_TIMEOUT);
        config.read_timeout = Some(REQUEST_READ_TIMEOUT);
        Ok(Self::from_parts(client(watch)?, client(config)?, metrics))
    }

    /// Wraps clients that are there already.
    pub fn from_parts(watch: kube::Client, request: kube::Client, metrics: KubeMetrics) -> Self {
        Self {
            watch,
            request,
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            reachable: Arc::new(AtomicBool::new(true)),
            metrics,
        }
    }

    /// The same connections and limits, every request made as this user; its groups are the API server's to know.
    pub fn acting_as(&self, user: &str) -> Result<Self, Error> {
        let name = HeaderValue::from_str(user).map_err(|_| Error::Config {
            cause: format!("`{user}` is not a user's name"),
        })?;
        Ok(Self {
            watch: acting(&self.watch, &name),
            request: acting(&self.request, &name),
            ..self.clone()
        })
    }

    /// What its requests are counted in.
    pub fn metrics(&self) -> KubeMetrics {
        self.metrics.clone()
    }

    /// False once a request has met no API server, until one is answered again.
    pub fn reachable(&self) -> bool {
        self.reachable.load(Ordering::Acquire)
    }

    pub(crate) fn note_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::Release);
    }
}

async fn load(kubeconfig: Option<PathBuf>) -> Result<Config, Error> {
    let Some(path) = kubeconfig else {
        return Config::infer()
            .await
            .map_err(|e| Error::Config { cause: chain(&e) });
    };
    let bad = |e: &dyn std::error::Error| Error::Config {
        cause: format!("{}: {}", path.display(), chain(e)),
    };
    let file = Kubeconfig::read_from(&path).map_err(|e| bad(&e))?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|e| bad(&e))
}

fn acting(client: &kube::Client, user: &HeaderValue) -> kube::Client {
    let (client, user) = (client.clone(), user.clone());
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (client, user) = (client.clone(), user.clone());
        request.headers_mut().insert("impersonate-user", user);
        async move { client.send(request).await }
    });
    kube::Client::new(service, namespace)
}

fn client(config: Config) -> Result<kube::Client, Error> {
    kube::Client::try_from(config).map_err(|e| Error::Config { cause: chain(&e) })
}

/// An error with its causes in one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
