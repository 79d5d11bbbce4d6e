//! The bounds of one file. Owns the limits and the running account against them; decides nothing about YAML itself.

/// Bounds of one file. A file that passes one is refused with an error that names the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a file may have; also the bytes of text that aliases may add to it.
    pub max_bytes: usize,
    /// Documents a file may have, items of lists included.
    pub max_documents: usize,
    /// How deep mappings and sequences may be nested, alias expansion included.
    pub max_depth: usize,
    /// Nodes (keys, values, items) a file may have over all its documents, alias expansion included.
    pub max_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 10 * 1024 * 1024,
            max_documents: 10_000,
            max_depth: 100,
            max_nodes: 1_000_000,
        }
    }
}

/// What a file may still use up. One budget serves all documents of a file, so that many small bombs are one bomb.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) max_depth: usize,
    pub(crate) max_nodes: usize,
    pub(crate) max_alias_bytes: usize,
    parsed: usize,
    expanded: usize,
    alias_bytes: usize,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            max_depth: limits.max_depth,
            max_nodes: limits.max_nodes,
            max_alias_bytes: limits.max_bytes,
            parsed: 0,
            expanded: 0,
            alias_bytes: 0,
        }
    }

    /// Accounts for one node as written; false when the file has too many.
    pub(crate) fn parse_node(&mut self) -> bool {
        self.parsed += 1;
        self.parsed <= self.max_nodes
    }

    /// Accounts for one node of the result; false when the file has too many.
    pub(crate) fn expand_node(&mut self) -> bool {
        self.expanded += 1;
        self.expanded <= self.max_nodes
    }

    /// Accounts for text copied by an alias; false when it is too much.
    pub(crate) fn copy_text(&mut self, bytes: usize) -> bool {
        self.alias_bytes = self.alias_bytes.saturating_add(bytes);
        self.alias_bytes <= self.max_alias_bytes
    }
}
