//! `Application`: a path in a source and the place where it runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observed::ObservedCommit;
use crate::suspend::Suspend;

/// A path in a source, and where and how its objects are released.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Application",
    plural = "applications",
    shortname = "tgapp",
    category = "tidegate",
    category = "tidegate-all",
    namespaced,
    status = "ApplicationStatus",
    derive = "PartialEq",
    doc = "Application names a path in a git repository and keeps the cluster as that path says. An Application is to its Releases what a Deployment is to its ReplicaSets.",
    printcolumn = r#"{"name":"READY","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"REVISION","type":"string","jsonPath":".status.display.revision"}"#,
    printcolumn = r#"{"name":"RELEASE","type":"string","jsonPath":".status.currentRelease"}"#,
    printcolumn = r#"{"name":"PHASE","type":"string","jsonPath":".status.display.phase"}"#,
    printcolumn = r#"{"name":"OBJECTS","type":"string","jsonPath":".status.display.objects"}"#,
    printcolumn = r#"{"name":"DRIFT","type":"string","jsonPath":".status.display.drift"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"STATUS","type":"string","jsonPath":".status.display.message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// Where the desired objects are read.
    pub source: SourceReference,
    /// Where they are applied.
    #[serde(default)]
    pub target: Target,
    /// ServiceAccount of the Application's namespace that every write, and every read that shapes a write, is made as. It
    /// needs the rights to what the source holds; the operator needs `impersonate` on it. The operator itself when absent,
    /// unless the installation sets a default account or demands one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub service_account_name: Option<String>,
    /// Deletes objects that a newer commit no longer has. Namespaces, claims, volumes and CRDs stay unless annotated
    /// `tidegate.io/prune: Enabled` in git.
    #[serde(default = "yes")]
    pub prune: bool,
    /// What happens to the objects when the Application is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether objects that exist already and belong to no Application are taken over. What a commit moves from one
    /// Application to another is handed over in any case.
    #[serde(default)]
    pub adopt: Adopt,
    /// Deletes an object and makes it anew when a commit changes a field of it that cannot be changed. Tried first: it
    /// happens only when the API server refuses the change for nothing else. Namespaces, claims, volumes and CRDs only
    /// with `tidegate.io/prune: Enabled` too. For one object: annotation `tidegate.io/force: Enabled` or `Disabled` in git.
    #[serde(default)]
    pub force: bool,
    /// What happens when a live object is edited by somebody else.
    #[serde(default)]
    pub drift: Drift,
    /// When each change is sent to the API server before the release, with the wish that nothing is stored, so that what
    /// admission refuses is known before anything is written. One more request for each changed object.
    #[serde(default)]
    pub dry_run: DryRun,
    /// Applications of the same namespace that go first: while one of them is not ready, or behind on the commit, no
    /// release of this one begins. What runs is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub depends_on: Vec<Dependency>,
    /// How long and by what a release is judged healthy.
    #[serde(default)]
    pub health: HealthSpec,
    /// How many finished Releases are kept; the last good one always is.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub history_limit: i32,
    /// Present means suspended: nothing is applied, nothing is corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
}

fn yes() -> bool {
    true
}

fn default_history_limit() -> i32 {
    20
}

/// A path in a source object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceReference {
    /// Kind of the source.
    #[serde(default)]
    pub kind: SourceKind,
    /// Name of the source in the Application's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Directory in the repository, read recursively. `.tidegateignore` files are honoured.
    #[serde(default = "default_path")]
    #[schemars(
        length(min = 1, max = 1024),
        extend("x-kubernetes-validations" = [{
            "rule": "!self.startsWith('/') && !self.split('/').exists(p, p == '..')",
            "message": "must be a path inside the repository, without `..` and a leading `/`; for example ./deploy",
        }])
    )]
    pub path: String,
    /// Glob patterns of the files to read, relative to `path`. Empty means all `*.yaml`, `*.yml` and `*.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub include: Vec<String>,
    /// Glob patterns of files to leave out; wins over `include`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub exclude: Vec<String>,
}

fn default_path() -> String {
    ".".to_owned()
}

/// Kinds that can be a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// A `GitRepository`.
    #[default]
    GitRepository,
}

/// Where objects are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Namespace of objects that name none. A default, never a rename; the Application's own namespace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,
    /// Another cluster than the one that the operator runs in. What was applied to the former one is deleted there, with
    /// the right that it was applied with, once the new set is known to be admissible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfig>,
}

/// The way to another cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeConfig {
    /// Secret with a kubeconfig whose certificates, keys and tokens stand in it. One that runs programs (`exec`), reads
    /// files, goes through a proxy, acts as somebody else or does not verify the server is refused.
    pub secret_ref: KubeConfigSecret,
}

/// A Secret in the Application's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeConfigSecret {
    /// Name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Key of the data; `kubeconfig`, else `value`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// What deleting the Application does to its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// As `prune` says: delete when it is true, leave when it is false.
    #[default]
    MirrorPrune,
    /// Delete them whatever `prune` says.
    Delete,
    /// Leave them running.
    Orphan,
}

/// Whether unowned objects are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Adopt {
    /// An object that exists already fails the release.
    Never,
    /// Objects that no Application owns are taken over, and said so.
    #[default]
    IfUnowned,
    /// As `IfUnowned`, and also objects whose owning Application is gone.
    Always,
}

/// Handling of live edits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// What happens when a field that git sets is changed or removed in the cluster.
    #[serde(default)]
    pub mode: DriftMode,
    /// What happens when people add something beside the fields that git sets: a container, a key, an annotation.
    /// Judged by itself, whatever `mode` says. Controllers may add what they like.
    #[serde(default)]
    pub additions: DriftMode,
    /// Fields that others may set: they are not put back. A commit sets them when it creates the object; later the live
    /// value is kept. `spec.replicas` of what an autoscaler scales, wherever that is made, is ignored without being named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<DriftIgnore>,
}

/// Fields of some objects that others may set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftIgnore {
    /// The objects.
    #[serde(default)]
    pub target: DriftTarget,
    /// JSON pointers such as `/spec/replicas`. An item of a list is named by its index in git, or by fields of it:
    /// `/spec/template/spec/containers/{"name":"web"}/image`.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 2, max = 1024), regex(pattern = r"^(/([^~]|~0|~1)*)+$"))
    )]
    pub json_pointers: Vec<String>,
}

/// Objects of this Application. What is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftTarget {
    /// API group, without the version; empty for the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub kind: Option<String>,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
}

/// Reaction to drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftMode {
    /// Put it back, or take it away, at once.
    #[default]
    Correct,
    /// Say so in condition `Drifted`, change nothing.
    Report,
    /// Neither.
    Ignore,
}

/// When changes are rehearsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DryRun {
    /// When a policy binds the Application, or `force` is set.
    #[default]
    WhenPolicied,
    /// Before each release.
    Always,
    /// Never: what admission refuses fails the release while it is being written.
    Never,
}

/// What goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Kind of what goes first.
    #[serde(default)]
    pub kind: DependencyKind,
    /// Its name, in the Application's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Whether it must have come to the same commit.
    #[serde(default)]
    pub at: DependencyAt,
}

/// Kinds that can go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DependencyKind {
    /// An `Application`.
    #[default]
    Application,
}

/// What a dependency must have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DependencyAt {
    /// Ready, and where both read the same source, it runs what the commit to be released makes for it.
    #[default]
    SameCommit,
    /// Ready, at whatever commit.
    Any,
}

/// Judging health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthSpec {
    /// How long a release may take to become healthy before it has failed. Go-style duration.
    #[serde(default = "default_health_timeout")]
    #[schemars(schema_with = "crate::schema::duration")]
    pub timeout: String,
    /// Health of kinds that no general rule can judge, in CEL. The fields of the object are the variables. In the order
    /// `inProgress`, `failed`, `current`, the first that is true counts; an object of which none is true is in progress,
    /// and what reads a field that is not set is not true. Wins over the built-in rule of the kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend(
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["apiVersion", "kind"],
        )
    )]
    pub expressions: Vec<HealthExpression>,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            timeout: default_health_timeout(),
            expressions: Vec::new(),
        }
    }
}

/// How objects of one kind are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthExpression {
    /// `group/version` of the kind, such as `example.com/v1`.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Kind.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// True when the object is healthy: `status.phase == 'Ready'`.
    #[schemars(length(min = 1, max = 2048))]
    pub current: String,
    /// True when it cannot become healthy without a change. The release fails at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub failed: Option<String>,
    /// True while work is under way, whatever the other two say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub in_progress: Option<String>,
}

fn default_health_timeout() -> String {
    "5m".to_owned()
}

/// What runs, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: `Ready`, `Healthy`, `Synced`, `Drifted`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Commit whose objects are in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,
    /// Newest commit that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// Release that made what runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_release: Option<String>,
    /// Newest release that became healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good_release: Option<String>,
    /// Commits that failed, and what in them did: a later commit waits as long as it still has all of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub quarantined: Vec<Quarantined>,
    /// Present while a rollback that a person asked for holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Sequence number of the newest release; the next one is one more.
    #[serde(default)]
    pub last_sequence: i64,
    /// Digest of the rendered objects that were tried last: the same digest is not tried again by itself. A commit that is
    /// refused as a whole leaves it as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted_digest: Option<String>,
    /// The newest commits that ran here and how long they were healthy, oldest first: what `after` of a policy looks at.
    /// A commit that changes nothing here is entered when something else takes its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub observed: Vec<ObservedCommit>,
    /// Counts of the managed objects.
    #[serde(default)]
    pub objects: ObjectCounts,
    /// What was put back, how often, and from whom.
    #[serde(default)]
    pub drift: DriftStatus,
    /// The `tidegate.io/requestedAt` value that was answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_requested_at: Option<String>,
    /// The `tidegate.io/rollbackTo` value that was answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rollback_to: Option<String>,
    /// What the printer columns show.
    #[serde(default)]
    pub display: ApplicationDisplay,
}

/// A commit that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// The commit.
    pub commit: String,
    /// Its Release.
    pub release: String,
    /// Why it failed.
    #[serde(default)]
    pub cause: String,
    /// What failed, at most 20 objects.
    #[serde(default)]
    pub culprits: Vec<Culprit>,
}

/// An object that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Culprit {
    /// `<group>/<kind>/<namespace>/<name>`; `*` for the set as a whole.
    pub id: String,
    /// Keyed digest of what was desired; empty for what the commit removes.
    #[serde(default)]
    pub digest: String,
}

/// A rollback that a person asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// Release whose set runs.
    pub to: String,
    /// Keyed digest of the set that was left: the next other one ends the rollback.
    pub from_digest: String,
    /// Value of `tidegate.io/rollbackTo` that was answered.
    pub asked: String,
}

/// Counts of the managed objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectCounts {
    /// Objects in the inventory.
    #[serde(default)]
    pub total: i32,
    /// Those that are healthy.
    #[serde(default)]
    pub healthy: i32,
    /// Those that differ from what was applied.
    #[serde(default)]
    pub drifted: i32,
    /// Those that failed.
    #[serde(default)]
    pub failed: i32,
}

/// Successful drift corrections make no Release; they are counted here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftStatus {
    /// Corrections since the Application was created.
    #[serde(default)]
    pub count: i64,
    /// When the last one happened, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Field manager that made the change that was put back last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Object and fields that were put back last, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// One string per printer column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplicationDisplay {
    /// `master@1a2b3c4d` of what runs.
    #[serde(default)]
    pub revision: String,
    /// Phase of the newest release.
    #[serde(default)]
    pub phase: String,
    /// `12/12`: healthy of total.
    #[serde(default)]
    pub objects: String,
    /// `0`, or how many objects differ now.
    #[serde(default)]
    pub drift: String,
    /// The source as `GitRepository/shop:./deploy`.
    #[serde(default)]
    pub source: String,
    /// One line: what is going on.
    #[serde(default)]
    pub message: String,
}
