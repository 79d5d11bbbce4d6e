//! `Approval`, `Override` and `Freeze`: what people say about releases. The API server itself guarantees who said it:
//! admission policies of the chart compare the names in a spec with the request's user.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::GateName;

/// One person agrees to one plan.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Approval",
    plural = "approvals",
    shortname = "tgok",
    category = "tidegate-all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    selectable = ".spec.release",
    doc = "Approval says that one person agrees to the plan of a waiting Release. It counts only while the plan is the one that was approved. Made by people or `tidegate approve`.",
    printcolumn = r#"{"name":"RELEASE","type":"string","jsonPath":".spec.release"}"#,
    printcolumn = r#"{"name":"APPROVER","type":"string","jsonPath":".spec.approver"}"#,
    printcolumn = r#"{"name":"COMMENT","type":"string","jsonPath":".spec.comment"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "an Approval never changes; delete it and make another",
}]))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// Name of the Application that the Release is of. The API server asks for the verb `approve` on it.
    #[schemars(length(min = 1, max = 253))]
    pub application: String,
    /// Name of the Release, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub release: String,
    /// `status.plan.digest` of the Release when it was looked at.
    #[schemars(length(min = 1, max = 128))]
    pub plan_digest: String,
    /// Name of the user who approves: the one who makes this object.
    #[schemars(length(min = 1, max = 253))]
    pub approver: String,
    /// Groups of that user that this approval counts for. All must be the user's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
    /// For whoever reads the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
}

/// Opens gates of an Application for a while.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Override",
    plural = "overrides",
    shortname = "tgover",
    category = "tidegate-all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "Override opens gates of an Application for a while. It counts for a policy only as that policy's `overrides` says. Made by people or `tidegate override`.",
    printcolumn = r#"{"name":"APPLICATION","type":"string","jsonPath":".spec.application"}"#,
    printcolumn = r#"{"name":"GATES","type":"string","jsonPath":".spec.gates"}"#,
    printcolumn = r#"{"name":"REQUESTER","type":"string","jsonPath":".spec.requester"}"#,
    printcolumn = r#"{"name":"UNTIL","type":"string","jsonPath":".spec.until"}"#,
    printcolumn = r#"{"name":"REASON","type":"string","jsonPath":".spec.reason"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "an Override never changes; delete it and make another",
}]))]
#[serde(rename_all = "camelCase")]
pub struct OverrideSpec {
    /// Name of the Application.
    #[schemars(length(min = 1, max = 253))]
    pub application: String,
    /// Namespace of the Application; only in the operator's own namespace, for an Application whose namespace is going away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Gates that it opens.
    #[schemars(length(min = 1, max = 8))]
    pub gates: Vec<GateName>,
    /// Why, for the record.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// RFC 3339 time at which it ends.
    #[schemars(schema_with = "crate::schema::required_date_time")]
    pub until: String,
    /// Name of the user who overrides: the one who makes this object.
    #[schemars(length(min = 1, max = 253))]
    pub requester: String,
    /// Groups of that user that this override counts for. All must be the user's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
}

/// Stops releases: the button of whoever is on call.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Freeze",
    plural = "freezes",
    category = "tidegate",
    category = "tidegate-all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "Freeze stops the releases of the Applications of its namespace, or of all namespaces when it stands in the operator's own. It ends by itself or when it is deleted. Made by people or `tidegate freeze`.",
    printcolumn = r#"{"name":"BY","type":"string","jsonPath":".spec.by"}"#,
    printcolumn = r#"{"name":"UNTIL","type":"string","jsonPath":".spec.until"}"#,
    printcolumn = r#"{"name":"REASON","type":"string","jsonPath":".spec.reason"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "a Freeze never changes; delete it and make another",
}]))]
#[serde(rename_all = "camelCase")]
pub struct FreezeSpec {
    /// Applications that it stops, by their labels; all when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Why, for whoever waits.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// RFC 3339 time at which it ends; until it is deleted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::date_time")]
    pub until: Option<String>,
    /// Name of the user who stops: the one who makes this object.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
}
