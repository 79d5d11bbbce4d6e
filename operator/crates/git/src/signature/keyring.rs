//! The keyring: what the Secret of `spec.verify.secretRef` holds. Owns the names of its keys, the caps and the reading;
//! one entry that cannot be read refuses the whole, since it may be the one that revokes.

use super::allowed_signers::{self, AllowedSigner};
use super::certificate::{self, Certificate};
use crate::Error;
use crate::credentials::hex;
use crate::escape;
use russh::keys::PublicKey;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of all entries together: what a Secret can hold.
const MAX_BYTES: usize = 1 << 20;
/// OpenPGP certificates.
const MAX_CERTIFICATES: usize = 500;
/// SSH keys, allowed and revoked.
const MAX_SSH_KEYS: usize = 5000;

/// Public keys that are trusted to sign. Cheap to clone. The default one is empty: every signature is Unknown to it.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Keys>);

#[derive(Default)]
struct Keys {
    certificates: Vec<Certificate>,
    signers: Vec<AllowedSigner>,
    revoked: Vec<PublicKey>,
    fingerprint: String,
}

impl Keyring {
    /// Reads a Secret: `*.asc` are armored OpenPGP certificates, `*.pub` plain SSH public keys, `allowed_signers` and
    /// `*.allowed_signers` files in OpenSSH's format, `revoked_keys` SSH public keys that are not trusted any more.
    /// Other keys are ignored.
    ///
    /// # Errors
    /// [`Error::InvalidKeyring`] naming key and line.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let bytes: usize = data.values().map(Vec::len).sum();
        if bytes > MAX_BYTES {
            return Err(invalid(
                "",
                format!("it has {bytes} bytes, more than {MAX_BYTES}"),
            ));
        }
        let mut keys = Keys {
            fingerprint: Self::fingerprint_of(data),
            ..Keys::default()
        };
        for (name, value) in data {
            read(&mut keys, name, value).map_err(|why| invalid(name, why))?;
            if keys.certificates.len() > MAX_CERTIFICATES {
                return Err(invalid(
                    name,
                    format!("there are more than {MAX_CERTIFICATES} certificates"),
                ));
            }
            if keys.signers.len() + keys.revoked.len() > MAX_SSH_KEYS {
                return Err(invalid(
                    name,
                    format!("there are more than {MAX_SSH_KEYS} SSH keys"),
                ));
            }
        }
        if keys.certificates.is_empty() && keys.signers.is_empty() {
            let why = "there is no key in it; put OpenPGP certificates under *.asc, SSH public keys under *.pub, or \
                       an allowed_signers file under allowed_signers";
            return Err(invalid("", why));
        }
        Ok(Self(Arc::new(keys)))
    }

    /// Equal for equal Secrets. Everything in a keyring is public.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// What [`Keyring::fingerprint`] would be, without reading the keys.
    #[must_use]
    pub fn fingerprint_of(data: &BTreeMap<String, Vec<u8>>) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (name, value) in data {
            for part in [name.as_bytes(), value.as_slice()] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        hex(context.finish().as_ref())
    }

    pub(super) fn certificates(&self) -> &[Certificate] {
        &self.0.certificates
    }

    pub(super) fn signers(&self) -> &[AllowedSigner] {
        &self.0.signers
    }

    pub(super) fn revoked(&self) -> &[PublicKey] {
        &self.0.revoked
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keys {
            certificates,
            signers,
            revoked,
            ..
        } = &*self.0;
        write!(
            f,
            "Keyring({} certificates, {} SSH keys, {} revoked)",
            certificates.len(),
            signers.len(),
            revoked.len()
        )
    }
}

fn read(keys: &mut Keys, name: &str, value: &[u8]) -> Result<(), String> {
    let text = || std::str::from_utf8(value).map_err(|_| "it is not text".to_owned());
    let private = |text: &str| text.contains("PRIVATE KEY");
    let is_signers = name == "allowed_signers" || name.ends_with(".allowed_signers");
    if !(is_signers || name == "revoked_keys" || name.ends_with(".asc") || name.ends_with(".pub")) {
        return Ok(());
    }
    if value.starts_with(b"SSHKRL") {
        return Err("a binary KRL is not supported; list the revoked public keys, one a line".to_owned());
    }
    let text = text()?;
    if private(text) {
        return Err(
            "it holds a private key; take it out and consider it lost: only public keys belong here"
                .to_owned(),
        );
    }
    if is_signers {
        keys.signers.extend(allowed_signers::parse(text)?);
    } else if name == "revoked_keys" {
        let revoked = allowed_signers::parse_keys(text, name)?;
        keys.revoked.extend(revoked.into_iter().map(|signer| signer.key));
    } else if let Some(stem) = name.strip_suffix(".pub") {
        keys.signers.extend(allowed_signers::parse_keys(text, stem)?);
    } else {
        let room = MAX_CERTIFICATES + 1 - keys.certificates.len();
        keys.certificates.extend(certificate::parse(text, room)?);
    }
    Ok(())
}

fn invalid(name: &str, why: impl Into<String>) -> Error {
    Error::InvalidKeyring {
        field: escape::line(name, 253),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn ring(pairs: &[(&str, &str)]) -> Result<Keyring, Error> {
        let data = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
            .collect();
        Keyring::from_secret(&data)
    }

    #[test]
    fn entries_go_by_their_names() {
        let keyring = ring(&[
            ("allowed_signers", &format!("a@example.com {KEY}")),
            ("team.allowed_signers", &format!("b@example.com {KEY}")),
            ("bob.pub", KEY),
            ("revoked_keys", KEY),
            ("README", "whatever"),
        ])
        .unwrap();
        assert_eq!(
            format!("{keyring:?}"),
            "Keyring(0 certificates, 3 SSH keys, 1 revoked)"
        );
        assert_eq!(keyring.signers()[1].owner(), "bob");
    }

    #[test]
    fn what_cannot_be_read_is_named_and_refuses_the_whole() {
        let good = ("a.pub", KEY);
        for (name, value, part) in [
            ("b.pub", "nonsense", "line 1"),
            ("allowed_signers", "* nonsense", "line 1"),
            ("b.asc", "nonsense", "OpenPGP"),
            ("b.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----", "private key"),
            ("b.pub", "-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
            ("revoked_keys", "SSHKRL\n", "KRL"),
        ] {
            let error = ring(&[good, (name, value)]).unwrap_err();
            assert_eq!(error.reason(), "InvalidKeyring");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(part), "{text}");
        }
        for pairs in [vec![], vec![("README", "x")], vec![("revoked_keys", KEY)]] {
            assert!(ring(&pairs).unwrap_err().to_string().contains("no key in it"));
        }
    }

    #[test]
    fn a_keyring_is_bounded() {
        let many = format!("{KEY}\n").repeat(MAX_SSH_KEYS + 1);
        assert!(
            ring(&[("a.pub", &many)])
                .unwrap_err()
                .to_string()
                .contains("more than 5000")
        );
        let huge = "x".repeat(MAX_BYTES + 1);
        assert!(
            ring(&[("README", &huge)])
                .unwrap_err()
                .to_string()
                .contains("bytes")
        );
    }
}
