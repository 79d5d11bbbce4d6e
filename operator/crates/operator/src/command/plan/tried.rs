//! What each object is and would become: read, and applied in a dry run, with the user's own rights.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::Value;
use tidegate_api::{Application, Inventory};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::catalog::{Catalog, Gvk};
use tidegate_core::desired::{DesiredObject, Rendered};
use tidegate_core::diff::changed_fields;
use tidegate_core::digest::DigestKey;
use tidegate_core::ignore::body_over;
use tidegate_core::inventory::InventorySet;
use tidegate_core::live::{LiveRecord, reduce};
use tidegate_core::object::{ObjectId, api_version};
use tidegate_core::plan::Live;
use tidegate_core::record::MAX_FIELDS;

use super::MANAGER;
use crate::command::Failure;
use crate::command::connect::Cluster;

/// Requests at the same time.
const CONCURRENCY: usize = 8;

/// All that was found out.
#[derive(Default)]
pub(super) struct Tried {
    /// What was applied. Entries of objects that would stay as they are say so.
    pub(super) inventory: InventorySet,
    pub(super) live: Live,
    /// What changes in each object.
    pub(super) fields: BTreeMap<ObjectId, Vec<String>>,
    /// Objects that the API server would not take, with why.
    pub(super) refused: Vec<String>,
}

/// What became of one object.
struct One {
    id: ObjectId,
    live: Option<LiveRecord>,
    /// Lines about changed fields; `None` where nothing would change.
    changes: Option<Vec<String>>,
    refused: Option<String>,
}

/// Tries all objects of a set, and reads those that it does not have any more.
pub(super) async fn all(
    cluster: &Cluster,
    catalog: &Catalog,
    app: &Application,
    rendered: &Rendered,
    key: &DigestKey,
) -> Result<Tried, Failure> {
    let mut tried = Tried {
        inventory: inventory(cluster, app).await?,
        ..Tried::default()
    };
    let kept: Vec<(ObjectId, String)> = tried
        .inventory
        .kept()
        .filter(|(id, _)| rendered.get(id).is_none())
        .map(|(id, entry)| (id.clone(), entry.version.clone()))
        .collect();
    let wanted = rendered
        .objects
        .iter()
        .map(|object| one(cluster, catalog, rendered, object, key));
    let mut ones: Vec<Result<One, Failure>> = futures::stream::iter(wanted)
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let gone = kept
        .iter()
        .map(|(id, version)| left(cluster, catalog, id, version, key));
    ones.extend(
        futures::stream::iter(gone)
            .buffered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await,
    );
    for one in ones {
        take(one?, rendered, &mut tried);
    }
    Ok(tried)
}

/// Puts what is known of an object where the planner looks for it: without the operator's key nobody can compare digests,
/// so that what was applied is said to be the very set that is planned where the dry run changed nothing.
fn take(one: One, rendered: &Rendered, tried: &mut Tried) {
    let One {
        id,
        live,
        changes,
        refused,
    } = one;
    if let Some(entry) = tried.inventory.entries.get_mut(&id)
        && let (Some(sealed), Some(live)) = (&mut entry.sealed, &live)
    {
        sealed.ours = live.ours.clone().unwrap_or_default();
        sealed.foreign = Some(live.foreign.clone());
        sealed.ignored.clone_from(&live.ignored);
        if let Some(object) = rendered.get(&id) {
            sealed.apply = object.apply;
            sealed.desired = if changes.is_none() {
                object.digest.clone()
            } else {
                String::new()
            };
        }
    }
    tried.refused.extend(refused);
    if let Some(lines) = changes.filter(|lines| !lines.is_empty()) {
        tried.fields.insert(id.clone(), lines);
    }
    if let Some(live) = live {
        tried.live.insert(id, live);
    }
}

async fn inventory(cluster: &Cluster, app: &Application) -> Result<InventorySet, Failure> {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let mut shards: Vec<Inventory> = cluster.list(Some(&cluster.namespace), "").await?;
    shards.retain(|shard| shard.spec.application == name);
    let specs: Vec<_> = shards.into_iter().map(|shard| shard.spec).collect();
    let stored = InventorySet::from_specs(&specs).map_err(|e| Failure::No(e.to_string()))?;
    Ok(stored.set)
}

fn api(cluster: &Cluster, catalog: &Catalog, id: &ObjectId, version: &str) -> Option<Api<DynamicObject>> {
    let info = catalog.get(&Gvk::new(&id.group, version, &id.kind))?;
    let resource = ApiResource {
        group: id.group.to_string(),
        version: version.to_owned(),
        api_version: api_version(&id.group, version),
        kind: id.kind.to_string(),
        plural: info.plural.to_string(),
    };
    let client = cluster.client.clone();
    Some(if info.namespaced {
        Api::namespaced_with(client, &id.namespace, &resource)
    } else {
        Api::all_with(client, &resource)
    })
}

async fn get(cluster: &Cluster, api: &Api<DynamicObject>, id: &ObjectId) -> Result<Option<Value>, Failure> {
    let found = cluster
        .within(&format!("get {id}"), api.get_opt(&id.name))
        .await?;
    let value = found.map(serde_json::to_value).transpose();
    value.map_err(|e| Failure::No(format!("{id}: {e}")))
}

/// An object that the set does not have any more.
async fn left(
    cluster: &Cluster,
    catalog: &Catalog,
    id: &ObjectId,
    version: &str,
    key: &DigestKey,
) -> Result<One, Failure> {
    let live = match api(cluster, catalog, id, version) {
        Some(api) => get(cluster, &api, id).await?,
        None => None,
    };
    Ok(One {
        id: id.clone(),
        live: live
            .and_then(|live| reduce(&live, key, Timestamp::now(), &[]))
            .map(|(_, record)| record),
        changes: None,
        refused: None,
    })
}

async fn one(
    cluster: &Cluster,
    catalog: &Catalog,
    rendered: &Rendered,
    object: &DesiredObject,
    key: &DigestKey,
) -> Result<One, Failure> {
    let id = &object.id;
    let mut one = One {
        id: id.clone(),
        live: None,
        changes: Some(Vec::new()),
        refused: None,
    };
    // A kind that the set itself defines: there is nothing of it yet.
    let Some(api) = api(cluster, catalog, id, &object.version) else {
        return Ok(one);
    };
    let live = get(cluster, &api, id).await?;
    one.live = live
        .as_ref()
        .and_then(|live| reduce(live, key, Timestamp::now(), &object.ignored))
        .map(|(_, record)| record);
    if live.is_some() && object.apply == ApplyRule::IfNotPresent {
        one.changes = None;
        return Ok(one);
    }
    let body = match &live {
        Some(live) => body_over(&object.body, &object.ignored, live),
        None => object.body.clone(),
    };
    let params = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Apply(&body);
    let call = api.patch(&id.name, &params, &patch);
    let answer = tokio::time::timeout(cluster.timeout, call).await;
    let answer = answer.map_err(|_| Failure::Late(format!("dry run of {id}: no answer in time")))?;
    match answer {
        Ok(after) => {
            let after = serde_json::to_value(after).map_err(|e| Failure::No(format!("{id}: {e}")))?;
            one.changes = live
                .as_ref()
                .map_or(Some(Vec::new()), |live| differences(id, live, &after));
        }
        Err(kube::Error::Api(status)) if status.code == 403 && is_rbac(&status.message) => {
            one.changes = Some(vec![format!("not tried: {}", status.message)]);
        }
        // Its namespace comes with the set.
        Err(kube::Error::Api(status))
            if status.code == 404
                && rendered
                    .get(&ObjectId::new("", "Namespace", "", &id.namespace))
                    .is_some() => {}
        Err(kube::Error::Api(status)) => {
            one.refused = Some(format!("{}: {id}: {}", object.location, status.message));
        }
        Err(error) => return Err(Failure::No(format!("dry run of {id}: {error}"))),
    }
    Ok(one)
}

/// A missing right, and not what admission says about the object.
fn is_rbac(message: &str) -> bool {
    message.contains("cannot patch resource") || message.contains("cannot create resource")
}

/// What a dry run changed; `None` for nothing.
fn differences(id: &ObjectId, live: &Value, after: &Value) -> Option<Vec<String>> {
    let (live, after) = (bare(live), bare(after));
    (live != after).then(|| changed_fields(id, &live, &after, MAX_FIELDS))
}

/// An object without what changes with every write.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "managedFields",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "uid",
        ] {
            metadata.remove(field);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_people_write_counts_as_a_change() {
        let id = ObjectId::new("apps", "Deployment", "shop", "web");
        let at = |version: &str, replicas: i32| json!({"metadata": {"name": "web", "resourceVersion": version, "generation": 1, "managedFields": [version]}, "spec": {"replicas": replicas}, "status": {"x": version}});
        assert_eq!(differences(&id, &at("1", 2), &at("2", 2)), None);
        assert_eq!(
            differences(&id, &at("1", 2), &at("2", 3)),
            Some(vec!["spec.replicas: 2 → 3".to_owned()])
        );
        assert!(is_rbac(
            "deployments.apps \"web\" is forbidden: User \"bob\" cannot patch resource \"deployments\""
        ));
        assert!(!is_rbac("admission webhook denied the request: no"));
    }
}
