//! The people behind a release: authors, committers and signers of its commits.
//!
//! Rules: semantics.md "Approvals, overrides, identity": they are compared as users, never as the names in commits.

use std::collections::BTreeSet;

use tidegate_api::policy::Identity;

/// One commit since the last good release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitFacts {
    /// Full id.
    pub commit: String,
    /// First line of the message.
    pub subject: String,
    /// Name of the author, for people.
    pub author_name: String,
    /// Address of the author.
    pub author_email: String,
    /// Address of the committer.
    pub committer_email: String,
    /// Its signature.
    pub signature: SignatureFacts,
    /// Files that it changes, as paths in the repository.
    pub paths: Vec<String>,
    /// True when it changes more files than are listed.
    pub more_paths: bool,
}

/// A signature as it was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureFacts {
    /// What came of it.
    pub state: SignatureState,
    /// `SHA256:...` of an SSH key, or the fingerprint of an OpenPGP key.
    pub key_id: Option<String>,
    /// Whom the key belongs to, as the keyring says.
    pub identity: Option<String>,
    /// For people: why it is not good.
    pub message: String,
}

/// What came of verifying a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureState {
    /// By a key of the keyring, and valid.
    Good,
    /// By a key that the keyring does not have.
    Unknown,
    /// Not valid: tampered with, expired, revoked, or of another person.
    Bad,
    /// There is none.
    #[default]
    None,
}

/// Who had a part in some commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Users whom `identities` gives for an address or a key: those who may not approve where authors are excluded.
    pub users: BTreeSet<String>,
    /// Addresses that are nobody's in `identities`, and good signatures by keys that are nobody's, as people read them.
    pub unmapped: BTreeSet<String>,
}

/// The users behind commits: authors, committers and signers of each of them. An address or key that is listed for
/// several users is each of theirs. A signature that is not good proves nobody.
pub fn behind(commits: &[CommitFacts], identities: &[Identity]) -> People {
    let mut people = People::default();
    for commit in commits {
        for email in [&commit.author_email, &commit.committer_email] {
            let users = users(identities, |who| {
                who.emails.iter().any(|known| same_address(known, email))
            });
            let shown = || match email.trim() {
                "" => format!("commit {} without an address", short(&commit.commit)),
                email => email.to_owned(),
            };
            people.add(users, shown);
        }
        let signature = &commit.signature;
        let (SignatureState::Good, Some(key)) = (signature.state, &signature.key_id) else {
            continue;
        };
        let identity = signature.identity.as_deref();
        let is_signer = |who: &Identity| {
            who.keys.iter().any(|known| same_key(known, key))
                || identity
                    .is_some_and(|identity| who.emails.iter().any(|known| same_address(known, identity)))
        };
        let shown = || {
            identity.map_or_else(
                || format!("key {key}"),
                |identity| format!("{identity} (key {key})"),
            )
        };
        people.add(users(identities, is_signer), shown);
    }
    people
}

impl People {
    fn add(&mut self, users: Vec<String>, shown: impl FnOnce() -> String) {
        if users.is_empty() {
            self.unmapped.insert(shown());
        }
        self.users.extend(users);
    }
}

fn users(identities: &[Identity], is: impl Fn(&Identity) -> bool) -> Vec<String> {
    identities
        .iter()
        .filter(|who| is(who))
        .map(|who| who.user.clone())
        .collect()
}

/// Whether two addresses are one; letter case is not looked at.
pub fn same_address(one: &str, other: &str) -> bool {
    !one.trim().is_empty() && one.trim().eq_ignore_ascii_case(other.trim())
}

/// Whether two key ids are one: `SHA256:...` as it is, a fingerprint in any letter case, with spaces or `0x`.
pub fn same_key(one: &str, other: &str) -> bool {
    let plain = |key: &str| {
        let key: String = key.chars().filter(|c| !c.is_whitespace()).collect();
        match key.starts_with("SHA256:") {
            true => key.trim_end_matches('=').to_owned(),
            false => key.trim_start_matches("0x").to_ascii_uppercase(),
        }
    };
    let one = plain(one);
    !one.is_empty() && one == plain(other)
}

/// The first digits of a commit.
pub fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: &str, emails: &[&str], keys: &[&str]) -> Identity {
        Identity {
            user: user.to_owned(),
            emails: emails.iter().map(|&email| email.to_owned()).collect(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        }
    }

    fn commit(author: &str, committer: &str, key: Option<&str>, identity: &str) -> CommitFacts {
        CommitFacts {
            commit: "1a2b3c4d5e".to_owned(),
            author_email: author.to_owned(),
            committer_email: committer.to_owned(),
            signature: SignatureFacts {
                state: key.map_or(SignatureState::None, |_| SignatureState::Good),
                key_id: key.map(str::to_owned),
                identity: Some(identity.to_owned()).filter(|i| !i.is_empty()),
                message: String::new(),
            },
            ..CommitFacts::default()
        }
    }

    #[test]
    fn authors_committers_and_signers_become_users() {
        let identities = [
            who("oidc:alice", &["Alice@Example.com", "alice@home"], &["SHA256:aB"]),
            who("oidc:bob", &["bob@example.com"], &["0x1234 ABCD"]),
            who("oidc:carol", &["carol@example.com", "team@example.com"], &[]),
            who("oidc:dave", &["team@example.com"], &[]),
        ];
        let users = |commit: CommitFacts| {
            let people = behind(&[commit], &identities);
            let list = |all: BTreeSet<String>| all.into_iter().collect::<Vec<_>>().join(" ");
            (list(people.users), list(people.unmapped))
        };
        for (commit, want, unmapped) in [
            (
                commit("alice@example.COM", "alice@home", None, ""),
                "oidc:alice",
                "",
            ),
            (
                commit("alice@home", "bob@example.com", None, ""),
                "oidc:alice oidc:bob",
                "",
            ),
            (
                commit("alice@home", "alice@home", Some("1234abcd"), ""),
                "oidc:alice oidc:bob",
                "",
            ),
            (
                commit("bob@example.com", "bob@example.com", Some("SHA256:aB"), ""),
                "oidc:alice oidc:bob",
                "",
            ),
            (
                commit("bob@example.com", "bob@example.com", Some("SHA256:ab"), ""),
                "oidc:bob",
                "key SHA256:ab",
            ),
            (
                commit(
                    "bob@example.com",
                    "bob@example.com",
                    Some("FFFF"),
                    "carol@example.com",
                ),
                "oidc:bob oidc:carol",
                "",
            ),
            (
                commit("team@example.com", "team@example.com", None, ""),
                "oidc:carol oidc:dave",
                "",
            ),
            (
                commit("eve@example.com", "alice@home", None, ""),
                "oidc:alice",
                "eve@example.com",
            ),
            (
                commit("", "alice@home", None, ""),
                "oidc:alice",
                "commit 1a2b3c4d without an address",
            ),
        ] {
            assert_eq!(users(commit), (want.to_owned(), unmapped.to_owned()));
        }
        let mut unknown = commit("bob@example.com", "bob@example.com", Some("SHA256:aB"), "");
        unknown.signature.state = SignatureState::Unknown;
        assert_eq!(users(unknown).0, "oidc:bob", "what is not proven is nobody's");
    }
}
