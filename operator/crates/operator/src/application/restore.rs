//! A rollback that a person asks for, by the annotation `tidegate.io/rollbackTo` on the Application.
//!
//! While it holds, the source counts as being at the commit of the Release that is named, with the set which that Release
//! had: it is released, kept up and given up as any commit is. It holds until the newest commit makes another set than
//! the one that was left, or until the annotation is removed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tidegate_api::application::RolledBack;
use tidegate_api::release::{Phase, ReleaseRevision};
use tidegate_api::{Release, names};
use tidegate_core::problem;
use tidegate_core::status::Progress;
use tidegate_git::Revision;

use crate::application::act::{act, is_older};
use crate::application::newest::Known;
use crate::application::rollback::{self, Good};
use crate::application::status::{self, Edits};
use crate::application::turn::Turn;
use crate::application::{AppState, Newest, relations};
use crate::state::{Again, Source};

/// What a person asks for.
pub(crate) enum Restore {
    /// Nothing: the newest commit is what counts.
    No,
    /// Something that cannot be done; why, and the newest commit is what counts.
    Refused(Progress),
    /// What runs was rolled back to and cannot be read any more: it is left as it is.
    Lost(Progress),
    /// This Release counts.
    To(Box<Good>),
}

/// What came of it.
pub(crate) enum Acted {
    /// It is under way, or done.
    Done(Again),
    /// A gate holds it, or the API server refuses it.
    Waits(Again),
}

/// Reads the annotation. What follows from it is in the status before the next reconcile.
pub(crate) async fn asked(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    known: &Known,
) -> Result<Restore, String> {
    let status = turn.app.status.clone().unwrap_or_default();
    let annotations = turn.app.metadata.annotations.as_ref();
    let asked = annotations.and_then(|all| all.get(names::ANNOTATION_ROLLBACK_TO));
    let asked = asked.map(|name| name.trim()).filter(|name| !name.is_empty());
    let Some(asked) = asked else {
        if status.rolled_back.is_some() || status.last_handled_rollback_to.is_some() {
            edits.rolled_back = Some(None);
            edits.answered_rollback = Some(None);
        }
        return Ok(Restore::No);
    };
    let digest = match known {
        Known::Admitted(set) => Some(set.digest.clone()),
        _ => None,
    };
    if status.last_handled_rollback_to.as_deref() == Some(asked) {
        let Some(back) = &status.rolled_back else {
            return Ok(Restore::No);
        };
        if digest.is_some_and(|digest| digest != back.from_digest) {
            edits.rolled_back = Some(None);
            return Ok(Restore::No);
        }
        let to = back.to.clone();
        give_way(turn, state, edits, &to).await?;
        return Ok(match rollback::good(turn, &to).await? {
            Some(good) => Restore::To(Box::new(good)),
            None => Restore::Lost(refused(&to, "its set is not kept any more")),
        });
    }
    let good = match find(turn, asked).await? {
        Ok(good) => good,
        Err(why) => return Ok(Restore::Refused(refused(asked, &why))),
    };
    let left = status.rolled_back.map(|back| back.from_digest);
    edits.rolled_back = Some(Some(RolledBack {
        to: asked.to_owned(),
        from_digest: digest.or(left).or(status.attempted_digest).unwrap_or_default(),
        asked: asked.to_owned(),
    }));
    edits.answered_rollback = Some(Some(asked.to_owned()));
    give_way(turn, state, edits, asked).await?;
    Ok(Restore::To(Box::new(good)))
}

/// An automatic rollback gives way to the one that a person asks for.
async fn give_way(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    asked: &str,
) -> Result<(), String> {
    if !rollback::is_under_way(state) {
        return Ok(());
    }
    let newer = format!("a rollback to {asked} that somebody asked for");
    rollback::abandon(turn, state, edits, &newer).await
}

/// Carries out, and keeps, what a person rolled back to.
pub(crate) async fn act_on(
    turn: &Turn<'_>,
    state: &mut AppState,
    edits: &mut Edits,
    to: &Good,
) -> Result<Acted, String> {
    let spec = &to.release.spec;
    let name = to.release.metadata.name.as_deref().unwrap_or_default();
    let source = Source {
        revision: revision(&spec.revision),
        ..turn.source.clone()
    };
    let restored = Turn {
        source: &source,
        restores: Some(name),
        ..*turn
    };
    relations::want(turn, state, to.set.objects.iter().map(|o| o.id.clone()).collect());
    let newest = state.newest.replace(Newest {
        tree: spec.revision.tree.clone(),
        generation: turn.app.metadata.generation,
        kinds: 0,
        scaled: BTreeSet::new(),
        allowed: String::new(),
        refused: None,
        admitted: None,
        held: false,
        acted: false,
    });
    let result = act(&restored, state, edits, to.set.clone()).await;
    let waits = is_older(state);
    state.newest = newest.map(|newest| Newest {
        held: true,
        acted: false,
        ..newest
    });
    let again = result?;
    if waits {
        return Ok(Acted::Waits(again));
    }
    if state.open.is_none() && state.progress == Some(Progress::Synced) {
        state.obstacle = Some(holds(turn, state, name));
    }
    Ok(Acted::Done(again))
}

/// What is said while a rollback holds.
fn holds(turn: &Turn<'_>, state: &AppState, to: &str) -> Progress {
    let newest = status::shown(&turn.source.revision);
    let refused = state.newest.as_ref().and_then(|newest| newest.refused.as_ref());
    let refused = refused.map(|all| format!(" and is refused: {}", problem::summarize(all, 1)));
    Progress::Waiting {
        reason: "RolledBack",
        message: format!(
            "rolled back to {to}; {newest} waits{}. A commit that makes another set is released by itself; to release this one, remove the annotation tidegate.io/rollbackTo",
            refused.unwrap_or_default()
        ),
    }
}

fn refused(to: &str, why: &str) -> Progress {
    Progress::Failed {
        reason: "RollbackRefused",
        message: format!(
            "annotation tidegate.io/rollbackTo: {to} is not put back: {why}; name another Release of `kubectl get releases.tidegate.io`, or remove the annotation"
        ),
        stalled: true,
    }
}

/// The Release that is asked for, or why it cannot be put back.
async fn find(turn: &Turn<'_>, name: &str) -> Result<Result<Good, String>, String> {
    let found = turn.operator.releases.get(&turn.key.namespace, name).await;
    let Some(release) = found.map_err(|error| error.to_string())? else {
        return Ok(Err(
            "there is no such Release, or it is too old to be kept".to_owned()
        ));
    };
    if let Some(why) = unfit(turn, &release) {
        return Ok(Err(why));
    }
    let set = rollback::set_of(turn, name).await?;
    Ok(match set {
        Some(set) => Ok(Good { release, set }),
        None => Err("its set is not kept any more".to_owned()),
    })
}

fn unfit(turn: &Turn<'_>, release: &Release) -> Option<String> {
    let Release { metadata, spec, .. } = release;
    if spec.application != turn.key.name {
        return Some(format!("it is a Release of Application {}", spec.application));
    }
    if Some(&spec.application_uid) != turn.app.metadata.uid.as_ref() {
        return Some("it is a Release of an earlier Application of this name".to_owned());
    }
    let current = turn.app.status.as_ref().and_then(|s| s.current_release.as_ref());
    if current.is_some() && current == metadata.name.as_ref() {
        return Some("it is what runs".to_owned());
    }
    let phase = release
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default();
    (phase != Phase::Succeeded).then(|| format!("it was never good: it is {}", phase.as_str()))
}

fn revision(kept: &ReleaseRevision) -> Revision {
    let (name, email) = kept.author.split_once(" <").unwrap_or((&kept.author, ""));
    let email = email.trim_end_matches('>');
    Revision {
        reference: kept.reference.clone(),
        commit: kept.commit.clone(),
        tree: kept.tree.clone(),
        author_name: name.to_owned(),
        author_email: email.to_owned(),
        committer_name: name.to_owned(),
        committer_email: email.to_owned(),
        committed_at: kept.committed_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        subject: kept.subject.clone(),
        tag: None,
    }
}
