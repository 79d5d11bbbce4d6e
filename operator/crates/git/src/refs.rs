//! References: what `spec.ref` asks for and which advertised reference answers it. Owns matching; reads no network.

use crate::{Error, escape};
use semver::{Version, VersionReq};

/// What `GitRepository.spec.ref` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RefSpec {
    /// `refs/heads/<name>`.
    Branch(String),
    /// `refs/tags/<name>`, annotated or not.
    Tag(String),
    /// The highest tag within a range such as `>=1.2.0 <2.0.0`, `1.x` or `^1 || ^3`; tags may start with `v`.
    Semver(String),
    /// 40 hex digits.
    Commit(String),
    /// Any full reference name such as `refs/pull/7/head`.
    Name(String),
}

/// What a reference points at right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRef {
    /// Short name for people: `master`, `v1.2.3`, `refs/pull/7/head`, `commit`.
    pub reference: String,
    /// Full name; empty for a pinned commit.
    pub name: String,
    /// The advertised object, 40 hex digits: for an annotated tag the tag object.
    pub object: String,
    /// The commit, 40 hex digits.
    pub commit: String,
}

/// One advertised reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertised {
    pub(crate) name: String,
    pub(crate) object: String,
    pub(crate) peeled: Option<String>,
}

/// A checked [`RefSpec`].
pub(crate) enum Matcher {
    Exact {
        name: String,
        short: String,
        words: String,
    },
    Range {
        text: String,
        any_of: Vec<VersionReq>,
    },
    Commit(String),
}

impl RefSpec {
    pub(crate) fn matcher(&self) -> Result<Matcher, Error> {
        let exact = |name: String, short: &str, kind: &str| {
            if !git2::Reference::is_valid_name(&name) {
                return Err(invalid(short, &format!("git allows no {kind} of this name")));
            }
            Ok(Matcher::Exact {
                name,
                short: short.to_owned(),
                words: format!("{kind} {}", escape::line(short, 200)),
            })
        };
        match self {
            Self::Branch(name) => exact(format!("refs/heads/{name}"), name, "branch"),
            Self::Tag(name) => exact(format!("refs/tags/{name}"), name, "tag"),
            Self::Name(name) if name == "HEAD" || name.starts_with("refs/") => {
                exact(name.clone(), name, "reference")
            }
            Self::Name(name) => Err(invalid(
                name,
                "a name is HEAD or starts with refs/; use branch or tag for short names",
            )),
            Self::Semver(text) => Ok(Matcher::Range {
                text: text.clone(),
                any_of: ranges(text)?,
            }),
            Self::Commit(id) => Ok(Matcher::Commit(full_id(id)?)),
        }
    }
}

impl Matcher {
    /// Whether an advertised reference must be kept in memory.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match self {
            Self::Exact { name: wanted, .. } => name == wanted,
            Self::Range { any_of, .. } => {
                version_of(name).is_some_and(|v| any_of.iter().any(|r| r.matches(&v)))
            }
            // If the server gives out no commit by id, branches and tags are fetched and searched.
            Self::Commit(_) => name.starts_with("refs/heads/") || name.starts_with("refs/tags/"),
        }
    }

    pub(crate) fn resolve(&self, kept: &[Advertised], url: &str) -> Result<ResolvedRef, Error> {
        let (found, short, words) = match self {
            Self::Exact { name, short, words } => (
                kept.iter().find(|r| r.name == *name),
                short.clone(),
                words.clone(),
            ),
            Self::Range { text, .. } => {
                let best = kept.iter().max_by_key(|r| (version_of(&r.name), r.name.clone()));
                let short = best
                    .map(|r| r.name.trim_start_matches("refs/tags/").to_owned())
                    .unwrap_or_default();
                (
                    best,
                    short,
                    format!("tag in the range {}", escape::line(text, 200)),
                )
            }
            Self::Commit(id) => {
                return Ok(ResolvedRef {
                    reference: "commit".to_owned(),
                    name: String::new(),
                    object: id.clone(),
                    commit: id.clone(),
                });
            }
        };
        let found = found.ok_or_else(|| Error::RefNotFound {
            url: url.to_owned(),
            reference: words,
        })?;
        Ok(ResolvedRef {
            reference: short,
            name: found.name.clone(),
            object: found.object.clone(),
            commit: found.peeled.clone().unwrap_or_else(|| found.object.clone()),
        })
    }
}

/// 40 lower-case hex digits.
pub(crate) fn full_id(id: &str) -> Result<String, Error> {
    if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(invalid(
            id,
            "a commit is 40 hex digits (abbreviations are ambiguous)",
        ));
    }
    Ok(id.to_ascii_lowercase())
}

fn invalid(reference: &str, why: &str) -> Error {
    Error::InvalidRef {
        reference: escape::line(reference, 200),
        why: why.to_owned(),
    }
}

fn version_of(name: &str) -> Option<Version> {
    let tag = name.strip_prefix("refs/tags/")?;
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// Ranges as people write them: `||` between alternatives, spaces or commas between bounds, `x` for any number.
fn ranges(text: &str) -> Result<Vec<VersionReq>, Error> {
    let parse = |part: &str| {
        let mut bounds: Vec<String> = Vec::new();
        for word in part.split([' ', ',']).filter(|word| !word.is_empty()) {
            match bounds.last_mut() {
                // `>= 1.0` written with a space.
                Some(last) if last.ends_with(['<', '>', '=', '^', '~']) => last.push_str(word),
                _ => bounds.push(word.to_owned()),
            }
        }
        let joined = bounds
            .iter()
            .map(|b| exact_when_full(b))
            .collect::<Vec<_>>()
            .join(", ");
        let joined = if joined.is_empty() { "*".to_owned() } else { joined };
        VersionReq::parse(&joined)
            .map_err(|error| invalid(text, &format!("it is not a version range: {error}")))
    };
    text.split("||").map(parse).collect()
}

/// A bare full version means exactly that one, as in other GitOps tools; Cargo would read it as `^`.
fn exact_when_full(bound: &str) -> String {
    let bare = bound.strip_prefix('v').unwrap_or(bound);
    if Version::parse(bare).is_ok() {
        format!("={bare}")
    } else {
        bare.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Vec<Advertised> {
        let one = |n: &&str| Advertised {
            name: format!("refs/tags/{n}"),
            object: "a".repeat(40),
            peeled: None,
        };
        names.iter().map(one).collect()
    }

    fn best(range: &str, names: &[&str]) -> Option<String> {
        let matcher = RefSpec::Semver(range.to_owned()).matcher().unwrap();
        let kept: Vec<_> = tags(names)
            .into_iter()
            .filter(|r| matcher.wants(&r.name))
            .collect();
        matcher.resolve(&kept, "u").ok().map(|r| r.reference)
    }

    #[test]
    fn semver_picks_the_highest_in_range() {
        let names = [
            "v1.0.0",
            "1.2.10",
            "v1.2.9",
            "v2.0.0",
            "v3.0.0-rc.1",
            "latest",
            "v1",
        ];
        for (range, want) in [
            ("1.x", Some("1.2.10")),
            (">=1.0.0 <1.2.10", Some("v1.2.9")),
            (">= 1.0.0, < 1.2.10", Some("v1.2.9")),
            ("*", Some("v2.0.0")),
            ("^1 || ^2", Some("v2.0.0")),
            ("1.0.0", Some("v1.0.0")),
            ("v1.0.0", Some("v1.0.0")),
            (">=3.0.0-0", Some("v3.0.0-rc.1")),
            ("^4", None),
        ] {
            assert_eq!(best(range, &names).as_deref(), want, "{range}");
        }
    }

    #[test]
    fn impossible_references_are_refused_before_any_request() {
        for spec in [
            RefSpec::Branch("a..b".to_owned()),
            RefSpec::Branch("a b".to_owned()),
            RefSpec::Branch(String::new()),
            RefSpec::Tag("x\u{1b}".to_owned()),
            RefSpec::Name("master".to_owned()),
            RefSpec::Semver("banana".to_owned()),
            RefSpec::Commit("abc123".to_owned()),
            RefSpec::Commit("z".repeat(40)),
        ] {
            assert_eq!(
                spec.matcher().err().unwrap().reason(),
                "InvalidReference",
                "{spec:?}"
            );
        }
        assert!(RefSpec::Name("HEAD".to_owned()).matcher().is_ok());
    }

    #[test]
    fn annotated_tags_resolve_to_their_commit() {
        let matcher = RefSpec::Tag("v1".to_owned()).matcher().unwrap();
        let mut kept = tags(&["v1"]);
        kept[0].peeled = Some("b".repeat(40));
        let resolved = matcher.resolve(&kept, "u").unwrap();
        assert_eq!(
            (resolved.object, resolved.commit),
            ("a".repeat(40), "b".repeat(40))
        );
    }
}
