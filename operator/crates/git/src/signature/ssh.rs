//! Signatures made with SSH keys (`PROTOCOL.sshsig`). Owns the order of the questions: is the key known, is it revoked,
//! does the signature fit, and may this key sign for that person at that time.

use super::allowed_signers::{AllowedSigner, NAMESPACE};
use super::{Claim, Keyring, Signature, from_the_future};
use crate::escape;
use russh::keys::ssh_key::SshSig;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, HashAlg, PublicKey};

pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
/// Shorter RSA keys are refused, bits.
const MIN_RSA_BITS: u32 = 2048;

pub(super) fn judge(keyring: &Keyring, block: &str, payload: &[u8], claim: &Claim, now: i64) -> Signature {
    let signature = match SshSig::from_pem(block) {
        Ok(signature) => signature,
        Err(error) => {
            let why = format!("its SSH signature cannot be read: {error}");
            return Signature::bad("", why);
        }
    };
    let key = PublicKey::from(signature.public_key().clone());
    let id = key.fingerprint(HashAlg::Sha256).to_string();
    if keyring
        .revoked()
        .iter()
        .any(|revoked| revoked.key_data() == key.key_data())
    {
        return Signature::bad(&id, format!("the SSH key {id} is revoked"));
    }
    let same = |signer: &&AllowedSigner| signer.key.key_data() == key.key_data();
    let known: Vec<&AllowedSigner> = keyring.signers().iter().filter(same).collect();
    if known.is_empty() {
        let why = format!("it is signed with the SSH key {id}, which the keyring does not have");
        return Signature::unknown(&id, why);
    }
    if signature.namespace() != NAMESPACE {
        let namespace = escape::line(signature.namespace(), 60);
        let why = format!(
            "it was signed in the namespace {namespace:?}, not in \"{NAMESPACE}\": for something else"
        );
        return Signature::bad(&id, why);
    }
    if let Some(why) = weak(&key, &signature.algorithm()) {
        return Signature::bad(&id, why);
    }
    if key.verify(NAMESPACE, payload, &signature).is_err() {
        let why =
            format!("its signature with {id} does not fit its content: it was changed after it was signed");
        return Signature::bad(&id, why);
    }
    if let Some(why) = from_the_future(claim.at, now) {
        return Signature::bad(&id, why);
    }
    allowed(&known, &id, claim)
}

/// The first line for the key that allows it; otherwise the reason of the last one.
fn allowed(known: &[&AllowedSigner], id: &str, claim: &Claim) -> Signature {
    let mut reason = String::new();
    for signer in known {
        let identity = if signer.is_plain() {
            Some(signer.owner())
        } else {
            claim.matching(|email| signer.stands_for(email))
        };
        match (identity, signer.allows(claim.at)) {
            (Some(identity), Ok(())) => return Signature::good(id, identity, "SSH"),
            (None, _) => reason = claim.mismatch(signer.owner()),
            (Some(_), Err(why)) => reason = why,
        }
    }
    Signature::bad(id, reason)
}

fn weak(key: &PublicKey, algorithm: &Algorithm) -> Option<String> {
    match (key.key_data(), algorithm) {
        (KeyData::Dsa(_), _) | (_, Algorithm::Dsa) => {
            Some("it is signed with a DSA key, which is too weak; sign with ed25519".to_owned())
        }
        (_, Algorithm::Rsa { hash: None }) => {
            Some("it is signed with RSA over SHA-1, which is too weak; sign with a newer OpenSSH".to_owned())
        }
        (KeyData::Rsa(rsa), _) if rsa.key_size() < MIN_RSA_BITS => Some(format!(
            "its RSA key has {} bits, fewer than {MIN_RSA_BITS}",
            rsa.key_size()
        )),
        _ => None,
    }
}
