//! The key that signs sealed records, and the place where its public half is known.
//!
//! The Secret `tidegate-record-key` has the private half. It is not the Secret of the digests: an installation that has
//! that one gets this one without a right to change Secrets, and losing one does not lose the other. The public half is
//! in each signature and in the ConfigMap of the same name, which everybody may read: a signature tells by itself that a
//! record was not changed by somebody without *a* key, the ConfigMap whose key it was. Keys stay in it when the Secret is
//! made anew, so that older records can still be verified.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_api::names;

/// Name of the Secret and of the ConfigMap.
pub(crate) const NAME: &str = "tidegate-record-key";
/// The one key of the Secret: 32 random bytes, from which both halves are made.
const FIELD: &str = "ed25519";
/// What is signed begins with this, so that the signature means nothing elsewhere.
const CONTEXT: &str = "tidegate.io/v1alpha1 Release record\n";

/// Signs the digests of records.
pub(crate) struct RecordKey {
    pair: Ed25519KeyPair,
}

impl RecordKey {
    /// Reads the key, or makes it on the first start, and makes its public half known.
    pub(crate) async fn load(client: Client, namespace: &str) -> Result<Self, String> {
        let key = Self::read_or_make(client.clone(), namespace).await?;
        // Records are signed all the same; whoever verifies them is told that nothing says whose key it is.
        if let Err(error) = key.publish(client, namespace).await {
            tracing::warn!(%error, "the public key of the records could not be written to ConfigMap {NAME}");
        }
        Ok(key)
    }

    async fn read_or_make(client: Client, namespace: &str) -> Result<Self, String> {
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let place = format!("Secret {namespace}/{NAME}");
        for _ in 0..2 {
            if let Some(secret) = api.get_opt(NAME).await.map_err(|e| format!("{place}: {e}"))? {
                return Self::of(&secret).ok_or_else(|| {
                    format!("{place}: data.{FIELD} is not 32 bytes; delete the Secret, and later records are signed by a new key")
                });
            }
            match api.create(&PostParams::default(), &fresh(namespace)?).await {
                Ok(secret) => {
                    return Self::of(&secret)
                        .ok_or_else(|| format!("{place}: the answer lacks data.{FIELD}"));
                }
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(format!("{place}: {error}")),
            }
        }
        Err(format!(
            "{place}: appeared and vanished while it was read; start again"
        ))
    }

    fn of(secret: &Secret) -> Option<Self> {
        let bytes = secret.data.as_ref()?.get(FIELD)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes.0).ok()?;
        Some(Self { pair })
    }

    async fn publish(&self, client: Client, namespace: &str) -> Result<(), String> {
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        let public = self.public();
        let data = BTreeMap::from([(fingerprint(&public), public)]);
        let known = api.get_opt(NAME).await.map_err(|e| e.to_string())?;
        let Some(known) = known else {
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            };
            let map = ConfigMap {
                metadata,
                data: Some(data),
                ..ConfigMap::default()
            };
            return match api.create(&PostParams::default(), &map).await {
                // Another replica was first, with the same key.
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                other => other.map(drop).map_err(|e| e.to_string()),
            };
        };
        if data
            .iter()
            .all(|(id, key)| known.data.as_ref().and_then(|d| d.get(id)) == Some(key))
        {
            return Ok(());
        }
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({ "data": data }));
        api.patch(NAME, &params, &patch)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    }

    fn public(&self) -> String {
        STANDARD.encode(self.pair.public_key())
    }

    /// `ed25519:<public key>:<signature>`, both in base64.
    pub(crate) fn sign(&self, digest: &str) -> String {
        let signature = self.pair.sign(signed(digest).as_bytes());
        format!("ed25519:{}:{}", self.public(), STANDARD.encode(signature))
    }
}

fn signed(digest: &str) -> String {
    format!("{CONTEXT}{digest}")
}

/// The public key that signed a digest, in base64; else what is wrong with the signature, for people.
pub(crate) fn signed_by(digest: &str, signature: &str) -> Result<String, String> {
    let mut parts = signature.split(':');
    let (Some("ed25519"), Some(public), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("is not of the form ed25519:<public key>:<signature>".to_owned());
    };
    let decode = |text: &str| STANDARD.decode(text).map_err(|e| format!("is not base64: {e}"));
    let key = UnparsedPublicKey::new(&ED25519, decode(public)?);
    key.verify(signed(digest).as_bytes(), &decode(signature)?)
        .map_err(|_| "is not that of this record".to_owned())?;
    Ok(public.to_owned())
}

/// Short name of a public key: `sha256-` and 16 digits. Keys of a ConfigMap cannot have a colon.
pub(crate) fn fingerprint(public: &str) -> String {
    let hash = Sha256::digest(public);
    let digits: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("sha256-{digits}")
}

fn fresh(namespace: &str) -> Result<Secret, String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system has no randomness: {e}"))?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(bytes.to_vec()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> RecordKey {
        let secret = Secret {
            data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(vec![seed; 32]))])),
            ..Secret::default()
        };
        RecordKey::of(&secret).unwrap()
    }

    #[test]
    fn a_signature_names_its_key_and_is_of_one_digest() {
        let signature = key(1).sign("abcd");
        assert_eq!(signed_by("abcd", &signature), Ok(key(1).public()));
        assert_eq!(
            signed_by("abce", &signature),
            Err("is not that of this record".to_owned())
        );
        let (head, tail) = signature.split_at(20);
        for other in [
            "",
            "rsa:a:b",
            "ed25519:a",
            "ed25519:*:*",
            &format!("{head}A{}", &tail[1..]),
        ] {
            if other != signature {
                assert!(signed_by("abcd", other).is_err(), "{other}");
            }
        }
        assert!(signature.len() <= 512 && fingerprint(&key(1).public()).len() == 23);
        assert_ne!(key(1).public(), key(2).public());
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        let secret = Secret {
            data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(vec![1; 31]))])),
            ..Secret::default()
        };
        assert!(RecordKey::of(&secret).is_none());
    }
}
