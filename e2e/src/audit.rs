//! What the operator asked of the API server, as the API server has written it down.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// Policy of the audit log: who did what, of the operator's own account only.
pub(crate) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, Panic]
rules:
  - {level: Metadata, users: ['system:serviceaccount:tidegate-system:tidegate']}
  - {level: None}
";

impl Cluster {
    /// The requests of the operator's account that were answered so far, as `audit.k8s.io/v1` Events.
    ///
    /// # Errors
    /// When the log cannot be read, or the cluster is not ours.
    pub fn audited(&self) -> Result<Vec<Value>> {
        let path = self.layout()?.audit_log();
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        // The last line may be half written.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.collect())
    }
}
