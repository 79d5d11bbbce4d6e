//! The list of all kinds, as CustomResourceDefinitions. `cargo xtask generate` writes them to `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{
    Application, Approval, ClusterReleasePolicy, Freeze, GitRepository, Inventory, Override, Release,
    ReleasePolicy,
};

/// Every kind of the group, sorted by name.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Application::crd(),
        Approval::crd(),
        ClusterReleasePolicy::crd(),
        Freeze::crd(),
        GitRepository::crd(),
        Inventory::crd(),
        Override::crd(),
        Release::crd(),
        ReleasePolicy::crd(),
    ];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            join_lines(schema);
        }
    }
    crds
}

/// Rust comments are wrapped at the width of the source; `kubectl explain` wraps at the width of the terminal.
fn join_lines(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        join_lines(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut schema.items {
        join_lines(item);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        join_lines(value);
    }
}
