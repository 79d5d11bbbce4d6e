//! The kept sets of an Application: Secrets of the operator's own namespace, which nobody else may read. What they hold,
//! and why it can be read by nobody without this installation's key, is in core's `rendered_store`.
//!
//! A set is kept when its release begins: from then on the release is finished from it, and what runs is put back from
//! it, whatever becomes of the repository, its history, or the Application's spec. It is asked for once more before the
//! release is called good.

mod index;
mod memory;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use tidegate_api::Application;
use tidegate_cluster::Class;
use tidegate_cluster::own::Own;
use tidegate_core::desired::Rendered;
use tidegate_core::rendered_store::{self as store, Binding, SetKey, StoreError};

use crate::state::Operator;
use crate::store::Key;

pub(crate) use memory::Sets;
pub(crate) use write::{keep, keep_plan, prune, remove_all};

/// Chunks that are read or written at the same time.
const AT_ONCE: usize = 4;
/// The one key of a Secret's data.
const FIELD: &str = "sealed";

/// Why a set could not be kept or read.
pub(crate) struct Trouble {
    /// True when waiting does not help: somebody has to do something first.
    pub(crate) lasting: bool,
    /// True when what is kept cannot be read whoever asks: damaged, or sealed with another key.
    pub(crate) broken: bool,
    /// One line for people.
    pub(crate) message: String,
}

impl Trouble {
    fn passing(message: &impl ToString) -> Self {
        Self {
            lasting: false,
            broken: false,
            message: message.to_string(),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self {
            lasting: true,
            broken: true,
            message: error.to_string(),
        }
    }
}

impl From<tidegate_cluster::Error> for Trouble {
    fn from(error: tidegate_cluster::Error) -> Self {
        Self {
            lasting: error.class() != Class::Transient,
            broken: false,
            message: error.to_string(),
        }
    }
}

/// The set that a Release brought; `None` when it has none: it was made by a version that kept no sets, did not end well,
/// or is pruned. It is not remembered: whoever needs it again keeps it.
pub(crate) async fn kept(
    operator: &Operator,
    key: &Key,
    app: &Application,
    release: &str,
) -> Result<Option<Arc<Rendered>>, String> {
    let set = find(operator, key, app, release).await;
    set.map_err(|trouble| {
        format!(
            "the kept set of Release {release} cannot be read: {}",
            trouble.message
        )
    })
}

/// As [`kept`], for a set that is asked for again and again: it is remembered for a while.
pub(super) async fn recall(
    operator: &Operator,
    key: &Key,
    app: &Application,
    release: &str,
) -> Result<Option<Arc<Rendered>>, Trouble> {
    let set = find(operator, key, app, release).await?;
    if let Some(set) = &set {
        operator.sets.remember(key, &binding(operator, app), release, set);
    }
    Ok(set)
}

async fn find(
    operator: &Operator,
    key: &Key,
    app: &Application,
    release: &str,
) -> Result<Option<Arc<Rendered>>, Trouble> {
    let binding = binding(operator, app);
    if let Some(set) = operator.sets.recall(key, &binding, release) {
        return Ok(Some(set));
    }
    let secrets = operator.kept_secrets()?;
    let set_key = Arc::new(SetKey::derive(&operator.key, binding.clone())?);
    let name = store::manifest_name(&binding, release);
    let Some(pieces) = pieces(operator, &secrets, &name).await? else {
        return Ok(None);
    };
    let manifest = store::open(&set_key, release, &pieces)?;
    let needs = manifest.needs(&set_key).into_iter();
    let reads: Vec<_> = needs.map(|chunk| chunk_of(operator, &secrets, chunk)).collect();
    let chunks: Result<BTreeMap<String, Vec<Vec<u8>>>, Trouble> = futures::stream::iter(reads)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await;
    // Somebody removed what a manifest needs: then the next release must not count on it either.
    let chunks = chunks.inspect_err(|_| operator.sets.forget_index(key))?;
    let set = tokio::task::spawn_blocking(move || manifest.assemble(&set_key, &chunks))
        .await
        .map_err(|e| Trouble::passing(&e))??;
    Ok(Some(Arc::new(set)))
}

async fn chunk_of(
    operator: &Operator,
    secrets: &Own<Secret>,
    name: String,
) -> Result<(String, Vec<Vec<u8>>), Trouble> {
    match pieces(operator, secrets, &name).await? {
        Some(pieces) => Ok((name, pieces)),
        None => Err(StoreError::Missing { name }.into()),
    }
}

/// All pieces of a blob; `None` when it is not there.
async fn pieces(
    operator: &Operator,
    secrets: &Own<Secret>,
    blob: &str,
) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
    let Some(first) = piece(operator, secrets, blob).await? else {
        return Ok(None);
    };
    let count = usize::from(store::pieces_of(&first).unwrap_or_default());
    let mut pieces = vec![first];
    for number in 1..count.min(store::MAX_PIECES) {
        let name = store::piece_name(blob, number);
        let next = piece(operator, secrets, &name).await?;
        pieces.push(next.ok_or(StoreError::Missing { name })?);
    }
    Ok(Some(pieces))
}

async fn piece(
    operator: &Operator,
    secrets: &Own<Secret>,
    name: &str,
) -> Result<Option<Vec<u8>>, tidegate_cluster::Error> {
    let secret = secrets.get(&operator.settings.namespace, name).await?;
    let data = secret.map(|secret| secret.data.unwrap_or_default());
    // One without our field is no set of ours: it is found damaged.
    Ok(data.map(|mut data| data.remove(FIELD).unwrap_or_default().0))
}

fn binding(operator: &Operator, app: &Application) -> Binding {
    Binding {
        installation: operator.settings.installation.clone(),
        application_uid: app.metadata.uid.clone().unwrap_or_default(),
    }
}

impl Operator {
    /// As the operator itself, also among tenants.
    fn kept_secrets(&self) -> Result<Own<Secret>, tidegate_cluster::Error> {
        Ok(Own::new(self.home.clients_of(None)?, self.lease.clone()))
    }
}
