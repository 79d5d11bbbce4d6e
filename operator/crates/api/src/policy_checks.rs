//! `verification` of a policy: what must hold after everything is healthy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Checks before a release counts as good. All of them must hold; one that fails for good fails the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How long everything must stay healthy, and every check must hold. Go-style duration.
    #[serde(default = "no_time")]
    #[schemars(schema_with = "crate::schema::soak_duration")]
    pub stable_for: String,
    /// When the release has failed if the checks do not hold by then, counted from the moment that everything was healthy.
    /// Go-style duration.
    #[serde(default = "default_timeout")]
    #[schemars(schema_with = "crate::schema::duration")]
    pub timeout: String,
    /// Queries whose answer must lie within limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub metrics: Vec<Metric>,
    /// Requests that must be answered as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub http: Vec<HttpCheck>,
}

fn no_time() -> String {
    "0s".to_owned()
}

fn default_timeout() -> String {
    "10m".to_owned()
}

/// A query whose answer must lie within limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.min) || has(self.max)",
    "message": "needs min or max: else any answer would do",
}]))]
pub struct Metric {
    /// The query.
    pub prometheus: Prometheus,
    /// Smallest value that is good, as a decimal number. Example: `0.99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_decimal")]
    pub min: Option<String>,
    /// Largest value that is good. Example: `0.01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_decimal")]
    pub max: Option<String>,
}

/// A query to a Prometheus server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Its address. The platform team says which addresses may be asked. Example:
    /// `http://prometheus.monitoring.svc:9090`.
    #[schemars(schema_with = "crate::schema::http_url")]
    pub address: String,
    /// An instant query. `$namespace`, `$application` and `$release` are replaced. No value at all is not good.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
}

/// A request that must be answered as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Address of a GET. The platform team says which addresses may be asked. Redirects are not followed.
    #[schemars(schema_with = "crate::schema::http_url")]
    pub url: String,
    /// Status of a good answer.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub expect_status: i32,
}

fn ok() -> i32 {
    200
}
