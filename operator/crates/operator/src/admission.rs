//! Proves to the operator itself that the API server enforces the chart's admission policies: at start, whenever they
//! change, and from time to time. Without that no Approval and no Override counts.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tidegate_api::admission::{AdmissionPolicy, Installation, policies};
use tidegate_cluster::{Clients, admission};
use tidegate_core::admission::{Guard, Memory, Tried, Unproven, compare, proves};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::state::Operator;

/// How often all of it is looked at while it holds. An edit of a policy is seen within this time.
const WHILE_IT_HOLDS: Duration = Duration::from_secs(60);
/// How often while it does not: somebody is waiting.
const WHILE_IT_DOES_NOT: Duration = Duration::from_secs(5);

/// The guarantee, and how to prove it.
pub(crate) struct Admission {
    clients: Clients,
    state: watch::Sender<Guard>,
}

impl Admission {
    pub(crate) fn new(clients: Clients) -> Self {
        let unknown = "whether the API server guarantees who makes Approvals and Overrides is not known yet";
        Self {
            clients,
            state: watch::Sender::new(Guard::missing(unknown)),
        }
    }

    /// What is known now.
    pub(crate) fn state(&self) -> Guard {
        self.state.borrow().clone()
    }

    /// One look and one try.
    async fn prove(&self, operator: &Operator, memory: &mut Memory) -> Guard {
        let failed = |what: &str, error: &tidegate_cluster::Error| Guard::missing(format!("{what}: {error}"));
        let account = match admission::own_name(&self.clients).await {
            Ok(account) => account,
            Err(error) => return failed("the operator could not learn its own name", &error),
        };
        let shipped = policies(Installation {
            name: &operator.settings.chart_name,
            namespace: &operator.settings.namespace,
            account: &account,
        });
        let found = match self.found(&shipped).await {
            Ok(found) => found,
            Err(error) => return failed("the chart's admission policies could not be read", &error),
        };
        let as_shipped = match compare(&shipped, &found) {
            Ok(as_shipped) => as_shipped,
            Err(why) => return Guard::missing(why),
        };
        let tried = self.try_all(&operator.settings.namespace, &shipped).await;
        memory.guard(as_shipped, tried, Timestamp::now())
    }

    async fn found(
        &self,
        shipped: &[AdmissionPolicy],
    ) -> Result<Vec<(Option<Value>, Option<Value>)>, tidegate_cluster::Error> {
        let mut found = Vec::new();
        for policy in shipped {
            found.push(admission::policy(&self.clients, &policy.name).await?);
        }
        Ok(found)
    }

    async fn try_all(&self, namespace: &str, shipped: &[AdmissionPolicy]) -> Result<(), Unproven> {
        for policy in shipped {
            let Some(forgery) = &policy.forgery else { continue };
            let tried: Tried = admission::forge(&self.clients, namespace, forgery).await;
            proves(policy, forgery.kind, &tried)?;
        }
        Ok(())
    }
}

/// Proves it again and again, and has all Applications looked at when the answer is another, until `stop`.
pub(crate) async fn keep_proving(operator: Arc<Operator>, stop: CancellationToken) {
    let mut memory = Memory::default();
    loop {
        let now = operator.admission.prove(&operator, &mut memory).await;
        let holds = now.why_not.is_none();
        operator.metrics.admission.set(i64::from(holds));
        let changed = operator.admission.state.send_if_modified(|before| {
            let changed = *before != now;
            before.clone_from(&now);
            changed
        });
        if changed {
            say(&now);
            for key in operator.applications.keys(|_, _| true) {
                operator.application_queue.add(key);
            }
        }
        let pause = if holds { WHILE_IT_HOLDS } else { WHILE_IT_DOES_NOT };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn say(guard: &Guard) {
    match (&guard.why_not, guard.since) {
        (Some(why), _) => tracing::warn!(
            why,
            "no Approval and no Override counts: it is not certain who makes them"
        ),
        (None, Some(since)) => {
            tracing::info!(%since, "the API server guarantees who makes Approvals and Overrides");
        }
        (None, None) => {}
    }
}
