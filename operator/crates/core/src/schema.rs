//! Checks a whole object against the API server's own OpenAPI v3 documents, before anything is sent.
//!
//! Owns the compiled schemas and the violations. May not fetch documents or know files: the caller maps a violation's
//! pointer to file and line. What is refused here is what server-side apply refuses with "failed to create typed
//! patch object" (unknown fields, wrong types, duplicate list keys) and what the server's decoder or a CRD's
//! structural schema refuses. CEL rules (`x-kubernetes-validations`) and admission are the server's.

mod compile;
mod node;
mod spelling;
mod values;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use node::{Node, Pattern};

/// At most this many violations are told for one object.
pub const MAX_VIOLATIONS: usize = 20;
/// Objects nested deeper than this are refused; the API server's own limit is in the same range.
pub const MAX_DEPTH: usize = 100;

/// One thing wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer (RFC 6901) of the field; of the parent where a field is missing.
    pub pointer: String,
    /// What is wrong and what would be right. Never quotes values of a Secret.
    pub message: String,
}

/// Schemas by kind, compiled from OpenAPI v3 documents and CRDs.
///
/// A clone shares all schemas with its origin, so that the CRDs of one commit can be added to a copy of the cluster's
/// set. Strings and patterns are interned, descriptions dropped: the core API (a document of about 1 MB) takes about 0.5 MB.
#[derive(Debug, Clone, Default)]
pub struct SchemaSet {
    /// Root schema by `(apiVersion, kind)`.
    kinds: HashMap<(Arc<str>, Arc<str>), Arc<Node>>,
    /// Definition number by name; numbers are what `Shape::Ref` holds.
    names: HashMap<Arc<str>, u32>,
    definitions: Vec<Option<Arc<Node>>>,
    strings: HashSet<Arc<str>>,
    patterns: HashMap<Arc<str>, Arc<Pattern>>,
}

impl SchemaSet {
    /// An empty set, which checks nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a group-version document as `/openapi/v3/apis/<group>/<version>` serves it.
    ///
    /// A definition or kind that is there already is kept: the shared definitions are the same in every document.
    /// What is not in the expected form is left out, and then `has` is false for it.
    pub fn add_document(&mut self, doc: &Value) {
        compile::document(self, doc);
    }

    /// Adds or replaces the kinds of a CustomResourceDefinition (`apiextensions.k8s.io/v1`): its served versions.
    pub fn add_crd(&mut self, crd: &Value) {
        compile::crd(self, crd);
    }

    /// Whether there is a schema for this kind.
    pub fn has(&self, api_version: &str, kind: &str) -> bool {
        self.root(api_version, kind).is_some()
    }

    /// What is wrong with `object`, in its own order, at most `MAX_VIOLATIONS`. Empty for a kind without schema.
    pub fn validate(&self, api_version: &str, kind: &str, object: &Value) -> Vec<Violation> {
        match self.root(api_version, kind) {
            Some(root) => walk::validate(self, root, object, kind == "Secret"),
            None => Vec::new(),
        }
    }

    fn root(&self, api_version: &str, kind: &str) -> Option<&Arc<Node>> {
        self.kinds.get(&(Arc::from(api_version), Arc::from(kind)))
    }

    fn definition(&self, number: u32) -> Option<&Node> {
        self.definitions.get(number as usize)?.as_deref()
    }

    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.strings.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.strings.insert(Arc::clone(&new));
        new
    }

    /// The number of a definition, given out before the definition itself is known: they refer to each other.
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = u32::try_from(self.definitions.len()).unwrap_or(u32::MAX);
        let name = self.intern(name);
        self.names.insert(name, number);
        self.definitions.push(None);
        number
    }
}
