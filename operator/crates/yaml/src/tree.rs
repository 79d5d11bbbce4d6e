//! Events into a tree of nodes, bounded and without recursion. Owns anchors and the shape of the text; gives scalars
//! no meaning and expands no alias.

use std::collections::HashMap;

use crate::error::{ErrorKind, Fault};
use crate::events::{Data, Events, Mark};
use crate::go_scanner::{GoScanner, stray_mark};
use crate::limits::Budget;

/// The number of a node in its tree.
pub(crate) type NodeId = usize;

/// How many directives may stand before a document: libyaml compares each with all before it.
const MAX_DIRECTIVES: usize = 64;

/// One node as written.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) shape: Shape,
}

/// The shapes a node can have.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A scalar; `plain` when it is unquoted and untagged, so that its text may say its type.
    Scalar {
        value: String,
        tag: Option<String>,
        plain: bool,
    },
    Sequence(Vec<NodeId>),
    /// Keys and values in turn.
    Mapping(Vec<NodeId>),
    Alias {
        name: String,
        target: NodeId,
    },
}

/// The first document of a text. Like Go's reader it does not look at what follows a `...` line.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: NodeId,
}

/// Reads the first document of a text; `None` where there is none.
pub(crate) fn read(text: &[u8], budget: &mut Budget) -> Result<Option<Tree>, Fault> {
    if let Some(line) = too_many_directives(text) {
        let message = format!("more than {MAX_DIRECTIVES} directives (% lines); remove them");
        return Err(Fault::new(ErrorKind::Syntax, line, 0, message));
    }
    // kubectl does not take what starts with a byte order mark for JSON.
    let may_be_json = !text.starts_with(b"\xef\xbb\xbf");
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if let Some(fault) = stray_mark(text) {
        return Err(fault);
    }
    let mut events = Events::new(text);
    let mut strict = GoScanner::new(text, may_be_json);
    let mut builder = Builder {
        nodes: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        budget,
    };
    loop {
        let event = events.next()?;
        strict.check(&event)?;
        match event.data {
            Data::StreamStart | Data::DocumentStart => {}
            Data::StreamEnd => return Ok(None),
            Data::DocumentEnd { implicit } => {
                // Text behind a document that nothing ended, as in `{a: 1} b`: Go drops it in silence, we refuse it.
                if implicit {
                    events.next()?;
                }
                return Ok(Some(Tree {
                    root: 0,
                    nodes: builder.nodes,
                }));
            }
            Data::SequenceEnd | Data::MappingEnd => {
                builder.open.pop();
            }
            Data::Alias(name) => {
                let Some(target) = builder.anchors.get(&name).copied() else {
                    let message = format!("alias *{name} has no anchor &{name} before it in this document");
                    return Err(Fault::new(
                        ErrorKind::Alias,
                        event.mark.line,
                        event.mark.column,
                        message,
                    ));
                };
                builder.add(event.mark, Shape::Alias { name, target }, None)?;
            }
            Data::Scalar {
                anchor,
                tag,
                value,
                plain,
                ..
            } => {
                builder.add(event.mark, Shape::Scalar { value, tag, plain }, anchor)?;
            }
            Data::SequenceStart { anchor, .. } => {
                builder.open(event.mark, Shape::Sequence(Vec::new()), anchor)?;
            }
            Data::MappingStart { anchor, .. } => {
                builder.open(event.mark, Shape::Mapping(Vec::new()), anchor)?;
            }
        }
    }
}

struct Builder<'b> {
    nodes: Vec<Node>,
    open: Vec<NodeId>,
    anchors: HashMap<String, NodeId>,
    budget: &'b mut Budget,
}

impl Builder<'_> {
    fn add(&mut self, mark: Mark, shape: Shape, anchor: Option<String>) -> Result<NodeId, Fault> {
        if !self.budget.parse_node() {
            return Err(too_many_nodes(mark, self.budget));
        }
        let id = self.nodes.len();
        self.nodes.push(Node { mark, shape });
        if let Some(parent) = self.open.last() {
            match &mut self.nodes[*parent].shape {
                Shape::Sequence(children) | Shape::Mapping(children) => children.push(id),
                Shape::Scalar { .. } | Shape::Alias { .. } => {}
            }
        }
        // An anchor counts from its own start on, so a node may hold an alias to itself; reading it is an error.
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        Ok(id)
    }

    fn open(&mut self, mark: Mark, shape: Shape, anchor: Option<String>) -> Result<(), Fault> {
        if self.open.len() >= self.budget.max_depth {
            return Err(too_deep(mark, self.budget));
        }
        let id = self.add(mark, shape, anchor)?;
        self.open.push(id);
        Ok(())
    }
}

/// The fault of a document nested too deep.
pub(crate) fn too_deep(mark: Mark, budget: &Budget) -> Fault {
    let message = format!(
        "nested deeper than {} levels; flatten the document",
        budget.max_depth
    );
    Fault::new(ErrorKind::TooDeep, mark.line, mark.column, message)
}

/// The fault of a file with too many nodes.
pub(crate) fn too_many_nodes(mark: Mark, budget: &Budget) -> Fault {
    let message = format!(
        "the file has more than {} fields and items, aliases expanded; split it",
        budget.max_nodes
    );
    Fault::new(ErrorKind::TooManyNodes, mark.line, mark.column, message)
}

/// The 0-based line of the first directive too many. Directives stand only before the document.
fn too_many_directives(text: &[u8]) -> Option<usize> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // Lone carriage returns are line ends to libyaml, so a `%` behind one may be a directive too.
    let mut directives = 0;
    let mut line = 0;
    for piece in text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let content = piece.trim_ascii();
        let may_precede = content.is_empty() || content.starts_with(b"#") || content.starts_with(b"...");
        if piece.starts_with(b"%") {
            directives += 1;
        } else if !may_precede {
            return None;
        }
        if directives > MAX_DIRECTIVES {
            return Some(line);
        }
        line += usize::from(piece.ends_with(b"\n"));
    }
    None
}
