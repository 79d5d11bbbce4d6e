//! `Inventory`: what was applied for an Application, written before the first mutation.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::application::KubeConfig;

/// Written by the operator only; readable with kubectl while small, packed and sharded when large.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Inventory",
    plural = "inventories",
    shortname = "tginv",
    category = "tidegate-all",
    namespaced,
    derive = "PartialEq",
    doc = "Inventory lists what Tidegate applied for an Application: the only ground on which it deletes anything. Written by the operator only.",
    printcolumn = r#"{"name":"APPLICATION","type":"string","jsonPath":".spec.application"}"#,
    printcolumn = r#"{"name":"OBJECTS","type":"integer","jsonPath":".spec.count"}"#,
    printcolumn = r#"{"name":"SHARD","type":"integer","jsonPath":".spec.shard"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct InventorySpec {
    /// Application in the same namespace.
    pub application: String,
    /// UID of that Application.
    #[serde(rename = "applicationUID")]
    pub application_uid: String,
    /// Number of the layout: goes up each time the entries are spread over another number of shards. The highest layout
    /// that is complete holds; shards of others are leftovers.
    #[serde(default)]
    pub layout: i64,
    /// Number of this shard, from 0.
    #[serde(default)]
    pub shard: i32,
    /// Number of shards that belong together.
    #[serde(default = "one")]
    pub shards: i32,
    /// Where the entries were applied, and as whom.
    #[serde(default, skip_serializing_if = "Place::is_default")]
    pub place: Place,
    /// Entries in this shard.
    #[serde(default)]
    pub count: i32,
    /// The entries, when there are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<InventoryEntry>,
    /// The entries as base64 of zstd-compressed JSON lines, when there are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<String>,
}

/// A cluster, and the account that acts there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// `spec.target.kubeConfig`; the operator's own cluster when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfig>,
    /// `spec.serviceAccountName`; the operator's own account when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

impl Place {
    /// True for the operator's own cluster and account.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn one() -> i32 {
    1
}

/// One applied object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// `<group>/<kind>/<namespace>/<name>`; group and namespace may be empty.
    pub id: String,
    /// API version it was applied at, without the group.
    pub version: String,
    /// UID from the API server's answer. Absent while only intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Digest of the desired object that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
    /// Digest of the fields we own and their values, from the API server's answer: the baseline of drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// Digests of what people's field managers owned beside our fields when it was applied: what comes later is an
    /// addition. At most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Vec<String>>,
    /// JSON pointers of the fields that were left out of `ours`, since others may set them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// `tidegate.io/apply` as git said it when the object was applied last: `IfNotPresent` or `Merge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<String>,
    /// `tidegate.io/prune` as git said it when the object was applied last: `Enabled` or `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<String>,
    /// `tidegate.io/wave` as git said it when the object was applied last. Deletion goes from the highest to the lowest.
    #[serde(default, skip_serializing_if = "is_first_wave")]
    #[schemars(range(min = -1000, max = 1000))]
    pub wave: i32,
    /// Release that created it. Absent for what was there before and was taken over: no rollback deletes that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// For the Job of a hook: its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<InventoryRun>,
}

/// The last run of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InventoryRun {
    /// Release that it runs for.
    pub release: String,
    /// What it came to: `Succeeded` or `Failed`. Absent until that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first_wave(wave: &i32) -> bool {
    *wave == 0
}
