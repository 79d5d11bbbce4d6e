//! Signatures of commits and tags: what is signed, by whom, and what that is worth. Owns the states and the way from an
//! object to its verdict; the formats have a file each. Time is passed in; nothing here reads a clock, a home directory
//! or a key server: what a Secret does not have is not trusted.

mod allowed_signers;
mod certificate;
mod keyring;
mod object;
mod openpgp;
mod ssh;

use crate::{Revision, escape};
use jiff::Timestamp;

pub use keyring::Keyring;
pub(crate) use object::{MAX_OBJECT, Signed, commit, tag};

/// Clocks of people differ; a signature dated later than this after now is from the future.
const TOLERATED_SECONDS: i64 = 3600;

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureState {
    /// Made by a key of the keyring that was allowed to, over exactly this content.
    Good,
    /// Made by a key that the keyring does not have, or in a format that it cannot check.
    Unknown,
    /// Changed after signing, or the key was expired, revoked, too weak, or allowed for somebody or something else.
    Bad,
    /// There is none.
    None,
}

/// The verdict on one commit or tag. All text is escaped and short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What it is worth.
    pub state: SignatureState,
    /// Fingerprint of an OpenPGP certificate (upper case hex) or `SHA256:...` of an SSH key; empty where nobody signed.
    /// Of an unknown key it is what the signature claims.
    pub key_id: String,
    /// Whom the keyring says the key belongs to: an address of the certificate or a principal. Empty unless Good.
    pub identity: String,
    /// One line for people: why it is what it is.
    pub message: String,
}

/// A revision's signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Of the commit itself.
    pub commit: Signature,
    /// Of the annotated tag that the reference is; `None` for a branch or a lightweight tag.
    pub tag: Option<Signature>,
}

impl Verified {
    /// The one that counts: the tag's where the tag is signed, else the commit's.
    #[must_use]
    pub fn overall(&self) -> &Signature {
        match &self.tag {
            Some(tag) if tag.state != SignatureState::None => tag,
            _ => &self.commit,
        }
    }
}

/// What an object says of itself, to be compared with what the keyring says of the key.
pub(crate) struct Claim {
    /// `commit` or `tag`.
    what: &'static str,
    /// Addresses that may be the signer's: committer and author, or the tagger.
    emails: Vec<String>,
    /// The committer's or tagger's clock, seconds: SSH signatures have no time of their own, and git takes this one, too.
    at: i64,
}

impl Claim {
    pub(crate) fn of_commit(revision: &Revision, at: i64) -> Self {
        let mut emails = vec![revision.committer_email.clone()];
        if revision.author_email != revision.committer_email {
            emails.push(revision.author_email.clone());
        }
        Self {
            what: "commit",
            emails,
            at,
        }
    }

    pub(crate) fn of_tag(email: Option<String>, at: i64) -> Self {
        Self {
            what: "tag",
            emails: email.into_iter().collect(),
            at,
        }
    }

    /// The first address that one of the key's identities stands for.
    fn matching(&self, stands_for: impl Fn(&str) -> bool) -> Option<&str> {
        self.emails
            .iter()
            .map(String::as_str)
            .find(|email| !email.is_empty() && stands_for(email))
    }

    fn mismatch(&self, owner: &str) -> String {
        let claimed = self.emails.join(" and ");
        format!(
            "the key is {owner}'s, but the {} is by {claimed}, which is none of its identities",
            self.what
        )
    }
}

impl Signature {
    fn new(state: SignatureState, key_id: &str, identity: &str, message: impl AsRef<str>) -> Self {
        Self {
            state,
            key_id: escape::line(key_id, 140),
            identity: escape::line(identity, 254),
            message: escape::line(message.as_ref(), 400),
        }
    }

    fn none(what: &str) -> Self {
        Self::new(SignatureState::None, "", "", format!("the {what} is not signed"))
    }

    fn bad(key_id: &str, why: impl AsRef<str>) -> Self {
        Self::new(SignatureState::Bad, key_id, "", why)
    }

    fn unknown(key_id: &str, why: impl AsRef<str>) -> Self {
        Self::new(SignatureState::Unknown, key_id, "", why)
    }

    fn good(key_id: &str, identity: &str, format: &str) -> Self {
        let who = if identity.is_empty() {
            "a known key"
        } else {
            identity
        };
        let message = format!("good {format} signature of {who} with {key_id}");
        Self::new(SignatureState::Good, key_id, identity, message)
    }
}

/// The verdict on what [`commit`] or [`tag`] took apart.
pub(crate) fn judge(signed: &Signed, keyring: &Keyring, claim: &Claim, now: Timestamp) -> Signature {
    let (block, payload) = match signed {
        Signed::Not => return Signature::none(claim.what),
        Signed::Unreadable(why) => return Signature::bad("", why),
        Signed::By { block, payload } => (block.trim(), payload.as_slice()),
    };
    let now = now.as_second();
    match block.lines().next().unwrap_or_default() {
        openpgp::BEGIN => openpgp::judge(keyring.certificates(), block, payload, claim, now),
        ssh::BEGIN => ssh::judge(keyring, block, payload, claim, now),
        "-----BEGIN SIGNED MESSAGE-----" => Signature::unknown(
            "",
            "it is signed with X.509 (gpgsm), which cannot be checked here; sign with OpenPGP or SSH",
        ),
        _ => Signature::bad("", "its signature is in no format that git has"),
    }
}

/// `Some(why)` for a time after now, beyond what clocks differ by.
fn from_the_future(at: i64, now: i64) -> Option<String> {
    (at > now.saturating_add(TOLERATED_SECONDS)).then(|| {
        format!(
            "it is dated {}, which is in the future; correct the signer's clock",
            date(at)
        )
    })
}

/// A time in seconds as people read it.
fn date(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| format!("second {at}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    const CERTIFICATE: &str = include_str!("../tests/room/gnupg/alice.asc");
    const COMMIT: &str = include_str!("../tests/room/gnupg/commit");
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    static RING: LazyLock<Keyring> = LazyLock::new(|| {
        let entries = [("a.asc", CERTIFICATE), ("b.pub", KEY)];
        let data: BTreeMap<String, Vec<u8>> = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        Keyring::from_secret(&data).unwrap()
    });

    fn verdict(keyring: &Keyring, raw: &[u8]) -> SignatureState {
        let claim = Claim {
            what: "commit",
            emails: vec!["alice@example.com".to_owned()],
            at: 1_795_000_000,
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let tag = judge(&tag(raw), keyring, &claim, now);
        assert!(tag.message.chars().count() <= 401);
        judge(&commit(raw), keyring, &claim, now).state
    }

    #[test]
    fn the_sample_is_good_and_no_byte_of_it_can_change() {
        assert_eq!(verdict(&RING, COMMIT.as_bytes()), SignatureState::Good);
        let message = COMMIT.find("\n\n").unwrap();
        for at in (0..40).chain(message..COMMIT.len()) {
            let mut raw = COMMIT.as_bytes().to_vec();
            raw[at] ^= 1;
            assert_ne!(verdict(&RING, &raw), SignatureState::Good, "byte {at}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_bytes_have_a_verdict(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_ne!(verdict(&Keyring::default(), &raw), SignatureState::Good);
        }

        #[test]
        fn any_packet_in_a_block_has_a_verdict(
            packet in proptest::collection::vec(any::<u8>(), 0..300),
            ssh in any::<bool>(),
            plausible in any::<bool>(),
        ) {
            use base64::Engine as _;
            let mut packet = packet;
            if plausible {
                // A version 4 signature packet, or what every SSH signature begins with.
                let head: &[u8] = if ssh { b"SSHSIG\0\0\0\x01" } else { b"\xc2\x40\x04\x00\x16\x08" };
                packet.splice(..0, head.iter().copied());
            }
            let label = if ssh { "SSH SIGNATURE" } else { "PGP SIGNATURE" };
            let body = base64::engine::general_purpose::STANDARD.encode(&packet);
            let body: Vec<String> = body.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            let blank = if ssh { "" } else { "\n" };
            let block = format!("-----BEGIN {label}-----\n{blank}{}\n-----END {label}-----", body.join("\n"));
            let raw = format!("tree 1\ngpgsig {}\n\nm\n", block.replace('\n', "\n "));
            prop_assert_ne!(verdict(&RING, raw.as_bytes()), SignatureState::Good);
        }

        #[test]
        fn a_changed_sample_has_a_verdict(at in 0..COMMIT.len(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut raw = COMMIT.as_bytes().to_vec();
            raw[at] = byte;
            if cut {
                raw.truncate(at);
            }
            verdict(&RING, &raw);
        }

        #[test]
        fn any_keyring_is_read_or_refused(at in 0..CERTIFICATE.len(), byte in any::<u8>(), text in "\\PC{0,200}") {
            let mut certificate = CERTIFICATE.as_bytes().to_vec();
            certificate[at] = byte;
            for (name, value) in [("a.asc", certificate), ("allowed_signers", text.clone().into_bytes()), ("b.pub", text.into_bytes())] {
                let data = BTreeMap::from([(name.to_owned(), value)]);
                drop(Keyring::from_secret(&data));
            }
        }
    }
}
