//! Asking a server for a reference and bringing its commit into the mirror. Owns the order of the steps: one ls-refs,
//! nothing more if the commit is known, otherwise one pack.

use crate::advertisement::Advertisement;
use crate::cancel::Watch;
use crate::mirror::{Mirror, PackIntake};
use crate::refs::Matcher;
use crate::transport::Session;
use crate::upload_pack::{self, Request};
use crate::{Error, RefSpec, Remote, ResolvedRef, Revision, libgit2};
use git2::Oid;
use std::path::Path;

/// What a fetch found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The reference still points at the commit the caller knew; the mirror has it.
    Unchanged(Revision),
    /// It points at another one (newer, or older after a force-push); the mirror has it.
    New(Revision),
}

impl Fetched {
    /// The commit, changed or not.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        match self {
            Self::Unchanged(revision) | Self::New(revision) => revision,
        }
    }
}

/// Exactly one request for the references.
pub(crate) fn ls_remote(remote: &Remote, spec: &RefSpec, watch: &Watch) -> Result<ResolvedRef, Error> {
    let matcher = spec.matcher()?;
    let mut session = Session::open(remote, watch)?;
    let advertisement = advertisement(&mut session, &matcher, remote, watch)?;
    matcher.resolve(&advertisement.kept, watch.url())
}

/// Brings the mirror in `dir` up to date for one reference.
pub(crate) fn fetch(
    dir: &Path,
    remote: &Remote,
    spec: &RefSpec,
    known: Option<&str>,
    watch: &Watch,
) -> Result<Fetched, Error> {
    let matcher = spec.matcher()?;
    let mut mirror = Mirror::open(dir, watch.url()).filter(|mirror| !mirror.has_too_many_packs());
    // A commit id is its content: if it is here there is nothing to ask.
    if let (Matcher::Commit(id), Some(mirror)) = (&matcher, &mirror)
        && let Some(found) = present(mirror, id, id, "commit", known)
    {
        return Ok(found);
    }
    let mut retried = false;
    loop {
        let mut session = Session::open(remote, watch)?;
        let advertisement = advertisement(&mut session, &matcher, remote, watch)?;
        let resolved = matcher.resolve(&advertisement.kept, watch.url())?;
        if let Some(mirror) = &mirror
            && let Some(found) = present(
                mirror,
                &resolved.commit,
                &resolved.object,
                &resolved.reference,
                known,
            )
        {
            return Ok(found);
        }
        let incremental = mirror.is_some() && !retried;
        let target = match mirror.take() {
            Some(mirror) => mirror,
            None => Mirror::create(dir, watch.url())?,
        };
        match bring(&target, session, &advertisement, &resolved, remote, watch) {
            Ok(revision) if known == Some(&revision.commit) => return Ok(Fetched::Unchanged(revision)),
            Ok(revision) => return Ok(Fetched::New(revision)),
            // The pack built on objects that our mirror has lost: once more, from nothing.
            Err(Error::Corrupt { why, .. }) if incremental => {
                tracing::warn!(url = watch.url(), why, "mirror is broken, cloning anew");
                retried = true;
            }
            Err(error) => return Err(error),
        }
    }
}

fn advertisement(
    session: &mut Session,
    matcher: &Matcher,
    remote: &Remote,
    watch: &Watch,
) -> Result<Advertisement, Error> {
    let found = match session.advertisement() {
        Ok(stream) => Advertisement::read(stream, matcher, &remote.limits, watch),
        Err(error) => Err(error),
    };
    found.map_err(|error| session.explain(error))
}

/// The commit, and the tag where one leads to it, if the mirror has both.
fn present(
    mirror: &Mirror,
    commit: &str,
    object: &str,
    reference: &str,
    known: Option<&str>,
) -> Option<Fetched> {
    let id = Oid::from_str(commit).ok().filter(|id| mirror.has_commit(*id))?;
    if object != commit {
        mirror.repo().find_tag(Oid::from_str(object).ok()?).ok()?;
    }
    let revision = Revision::of(&mirror.repo().find_commit(id).ok()?, reference).through(object);
    Some(if known == Some(commit) {
        Fetched::Unchanged(revision)
    } else {
        Fetched::New(revision)
    })
}

fn bring(
    mirror: &Mirror,
    mut session: Session,
    advertisement: &Advertisement,
    resolved: &ResolvedRef,
    remote: &Remote,
    watch: &Watch,
) -> Result<Revision, Error> {
    let pinned = resolved.name.is_empty();
    let (haves, shallow) = (mirror.haves(), mirror.shallow());
    let wants = wants(advertisement, resolved);
    if wants.is_empty() {
        return Err(Error::CommitNotFound {
            url: watch.url().to_owned(),
            commit: resolved.commit.clone(),
        });
    }
    let body = Request {
        wants: &wants,
        haves: &haves,
        shallow: &shallow,
    }
    .encode(advertisement, watch)?;
    mirror.set_shallow(&advertisement.shallow)?;
    let odb = mirror
        .repo()
        .odb()
        .map_err(|error| libgit2::sort(&error, watch.url(), "object database"))?;
    let mut intake = PackIntake::new(mirror, &odb, &remote.limits, watch)?;
    let received = match session.upload_pack(&body) {
        Ok(stream) => upload_pack::receive(stream, watch, |bytes| intake.feed(bytes)),
        Err(error) => Err(error),
    };
    received.map_err(|error| session.explain(error))?;
    drop(session);
    intake.finish()?;
    let _ = odb.refresh();
    let object =
        Oid::from_str(&resolved.object).map_err(|error| libgit2::sort(&error, watch.url(), "object id"))?;
    if pinned && !odb.exists(object) {
        // Remembered as haves, or every poll for a commit that is not there would bring everything again.
        for want in &wants {
            if let Ok(tip) = Oid::from_str(want) {
                mirror.remember(want, tip)?;
            }
        }
        return Err(Error::CommitNotFound {
            url: watch.url().to_owned(),
            commit: resolved.commit.clone(),
        });
    }
    let commit = mirror.peel(object, &resolved.reference)?;
    mirror.check_complete(&commit, &remote.limits, watch)?;
    let name = if pinned { &resolved.commit } else { &resolved.name };
    mirror.remember(name, object)?;
    Ok(Revision::of(&commit, &resolved.reference).through(&resolved.object))
}

/// The reference's object; for a pinned commit that one if the server gives it out, else all branches and tags.
fn wants(advertisement: &Advertisement, resolved: &ResolvedRef) -> Vec<String> {
    let kept = &advertisement.kept;
    let by_id = ["allow-reachable-sha1-in-want", "allow-any-sha1-in-want"]
        .iter()
        .any(|c| advertisement.can(c));
    if !resolved.name.is_empty() || by_id || kept.iter().any(|r| r.object == resolved.object) {
        return vec![resolved.object.clone()];
    }
    let mut all: Vec<String> = kept.iter().map(|r| r.object.clone()).collect();
    all.sort_unstable();
    all.dedup();
    all
}
