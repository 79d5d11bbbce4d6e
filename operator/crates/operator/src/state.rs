//! Everything that the controllers share: stores, queues, what is known of sources, and who owns which live object.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use tidegate_api::{
    Application, Approval, ClusterReleasePolicy, Freeze, GitRepository, Inventory, Override, Release,
    ReleasePolicy,
};
use tidegate_cluster::LeaseGuard;
use tidegate_cluster::events::EventRecorder;
use tidegate_cluster::own::Own;
use tidegate_core::catalog::Catalog;
use tidegate_core::digest::DigestKey;
use tidegate_core::ownership::Owner;
use tidegate_core::policy::PolicyName;
use tidegate_git::{GitPool, Keyring, Remote, Revision, Verified};
use tokio::time::Instant;

use crate::admission::Admission;
use crate::application::AppState;
use crate::application::sets::Sets;
use crate::metrics::Metrics;
use crate::policies::Policies;
use crate::queue::Queue;
use crate::record_key::RecordKey;
use crate::settings::RunSettings;
use crate::stages::Stages;
use crate::standings::Standings;
use crate::store::{Key, Store};
use crate::target::Target;
use crate::targets::Targets;
use crate::verification::Checker;

/// A source that was fetched in this process: its mirror has the revision.
#[derive(Clone)]
pub(crate) struct Source {
    /// `None` where nobody knows: the GitRepository is gone, or its credentials are.
    pub(crate) remote: Option<Remote>,
    pub(crate) revision: Revision,
    /// Goes up with each commit that any source comes to.
    pub(crate) number: u64,
    /// When the revision was first seen.
    pub(crate) detected: Timestamp,
    /// Whose signatures are trusted; empty where `spec.verify` asks for none.
    pub(crate) keyring: Keyring,
    /// What the revision's own signatures are worth, where they are looked at.
    pub(crate) verified: Option<Verified>,
}

impl Source {
    /// Where its mirror is; `Err` says that nobody knows.
    pub(crate) fn remote(&self) -> Result<&Remote, String> {
        let unknown = "the GitRepository, or the Secret that it names, is not there; make it anew";
        self.remote.as_ref().ok_or_else(|| unknown.to_owned())
    }
}

/// When a reconcile wants to come again by itself. Changes wake it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Only on a change.
    Never,
    /// After a time.
    After(Duration),
}

impl Again {
    pub(crate) fn after(wait: Duration) -> Self {
        Self::After(wait)
    }

    /// At a wall-clock time; at once when it has passed.
    pub(crate) fn at(time: Timestamp) -> Self {
        Self::After(
            time.duration_since(Timestamp::now())
                .try_into()
                .unwrap_or(Duration::ZERO),
        )
    }

    /// The earlier of two.
    pub(crate) fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) => other,
            (this, Self::Never) => this,
            (Self::After(a), Self::After(b)) => Self::After(a.min(b)),
        }
    }
}

/// See the module's header.
pub(crate) struct Operator {
    pub(crate) settings: RunSettings,
    /// The cluster that the operator runs in.
    pub(crate) home: Arc<Target>,
    /// The others.
    pub(crate) targets: Targets,
    pub(crate) own_applications: Own<Application>,
    pub(crate) own_repositories: Own<GitRepository>,
    pub(crate) releases: Own<Release>,
    pub(crate) inventories: Own<Inventory>,
    pub(crate) own_policies: Own<ReleasePolicy>,
    pub(crate) own_cluster_policies: Own<ClusterReleasePolicy>,
    pub(crate) own_approvals: Own<Approval>,
    pub(crate) own_overrides: Own<Override>,
    pub(crate) own_freezes: Own<Freeze>,
    pub(crate) namespaces: Own<Namespace>,
    pub(crate) lease: LeaseGuard,
    pub(crate) recorder: EventRecorder,
    pub(crate) git: GitPool,
    pub(crate) metrics: Metrics,
    pub(crate) key: DigestKey,
    pub(crate) record_key: RecordKey,
    pub(crate) applications: Store<Application>,
    pub(crate) repositories: Store<GitRepository>,
    pub(crate) sources: Store<Source>,
    pub(crate) standings: Standings,
    pub(crate) stages: Stages,
    pub(crate) checker: Checker,
    pub(crate) policies: Policies,
    pub(crate) sets: Sets,
    pub(crate) admission: Admission,
    pub(crate) application_queue: Queue<Key>,
    pub(crate) repository_queue: Queue<Key>,
    pub(crate) policy_queue: Queue<PolicyName>,
    /// True once all Applications and sources were seen: before that nobody knows whose an object is.
    pub(crate) in_view: tokio::sync::watch::Sender<bool>,
    /// Number of the next reconcile; starts anywhere.
    pub(crate) reconciles: AtomicU64,
    pub(crate) states: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<AppState>>>>,
}

impl Operator {
    /// Memory of one Application between its reconciles.
    pub(crate) fn app_state(&self, key: &Key) -> Arc<tokio::sync::Mutex<AppState>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.entry(key.clone()).or_default().clone()
    }

    /// Drops what is kept of an Application that is gone.
    pub(crate) fn forget(&self, key: &Key, registered: Option<&Target>) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        self.sets.forget(key);
        if let Some(target) = registered {
            target.forget(key);
        }
        for who in self.standings.remove(key) {
            self.application_queue.add(who);
        }
    }

    /// Drops the memory of one Application after a panic: everything is read anew.
    pub(crate) fn reset(&self, key: &Key) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    /// Owner annotation of an Application's objects.
    pub(crate) fn owner(&self, key: &Key) -> Owner {
        Owner {
            installation: self.settings.installation.clone(),
            namespace: key.namespace.clone(),
            application: key.name.clone(),
        }
    }

    /// Id of a reconcile in the log, unlike any other of this process and of those before it.
    pub(crate) fn next_reconcile_id(&self) -> String {
        format!("{:012x}", self.reconciles.fetch_add(1, Ordering::Relaxed))
    }

    /// A number that differs between Applications, so that they do not retry in step.
    pub(crate) fn seed(&self, key: &Key) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// Wakes the Applications that read a source.
    pub(crate) fn wake_applications_of(&self, source: &Key) {
        let reads = |key: &Key, app: &Application| {
            key.namespace == source.namespace && app.spec.source.name == source.name
        };
        for key in self.applications.keys(reads) {
            self.application_queue.add(key);
        }
    }

    /// Asks for a poll of the Application's source: its mirror lacks what is needed.
    pub(crate) fn poll_again(&self, app: &Application, error: &tidegate_git::Error) {
        if !matches!(
            error,
            tidegate_git::Error::MirrorLost { .. } | tidegate_git::Error::Corrupt { .. }
        ) {
            return;
        }
        let namespace = app.metadata.namespace.clone().unwrap_or_default();
        let source = Key {
            namespace,
            name: app.spec.source.name.clone(),
        };
        self.sources.remove(&source);
        self.repository_queue.add(source);
    }

    /// Reads a cluster's served kinds anew. When they changed, all Applications are looked at again, whoever saw it
    /// first: a refused one may be admissible now.
    pub(crate) async fn refresh_catalog(&self, target: &Target) -> Result<Arc<Catalog>, String> {
        let (catalog, changed) = target.refresh_catalog().await?;
        if changed {
            for key in self.applications.keys(|_, _| true) {
                self.application_queue.add(key);
            }
        }
        Ok(catalog)
    }

    /// Comes back to a key when the reconcile asked for it.
    pub(crate) fn schedule(queue: &Queue<Key>, key: &Key, again: Again) {
        if let Again::After(wait) = again {
            queue.add_at(key.clone(), Instant::now() + wait);
        }
    }
}
