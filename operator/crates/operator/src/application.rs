//! Controller of `Application`: one reconcile reads as the way of a commit. Decisions are `core`'s.

mod act;
mod deny;
mod desired;
mod drift;
mod finalize;
mod inventory;
mod newest;
mod outcome;
mod reconcile;
mod release;
mod status;
mod turn;
mod verify;

pub(crate) use reconcile::reconcile;
pub(crate) use release::label_value;

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::Inventory;
use tidegate_core::desired::Rendered;
use tidegate_core::inventory::InventorySet;
use tidegate_core::problem::Problem;
use tidegate_core::status::Progress;

/// What is kept in memory between two reconciles of one Application.
#[derive(Default)]
pub(crate) struct AppState {
    /// What was applied; `None` until read from the cluster.
    pub(crate) inventory: Option<InventorySet>,
    /// Its shards as they are in the cluster.
    pub(crate) shards: Vec<Inventory>,
    /// What the newest commit came to, so that an unchanged one is not rendered again.
    pub(crate) newest: Option<Newest>,
    /// The release that is not finished yet.
    pub(crate) open: Option<release::Open>,
    /// Where the newest attempt stands.
    pub(crate) progress: Option<Progress>,
    /// Why the newest release was judged unhealthy, with the pods' own reasons; until everything is healthy.
    pub(crate) diagnosis: Option<String>,
    /// Reconciles in a row that ended in an error.
    pub(crate) failures: u32,
    /// Corrections of drift since the object was last changed by git: object and digest that came out, for fights.
    pub(crate) corrected: Vec<(String, String)>,
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
    /// The set, or why it is refused.
    pub(crate) result: Result<Digest, Arc<Vec<Problem>>>,
}

/// A set that was admitted; its bodies are made again from git when they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) String);

impl From<&Rendered> for Digest {
    fn from(rendered: &Rendered) -> Self {
        Self(rendered.digest.clone())
    }
}
