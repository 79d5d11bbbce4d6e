//! The one entry: a file into its documents. Owns the order of the steps and the place of errors in the file.

use serde_json::Value;

use crate::decode::decode;
use crate::encoding::to_utf8;
use crate::error::{Error, ErrorKind, Fault};
use crate::json::{join_surrogates, json_values};
use crate::limits::{Budget, Limits};
use crate::list::flatten;
use crate::positions::Positions;
use crate::split::{Part, is_blank, split};
use crate::tree;

/// Faults of a file that are reported; a file with so many is not read to its end.
const MAX_ERRORS: usize = 100;

/// One document of a file, or one item of a list in it.
#[derive(Clone, Debug)]
pub struct Doc {
    /// What Kubernetes reads there.
    pub value: Value,
    /// 0-based number of the document in the file; parts with nothing but comments do not count.
    pub index: usize,
    /// 1-based line in the file where the content starts.
    pub line: usize,
    /// The lines of the fields.
    pub positions: Positions,
}

/// Reads a YAML or JSON file as `kubectl apply` does: documents apart, empty and null ones left out, lists flattened.
///
/// # Errors
/// All faults that can be found, in the order of the file: one document's fault does not hide another's. Beyond
/// [`Limits`] the file is refused.
pub fn parse_stream(bytes: &[u8], limits: &Limits) -> Result<Vec<Doc>, Vec<Error>> {
    if bytes.len() > limits.max_bytes {
        let message = format!(
            "the file has {} bytes, more than {}; split it",
            bytes.len(),
            limits.max_bytes
        );
        return Err(vec![Fault::new(ErrorKind::TooLarge, 0, 0, message).place(0, 1)]);
    }
    let text = to_utf8(bytes).map_err(|fault| vec![fault.place(0, 1)])?;
    let mut reading = Reading {
        budget: Budget::new(limits),
        limits,
        docs: Vec::new(),
        errors: Vec::new(),
        index: 0,
    };
    for part in split(&text) {
        reading.part(part);
        if reading.is_over() {
            break;
        }
    }
    if reading.errors.is_empty() {
        Ok(reading.docs)
    } else {
        Err(reading.errors)
    }
}

struct Reading<'l> {
    budget: Budget,
    limits: &'l Limits,
    docs: Vec<Doc>,
    errors: Vec<Error>,
    index: usize,
}

impl Reading<'_> {
    fn part(&mut self, part: Part<'_>) {
        match part {
            Part::BadSeparator { content, line } => {
                let message = format!(
                    "`{content}` stands behind the separator `---`, which Kubernetes refuses; put it on the next line"
                );
                self.errors
                    .push(Fault::new(ErrorKind::Separator, 0, 3, message).place(self.index, line));
            }
            Part::Text { text, line } => {
                for (json, lines) in json_values(&text) {
                    self.text(json, line + lines);
                }
            }
        }
    }

    fn text(&mut self, text: &[u8], line: usize) {
        let index = self.index;
        // A part of blanks and comments is no document, but is read: it may hold what is not text.
        self.index += usize::from(!is_blank(text));
        if index >= self.limits.max_documents {
            self.too_many(index, line);
            return;
        }
        let read = tree::read(&join_surrogates(text), &mut self.budget).map_err(|fault| vec![fault]);
        let decoded = read.and_then(|tree| match tree {
            Some(tree) => {
                let start = line + tree.nodes[tree.root].mark.line;
                decode(&tree, line, &mut self.budget)
                    .map(|(value, positions)| Some((value, positions, start)))
            }
            None => Ok(None),
        });
        match decoded {
            Ok(None | Some((Value::Null, _, _))) => {}
            Ok(Some((value, positions, start))) => {
                flatten(
                    Doc {
                        value,
                        index,
                        line: start,
                        positions,
                    },
                    &mut self.docs,
                );
                if self.docs.len() > self.limits.max_documents {
                    self.too_many(index, start);
                }
            }
            Err(faults) => {
                let room = MAX_ERRORS.saturating_sub(self.errors.len());
                self.errors.extend(
                    faults
                        .into_iter()
                        .take(room)
                        .map(|fault| fault.place(index, line)),
                );
            }
        }
    }

    fn too_many(&mut self, index: usize, line: usize) {
        let message = format!(
            "the file has more than {} documents, items of lists included; split it",
            self.limits.max_documents
        );
        self.errors
            .push(Fault::new(ErrorKind::TooManyDocuments, 0, 0, message).place(index, line));
    }

    /// True when reading on would be pointless: enough faults, or a bound of the whole file is passed.
    fn is_over(&self) -> bool {
        let bound = |kind| {
            matches!(
                kind,
                ErrorKind::TooManyDocuments | ErrorKind::TooManyNodes | ErrorKind::TooLarge
            )
        };
        self.errors.len() >= MAX_ERRORS || self.errors.last().is_some_and(|error| bound(error.kind))
    }
}
