//! YAML and JSON as Kubernetes reads them: what a manifest means is what Go's `sigs.k8s.io/yaml` makes of it.
//!
//! Owns: splitting a file into documents, reading each into JSON, the line of every field, and writing YAML that Go
//! and this reader understand alike. May not touch: files, the network, the clock, any Kubernetes type.
//!
//! Rules and their source: design/yaml.md; `tests/oracle` is the Go program that the tests compare with.
//!
//! The way of a file: [`split`] → [`events`] (libyaml) → [`tree`] → [`decode`] with [`scalar`] → [`list`].

mod decode;
mod document;
mod emit;
mod encoding;
mod error;
mod events;
mod go_scanner;
mod json;
mod limits;
mod list;
mod number;
mod positions;
mod scalar;
mod split;
mod timestamp;
mod tree;

pub use document::{Doc, parse_stream};
pub use emit::to_string;
pub use error::{Class, Error, ErrorKind};
pub use limits::Limits;
pub use positions::Positions;
