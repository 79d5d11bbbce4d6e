//! Who descends from whom. Owns the walk over commits that a shallow server left without parents: libgit2's own graph
//! walk fails at such a boundary, ours ends there. Whole histories use libgit2's.

use crate::mirror::Mirror;
use git2::{Error, Oid, Repository};
use std::collections::{HashSet, VecDeque};

/// Bounds the walk over a shallow history, which is short by nature.
const MAX_WALK: usize = 100_000;

pub(crate) fn descends(mirror: &Mirror, commit: Oid, ancestor: Oid) -> Result<bool, Error> {
    if commit == ancestor {
        return Ok(true);
    }
    if mirror.shallow().is_empty() {
        return mirror.repo().graph_descendant_of(commit, ancestor);
    }
    Ok(reachable(mirror.repo(), vec![commit], MAX_WALK).contains(&ancestor))
}

/// Commits reachable from `to` and not from `from`, newest first.
pub(crate) fn between(mirror: &Mirror, from: Oid, to: Oid, max: usize) -> Result<Vec<Oid>, Error> {
    if mirror.shallow().is_empty() {
        let mut walk = mirror.repo().revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL)?;
        walk.push(to)?;
        walk.hide(from)?;
        return walk.take(max).collect();
    }
    let hidden: HashSet<Oid> = reachable(mirror.repo(), vec![from], MAX_WALK)
        .into_iter()
        .collect();
    let all = reachable(mirror.repo(), vec![to], MAX_WALK);
    Ok(all
        .into_iter()
        .filter(|id| !hidden.contains(id))
        .take(max)
        .collect())
}

/// The starts and what lies behind them, breadth first, at most `max`; commits that are not there end the walk.
pub(crate) fn reachable(repo: &Repository, starts: Vec<Oid>, max: usize) -> Vec<Oid> {
    let mut seen: HashSet<Oid> = HashSet::new();
    let mut found = Vec::new();
    let mut queue = VecDeque::from(starts);
    while let Some(id) = queue.pop_front() {
        if found.len() >= max {
            break;
        }
        let Some(commit) = seen.insert(id).then(|| repo.find_commit(id).ok()).flatten() else {
            continue;
        };
        found.push(id);
        queue.extend(commit.parent_ids());
    }
    found
}
