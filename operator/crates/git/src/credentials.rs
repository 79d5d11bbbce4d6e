//! Credentials as they stand in the Secret of `spec.secretRef`. Owns their checking; never prints or serialises them.

use crate::Error;
use crate::known_hosts::KnownHosts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use russh::keys::PrivateKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Who we are to a git server. Cloning is cheap; `Debug` shows only which kinds are present.
#[derive(Clone, Default)]
pub struct Credentials(Arc<Parts>);

#[derive(Default)]
struct Parts {
    /// Ready-made `Authorization` value.
    authorization: Option<String>,
    ssh: Option<SshIdentity>,
    ca: Vec<CertificateDer<'static>>,
    client: Option<ClientCertificate>,
    /// The keys and values that were used, for the fingerprint only.
    material: Vec<(&'static str, Vec<u8>)>,
}

#[derive(Clone)]
pub(crate) struct SshIdentity {
    pub(crate) key: Arc<PrivateKey>,
    pub(crate) known_hosts: KnownHosts,
}

pub(crate) struct ClientCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key_pem: Vec<u8>,
}

impl Credentials {
    /// Reads the keys `username`+`password`, `bearerToken`, `identity`+`known_hosts` (with `password` as passphrase),
    /// `ca.crt`, `tls.crt`+`tls.key`. Other keys are ignored; `identity.pub` is not needed.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] naming the key, never the value.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let read = |key: &'static str| data.get(key).map(|value| (key, value.as_slice()));
        let mut parts = Parts::default();
        for key in [
            "username",
            "password",
            "bearerToken",
            "identity",
            "known_hosts",
            "ca.crt",
            "tls.crt",
            "tls.key",
        ] {
            parts
                .material
                .extend(read(key).map(|(key, value)| (key, value.to_vec())));
        }
        let password = read("password").map(text).transpose()?;
        parts.authorization = match (read("bearerToken"), read("username")) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "bearerToken",
                    "give either bearerToken or username and password",
                ));
            }
            (Some(token), None) => Some(format!("Bearer {}", text(token)?)),
            (None, Some(name)) => Some(basic(text(name)?, password)?),
            (None, None) => None,
        };
        parts.ssh = ssh_identity(read("identity"), read("known_hosts"), password)?;
        if parts.authorization.is_none() && parts.ssh.is_none() && password.is_some() {
            return Err(invalid(
                "username",
                "password is there but neither username nor identity",
            ));
        }
        parts.ca = read("ca.crt").map(certificates).transpose()?.unwrap_or_default();
        parts.client = client_certificate(read("tls.crt"), read("tls.key"))?;
        Ok(Self(Arc::new(parts)))
    }

    /// A keyed hash over everything that was used: equal for equal credentials, meaningless without `key`.
    /// A plain hash of a short password would be an oracle for it (semantics.md, Release records).
    #[must_use]
    pub fn fingerprint(&self, key: &[u8]) -> String {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        for (name, value) in &self.0.material {
            mac.update(name.as_bytes());
            mac.update(&(value.len() as u64).to_be_bytes());
            mac.update(value);
        }
        hex(mac.sign().as_ref())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.0.authorization.as_deref()
    }

    pub(crate) fn ssh(&self) -> Option<&SshIdentity> {
        self.0.ssh.as_ref()
    }

    pub(crate) fn ca(&self) -> &[CertificateDer<'static>] {
        &self.0.ca
    }

    pub(crate) fn client(&self) -> Option<&ClientCertificate> {
        self.0.client.as_ref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.material.iter().map(|(name, _)| name))
            .finish()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        out.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        out.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        out
    })
}

fn invalid(field: &'static str, why: impl Into<String>) -> Error {
    Error::InvalidCredentials {
        field,
        why: why.into(),
    }
}

/// A single-line value. Secrets made with `echo` end in a newline that nobody means.
fn text<'a>((field, value): (&'static str, &'a [u8])) -> Result<&'a str, Error> {
    let value = std::str::from_utf8(value).map_err(|_| invalid(field, "it is not UTF-8"))?;
    let value = value.trim_end_matches(['\r', '\n']);
    if value.chars().any(char::is_control) {
        return Err(invalid(field, "it holds control characters"));
    }
    Ok(value)
}

fn basic(name: &str, password: Option<&str>) -> Result<String, Error> {
    let password = password.ok_or_else(|| invalid("password", "username is there but no password"))?;
    if name.contains(':') {
        return Err(invalid(
            "username",
            "a user name for basic authentication has no ':'",
        ));
    }
    Ok(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
}

type Field<'a> = Option<(&'static str, &'a [u8])>;

fn ssh_identity(
    identity: Field<'_>,
    known_hosts: Field<'_>,
    passphrase: Option<&str>,
) -> Result<Option<SshIdentity>, Error> {
    let Some((field, pem)) = identity else {
        return Ok(None);
    };
    let (hosts_field, hosts) = known_hosts.ok_or_else(|| {
        invalid(
            "known_hosts",
            "it is required with identity; run ssh-keyscan and check the result",
        )
    })?;
    let hosts = std::str::from_utf8(hosts).map_err(|_| invalid(hosts_field, "it is not UTF-8"))?;
    let known_hosts = KnownHosts::parse(hosts).map_err(|why| invalid(hosts_field, why))?;
    let pem = std::str::from_utf8(pem).map_err(|_| invalid(field, "it is not a PEM private key"))?;
    let key = russh::keys::decode_secret_key(pem, passphrase).map_err(|error| {
        let why = match (error, passphrase) {
            (russh::keys::Error::KeyIsEncrypted, _) => {
                "the key is encrypted: put its passphrase under password"
            }
            (_, Some(_)) => "the private key cannot be read; is the passphrase under password right?",
            (_, None) => "the private key cannot be read (OpenSSH or PEM expected)",
        };
        invalid(field, why)
    })?;
    if key.is_encrypted() {
        return Err(invalid(
            "password",
            "the key is encrypted: put its passphrase here",
        ));
    }
    Ok(Some(SshIdentity {
        key: Arc::new(key),
        known_hosts,
    }))
}

fn certificates((field, pem): (&'static str, &[u8])) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| invalid(field, "it is not PEM"))?;
    if found.is_empty() {
        return Err(invalid(field, "it holds no PEM certificate"));
    }
    let mut roots = rustls::RootCertStore::empty();
    if field == "ca.crt" && roots.add_parsable_certificates(found.clone()).0 == 0 {
        return Err(invalid(field, "no certificate in it can be read"));
    }
    Ok(found)
}

fn client_certificate(chain: Field<'_>, key: Field<'_>) -> Result<Option<ClientCertificate>, Error> {
    let (chain, key) = match (chain, key) {
        (None, None) => return Ok(None),
        (Some(chain), Some((_, key))) => (certificates(chain)?, key),
        (Some(_), None) => return Err(invalid("tls.key", "tls.crt is there but no tls.key")),
        (None, Some(_)) => return Err(invalid("tls.crt", "tls.key is there but no tls.crt")),
    };
    let der =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| invalid("tls.key", "it is not a PEM private key"))?;
    // The HTTP client takes a mismatched pair for a programming error and panics: prove it fits here.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("tls.crt", error.to_string()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain.clone(), der)
        .map_err(|error| invalid("tls.key", format!("it does not fit tls.crt: {error}")))?;
    Ok(Some(ClientCertificate {
        chain,
        key_pem: key.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(pairs: &[(&str, &str)]) -> Result<Credentials, Error> {
        let data = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
            .collect();
        Credentials::from_secret(&data)
    }

    #[test]
    fn basic_and_bearer_make_the_header() {
        let basic = secret(&[("username", "u\n"), ("password", "p\n")]).unwrap();
        assert_eq!(basic.authorization(), Some("Basic dTpw"));
        assert_eq!(
            secret(&[("bearerToken", "t")]).unwrap().authorization(),
            Some("Bearer t")
        );
        assert!(secret(&[]).unwrap().authorization().is_none());
    }

    #[test]
    fn half_or_broken_secrets_name_the_key_and_not_the_value() {
        for (pairs, field) in [
            (vec![("username", "hunter2")], "password"),
            (vec![("password", "hunter2")], "username"),
            (vec![("bearerToken", "hunter2"), ("username", "u")], "bearerToken"),
            (vec![("bearerToken", "hunter2\r\nX: y")], "bearerToken"),
            (vec![("identity", "hunter2")], "known_hosts"),
            (vec![("ca.crt", "hunter2")], "ca.crt"),
            (vec![("tls.crt", "hunter2")], "tls.key"),
            (vec![("tls.key", "hunter2")], "tls.crt"),
        ] {
            let error = secret(&pairs).err().unwrap();
            assert!(
                matches!(&error, Error::InvalidCredentials { field: f, .. } if *f == field),
                "{error}"
            );
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn debug_shows_kinds_and_fingerprints_are_keyed() {
        let one = secret(&[("bearerToken", "hunter2")]).unwrap();
        assert_eq!(format!("{one:?}"), r#"{"bearerToken"}"#);
        assert_eq!(
            one.fingerprint(b"k"),
            secret(&[("bearerToken", "hunter2")]).unwrap().fingerprint(b"k")
        );
        assert_ne!(one.fingerprint(b"k"), one.fingerprint(b"l"));
        assert_ne!(one.fingerprint(b"k"), secret(&[]).unwrap().fingerprint(b"k"));
    }

    #[test]
    fn a_client_key_of_another_certificate_is_refused_not_a_panic() {
        let one = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(vec!["b".to_owned()]).unwrap();
        let (chain, key) = (one.cert.pem(), two.signing_key.serialize_pem());
        assert!(secret(&[("tls.crt", &chain), ("tls.key", &key)]).is_err());
        assert!(secret(&[("tls.crt", &chain), ("tls.key", &one.signing_key.serialize_pem())]).is_ok());
    }
}
