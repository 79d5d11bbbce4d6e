//! Settings of `tidegate run`, from flags and environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tidegate_core::duration;

/// Shortest `--resync-interval`.
const SHORTEST_RESYNC: Duration = Duration::from_secs(5);

/// Flags of `tidegate run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunSettings {
    /// Kubeconfig of the cluster; the pod's own account when absent and in a cluster.
    #[arg(long, env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Namespace of the operator: its Lease, its key and the kept sets are there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "tidegate-system")]
    pub(crate) namespace: String,
    /// Name of this installation: the value of the label and the first part of the owner annotation on every object.
    #[arg(long, default_value = "tidegate")]
    pub(crate) installation: String,
    /// Prefix of the names of the chart's objects: by it the chart's admission policies are found.
    #[arg(long, default_value = "tidegate")]
    pub(crate) chart_name: String,
    /// Directory of the git mirrors; kept between starts it saves the first clone.
    #[arg(long, default_value = "/var/cache/tidegate")]
    pub(crate) cache_dir: PathBuf,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub(crate) http_addr: SocketAddr,
    /// Form of the log lines.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Log filter, for example `info` or `tidegate=debug`.
    #[arg(long, env = "TIDEGATE_LOG", default_value = "info")]
    pub(crate) log: String,
    /// Name of this replica in the Lease, unlike that of any other; host name and a random part when absent. A process
    /// that starts under the name of one that has died takes over at once.
    #[arg(long, env = "POD_NAME")]
    pub(crate) identity: Option<String>,
    /// ServiceAccount of each Application's namespace that acts for Applications which name none.
    #[arg(long)]
    pub(crate) default_service_account: Option<String>,
    /// Many teams that do not trust each other: nothing is written, and no Secret is read or watched, but as a
    /// ServiceAccount of the Application's namespace. An Application without an account is refused.
    #[arg(long)]
    pub(crate) tenant_mode: bool,
    /// Releases nothing of an Application that no policy binds.
    #[arg(long)]
    pub(crate) require_policy: bool,
    /// Whom checks of policies (`verification`) may ask: hosts, `*.` with the rest of a host, addresses and ranges such as
    /// `10.0.0.0/8`, separated by commas. Loopback, link-local and the like only by a range of their own.
    #[arg(long, value_delimiter = ',', default_values = ["*.svc", "*.svc.cluster.local"])]
    pub(crate) check_addresses: Vec<String>,
    /// Reconciles at the same time.
    #[arg(long, default_value_t = 8)]
    pub(crate) workers: usize,
    /// Mutations in flight within one stage of one release.
    #[arg(long, default_value_t = 16)]
    pub(crate) apply_concurrency: usize,
    /// How often each watched kind is listed anew beside its watch, give or take a tenth: a change whose event never came
    /// is seen then. For example `1h` or `90m`.
    #[arg(long, default_value = "1h", value_parser = resync_interval)]
    pub(crate) resync_interval: Duration,
}

/// A list of everything all the time would be no watch any more.
fn resync_interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    if interval < SHORTEST_RESYNC {
        return Err(format!(
            "{text} is too often; at least {}",
            duration::human(SHORTEST_RESYNC)
        ));
    }
    Ok(interval)
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
