//! The newest commit of the source: rendered and checked, unless nothing that shapes the set has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_core::desired::Rendered;
use tidegate_core::object::ObjectId;
use tidegate_core::problem::Problem;
use tidegate_core::status::Progress;
use tidegate_git::{Class, Remote};

use crate::application::desired::{Refusal, desired};
use crate::application::rails::Rails;
use crate::application::turn::Turn;
use crate::application::{AppState, Newest};

/// What is known of the newest commit.
pub(crate) enum Known {
    /// Nothing that shapes the set changed since it was admitted and acted on.
    Unchanged,
    /// It makes this set.
    Admitted(Arc<Rendered>),
    /// It is refused as a whole.
    Refused(Arc<Vec<Problem>>),
    /// It could not be looked at.
    Failed(Progress),
}

/// Looks at the newest commit, unless tree, spec and served kinds are those of the last look.
pub(crate) async fn newest(turn: &Turn<'_>, state: &mut AppState) -> Known {
    if let Some(obstacle) = state.expressions.obstacle() {
        state.newest = None;
        return Known::Failed(obstacle);
    }
    let commit = &turn.source.revision.commit;
    let path = &turn.app.spec.source.path;
    let remote = match turn.source.remote() {
        Ok(remote) => remote,
        Err(message) => {
            return Known::Failed(Progress::Failed {
                reason: "SourceNotFound",
                message,
                stalled: false,
            });
        }
    };
    let tree = match turn.operator.git.tree_id(remote, commit, path).await {
        Ok(tree) => tree,
        Err(error) => {
            turn.operator.poll_again(turn.app, &error);
            let stalled = error.class() == Class::Terminal;
            let message = error.to_string();
            return Known::Failed(Progress::Failed {
                reason: error.reason(),
                message,
                stalled,
            });
        }
    };
    let kinds = turn.target.kinds_version();
    let scaled = state.inventory.as_ref().map(|set| turn.target.scaled_of(set));
    let scaled = scaled.unwrap_or_default();
    let rails = Rails::of(turn, remote);
    let allowed = rails.fingerprint();
    if let Some(known) = seen(turn, state, &tree, kinds, &scaled, &allowed) {
        return known;
    }
    let generation = turn.app.metadata.generation;
    let remember = |refused, admitted| {
        Some(Newest {
            tree,
            generation,
            kinds,
            scaled,
            allowed,
            refused,
            admitted,
            held: false,
            acted: false,
        })
    };
    let barred = rails.refuse_route();
    let made = match barred.is_empty() {
        true => made(turn, remote, commit, &rails).await,
        false => Err(Refusal::Inadmissible(barred)),
    };
    match made {
        Ok(rendered) => {
            state.newest = remember(None, Some(rendered.clone()));
            Known::Admitted(rendered)
        }
        Err(Refusal::Inadmissible(problems)) => {
            let problems = Arc::new(problems);
            state.newest = remember(Some(problems.clone()), None);
            Known::Refused(problems)
        }
        Err(Refusal::Failed {
            reason,
            message,
            stalled,
        }) => {
            state.newest = None;
            Known::Failed(Progress::Failed {
                reason,
                message,
                stalled,
            })
        }
    }
}

/// The set of a commit, if all of it is allowed.
async fn made(
    turn: &Turn<'_>,
    remote: &Remote,
    commit: &str,
    rails: &Rails,
) -> Result<Arc<Rendered>, Refusal> {
    let rendered = desired(turn.operator, turn.target, turn.app, turn.owner, remote, commit).await?;
    let barred = rails.refuse_objects(&rendered);
    match barred.is_empty() {
        true => Ok(rendered),
        false => Err(Refusal::Inadmissible(barred)),
    }
}

/// The last look, where it still holds. Whoever asks for a reconcile gets a new one.
fn seen(
    turn: &Turn<'_>,
    state: &AppState,
    tree: &str,
    kinds: u64,
    scaled: &BTreeSet<ObjectId>,
    allowed: &str,
) -> Option<Known> {
    let last = state.newest.as_ref()?;
    let same =
        last.tree == tree && last.generation == turn.app.metadata.generation && last.allowed == allowed;
    if turn.asked || !same {
        return None;
    }
    match &last.refused {
        None if last.acted && last.scaled == *scaled => Some(Known::Unchanged),
        // What was not acted on to the end needs the set again.
        None => {
            let same = last.kinds == kinds && last.scaled == *scaled;
            last.admitted.clone().filter(|_| same).map(Known::Admitted)
        }
        // A CRD that has come since can make the set admissible.
        Some(problems) => (last.kinds == kinds).then(|| Known::Refused(problems.clone())),
    }
}
