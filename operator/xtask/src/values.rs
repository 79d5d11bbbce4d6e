//! The chart's values as types: `values.schema.json` is generated from them, so that helm refuses a misspelt value.
//!
//! `charts/tidegate/values.yaml` stays hand-written for its comments; helm itself checks it against the schema each
//! time the chart is rendered, also for `manifests/install.yaml`.

#![expect(dead_code, reason = "the types exist for their schema only")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::error::Error;

/// The schema as JSON text. Draft 7, which every helm 3 and 4 reads.
pub(crate) fn schema_json() -> Result<String, Error> {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<Values>();
    let mut text = serde_json::to_string_pretty(&schema).map_err(|source| Error::Json {
        what: "the schema of the chart's values",
        source,
    })?;
    text.push('\n');
    Ok(text)
}

/// Values of the tidegate chart.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Values {
    /// Values shared by a parent chart; not used here.
    global: Option<Value>,
    /// Replaces the chart's name in object names.
    #[schemars(length(max = 40))]
    name_override: Option<String>,
    /// Replaces the whole prefix of object names.
    #[schemars(length(max = 40))]
    fullname_override: Option<String>,
    /// First part of the owner annotation on every released object; two installations in one cluster need two names.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    installation: String,
    /// Operator pods. One writes, the others wait for its lease. 0 installs everything but running pods.
    #[schemars(range(min = 0, max = 10))]
    replica_count: i32,
    /// Container image.
    image: Image,
    /// Secrets for pulling it.
    image_pull_secrets: Vec<LocalReference>,
    /// Account of the operator.
    service_account: ServiceAccount,
    /// Rights of the operator and of people.
    rbac: Rbac,
    /// ValidatingAdmissionPolicies.
    admission_policies: AdmissionPolicies,
    /// Many teams that do not trust each other.
    tenancy: Tenancy,
    /// Release policies.
    policies: Policies,
    /// Checks of release policies.
    verification: Verification,
    /// Custom resource definitions.
    crds: Crds,
    /// Where git mirrors are kept.
    cache: Cache,
    /// Logging.
    log: Log,
    /// Further arguments of `tidegate run`.
    extra_args: Vec<String>,
    /// Further environment variables, as in a container's `env`; for example HTTPS_PROXY.
    extra_env: Vec<BTreeMap<String, Value>>,
    /// Requests and limits of the container.
    resources: BTreeMap<String, Value>,
    /// Annotations of the pods.
    pod_annotations: BTreeMap<String, String>,
    /// Labels of the pods.
    pod_labels: BTreeMap<String, String>,
    /// Node labels that a node must have.
    node_selector: BTreeMap<String, String>,
    /// Tolerations of the pods.
    tolerations: Vec<BTreeMap<String, Value>>,
    /// Affinity of the pods. Empty means: on different nodes where possible.
    affinity: BTreeMap<String, Value>,
    /// Priority class of the pods.
    priority_class_name: String,
    /// How long a pod may take to stop after SIGTERM, in seconds.
    #[schemars(range(min = 1, max = 600))]
    termination_grace_period_seconds: i32,
    /// Disruption budget.
    pod_disruption_budget: PodDisruptionBudget,
    /// Service for metrics.
    service: Service,
    /// Prometheus Operator's ServiceMonitor.
    service_monitor: ServiceMonitor,
}

/// Container image.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    /// Registry and name.
    #[schemars(length(min = 1))]
    repository: String,
    /// Tag; the chart's appVersion when empty.
    tag: String,
    /// Digest, `sha256:...`; wins over the tag.
    #[schemars(regex(pattern = r"^(sha256:[0-9a-f]{64})?$"))]
    digest: String,
    /// Pull policy.
    pull_policy: PullPolicy,
}

/// When an image is pulled.
#[derive(JsonSchema)]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// Name of an object in the same namespace.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct LocalReference {
    /// Name.
    name: String,
}

/// Account of the operator.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ServiceAccount {
    /// False: an account of that name exists already.
    create: bool,
    /// Name; the chart's full name when empty.
    name: String,
    /// Annotations.
    annotations: BTreeMap<String, String>,
}

/// Rights of the operator and of people.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Rbac {
    /// False: somebody else gives the account its rights.
    create: bool,
    /// True: commits may hold objects of any kind. False: only what `rules` say.
    cluster_admin: bool,
    /// RBAC policy rules for what commits may hold, used when `clusterAdmin` is false.
    rules: Vec<PolicyRule>,
    /// Adds the kinds of Tidegate to the cluster's roles view, edit and admin.
    aggregate: bool,
}

/// Release policies.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Policies {
    /// True: nothing of an Application that no policy binds is released.
    required: bool,
}

/// ValidatingAdmissionPolicies.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AdmissionPolicies {
    /// False: nobody guarantees who wrote an Approval or an Override, and so none of them counts.
    create: bool,
}

/// Many teams that do not trust each other.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Tenancy {
    /// True: the operator writes, and reads Secrets, only as ServiceAccounts of the Applications' namespaces; `rbac.clusterAdmin`
    /// and `rbac.rules` do not count.
    enabled: bool,
    /// Account of an Application that names none, and of a GitRepository's Secret. Empty: an Application must name one.
    default_service_account: String,
    /// The namespaces with Applications, and the accounts that the operator may act as there.
    tenants: Vec<Tenant>,
    /// Kinds that tenants release, Secrets apart: one watch of each serves all of them.
    watch: Vec<WatchedKinds>,
}

/// One account that the operator may act as.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Tenant {
    /// Namespace.
    #[schemars(length(min = 1))]
    namespace: String,
    /// ServiceAccount in it.
    #[schemars(length(min = 1))]
    service_account: String,
}

/// Kinds of some groups.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct WatchedKinds {
    /// API groups.
    #[schemars(length(min = 1))]
    api_groups: Vec<String>,
    /// Plural names.
    #[schemars(length(min = 1))]
    resources: Vec<String>,
}

/// One RBAC rule.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyRule {
    /// API groups.
    api_groups: Vec<String>,
    /// Plural names.
    resources: Vec<String>,
    /// Names of single objects.
    resource_names: Option<Vec<String>>,
    /// Verbs; a released kind needs get, list, watch, create, patch and delete.
    #[schemars(length(min = 1))]
    verbs: Vec<String>,
}

/// Checks of release policies.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Verification {
    /// Whom checks may ask: hosts, `*.` with the rest of a host, addresses and ranges. Loopback, link-local and addresses where
    /// clouds keep credentials only by a range of their own.
    allowed_addresses: Vec<String>,
}

/// Custom resource definitions.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Crds {
    /// False: they are installed in another way, for example `kubectl apply -f crds/`.
    install: bool,
    /// `helm uninstall` leaves them, and with them every Application.
    keep: bool,
}

/// Where git mirrors are kept. Losing it costs a clone, nothing else.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Cache {
    /// Upper bound of the emptyDir, a Kubernetes quantity.
    size_limit: String,
    /// Existing PersistentVolumeClaim to use instead. With several replicas it must be ReadWriteMany.
    existing_claim: String,
}

/// Logging.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Log {
    /// Form of a line.
    format: LogFormat,
    /// Filter, for example `info` or `info,tidegate_git=debug`.
    level: String,
}

/// Form of a log line.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum LogFormat {
    Json,
    Text,
}

/// Disruption budget: at most one operator pod is taken away at a time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct PodDisruptionBudget {
    /// Made only with at least two replicas, since it would block node drains otherwise.
    enabled: bool,
}

/// Service for metrics.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Service {
    /// Annotations.
    annotations: BTreeMap<String, String>,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65535))]
    port: i32,
}

/// Prometheus Operator's ServiceMonitor.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ServiceMonitor {
    /// True where the Prometheus Operator's CRDs are installed.
    enabled: bool,
    /// How often it scrapes.
    interval: String,
    /// Labels by which a Prometheus selects it.
    labels: BTreeMap<String, String>,
}
