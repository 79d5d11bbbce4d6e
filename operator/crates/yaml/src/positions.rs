//! The line of every field of a document. Owns a table of path hashes: 12 bytes a field, no text. A collision would
//! give a wrong line in a message and nothing worse.

use std::sync::Arc;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Where the fields of a document stand. Cheap to clone; the items of a list share one table.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    table: Arc<Table>,
    base: PathHash,
}

#[derive(Debug, Default)]
struct Table {
    hashes: Box<[u64]>,
    lines: Box<[u32]>,
}

impl Positions {
    /// The 1-based line, in the file, of the field at a JSON pointer (RFC 6901; `""` is the document itself). For a
    /// field that is not there, the line of its nearest ancestor. `None` only where no positions are known.
    #[must_use]
    pub fn line_of(&self, json_pointer: &str) -> Option<usize> {
        let mut pointer = json_pointer;
        loop {
            if let Some(line) = self.table.line(self.base.text(pointer)) {
                return Some(line);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// The positions below a pointer, for a part that becomes a document of its own.
    pub(crate) fn below(&self, json_pointer: &str) -> Self {
        Self {
            table: Arc::clone(&self.table),
            base: self.base.text(json_pointer),
        }
    }
}

impl Table {
    fn line(&self, hash: PathHash) -> Option<usize> {
        let at = self.hashes.binary_search(&hash.0).ok()?;
        self.lines.get(at).map(|line| *line as usize)
    }
}

/// The hash of a JSON pointer (FNV-1a), extended segment by segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathHash(u64);

impl Default for PathHash {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl PathHash {
    fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(PRIME))
    }

    fn text(self, text: &str) -> Self {
        text.bytes().fold(self, Self::byte)
    }

    /// The hash of the pointer with one more key, escaped as pointers are.
    pub(crate) fn key(self, key: &str) -> Self {
        key.bytes().fold(self.byte(b'/'), |hash, byte| match byte {
            b'~' => hash.byte(b'~').byte(b'0'),
            b'/' => hash.byte(b'~').byte(b'1'),
            _ => hash.byte(byte),
        })
    }

    /// The hash of the pointer with one more index.
    pub(crate) fn index(self, index: usize) -> Self {
        self.byte(b'/').text(&index.to_string())
    }
}

/// Collects positions while a document is read.
#[derive(Debug, Default)]
pub(crate) struct PositionsBuilder {
    fields: Vec<(u64, u32)>,
}

impl PositionsBuilder {
    /// Notes the 1-based line of a field; a later note of the same field wins.
    pub(crate) fn note(&mut self, path: PathHash, line: usize) {
        self.fields
            .push((path.0, u32::try_from(line).unwrap_or(u32::MAX)));
    }

    pub(crate) fn finish(mut self) -> Positions {
        self.fields.reverse();
        self.fields.sort_by_key(|field| field.0);
        self.fields.dedup_by_key(|field| field.0);
        let (hashes, lines): (Vec<u64>, Vec<u32>) = self.fields.into_iter().unzip();
        let table = Table {
            hashes: hashes.into_boxed_slice(),
            lines: lines.into_boxed_slice(),
        };
        Positions {
            table: Arc::new(table),
            base: PathHash::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_has_the_line_of_its_nearest_ancestor() {
        let mut builder = PositionsBuilder::default();
        let root = PathHash::default();
        builder.note(root, 1);
        builder.note(root.key("a/b"), 2);
        builder.note(root.key("a/b").index(3), 4);
        builder.note(root.key("a/b"), 3);
        let positions = builder.finish();
        assert_eq!(positions.line_of("/a~1b"), Some(3));
        assert_eq!(positions.line_of("/a~1b/3/x/y"), Some(4));
        assert_eq!(positions.line_of("/other"), Some(1));
        assert_eq!(positions.below("/a~1b").line_of("/3"), Some(4));
        assert_eq!(positions.below("/a~1b").line_of("/9"), Some(3));
        assert_eq!(Positions::default().line_of("/a"), None);
    }
}
