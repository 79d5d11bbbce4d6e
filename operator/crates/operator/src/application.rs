//! Controller of `Application`: one reconcile reads as the way of a commit. Decisions are `core`'s.

mod act;
mod deny;
mod desired;
mod drift;
mod fail;
mod finalize;
mod health;
mod hooks;
mod inventory;
mod newest;
mod outcome;
mod part;
mod reconcile;
mod release;
mod relocate;
mod site;
mod status;
mod turn;
mod verify;

pub(crate) use reconcile::reconcile;
pub(crate) use release::label_value;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::ApplicationStatus;
use tidegate_core::desired::Rendered;
use tidegate_core::fights::Fights;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::problem::Problem;
use tidegate_core::status::Progress;

use crate::target::Target;

/// What is kept in memory between two reconciles of one Application. Every record of something done is made only after it
/// was done, so that an error on the way leaves the next reconcile to do it again.
#[derive(Default)]
pub(crate) struct AppState {
    /// UID of the Application that all of this is about: one made anew under its name starts from nothing.
    pub(crate) uid: String,
    /// What log lines carry: one id for each reconcile, and the same for all that carry one release out.
    pub(crate) reconcile_id: String,
    /// Its status as it should be.
    pub(crate) status: Option<ApplicationStatus>,
    /// Its status as it was written last; differs from `status` while writing fails.
    pub(crate) written: Option<ApplicationStatus>,
    /// What was applied; `None` until read from the cluster.
    pub(crate) inventory: Option<InventorySet>,
    /// The cluster that knows which objects are ours, as the inventory has them.
    pub(crate) registered: Option<Arc<Target>>,
    /// How it is stored in the cluster.
    pub(crate) shards: inventory::Shards,
    /// The expressions that judge the health of its objects.
    pub(crate) expressions: health::Expressions,
    /// What the newest commit came to, so that an unchanged one is not rendered again.
    pub(crate) newest: Option<Newest>,
    /// The release that is not finished yet.
    pub(crate) open: Option<release::Open>,
    /// The record of a refused commit that could not be written whole yet.
    pub(crate) denying: Option<release::Open>,
    /// What keeps the newest commit from being looked at or applied; it goes before `progress`.
    pub(crate) obstacle: Option<Progress>,
    /// Where the newest release stands.
    pub(crate) progress: Option<Progress>,
    /// Why the newest release was judged unhealthy, with the pods' own reasons; until everything is healthy.
    pub(crate) diagnosis: Option<String>,
    /// Reconciles in a row that ended in an error.
    pub(crate) failures: u32,
    /// Objects in the inventory that git no longer has: held by finalizers, or not pruned yet.
    pub(crate) leaving: BTreeSet<ObjectId>,
    /// True while some of them are not deleted yet, since others have to be gone before.
    pub(crate) pruning: bool,
    /// Objects that are put back again and again.
    pub(crate) fights: Fights,
    /// Corrections that are not in the status yet.
    pub(crate) drift: DriftNews,
    /// True once unfinished Releases of an earlier process were looked for.
    pub(crate) resumed: bool,
}

/// Corrections that are not in the status yet.
#[derive(Default)]
pub(crate) struct DriftNews {
    pub(crate) count: i64,
    pub(crate) last: Option<Timestamp>,
    pub(crate) manager: Option<String>,
    pub(crate) fields: Vec<String>,
}

/// What a commit came to, for one generation of the Application.
#[derive(Clone)]
pub(crate) struct Newest {
    /// Tree at the Application's path.
    pub(crate) tree: String,
    /// Generation of the Application.
    pub(crate) generation: Option<i64>,
    /// Count of changes to the API server's kinds that were known: a new CRD can make a refused set admissible.
    pub(crate) kinds: u64,
    /// Why the set is refused, if it is.
    pub(crate) refused: Option<Arc<Vec<Problem>>>,
    /// The admitted set, while it is not acted on to the end: a release in waves is looked at again and again.
    pub(crate) admitted: Option<Arc<Rendered>>,
    /// True once an admitted set has been acted on: written as a whole, or given up for good.
    pub(crate) acted: bool,
}
