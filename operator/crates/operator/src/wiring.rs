//! Puts the parts together, and carries news from the watches to the queues.

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::api::ObjectMeta;
use serde_json::json;
use tidegate_api::condition::{READY, STALLED, condition};
use tidegate_api::{Application, GitRepository};
use tidegate_cluster::events::EventRecorder;
use tidegate_cluster::own::{Own, OwnEvent, OwnKind};
use tidegate_cluster::{Clients, LeaseGuard};
use tidegate_core::addresses::Addresses;
use tidegate_git::GitPool;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::application::sets::Sets;
use crate::key;
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::policy_feeds::{on_approval, on_cluster_policy, on_freeze, on_namespace, on_override, on_policy};
use crate::queue::Queue;
use crate::record_key::RecordKey;
use crate::settings::RunSettings;
use crate::source::requested_at;
use crate::stages::Stages;
use crate::standings::Standings;
use crate::state::Operator;
use crate::store::{Key, Store};
use crate::target::{Connection, Target};
use crate::targets::Targets;
use crate::verification::Checker;

/// Threads for git: each holds one fetch or one read of a mirror.
const GIT_THREADS: usize = 4;
/// How often the served kinds are read anew, beside the reads that an unknown kind causes.
const KINDS_REFRESH: Duration = Duration::from_secs(60);
/// Changes of live objects that come within this time wake an Application once.
const SETTLE: Duration = Duration::from_millis(20);

/// Name of this process in the Lease when none is given: two processes on one host must differ.
pub(crate) fn own_identity() -> Result<String, String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.map_or_else(|_| "tidegate".to_owned(), |name| name.trim().to_owned());
    Ok(format!("{host}-{:08x}", random()?))
}

fn random() -> Result<u32, String> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system has no randomness: {e}"))?;
    Ok(u32::from_be_bytes(bytes))
}

/// Builds everything that the controllers share.
pub(crate) async fn assemble(
    settings: RunSettings,
    identity: &str,
    clients: Clients,
    lease: LeaseGuard,
    metrics: Metrics,
    stop: &CancellationToken,
) -> Result<Arc<Operator>, String> {
    let addresses =
        Addresses::read(&settings.check_addresses).map_err(|e| format!("--check-addresses: {e}"))?;
    let key = key::load(clients.request.clone(), &settings.namespace).await?;
    let record_key = RecordKey::load(clients.request.clone(), &settings.namespace).await?;
    let connection = Connection {
        lease: lease.clone(),
        installation: settings.installation.clone(),
        key: key.clone(),
        resync: settings.resync_interval,
        secrets_as_tenant: settings.tenant_mode,
    };
    let home = Target::connect(clients.clone(), connection.clone())
        .await
        .map_err(|e| e.to_string())?;
    // Another cluster has no tenants of ours: there the kubeconfig says what may be seen.
    let elsewhere = Connection {
        secrets_as_tenant: false,
        ..connection
    };
    let git = GitPool::new(settings.cache_dir.join("mirrors"), GIT_THREADS)
        .map_err(|e| format!("--cache-dir {}: {e}", settings.cache_dir.display()))?;
    Ok(Arc::new(Operator {
        own_applications: Own::new(clients.clone(), lease.clone()),
        own_repositories: Own::new(clients.clone(), lease.clone()),
        releases: Own::new(clients.clone(), lease.clone()),
        inventories: Own::new(clients.clone(), lease.clone()),
        own_policies: Own::new(clients.clone(), lease.clone()),
        own_cluster_policies: Own::new(clients.clone(), lease.clone()),
        own_approvals: Own::new(clients.clone(), lease.clone()),
        own_overrides: Own::new(clients.clone(), lease.clone()),
        own_freezes: Own::new(clients.clone(), lease.clone()),
        namespaces: Own::new(clients.clone(), lease.clone()),
        recorder: EventRecorder::start(clients.clone(), lease.clone(), identity, stop.clone()),
        applications: Store::new(),
        repositories: Store::new(),
        sources: Store::new(),
        standings: Standings::default(),
        stages: Stages::default(),
        checker: Checker::new(addresses),
        policies: Policies::new(),
        sets: Sets::default(),
        admission: Admission::new(clients.clone()),
        application_queue: Queue::new(),
        repository_queue: Queue::new(),
        policy_queue: Queue::new(),
        in_view: tokio::sync::watch::Sender::new(false),
        reconciles: AtomicU64::new(u64::from(random()?) << 16),
        states: Mutex::new(HashMap::new()),
        home: Arc::new(home),
        targets: Targets::new(elsewhere, clients.metrics(), settings.workers),
        settings,
        lease,
        git,
        metrics,
        key,
        record_key,
    }))
}

/// Fills stores and queues from the watches of our own kinds, until `stop`. Nothing is released before all of them were
/// listed once: a policy that is not seen yet would bind nobody.
pub(crate) async fn watch_own_kinds(
    operator: Arc<Operator>,
    is_ready: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let seen = Seen {
        left: AtomicUsize::new(8),
        ready: is_ready,
    };
    let (op, seen) = (&operator, &seen);
    let applications = op.own_applications.watch(None, None, stop.clone());
    let repositories = op.own_repositories.watch(None, None, stop.clone());
    let policies = op.own_policies.watch(None, None, stop.clone());
    let cluster_policies = op.own_cluster_policies.watch(None, None, stop.clone());
    let approvals = op.own_approvals.watch(None, None, stop.clone());
    let overrides = op.own_overrides.watch(None, None, stop.clone());
    let freezes = op.own_freezes.watch(None, None, stop.clone());
    let namespaces = op.namespaces.watch(None, None, stop.clone());
    let feeds = async {
        tokio::join!(
            follow(op, seen, applications, |event| on_application(op, event)),
            follow(op, seen, repositories, |event| on_repository(op, event)),
            follow(op, seen, policies, |event| ready(on_policy(op, event))),
            follow(op, seen, cluster_policies, |event| ready(on_cluster_policy(
                op, event
            ))),
            follow(op, seen, approvals, |event| ready(on_approval(op, event))),
            follow(op, seen, overrides, |event| ready(on_override(op, event))),
            follow(op, seen, freezes, |event| ready(on_freeze(op, event))),
            follow(op, seen, namespaces, |event| ready(on_namespace(op, event))),
        )
    };
    tokio::select! {
        () = stop.cancelled() => {}
        _ = feeds => {}
    }
}

/// How many kinds were not listed yet.
struct Seen {
    left: AtomicUsize,
    ready: Arc<AtomicBool>,
}

/// Takes the news of one kind in. `handle` says true when the list is complete.
async fn follow<K, Taken: Future<Output = bool>>(
    operator: &Operator,
    seen: &Seen,
    mut events: mpsc::Receiver<OwnEvent<K>>,
    handle: impl Fn(OwnEvent<K>) -> Taken,
) {
    let mut first = true;
    while let Some(event) = events.recv().await {
        let complete = handle(event).await;
        if complete && std::mem::take(&mut first) && seen.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            seen.ready.store(true, Ordering::Release);
            operator
                .in_view
                .send_if_modified(|seen| !std::mem::replace(seen, true));
        }
    }
}

/// Returns true when the list is complete.
async fn on_application(operator: &Operator, event: OwnEvent<Application>) -> bool {
    match event {
        OwnEvent::Upsert(app) => {
            let key = key_of(&app.metadata);
            let before = operator.applications.get(&key);
            let relevant = before
                .as_ref()
                .is_none_or(|old| matters(&old.metadata, &app.metadata));
            let asked = |a: &Application| requested_at(a.metadata.annotations.as_ref());
            if before.as_ref().is_some_and(|old| asked(old) != asked(&app)) {
                // Whoever asks for a reconcile means the newest commit.
                operator
                    .repository_queue
                    .add(Key::new(&key.namespace, &app.spec.source.name));
            }
            let deleting = |a: &Application| a.metadata.deletion_timestamp.is_some();
            if before
                .as_ref()
                .is_none_or(|old| old.metadata.labels != app.metadata.labels)
            {
                operator.recount_policies();
            }
            let bound = before.as_ref().is_none_or(|old| {
                old.spec.depends_on != app.spec.depends_on || deleting(old) != deleting(&app)
            });
            operator.applications.put(key.clone(), *app);
            if relevant {
                operator.wake_related(&key, bound);
                operator.application_queue.add(key);
            }
            false
        }
        OwnEvent::Undecodable {
            namespace,
            name,
            generation,
            message,
        } => {
            stall(
                operator,
                &operator.own_applications,
                &Key::new(&namespace, &name),
                generation,
                &message,
            )
            .await;
            false
        }
        OwnEvent::Deleted { namespace, name } => {
            let key = Key::new(&namespace, &name);
            operator.applications.remove(&key);
            operator.recount_policies();
            operator.wake_related(&key, true);
            operator.application_queue.add(key);
            false
        }
        OwnEvent::Synced => true,
    }
}

async fn on_repository(operator: &Operator, event: OwnEvent<GitRepository>) -> bool {
    match event {
        OwnEvent::Upsert(repository) => {
            let key = key_of(&repository.metadata);
            let before = operator.repositories.get(&key);
            let relevant = before
                .as_ref()
                .is_none_or(|old| matters(&old.metadata, &repository.metadata));
            // What the repository says of itself is shown by Applications that wait for it.
            let said = |r: &GitRepository| r.status.as_ref().map(|s| s.display.message.clone());
            let news = before.is_some_and(|old| said(&old) != said(&repository));
            operator.repositories.put(key.clone(), *repository);
            if news && operator.sources.get(&key).is_none() {
                operator.wake_applications_of(&key);
            }
            if relevant {
                operator.repository_queue.add(key);
            }
            false
        }
        OwnEvent::Undecodable {
            namespace,
            name,
            generation,
            message,
        } => {
            stall(
                operator,
                &operator.own_repositories,
                &Key::new(&namespace, &name),
                generation,
                &message,
            )
            .await;
            false
        }
        OwnEvent::Deleted { namespace, name } => {
            let key = Key::new(&namespace, &name);
            operator.repositories.remove(&key);
            operator.sources.remove(&key);
            operator.wake_applications_of(&key);
            operator.repository_queue.add(key);
            false
        }
        OwnEvent::Synced => true,
    }
}

/// The Release whose set somebody wants back.
fn rollback_to(metadata: &ObjectMeta) -> Option<&String> {
    metadata
        .annotations
        .as_ref()?
        .get(tidegate_api::names::ANNOTATION_ROLLBACK_TO)
}

/// Our own status writes wake nobody; spec, finalizers, deletion and requests do.
fn matters(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid
        || old.generation != new.generation
        || old.deletion_timestamp != new.deletion_timestamp
        || old.finalizers != new.finalizers
        || old.labels != new.labels
        || rollback_to(old) != rollback_to(new)
        || requested_at(old.annotations.as_ref()) != requested_at(new.annotations.as_ref())
}

pub(crate) fn key_of(metadata: &ObjectMeta) -> Key {
    Key::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// An object of ours that cannot be read stalls alone: the conditions say what is wrong with it.
async fn stall<K: OwnKind + Resource>(
    operator: &Operator,
    own: &Own<K>,
    key: &Key,
    generation: i64,
    message: &str,
) {
    tracing::warn!(object = %key, message, "an object of ours cannot be read");
    if !operator.lease.may_write() {
        return;
    }
    let now = Time(Timestamp::now());
    let line = format!("cannot be read: {message}; correct it with kubectl edit");
    let conditions: Vec<Condition> = [(READY, false), (STALLED, true)]
        .map(|(type_, on)| {
            condition(
                type_,
                on,
                "Undecodable",
                line.clone(),
                Some(generation),
                now.clone(),
            )
        })
        .into();
    let status = json!({ "conditions": conditions, "observedGeneration": generation });
    if let Err(error) = own
        .patch_status(&key.namespace, &key.name, "", &json!({}), &status)
        .await
    {
        tracing::warn!(object = %key, %error, "its status could not be written");
    }
}

/// Wakes the Applications whose live objects changed, until `stop`.
pub(crate) async fn follow_live_changes(
    operator: Arc<Operator>,
    target: Arc<Target>,
    stop: CancellationToken,
) {
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = target.changes() => changed,
        };
        let at = Instant::now() + SETTLE;
        for id in changed {
            for key in target.applications_of(&id) {
                operator.application_queue.add_at(key, at);
            }
        }
    }
}

/// Each time this process begins to lead, looks at all sources once more: what they said before was not written.
pub(crate) async fn follow_leadership(operator: Arc<Operator>, stop: CancellationToken) {
    let mut leader = operator.lease.leadership();
    let mut led = false;
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = leader.wait_for(|leads| *leads != led) => changed.map(|leads| *leads),
        };
        let Ok(leads) = changed else { return };
        led = leads;
        if led {
            for key in operator.repositories.keys(|_, _| true) {
                operator.repository_queue.add(key);
            }
        }
    }
}

/// Reads the served kinds anew from time to time: a CRD that appears makes refused Applications admissible.
pub(crate) async fn refresh_kinds(operator: Arc<Operator>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(KINDS_REFRESH) => {}
        }
        if let Err(error) = operator.refresh_catalog(&operator.home).await {
            tracing::warn!(%error, "the served kinds could not be read");
        }
    }
}
