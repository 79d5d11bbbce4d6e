//! Controller of `Application`: one reconcile reads as the way of a commit. Decisions are `core`'s.

mod act;
mod checks;
mod commits;
mod deny;
mod desired;
mod drift;
mod fail;
mod finalize;
mod gate;
mod handover;
mod health;
mod held;
mod history;
mod hooks;
mod inventory;
mod keeping;
mod newest;
mod outcome;
mod part;
mod promotion;
mod rails;
mod reconcile;
mod rehearse;
mod relations;
mod release;
mod relocate;
mod restore;
mod rollback;
pub(crate) mod sets;
mod site;
mod status;
mod turn;
mod verify;
mod waiting;

pub(crate) use promotion::Look;
pub(crate) use reconcile::reconcile;
pub(crate) use release::label_value;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::ApplicationStatus;
use tidegate_core::desired::Rendered;
use tidegate_core::differences::Explained;
use tidegate_core::fights::Fights;
use tidegate_core::inventory::InventorySet;
use tidegate_core::object::ObjectId;
use tidegate_core::problem::Problem;
use tidegate_core::soak::Settled;
use tidegate_core::standing::Place;
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
    /// The commit that this reconcile looks at, unless something goes first that is not there yet.
    pub(crate) at: Option<Place>,
    /// The commit that was looked at to the end, and the generation of the Application then.
    pub(crate) reached: Option<(Place, Option<i64>)>,
    /// Somebody asked for a release that has to wait: it is not forgotten.
    pub(crate) asked: bool,
    /// The newest commit that makes what runs, while it is not in the log of the status.
    pub(crate) unlogged: Option<Settled>,
    /// What became of the commit in the Applications that go before.
    pub(crate) promotion: promotion::Promotion,
    /// The release that is not finished yet.
    pub(crate) open: Option<release::Open>,
    /// The release that a gate holds.
    pub(crate) waiting: Option<release::Open>,
    /// True once the gates let the set into another cluster, until nothing is left in the former one.
    pub(crate) leaves: bool,
    /// Digest of the plan that the API server was found to accept.
    pub(crate) rehearsed: Option<String>,
    /// The commits since the last good release, as git told them.
    pub(crate) commits: Option<commits::KnownCommits>,
    /// The record of a refused commit that could not be written whole yet.
    pub(crate) denying: Option<release::Open>,
    /// How far the open release is with the checks of policies.
    pub(crate) watching: Option<checks::Watching>,
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
    /// The newest commit of which the set is known, and that set's objects. `None` while suspended.
    pub(crate) seen: Option<Place>,
    pub(crate) wants: Option<Arc<[ObjectId]>>,
    /// Objects in the inventory that git no longer has, and that stay until another Application has them, or nobody can
    /// want them.
    pub(crate) kept: handover::Kept,
    /// Objects that the newest release failed over, since others have them.
    pub(crate) contested: BTreeSet<ObjectId>,
    /// True from when the former cluster was left until something is released in the new one.
    pub(crate) moved: bool,
    /// The commit that waits for objects which others have, and since when.
    pub(crate) claims: Option<(String, Timestamp)>,
    /// Objects that the newest set changes and that are being deleted: made anew when they are gone.
    pub(crate) postponed: BTreeSet<ObjectId>,
    /// Objects that are put back again and again.
    pub(crate) fights: Fights,
    /// What differs where drift was seen.
    pub(crate) explained: Explained,
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
    /// Objects whose replicas an autoscaler set: an autoscaler that is made elsewhere changes what is applied.
    pub(crate) scaled: BTreeSet<ObjectId>,
    /// Fingerprint of the guard rails that it was judged under.
    pub(crate) allowed: String,
    /// Why the set is refused, if it is.
    pub(crate) refused: Option<Arc<Vec<Problem>>>,
    /// The admitted set, while it is not acted on to the end: a release in waves is looked at again and again.
    pub(crate) admitted: Option<Arc<Rendered>>,
    /// True while an admitted set waits for what goes first: an older one is kept.
    pub(crate) held: bool,
    /// True once an admitted set has been acted on: written as a whole, or given up for good.
    pub(crate) acted: bool,
}
