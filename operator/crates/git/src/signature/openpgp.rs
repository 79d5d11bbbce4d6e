//! Signatures made with OpenPGP keys. Owns the order of the questions: is it one signature over data, is the key known,
//! does it fit, did the key speak for that person at that time.

use super::certificate::{Certificate, Key, weakness};
use super::{Claim, Signature, date, from_the_future};
use pgp::armor::DearmorOptions;
use pgp::composed::{Deserializable as _, DetachedSignature};
use pgp::packet::{self, SignatureType};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";

pub(super) fn judge(
    certificates: &[Certificate],
    block: &str,
    payload: &[u8],
    claim: &Claim,
    now: i64,
) -> Signature {
    // The packets come from anybody who can push: a panic of their parser must cost this one verdict.
    let judged = catch_unwind(AssertUnwindSafe(|| match only(block) {
        Ok(signature) => weigh(certificates, &signature, payload, claim, now),
        Err(why) => Signature::bad("", format!("its OpenPGP signature cannot be read: {why}")),
    }));
    judged.unwrap_or_else(|_| Signature::bad("", "its OpenPGP signature cannot be read"))
}

/// The one signature of a block. git takes several for an attack, too.
fn only(block: &str) -> Result<packet::Signature, String> {
    let options = DearmorOptions::new().set_limit(block.len() + 1);
    let text = format!("{block}\n");
    let (mut all, _) = DetachedSignature::from_armor_many_buf_with_options(text.as_bytes(), options)
        .map_err(|error| error.to_string())?;
    let first = all.next().ok_or("there is none in the block")?;
    let first = first.map_err(|error| error.to_string())?;
    if all.next().is_some() {
        return Err("there is more than one in the block".to_owned());
    }
    Ok(first.signature)
}

fn weigh(
    certificates: &[Certificate],
    signature: &packet::Signature,
    payload: &[u8],
    claim: &Claim,
    now: i64,
) -> Signature {
    let claimed = claimed_key(signature);
    let candidates: Vec<(&Certificate, &Key)> = certificates
        .iter()
        .flat_map(|certificate| certificate.keys.iter().map(move |key| (certificate, key)))
        .filter(|(_, key)| key.is_issuer_of(signature))
        .collect();
    if candidates.is_empty() {
        let why = format!("it is signed with the OpenPGP key {claimed}, which the keyring does not have");
        return Signature::unknown(&claimed, why);
    }
    if let Some(why) = weakness(signature) {
        return Signature::bad(&claimed, format!("its OpenPGP signature is refused: {why}"));
    }
    if signature.typ() != Some(SignatureType::Binary) {
        let why = "its OpenPGP signature is not one over data as it is (type 0x00)";
        return Signature::bad(&claimed, why);
    }
    let Some((certificate, key)) = candidates
        .into_iter()
        .find(|(_, key)| key.verifies(signature, payload))
    else {
        let why = format!(
            "its signature with {claimed} does not fit its content: it was changed after it was signed"
        );
        return Signature::bad(&claimed, why);
    };
    let id = &certificate.fingerprint;
    let Some(at) = signature.created().map(|time| i64::from(time.as_secs())) else {
        return Signature::bad(id, "its OpenPGP signature does not say when it was made");
    };
    let lifetime = signature
        .signature_expiration_time()
        .map_or(0, |d| i64::from(d.as_secs()));
    if lifetime > 0 && now > at + lifetime {
        let why = format!("its signature was valid until {}", date(at + lifetime));
        return Signature::bad(id, why);
    }
    if let Some(why) = from_the_future(at, now) {
        return Signature::bad(id, why);
    }
    if let Err(why) = certificate.allows(key, at) {
        return Signature::bad(id, why);
    }
    // A certificate without any address speaks for its key only, as a plain SSH key does.
    if certificate.identities.is_empty() {
        return Signature::good(id, "", "OpenPGP");
    }
    let is = |email: &str| {
        certificate
            .identities
            .iter()
            .any(|known| known.eq_ignore_ascii_case(email))
    };
    match claim.matching(is) {
        Some(email) => Signature::good(id, email, "OpenPGP"),
        None => Signature::bad(id, claim.mismatch(&certificate.owner())),
    }
}

/// What the signature says of its key: a fingerprint where it has one, else the short id.
fn claimed_key(signature: &packet::Signature) -> String {
    let fingerprint = signature
        .issuer_fingerprint()
        .first()
        .map(|print| format!("{print:X}"));
    let id = || {
        signature
            .issuer_key_id()
            .first()
            .map(|id| id.to_string().to_ascii_uppercase())
    };
    fingerprint
        .or_else(id)
        .unwrap_or_else(|| "without a name".to_owned())
}
