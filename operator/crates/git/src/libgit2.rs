//! libgit2's process-wide settings and the sorting of its errors. Owns the only `unsafe` of the room.

use crate::{Error, escape};
use std::io;
use std::path::Path;
use std::sync::Once;

/// Sets memory windows and cuts libgit2 off from the machine's configuration. Call before any repository is opened.
#[expect(
    unsafe_code,
    reason = "libgit2 options are process globals; set once, before any other use"
)]
pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let nothing = Path::new("");
        // SAFETY: `Once` serialises the calls, and every path of this room to libgit2 passes here first.
        let results = unsafe {
            [
                // A 100 MB repository read in full peaks at 25 MB with these, at 107 MB without (build-notes.md).
                git2::opts::set_mwindow_size(1 << 20),
                git2::opts::set_mwindow_mapped_limit(32 << 20),
                git2::opts::set_mwindow_file_limit(64),
                git2::opts::set_cache_max_size(16 << 20),
                // Nobody's ~/.gitconfig has a say, and a volume may belong to another user.
                git2::opts::set_search_path(git2::ConfigLevel::System, nothing),
                git2::opts::set_search_path(git2::ConfigLevel::Global, nothing),
                git2::opts::set_search_path(git2::ConfigLevel::XDG, nothing),
                git2::opts::set_verify_owner_validation(false),
            ]
        };
        git2::opts::strict_hash_verification(true);
        for error in results.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "a libgit2 option could not be set");
        }
    });
}

/// Sorts an error of libgit2 while reading or writing a mirror.
pub(crate) fn sort(error: &git2::Error, url: &str, what: &str) -> Error {
    let text = escape::line(error.message(), 200);
    if is_disk_full(error.message()) {
        return Error::DiskFull {
            url: url.to_owned(),
            why: text,
        };
    }
    if error.class() == git2::ErrorClass::Os {
        return Error::Storage {
            why: format!("{what}: {text}"),
        };
    }
    Error::Corrupt {
        url: url.to_owned(),
        why: format!("{what}: {text}"),
    }
}

/// Sorts an error of the file system.
pub(crate) fn sort_io(error: &io::Error, url: &str, path: &Path) -> Error {
    let why = format!("{}: {error}", path.display());
    if matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) || is_disk_full(&why)
    {
        return Error::DiskFull {
            url: url.to_owned(),
            why,
        };
    }
    Error::Storage { why }
}

/// libgit2 hands on strerror's text and no code.
fn is_disk_full(message: &str) -> bool {
    ["No space left on device", "Disk quota exceeded", "File too large"]
        .iter()
        .any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_its_own_reason() {
        let text = "failed to write to pack: No space left on device";
        let full = git2::Error::new(git2::ErrorCode::GenericError, git2::ErrorClass::Os, text);
        assert_eq!(sort(&full, "u", "x").reason(), "DiskFull");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(sort_io(&full, "u", Path::new("p")).reason(), "DiskFull");
        let other = git2::Error::from_str("object is broken");
        assert_eq!(sort(&other, "u", "x").reason(), "Corrupt");
    }
}
