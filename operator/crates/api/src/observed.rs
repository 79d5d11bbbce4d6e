//! What an Application remembers of the commits that it ran, for those that come after it (`after` of a policy).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A commit of which it was true that what runs here is what it makes for this Application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedCommit {
    /// The commit.
    pub commit: String,
    /// `master@1a2b3c4d`.
    pub revision: String,
    /// Id of the tree at `spec.source.path`: another commit with the same tree makes the same.
    #[serde(default)]
    pub tree: String,
    /// Keyed digest of what it makes.
    #[serde(default)]
    pub digest: String,
    /// RFC 3339 time from which on it ran.
    pub since: String,
    /// Since when what it makes has been healthy without a break and without drift. Absent while it is not, or while
    /// something else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_since: Option<String>,
    /// The longest time that it was healthy up to the moment when something else took its place. It stays earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soaked: Option<HealthySpan>,
}

/// A time without a break in health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthySpan {
    /// RFC 3339 time of its beginning.
    pub from: String,
    /// RFC 3339 time of its end.
    pub until: String,
}
