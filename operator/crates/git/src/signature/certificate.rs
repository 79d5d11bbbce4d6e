//! OpenPGP certificates: who a key belongs to, which of its parts may sign, from when to when, and whether that was taken
//! back. Owns the reading of self-signatures; only those that verify count, and only over hashes that still hold.

use super::date;
use crate::escape;
use pgp::armor::DearmorOptions;
use pgp::composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{self, RevocationCode, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Fingerprint, KeyDetails, KeyId, KeyVersion, PublicParams, Tag};
use std::panic::{AssertUnwindSafe, catch_unwind};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// Users, subkeys and signatures of one certificate.
const MAX_PARTS: usize = 10_000;
/// Shorter RSA keys are refused, bits.
const MIN_RSA_BITS: u16 = 2048;

/// What is needed of one certificate; all of it was verified when it was read.
pub(super) struct Certificate {
    /// Of the primary key, upper case hex: what people know.
    pub(super) fingerprint: String,
    /// Addresses of the user ids that were not revoked.
    pub(super) identities: Vec<String>,
    /// The primary key and the subkeys.
    pub(super) keys: Vec<Key>,
    /// Of the whole certificate.
    standing: Standing,
}

/// One key of a certificate.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) fingerprint: Fingerprint,
    material: Material,
    standing: Standing,
    /// `Err` says why it may not sign.
    may_sign: Result<(), String>,
}

enum Material {
    Primary(packet::PublicKey),
    Subkey(packet::PublicSubkey),
}

/// From when to when, in seconds.
struct Standing {
    created: i64,
    expires: Option<i64>,
    revoked: Option<Revocation>,
    /// There is no valid self-signature, so nothing is known.
    unbound: Option<String>,
}

struct Revocation {
    at: i64,
    /// Compromised, or for no reason given: then also what was signed before it.
    hard: bool,
    why: String,
}

impl Certificate {
    /// `Err` says why a key of this certificate did not speak for it at that time (seconds).
    pub(super) fn allows(&self, key: &Key, at: i64) -> Result<(), String> {
        self.standing.allows("certificate", at)?;
        key.standing.allows("signing key", at)?;
        key.may_sign.clone()
    }

    /// Whom it belongs to, for messages.
    pub(super) fn owner(&self) -> String {
        escape::line(&self.identities.join(", "), 200)
    }
}

impl Key {
    /// Whether a signature says that this key made it.
    pub(super) fn is_issuer_of(&self, signature: &packet::Signature) -> bool {
        signature.issuer_fingerprint().contains(&&self.fingerprint)
            || signature.issuer_key_id().contains(&&self.id)
    }

    pub(super) fn verifies(&self, signature: &packet::Signature, payload: &[u8]) -> bool {
        match &self.material {
            Material::Primary(key) => signature.verify(key, payload).is_ok(),
            Material::Subkey(key) => signature.verify(key, payload).is_ok(),
        }
    }
}

impl Standing {
    fn allows(&self, what: &str, at: i64) -> Result<(), String> {
        if let Some(revocation) = &self.revoked
            && (revocation.hard || at >= revocation.at)
        {
            return Err(format!(
                "the {what} was revoked on {} ({})",
                date(revocation.at),
                revocation.why
            ));
        }
        if let Some(why) = &self.unbound {
            return Err(format!("the {what} cannot be used: {why}"));
        }
        if at < self.created {
            return Err(format!(
                "it is dated {}, before the {what} was made on {}",
                date(at),
                date(self.created)
            ));
        }
        if let Some(expires) = self.expires.filter(|expires| at > *expires) {
            return Err(format!(
                "the {what} had expired on {}, and it is dated {}",
                date(expires),
                date(at)
            ));
        }
        Ok(())
    }
}

/// All certificates of a file, at most `room`; `Err` says which block is broken.
pub(super) fn parse(text: &str, room: usize) -> Result<Vec<Certificate>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut number = 0;
    while let Some((_, from)) = rest.split_once(BEGIN) {
        number += 1;
        let (body, after) = from
            .split_once(END)
            .ok_or_else(|| format!("OpenPGP block {number} does not end with {END}"))?;
        let block = format!("{BEGIN}{body}{END}\n");
        let read = catch_unwind(AssertUnwindSafe(|| {
            read_block(&block, room.saturating_sub(found.len()))
        }));
        let certificates = read.unwrap_or_else(|_| Err("it cannot be read".to_owned()));
        found.extend(certificates.map_err(|why| format!("OpenPGP block {number}: {why}"))?);
        rest = after;
    }
    if number == 0 {
        return Err(format!(
            "there is no armored OpenPGP certificate in it; it starts with {BEGIN}"
        ));
    }
    Ok(found)
}

fn read_block(block: &str, room: usize) -> Result<Vec<Certificate>, String> {
    let options = DearmorOptions::new().set_limit(block.len());
    let (keys, _) = SignedPublicKey::from_armor_many_buf_with_options(block.as_bytes(), options)
        .map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for key in keys.take(room) {
        found.push(certificate(&key.map_err(|error| error.to_string())?)?);
    }
    if found.is_empty() && room > 0 {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(found)
}

fn certificate(key: &SignedPublicKey) -> Result<Certificate, String> {
    let primary = &key.primary_key;
    let fingerprint = format!("{:X}", primary.fingerprint());
    if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
        return Err(format!("{fingerprint} is of a version that is too old"));
    }
    let details = &key.details;
    let users: usize = details.users.iter().map(|user| 1 + user.signatures.len()).sum();
    let subkeys: usize = key
        .public_subkeys
        .iter()
        .map(|subkey| 1 + subkey.signatures.len())
        .sum();
    if users + subkeys + details.direct_signatures.len() + details.revocation_signatures.len() > MAX_PARTS {
        return Err(format!(
            "{fingerprint} has more than {MAX_PARTS} parts; export it with --export-options export-minimal"
        ));
    }
    let mut statements: Vec<&packet::Signature> =
        newest(&details.direct_signatures, SignatureType::Key, |signature| {
            signature.verify_key(primary).is_ok()
        })
        .into_iter()
        .collect();
    let mut identities = Vec::new();
    for user in &details.users {
        let Some(statement) = user_statement(user, primary) else {
            continue;
        };
        identities.extend(user.id.as_str().and_then(address));
        // A version 6 key says everything about itself in its direct signature.
        if primary.version() == KeyVersion::V4 {
            statements.push(statement);
        }
    }
    let created = i64::from(primary.created_at().as_secs());
    let ends = statements.iter().filter_map(|statement| end(statement, created));
    let standing = Standing {
        created,
        // Tools write the same time into all of them; where they differ, the careful one.
        expires: ends.min(),
        revoked: revocation(&details.revocation_signatures, |signature| {
            signature.verify_key(primary).is_ok()
        }),
        unbound: statements.is_empty().then(|| {
            "it has no valid self-signature over a hash that still holds (SHA-256 or better)".to_owned()
        }),
    };
    let flags: Vec<bool> = statements
        .iter()
        .filter_map(|signature| sign_flag(signature))
        .collect();
    let may_sign = if flags.is_empty() || flags.contains(&true) {
        strong(primary.public_params())
    } else {
        Err("the primary key is not marked for signing".to_owned())
    };
    let mut keys = vec![Key {
        id: primary.legacy_key_id(),
        fingerprint: primary.fingerprint(),
        material: Material::Primary(primary.clone()),
        standing: Standing {
            created,
            expires: None,
            revoked: None,
            unbound: None,
        },
        may_sign,
    }];
    keys.extend(
        key.public_subkeys
            .iter()
            .map(|subkey| read_subkey(subkey, primary)),
    );
    Ok(Certificate {
        fingerprint,
        identities,
        keys,
        standing,
    })
}

/// The newest self-certification of a user id; `None` if there is none, or a newer revocation.
fn user_statement<'a>(
    user: &'a pgp::types::SignedUser,
    primary: &packet::PublicKey,
) -> Option<&'a packet::Signature> {
    let verifies = |signature: &&packet::Signature| {
        signature
            .verify_certification(primary, Tag::UserId, &user.id)
            .is_ok()
    };
    let is_revocation =
        |signature: &&packet::Signature| signature.typ() == Some(SignatureType::CertRevocation);
    let revoked = user.signatures.iter().filter(is_revocation).filter(verifies);
    let revoked = revoked.map(made).max();
    let certified = user
        .signatures
        .iter()
        .filter(|signature| !is_revocation(signature) && holds(signature))
        .filter(verifies)
        .max_by_key(|signature| made(signature))?;
    revoked.is_none_or(|at| at < made(certified)).then_some(certified)
}

fn read_subkey(subkey: &SignedPublicSubKey, primary: &packet::PublicKey) -> Key {
    let bound = |signature: &packet::Signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok();
    let binding = newest(&subkey.signatures, SignatureType::SubkeyBinding, bound);
    let created = i64::from(subkey.key.created_at().as_secs());
    let revocations: Vec<packet::Signature> = subkey
        .signatures
        .iter()
        .filter(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation))
        .cloned()
        .collect();
    let standing = Standing {
        created,
        expires: binding.and_then(|binding| end(binding, created)),
        revoked: revocation(&revocations, bound),
        unbound: binding
            .is_none()
            .then(|| "it has no valid binding over a hash that still holds (SHA-256 or better)".to_owned()),
    };
    // A signing subkey signs back: otherwise anybody could claim another's key as a part of his own.
    let signs_back = |binding: &packet::Signature| {
        binding
            .embedded_signature()
            .is_some_and(|back| holds(back) && back.verify_primary_key_binding(&subkey.key, primary).is_ok())
    };
    let may_sign = match binding {
        Some(binding) if sign_flag(binding) != Some(true) => {
            Err("the subkey is not marked for signing".to_owned())
        }
        Some(binding) if !signs_back(binding) => {
            Err("the subkey has not confirmed that it belongs to this certificate".to_owned())
        }
        _ => strong(subkey.key.public_params()),
    };
    Key {
        id: subkey.key.legacy_key_id(),
        fingerprint: subkey.key.fingerprint(),
        material: Material::Subkey(subkey.key.clone()),
        standing,
        may_sign,
    }
}

fn newest(
    signatures: &[packet::Signature],
    kind: SignatureType,
    verifies: impl Fn(&packet::Signature) -> bool,
) -> Option<&packet::Signature> {
    signatures
        .iter()
        .filter(|signature| signature.typ() == Some(kind) && holds(signature) && verifies(signature))
        .max_by_key(|signature| made(signature))
}

/// The worst revocation. A weak hash is no excuse here: it only takes away.
fn revocation(
    signatures: &[packet::Signature],
    verifies: impl Fn(&packet::Signature) -> bool,
) -> Option<Revocation> {
    let read = |signature: &packet::Signature| {
        let code = signature.revocation_reason_code();
        let why = match code {
            Some(RevocationCode::KeySuperseded) => "superseded",
            Some(RevocationCode::KeyRetired) => "retired",
            Some(RevocationCode::KeyCompromised) => "compromised",
            _ => "no reason given, so taken as compromised",
        };
        Revocation {
            at: made(signature),
            hard: !matches!(
                code,
                Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
            ),
            why: why.to_owned(),
        }
    };
    signatures
        .iter()
        .filter(|signature| verifies(signature))
        .map(read)
        .min_by_key(|revocation| (!revocation.hard, revocation.at))
}

/// When it was made, seconds; 0 where it does not say, which no other rule then takes for newest.
fn made(signature: &packet::Signature) -> i64 {
    signature.created().map_or(0, |time| i64::from(time.as_secs()))
}

/// When the key ends, or the statement itself does; both are counted in seconds, and zero means never.
fn end(statement: &packet::Signature, created: i64) -> Option<i64> {
    let seconds = |duration: Option<pgp::types::Duration>| {
        duration
            .map(|d| i64::from(d.as_secs()))
            .filter(|seconds| *seconds > 0)
    };
    let key = seconds(statement.key_expiration_time()).map(|seconds| created + seconds);
    let own = seconds(statement.signature_expiration_time()).map(|seconds| made(statement) + seconds);
    key.into_iter().chain(own).min()
}

/// What the key flags say about signing, where there are any.
fn sign_flag(signature: &packet::Signature) -> Option<bool> {
    signature
        .config()?
        .hashed_subpackets()
        .find_map(|subpacket| match &subpacket.data {
            SubpacketData::KeyFlags(flags) => Some(flags.sign()),
            _ => None,
        })
}

/// Whether a signature is of a version, over a hash and without demands that can still be relied on.
pub(super) fn holds(signature: &packet::Signature) -> bool {
    weakness(signature).is_none()
}

/// `Some(why)` for a signature that proves nothing any more, or demands what is not known.
pub(super) fn weakness(signature: &packet::Signature) -> Option<String> {
    let Some(config) = signature.config() else {
        return Some("it is of an OpenPGP version that is not known".to_owned());
    };
    if !matches!(
        config.version(),
        packet::SignatureVersion::V4 | packet::SignatureVersion::V6
    ) {
        return Some("it is of an OpenPGP version that is too old".to_owned());
    }
    let strong = matches!(
        config.hash_alg,
        HashAlgorithm::Sha224
            | HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    );
    if !strong {
        return Some(format!("it is made over {}, which is too weak", config.hash_alg));
    }
    let unknown = config.hashed_subpackets().any(|subpacket| {
        subpacket.is_critical
            && matches!(
                subpacket.data,
                SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_)
            )
    });
    unknown.then(|| "it demands something critical that is not known here".to_owned())
}

/// `Err` names the algorithm that is refused.
fn strong(params: &PublicParams) -> Result<(), String> {
    match params {
        PublicParams::DSA(_) => Err("its key is a DSA key, which is too weak; use ed25519".to_owned()),
        PublicParams::RSA(rsa) => {
            let mut bytes = Vec::new();
            // The modulus comes first, as a number with its length in bits before it.
            let bits = rsa.to_writer(&mut bytes).ok().and_then(|()| bytes.first_chunk());
            match bits.map(|bits: &[u8; 2]| u16::from_be_bytes(*bits)) {
                Some(bits) if bits >= MIN_RSA_BITS => Ok(()),
                bits => Err(format!(
                    "its RSA key has {} bits, fewer than {MIN_RSA_BITS}",
                    bits.unwrap_or(0)
                )),
            }
        }
        _ => Ok(()),
    }
}

/// The address of `Name (comment) <a@example.com>`, or of a user id that is one.
fn address(user_id: &str) -> Option<String> {
    let found = match (user_id.rfind('<'), user_id.rfind('>')) {
        (Some(from), Some(to)) if from < to => user_id.get(from + 1..to)?,
        _ => user_id.trim(),
    };
    let plain = !found.is_empty() && found.contains('@') && !found.contains(char::is_whitespace);
    plain.then(|| escape::line(found, 254))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_user_ids() {
        for (id, want) in [
            ("Alice (work) <alice@example.com>", Some("alice@example.com")),
            ("alice@example.com", Some("alice@example.com")),
            ("Alice", None),
            ("Alice @ home", None),
            ("<a@b> <c@d>", Some("c@d")),
        ] {
            assert_eq!(address(id).as_deref(), want, "{id}");
        }
    }
}
