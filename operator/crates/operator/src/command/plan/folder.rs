//! A local directory read as a source: the same files as the operator would read of a commit, links never followed.

use std::path::Path;

use tidegate_api::application::SourceReference;
use tidegate_core::desired::RawObject;
use tidegate_core::problem::Problem;
use tidegate_render::{EntryKind, Selection, SourceEntry, SourceFile, ignore_file, select};

/// Most entries of a directory, as of a commit.
const MAX_ENTRIES: usize = 100_000;
/// Largest file that is read.
const MAX_FILE: u64 = 64 << 20;

/// Objects of a directory, or all that is wrong in it.
pub(super) fn read(root: &Path, source: &SourceReference) -> Result<Vec<RawObject>, Vec<Problem>> {
    let mut found = Vec::new();
    walk(root, "", &mut found)?;
    found.sort();
    let mut ignore_files = Vec::new();
    for (path, _) in found
        .iter()
        .filter(|(path, kind)| *kind == EntryOrder::File && ignore_file(path))
    {
        let text = String::from_utf8_lossy(&bytes(root, path)?).into_owned();
        ignore_files.push((path.clone(), text));
    }
    let shown = root.display().to_string();
    let selection = Selection {
        root: shown.trim_end_matches('/'),
        include: &source.include,
        exclude: &source.exclude,
        ignore_files: &ignore_files,
    };
    let entries: Vec<SourceEntry<'_>> = found
        .iter()
        .map(|(path, kind)| SourceEntry {
            path,
            kind: match kind {
                EntryOrder::File => EntryKind::File,
                EntryOrder::Link => EntryKind::Symlink,
            },
        })
        .collect();
    let mut files = Vec::new();
    for path in select(&entries, &selection)? {
        files.push(SourceFile {
            path: selection.full_path(path),
            bytes: bytes(root, path)?,
        });
    }
    tidegate_render::render(&files)
}

/// What an entry is, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EntryOrder {
    File,
    Link,
}

fn walk(root: &Path, below: &str, found: &mut Vec<(String, EntryOrder)>) -> Result<(), Vec<Problem>> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|e| unreadable(&folder, &e.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ".git" {
            continue;
        }
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let kind = entry
            .file_type()
            .map_err(|e| unreadable(&root.join(&path), &e.to_string()))?;
        if found.len() >= MAX_ENTRIES {
            return Err(unreadable(root, &format!("has more than {MAX_ENTRIES} files")));
        }
        if kind.is_symlink() {
            found.push((path, EntryOrder::Link));
        } else if kind.is_dir() {
            walk(root, &path, found)?;
        } else if kind.is_file() {
            found.push((path, EntryOrder::File));
        }
    }
    Ok(())
}

fn bytes(root: &Path, path: &str) -> Result<Vec<u8>, Vec<Problem>> {
    let path = root.join(path);
    let size = std::fs::metadata(&path)
        .map_err(|e| unreadable(&path, &e.to_string()))?
        .len();
    if size > MAX_FILE {
        return Err(unreadable(&path, &format!("is larger than {MAX_FILE} bytes")));
    }
    std::fs::read(&path).map_err(|e| unreadable(&path, &e.to_string()))
}

fn unreadable(path: &Path, cause: &str) -> Vec<Problem> {
    vec![Problem {
        reason: "Unreadable",
        object: String::new(),
        field: None,
        location: None,
        message: format!("{}: {cause}", path.display()),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_as_a_commit_would_be() {
        let dir = std::env::temp_dir().join(format!("tidegate-plan-{}", std::process::id()));
        let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let put = |path: &str, text: &str| {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("a.yaml", &map("a"));
        put("sub/b.yaml", &map("b"));
        put("sub/ignored.yaml", &map("ignored"));
        put("sub/.tidegateignore", "ignored.yaml\n");
        put("notes.txt", "no manifest");
        put(".git/config.yaml", "not: read");
        let source = SourceReference {
            exclude: vec!["excluded/**".to_owned()],
            ..SourceReference::default()
        };
        put("excluded/c.yaml", &map("c"));
        let names = |objects: Vec<RawObject>| -> Vec<String> {
            objects
                .iter()
                .map(|o| o.value["metadata"]["name"].to_string())
                .collect()
        };
        assert_eq!(names(read(&dir, &source).unwrap()), ["\"a\"", "\"b\""]);
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link.yaml")).unwrap();
        let problems = read(&dir, &source).err().unwrap();
        assert_eq!(problems[0].reason, "SymlinkRefused");
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read(&dir, &source).err().unwrap()[0].reason, "Unreadable");
    }
}
