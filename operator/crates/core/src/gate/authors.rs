//! Who had a hand in the commits of a release, as users of the API server. Rules: semantics.md "Approvals, overrides,
//! identity".

use std::collections::BTreeMap;

use tidegate_api::policy::Identity;

use crate::people::{CommitFacts, SignatureState};

/// Users with one of their commits, and the addresses and keys that are nobody's.
pub(super) struct Hands<'a> {
    pub(super) users: BTreeMap<&'a str, &'a CommitFacts>,
    /// By address or key; the commit is the newest of them.
    pub(super) strangers: BTreeMap<String, &'a CommitFacts>,
}

/// Authors, committers and signers of all commits.
pub(super) fn hands<'a>(commits: &'a [CommitFacts], identities: &'a [Identity]) -> Hands<'a> {
    let mut marks: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for identity in identities {
        for mark in marks_of(identity) {
            marks.entry(mark).or_default().push(&identity.user);
        }
    }
    let mut hands = Hands {
        users: BTreeMap::new(),
        strangers: BTreeMap::new(),
    };
    for commit in commits {
        for hand in hands_of(commit) {
            let users: Vec<&str> = hand
                .marks
                .iter()
                .filter_map(|m| marks.get(m))
                .flatten()
                .copied()
                .collect();
            for user in &users {
                hands.users.entry(user).or_insert(commit);
            }
            if users.is_empty() && hand.must_be_known {
                hands.strangers.entry(hand.shown).or_insert(commit);
            }
        }
    }
    hands
}

struct Hand {
    /// Any of them names the user.
    marks: Vec<String>,
    shown: String,
    must_be_known: bool,
}

fn hands_of(commit: &CommitFacts) -> Vec<Hand> {
    let by_address = |role: &str, address: &str| Hand {
        marks: vec![address_mark(address)],
        shown: match address.trim() {
            "" => format!("the {role} of {}, who has no address", short(&commit.commit)),
            address => address.to_owned(),
        },
        must_be_known: true,
    };
    let mut hands = vec![
        by_address("author", &commit.author_email),
        by_address("committer", &commit.committer_email),
    ];
    let signature = &commit.signature;
    let key = signature.key_id.as_deref();
    let identity = signature.identity.as_deref();
    if let Some(shown) = key.or(identity) {
        hands.push(Hand {
            marks: key
                .map(key_mark)
                .into_iter()
                .chain(identity.map(address_mark))
                .collect(),
            shown: format!("key {shown}"),
            // Whose an unknown key is, nobody knows; author and committer have to be known in any case.
            must_be_known: signature.state == SignatureState::Good,
        });
    }
    hands
}

/// Which users are one person: those who share an address or a key.
pub(super) struct Persons<'a> {
    first: BTreeMap<&'a str, &'a str>,
}

impl<'a> Persons<'a> {
    pub(super) fn new(identities: &'a [Identity]) -> Self {
        // The number of a group is the index of its first identity.
        let mut groups: Vec<usize> = (0..identities.len()).collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, identity) in identities.iter().enumerate() {
            let named = format!("user {}", identity.user);
            for mark in marks_of(identity).chain([named]) {
                let other = *seen.entry(mark).or_insert(index);
                let (a, b) = (group(&groups, index), group(&groups, other));
                let (from, to) = (a.max(b), a.min(b));
                if from != to {
                    groups.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
                }
            }
        }
        let mut names: BTreeMap<usize, &str> = BTreeMap::new();
        for (identity, group) in identities.iter().zip(&groups) {
            let name = names.entry(*group).or_insert(&identity.user);
            *name = (*name).min(&identity.user);
        }
        let first = identities
            .iter()
            .zip(&groups)
            .filter_map(|(identity, group)| Some((identity.user.as_str(), *names.get(group)?)));
        Self {
            first: first.collect(),
        }
    }

    /// One name for all users of a person.
    pub(super) fn person<'u>(&self, user: &'u str) -> &'u str
    where
        'a: 'u,
    {
        self.first.get(user).copied().unwrap_or(user)
    }
}

fn group(groups: &[usize], index: usize) -> usize {
    groups.get(index).copied().unwrap_or(index)
}

fn marks_of(identity: &Identity) -> impl Iterator<Item = String> + '_ {
    let addresses = identity.emails.iter().map(|address| address_mark(address));
    addresses.chain(identity.keys.iter().map(|key| key_mark(key)))
}

/// Addresses are written in any case; that of somebody else under another spelling must not make a stranger.
fn address_mark(address: &str) -> String {
    format!("address {}", address.trim().to_lowercase())
}

/// Fingerprints of OpenPGP keys are written with spaces and in any case; those of SSH keys are base64.
fn key_mark(key: &str) -> String {
    let key = key.trim();
    if key.starts_with("SHA256:") {
        return format!("key {key}");
    }
    let hex: String = key.chars().filter(|c| !c.is_whitespace()).collect();
    format!("key {}", hex.to_uppercase())
}

/// The first eight digits of a commit's id.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::SignatureFacts;

    fn identity(user: &str, emails: &[&str], keys: &[&str]) -> Identity {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Identity {
            user: user.to_owned(),
            emails: owned(emails),
            keys: owned(keys),
        }
    }

    fn commit(author: &str, committer: &str, signature: SignatureFacts) -> CommitFacts {
        CommitFacts {
            commit: "1a2b3c4d5e6f".to_owned(),
            author_email: author.to_owned(),
            committer_email: committer.to_owned(),
            signature,
            ..CommitFacts::default()
        }
    }

    fn signed(state: SignatureState, key: &str) -> SignatureFacts {
        SignatureFacts {
            state,
            key_id: Some(key.to_owned()),
            ..SignatureFacts::default()
        }
    }

    #[test]
    fn authors_committers_and_signers_are_found_by_address_and_key() {
        let identities = [
            identity("alice", &["alice@example.com"], &[]),
            identity("bob", &["bob@example.com"], &[]),
            identity("carol", &[], &["SHA256:carol", "ABCD EF01"]),
        ];
        for (state, key) in [
            (SignatureState::Good, "SHA256:carol"),
            (SignatureState::Unknown, "abcdef01"),
        ] {
            let commits = [commit(
                "Alice@Example.COM",
                "bob@example.com ",
                signed(state, key),
            )];
            let hands = hands(&commits, &identities);
            assert_eq!(
                hands.users.keys().copied().collect::<Vec<_>>(),
                ["alice", "bob", "carol"]
            );
            assert!(hands.strangers.is_empty());
        }
    }

    #[test]
    fn who_is_nobody_is_named_and_an_unknown_key_is_not_asked_for() {
        let identities = [identity("alice", &["alice@example.com"], &[])];
        let rows = [
            (
                commit(
                    "alice@example.com",
                    "web@forge.example",
                    SignatureFacts::default(),
                ),
                vec!["web@forge.example"],
            ),
            (
                commit("", "alice@example.com", SignatureFacts::default()),
                vec!["the author of 1a2b3c4d, who has no address"],
            ),
            (
                commit(
                    "alice@example.com",
                    "alice@example.com",
                    signed(SignatureState::Good, "SHA256:x"),
                ),
                vec!["key SHA256:x"],
            ),
            (
                commit(
                    "alice@example.com",
                    "alice@example.com",
                    signed(SignatureState::Unknown, "SHA256:x"),
                ),
                vec![],
            ),
        ];
        for (commit, strangers) in rows {
            let commits = [commit];
            assert_eq!(
                hands(&commits, &identities)
                    .strangers
                    .into_keys()
                    .collect::<Vec<_>>(),
                strangers
            );
        }
    }

    #[test]
    fn users_that_share_an_address_or_a_key_are_one_person() {
        let identities = [
            identity("z-admin", &[], &["SHA256:k"]),
            identity("alice", &["a@example.com"], &[]),
            identity("bob", &["b@example.com"], &[]),
            identity("alice-admin", &["A@example.com"], &["SHA256:k"]),
        ];
        let persons = Persons::new(&identities);
        for user in ["z-admin", "alice", "alice-admin"] {
            assert_eq!(persons.person(user), "alice");
        }
        assert_eq!(persons.person("bob"), "bob");
        assert_eq!(persons.person("stranger"), "stranger");
    }
}
