//! `signatures.signers` of a policy, read: whom a rule is about, and which files and kinds it allows.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tidegate_api::policy::{Signatures, Signer};

use crate::object::ObjectId;
use crate::people::{SignatureFacts, same_address, same_key};
use crate::problem::Problem;

/// What one signer may change.
#[derive(Clone, Debug)]
pub struct SignerRule {
    /// An address, a principal or a key.
    pub identity: String,
    /// `None` for every file.
    paths: Option<GlobSet>,
    /// Kinds as written; all when empty.
    kinds: Vec<String>,
}

/// A kind in a plan: kind and group.
pub type PlannedKind = (String, String);

impl SignerRule {
    /// Whether it is about whoever made this signature.
    pub fn is_about(&self, signature: &SignatureFacts) -> bool {
        let identity = signature.identity.as_deref().unwrap_or_default();
        let key = signature.key_id.as_deref().unwrap_or_default();
        same_address(&self.identity, identity) || same_key(&self.identity, key)
    }

    /// Whether it allows a file.
    pub fn allows_path(&self, path: &str) -> bool {
        self.paths.as_ref().is_none_or(|globs| globs.is_match(path))
    }

    /// Whether it allows every file.
    pub fn allows_any_path(&self) -> bool {
        self.paths.is_none()
    }

    /// Whether it allows a kind.
    pub fn allows_kind(&self, kind: &PlannedKind) -> bool {
        self.kinds.is_empty() || self.names_kind(kind)
    }

    /// Whether it names a kind, as `Kind` or `Kind.group`.
    pub fn names_kind(&self, (kind, group): &PlannedKind) -> bool {
        self.kinds.iter().any(|name| match name.split_once('.') {
            Some((named, of)) => named == kind && of == group,
            None => name == kind,
        })
    }

    /// Whether it says anything about kinds.
    pub fn has_kinds(&self) -> bool {
        !self.kinds.is_empty()
    }
}

/// Kind and group of an object.
pub fn kind_of(id: &ObjectId) -> PlannedKind {
    (id.kind.to_string(), id.group.to_string())
}

/// Reads the rules; those that cannot be read are named.
pub(crate) fn read(signatures: Option<&Signatures>) -> (Vec<SignerRule>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut rules = Vec::new();
    for (at, signer) in signatures.iter().flat_map(|s| &s.signers).enumerate() {
        match globs(signer) {
            Ok(paths) => rules.push(SignerRule {
                identity: signer.identity.clone(),
                paths,
                kinds: signer.kinds.clone(),
            }),
            Err((index, why)) => problems.push(Problem {
                reason: "InvalidExpression",
                object: String::new(),
                field: Some(format!("spec.signatures.signers[{at}].paths[{index}]")),
                location: None,
                message: format!("is not a glob pattern: {why}; write one such as `apps/**`"),
            }),
        }
    }
    (rules, problems)
}

/// `*` stays within a folder, `**` goes on below; a pattern that ends in `/` is all below it.
fn globs(signer: &Signer) -> Result<Option<GlobSet>, (usize, String)> {
    if signer.paths.is_empty() {
        return Ok(None);
    }
    let patterns: BTreeSet<(usize, String)> = signer
        .paths
        .iter()
        .map(|path| {
            let path = path.strip_prefix("./").unwrap_or(path).trim_start_matches('/');
            if path.ends_with('/') {
                format!("{path}**")
            } else {
                path.to_owned()
            }
        })
        .enumerate()
        .collect();
    let mut set = GlobSetBuilder::new();
    for (index, pattern) in &patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        set.add(glob.map_err(|error| (*index, error.kind().to_string()))?);
    }
    set.build()
        .map(Some)
        .map_err(|error| (0, error.kind().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(paths: &[&str], kinds: &[&str]) -> (Vec<SignerRule>, Vec<Problem>) {
        let list = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        read(Some(&Signatures {
            required: true,
            signers: vec![Signer {
                identity: "alice@example.com".to_owned(),
                paths: list(paths),
                kinds: list(kinds),
            }],
        }))
    }

    #[test]
    fn files_go_by_globs_and_kinds_by_their_names() {
        for (pattern, path, is) in [
            ("apps/**", "apps/a/b.yaml", true),
            ("apps/**", "apps", false),
            ("apps/*", "apps/a.yaml", true),
            ("apps/*", "apps/a/b.yaml", false),
            ("./apps/", "apps/a/b.yaml", true),
            ("/apps/*.yaml", "apps/a.yaml", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/x.md", false),
            ("**/*.md", "docs/x.md", true),
            ("{a,b}/*", "b/x", true),
        ] {
            let (rules, problems) = rule(&[pattern], &[]);
            assert!(problems.is_empty());
            assert_eq!(rules[0].allows_path(path), is, "{pattern} {path}");
        }
        let (rules, _) = rule(&[], &["Deployment.apps", "ConfigMap"]);
        let kind = |kind: &str, group: &str| (kind.to_owned(), group.to_owned());
        assert!(rules[0].allows_path("anything"));
        assert!(rules[0].allows_kind(&kind("Deployment", "apps")));
        assert!(!rules[0].allows_kind(&kind("Deployment", "example.com")));
        assert!(rules[0].allows_kind(&kind("ConfigMap", "")));
        assert!(!rules[0].allows_kind(&kind("Secret", "")));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let (rules, problems) = rule(&["ok/**", "a/{b"], &[]);
        assert!(rules.is_empty());
        assert_eq!(
            problems[0].field.as_deref(),
            Some("spec.signatures.signers[0].paths[1]")
        );
        assert_eq!(problems[0].reason, "InvalidExpression");
    }
}
