//! One writer: leader election by a `coordination.k8s.io` Lease (semantics.md, "One writer").
//!
//! Kubernetes has no fencing token. So every mutation asks [`LeaseGuard::may_write`] just before it is sent: the time
//! since the *start* of the last successful renewal, on a clock that counts suspend, must be under two thirds of the
//! lease. A request that is late all the same is harmless, since every mutation is conditional.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::connect::Clients;
use crate::error::Error;
use crate::paths;

/// Time since boot, suspend included.
type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How leadership is held.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Namespace of the Lease: the operator's own.
    pub namespace: String,
    /// Name of the Lease, `tidegate`.
    pub name: String,
    /// Who we are; no two processes may use the same, so it holds a random part.
    pub identity: String,
    /// How long the others respect us without a renewal.
    pub duration: Duration,
    /// Time between renewals.
    pub renew: Duration,
    /// Time between looks of a standby, and between tries after a failed renewal.
    pub retry: Duration,
}

impl LeaseSettings {
    /// 15 s, renewed every 5 s, looked at every 2 s.
    pub fn new(namespace: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: "tidegate".to_owned(),
            identity: identity.to_owned(),
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(2),
        }
    }
}

/// Whether this process may write. Clones share the answer.
#[derive(Clone)]
pub struct LeaseGuard {
    /// Start of the last successful renewal in nanoseconds since boot; 0 while the lease is not ours.
    renewed: Arc<AtomicU64>,
    window: Duration,
    clock: Clock,
    leader: Arc<watch::Sender<bool>>,
    always: bool,
}

impl LeaseGuard {
    fn new(duration: Duration, clock: Clock) -> Self {
        Self {
            renewed: Arc::default(),
            window: duration * 2 / 3,
            clock,
            leader: Arc::new(watch::Sender::new(false)),
            always: false,
        }
    }

    /// A guard that always says yes: for a person's tool, which writes only what the person asks, and for an operator
    /// that runs alone because leader election was switched off.
    pub fn alone() -> Self {
        let guard = Self::new(Duration::from_secs(15), Arc::new(since_boot));
        guard.leader.send_replace(true);
        Self {
            always: true,
            ..guard
        }
    }

    /// True while the last renewal began less than two thirds of the lease ago.
    pub fn may_write(&self) -> bool {
        if self.always {
            return true;
        }
        let renewed = self.renewed.load(Ordering::Acquire);
        if renewed == 0 {
            return false;
        }
        (self.clock)().saturating_sub(Duration::from_nanos(renewed)) < self.window
    }

    /// How long a request that is sent now may take: until another may hold the lease. One in flight past that could still
    /// arrive, and meet what the next leader has done.
    pub(crate) fn left(&self) -> Duration {
        if self.always {
            return Duration::MAX;
        }
        let renewed = Duration::from_nanos(self.renewed.load(Ordering::Acquire));
        let age = (self.clock)().saturating_sub(renewed);
        (self.window * 3 / 2).saturating_sub(age)
    }

    /// Tells when leadership comes and goes. May lag behind [`LeaseGuard::may_write`], which alone permits writing.
    pub fn leadership(&self) -> watch::Receiver<bool> {
        self.leader.subscribe()
    }

    /// Time is at least 1 ns after boot, so that 0 stays "not ours".
    fn renewed_at(&self, at: Duration) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.renewed.store(nanos, Ordering::Release);
        self.leader
            .send_if_modified(|leader| !std::mem::replace(leader, true));
    }

    fn lost(&self) {
        self.renewed.store(0, Ordering::Release);
        self.leader
            .send_if_modified(|leader| std::mem::replace(leader, false));
    }
}

/// The election. [`Election::run`] does the work until it is cancelled.
pub struct Election {
    clients: Clients,
    settings: LeaseSettings,
    guard: LeaseGuard,
    /// The Lease as another held it when we first saw it so, and when that was.
    seen: Option<(Value, Duration)>,
    /// True once this process has held the lease.
    led: bool,
}

/// Why an election ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was cancelled, and the lease given back.
    Cancelled,
    /// Another process has held the lease after this one did. What this one remembers of the cluster is no longer true,
    /// so that it must not lead again: it ends and starts anew.
    Taken {
        /// Identity of the holder; empty when it has given the lease back already.
        by: String,
    },
}

/// What one look at the lease came to.
enum Round {
    Held,
    Standby,
    Taken(String),
}

impl Election {
    /// Prepares an election. Sends nothing yet.
    pub fn new(clients: Clients, settings: LeaseSettings) -> Self {
        Self::with_clock(clients, settings, Arc::new(since_boot))
    }

    fn with_clock(clients: Clients, settings: LeaseSettings, clock: Clock) -> Self {
        Self {
            guard: LeaseGuard::new(settings.duration, clock),
            clients,
            settings,
            seen: None,
            led: false,
        }
    }

    /// The guard to hand out to everyone who writes.
    pub fn guard(&self) -> LeaseGuard {
        self.guard.clone()
    }

    /// Takes and renews the lease until cancelled, then gives it back. Stop writers before cancelling. Ends by itself when
    /// another took the lease from this process.
    pub async fn run(mut self, cancel: CancellationToken) -> Ended {
        loop {
            let pause = match self.round().await {
                Ok(Round::Held) => self.settings.renew,
                Ok(Round::Standby) => self.settings.retry,
                Ok(Round::Taken(by)) => return Ended::Taken { by },
                Err(error) => {
                    tracing::warn!(%error, reason = error.reason(), "cannot renew the lease");
                    self.settings.retry
                }
            };
            if !self.guard.may_write() {
                self.guard.lost();
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        let held = self.guard.may_write();
        self.guard.lost();
        if held && let Err(error) = self.release().await {
            tracing::warn!(%error, "cannot give the lease back; another replica takes it when it has expired");
        }
        Ended::Cancelled
    }

    /// One look, and one write where it is ours to write.
    async fn round(&mut self) -> Result<Round, Error> {
        let started = (self.guard.clock)();
        let Some(lease) = self.read().await? else {
            let lease = self.lease(None, &self.settings.identity);
            return self.write("create", Method::POST, &lease, started).await;
        };
        let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str);
        let holder = holder.unwrap_or_default();
        if self.led && holder != self.settings.identity {
            self.guard.lost();
            return Ok(Round::Taken(holder.to_owned()));
        }
        if holder != self.settings.identity && !holder.is_empty() && !self.expired(&lease, started) {
            self.guard.lost();
            return Ok(Round::Standby);
        }
        let next = self.lease(Some(&lease), &self.settings.identity);
        self.write("update", Method::PUT, &next, started).await
    }

    /// Another's lease is over when nobody has touched it for its whole duration *by our clock*: clocks of machines
    /// differ, so that the times written in it are for people only.
    fn expired(&mut self, lease: &Value, now: Duration) -> bool {
        let spec = &lease["spec"];
        let duration = spec["leaseDurationSeconds"].as_u64().map(Duration::from_secs);
        match &self.seen {
            Some((seen, since)) if seen == spec => {
                now.saturating_sub(*since) > duration.unwrap_or(self.settings.duration)
            }
            _ => {
                self.seen = Some((spec.clone(), now));
                false
            }
        }
    }

    async fn read(&self) -> Result<Option<Value>, Error> {
        let call = self.short(Call::get("Lease", self.path(true)));
        match self.clients.json(&call).await {
            Ok((_, lease)) => Ok(Some(lease)),
            Err(error) if error.refusal().is_some_and(crate::error::Refusal::object_missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A conflict means that another was faster.
    async fn write(
        &mut self,
        verb: &'static str,
        method: Method,
        lease: &Value,
        started: Duration,
    ) -> Result<Round, Error> {
        let named = method == Method::PUT;
        match self.send(verb, method, named, lease).await {
            Ok(()) => {
                self.guard.renewed_at(started);
                self.seen = None;
                self.led = true;
                Ok(Round::Held)
            }
            Err(error) if error.code() == 409 => {
                self.guard.lost();
                Ok(Round::Standby)
            }
            Err(error) => Err(error),
        }
    }

    async fn send(
        &self,
        verb: &'static str,
        method: Method,
        named: bool,
        lease: &Value,
    ) -> Result<(), Error> {
        let mut call = self.short(Call::get("Lease", self.path(named)));
        (call.verb, call.method) = (verb, method);
        let call = call.body("application/json", lease.to_string().into_bytes());
        self.clients.call(&call).await.map(|_| ())
    }

    async fn release(&self) -> Result<(), Error> {
        let Some(lease) = self.read().await? else {
            return Ok(());
        };
        if lease.pointer("/spec/holderIdentity").and_then(Value::as_str) != Some(&self.settings.identity) {
            return Ok(());
        }
        let free = self.lease(Some(&lease), "");
        self.send("update", Method::PUT, true, &free).await
    }

    fn lease(&self, before: Option<&Value>, holder: &str) -> Value {
        let now = format!("{:.6}", jiff::Timestamp::now());
        let seconds = self.settings.duration.as_secs();
        let mut lease = before.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"namespace": self.settings.namespace, "name": self.settings.name},
                "spec": {"leaseTransitions": 0, "acquireTime": now},
            })
        });
        let spec = &mut lease["spec"];
        let changes_hands = spec["holderIdentity"] != holder && before.is_some();
        if changes_hands && !holder.is_empty() {
            spec["leaseTransitions"] = json!(spec["leaseTransitions"].as_i64().unwrap_or_default() + 1);
            spec["acquireTime"] = json!(now);
        }
        spec["holderIdentity"] = json!(holder);
        spec["leaseDurationSeconds"] = json!(if holder.is_empty() { 1 } else { seconds });
        spec["renewTime"] = json!(now);
        lease
    }

    fn path(&self, named: bool) -> String {
        let leases = paths::collection("coordination.k8s.io", "v1", &self.settings.namespace, "leases");
        if named {
            format!("{leases}/{}", paths::segment(&self.settings.name))
        } else {
            leases
        }
    }

    /// Tried once, with a deadline that leaves time to try again before others take the lease. Not fenced: this call
    /// is what the fence rests on, and its `resourceVersion` makes it conditional.
    fn short<'a>(&self, call: Call<'a>) -> Call<'a> {
        Call {
            attempts: 1,
            deadline: self.settings.duration / 5,
            ..call
        }
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// `CLOCK_MONOTONIC` counts suspend on the other systems that people develop on.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
