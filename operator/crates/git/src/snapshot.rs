//! A snapshot: the list of what lies under one path of one commit, and the reading of its blobs from the mirror. Owns
//! no checkout: symlinks and submodules are listed, never followed.

use crate::mirror::{self, Mirror};
use crate::tree_walk::{self, Entry, EntryKind, Place};
use crate::workers::Workers;
use crate::{Error, Limits, libgit2};
use git2::{ErrorCode, ObjectType, Odb, Oid};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What lies under one path of one commit. Cheap to clone, owned, `Send`.
#[derive(Clone)]
pub struct Snapshot(Arc<Inner>);

struct Inner {
    readers: Arc<Workers>,
    dir: PathBuf,
    url: String,
    commit: String,
    path: String,
    tree: String,
    entries: Vec<Entry>,
    limits: Limits,
}

/// A file with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the snapshot's path.
    pub path: String,
    /// What it is; the bytes of a [`EntryKind::Symlink`] are its target.
    pub kind: EntryKind,
    /// Content.
    pub bytes: Vec<u8>,
}

impl Snapshot {
    /// Lists the tree at `path`; blocking.
    pub(crate) fn take(
        readers: &Arc<Workers>,
        dir: &Path,
        url: &str,
        commit: &str,
        path: &str,
        limits: Limits,
    ) -> Result<Self, Error> {
        let place = Place { url, commit };
        let path = tree_walk::normalised(path, &place)?;
        let listed = open(dir, url).and_then(|mirror| {
            let id = root_tree(&mirror, url, commit)?;
            let repo = mirror.repo();
            let root = repo
                .find_tree(id)
                .map_err(|error| libgit2::sort(&error, url, "root tree"))?;
            let tree = tree_walk::subtree(repo, root, &path, &place)?;
            let id = tree.id().to_string();
            Ok((id, tree_walk::list(repo, tree, &limits, &place)?))
        });
        let (tree, entries) = listed.inspect_err(|error| distrust(dir, error))?;
        let inner = Inner {
            readers: readers.clone(),
            dir: dir.to_owned(),
            url: url.to_owned(),
            commit: commit.to_owned(),
            path,
            tree,
            entries,
            limits,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Repository, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// 40 hex digits.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.0.commit
    }

    /// Normalised path, empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Id of the tree at the path: equal ids mean equal content, the key of every cache.
    #[must_use]
    pub fn tree(&self) -> &str {
        &self.0.tree
    }

    /// Everything under the path that is not a directory, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0.entries
    }

    /// The entry at a path relative to the snapshot's.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        let entries = &self.0.entries;
        entries
            .binary_search_by(|entry| entry.path.as_str().cmp(path))
            .ok()
            .map(|at| &entries[at])
    }

    /// Content of one file.
    ///
    /// # Errors
    /// [`Error::PathNotFound`] for what is no file (symlinks are not followed), [`Error::TooLarge`], [`Error::Corrupt`],
    /// [`Error::MirrorLost`].
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let place = Place {
            url: &self.0.url,
            commit: &self.0.commit,
        };
        let why = match self.entry(path).map(|entry| entry.kind) {
            Some(EntryKind::File | EntryKind::Executable) => {
                let files = self.read_all(|entry| entry.path == path).await?;
                return files
                    .into_iter()
                    .next()
                    .map(|f| f.bytes)
                    .ok_or_else(|| place.not_found(path, "not found"));
            }
            Some(EntryKind::Symlink) => "it is a symbolic link, which is never followed",
            Some(EntryKind::Submodule) => "it is a submodule, which is not fetched",
            None => "no such file",
        };
        Err(place.not_found(path, why))
    }

    /// Content of every entry that `filter` takes, in one hop to a reader thread. Submodules have no content and are
    /// left out; of a symlink the target is returned as bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for one file or for all together, [`Error::Corrupt`], [`Error::MirrorLost`].
    pub async fn read_all(&self, filter: impl Fn(&Entry) -> bool) -> Result<Vec<File>, Error> {
        let readable = |entry: &&Entry| entry.kind != EntryKind::Submodule && filter(entry);
        let chosen: Vec<Entry> = self.0.entries.iter().filter(readable).cloned().collect();
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let inner = self.0.clone();
        let read = move |cancel: &Arc<crate::cancel::Cancel>| {
            let files = read_blobs(&inner, chosen, || cancel.is_raised());
            files.inspect_err(|error| distrust(&inner.dir, error))
        };
        self.0.readers.run(&self.0.url, (), read).await
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            url,
            commit,
            path,
            tree,
            entries,
            ..
        } = &*self.0;
        write!(
            f,
            "Snapshot({url} {commit} {path:?} tree {tree}, {} entries)",
            entries.len()
        )
    }
}

fn read_blobs(inner: &Inner, chosen: Vec<Entry>, stopped: impl Fn() -> bool) -> Result<Vec<File>, Error> {
    let mirror = open(&inner.dir, &inner.url)?;
    let odb = mirror
        .repo()
        .odb()
        .map_err(|error| libgit2::sort(&error, &inner.url, "object database"))?;
    let mut total = 0_u64;
    let mut files = Vec::with_capacity(chosen.len());
    for entry in chosen {
        if stopped() {
            return Err(Error::Cancelled {
                url: inner.url.clone(),
            });
        }
        let bytes = blob(inner, &odb, &entry)?;
        total += bytes.len() as u64;
        if total > inner.limits.max_read_bytes {
            return Err(too_large(
                inner,
                "the files under the path together".to_owned(),
                inner.limits.max_read_bytes,
            ));
        }
        files.push(File {
            path: entry.path,
            kind: entry.kind,
            bytes,
        });
    }
    Ok(files)
}

fn blob(inner: &Inner, odb: &Odb<'_>, entry: &Entry) -> Result<Vec<u8>, Error> {
    let what = || format!("file {:?} ({})", crate::escape::line(&entry.path, 300), entry.oid);
    let broken = |error: git2::Error| match error.code() {
        ErrorCode::NotFound => Error::Corrupt {
            url: inner.url.clone(),
            why: format!("{} is missing", what()),
        },
        _ => libgit2::sort(&error, &inner.url, &what()),
    };
    let id = Oid::from_str(&entry.oid).map_err(broken)?;
    // The header first: nothing large is inflated only to be refused.
    let (size, kind) = odb.read_header(id).map_err(broken)?;
    if kind != ObjectType::Blob {
        return Err(Error::Corrupt {
            url: inner.url.clone(),
            why: format!("{} is a {kind}", what()),
        });
    }
    if size as u64 > inner.limits.max_blob_bytes {
        return Err(too_large(
            inner,
            format!("{} of {size} bytes", what()),
            inner.limits.max_blob_bytes,
        ));
    }
    Ok(odb.read(id).map_err(broken)?.data().to_vec())
}

fn too_large(inner: &Inner, what: String, limit: u64) -> Error {
    Error::TooLarge {
        url: inner.url.clone(),
        what,
        limit,
    }
}

pub(crate) fn open(dir: &Path, url: &str) -> Result<Mirror, Error> {
    Mirror::open(dir, url).ok_or_else(|| Error::MirrorLost {
        url: url.to_owned(),
        what: "data on disk".to_owned(),
    })
}

/// Root tree id of a commit in the mirror.
pub(crate) fn root_tree(mirror: &Mirror, url: &str, commit: &str) -> Result<Oid, Error> {
    let id =
        Oid::from_str(&crate::refs::full_id(commit)?).map_err(|error| libgit2::sort(&error, url, commit))?;
    match mirror.repo().find_commit(id) {
        Ok(found) => Ok(found.tree_id()),
        Err(error) if error.code() == ErrorCode::NotFound => Err(Error::MirrorLost {
            url: url.to_owned(),
            what: format!("commit {commit}"),
        }),
        Err(error) => Err(libgit2::sort(&error, url, &format!("commit {commit}"))),
    }
}

/// Broken data in a mirror: the next fetch starts anew.
pub(crate) fn distrust(dir: &Path, error: &Error) {
    if matches!(error, Error::Corrupt { .. } | Error::MirrorLost { .. }) {
        mirror::suspect(dir);
    }
}
