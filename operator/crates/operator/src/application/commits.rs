//! The commits that a release brings: all since the last good one.

use tidegate_core::gate::RevisionFacts;
use tidegate_core::people::CommitFacts;

use crate::application::AppState;
use crate::application::turn::Turn;

/// What policies may know of the newest commit, and of those since the last good release.
pub(crate) async fn since_last_good(turn: &Turn<'_>, _state: &mut AppState) -> RevisionFacts {
    let revision = &turn.source.revision;
    RevisionFacts {
        commit: revision.commit.clone(),
        reference: revision.reference.clone(),
        author_email: revision.author_email.clone(),
        subject: revision.subject.clone(),
        committed_at: revision.committed_at,
        commits: vec![CommitFacts {
            commit: revision.commit.clone(),
            subject: revision.subject.clone(),
            author_name: revision.author_name.clone(),
            author_email: revision.author_email.clone(),
            committer_email: revision.committer_email.clone(),
            ..CommitFacts::default()
        }],
        unknown: None,
    }
}
