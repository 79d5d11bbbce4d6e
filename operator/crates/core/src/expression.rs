//! Expressions in CEL that people write: read, bounded, and asked.
//!
//! The interpreter knows no limit of its own, so that each expression is bounded twice: by its form when it is read
//! (`parse`), and by the values that it really meets before it is evaluated over them (`cost`). What the interpreter says
//! about values is never repeated: they may be those of a Secret.

mod cost;
mod evaluate;
mod parse;
mod shape;

pub(crate) use cost::steps;
pub(crate) use evaluate::{Answer, Subject, Variable};
pub(crate) use parse::{Expression, Language, read};
pub(crate) use shape::{Field, Shape};

/// At most `max` characters, line breaks and terminal controls turned to spaces: foreign text ends in statuses.
pub(crate) fn bounded(text: &str, max: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(max) {
        None => text.chars().map(clean).collect(),
        Some((end, _)) => text[..end].chars().map(clean).chain("...".chars()).collect(),
    }
}
