//! `GitRepository`: where commits come from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::suspend::Suspend;

/// A git repository and the ref in it that is followed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "GitRepository",
    plural = "gitrepositories",
    shortname = "tgrepo",
    category = "tidegate",
    category = "tidegate-all",
    namespaced,
    status = "GitRepositoryStatus",
    derive = "PartialEq",
    doc = "GitRepository names a git repository and the ref in it that is followed. A ref that has not moved costs one request.",
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".spec.url"}"#,
    printcolumn = r#"{"name":"REF","type":"string","jsonPath":".status.display.ref"}"#,
    printcolumn = r#"{"name":"REVISION","type":"string","jsonPath":".status.display.revision"}"#,
    printcolumn = r#"{"name":"READY","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"STATUS","type":"string","jsonPath":".status.display.message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositorySpec {
    /// Address of the repository: https, http, ssh, or scp-like `git@host:path`. Credentials belong in `secretRef`, never here.
    #[schemars(schema_with = "crate::schema::repository_url")]
    pub url: String,
    /// Which ref to follow. At most one field; none means branch `master`.
    #[serde(default, rename = "ref")]
    pub reference: GitReference,
    /// How often the ref is polled. Go-style duration.
    #[serde(default = "default_interval")]
    #[schemars(schema_with = "crate::schema::duration")]
    pub interval: String,
    /// Deadline of one poll or fetch. Go-style duration.
    #[serde(default = "default_timeout")]
    #[schemars(schema_with = "crate::schema::duration")]
    pub timeout: String,
    /// Secret in the same namespace with the credentials: `username` and `password`, or `bearerToken`, or `identity` and
    /// `known_hosts` (with `password` as the key's passphrase); besides them `ca.crt`, and `tls.crt` with `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Whether the commit that the ref points to, or the annotated tag that it is, must be signed. Absent means that
    /// signatures are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// Present means suspended: the ref is not polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
}

/// Which signatures are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.secretRef) || (has(self.mode) && self.mode == 'None')",
    "message": "secretRef names the Secret with the keys that may sign; it is required unless mode is None",
}]))]
pub struct Verify {
    /// What becomes of a commit without a good signature.
    #[serde(default)]
    pub mode: VerifyMode,
    /// Secret in the same namespace with the public keys that may sign: OpenPGP certificates under `*.asc`, SSH public keys
    /// under `*.pub`, an OpenSSH file of allowed signers under `allowed_signers`, revoked SSH keys under `revoked_keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

/// What becomes of a commit without a good signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerifyMode {
    /// Signatures are not looked at.
    None,
    /// It is brought, and said.
    Warn,
    /// It is not brought: the source stays at its former commit and says why.
    #[default]
    Strict,
}

fn default_interval() -> String {
    "30s".to_owned()
}

fn default_timeout() -> String {
    "60s".to_owned()
}

/// Name of an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// The ref to follow: at most one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.branch), has(self.tag), has(self.semver), has(self.commit), has(self.name)].filter(x, x).size() <= 1",
    "message": "set at most one of branch, tag, semver, commit and name",
}]))]
pub struct GitReference {
    /// Branch to follow. `master` when nothing else is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub branch: Option<String>,
    /// Tag to follow. Example: `v1.4.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub tag: Option<String>,
    /// Highest tag within a range. Example: `>=1.4.0 <2.0.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub semver: Option<String>,
    /// Full commit id (40 hexadecimal digits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
    /// Any ref by its full name. Example: `refs/pull/12/head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^refs/"))]
    pub name: Option<String>,
}

/// What was seen at the last poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: `Ready`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The commit that the ref points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The `tidegate.io/requestedAt` value that was answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_requested_at: Option<String>,
    /// What the printer columns show.
    #[serde(default)]
    pub display: SourceDisplay,
}

/// A commit and where it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Ref as people write it: `master`, `v1.2.0`.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// Full commit id.
    #[serde(default)]
    pub commit: String,
    /// Author as `Name <email>`; control characters are escaped.
    #[serde(default)]
    pub author: String,
    /// When it was committed, RFC 3339.
    #[serde(default)]
    pub committed_at: String,
    /// First line of the message, at most 200 characters.
    #[serde(default)]
    pub subject: String,
    /// Its signature, or that of the annotated tag; absent where `spec.verify` asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<CommitSignature>,
}

/// A signature and what it is worth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitSignature {
    /// `Good`, `Unknown` (by a key that the keyring does not have), `Bad` or `None`.
    #[serde(default)]
    pub state: String,
    /// `SHA256:...` of an SSH key, or the fingerprint of an OpenPGP certificate.
    #[serde(default, rename = "keyID", skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Whom the key belongs to, as the keyring says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// For people: why it is what it is.
    #[serde(default)]
    pub message: String,
}

/// One string per printer column: a column is one JSONPath value and cannot concatenate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceDisplay {
    /// The ref that is followed, as people write it.
    #[serde(default, rename = "ref")]
    pub reference: String,
    /// `master@1a2b3c4d`.
    #[serde(default)]
    pub revision: String,
    /// One line: what is going on.
    #[serde(default)]
    pub message: String,
}
