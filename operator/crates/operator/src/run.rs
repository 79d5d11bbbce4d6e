//! `tidegate run`: wiring and the life of the process.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::FutureExt as _;
use prometheus::Registry;
use tidegate_cluster::lease::{self, Election, LeaseSettings};
use tidegate_cluster::{Clients, KubeMetrics};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Endpoints};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::settings::RunSettings;
use crate::state::{Again, Operator};
use crate::store::Key;
use crate::{admission, application, logging, policy_status, source, targets, wiring};

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A flag cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The process could not get what it needs.
    #[error("{0}")]
    Start(String),
    /// A part that must run has ended.
    #[error("{0}")]
    Ended(String),
    /// Standard output is closed.
    #[error("cannot write: {0}")]
    Output(String),
}

/// Time that open reconciles have after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(settings: RunSettings) -> Result<(), Error> {
    logging::start(settings.log_format, &settings.log).map_err(Error::Settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Start(format!("cannot start the runtime: {e}")))?;
    runtime.block_on(operate(settings))
}

async fn operate(settings: RunSettings) -> Result<(), Error> {
    let stop = stop_on_signal()?;
    let registry = Registry::new();
    let start = |e: prometheus::Error| Error::Start(e.to_string());
    let metrics = Metrics::new(&registry).map_err(start)?;
    let kube_metrics = KubeMetrics::register(&registry).map_err(start)?;
    let ready = Arc::new(AtomicBool::new(false));
    let endpoints = Endpoints {
        ready: ready.clone(),
        registry,
    };
    let http = tokio::spawn(http::serve(settings.http_addr, endpoints, stop.clone()));
    let clients = Clients::connect(settings.kubeconfig.clone(), kube_metrics)
        .await
        .map_err(|e| Error::Start(e.to_string()))?;
    let identity = match settings.identity.clone() {
        Some(given) => given,
        None => wiring::own_identity().map_err(Error::Start)?,
    };
    let election = Election::new(
        clients.clone(),
        LeaseSettings::new(&settings.namespace, &identity),
    );
    let guard = election.guard();
    let operator = wiring::assemble(settings, &identity, clients, guard, metrics, &stop)
        .await
        .map_err(Error::Start)?;
    let election_stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(wiring::watch_own_kinds(operator.clone(), ready, stop.clone()));
    tasks.spawn(wiring::follow_live_changes(
        operator.clone(),
        operator.home.clone(),
        stop.clone(),
    ));
    tasks.spawn(wiring::follow_leadership(operator.clone(), stop.clone()));
    tasks.spawn(admission::keep_proving(operator.clone(), stop.clone()));
    tasks.spawn(targets::refresh(operator.clone(), stop.clone()));
    tasks.spawn(wiring::refresh_kinds(operator.clone(), stop.clone()));
    tasks.spawn(work_on_policies(operator.clone(), stop.clone()));
    for _ in 0..operator.settings.workers.max(1) {
        tasks.spawn(work_on_applications(operator.clone(), stop.clone()));
        tasks.spawn(work_on_repositories(operator.clone(), stop.clone()));
    }
    let mut election = tokio::spawn(election.run(election_stop.clone()));
    tracing::info!(installation = operator.settings.installation, "tidegate runs");
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        ended = &mut election => Some(lost(ended)),
        served = http => Some(format!("the HTTP server ended: {served:?}; is {} in use?", operator.settings.http_addr)),
        task = tasks.join_next() => Some(format!("a part of the operator ended: {task:?}")),
    };
    stop.cancel();
    // Open reconciles end by themselves; the lease is given back after the last write.
    let drained = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(
            "reconciles were still open after {}s and are cut off; the next start continues them",
            GRACE.as_secs()
        );
        tasks.shutdown().await;
    }
    election_stop.cancel();
    if !election.is_finished() {
        let _ = tokio::time::timeout(Duration::from_secs(5), election).await;
    }
    match ended {
        Some(why) => Err(Error::Ended(why)),
        None => Ok(()),
    }
}

/// What the process remembers was true while it led; another has written since.
fn lost(ended: Result<lease::Ended, tokio::task::JoinError>) -> String {
    match ended {
        Ok(lease::Ended::Taken { by }) if !by.is_empty() => {
            format!("the lease was taken by {by} while this process did not renew it; it must start anew")
        }
        Ok(_) => "the lease was taken and given back by another process; this one must start anew".to_owned(),
        Err(error) => format!("leader election ended: {error}"),
    }
}

fn stop_on_signal() -> Result<CancellationToken, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|e| Error::Start(format!("cannot listen for signals: {e}")));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("asked to stop");
        token.cancel();
    });
    Ok(stop)
}

async fn work_on_applications(operator: Arc<Operator>, stop: CancellationToken) {
    let mut leader = operator.lease.leadership();
    let mut in_view = operator.in_view.subscribe();
    while let Some(key) = next(&operator.application_queue, &stop).await {
        // A standby keeps its queue: everything in it is looked at when it takes over.
        if !hold_until(&mut in_view, &stop).await || !hold_until(&mut leader, &stop).await {
            return;
        }
        let work = AssertUnwindSafe(application::reconcile(&operator, &key))
            .catch_unwind()
            .await;
        settle(
            &operator,
            "Application",
            &operator.application_queue,
            &key,
            work.ok(),
        );
    }
}

async fn work_on_repositories(operator: Arc<Operator>, stop: CancellationToken) {
    while let Some(key) = next(&operator.repository_queue, &stop).await {
        let work = AssertUnwindSafe(source::reconcile(&operator, &key))
            .catch_unwind()
            .await;
        settle(
            &operator,
            "GitRepository",
            &operator.repository_queue,
            &key,
            work.ok(),
        );
    }
}

async fn work_on_policies(operator: Arc<Operator>, stop: CancellationToken) {
    let mut leader = operator.lease.leadership();
    loop {
        let name = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            name = operator.policy_queue.next() => name,
        };
        if !hold_until(&mut leader, &stop).await {
            return;
        }
        let work = AssertUnwindSafe(policy_status::reconcile(&operator, &name))
            .catch_unwind()
            .await;
        let result = if work.is_ok() { "ok" } else { "panic" };
        operator.metrics.reconciled("ReleasePolicy", result);
        let again = work.unwrap_or(Again::after(Duration::from_secs(60)));
        if let Again::After(wait) = again {
            operator
                .policy_queue
                .add_at(name.clone(), tokio::time::Instant::now() + wait);
        }
        operator.policy_queue.done(&name);
    }
}

async fn next(queue: &Queue<Key>, stop: &CancellationToken) -> Option<Key> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        key = queue.next() => Some(key),
    }
}

/// Waits until it is true; false when the process is to stop first.
async fn hold_until(wanted: &mut tokio::sync::watch::Receiver<bool>, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        held = wanted.wait_for(|is| *is) => held.is_ok(),
    }
}

/// A panic stays inside one object: it is counted, said, and tried again later.
fn settle(operator: &Operator, kind: &'static str, queue: &Queue<Key>, key: &Key, again: Option<Again>) {
    match again {
        Some(again) => {
            operator.metrics.reconciled(kind, "ok");
            Operator::schedule(queue, key, again);
        }
        None => {
            operator.metrics.reconciled(kind, "panic");
            operator.reset(key);
            tracing::error!(kind, object = %key, "a reconcile panicked; this object is tried again in a minute");
            Operator::schedule(queue, key, Again::after(Duration::from_secs(60)));
        }
    }
    queue.done(key);
}
