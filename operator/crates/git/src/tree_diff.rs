//! What differs between two trees. Owns the comparison; equal subtrees are skipped by id, so the cost is that of the
//! change, not of the repository.

use crate::tree_walk::{Place, checked_name};
use crate::{Error, Limits, escape, libgit2};
use git2::{Oid, Repository, Tree};
use std::collections::BTreeMap;

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Only in the newer tree.
    Added,
    /// In both, with other content or mode.
    Modified,
    /// Only in the older tree.
    Removed,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the trees compared.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

type Level = BTreeMap<Vec<u8>, (u32, Oid)>;

/// Without an `old` tree everything is added.
pub(crate) fn diff(
    repo: &Repository,
    old: Option<Oid>,
    new: Oid,
    limits: &Limits,
    place: &Place<'_>,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut open = vec![(String::new(), old, Some(new))];
    while let Some((prefix, old, new)) = open.pop() {
        let (before, after) = (level(repo, old, place)?, level(repo, new, place)?);
        for name in before
            .keys()
            .chain(after.keys().filter(|name| !before.contains_key(*name)))
        {
            let (a, b) = (before.get(name), after.get(name));
            if a == b {
                continue;
            }
            let name = checked_name(name).map_err(|why| Error::UnsafeName {
                url: place.url.to_owned(),
                commit: place.commit.to_owned(),
                path: escape::bytes(name, 300),
                why: why.to_owned(),
            })?;
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let tree = |side: Option<&(u32, Oid)>| side.filter(|(mode, _)| is_tree(*mode)).map(|(_, id)| *id);
            let leaf = |side: Option<&(u32, Oid)>| side.is_some_and(|(mode, _)| !is_tree(*mode));
            let kind = match (leaf(a), leaf(b)) {
                (true, true) => Some(ChangeKind::Modified),
                (true, false) => Some(ChangeKind::Removed),
                (false, true) => Some(ChangeKind::Added),
                (false, false) => None,
            };
            changes.extend(kind.map(|kind| Change {
                path: path.clone(),
                kind,
            }));
            if tree(a).is_some() || tree(b).is_some() {
                open.push((path, tree(a), tree(b)));
            }
            if changes.len() + open.len() > limits.max_files {
                let what = "the number of changed files".to_owned();
                return Err(Error::TooLarge {
                    url: place.url.to_owned(),
                    what,
                    limit: limits.max_files as u64,
                });
            }
        }
    }
    changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn is_tree(mode: u32) -> bool {
    mode & 0o170_000 == 0o040_000
}

fn level(repo: &Repository, id: Option<Oid>, place: &Place<'_>) -> Result<Level, Error> {
    let Some(id) = id else { return Ok(Level::new()) };
    let tree: Tree<'_> = repo
        .find_tree(id)
        .map_err(|error| libgit2::sort(&error, place.url, &format!("tree {id}")))?;
    Ok(tree
        .iter()
        .map(|e| (e.name_bytes().to_vec(), (e.filemode().unsigned_abs(), e.id())))
        .collect())
}
