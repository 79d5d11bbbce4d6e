//! The installation's digest key: made once, kept in a Secret of the operator's namespace.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tidegate_core::digest::DigestKey;

/// Name of the Secret.
pub(crate) const SECRET: &str = "tidegate-key";
/// Its one key.
const FIELD: &str = "digest";

/// Reads the key, or makes it on the first start. Two replicas that start at once end with the same one.
pub(crate) async fn load(client: Client, namespace: &str) -> Result<DigestKey, String> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let place = format!("Secret {namespace}/{SECRET}");
    for _ in 0..2 {
        if let Some(secret) = api.get_opt(SECRET).await.map_err(|e| format!("{place}: {e}"))? {
            return read(&secret).ok_or_else(|| {
                format!("{place}: data.{FIELD} is not 32 bytes; delete the Secret, and every object is compared anew")
            });
        }
        match api.create(&PostParams::default(), &fresh(namespace)?).await {
            Ok(secret) => {
                return read(&secret).ok_or_else(|| format!("{place}: the answer lacks data.{FIELD}"));
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(format!("{place}: {error}")),
        }
    }
    Err(format!(
        "{place}: appeared and vanished while it was read; start again"
    ))
}

fn read(secret: &Secret) -> Option<DigestKey> {
    let bytes = secret.data.as_ref()?.get(FIELD)?;
    Some(DigestKey::new(bytes.0.as_slice().try_into().ok()?))
}

fn fresh(namespace: &str) -> Result<Secret, String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system has no randomness: {e}"))?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(bytes.to_vec()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}
