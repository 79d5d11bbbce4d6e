//! The API server's own OpenAPI v3 documents: only the group versions that are needed, kept until their hash changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tidegate_core::schema::SchemaSet;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::call::Call;
use crate::connect::Clients;
use crate::error::Error;

/// The largest known document (a big operator's CRDs) is about 10 MB.
const DOCUMENT_CAP: usize = 64 << 20;
/// How long the index is trusted; it changes with every change of a CRD.
const INDEX_AGE: Duration = Duration::from_secs(10);

/// Schemas in use, shared by all reconciles. Documents are loaded one at a time: they are large while being read.
#[derive(Default)]
pub struct SchemaCache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    set: SchemaSet,
    /// URL with hash of what is in the set, by `apis/apps/v1`.
    loaded: BTreeMap<String, String>,
    index: BTreeMap<String, String>,
    read: Option<Instant>,
}

impl SchemaCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Schemas of at least the wanted (group, version)s, as the server has them now. Those it does not serve are left
    /// out: whether a kind exists is discovery's to say.
    pub async fn schemas(&self, clients: &Clients, wanted: &[(String, String)]) -> Result<SchemaSet, Error> {
        let wanted: BTreeSet<String> = wanted
            .iter()
            .map(|(group, version)| key(group, version))
            .collect();
        let mut inner = self.inner.lock().await;
        let fresh = inner.read.is_some_and(|read| read.elapsed() < INDEX_AGE);
        if !fresh || wanted.iter().any(|key| !inner.index.contains_key(key)) {
            inner.index = index(clients).await?;
            inner.read = Some(Instant::now());
        }
        let stale = inner
            .loaded
            .iter()
            .any(|(key, url)| inner.index.get(key) != Some(url));
        let mut needed = wanted;
        if stale {
            // Definitions in a set are shared and first come first kept, so that a changed document needs a new set.
            needed.extend(inner.loaded.keys().cloned());
            inner.loaded.clear();
            inner.set = SchemaSet::new();
        }
        for key in needed {
            let Some(url) = inner.index.get(&key).cloned() else {
                continue;
            };
            if inner.loaded.contains_key(&key) {
                continue;
            }
            let call = Call {
                cap: DOCUMENT_CAP,
                ..Call::get("OpenAPI", url.clone())
            };
            let (_, document) = clients.json(&call).await?;
            inner.set.add_document(&document);
            inner.loaded.insert(key, url);
        }
        Ok(inner.set.clone())
    }
}

fn key(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

async fn index(clients: &Clients) -> Result<BTreeMap<String, String>, Error> {
    let (_, index) = clients
        .json(&Call::get("OpenAPI", "/openapi/v3".to_owned()))
        .await?;
    let paths = index["paths"].as_object().into_iter().flatten();
    let paths = paths.filter_map(|(key, entry)| {
        let url = entry.get("serverRelativeURL").and_then(Value::as_str)?;
        Some((key.clone(), url.to_owned()))
    });
    Ok(paths.collect())
}

#[cfg(test)]
#[path = "schemas_tests.rs"]
mod tests;
