//! What came in between two commits: every commit on every branch that was merged, by whom, signed how, touching what.
//! Owns which paths a commit answers for and the caps; what is cut off is said, and is to be taken for unsigned.

use crate::ancestry;
use crate::cancel::Cancel;
use crate::mirror::Mirror;
use crate::signature::{self, Claim, Keyring, MAX_OBJECT, Signature, Signed, Verified};
use crate::tree_diff;
use crate::tree_walk::Place;
use crate::{Error, Limits, Revision, escape, libgit2};
use git2::{Commit, ObjectType, Oid};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Paths of all commits together.
const MAX_PATHS: usize = 10_000;
/// Bytes of all paths together.
const MAX_PATH_BYTES: usize = 4 << 20;
/// Parents of one commit that are compared.
const MAX_PARENTS: usize = 16;

/// The commits between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Newest first. Where `missing` says something, these are not all.
    pub commits: Vec<Contribution>,
    /// Whether the newer commit has the older one among its ancestors. After a force-push it has not, and what the older
    /// one had is taken back by no commit.
    pub descends: bool,
    /// What is not known of the commits in between, in words.
    pub missing: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// Commit, author, committer.
    pub revision: Revision,
    /// Ids of its parents.
    pub parents: Vec<String>,
    /// Its own signature.
    pub signature: Signature,
    /// The files it answers for.
    pub paths: Paths,
}

/// Files that a commit answers for: those that differ from its parent. Of a merge those that are not what merging the
/// parents gives by itself: where both sides changed them, or where the merge took the side that had not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paths {
    /// All of them, sorted.
    Known(Vec<String>),
    /// Too many or not to be told, and why: any file may be among them.
    Unknown(String),
}

/// Where the walk happens.
pub(crate) struct Walk<'a> {
    pub(crate) mirror: &'a Mirror,
    pub(crate) url: &'a str,
    pub(crate) limits: &'a Limits,
    pub(crate) keyring: &'a Keyring,
    pub(crate) now: Timestamp,
    pub(crate) cancel: &'a Cancel,
}

/// What is left of the caps.
struct Room {
    paths: usize,
    bytes: usize,
}

impl Walk<'_> {
    /// Commits reachable from `new` and not from `old`, at most `cap`; without an `old` only `new` itself.
    pub(crate) fn between(&self, old: Option<Oid>, new: Oid, cap: usize) -> Result<History, Error> {
        let Some(old) = old else {
            return self.list(&[new], true, None);
        };
        if self.mirror.repo().find_commit(old).is_err() {
            let why = format!(
                "commit {old} is not in the repository any more, so what came after it is not known (a force-push, or \
                 a server that gives out a part of the history)"
            );
            return self.list(&[new], false, Some(why));
        }
        let broken = |error: git2::Error| libgit2::sort(&error, self.url, "commit graph");
        let descends = ancestry::descends(self.mirror, new, old).map_err(broken)?;
        let mut ids = ancestry::between(self.mirror, old, new, cap.saturating_add(1)).map_err(broken)?;
        let mut missing = (ids.len() > cap).then(|| format!("there are more than {cap} commits since {old}"));
        ids.truncate(cap);
        if missing.is_none() && self.is_cut(&ids) {
            let why = format!(
                "the server gives out a part of the history only, and it may not reach back to {old}"
            );
            missing = Some(why);
        }
        self.list(&ids, descends, missing)
    }

    /// Signatures of one revision: of its commit and of the tag that led to it.
    pub(crate) fn verify(&self, revision: &Revision) -> Result<Verified, Error> {
        let commit = self.commit(oid(&revision.commit, self.url)?)?;
        let tag = match &revision.tag {
            Some(id) => Some(self.tag(oid(id, self.url)?, &revision.reference)?),
            None => None,
        };
        Ok(Verified {
            commit: self.signature(&commit, revision)?,
            tag,
        })
    }

    /// Whether a shallow server left out a parent of one of them.
    fn is_cut(&self, ids: &[Oid]) -> bool {
        let repo = self.mirror.repo();
        let lacks = |commit: Commit<'_>| {
            commit
                .parent_ids()
                .any(|parent| repo.find_commit(parent).is_err())
        };
        !self.mirror.shallow().is_empty() && ids.iter().any(|id| repo.find_commit(*id).is_ok_and(lacks))
    }

    fn list(&self, ids: &[Oid], descends: bool, missing: Option<String>) -> Result<History, Error> {
        let mut room = Room {
            paths: MAX_PATHS,
            bytes: MAX_PATH_BYTES,
        };
        let mut commits = Vec::with_capacity(ids.len());
        for id in ids {
            if self.cancel.is_raised() {
                let url = self.url.to_owned();
                return Err(Error::Cancelled { url });
            }
            let commit = self.commit(*id)?;
            let revision = Revision::of(&commit, "commit");
            commits.push(Contribution {
                parents: commit.parent_ids().map(|id| id.to_string()).collect(),
                signature: self.signature(&commit, &revision)?,
                paths: self.paths(&commit, &mut room)?,
                revision,
            });
        }
        Ok(History {
            commits,
            descends,
            missing,
        })
    }

    fn commit(&self, id: Oid) -> Result<Commit<'_>, Error> {
        self.mirror.repo().find_commit(id).map_err(|_| Error::MirrorLost {
            url: self.url.to_owned(),
            what: format!("commit {id}"),
        })
    }

    fn signature(&self, commit: &Commit<'_>, revision: &Revision) -> Result<Signature, Error> {
        let signed = self.take_apart(commit.id(), ObjectType::Commit, signature::commit)?;
        let claim = Claim::of_commit(revision, commit.committer().when().seconds());
        Ok(signature::judge(&signed, self.keyring, &claim, self.now))
    }

    fn tag(&self, id: Oid, reference: &str) -> Result<Signature, Error> {
        let signed = self.take_apart(id, ObjectType::Tag, signature::tag)?;
        let tag = self
            .mirror
            .repo()
            .find_tag(id)
            .map_err(|error| libgit2::sort(&error, self.url, &format!("tag {id}")))?;
        let tagger = tag.tagger();
        let email = tagger.as_ref().map(|who| escape::bytes(who.email_bytes(), 200));
        let at = tagger.as_ref().map_or(0, |who| who.when().seconds());
        let name = escape::bytes(tag.name_bytes(), 200);
        let judged = signature::judge(&signed, self.keyring, &Claim::of_tag(email, at), self.now);
        // A signed tag put under another name would bring an old release as a new one.
        let short = reference.strip_prefix("refs/tags/").unwrap_or(reference);
        if judged.state == signature::SignatureState::Good && name != escape::line(short, 200) {
            return Ok(Signature {
                state: signature::SignatureState::Bad,
                identity: String::new(),
                message: format!(
                    "the tag object is signed as {name}, not as {}",
                    escape::line(short, 200)
                ),
                ..judged
            });
        }
        Ok(judged)
    }

    /// Reads an object and takes it apart; one that is too large is not read at all.
    fn take_apart(&self, id: Oid, kind: ObjectType, how: fn(&[u8]) -> Signed) -> Result<Signed, Error> {
        let broken = |error: git2::Error| libgit2::sort(&error, self.url, &format!("{kind} {id}"));
        let odb = self.mirror.repo().odb().map_err(broken)?;
        let (size, _) = odb.read_header(id).map_err(broken)?;
        if size > MAX_OBJECT {
            let why =
                format!("the {kind} object has {size} bytes, more than the {MAX_OBJECT} that are looked at");
            return Ok(Signed::Unreadable(why));
        }
        Ok(how(odb.read(id).map_err(broken)?.data()))
    }

    fn paths(&self, commit: &Commit<'_>, room: &mut Room) -> Result<Paths, Error> {
        let parents: Vec<Oid> = commit.parent_ids().collect();
        let found = match parents.as_slice() {
            [] => self.differing(None, commit.tree_id(), room)?,
            [only] => self.differing(Some(*only), commit.tree_id(), room)?,
            [ours, theirs] => self.merged(*ours, *theirs, commit.tree_id(), room)?,
            many => self.octopus(many, commit.tree_id(), room)?,
        };
        let Ok(paths) = found else {
            return Ok(found.map_or_else(Paths::Unknown, |_| Paths::Known(Vec::new())));
        };
        let bytes: usize = paths.iter().map(String::len).sum();
        if paths.len() > room.paths || bytes > room.bytes {
            return Ok(Paths::Unknown(too_many()));
        }
        room.paths -= paths.len();
        room.bytes -= bytes;
        Ok(Paths::Known(paths.into_iter().collect()))
    }

    /// A merge of two answers for what differs from both, and for what is one side's where the other side had changed
    /// it and this one had not: `git merge` would have taken the change.
    fn merged(&self, ours: Oid, theirs: Oid, tree: Oid, room: &Room) -> Result<Found, Error> {
        let base = self.mirror.repo().merge_base(ours, theirs).ok();
        let Some(base) = base else {
            return self.octopus(&[ours, theirs], tree, room);
        };
        let from_ours = self.differing(Some(ours), tree, room)?;
        let from_theirs = self.differing(Some(theirs), tree, room)?;
        let changed_by = |side: Oid| match self.tree_of(side)? {
            Some(side) => self.differing(Some(base), side, room),
            None => Ok(Err("a parent is not there".to_owned())),
        };
        let (by_ours, by_theirs) = (changed_by(ours)?, changed_by(theirs)?);
        let (Ok(from_ours), Ok(from_theirs), Ok(by_ours), Ok(by_theirs)) =
            (from_ours, from_theirs, by_ours, by_theirs)
        else {
            return Ok(Err(too_many()));
        };
        let both = from_ours.intersection(&from_theirs).cloned();
        // Same as theirs and not as ours: right if only they changed it.
        let dropped_ours = from_ours
            .difference(&from_theirs)
            .filter(|path| by_ours.contains(*path));
        let dropped_theirs = from_theirs
            .difference(&from_ours)
            .filter(|path| by_theirs.contains(*path));
        Ok(Ok(both
            .chain(dropped_ours.cloned())
            .chain(dropped_theirs.cloned())
            .collect()))
    }

    /// With more parents, or without a common past, it answers for whatever differs from any of them.
    fn octopus(&self, parents: &[Oid], tree: Oid, room: &Room) -> Result<Found, Error> {
        if parents.len() > MAX_PARENTS {
            return Ok(Err(format!("it has more than {MAX_PARENTS} parents")));
        }
        let mut all = BTreeSet::new();
        for parent in parents {
            match self.differing(Some(*parent), tree, room)? {
                Ok(paths) => all.extend(paths),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(all))
    }

    /// Paths that differ between a commit (none: nothing) and a tree.
    fn differing(&self, commit: Option<Oid>, tree: Oid, room: &Room) -> Result<Found, Error> {
        let old = match commit {
            Some(commit) => match self.tree_of(commit)? {
                Some(tree) => Some(tree),
                None => return Ok(Err("a parent is not there".to_owned())),
            },
            None => None,
        };
        let limits = Limits {
            max_files: room.paths.min(self.limits.max_files),
            ..*self.limits
        };
        let id = tree.to_string();
        let place = Place {
            url: self.url,
            commit: &id,
        };
        match tree_diff::diff(self.mirror.repo(), old, tree, &limits, &place) {
            Ok(changes) => Ok(Ok(changes.into_iter().map(|change| change.path).collect())),
            Err(Error::TooLarge { .. }) => Ok(Err(too_many())),
            Err(Error::UnsafeName { path, .. }) => Ok(Err(format!("it touches a file of the name {path}"))),
            Err(error) => Err(error),
        }
    }

    fn tree_of(&self, commit: Oid) -> Result<Option<Oid>, Error> {
        match self.mirror.repo().find_commit(commit) {
            Ok(found) => Ok(Some(found.tree_id())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(libgit2::sort(&error, self.url, &format!("commit {commit}"))),
        }
    }
}

type Found = Result<BTreeSet<String>, String>;

fn too_many() -> String {
    "more files changed than are listed".to_owned()
}

fn oid(id: &str, url: &str) -> Result<Oid, Error> {
    Oid::from_str(id).map_err(|error| libgit2::sort(&error, url, "object id"))
}
