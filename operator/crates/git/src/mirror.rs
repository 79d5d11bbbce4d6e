//! One bare mirror on disk. Owns its layout, the refs that remember what was fetched, the taking in of packs and the
//! decision that a mirror is lost. One writer at a time (the pool's lock); readers open it on their own.

use crate::ancestry;
use crate::cancel::Watch;
use crate::pack_scan::PackScan;
use crate::tree_walk;
use crate::{Error, Limits, libgit2};
use git2::{Commit, ErrorCode, Indexer, ObjectType, Odb, Oid, Repository, RepositoryInitOptions};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A reader that meets broken data leaves this file; the next fetch then clones anew.
const SUSPECT: &str = "suspect";
const REFS: &str = "refs/tidegate/";
/// Commits named to the server; more do not make packs smaller in practice.
const MAX_HAVES: usize = 200;
/// A mirror of more packs is cloned anew: libgit2 looks through all of them for every object.
const MAX_PACKS: usize = 400;

pub(crate) struct Mirror {
    dir: PathBuf,
    url: String,
    repo: Repository,
}

impl Mirror {
    /// `None` if there is none, or one that cannot be trusted.
    pub(crate) fn open(dir: &Path, url: &str) -> Option<Self> {
        libgit2::init();
        if dir.join(SUSPECT).exists() {
            return None;
        }
        let repo = Repository::open_bare(dir).ok()?;
        Some(Self {
            dir: dir.to_owned(),
            url: url.to_owned(),
            repo,
        })
    }

    /// An empty mirror in place of whatever is there.
    pub(crate) fn create(dir: &Path, url: &str) -> Result<Self, Error> {
        libgit2::init();
        remove(dir).map_err(|error| libgit2::sort_io(&error, url, dir))?;
        fs::create_dir_all(dir).map_err(|error| libgit2::sort_io(&error, url, dir))?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false).no_reinit(true);
        let repo = Repository::init_opts(dir, &options)
            .map_err(|e| libgit2::sort(&e, url, "creating the mirror"))?;
        Ok(Self {
            dir: dir.to_owned(),
            url: url.to_owned(),
            repo,
        })
    }

    pub(crate) fn repo(&self) -> &Repository {
        &self.repo
    }

    /// Commit and root tree are there and read back right.
    pub(crate) fn has_commit(&self, id: Oid) -> bool {
        self.repo
            .find_commit(id)
            .is_ok_and(|commit| commit.tree().is_ok())
    }

    pub(crate) fn has_too_many_packs(&self) -> bool {
        let packs = fs::read_dir(self.pack_dir()).into_iter().flatten().flatten();
        packs
            .filter(|file| file.path().extension().is_some_and(|e| e == "pack"))
            .count()
            > MAX_PACKS
    }

    /// The commit that an object leads to through tags.
    pub(crate) fn peel(&self, object: Oid, reference: &str) -> Result<Commit<'_>, Error> {
        let found = self
            .repo
            .find_object(object, None)
            .map_err(|e| libgit2::sort(&e, &self.url, reference))?;
        let kind = found.kind().map_or("object", |kind| kind.str()).to_owned();
        found.peel_to_commit().map_err(|error| match error.code() {
            ErrorCode::Peel | ErrorCode::InvalidSpec => Error::NotACommit {
                url: self.url.clone(),
                reference: reference.to_owned(),
                kind,
            },
            _ => libgit2::sort(&error, &self.url, reference),
        })
    }

    /// What we tell the server we have: everything fetched so far and some commits behind it, for force-pushes.
    pub(crate) fn haves(&self) -> Vec<String> {
        let Ok(references) = self.repo.references_glob(&format!("{REFS}*")) else {
            return Vec::new();
        };
        let mut tips: Vec<Commit<'_>> = references
            .flatten()
            .filter_map(|r| r.peel_to_commit().ok())
            .collect();
        // Newest first: with many references the cap must not cut off the ones that move.
        tips.sort_by_key(|commit| std::cmp::Reverse(commit.time().seconds()));
        let tips = tips.iter().map(Commit::id).collect();
        ancestry::reachable(&self.repo, tips, MAX_HAVES)
            .iter()
            .map(Oid::to_string)
            .collect()
    }

    /// Remembers what a reference pointed at. Hashed names: `a` and `a/b` may both have existed over time.
    pub(crate) fn remember(&self, name: &str, object: Oid) -> Result<(), Error> {
        let key = Oid::hash_object(ObjectType::Blob, name.as_bytes())
            .map_err(|error| libgit2::sort(&error, &self.url, "naming a reference"))?;
        self.repo
            .reference(&format!("{REFS}{key}"), object, true, "fetch")
            .map(drop)
            .map_err(|error| libgit2::sort(&error, &self.url, "writing a reference"))
    }

    pub(crate) fn shallow(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("shallow")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Writes the boundary of a shallow server, so that walks end there instead of failing.
    pub(crate) fn set_shallow(&self, boundary: &[String]) -> Result<(), Error> {
        let path = self.dir.join("shallow");
        if boundary.is_empty() {
            return Ok(());
        }
        let text: String = boundary.iter().map(|id| format!("{id}\n")).collect();
        fs::write(&path, text).map_err(|error| libgit2::sort_io(&error, &self.url, &path))
    }

    /// Every tree and blob of the commit is there. A server may leave out objects; better to learn it now.
    pub(crate) fn check_complete(
        &self,
        commit: &Commit<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<(), Error> {
        let tree = commit
            .tree()
            .map_err(|error| libgit2::sort(&error, &self.url, "root tree"))?;
        let odb = self
            .repo
            .odb()
            .map_err(|error| libgit2::sort(&error, &self.url, "object database"))?;
        tree_walk::check_objects(&self.repo, &odb, &tree, limits.max_files, watch)
    }

    fn pack_dir(&self) -> PathBuf {
        self.dir.join("objects").join("pack")
    }
}

/// Marks a mirror as broken. Best effort: if the directory is gone there is nothing to mark.
pub(crate) fn suspect(dir: &Path) {
    if dir.is_dir() {
        let _ = fs::write(dir.join(SUSPECT), b"");
    }
}

/// Removes a mirror; no mirror is fine.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A pack on its way into a mirror: counted, looked into, indexed, and only visible once whole.
pub(crate) struct PackIntake<'a> {
    indexer: Indexer<'a>,
    scan: PackScan,
    watch: Watch,
    received: u64,
    limit: u64,
    header: Vec<u8>,
}

impl<'a> PackIntake<'a> {
    pub(crate) fn new(mirror: &Mirror, odb: &Odb<'a>, limits: &Limits, watch: &Watch) -> Result<Self, Error> {
        let broken = |error: git2::Error| libgit2::sort(&error, watch.url(), "pack directory");
        let mut indexer = Indexer::new(Some(odb), &mirror.pack_dir(), 0o600, false).map_err(broken)?;
        let progress = watch.clone();
        indexer.progress(move |_| progress.check().is_ok());
        let scan = PackScan::new(watch.url(), limits);
        Ok(Self {
            indexer,
            scan,
            watch: watch.clone(),
            received: 0,
            limit: limits.max_fetch_bytes,
            header: Vec::new(),
        })
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.received += bytes.len() as u64;
        if self.received > self.limit {
            let url = self.watch.url().to_owned();
            return Err(Error::TooLarge {
                url,
                what: "the pack".to_owned(),
                limit: self.limit,
            });
        }
        self.scan.feed(bytes)?;
        let room = 12_usize.saturating_sub(self.header.len());
        self.header.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.indexer.write_all(bytes).map_err(|error| self.sort(&error))
    }

    /// Resolves deltas, checks the checksum and makes the objects visible.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if !self.scan.is_complete() {
            let url = self.watch.url().to_owned();
            return Err(Error::Truncated {
                url,
                why: "the pack ends before its last object".to_owned(),
            });
        }
        // Nothing new under the sun (a reference moved to a commit we have): libgit2 indexes no empty packs.
        if self.header.get(8..12) == Some(&[0; 4]) {
            return Ok(());
        }
        let watch = self.watch;
        match self.indexer.commit() {
            Ok(name) => {
                tracing::debug!(
                    url = watch.url(),
                    pack = name,
                    bytes = self.received,
                    "pack taken in"
                );
                Ok(())
            }
            Err(error) => {
                watch.check()?;
                Err(libgit2::sort(&error, watch.url(), "in the pack from the server"))
            }
        }
    }

    fn sort(&self, error: &io::Error) -> Error {
        if let Err(stopped) = self.watch.check() {
            return stopped;
        }
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<git2::Error>())
        {
            Some(inner) => libgit2::sort(inner, self.watch.url(), "in the pack from the server"),
            None => Error::Storage {
                why: error.to_string(),
            },
        }
    }
}
