//! What each Application has come to, as the others see it: the commit that it has looked at, what it wants, and how it
//! stands. The ground of [`crate::depends`] and [`crate::handover`].

use std::sync::Arc;

use crate::object::ObjectId;
use crate::soak::Shown;

/// A commit of a source, as this process met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `<namespace>/<name>` of the source.
    pub source: String,
    /// The commit.
    pub commit: String,
    /// Goes up with every commit that is met: of two commits of a source, the one met later is the newer one, whatever
    /// its ancestors are.
    pub number: u64,
    /// `master@1a2b3c4d`.
    pub shown: String,
}

impl Place {
    /// True when it is that commit of that source, or a newer one.
    pub fn covers(&self, other: &Self) -> bool {
        self.source == other.source && (self.commit == other.commit || self.number >= other.number)
    }
}

/// What one Application has come to. Kept in memory: after a start nothing is known until each was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// UID: one made anew under its name has come to nothing yet.
    pub uid: String,
    /// `metadata.generation` that all of this is about.
    pub generation: Option<i64>,
    /// `<namespace>/<name>` of its source.
    pub source: String,
    /// The cluster that it applies to; empty for the one that the operator runs in.
    pub cluster: String,
    /// The newest commit of which it is known what the Application wants.
    pub seen: Option<Place>,
    /// Its current desired set, sorted: what that commit makes for it, applied or not. `None` while it is not known, or
    /// does not hold because the Application is suspended.
    pub wants: Option<Arc<[ObjectId]>>,
    /// The newest commit that it has looked at to the end: what it runs is what that commit makes for it, and what goes
    /// before it was there too.
    pub reached: Option<Place>,
    /// What it shows to those that come after it.
    pub soak: Arc<Shown>,
    /// Condition `Ready`.
    pub ready: bool,
    /// The message of condition `Ready`.
    pub message: String,
}

/// What an Application makes of an object that carries its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is in its current desired set.
    Wanted,
    /// It is not, and its inventory has it still: whoever wants it may have it.
    Leaving,
    /// It has nothing to do with it, whatever the object says.
    LetGo,
    /// It is not known.
    Unknown,
    /// There is no such Application.
    Gone,
}

impl Claim {
    /// True while the object is the Application's: it wants it, or has to clear it away.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Wanted | Self::Leaving | Self::Unknown)
    }
}

impl Standing {
    /// What it makes of an object; `recorded` when its inventory has it.
    pub fn claim(&self, id: &ObjectId, recorded: bool) -> Claim {
        match &self.wants {
            None => Claim::Unknown,
            Some(wants) if wants.binary_search(id).is_ok() => Claim::Wanted,
            Some(_) if recorded => Claim::Leaving,
            Some(_) => Claim::LetGo,
        }
    }

    /// True when its current desired set has the object.
    pub fn wants(&self, id: &ObjectId) -> bool {
        self.claim(id, false) == Claim::Wanted
    }

    /// True when it is known what it wants of that commit, or of a newer one.
    pub fn has_seen(&self, at: &Place) -> bool {
        self.wants.is_some() && self.seen.as_ref().is_some_and(|seen| seen.covers(at))
    }

    /// True when others see no difference: what is for people only does not count.
    pub fn equals(&self, other: &Self) -> bool {
        let Self {
            uid,
            generation,
            source,
            cluster,
            seen,
            wants,
            reached,
            soak,
            ready,
            message: _,
        } = self;
        (uid, generation, ready) == (&other.uid, &other.generation, &other.ready)
            && (source, cluster) == (&other.source, &other.cluster)
            && (seen, wants, reached) == (&other.seen, &other.wants, &other.reached)
            && soak.equals(&other.soak)
    }
}
