//! Writing and removing kept sets. Secrets are created and deleted, never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use tidegate_api::release::Change;
use tidegate_api::{Application, names};
use tidegate_cluster::own::Own;
use tidegate_core::desired::Rendered;
use tidegate_core::rendered_store::{self as store, Binding, Blob, SetKey};

use super::index::Index;
use super::{AT_ONCE, FIELD, Trouble, binding};
use crate::state::Operator;
use crate::store::Key;

/// Keeps the set of a Release; does nothing when it is kept already.
pub(crate) async fn keep(
    operator: &Operator,
    key: &Key,
    app: &Application,
    release: &str,
    rendered: &Arc<Rendered>,
) -> Result<(), Trouble> {
    let mut shelf = Shelf::open(operator, key, app).await?;
    if shelf.index.has(&store::manifest_name(&shelf.binding, release)) {
        shelf.close();
        return Ok(());
    }
    let set_key = SetKey::derive(&operator.key, shelf.binding.clone())?;
    let (rendered, name) = (rendered.clone(), release.to_owned());
    let index = std::mem::take(&mut shelf.index);
    let encoded = tokio::task::spawn_blocking(move || {
        let stored = store::encode(&set_key, &name, &rendered, |chunk| index.has(chunk));
        stored.map(|stored| (stored, index))
    });
    let encoded = encoded.await.map_err(|e| Trouble::passing(&e))?;
    let (stored, index) = encoded?;
    shelf.index = index;
    let chunks = stored.chunks.iter();
    let writes: Vec<_> = chunks.map(|chunk| shelf.create(chunk, BTreeMap::new())).collect();
    let written: Vec<Vec<ObjectMeta>> = futures::stream::iter(writes)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let notes = BTreeMap::from([
        (
            names::ANNOTATION_RELEASE.to_owned(),
            format!("{}/{release}", key.namespace),
        ),
        (names::ANNOTATION_CHUNKS.to_owned(), stored.needs.join(",")),
    ]);
    let manifest = shelf.create(&stored.manifest, notes).await?;
    for meta in written.iter().flatten().chain(&manifest) {
        shelf.index.add(meta);
    }
    shelf.close();
    Ok(())
}

/// Keeps the full plan of a Release, of which the record has only the first changes.
pub(crate) async fn keep_plan(
    operator: &Operator,
    key: &Key,
    app: &Application,
    release: &str,
    changes: &[Change],
) -> Result<(), Trouble> {
    let mut shelf = Shelf::open(operator, key, app).await?;
    if !shelf.index.has(&store::plan_name(&shelf.binding, release)) {
        let set_key = SetKey::derive(&operator.key, shelf.binding.clone())?;
        let plan = store::encode_plan(&set_key, release, changes)?;
        let notes = (
            names::ANNOTATION_RELEASE.to_owned(),
            format!("{}/{release}", key.namespace),
        );
        for meta in shelf.create(&plan, [notes].into()).await? {
            shelf.index.add(&meta);
        }
    }
    shelf.close();
    Ok(())
}

/// Removes what belongs to none of these Releases, and what an earlier process left half written.
pub(crate) async fn prune(
    operator: &Operator,
    key: &Key,
    app: &Application,
    releases: &BTreeSet<String>,
) -> Result<(), Trouble> {
    let mut shelf = Shelf::open(operator, key, app).await?;
    for (name, uid) in shelf.index.beyond(releases) {
        shelf.delete(&name, &uid).await?;
        shelf.index.remove(&name);
    }
    shelf.close();
    Ok(())
}

/// Removes all sets of an Application that is being deleted.
pub(crate) async fn remove_all(operator: &Operator, key: &Key, app: &Application) -> Result<(), Trouble> {
    operator.sets.forget(key);
    prune(operator, key, app, &BTreeSet::new()).await?;
    operator.sets.forget(key);
    Ok(())
}

/// The Secrets of one Application, while they are written.
struct Shelf<'a> {
    operator: &'a Operator,
    key: &'a Key,
    binding: Binding,
    secrets: Own<Secret>,
    index: Index,
    /// True when something was there that the index had not.
    surprised: AtomicBool,
}

impl<'a> Shelf<'a> {
    async fn open(operator: &'a Operator, key: &'a Key, app: &Application) -> Result<Self, Trouble> {
        let binding = binding(operator, app);
        let secrets = operator.kept_secrets()?;
        let prefix = store::prefix_of(&binding);
        let index = match operator.sets.take_index(key).filter(|index| index.is_of(&prefix)) {
            Some(index) => index,
            None => {
                let label = format!("{}={}", names::LABEL_RENDERED_SET, store::mark_of(&binding));
                let listed = secrets
                    .list_metadata(&operator.settings.namespace, &label)
                    .await?;
                Index::new(prefix, &listed)
            }
        };
        Ok(Self {
            operator,
            key,
            binding,
            secrets,
            index,
            surprised: AtomicBool::new(false),
        })
    }

    /// Nothing went wrong: what is known holds.
    fn close(self) {
        if self.surprised.into_inner() {
            return;
        }
        self.operator.sets.put_index(self.key, self.index);
    }

    /// Creates the Secrets of a blob, the first piece last: when it is there, all are. One that is there already is
    /// what it should be, since its name says what is in it.
    async fn create(
        &self,
        blob: &Blob,
        notes: BTreeMap<String, String>,
    ) -> Result<Vec<ObjectMeta>, tidegate_cluster::Error> {
        let mut written = Vec::with_capacity(blob.pieces.len());
        for (number, bytes) in blob.pieces.iter().enumerate().rev() {
            let name = store::piece_name(&blob.name, number);
            if self.index.has(&name) {
                continue;
            }
            let secret = self.secret(&name, bytes, notes.clone());
            match self.secrets.create(&secret).await {
                Ok(created) => written.push(created.metadata),
                Err(error) if error.code() == 409 => self.surprised.store(true, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    async fn delete(&self, name: &str, uid: &str) -> Result<(), tidegate_cluster::Error> {
        let namespace = &self.operator.settings.namespace;
        self.secrets.delete(namespace, name, uid).await
    }

    fn secret(&self, name: &str, bytes: &[u8], notes: BTreeMap<String, String>) -> Secret {
        let label = (
            names::LABEL_RENDERED_SET.to_owned(),
            store::mark_of(&self.binding),
        );
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.operator.settings.namespace.clone()),
                labels: Some([label].into()),
                annotations: (!notes.is_empty()).then_some(notes),
                ..ObjectMeta::default()
            },
            data: Some([(FIELD.to_owned(), ByteString(bytes.to_vec()))].into()),
            immutable: Some(true),
            type_: Some(names::SECRET_TYPE_RENDERED_SET.to_owned()),
            ..Secret::default()
        }
    }
}
