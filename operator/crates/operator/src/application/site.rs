//! Where an Application is acted on, and as whom: the way in and out of a reconcile.

use std::sync::Arc;
use std::time::Duration;

use tidegate_api::Application;
use tidegate_api::inventory::Place;
use tidegate_core::status::Progress;
use tokio::sync::OwnedSemaphorePermit;

use crate::application::{AppState, inventory};
use crate::state::Operator;
use crate::store::Key;
use crate::target::Site;
use crate::targets::{self, Reach, Trouble};

/// What the way in comes to.
pub(crate) enum Entry {
    /// Go on.
    In(Inside),
    /// The cluster is busy with others.
    Later(Duration),
    /// It cannot be acted on; worth a look after that time.
    Barred(Trouble, Duration),
}

/// A reconcile that may act.
pub(crate) struct Inside {
    pub(crate) site: Site,
    /// Given back when the reconcile leaves.
    _turn: Vec<OwnedSemaphorePermit>,
}

impl Inside {
    /// Tells what came of it.
    pub(crate) async fn leave(self, operator: &Operator, key: &Key, failed: bool) -> Site {
        targets::settle(operator, &key.namespace, &self.site, failed).await;
        self.site
    }
}

impl Trouble {
    /// What the conditions say.
    pub(crate) fn progress(&self) -> Progress {
        let (reason, message, stalled) = match self {
            Self::Gone(message) => ("TargetMissing", message, false),
            Self::Refused(message) => ("TargetRefused", message, true),
            Self::Unreachable(message) => ("TargetUnreachable", message, false),
            Self::NoAccount => {
                let message = "spec.serviceAccountName: this installation acts for an Application only as a ServiceAccount of its namespace; name one";
                return Progress::Failed {
                    reason: "AccountRequired",
                    message: message.to_owned(),
                    stalled: true,
                };
            }
        };
        Progress::Failed {
            reason,
            message: format!("spec.target.kubeConfig: {message}"),
            stalled,
        }
    }
}

/// Reads what was applied, and opens the way to where the next objects go; while the Application is being deleted, to
/// where the last ones went.
pub(crate) async fn enter(
    operator: &Arc<Operator>,
    key: &Key,
    app: &Application,
    state: &mut AppState,
) -> Result<Entry, String> {
    let deleting = app.metadata.deletion_timestamp.is_some();
    if !deleting {
        operator.set_finalizer(key, app, true).await?;
    }
    inventory::load(operator, key, state).await?;
    let recorded = state.inventory.as_ref().filter(|set| !set.entries.is_empty());
    let place = match recorded.filter(|_| deleting) {
        Some(set) => set.place.clone(),
        None => wanted(operator, app),
    };
    if operator.settings.tenant_mode && place.service_account_name.is_none() {
        return Ok(Entry::Barred(Trouble::NoAccount, Duration::from_secs(3600)));
    }
    let (site, turn) = match targets::reach(operator, &key.namespace, &place).await {
        Reach::Site(site, turn) => (site, turn),
        Reach::Busy(wait) => return Ok(Entry::Later(wait)),
        Reach::Not(trouble, wait) => return Ok(Entry::Barred(trouble, wait)),
    };
    register(key, state, &site);
    Ok(Entry::In(Inside { site, _turn: turn }))
}

/// Where the spec says that the objects go.
fn wanted(operator: &Operator, app: &Application) -> Place {
    let named = app.spec.service_account_name.clone();
    Place {
        kube_config: app.spec.target.kube_config.clone(),
        service_account_name: named.or_else(|| operator.settings.default_service_account.clone()),
    }
}

/// Tells the cluster whose its objects are, once for each connection.
fn register(key: &Key, state: &mut AppState, site: &Site) {
    let Some(set) = &state.inventory else { return };
    if set.place.kube_config != site.place.kube_config {
        return;
    }
    let known = state.registered.as_ref();
    if known.is_none_or(|known| !Arc::ptr_eq(known, &site.target)) {
        site.own_objects(key, set);
        state.registered = Some(site.target.clone());
    }
}
