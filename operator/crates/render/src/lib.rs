//! From the files of a snapshot to objects: pure, fed with bytes, no network, no cluster, no clock, no files of the host.
//!
//! Owns the choice of files, the detection of what a source needs, and the reading of plain YAML and JSON. What needs
//! kustomize, Helm or decryption is refused by name and never applied raw.

mod plain;
mod select;

pub use plain::{SourceFile, render};
pub use select::{EntryKind, Selection, SourceEntry, ignore_file, select};
