//! The clusters that Applications name beside the operator's own: each with its connection, its budget and its failures,
//! so that one that cannot be reached holds nobody else up.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_api::application::KubeConfig;
use tidegate_api::inventory::Place;
use tidegate_cluster::{Class, Clients, KubeMetrics, kubeconfig};
use tidegate_core::backoff::Backoff;
use tidegate_yaml::{Limits, parse_stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::Operator;
use crate::store::Key;
use crate::target::{Connection, Site, Target};
use crate::wiring;

/// Reconciles at the same time in one remote cluster. Fewer than there are workers: while each waits for its deadline, the
/// others go on.
const TURNS: usize = 2;
/// How long reading the kinds of a cluster may take.
const CONNECT: Duration = Duration::from_secs(20);
/// Wait before a reconcile that found all turns of its cluster taken comes again.
const BUSY: Duration = Duration::from_millis(200);
/// How long a cluster that does not answer is left alone.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(30),
};
/// How often the Secrets with kubeconfigs are read anew, and clusters that nobody names any more are left.
const REFRESH: Duration = Duration::from_secs(10);

/// Names a cluster: the Secret with its kubeconfig, and who reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClusterName {
    namespace: String,
    config: KubeConfig,
    reader: Option<String>,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}/{}", self.namespace, self.config.secret_ref.name)
    }
}

impl ClusterName {
    /// A cluster that a policy names; its Secret is read by the operator itself, in tenant mode by the default account.
    pub(crate) fn of_policy(operator: &Operator, namespace: &str, config: &KubeConfig) -> Self {
        let account = operator.settings.default_service_account.as_deref();
        let reader = account.filter(|_| operator.settings.tenant_mode);
        Self {
            namespace: namespace.to_owned(),
            config: config.clone(),
            reader: reader.map(|account| user(namespace, account)),
        }
    }
}

/// Clients of a cluster that is only read, and not acted on: its kinds are not watched.
pub(crate) async fn clients(operator: &Operator, name: &ClusterName) -> Result<Clients, String> {
    let text = kubeconfig_text(operator, name)
        .await
        .map_err(Trouble::into_cause)?;
    let value = parse(&text).map_err(|cause| format!("{name}: {cause}"))?;
    let clients = Clients::to(value, operator.targets.metrics.clone()).await;
    clients.map_err(|error| format!("{name}: {error}"))
}

/// The remote clusters.
pub(crate) struct Targets {
    /// Turns of all of them together: workers are left for the operator's own cluster.
    turns: Arc<Semaphore>,
    remote: Mutex<HashMap<ClusterName, Arc<Remote>>>,
    connection: Connection,
    metrics: KubeMetrics,
}

struct Remote {
    turns: Arc<Semaphore>,
    link: tokio::sync::Mutex<Link>,
}

/// One connection, and when it is worth another try.
#[derive(Default)]
struct Link {
    target: Option<Arc<Target>>,
    /// Digest of the kubeconfig that it was made with.
    seal: String,
    /// Ends the watches when another connection takes its place.
    stop: Option<tokio_util::sync::DropGuard>,
    failures: u32,
    /// Not tried before, and why.
    closed: Option<(Instant, Trouble)>,
    /// Something failed since the Secret was read.
    doubtful: bool,
}

/// Why a cluster cannot be acted on now.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The way to it is gone: the Secret or its key is not there.
    Gone(String),
    /// The kubeconfig is refused.
    Refused(String),
    /// It does not answer.
    Unreachable(String),
    /// There is no account to act as.
    NoAccount,
}

impl Trouble {
    fn into_cause(self) -> String {
        match self {
            Self::Gone(cause) | Self::Refused(cause) | Self::Unreachable(cause) => cause,
            Self::NoAccount => "there is no account to act as".to_owned(),
        }
    }
}

/// What a reconcile gets.
pub(crate) enum Reach {
    /// The site, and the turns that are given back with it.
    Site(Site, Vec<OwnedSemaphorePermit>),
    /// All turns are taken.
    Busy(Duration),
    /// Not now; worth a look after that time.
    Not(Trouble, Duration),
}

impl Targets {
    pub(crate) fn new(connection: Connection, metrics: KubeMetrics, workers: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new((workers / 2).max(1))),
            remote: Mutex::default(),
            connection,
            metrics,
        }
    }

    fn remote(&self, name: &ClusterName) -> Arc<Remote> {
        let mut all = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            Arc::new(Remote {
                turns: Arc::new(Semaphore::new(TURNS)),
                link: tokio::sync::Mutex::default(),
            })
        };
        all.entry(name.clone()).or_insert_with(fresh).clone()
    }

    fn all(&self) -> Vec<(ClusterName, Arc<Remote>)> {
        let all = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(name, remote)| (name.clone(), remote.clone()))
            .collect()
    }

    fn remove(&self, name: &ClusterName) {
        let mut all = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(name);
    }
}

/// The user that a ServiceAccount of a namespace is.
pub(crate) fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// The cluster that a place of a namespace's Application is in, and whom we act as there.
pub(crate) async fn reach(operator: &Arc<Operator>, namespace: &str, place: &Place) -> Reach {
    let user = place
        .service_account_name
        .as_deref()
        .map(|account| user(namespace, account));
    let Some(name) = cluster_name(operator, namespace, place) else {
        let target = operator.home.clone();
        let place = place.clone();
        return Reach::Site(Site { target, user, place }, Vec::new());
    };
    let remote = operator.targets.remote(&name);
    let turn = remote.turns.clone().try_acquire_owned();
    let shared = operator.targets.turns.clone().try_acquire_owned();
    let (Ok(turn), Ok(shared)) = (turn, shared) else {
        return Reach::Busy(BUSY);
    };
    // Held while somebody connects.
    let Ok(mut link) = remote.link.try_lock() else {
        return Reach::Busy(BUSY);
    };
    if let Some((until, trouble)) = &link.closed {
        let left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Reach::Not(trouble.clone(), left);
        }
    }
    match link.connect(operator, &name).await {
        Ok(target) => {
            let place = place.clone();
            Reach::Site(Site { target, user, place }, vec![turn, shared])
        }
        Err(trouble) => {
            let wait = link.close(trouble.clone());
            Reach::Not(trouble, wait)
        }
    }
}

/// Tells what came of acting at a site. A cluster that did not answer is left alone for a while.
pub(crate) async fn settle(operator: &Operator, namespace: &str, site: &Site, failed: bool) {
    let Some(name) = cluster_name(operator, namespace, &site.place) else {
        return;
    };
    let remote = operator.targets.remote(&name);
    let mut link = remote.link.lock().await;
    if !site.reachable() {
        link.close(Trouble::Unreachable(format!(
            "{name}: its API server does not answer"
        )));
    } else if !failed {
        link.failures = 0;
    }
    link.doubtful |= failed;
}

fn cluster_name(operator: &Operator, namespace: &str, place: &Place) -> Option<ClusterName> {
    let config = place.kube_config.clone()?;
    let account = place.service_account_name.as_deref();
    let reader = account.filter(|_| operator.settings.tenant_mode);
    Some(ClusterName {
        namespace: namespace.to_owned(),
        config,
        reader: reader.map(|account| user(namespace, account)),
    })
}

impl Link {
    /// The connection; made anew where the Secret holds another kubeconfig than the one it was made with.
    async fn connect(
        &mut self,
        operator: &Arc<Operator>,
        name: &ClusterName,
    ) -> Result<Arc<Target>, Trouble> {
        if let Some(target) = self.target.as_ref().filter(|t| t.reachable() && !self.doubtful) {
            return Ok(target.clone());
        }
        let text = kubeconfig_text(operator, name).await?;
        self.doubtful = false;
        let seal = seal(operator, &text);
        if let Some(target) = self.target.as_ref().filter(|_| self.seal == seal) {
            return Ok(target.clone());
        }
        // What the former kubeconfig allowed is not used any more, also while the new one does not work.
        (self.target, self.stop) = (None, None);
        let target = Arc::new(open(&operator.targets, name, &text).await?);
        let stop = CancellationToken::new();
        tokio::spawn(wiring::follow_live_changes(
            operator.clone(),
            target.clone(),
            stop.clone(),
        ));
        self.target = Some(target.clone());
        self.seal = seal;
        self.stop = Some(stop.drop_guard());
        Ok(target)
    }

    /// Leaves the cluster alone for a while. Returns for how long.
    fn close(&mut self, trouble: Trouble) -> Duration {
        if let Trouble::Gone(_) = trouble {
            (self.target, self.stop) = (None, None);
        }
        let wait = AGAIN.wait(self.failures, 0);
        self.failures = self.failures.saturating_add(1);
        self.closed = Some((Instant::now() + wait, trouble));
        wait
    }
}

async fn kubeconfig_text(operator: &Operator, name: &ClusterName) -> Result<Vec<u8>, Trouble> {
    let secret = &name.config.secret_ref;
    let data = operator
        .secret_as(name.reader.as_deref(), &name.namespace, &secret.name)
        .await;
    let data = data.map_err(|error| match error.class() {
        // No right to it any more is the same as no Secret.
        Class::Terminal => Trouble::Gone(format!("{name}: {error}")),
        _ => Trouble::Unreachable(format!("{name}: {error}")),
    })?;
    let mut data =
        data.ok_or_else(|| Trouble::Gone(format!("{name} does not exist; create it or correct kubeConfig")))?;
    let keys: Vec<&str> = match &secret.key {
        Some(key) => vec![key],
        None => vec!["kubeconfig", "value"],
    };
    let text = keys
        .iter()
        .find_map(|key| data.remove(*key))
        .ok_or_else(|| Trouble::Gone(format!("{name} has no key {}; add it", keys.join(" or "))))?;
    if text.len() > kubeconfig::MAX_BYTES {
        let cap = kubeconfig::MAX_BYTES;
        return Err(Trouble::Refused(format!(
            "{name}: a kubeconfig has at most {cap} bytes"
        )));
    }
    Ok(text)
}

async fn open(targets: &Targets, name: &ClusterName, text: &[u8]) -> Result<Target, Trouble> {
    let refused = |cause: String| Trouble::Refused(format!("{name}: {cause}"));
    let value = parse(text).map_err(refused)?;
    let clients = Clients::to(value, targets.metrics.clone()).await;
    let clients = clients.map_err(|e| refused(e.to_string()))?;
    let connecting = Target::connect(clients, targets.connection.clone());
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(target)) => Ok(target),
        Ok(Err(error)) if error.class() == Class::Terminal => Err(refused(error.to_string())),
        Ok(Err(error)) => Err(Trouble::Unreachable(format!("{name}: {error}"))),
        Err(_) => Err(Trouble::Unreachable(format!(
            "{name}: its API server did not say within {} s which kinds it serves",
            CONNECT.as_secs()
        ))),
    }
}

fn seal(operator: &Operator, text: &[u8]) -> String {
    let mut digester = operator.key.start();
    digester.part(text);
    digester.finish()
}

/// One YAML or JSON document, read with the limits that files in git have.
fn parse(text: &[u8]) -> Result<serde_json::Value, String> {
    let faults = |errors: Vec<tidegate_yaml::Error>| {
        // The place alone: what stands there is secret.
        let line = errors.first().map_or(1, |e| e.line);
        format!("the kubeconfig is not readable as YAML at line {line}")
    };
    let mut documents = parse_stream(text, &Limits::default()).map_err(faults)?;
    if documents.len() != 1 {
        return Err(format!(
            "the kubeconfig has {} documents instead of one",
            documents.len()
        ));
    }
    Ok(documents.remove(0).value)
}

/// Reads the Secrets anew, and leaves clusters that no Application names any more; until `stop`.
pub(crate) async fn refresh(operator: Arc<Operator>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(REFRESH) => {}
        }
        for (name, remote) in operator.targets.all() {
            let users = users(&operator, &name);
            if users.is_empty() {
                operator.targets.remove(&name);
                continue;
            }
            if is_changed(&operator, &name, &remote).await {
                for key in users {
                    operator.application_queue.add(key);
                }
            }
        }
    }
}

/// True when the Secret holds something else than what the connection was made with: it is not used any more.
async fn is_changed(operator: &Operator, name: &ClusterName, remote: &Remote) -> bool {
    let Ok(mut link) = remote.link.try_lock() else {
        return false;
    };
    if link.target.is_none() {
        return false;
    }
    let changed = match kubeconfig_text(operator, name).await {
        Ok(text) => seal(operator, &text) != link.seal,
        Err(Trouble::Gone(_)) => true,
        Err(_) => false,
    };
    link.doubtful |= changed;
    if changed {
        link.closed = None;
    }
    changed
}

/// Applications that act in a cluster, or did.
fn users(operator: &Operator, name: &ClusterName) -> Vec<Key> {
    operator.applications.keys(|key, app| {
        let named = app.spec.target.kube_config.as_ref() == Some(&name.config);
        key.namespace == name.namespace && named
    })
}
