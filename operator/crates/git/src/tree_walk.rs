//! Walking trees of the object database: finding a path, listing what is under it. Owns the rules for names and kinds;
//! nothing is ever followed (symlink, submodule), names that no honest git makes are refused by name.

use crate::cancel::Watch;
use crate::{Error, Limits, escape, libgit2};
use git2::{ObjectType, Odb, Oid, Repository, Tree};
use std::collections::HashSet;

/// Longest path that is listed, in bytes (PATH_MAX): bounds the nesting, too.
const MAX_PATH: usize = 4096;

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symbolic link: its blob is the target; never followed.
    Symlink,
    /// A commit of another repository; never followed.
    Submodule,
}

/// Something under a path that is not a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the snapshot's path, with `/`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Mode as in git, for example `0o100644`.
    pub mode: u32,
    /// Object id, 40 hex digits; of a submodule the commit of the other repository.
    pub oid: String,
}

/// Where a walk happens, for messages.
pub(crate) struct Place<'a> {
    pub(crate) url: &'a str,
    pub(crate) commit: &'a str,
}

impl Place<'_> {
    fn unsafe_name(&self, path: &str, why: &str) -> Error {
        Error::UnsafeName {
            url: self.url.to_owned(),
            commit: self.commit.to_owned(),
            path: escape::line(path, 300),
            why: why.to_owned(),
        }
    }

    pub(crate) fn not_found(&self, path: &str, why: impl Into<String>) -> Error {
        Error::PathNotFound {
            url: self.url.to_owned(),
            path: escape::line(path, 300),
            commit: self.commit.to_owned(),
            why: why.into(),
        }
    }
}

/// `./a//b/` becomes `a/b`; the root is the empty string.
pub(crate) fn normalised(path: &str, place: &Place<'_>) -> Result<String, Error> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(place.not_found(path, "'..' is refused in a path")),
            part if part.contains(['\0', '\\']) => {
                return Err(place.not_found(path, "NUL and '\\' are refused in a path"));
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The tree at a normalised path.
pub(crate) fn subtree<'r>(
    repo: &'r Repository,
    root: Tree<'r>,
    path: &str,
    place: &Place<'_>,
) -> Result<Tree<'r>, Error> {
    let mut tree = root;
    let mut walked = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        push(&mut walked, part);
        let entry = tree.get_name_bytes(part.as_bytes());
        let (mode, id) = entry.map(|entry| (entry.filemode(), entry.id())).ok_or_else(|| {
            place.not_found(path, format!("{:?} does not exist", escape::line(&walked, 300)))
        })?;
        let not_directory = match mode & 0o170_000 {
            0o040_000 => None,
            0o120_000 => Some("is a symbolic link, which is never followed"),
            0o160_000 => Some("is a submodule, which is not fetched"),
            _ => Some("is a file, not a directory"),
        };
        if let Some(why) = not_directory {
            return Err(place.not_found(path, format!("{:?} {why}", escape::line(&walked, 300))));
        }
        tree = repo
            .find_tree(id)
            .map_err(|error| libgit2::sort(&error, place.url, &format!("tree {id}")))?;
    }
    Ok(tree)
}

/// Everything under a tree that is not a directory, sorted by path.
pub(crate) fn list(
    repo: &Repository,
    root: Tree<'_>,
    limits: &Limits,
    place: &Place<'_>,
) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut seen = 0_usize;
    let mut open = vec![(String::new(), root)];
    while let Some((prefix, tree)) = open.pop() {
        for entry in &tree {
            // Directories count: a few trees that contain each other many times expand without end (a git bomb).
            seen += 1;
            if seen > limits.max_files {
                return Err(Error::TooLarge {
                    url: place.url.to_owned(),
                    what: "the number of files and directories under the path".to_owned(),
                    limit: limits.max_files as u64,
                });
            }
            let mut path = prefix.clone();
            let raw = entry.name_bytes();
            let name = match checked_name(raw) {
                Ok(name) => name,
                Err(why) => {
                    push(&mut path, &String::from_utf8_lossy(raw));
                    return Err(place.unsafe_name(&path, why));
                }
            };
            push(&mut path, name);
            if path.len() > MAX_PATH {
                return Err(place.unsafe_name(&path, "the path is longer than 4096 bytes"));
            }
            let mode = entry.filemode().unsigned_abs();
            let kind = match mode & 0o170_000 {
                0o040_000 => {
                    let id = entry.id();
                    let tree = repo
                        .find_tree(id)
                        .map_err(|e| libgit2::sort(&e, place.url, &format!("tree {id}")))?;
                    open.push((path, tree));
                    continue;
                }
                0o120_000 => EntryKind::Symlink,
                0o160_000 => EntryKind::Submodule,
                _ if mode & 0o111 != 0 => EntryKind::Executable,
                _ => EntryKind::File,
            };
            entries.push(Entry {
                path,
                kind,
                mode,
                oid: entry.id().to_string(),
            });
        }
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(place.unsafe_name(&pair[0].path, "the name occurs twice"));
    }
    Ok(entries)
}

/// All trees and blobs under `root` exist; stops without complaint after `max` entries.
pub(crate) fn check_objects(
    repo: &Repository,
    odb: &Odb<'_>,
    root: &Tree<'_>,
    max: usize,
    watch: &Watch,
) -> Result<(), Error> {
    let mut open = vec![root.id()];
    let mut trees: HashSet<Oid> = HashSet::new();
    let mut left = max;
    while let Some(id) = open.pop() {
        if !trees.insert(id) {
            continue;
        }
        watch.check()?;
        let tree = repo
            .find_tree(id)
            .map_err(|error| libgit2::sort(&error, watch.url(), &format!("tree {id}")))?;
        for entry in &tree {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return Ok(()),
            };
            match entry.kind() {
                Some(ObjectType::Tree) => open.push(entry.id()),
                Some(ObjectType::Commit) => {}
                _ if odb.exists(entry.id()) => {}
                _ => {
                    let name = escape::bytes(entry.name_bytes(), 200);
                    let why = format!("blob {} of file {name:?} is missing", entry.id());
                    return Err(Error::Corrupt {
                        url: watch.url().to_owned(),
                        why,
                    });
                }
            }
        }
    }
    Ok(())
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
}

/// Names that could mean something else to a file system, a shell or a git further down the line. The list is that of
/// git's own fsck (hasDot, hasDotdot, hasDotgit, fullPathname) plus what cannot be written down in a message.
pub(crate) fn checked_name(raw: &[u8]) -> Result<&str, &'static str> {
    let name = std::str::from_utf8(raw).map_err(|_| "the name is not UTF-8")?;
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name == "." || name == ".." {
        return Err("the name means another directory");
    }
    if name.contains('/') {
        return Err("the name holds '/'");
    }
    if name.contains('\\') {
        return Err("the name holds '\\'");
    }
    if name.contains('\0') {
        return Err("the name holds NUL");
    }
    if is_dot_git(name) {
        return Err("the name means .git on some file system");
    }
    Ok(name)
}

/// `.git` as HFS+ (ignores invisible characters and case) and NTFS (short names, trailing dots, streams) see it.
fn is_dot_git(name: &str) -> bool {
    let visible = |c: &char| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let folded: String = name
        .chars()
        .filter(visible)
        .flat_map(char::to_lowercase)
        .collect();
    let stem = folded
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches(['.', ' ']);
    stem == ".git" || stem == "git~1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_or_refused() {
        let place = Place {
            url: "u",
            commit: "c",
        };
        for (path, want) in [
            ("", ""),
            (".", ""),
            ("./", ""),
            ("./deploy", "deploy"),
            ("deploy/", "deploy"),
            ("/a//b/./c/", "a/b/c"),
        ] {
            assert_eq!(normalised(path, &place).unwrap(), want);
        }
        for path in ["..", "a/../b", "../a", "a\\b", "a\0"] {
            assert_eq!(
                normalised(path, &place).unwrap_err().reason(),
                "PathNotFound",
                "{path:?}"
            );
        }
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        let bad: [&[u8]; 15] = [
            b"",
            b".",
            b"..",
            b"a/b",
            b"a\\b",
            b".git",
            b".GIT",
            b".Git",
            b"git~1",
            b"GIT~1",
            b".git.",
            b".git . .",
            b".git::$INDEX_ALLOCATION",
            ".g\u{200c}it".as_bytes(),
            b"a\xff",
        ];
        for name in bad {
            assert!(checked_name(name).is_err(), "{name:?}");
        }
        for name in [
            ".gitignore",
            ".gitattributes",
            "git",
            "...",
            "a b",
            "-x",
            "git~2",
            "\u{e9}",
            "e\u{301}",
        ] {
            assert!(checked_name(name.as_bytes()).is_ok(), "{name:?}");
        }
    }
}
