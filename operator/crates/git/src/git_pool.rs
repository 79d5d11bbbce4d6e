//! The front door: every operation as a future, run on the room's own blocking threads. Owns the cache directory, the
//! locks per mirror and the fairness between servers.

use crate::ancestry;
use crate::cancel::{Cancel, Watch};
use crate::credentials::hex;
use crate::history::Walk;
use crate::mirror;
use crate::refs::full_id;
use crate::snapshot::{self, distrust};
use crate::tree_diff;
use crate::tree_walk::{self, Place};
use crate::workers::Workers;
use crate::{
    Change, Error, Fetched, History, Keyring, RefSpec, Remote, ResolvedRef, Revision, Snapshot, Verified,
    fetch, libgit2,
};
use git2::{ErrorCode, Oid};
use jiff::Timestamp;
use ring::rand::SecureRandom;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Mirrors under one cache directory and the threads that work on them.
pub struct GitPool {
    cache: PathBuf,
    key: Vec<u8>,
    network: Workers,
    readers: Arc<Workers>,
    per_server: usize,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    servers: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl GitPool {
    /// Opens the cache directory (created if missing) and starts `threads` network threads and as many readers, at
    /// least one each. One server takes at most half of the network threads, so a hanging one stops no other.
    ///
    /// # Errors
    /// [`Error::Storage`] or [`Error::DiskFull`] if the directory cannot be used.
    pub fn new(cache_dir: impl Into<PathBuf>, threads: usize) -> Result<Self, Error> {
        libgit2::init();
        let cache = cache_dir.into();
        fs::create_dir_all(&cache).map_err(|error| libgit2::sort_io(&error, "the cache", &cache))?;
        Ok(Self {
            key: key(&cache)?,
            cache,
            network: Workers::start("git-net", threads, threads.max(1) + 64)?,
            readers: Arc::new(Workers::start("git-read", threads, threads.max(1) + 64)?),
            per_server: (threads / 2).max(1),
            locks: Mutex::default(),
            servers: Mutex::default(),
        })
    }

    /// What a reference points at: exactly one request for the references, no fetch.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ls_remote(&self, remote: &Remote, spec: &RefSpec) -> Result<ResolvedRef, Error> {
        let turn = self.turn(remote).await?;
        let (remote, spec) = (remote.clone(), spec.clone());
        let url = remote.url.to_string();
        let task_url = url.clone();
        let task = move |cancel: &Arc<_>| {
            fetch::ls_remote(&remote, &spec, &Watch::start(cancel, &task_url, remote.timeout))
        };
        self.network.run(&url, turn, task).await
    }

    /// Brings the commit of a reference into the mirror. With `known` (the commit the caller saw last) an unchanged
    /// reference costs one request. Mirrors are shared by URL and credentials; a lost or corrupt one is cloned anew.
    ///
    /// # Errors
    /// See [`Error`]; a failed fetch leaves what was there readable.
    pub async fn fetch(
        &self,
        remote: &Remote,
        spec: &RefSpec,
        known: Option<&str>,
    ) -> Result<Fetched, Error> {
        let dir = self.mirror(remote);
        // The mirror first, the server second: who waits for the same mirror holds no slot of the server.
        let lock = self.lock(&dir).await;
        let turn = self.turn(remote).await?;
        let (remote, spec, known) = (remote.clone(), spec.clone(), known.map(str::to_owned));
        let url = remote.url.to_string();
        let task_url = url.clone();
        let task = move |cancel: &Arc<_>| {
            let watch = Watch::start(cancel, &task_url, remote.timeout);
            fetch::fetch(&dir, &remote, &spec, known.as_deref(), &watch)
        };
        self.network.run(&url, (lock, turn), task).await
    }

    /// Lists what lies under `path` of a commit that was fetched before.
    ///
    /// # Errors
    /// [`Error::PathNotFound`], [`Error::UnsafeName`], [`Error::TooLarge`], [`Error::MirrorLost`], [`Error::Corrupt`].
    pub async fn snapshot(&self, remote: &Remote, commit: &str, path: &str) -> Result<Snapshot, Error> {
        let readers = self.readers.clone();
        let (commit, path, limits) = (commit.to_owned(), path.to_owned(), remote.limits);
        self.read(remote, move |dir, url| {
            Snapshot::take(&readers, dir, url, &commit, &path, limits)
        })
        .await
    }

    /// Id of the tree at `path` of a commit that was fetched before, without listing it.
    ///
    /// # Errors
    /// As [`GitPool::snapshot`].
    pub async fn tree_id(&self, remote: &Remote, commit: &str, path: &str) -> Result<String, Error> {
        let (commit, path) = (commit.to_owned(), path.to_owned());
        self.read(remote, move |dir, url| {
            let place = Place { url, commit: &commit };
            let path = tree_walk::normalised(&path, &place)?;
            let mirror = snapshot::open(dir, url)?;
            let root = snapshot::root_tree(&mirror, url, &commit)?;
            let root = mirror
                .repo()
                .find_tree(root)
                .map_err(|error| libgit2::sort(&error, url, "root tree"))?;
            Ok(tree_walk::subtree(mirror.repo(), root, &path, &place)?
                .id()
                .to_string())
        })
        .await
    }

    /// Paths that differ between two trees (ids as from [`Snapshot::tree`]), sorted, at most `max_files`.
    ///
    /// # Errors
    /// As [`GitPool::snapshot`].
    pub async fn tree_diff(
        &self,
        remote: &Remote,
        old_tree: &str,
        new_tree: &str,
    ) -> Result<Vec<Change>, Error> {
        let (old, new, limits) = (oid(old_tree)?, oid(new_tree)?, remote.limits);
        self.read(remote, move |dir, url| {
            let mirror = snapshot::open(dir, url)?;
            tree_diff::diff(
                mirror.repo(),
                Some(old),
                new,
                &limits,
                &Place {
                    url,
                    commit: &new.to_string(),
                },
            )
        })
        .await
    }

    /// Whether `ancestor` is `commit` or an ancestor of it. Both must be in the mirror.
    ///
    /// # Errors
    /// [`Error::MirrorLost`] if one of them is not.
    pub async fn is_ancestor(&self, remote: &Remote, ancestor: &str, commit: &str) -> Result<bool, Error> {
        let (old, new) = (oid(ancestor)?, oid(commit)?);
        self.read(remote, move |dir, url| {
            let mirror = snapshot::open(dir, url)?;
            for id in [old, new] {
                mirror
                    .repo()
                    .find_commit(id)
                    .map_err(|error| absent(&error, url, id))?;
            }
            ancestry::descends(&mirror, new, old).map_err(|error| libgit2::sort(&error, url, "commit graph"))
        })
        .await
    }

    /// Commits reachable from `to` and not from `from`, newest first, at most `max`.
    ///
    /// # Errors
    /// [`Error::MirrorLost`] if one of them is not in the mirror.
    pub async fn log_between(
        &self,
        remote: &Remote,
        from: &str,
        to: &str,
        max: usize,
    ) -> Result<Vec<Revision>, Error> {
        let (from, to) = (oid(from)?, oid(to)?);
        self.read(remote, move |dir, url| {
            let mirror = snapshot::open(dir, url)?;
            for id in [from, to] {
                mirror
                    .repo()
                    .find_commit(id)
                    .map_err(|error| absent(&error, url, id))?;
            }
            let broken = |error: git2::Error| libgit2::sort(&error, url, "commit graph");
            let commit = |id| {
                Ok(Revision::of(
                    &mirror.repo().find_commit(id).map_err(broken)?,
                    "commit",
                ))
            };
            let ids = ancestry::between(&mirror, from, to, max).map_err(broken)?;
            ids.into_iter().map(commit).collect()
        })
        .await
    }

    /// Reads the keys that may sign from a Secret; on a thread of its own, since every certificate is verified.
    ///
    /// # Errors
    /// [`Error::InvalidKeyring`].
    pub async fn keyring(&self, data: BTreeMap<String, Vec<u8>>) -> Result<Keyring, Error> {
        let read = move |_: &Arc<_>| Keyring::from_secret(&data);
        self.readers.run("the keyring", (), read).await
    }

    /// Judges the signatures of a revision that was fetched: of its commit, and of the annotated tag that led to it.
    ///
    /// # Errors
    /// [`Error::MirrorLost`] or [`Error::Corrupt`]; a bad signature is an answer and no error.
    pub async fn verify(
        &self,
        remote: &Remote,
        revision: &Revision,
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Verified, Error> {
        let revision = revision.clone();
        self.walk(remote, keyring, now, move |walk| walk.verify(&revision))
            .await
    }

    /// Every commit reachable from `new` and not from `old`, with its signature and the files it answers for: at most
    /// `cap` commits. Without an `old` only `new` itself. An `old` that is not there any more, and whatever else is not
    /// known, is said in [`History::missing`].
    ///
    /// # Errors
    /// [`Error::MirrorLost`] if `new` is not in the mirror, [`Error::Corrupt`].
    pub async fn commits_between(
        &self,
        remote: &Remote,
        old: Option<&str>,
        new: &str,
        keyring: &Keyring,
        now: Timestamp,
        cap: usize,
    ) -> Result<History, Error> {
        let (old, new) = (old.map(oid).transpose()?, oid(new)?);
        self.walk(remote, keyring, now, move |walk| walk.between(old, new, cap))
            .await
    }

    /// A commit that was fetched before, as it is shown under the name `reference`.
    ///
    /// # Errors
    /// [`Error::MirrorLost`] if it is not in the mirror.
    pub async fn revision(&self, remote: &Remote, commit: &str, reference: &str) -> Result<Revision, Error> {
        let (id, reference) = (oid(commit)?, reference.to_owned());
        self.read(remote, move |dir, url| {
            let mirror = snapshot::open(dir, url)?;
            let found = mirror.repo().find_commit(id);
            let found = found.map_err(|error| absent(&error, url, id))?;
            Ok(Revision::of(&found, &reference))
        })
        .await
    }

    /// Removes the mirrors of all other remotes. Mirrors in use by a running fetch are left for the next time.
    ///
    /// # Errors
    /// [`Error::Storage`] if the cache cannot be read.
    pub async fn retain(&self, remotes: &[Remote]) -> Result<usize, Error> {
        let keep: HashSet<PathBuf> = remotes.iter().map(|remote| self.mirror(remote)).collect();
        let root = self.cache.join("mirrors");
        let mut idle = Vec::new();
        for found in fs::read_dir(&root).into_iter().flatten().flatten() {
            let dir = found.path();
            let lock = self.lock_of(&dir).try_lock_owned();
            if let (false, Ok(lock)) = (keep.contains(&dir), lock) {
                idle.push((dir, lock));
            }
        }
        let removing = move |_: &Arc<_>| {
            let count = idle.len();
            for (dir, _lock) in idle {
                mirror::remove(&dir).map_err(|error| libgit2::sort_io(&error, "the cache", &dir))?;
            }
            Ok(count)
        };
        self.readers.run("the cache", (), removing).await
    }

    async fn read<T: Send + 'static>(
        &self,
        remote: &Remote,
        task: impl FnOnce(&Path, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (dir, url) = (self.mirror(remote), remote.url.to_string());
        let task_url = url.clone();
        let guarded = move |_: &Arc<_>| task(&dir, &task_url).inspect_err(|error| distrust(&dir, error));
        self.readers.run(&url, (), guarded).await
    }

    async fn walk<T: Send + 'static>(
        &self,
        remote: &Remote,
        keyring: &Keyring,
        now: Timestamp,
        task: impl FnOnce(&Walk<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (dir, url) = (self.mirror(remote), remote.url.to_string());
        let (keyring, limits, task_url) = (keyring.clone(), remote.limits, url.clone());
        let guarded = move |cancel: &Arc<Cancel>| {
            let walked = snapshot::open(&dir, &task_url).and_then(|mirror| {
                task(&Walk {
                    mirror: &mirror,
                    url: &task_url,
                    limits: &limits,
                    keyring: &keyring,
                    now,
                    cancel,
                })
            });
            walked.inspect_err(|error| distrust(&dir, error))
        };
        self.readers.run(&url, (), guarded).await
    }

    /// Keyed by URL and credentials: who has other credentials gets another mirror, or none.
    fn mirror(&self, remote: &Remote) -> PathBuf {
        let who = remote.credentials.fingerprint(&self.key);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.key);
        let name = ring::hmac::sign(
            &key,
            format!("{} {} {who}", remote.url.origin(), remote.url).as_bytes(),
        );
        self.cache.join("mirrors").join(&hex(name.as_ref())[..40])
    }

    async fn lock(&self, dir: &Path) -> OwnedMutexGuard<()> {
        self.lock_of(dir).lock_owned().await
    }

    fn lock_of(&self, dir: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() > 1024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        locks
            .entry(dir.to_string_lossy().into_owned())
            .or_default()
            .clone()
    }

    /// Waits until the server has a free slot.
    async fn turn(&self, remote: &Remote) -> Result<OwnedSemaphorePermit, Error> {
        let slots = {
            let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            if servers.len() > 1024 {
                servers.retain(|_, slots| Arc::strong_count(slots) > 1);
            }
            let fresh = || Arc::new(Semaphore::new(self.per_server));
            servers.entry(remote.url.origin()).or_insert_with(fresh).clone()
        };
        slots.acquire_owned().await.map_err(|_| Error::Cancelled {
            url: remote.url.to_string(),
        })
    }
}

fn oid(id: &str) -> Result<Oid, Error> {
    Oid::from_str(&full_id(id)?).map_err(|error| libgit2::sort(&error, "the caller", id))
}

fn absent(error: &git2::Error, url: &str, id: Oid) -> Error {
    match error.code() {
        ErrorCode::NotFound => Error::MirrorLost {
            url: url.to_owned(),
            what: format!("commit {id}"),
        },
        _ => libgit2::sort(error, url, &format!("commit {id}")),
    }
}

/// The key of all fingerprints: random, kept beside the mirrors so that they survive a restart, worthless elsewhere.
fn key(cache: &Path) -> Result<Vec<u8>, Error> {
    let path = cache.join("key");
    match fs::read(&path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        _ => {}
    }
    let mut key = vec![0_u8; 32];
    ring::rand::SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Error::Storage {
            why: "the system gives no random numbers".to_owned(),
        })?;
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    written
        .and_then(|mut file| file.write_all(&key))
        .map_err(|error| libgit2::sort_io(&error, "the cache", &path))?;
    Ok(key)
}
