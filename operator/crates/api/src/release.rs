//! `Release`: the record of one attempt to bring a commit to the cluster.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Made by the operator only, one per attempt; the spec never changes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Release",
    plural = "releases",
    shortname = "tgrel",
    category = "tidegate-all",
    namespaced,
    status = "ReleaseStatus",
    derive = "PartialEq",
    selectable = ".spec.application",
    doc = "Release records one attempt to bring a commit to the cluster: what changed, who wrote it, how long it took and why it failed. Written by the operator only.",
    printcolumn = r#"{"name":"APPLICATION","type":"string","jsonPath":".spec.application"}"#,
    printcolumn = r#"{"name":"REVISION","type":"string","jsonPath":".status.display.revision"}"#,
    printcolumn = r#"{"name":"PHASE","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"CHANGES","type":"string","jsonPath":".status.display.changes"}"#,
    printcolumn = r#"{"name":"BY","type":"string","jsonPath":".status.display.by"}"#,
    printcolumn = r#"{"name":"TOOK","type":"string","jsonPath":".status.display.took"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"STATUS","type":"string","jsonPath":".status.display.message"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "a Release's spec never changes; make a commit instead",
}]))]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSpec {
    /// Application that this release belongs to, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub application: String,
    /// UID of that Application: one made anew under the same name starts a new history.
    #[serde(rename = "applicationUID")]
    #[schemars(length(max = 64))]
    pub application_uid: String,
    /// 1 for the first release of the Application, then one more each time.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// The commit.
    pub revision: ReleaseRevision,
    /// What made the operator start it.
    pub trigger: Trigger,
    /// Keyed digest of the set of objects that it brings; absent when the commit was refused. A process that finds the
    /// Release unfinished knows by it whether it still is what should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub set_digest: Option<String>,
    /// The sealed record before this one: each names the one before it, so that none can be taken out unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRecord>,
    /// For a rollback that a person asked for: the Release whose set it puts back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub restores: Option<String>,
}

/// A sealed record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviousRecord {
    /// Name of the Release.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its `status.digest`.
    #[schemars(length(max = 128))]
    pub digest: String,
}

/// The commit of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRevision {
    /// Full commit id.
    #[schemars(length(max = 64))]
    pub commit: String,
    /// Id of the tree at the Application's path.
    #[schemars(length(max = 64))]
    pub tree: String,
    /// Ref as people write it.
    #[serde(rename = "ref")]
    #[schemars(length(max = 255))]
    pub reference: String,
    /// Author as `Name <email>`.
    #[schemars(length(max = 512))]
    pub author: String,
    /// RFC 3339.
    #[schemars(length(max = 64))]
    pub committed_at: String,
    /// First line of the message.
    #[schemars(length(max = 1024))]
    pub subject: String,
    /// Who signed the commit; absent where the source verifies nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
}

/// The signature of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// `Good`, `Unknown`, `Bad` or `None`.
    #[schemars(length(max = 16))]
    pub state: String,
    /// `SHA256:...` of an SSH key, or the fingerprint of an OpenPGP key.
    #[serde(default, rename = "keyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub key_id: Option<String>,
    /// Whom the key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    pub identity: Option<String>,
}

/// What started a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Trigger {
    /// A new commit changed the desired objects.
    #[default]
    Commit,
    /// The Application's spec changed them.
    Config,
    /// Somebody asked by annotation `tidegate.io/requestedAt`.
    Manual,
    /// The Application is being deleted.
    Delete,
    /// A drift correction that was held or failed.
    Drift,
    /// Somebody asked by annotation `tidegate.io/rollbackTo`.
    Rollback,
}

/// Where a release stands. The last five are final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The plan is made.
    #[default]
    Planned,
    /// A gate is closed.
    Waiting,
    /// Objects are being written.
    Applying,
    /// Written; waiting for health.
    Verifying,
    /// Healthy.
    Succeeded,
    /// Not applied as a whole, or not healthy in time.
    Failed,
    /// Failed and put back.
    RolledBack,
    /// A newer commit took its place.
    Superseded,
    /// Refused before anything was written.
    Denied,
}

impl Phase {
    /// True when nothing more will happen to the release.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::RolledBack | Self::Superseded | Self::Denied
        )
    }

    /// The name as it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "Planned",
            Self::Waiting => "Waiting",
            Self::Applying => "Applying",
            Self::Verifying => "Verifying",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
            Self::Denied => "Denied",
        }
    }
}

/// What happened, bounded whatever the size of the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Where it stands.
    #[serde(default)]
    pub phase: Phase,
    /// What it changes.
    #[serde(default)]
    pub plan: PlanSummary,
    /// What the policies said, one line for each gate of each policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub gates: Vec<Gate>,
    /// The Approvals of this Release, and whether they count. Shown only: never read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub approvals: Vec<ApprovalShown>,
    /// Present once the last good release is being put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// What went wrong, and what stayed.
    #[serde(default)]
    pub results: Results,
    /// When each step was reached.
    #[serde(default)]
    pub times: Times,
    /// What the printer columns show.
    #[serde(default)]
    pub display: ReleaseDisplay,
    /// All of it as it was when the Release reached its final phase, in one text: what `digest` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Digest of the bytes of `record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub digest: Option<String>,
    /// Signature of `digest` by the key of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub signature: Option<String>,
}

/// What one policy says about one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// `ReleasePolicy/office-hours`, `ClusterReleasePolicy/...`, `Freeze/...`; empty where no policy is behind it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// `Windows`, `Freeze`, `Approvals`, `After`, `Limits`, `Signatures`, `Rules`, `Quarantine`, `Policy`.
    pub gate: String,
    /// Whether it lets the release through.
    pub decision: GateDecision,
    /// CamelCase cause.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, and what opens it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// RFC 3339 time at which it opens by itself, where that is known; for an open one, when it closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Answer of a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum GateDecision {
    /// It lets the release through.
    Open,
    /// It would be closed, and an Override opens it.
    Overridden,
    /// It holds the release.
    #[default]
    Closed,
}

/// An Approval, and whether it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalShown {
    /// Name of the Approval.
    pub name: String,
    /// Who.
    pub approver: String,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// Whether it counts for each policy that asks for approvals.
    pub counts: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Release whose set is put back.
    pub to: String,
    /// Why.
    pub cause: String,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}

/// Counts of a plan and its first changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSummary {
    /// Identity of the plan: objects, actions and desired content, not live values.
    #[serde(default)]
    pub digest: String,
    /// Objects to create.
    #[serde(default)]
    pub create: i32,
    /// Objects to update.
    #[serde(default)]
    pub update: i32,
    /// Objects to delete and create anew.
    #[serde(default)]
    pub recreate: i32,
    /// Objects to delete.
    #[serde(default)]
    pub delete: i32,
    /// Objects that stay as they are.
    #[serde(default)]
    pub unchanged: i32,
    /// Objects that git leaves out (`tidegate.io/apply: Ignore`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ignored: i32,
    /// At most 20 changes, in the order of execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// One line of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// `create`, `update`, `recreate` or `delete`.
    pub action: String,
    /// `Deployment shop/web`.
    pub object: String,
    /// Changed fields, `spec.replicas: 2 → 3`, at most five; values of Secrets never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// What went wrong, per object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// At most 20 failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failure>,
    /// How many failures there were in all.
    #[serde(default)]
    pub failed_total: i32,
    /// Objects that should be gone and are still there, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survivors: Vec<String>,
}

/// One failed object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// `Deployment shop/web`.
    #[serde(default)]
    pub object: String,
    /// Field, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// File and line in the repository, where known: `deploy/web.yaml:12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Cause.
    #[serde(default)]
    pub message: String,
    /// The pod's own reason, `ImagePullBackOff: ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_reason: Option<String>,
}

/// When each step was reached, RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// The commit was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<String>,
    /// The operator saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected: Option<String>,
    /// The plan was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<String>,
    /// The gates were open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// All objects were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// All objects were healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// A final phase was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}

/// One string per printer column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseDisplay {
    /// `master@1a2b3c4d`.
    #[serde(default)]
    pub revision: String,
    /// `+3 ~12 -1`.
    #[serde(default)]
    pub changes: String,
    /// Name of the author.
    #[serde(default)]
    pub by: String,
    /// `4s`, from detection to the final phase.
    #[serde(default)]
    pub took: String,
    /// One line: what happened.
    #[serde(default)]
    pub message: String,
}
