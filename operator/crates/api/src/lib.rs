//! The product's face: the custom resources of group `tidegate.io/v1alpha1`.
//!
//! Owns the Rust types from which `crds/` is generated, the names of conditions, labels, annotations and
//! finalizers, and the validation rules that the API server itself enforces. Talks to nothing: no client, no IO.
//! Durations, cron lines and expressions stay strings here; `core` parses them, so that one malformed object
//! stalls only itself.

pub mod admission;
pub mod application;
pub mod condition;
pub mod crds;
pub mod git_repository;
pub mod inventory;
pub mod leave;
pub mod names;
pub mod observed;
pub mod policy;
pub mod policy_checks;
pub mod policy_guard;
pub mod release;
pub mod schema;
pub mod suspend;

pub use application::{Application, ApplicationSpec, ApplicationStatus};
pub use git_repository::{GitRepository, GitRepositorySpec, GitRepositoryStatus};
pub use inventory::{Inventory, InventorySpec};
pub use leave::{Approval, ApprovalSpec, Freeze, FreezeSpec, Override, OverrideSpec};
pub use policy::{
    ClusterReleasePolicy, ClusterReleasePolicySpec, ReleasePolicy, ReleasePolicySpec, ReleasePolicyStatus,
};
pub use release::{Release, ReleaseSpec, ReleaseStatus};
pub use suspend::Suspend;

/// API group of every kind in this crate.
pub const GROUP: &str = "tidegate.io";
/// The one served and stored version.
pub const VERSION: &str = "v1alpha1";
