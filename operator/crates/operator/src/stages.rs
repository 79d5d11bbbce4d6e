//! Applications of other clusters that go before one of ours (`after` with `kubeConfig`): read there from time to time, by
//! one task each, which ends when nobody asks any more. A cluster that does not answer holds no reconcile up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_api::application::KubeConfig;
use tidegate_api::{Application, GitRepository};
use tidegate_cluster::own::Own;
use tidegate_core::promotion::Sight;
use tokio::time::Instant;

use crate::application::Look;
use crate::state::Operator;
use crate::store::Key;
use crate::targets::{self, ClusterName};

/// How often a stage is read.
const POLL: Duration = Duration::from_secs(10);
/// How long one reading may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a stage is read on after it was last asked for.
const IDLE: Duration = Duration::from_secs(120);
/// Most stages that are read.
const MAX: usize = 256;

/// An Application of another cluster.
#[derive(Clone, PartialEq, Eq, Hash)]
struct StageName {
    cluster: ClusterName,
    application: Key,
}

/// See the module's header.
#[derive(Default)]
pub(crate) struct Stages(Mutex<HashMap<StageName, Known>>);

struct Known {
    asked: Instant,
    who: BTreeSet<Key>,
    look: Look,
}

impl Stages {
    fn lock(&self) -> MutexGuard<'_, HashMap<StageName, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was seen. Returns who is to be woken by it.
    fn put(&self, name: &StageName, look: Look) -> Vec<Key> {
        let mut all = self.lock();
        let Some(known) = all.get_mut(name) else {
            return Vec::new();
        };
        if known.look == look {
            return Vec::new();
        }
        known.look = look;
        std::mem::take(&mut known.who).into_iter().collect()
    }

    /// Forgets a stage that nobody has asked for. True when it did.
    fn end(&self, name: &StageName) -> bool {
        let mut all = self.lock();
        let idle = all.get(name).is_none_or(|known| known.asked.elapsed() > IDLE);
        if idle {
            all.remove(name);
        }
        idle
    }
}

/// What was last seen of a stage; `who` is woken when that changes. `home` is the namespace of the Secret.
pub(crate) fn look(
    operator: &Arc<Operator>,
    home: &str,
    config: &KubeConfig,
    application: &Key,
    who: &Key,
) -> Look {
    let name = StageName {
        cluster: ClusterName::of_policy(operator, home, config),
        application: application.clone(),
    };
    let mut all = operator.stages.lock();
    if let Some(known) = all.get_mut(&name) {
        known.asked = Instant::now();
        known.who.insert(who.clone());
        return known.look.clone();
    }
    if all.len() >= MAX {
        let why = format!("this operator reads {MAX} Applications of other clusters at most");
        return Look::nothing(Sight::Unknown(why));
    }
    let look = Look::nothing(Sight::Unknown("it has not been looked at yet".to_owned()));
    let known = Known {
        asked: Instant::now(),
        who: BTreeSet::from([who.clone()]),
        look: look.clone(),
    };
    all.insert(name.clone(), known);
    tokio::spawn(follow(operator.clone(), name));
    look
}

async fn follow(operator: Arc<Operator>, name: StageName) {
    loop {
        let reading = tokio::time::timeout(DEADLINE, read(&operator, &name));
        let look = reading.await.unwrap_or_else(|_| {
            let seconds = DEADLINE.as_secs();
            let why = format!("{} does not answer within {seconds} s", name.cluster);
            Look::nothing(Sight::Unknown(why))
        });
        for who in operator.stages.put(&name, look) {
            operator.application_queue.add(who);
        }
        tokio::time::sleep(POLL).await;
        if operator.stages.end(&name) {
            return;
        }
    }
}

async fn read(operator: &Operator, name: &StageName) -> Look {
    match try_read(operator, name).await {
        Ok(look) => look,
        Err(why) => Look::nothing(Sight::Unknown(why)),
    }
}

async fn try_read(operator: &Operator, name: &StageName) -> Result<Look, String> {
    let clients = targets::clients(operator, &name.cluster).await?;
    let told = |error: tidegate_cluster::Error| format!("{}: {error}", name.cluster);
    let applications: Own<Application> = Own::new(clients.clone(), operator.lease.clone());
    let Key {
        namespace,
        name: application,
    } = &name.application;
    let found = applications.get(namespace, application).await.map_err(told)?;
    let Some(app) = found else {
        return Ok(Look::nothing(Sight::Missing));
    };
    let repositories: Own<GitRepository> = Own::new(clients, operator.lease.clone());
    let source = repositories
        .get(namespace, &app.spec.source.name)
        .await
        .map_err(told)?;
    let revision = source.and_then(|source| source.status?.revision);
    Ok(Look::at(&app, revision.map(|revision| revision.commit)))
}
