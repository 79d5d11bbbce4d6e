//! Which kinds the API server serves: two requests with aggregated discovery, one per group version without.

use std::collections::HashSet;

use kube::client::APIGroupDiscoveryList;
use serde_json::Value;
use tidegate_core::catalog::{Catalog, Gvk, KindInfo};
use tidegate_core::object::split_api_version;

use crate::call::Call;
use crate::connect::Clients;
use crate::error::Error;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The served kinds, and the groups of which the server itself does not know at the moment.
#[derive(Debug, Default)]
pub struct Discovered {
    /// What is served.
    pub catalog: Catalog,
    /// Groups whose aggregated API server does not answer: that a kind of theirs is absent proves nothing.
    pub stale_groups: HashSet<String>,
}

/// All served kinds.
pub async fn catalog(clients: &Clients) -> Result<Catalog, Error> {
    Ok(discover(clients).await?.catalog)
}

/// All served kinds, with what is uncertain about them.
pub async fn discover(clients: &Clients) -> Result<Discovered, Error> {
    let mut found = Discovered::default();
    for root in ["/api", "/apis"] {
        let call = Call {
            accept: AGGREGATED,
            ..Call::get("Discovery", root.to_owned())
        };
        let (_, answer) = clients.json(&call).await?;
        if answer["kind"] == "APIGroupDiscoveryList" {
            read_aggregated(answer, &mut found).map_err(|cause| Error::Undecodable {
                call: format!("get {root}"),
                cause,
            })?;
        } else {
            read_singly(clients, root, &answer, &mut found).await?;
        }
    }
    Ok(found)
}

fn read_aggregated(answer: Value, found: &mut Discovered) -> Result<(), String> {
    let list: APIGroupDiscoveryList = serde_json::from_value(answer).map_err(|e| e.to_string())?;
    for group in list.items {
        let name = group.metadata.and_then(|m| m.name).unwrap_or_default();
        for version in group.versions {
            if version.freshness.as_deref() == Some("Stale") {
                found.stale_groups.insert(name.clone());
            }
            let served = version.version.unwrap_or_default();
            for resource in version.resources {
                let kind = resource.response_kind.and_then(|k| k.kind);
                let (Some(kind), Some(plural)) = (kind, resource.resource) else {
                    continue;
                };
                let namespaced = resource.scope.as_deref() == Some("Namespaced");
                add(
                    &mut found.catalog,
                    Gvk::new(&name, &served, &kind),
                    &plural,
                    namespaced,
                    resource.verbs.iter().map(String::as_str),
                );
            }
        }
    }
    Ok(())
}

/// `/api` answers with versions, `/apis` with groups, each of which is asked for its resources.
async fn read_singly(
    clients: &Clients,
    root: &str,
    answer: &Value,
    found: &mut Discovered,
) -> Result<(), Error> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut group_versions: Vec<String> = Vec::new();
    for group in list(&answer["groups"]) {
        let versions = list(&group["versions"]);
        group_versions.extend(
            versions
                .iter()
                .filter_map(|v| v["groupVersion"].as_str().map(str::to_owned)),
        );
    }
    let core = list(&answer["versions"]);
    group_versions.extend(core.iter().filter_map(|v| v.as_str().map(str::to_owned)));
    for group_version in group_versions {
        let (group, version) = split_api_version(&group_version);
        let call = Call::get("Discovery", format!("{root}/{group_version}"));
        let resources = match clients.json(&call).await {
            Ok((_, resources)) => resources,
            // One broken aggregated API must not hide all the others.
            Err(error) if error.code() != 0 => {
                found.stale_groups.insert(group.to_owned());
                continue;
            }
            Err(error) => return Err(error),
        };
        for resource in list(&resources["resources"]) {
            let (Some(plural), Some(kind)) = (resource["name"].as_str(), resource["kind"].as_str()) else {
                continue;
            };
            if plural.contains('/') {
                continue;
            }
            let verbs = list(&resource["verbs"]);
            let verbs = verbs.iter().filter_map(Value::as_str);
            let namespaced = resource["namespaced"].as_bool().unwrap_or(false);
            add(
                &mut found.catalog,
                Gvk::new(group, version, kind),
                plural,
                namespaced,
                verbs,
            );
        }
    }
    Ok(())
}

/// Two resources may answer with one kind; the one that can be patched is the object itself.
fn add<'a>(
    catalog: &mut Catalog,
    gvk: Gvk,
    plural: &str,
    namespaced: bool,
    mut verbs: impl Iterator<Item = &'a str>,
) {
    let patchable = verbs.any(|verb| verb == "patch");
    if !patchable && catalog.get(&gvk).is_some() {
        return;
    }
    let plural = plural.into();
    catalog.insert(gvk, KindInfo { plural, namespaced });
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
