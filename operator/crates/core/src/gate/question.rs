//! What the gate is asked with: facts alone, gathered by the operator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::application::Quarantined;
use tidegate_api::{FreezeSpec, OverrideSpec, Suspend};

use super::ApprovalFacts;
use crate::object::ObjectId;
use crate::people::{CommitFacts, SignatureFacts};
use crate::policy::{ApplicationFacts, CompiledPolicy, PolicyName};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// A commit is to be released.
    Release,
    /// A release that has begun goes on.
    Begun,
    /// Live objects are put back as they were applied.
    Correction,
    /// A person wants an earlier release back.
    Rollback,
    /// A release failed, and the last good one is put back.
    AutomaticRollback,
    /// The Application is being deleted.
    Teardown,
    /// The Application has moved to another cluster, and its objects in the former one are deleted.
    Move,
}

static NONE: BTreeSet<ObjectId> = BTreeSet::new();

/// All that the gate knows besides the plan and the time.
pub struct Question<'a> {
    /// What is to be done.
    pub asking: Asking,
    /// `spec.suspend`.
    pub suspend: Option<&'a Suspend>,
    /// The Application.
    pub application: &'a ApplicationFacts,
    /// Objects that the Application has applied.
    pub applied: usize,
    /// Objects whose deletion takes nothing away: see [`super::uncounted`].
    pub uncounted: &'a BTreeSet<ObjectId>,
    /// The policies that bind it.
    pub policies: &'a [Arc<CompiledPolicy>],
    /// Whether the installation releases nothing without a policy.
    pub require_policy: bool,
    /// The commit.
    pub revision: &'a RevisionFacts,
    /// Name of the Release, once there is one.
    pub release: Option<&'a str>,
    /// Approvals of this Release.
    pub approvals: &'a [ApprovalFacts],
    /// Overrides of this Application.
    pub overrides: &'a [OverrideFacts],
    /// Freezes that stop this Application.
    pub freezes: &'a [FreezeFacts],
    /// What became of each entry of `after`, by policy and index.
    pub after: &'a BTreeMap<(PolicyName, usize), AfterState>,
    /// Commits that failed.
    pub quarantined: &'a [Quarantined],
    /// Why names in Approvals, Overrides and Freezes are not to be trusted now; `None` when the API server guarantees them.
    pub unguarded: Option<&'a str>,
    /// Since when it does: what was made before does not count.
    pub guarded_since: Option<Timestamp>,
}

impl<'a> Question<'a> {
    /// The question where nothing binds: no policy, nobody who says anything.
    pub fn unbound(
        asking: Asking,
        application: &'a ApplicationFacts,
        revision: &'a RevisionFacts,
        after: &'a BTreeMap<(PolicyName, usize), AfterState>,
    ) -> Self {
        Self {
            asking,
            suspend: None,
            application,
            applied: 0,
            uncounted: &NONE,
            policies: &[],
            require_policy: false,
            revision,
            release: None,
            approvals: &[],
            overrides: &[],
            freezes: &[],
            after,
            quarantined: &[],
            unguarded: None,
            guarded_since: None,
        }
    }
}

/// The commit, and what came since the last good release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevisionFacts {
    /// Full id.
    pub commit: String,
    /// `master`.
    pub reference: String,
    /// Address of the author.
    pub author_email: String,
    /// First line of the message.
    pub subject: String,
    /// When it was made, as its maker's clock had it.
    pub committed_at: Timestamp,
    /// All commits since the last good release, newest first, this one included.
    pub commits: Vec<CommitFacts>,
    /// Why they are not known as a whole, where they are not.
    pub unknown: Option<String>,
    /// Why the last good commit is not among the ancestors of this one, where it is not: what it had is taken back by no
    /// commit that anybody made.
    pub taken_back: Option<String>,
    /// The signature of the annotated tag that the source follows.
    pub tag: Option<SignatureFacts>,
}

/// An Override that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct OverrideFacts {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it says.
    pub spec: OverrideSpec,
}

/// A Freeze that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeFacts {
    /// Its name.
    pub name: String,
    /// Whether it stands in the operator's namespace, and so stops the Applications of all.
    pub everywhere: bool,
    /// What it says.
    pub spec: FreezeSpec,
}

/// What became of one entry of `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterState {
    /// The commit, or a newer one, has been healthy there for long enough.
    Earned {
        /// Since when.
        since: Timestamp,
    },
    /// It is healthy there, not yet for long enough.
    Soaking {
        /// When it will have been.
        until: Timestamp,
    },
    /// It is not there or not healthy there.
    NotYet {
        /// Why, for people.
        message: String,
    },
    /// It can never be.
    Never {
        /// Why, and what to do.
        message: String,
    },
}
