//! The chart, installed as a person does it. What follows may rely on all that it brings.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::{paths, wait};

impl Cluster {
    /// Installs (or upgrades to) charts/tidegate as release `tidegate` in `tidegate-system`, with `--set` values, and
    /// waits until its kinds are served. Callers running the operator outside the cluster pass `replicaCount=0`.
    ///
    /// # Errors
    /// When helm fails; the message has its stderr. When a kind is not served within a minute.
    pub async fn helm_install_chart(&self, values: &[&str]) -> Result<String> {
        let chart = paths::root().join("charts/tidegate").display().to_string();
        let mut args = vec!["upgrade", "--install", "tidegate", &chart];
        args.extend([
            "--namespace",
            "tidegate-system",
            "--create-namespace",
            "--wait",
            "--timeout",
            "2m",
        ]);
        for value in values {
            args.extend(["--set", value]);
        }
        let output = self.helm(&args).await?;
        for crd in paths::custom_resources()? {
            self.wait_explained(&crd).await?;
        }
        self.wait_admitted().await?;
        Ok(output)
    }

    /// Waits until the API server explains this kind (`plural.group`). `Established` comes before that: discovery and
    /// the OpenAPI documents follow a moment later, on a loaded machine some seconds.
    async fn wait_explained(&self, crd: &str) -> Result<()> {
        let what = format!("the API server explains {crd}");
        wait::until(Duration::from_secs(60), &what, || async {
            self.kubectl(&["explain", crd]).await.map(drop)
        })
        .await
    }

    /// Waits until Applications are admitted: an admission policy of the chart has a kind of the chart for its parameter,
    /// and the API server refuses every Application until it has found that kind.
    async fn wait_admitted(&self) -> Result<()> {
        let file = self.dir().join("admitted.yaml");
        let probe = "apiVersion: tidegate.io/v1alpha1\nkind: Application\n\
                     metadata: {name: probe, namespace: default}\nspec: {source: {name: probe}}\n";
        std::fs::write(&file, probe).map_err(Error::file(&file))?;
        let file = file.display().to_string();
        let args = ["create", "--dry-run=server", "-f", &file];
        wait::until(Duration::from_secs(60), "Applications to be admitted", || async {
            self.kubectl(&args).await.map(drop)
        })
        .await
    }
}
