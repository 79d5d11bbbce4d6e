//! The commits that a release brings: all since the last good one, with their people, signatures and files.

use jiff::Timestamp;
use tidegate_api::Release;
use tidegate_api::release::Phase;
use tidegate_core::gate::RevisionFacts;
use tidegate_core::people::CommitFacts;
use tidegate_git::{Contribution, History, Paths};

use crate::application::AppState;
use crate::application::turn::Turn;
use crate::signatures::as_facts;

/// Most commits that are looked at; what came before them is taken for unsigned and by nobody known.
const MAX_COMMITS: usize = 1000;

/// What was asked of git, and what it said.
pub(crate) struct KnownCommits {
    asked: Asked,
    facts: RevisionFacts,
}

#[derive(PartialEq)]
struct Asked {
    good: Option<String>,
    commit: String,
    tag: Option<String>,
    reference: String,
    keyring: String,
}

/// What policies may know of the newest commit, and of those since the last good release. Asked of git once for each
/// commit, good release and keyring.
pub(crate) async fn since_last_good(turn: &Turn<'_>, state: &mut AppState) -> RevisionFacts {
    let source = turn.source;
    let status = state.status.as_ref().or(turn.app.status.as_ref());
    let asked = Asked {
        good: status.and_then(|status| status.last_good_release.clone()),
        commit: source.revision.commit.clone(),
        tag: source.revision.tag.clone(),
        reference: source.revision.reference.clone(),
        keyring: source.keyring.fingerprint().to_owned(),
    };
    if let Some(known) = state.commits.as_ref().filter(|known| known.asked == asked) {
        return known.facts.clone();
    }
    let mut facts = alone(turn);
    match read(turn, asked.good.as_deref()).await {
        Ok(history) => {
            tell(&mut facts, history, turn, asked.good.as_deref());
            let known = KnownCommits {
                asked,
                facts: facts.clone(),
            };
            state.commits = Some(known);
        }
        // Not kept: the next reconcile asks again.
        Err(why) => facts.unknown = Some(why),
    }
    facts
}

/// The newest commit, as the source has it.
fn alone(turn: &Turn<'_>) -> RevisionFacts {
    let revision = &turn.source.revision;
    RevisionFacts {
        commit: revision.commit.clone(),
        reference: revision.reference.clone(),
        author_email: revision.author_email.clone(),
        subject: revision.subject.clone(),
        committed_at: revision.committed_at,
        tag: turn
            .source
            .verified
            .as_ref()
            .and_then(|v| v.tag.as_ref())
            .map(as_facts),
        ..RevisionFacts::default()
    }
}

/// The commits since the last good release. Where there was none yet, those since the first that was tried, that one
/// included: else whoever fails once could hide behind the newest commit.
async fn read(turn: &Turn<'_>, good: Option<&str>) -> Result<History, String> {
    let newest = &turn.source.revision.commit;
    if let Some(good) = good {
        let old = commit_of(turn, good).await?;
        return between(turn, Some(&old), newest).await;
    }
    let Some(First { commit, own }) = first_tried(turn).await? else {
        return between(turn, None, newest).await;
    };
    let mut history = between(turn, Some(&commit), newest).await?;
    // An earlier Application of this name may have been about another repository.
    if history.missing.is_some() && !own {
        return between(turn, None, newest).await;
    }
    if history.missing.is_none() {
        history
            .commits
            .extend(between(turn, None, &commit).await?.commits);
    }
    Ok(history)
}

struct First {
    commit: String,
    /// False for a Release of an earlier Application of this name: records outlive it.
    own: bool,
}

/// The newest Release that was good, else the oldest.
async fn first_tried(turn: &Turn<'_>) -> Result<Option<First>, String> {
    let mut releases = turn.operator.list_releases(turn.key).await?;
    releases.retain(|r| r.spec.revision.commit != turn.source.revision.commit);
    let good = |r: &&Release| r.status.as_ref().is_some_and(|s| s.phase == Phase::Succeeded);
    let newest = releases.iter().filter(good).max_by_key(|r| r.spec.sequence);
    let oldest = || releases.iter().min_by_key(|r| r.spec.sequence);
    Ok(newest.or_else(oldest).map(|r| First {
        commit: r.spec.revision.commit.clone(),
        own: Some(&r.spec.application_uid) == turn.app.metadata.uid.as_ref(),
    }))
}

async fn between(turn: &Turn<'_>, old: Option<&str>, new: &str) -> Result<History, String> {
    let (operator, source) = (turn.operator, turn.source);
    operator
        .git
        .commits_between(
            source.remote()?,
            old,
            new,
            &source.keyring,
            Timestamp::now(),
            MAX_COMMITS,
        )
        .await
        .map_err(|error| {
            operator.poll_again(turn.app, &error);
            error.to_string()
        })
}

async fn commit_of(turn: &Turn<'_>, release: &str) -> Result<String, String> {
    let found = turn.operator.releases.get(&turn.key.namespace, release).await;
    let found = found.map_err(|error| format!("Release {release}, the last good one: {error}"))?;
    found.map(|release| release.spec.revision.commit).ok_or_else(|| {
        format!("Release {release}, the last good one, is gone, so what came after it is not known")
    })
}

fn tell(facts: &mut RevisionFacts, history: History, turn: &Turn<'_>, good: Option<&str>) {
    let commit = turn.source.revision.commit.get(..8).unwrap_or_default();
    if !history.descends && history.missing.is_none() {
        facts.taken_back = Some(format!(
            "commit {commit} does not descend from that of Release {}, the last good one: what that had is taken back \
             by no commit",
            good.unwrap_or_default()
        ));
    }
    facts.unknown = history.missing;
    facts.commits = history.commits.into_iter().map(commit_facts).collect();
}

fn commit_facts(from: Contribution) -> CommitFacts {
    let (paths, more_paths) = match from.paths {
        Paths::Known(paths) => (paths, false),
        Paths::Unknown(_) => (Vec::new(), true),
    };
    CommitFacts {
        commit: from.revision.commit,
        subject: from.revision.subject,
        author_name: from.revision.author_name,
        author_email: from.revision.author_email,
        committer_email: from.revision.committer_email,
        signature: as_facts(&from.signature),
        paths,
        more_paths,
    }
}
