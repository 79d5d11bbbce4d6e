//! `ReleasePolicy` and `ClusterReleasePolicy`: whether, when and by whose leave a release may go, and what happens when
//! it fails. Both have the same rules; a `ClusterReleasePolicy` binds namespaces that cannot loosen it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::policy_checks::{HttpCheck, Metric, Prometheus, Verification};
pub use crate::policy_guard::{Allow, AllowedKind, AllowedTarget};

/// Rules for the releases of the Applications of a namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "ReleasePolicy",
    plural = "releasepolicies",
    shortname = "tgpol",
    category = "tidegate",
    category = "tidegate-all",
    namespaced,
    status = "ReleasePolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "ReleasePolicy says whether, when and by whose leave releases of the Applications of its namespace may go, and what happens when one fails. All policies that match an Application must agree.",
    printcolumn = r#"{"name":"READY","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"APPLICATIONS","type":"integer","jsonPath":".status.applications"}"#,
    printcolumn = r#"{"name":"WINDOW","type":"string","jsonPath":".status.display.window"}"#,
    printcolumn = r#"{"name":"WAITING","type":"integer","jsonPath":".status.waiting"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"STATUS","type":"string","jsonPath":".status.display.message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ReleasePolicySpec {
    /// The rules.
    #[serde(flatten)]
    pub policy: Policy,
}

/// Rules for the releases of many namespaces; tenants cannot loosen them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "ClusterReleasePolicy",
    plural = "clusterreleasepolicies",
    shortname = "tgcpol",
    category = "tidegate",
    category = "tidegate-all",
    status = "ReleasePolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "ClusterReleasePolicy is a ReleasePolicy for many namespaces. What it demands is demanded beside what the ReleasePolicies of the namespace demand; nothing in a namespace loosens it.",
    printcolumn = r#"{"name":"READY","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"APPLICATIONS","type":"integer","jsonPath":".status.applications"}"#,
    printcolumn = r#"{"name":"WINDOW","type":"string","jsonPath":".status.display.window"}"#,
    printcolumn = r#"{"name":"WAITING","type":"integer","jsonPath":".status.waiting"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"STATUS","type":"string","jsonPath":".status.display.message"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.selector) || !has(self.selector.matchLabels) || self.selector.matchLabels.all(key, has(self.protectedLabels) && key in self.protectedLabels)",
        "message": "a cluster policy narrows only by labels that are named in protectedLabels; else whoever may label an Application could take it out",
    },
    {
        "rule": "!has(self.selector) || !has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, has(self.protectedLabels) && e.key in self.protectedLabels)",
        "message": "a cluster policy narrows only by labels that are named in protectedLabels; else whoever may label an Application could take it out",
    },
]))]
#[serde(rename_all = "camelCase")]
pub struct ClusterReleasePolicySpec {
    /// The rules.
    #[serde(flatten)]
    pub policy: Policy,
    /// Namespaces that it binds, by their labels; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Labels of Applications that nobody sets or changes without the verb `relabel` on `applications`. Only by them does
    /// `selector` narrow. An Application without such a label is bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 317)))]
    pub protected_labels: Vec<String>,
    /// What the namespaces may release at all. Checked before anything is rendered, and again over each object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
}

/// The rules of a policy. Absent parts demand nothing; parts of several policies that match are all demanded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Applications that it binds, by their labels; all when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// When releases may begin. Without an `Allow` window any time; a `Deny` window wins over `Allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub windows: Vec<Window>,
    /// What becomes of a release that has begun when its window closes.
    #[serde(default)]
    pub when_window_closes: WhenWindowCloses,
    /// Nothing is released until a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<PolicyFreeze>,
    /// People who have to agree to the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// Which user of the API server is which author, committer or key in git.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub identities: Vec<Identity>,
    /// Who may open which of this policy's gates by an `Override`; nobody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
    /// Where the commit must have been healthy before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub after: Vec<After>,
    /// How much one release may change, counted over its whole set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Who must have signed the commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Signatures>,
    /// What must hold after everything is healthy before a release counts as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What happens when a release fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Rollbacks that a person asks for.
    #[serde(default)]
    pub rollback: RollbackRules,
    /// Corrections of drift.
    #[serde(default)]
    pub drift_corrections: DriftCorrections,
    /// Expressions in CEL over `plan`, `revision`, `application` and `now`; each must be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub rules: Vec<Rule>,
}

/// A span of time that comes again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Whether releases may begin in it.
    #[serde(default)]
    pub kind: WindowKind,
    /// When it begins: minute, hour, day of month, month, day of week. Example: `0 9 * * 1-4`.
    #[schemars(length(min = 1, max = 256))]
    pub schedule: String,
    /// How long it lasts. Go-style duration up to `744h`. Example: `8h`.
    #[schemars(schema_with = "crate::schema::long_duration")]
    pub duration: String,
    /// IANA name of the time zone that the schedule is read in. Example: `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(schema_with = "crate::schema::time_zone")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What a window does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    /// Releases may begin.
    #[default]
    Allow,
    /// No release begins, whatever other windows say.
    Deny,
}

/// What becomes of a release that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenWindowCloses {
    /// It is brought to its end.
    #[default]
    Finish,
    /// Its next wave is not begun; the release fails and `onFailure` says what happens then.
    Abort,
}

/// A freeze that is part of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyFreeze {
    /// Why, for whoever waits. Example: `Black Friday`.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
    /// RFC 3339 time at which it ends. Without it the freeze lasts until it is taken out of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::date_time")]
    pub until: Option<String>,
}

/// People who have to agree. Each approves the plan as it is: another action or content makes an approval void.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    /// How many different people.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub required: i32,
    /// Groups of the API server whose members may approve. With `users` empty too: everybody who has the verb `approve`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
    /// Users of the API server who may approve. ServiceAccounts only count when they stand here by their full name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub users: Vec<String>,
    /// Whether authors, committers and signers of any commit since the last good release cannot approve it.
    #[serde(default = "yes")]
    pub exclude_author: bool,
    /// What happens when one of them is nobody in `identities`.
    #[serde(default)]
    pub unmapped_authors: UnmappedAuthors,
    /// How long an approval counts. Go-style duration up to `744h`; without it, as long as the plan stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_long_duration")]
    pub valid_for: Option<String>,
}

fn one() -> i32 {
    1
}

fn yes() -> bool {
    true
}

/// Authors whom `identities` does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnmappedAuthors {
    /// The release is held: it is not known who must not approve.
    #[default]
    Hold,
    /// They exclude nobody.
    Allow,
}

/// One person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Name of the user as the API server knows it. Example: `oidc:alice`.
    #[schemars(length(min = 1, max = 253))]
    pub user: String,
    /// Addresses in commits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 254)))]
    pub emails: Vec<String>,
    /// Keys that sign: `SHA256:...` of an SSH key, or the fingerprint of an OpenPGP key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub keys: Vec<String>,
}

/// Who may open which gates of this policy for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// Gates that an Override may open.
    #[schemars(length(min = 1, max = 8))]
    pub gates: Vec<GateName>,
    /// Groups whose members may. With `users` empty too: everybody who has the verb `override`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
    /// Users who may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub users: Vec<String>,
    /// Longest time from making an Override to its end. Go-style duration up to `744h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_long_duration")]
    pub max_duration: Option<String>,
}

/// What can close.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum GateName {
    /// `windows`.
    #[default]
    Windows,
    /// `freeze`, and the kind `Freeze`.
    Freeze,
    /// `approvals`.
    Approvals,
    /// `after`.
    After,
    /// `limits`.
    Limits,
    /// `signatures`.
    Signatures,
    /// `rules`.
    Rules,
    /// The commit still has what made an earlier release fail.
    Quarantine,
}

impl GateName {
    /// The name as it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "Windows",
            Self::Freeze => "Freeze",
            Self::Approvals => "Approvals",
            Self::After => "After",
            Self::Limits => "Limits",
            Self::Signatures => "Signatures",
            Self::Rules => "Rules",
            Self::Quarantine => "Quarantine",
        }
    }
}

/// Another Application in which the commit must have been healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct After {
    /// The Application.
    pub application: ApplicationReference,
    /// How long it must have been healthy there. Go-style duration up to `744h`.
    #[serde(default = "no_time")]
    #[schemars(schema_with = "crate::schema::soak_duration")]
    pub soak: String,
    /// Another cluster, whose operator keeps that Application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<crate::application::KubeConfig>,
}

fn no_time() -> String {
    "0s".to_owned()
}

/// Names an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationReference {
    /// Its namespace; that of the Application that waits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Limits of one release. Deletions and recreations of protected kinds are held whatever their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most objects that it may delete or make anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_deletes: Option<i32>,
    /// Most objects that it may delete or make anew, in percent of what the Application has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_delete_percent: Option<i32>,
    /// Most objects that it may create, update, make anew or delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_changes: Option<i32>,
    /// Most objects that it may delete and make anew under the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_recreates: Option<i32>,
    /// Kinds of which nothing is deleted or made anew: `Namespace`, or with the group `StatefulSet.apps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 317)))]
    pub protected_kinds: Vec<String>,
}

/// Signatures of all commits since the last good release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signatures {
    /// Whether each commit must be signed by a key that the source's `verify.secretRef` has.
    #[serde(default = "yes")]
    pub required: bool,
    /// Who may change what; everybody with a known key everything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub signers: Vec<Signer>,
}

/// What one signer may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// Identity of the key: the address of an OpenPGP key, the principal of an SSH key, or a key as in `identities`.
    #[schemars(length(min = 1, max = 254))]
    pub identity: String,
    /// Glob patterns of files in the repository; all when empty. Example: `apps/**`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub paths: Vec<String>,
    /// Kinds of the objects that may change, as in `limits.protectedKinds`; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 317)))]
    pub kinds: Vec<String>,
}

/// What happens when a release fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnFailure {
    /// Whether the last good release is put back.
    #[serde(default)]
    pub action: FailureAction,
    /// Whether later commits wait as long as they still have what failed.
    #[serde(default = "yes")]
    pub quarantine: bool,
    /// Whether a commit that undoes the failed one is pushed to the source's branch. Needs write access there.
    #[serde(default)]
    pub revert_commit: bool,
}

impl Default for OnFailure {
    fn default() -> Self {
        Self {
            action: FailureAction::default(),
            quarantine: true,
            revert_commit: false,
        }
    }
}

/// What becomes of a failed set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailureAction {
    /// The set of the last good release is put back as a whole.
    #[default]
    Rollback,
    /// It stays as it is, for people to look at.
    Hold,
}

/// Rollbacks that a person asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackRules {
    /// Whether `approvals` holds for them too.
    #[serde(default)]
    pub require_approval: bool,
}

/// Corrections of drift. `limits` holds for them in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftCorrections {
    /// Gates that hold for them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub gates: Vec<GateName>,
}

/// An expression of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name, shown where it closes the gate.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// CEL over `plan`, `revision`, `application` and `now`. The release goes only where it is true.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
    /// What to do about it, for whoever waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub message: Option<String>,
}

/// Whether a policy can be used, and what it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleasePolicyStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: `Ready`, and while true `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Applications that it binds.
    #[serde(default)]
    pub applications: i32,
    /// Releases that wait for it.
    #[serde(default)]
    pub waiting: i32,
    /// What the printer columns show.
    #[serde(default)]
    pub display: ReleasePolicyDisplay,
}

/// One string per printer column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleasePolicyDisplay {
    /// `open until ...`, `closed until ...`; empty without windows.
    #[serde(default)]
    pub window: String,
    /// One line: what it demands, or what is wrong with it.
    #[serde(default)]
    pub message: String,
}
