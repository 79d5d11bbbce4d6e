//! The errors of this room: where in the file, what kind, and what to do. Knows no file names: the caller adds them.

/// What the caller should do about an error. All errors of this room but `Bug` need a change of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Trying again may help.
    Transient,
    /// Something else has to happen first.
    Waiting,
    /// The input must change.
    Terminal,
    /// A fault of Tidegate itself.
    Bug,
}

/// The kinds of error a file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The bytes are not text: bad UTF-8 or UTF-16, or a control character.
    Encoding,
    /// The text is not YAML.
    Syntax,
    /// A `---` line carries content, which Kubernetes refuses.
    Separator,
    /// A mapping has the same key twice.
    DuplicateKey,
    /// A key cannot be a JSON key: null, a mapping, a sequence, or an integer above 2^63-1.
    MapKey,
    /// A scalar is no JSON value (`.inf`, `.nan`) or does not fit its tag.
    Value,
    /// A `<<` merge of something that is not a mapping.
    Merge,
    /// An alias without an anchor, one that contains itself, or excessive aliasing.
    Alias,
    /// More bytes than [`crate::Limits::max_bytes`], or more text copied by aliases.
    TooLarge,
    /// More documents than [`crate::Limits::max_documents`].
    TooManyDocuments,
    /// Nested deeper than [`crate::Limits::max_depth`].
    TooDeep,
    /// More nodes than [`crate::Limits::max_nodes`].
    TooManyNodes,
    /// The parser broke its own promises: a fault of Tidegate.
    Internal,
}

/// One fault of a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column} (document {}): {message}", .document + 1)]
pub struct Error {
    /// 0-based number of the document in the file; shown 1-based.
    pub document: usize,
    /// 1-based line in the file.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What kind of fault it is.
    pub kind: ErrorKind,
    /// What is wrong and what to do about it, without the place.
    pub message: String,
}

impl Error {
    /// The reason for conditions, events and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.kind {
            ErrorKind::Encoding => "YamlNotText",
            ErrorKind::Syntax => "YamlSyntax",
            ErrorKind::Separator => "YamlSeparator",
            ErrorKind::DuplicateKey => "YamlDuplicateKey",
            ErrorKind::MapKey => "YamlMapKey",
            ErrorKind::Value => "YamlValue",
            ErrorKind::Merge => "YamlMerge",
            ErrorKind::Alias => "YamlAlias",
            ErrorKind::TooLarge => "YamlTooLarge",
            ErrorKind::TooManyDocuments => "YamlTooManyDocuments",
            ErrorKind::TooDeep => "YamlTooDeep",
            ErrorKind::TooManyNodes => "YamlTooManyNodes",
            ErrorKind::Internal => "YamlInternal",
        }
    }

    /// What the caller should do: only a change of the file helps, unless it is our own fault.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind {
            ErrorKind::Internal => Class::Bug,
            _ => Class::Terminal,
        }
    }
}

/// A fault inside one document, before the document's place in the file is known.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    /// 0-based, relative to the document's text.
    pub(crate) line: usize,
    /// 0-based.
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(kind: ErrorKind, line: usize, column: usize, message: impl Into<String>) -> Self {
        Self {
            kind,
            line,
            column,
            message: message.into(),
        }
    }

    /// Puts the fault at its place in the file. `first_line` is the 1-based line where the document's text starts.
    pub(crate) fn place(self, document: usize, first_line: usize) -> Error {
        Error {
            document,
            line: first_line + self.line,
            column: self.column + 1,
            kind: self.kind,
            message: self.message,
        }
    }
}
