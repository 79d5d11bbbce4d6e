//! `spec.suspend`: who stopped reconciliation, why and until when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Present means suspended: nothing is fetched or applied until it is removed or `until` has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspend {
    /// Why, for whoever finds it suspended. Example: `migrating the database`.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
    /// Who suspended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
    /// RFC 3339 time at which the suspension ends by itself. Example: `2026-11-30T08:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::date_time")]
    pub until: Option<String>,
}
