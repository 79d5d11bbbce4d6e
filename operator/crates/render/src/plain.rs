//! Plain YAML and JSON: every document of every chosen file becomes one raw object with file and lines.

use std::sync::Arc;

use serde_json::Value;
use tidegate_core::desired::{Lines, RawObject};
use tidegate_core::object::Location;
use tidegate_core::problem::Problem;
use tidegate_yaml::{Limits, Positions, parse_stream};

/// A file of the source.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path in the repository.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Most problems that are collected; a source with so many is not read to its end.
const MAX_PROBLEMS: usize = 1_000;

/// Reads all files, or says all that is wrong in them.
pub fn render(files: &[SourceFile]) -> Result<Vec<RawObject>, Vec<Problem>> {
    let limits = Limits::default();
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
        let path: Arc<str> = file.path.as_str().into();
        match parse_stream(&file.bytes, &limits) {
            Ok(docs) => {
                for doc in docs {
                    let location = Location {
                        file: path.clone(),
                        line: line(doc.line),
                    };
                    match encrypted(&doc.value) {
                        true => problems.push(encrypted_problem(location)),
                        false => {
                            let lines: Arc<dyn Lines> = Arc::new(DocLines(doc.positions));
                            objects.push(RawObject {
                                value: doc.value,
                                location,
                                lines: Some(lines),
                            });
                        }
                    }
                }
            }
            Err(errors) => problems.extend(errors.into_iter().map(|error| Problem {
                reason: error.reason(),
                object: String::new(),
                field: None,
                location: Some(Location {
                    file: path.clone(),
                    line: line(error.line),
                }),
                message: format!("column {}: {}", error.column, error.message),
            })),
        }
    }
    if problems.is_empty() {
        Ok(objects)
    } else {
        Err(problems)
    }
}

struct DocLines(Positions);

impl Lines for DocLines {
    fn line_of(&self, pointer: &str) -> Option<u32> {
        self.0.line_of(pointer).map(line)
    }
}

fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// A SOPS document carries its metadata, with a MAC, under `sops`.
fn encrypted(value: &Value) -> bool {
    value.get("sops").is_some_and(|sops| sops.get("mac").is_some())
}

fn encrypted_problem(location: Location) -> Problem {
    let message = "is encrypted with SOPS, which this version of Tidegate does not decrypt; exclude the file and create the Secret by other means";
    Problem {
        reason: "DecryptionUnsupported",
        object: String::new(),
        field: None,
        location: Some(location),
        message: message.to_owned(),
    }
}
