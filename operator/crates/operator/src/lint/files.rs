//! The files that `tidegate lint` looks at.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Most files of one run.
const MAX_FILES: usize = 20_000;
/// Deepest directory.
const MAX_DEPTH: usize = 64;
/// Most bytes of one file.
const MAX_BYTES: u64 = 10 << 20;

/// A file that was read.
pub(super) struct File {
    /// As it was named, or as it was found.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

/// The files under these paths in the order of their names; messages where something cannot be read.
pub(super) fn gather(paths: &[PathBuf]) -> Vec<Result<PathBuf, String>> {
    let mut found = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => walk(path, 0, &mut found),
            Ok(_) => found.push(Ok(path.clone())),
            Err(error) => found.push(Err(format!("{}: cannot be read: {error}", path.display()))),
        }
    }
    found
}

/// Neither symlinks nor hidden entries are followed.
fn walk(directory: &Path, depth: usize, found: &mut Vec<Result<PathBuf, String>>) {
    if depth > MAX_DEPTH || found.len() >= MAX_FILES {
        let message = format!(
            "{}: left out: more than {MAX_FILES} files, or deeper than {MAX_DEPTH} directories",
            directory.display()
        );
        found.push(Err(message));
        return;
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            found.push(Err(format!("{}: cannot be read: {error}", directory.display())));
            return;
        }
    };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        if hidden || meta.is_symlink() {
            continue;
        }
        if meta.is_dir() {
            walk(&path, depth + 1, found);
        } else if meta.is_file() && is_manifest(&path) {
            found.push(Ok(path));
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let name = path.display().to_string();
    let failed = |error: &std::io::Error| format!("{name}: cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| failed(&e))?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| failed(&e))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "{name}: cannot be read: it has more than {MAX_BYTES} bytes"
        ));
    }
    Ok(File { path: name, bytes })
}
