//! The list of all kinds, as CustomResourceDefinitions. `cargo xtask generate` writes them to `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Application, GitRepository, Inventory, Release};

/// Every kind of the group, sorted by name.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![Application::crd(), GitRepository::crd(), Inventory::crd(), Release::crd()]
}
