//! The compact form of a schema. Owns no logic.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

/// One schema.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// Null is a value here; elsewhere a null field counts as absent.
    pub(super) nullable: bool,
    /// Value rules beside the type; most schemas have none.
    pub(super) rules: Option<Box<Rules>>,
}

/// What values a schema takes.
#[derive(Debug)]
pub(super) enum Shape {
    Any,
    /// A definition by number.
    Ref(u32),
    Object(Box<ObjectShape>),
    Array(Box<ArrayShape>),
    Text(TextFormat),
    Integer {
        bits32: bool,
    },
    Number,
    Boolean,
    IntOrString,
    Quantity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFormat {
    Plain,
    /// Standard base64.
    Byte,
    /// RFC 3339.
    DateTime,
}

#[derive(Debug)]
pub(super) struct ObjectShape {
    /// Sorted by name.
    pub(super) properties: Box<[(Arc<str>, Node)]>,
    pub(super) others: Others,
    pub(super) required: Box<[Arc<str>]>,
}

/// Fields that `properties` does not name.
#[derive(Debug)]
pub(super) enum Others {
    Refused,
    Anything,
    Like(Box<Node>),
}

#[derive(Debug)]
pub(super) struct ArrayShape {
    pub(super) items: Option<Node>,
    pub(super) list: ListType,
}

/// Which elements of a list are the same one to server-side apply.
#[derive(Debug)]
pub(super) enum ListType {
    Atomic,
    Set,
    /// Key fields with the value an element without the field has.
    Map(Box<[(Arc<str>, Option<Value>)]>),
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) allowed: Option<Box<[Value]>>,
    pub(super) pattern: Option<Arc<Pattern>>,
    pub(super) minimum: Option<(f64, bool)>,
    pub(super) maximum: Option<(f64, bool)>,
    pub(super) multiple_of: Option<f64>,
    /// Least and most characters.
    pub(super) length: (Option<u64>, Option<u64>),
    /// Least and most elements.
    pub(super) items: (Option<u64>, Option<u64>),
    /// Least and most fields.
    pub(super) fields: (Option<u64>, Option<u64>),
    pub(super) unique: bool,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Node>,
}

/// A regular expression, compiled when first needed: few of a cluster's patterns ever are.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) source: Arc<str>,
    pub(super) compiled: OnceLock<Option<regex::Regex>>,
}

impl Pattern {
    /// `None` when `regex` cannot express the pattern or it would be too large: then the server alone checks it.
    pub(super) fn regex(&self) -> Option<&regex::Regex> {
        let compile = || {
            regex::RegexBuilder::new(&self.source)
                .size_limit(1 << 20)
                .build()
                .ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}
