//! A tree of nodes into a JSON value, as go-yaml's decoder and `YAMLToJSON` do it: aliases, merges, keys. Owns the
//! bounds of expansion and the duplicate-key rule, where this room is stricter than Go.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::error::{ErrorKind, Fault};
use crate::events::Mark;
use crate::limits::Budget;
use crate::number::{float_key, float_value};
use crate::positions::{PathHash, Positions, PositionsBuilder};
use crate::scalar::{MERGE_TAG, Scalar, clip, resolve};
use crate::tree::{Node, NodeId, Shape, Tree, too_deep, too_many_nodes};

/// Faults noted in one document before the rest of it is left.
const MAX_FAULTS: usize = 100;

/// Reads a tree. `first_line` is the 1-based line of the file where the text starts.
pub(crate) fn decode(
    tree: &Tree,
    first_line: usize,
    budget: &mut Budget,
) -> Result<(Value, Positions), Vec<Fault>> {
    let mut decoder = Decoder {
        tree,
        budget,
        first_line,
        positions: PositionsBuilder::default(),
        faults: Vec::new(),
        open_aliases: HashSet::new(),
        // Go counts the document node too.
        decoded: 1,
        decoded_in_aliases: 0,
    };
    let root = PathHash::default();
    decoder
        .positions
        .note(root, first_line + tree.nodes[tree.root].mark.line);
    let value = decoder.value(tree.root, root, 0);
    let mut faults = decoder.faults;
    match value {
        Ok(value) if faults.is_empty() => return Ok((value, decoder.positions.finish())),
        Ok(_) => {}
        Err(fault) => faults.push(fault),
    }
    // One anchor read by many aliases has its faults once.
    let mut seen = HashSet::new();
    faults.retain(|fault| seen.insert((fault.kind, fault.line, fault.column)));
    Err(faults)
}

struct Decoder<'t> {
    tree: &'t Tree,
    budget: &'t mut Budget,
    first_line: usize,
    positions: PositionsBuilder,
    faults: Vec<Fault>,
    open_aliases: HashSet<NodeId>,
    decoded: usize,
    decoded_in_aliases: usize,
}

impl<'t> Decoder<'t> {
    /// The value of a node. `Err` ends the document; a fault that does not is noted and a null stands in.
    fn value(&mut self, id: NodeId, path: PathHash, depth: usize) -> Result<Value, Fault> {
        let node = self.enter(id)?;
        match &node.shape {
            Shape::Alias { name, target } => {
                self.follow(id, name, node.mark)?;
                let value = self.value(*target, path, depth)?;
                self.open_aliases.remove(&id);
                Ok(value)
            }
            Shape::Scalar { value, tag, plain } => {
                let scalar = self.scalar(value, tag.as_deref(), *plain, node.mark)?;
                self.json(scalar, node.mark)
            }
            Shape::Sequence(children) => {
                self.deepen(depth, node.mark)?;
                let mut items = Vec::with_capacity(children.len());
                for (index, child) in children.iter().enumerate() {
                    let path = path.index(index);
                    self.note(path, *child);
                    items.push(self.value(*child, path, depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            Shape::Mapping(children) => {
                self.deepen(depth, node.mark)?;
                let mut map = Map::new();
                self.fill(children, &mut map, path, depth)?;
                Ok(Value::Object(map))
            }
        }
    }

    /// Puts the entries of a mapping into `map`. Like Go, a merge takes effect where it stands: what comes later
    /// wins.
    fn fill(
        &mut self,
        children: &'t [NodeId],
        map: &mut Map<String, Value>,
        path: PathHash,
        depth: usize,
    ) -> Result<(), Fault> {
        let mut seen: HashMap<String, Mark> = HashMap::new();
        for pair in children.chunks_exact(2) {
            let (key_id, value_id) = (pair[0], pair[1]);
            if is_merge(&self.tree.nodes[key_id]) {
                self.merge(value_id, map, path, depth)?;
                continue;
            }
            let mark = self.tree.nodes[key_id].mark;
            let Some(key) = self.key(key_id, depth)? else {
                self.value(value_id, path, depth + 1)?;
                continue;
            };
            let path = path.key(&key);
            self.note(path, key_id);
            let value = self.value(value_id, path, depth + 1)?;
            // Go's map holds -0.0 and 0.0 as one key.
            let identity = if key == "-0" { "0" } else { &key };
            if let Some(first) = seen.get(identity) {
                self.duplicate(&key, *first, mark)?;
                continue;
            }
            seen.insert(identity.to_owned(), mark);
            map.insert(key, value);
        }
        Ok(())
    }

    fn merge(
        &mut self,
        id: NodeId,
        map: &mut Map<String, Value>,
        path: PathHash,
        depth: usize,
    ) -> Result<(), Fault> {
        let tree = self.tree;
        let node = &tree.nodes[id];
        match &node.shape {
            Shape::Mapping(_) | Shape::Alias { .. } => self.merge_one(id, map, path, depth),
            // The first mapping of a sequence has precedence, so it goes in last.
            Shape::Sequence(children) => children
                .iter()
                .rev()
                .try_for_each(|child| self.merge_one(*child, map, path, depth)),
            Shape::Scalar { .. } => self.bad_merge(node.mark),
        }
    }

    fn merge_one(
        &mut self,
        id: NodeId,
        map: &mut Map<String, Value>,
        path: PathHash,
        depth: usize,
    ) -> Result<(), Fault> {
        let node = self.enter(id)?;
        self.deepen(depth, node.mark)?;
        match &node.shape {
            Shape::Mapping(children) => self.fill(children, map, path, depth + 1),
            Shape::Alias { name, target } => {
                let tree = self.tree;
                let Shape::Mapping(children) = &tree.nodes[*target].shape else {
                    return self.bad_merge(node.mark);
                };
                self.follow(id, name, node.mark)?;
                self.enter(*target)?;
                self.fill(children, map, path, depth + 1)?;
                self.open_aliases.remove(&id);
                Ok(())
            }
            Shape::Scalar { .. } | Shape::Sequence(_) => self.bad_merge(node.mark),
        }
    }

    /// The JSON key of a key node; `None` where it cannot be one, which is then noted.
    fn key(&mut self, id: NodeId, depth: usize) -> Result<Option<String>, Fault> {
        let node = self.enter(id)?;
        match &node.shape {
            Shape::Alias { name, target } => {
                self.follow(id, name, node.mark)?;
                self.deepen(depth, node.mark)?;
                let key = self.key(*target, depth + 1)?;
                self.open_aliases.remove(&id);
                Ok(key)
            }
            Shape::Scalar { value, tag, plain } => {
                let scalar = self.scalar(value, tag.as_deref(), *plain, node.mark)?;
                let problem = match scalar {
                    Scalar::Str(key) => return Ok(Some(key)),
                    Scalar::Bool(key) => return Ok(Some(key.to_string())),
                    Scalar::Int(key) => return Ok(Some(key.to_string())),
                    Scalar::Float(key) => return Ok(Some(float_key(key))),
                    Scalar::Null => "a null cannot be a key; quote it if it is text".to_owned(),
                    Scalar::Uint(key) => format!("the number {key} is too big for a key; quote it"),
                };
                self.fault(ErrorKind::MapKey, node.mark, problem)?;
                Ok(None)
            }
            Shape::Sequence(_) | Shape::Mapping(_) => {
                let problem = "a mapping or list cannot be a key; quote a template like {{ x }}";
                self.fault(ErrorKind::MapKey, node.mark, problem.to_owned())?;
                Ok(None)
            }
        }
    }

    fn scalar(&mut self, text: &str, tag: Option<&str>, plain: bool, mark: Mark) -> Result<Scalar, Fault> {
        if !self.open_aliases.is_empty() && !self.budget.copy_text(text.len()) {
            let message = format!(
                "aliases copy more than {} bytes of text; split the file",
                self.budget.max_alias_bytes
            );
            return Err(Fault::new(ErrorKind::TooLarge, mark.line, mark.column, message));
        }
        match resolve(text, tag, plain) {
            Ok(scalar) => Ok(scalar),
            Err(message) => {
                self.fault(ErrorKind::Value, mark, message)?;
                // Something that fits everywhere, so that the document's other faults are found too.
                Ok(Scalar::Str(String::new()))
            }
        }
    }

    fn json(&mut self, scalar: Scalar, mark: Mark) -> Result<Value, Fault> {
        Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::Int(value) => value.into(),
            Scalar::Uint(value) => value.into(),
            Scalar::Str(value) => Value::String(value),
            Scalar::Float(value) => {
                let Some(number) = float_value(value) else {
                    let message = "JSON has no infinity and no NaN; quote the value if it is text".to_owned();
                    self.fault(ErrorKind::Value, mark, message)?;
                    return Ok(Value::Null);
                };
                Value::Number(number)
            }
        })
    }

    /// Accounts for one step, by our bounds and by go-yaml's guard against alias bombs (`decode.go`).
    fn enter(&mut self, id: NodeId) -> Result<&'t Node, Fault> {
        let tree = self.tree;
        let node = &tree.nodes[id];
        if !self.budget.expand_node() {
            return Err(too_many_nodes(node.mark, self.budget));
        }
        self.decoded += 1;
        self.decoded_in_aliases += usize::from(!self.open_aliases.is_empty());
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let share = self.decoded_in_aliases as f64 / self.decoded as f64;
        if self.decoded_in_aliases > 100 && self.decoded > 1000 && share > allowed_share(self.decoded) {
            let message =
                "the document is mostly aliases, as in an alias bomb; write the values out".to_owned();
            return Err(Fault::new(
                ErrorKind::Alias,
                node.mark.line,
                node.mark.column,
                message,
            ));
        }
        Ok(node)
    }

    fn follow(&mut self, id: NodeId, name: &str, mark: Mark) -> Result<(), Fault> {
        if self.open_aliases.insert(id) {
            return Ok(());
        }
        let message = format!("anchor &{} contains itself", clip(name));
        Err(Fault::new(ErrorKind::Alias, mark.line, mark.column, message))
    }

    fn deepen(&self, depth: usize, mark: Mark) -> Result<(), Fault> {
        if depth < self.budget.max_depth {
            Ok(())
        } else {
            Err(too_deep(mark, self.budget))
        }
    }

    fn note(&mut self, path: PathHash, id: NodeId) {
        self.positions
            .note(path, self.first_line + self.tree.nodes[id].mark.line);
    }

    fn duplicate(&mut self, key: &str, first: Mark, second: Mark) -> Result<(), Fault> {
        let place = |mark: Mark| format!("line {}, column {}", self.first_line + mark.line, mark.column + 1);
        let message = format!(
            "key \"{}\" stands twice in one mapping, at {} and at {}; kubectl would silently take the last: remove one",
            clip(key),
            place(first),
            place(second),
        );
        self.fault(ErrorKind::DuplicateKey, second, message)
    }

    fn bad_merge(&mut self, mark: Mark) -> Result<(), Fault> {
        let message = "`<<` needs a mapping or a list of mappings; quote it if it is a plain key".to_owned();
        self.fault(ErrorKind::Merge, mark, message)
    }

    fn fault(&mut self, kind: ErrorKind, mark: Mark, message: String) -> Result<(), Fault> {
        let fault = Fault::new(kind, mark.line, mark.column, message);
        if self.faults.len() >= MAX_FAULTS {
            return Err(fault);
        }
        self.faults.push(fault);
        Ok(())
    }
}

fn is_merge(node: &Node) -> bool {
    match &node.shape {
        Shape::Scalar { value, tag, plain } => value == "<<" && (*plain || tag.as_deref() == Some(MERGE_TAG)),
        _ => false,
    }
}

/// How much of a document may come from aliases: 99 % of a small one, falling to 10 % of a large one (go-yaml).
fn allowed_share(decoded: usize) -> f64 {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let decoded = (decoded as f64).clamp(LOW, HIGH);
    0.99 - 0.89 * ((decoded - LOW) / (HIGH - LOW))
}
