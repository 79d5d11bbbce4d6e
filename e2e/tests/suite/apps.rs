//! Several Applications of one source, which is read when it is asked to be and never by itself: whatever goes on, goes
//! on by events. Owns no expectations but that of order.

use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, text};

/// Applications of one source, each at a folder of its name.
pub(crate) struct Apps {
    pub(crate) shop: Shop,
}

impl Apps {
    pub(crate) async fn open(prefix: &str) -> Result<Self> {
        Self::around(Shop::open(prefix).await?).await
    }

    /// With a source that is read once.
    pub(crate) async fn around(shop: Shop) -> Result<Self> {
        let (ns, url) = (&shop.ns, shop.git.url("shop"));
        shop.push("empty")?;
        let source = format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: {ns}}}\n\
             spec: {{url: \"{url}\", interval: 24h}}\n"
        );
        shop.cluster.apply(&source).await?;
        let apps = Self { shop };
        let here = &apps;
        let read = wait::until(STEP, "the source to be read", || async move {
            // An operator that does not lead yet reads it and says nothing.
            let token = format!("{:?}", std::time::Instant::now());
            let asked = here.ask("gitrepositories.tidegate.io", "shop", &token).await;
            asked.map_err(|e| e.to_string())?;
            for _ in 0..20 {
                let repo = here.shop.get("gitrepositories/shop").await;
                if condition(&repo.map_err(|e| e.to_string())?, "Ready")["status"] == "True" {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err("not yet".to_owned())
        });
        read.await?;
        Ok(apps)
    }

    /// Writes the folder of an Application.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        self.shop.repo.write(&format!("{name}/all.yaml"), text)
    }

    /// Commits, and has the source read.
    pub(crate) async fn push(&self, message: &str) -> Result<String> {
        let commit = self.shop.push(message)?;
        self.ask("gitrepositories.tidegate.io", "shop", &commit).await?;
        Ok(commit)
    }

    pub(crate) async fn ask(&self, kind: &str, name: &str, token: &str) -> Result<()> {
        let annotation = format!("tidegate.io/requestedAt={token}");
        let args = ["annotate", "--overwrite", kind, name, &annotation];
        self.shop.kubectl(&args).await.map(drop)
    }

    pub(crate) fn manifest(&self, name: &str, on: &str) -> String {
        let ns = &self.shop.ns;
        format!(
            "---\napiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: {ns}}}\n\
             spec: {{source: {{name: shop, path: ./{name}}}, dependsOn: [{on}]}}\n"
        )
    }

    /// Makes or edits Applications, all at once, in this order.
    pub(crate) async fn apply(&self, all: &[(&str, &str)]) -> Result<()> {
        let text: String = all.iter().map(|(name, on)| self.manifest(name, on)).collect();
        self.shop.cluster.apply(&text).await.map(drop)
    }

    pub(crate) async fn app(&self, name: &str) -> Result<Value> {
        self.shop.get(&format!("applications/{name}")).await
    }

    /// Waits until an Application runs that commit and is Ready.
    pub(crate) async fn runs(&self, name: &str, commit: &str) -> Result<Value> {
        let runs = |app: &Value| {
            app["status"]["lastAppliedRevision"] == *commit
                && app["status"]["observedGeneration"] == app["metadata"]["generation"]
                && condition(app, "Synced")["status"] == "True"
                && condition(app, "Ready")["status"] == "True"
        };
        let short = commit.get(..8).unwrap_or(commit);
        self.shop
            .until(&format!("runs {short}"), &format!("applications/{name}"), runs)
            .await
    }

    /// Waits until an Application is not synced for this reason, and says all of these words; the Application.
    pub(crate) async fn says(&self, name: &str, reason: &str, words: &[&str]) -> Result<Value> {
        let says = |app: &Value| {
            let synced = condition(app, "Synced");
            let message = text(&synced["message"]);
            synced["status"] == "False"
                && synced["reason"] == reason
                && words.iter().all(|word| message.contains(word))
        };
        self.shop
            .until(
                &format!("{reason} with {words:?}"),
                &format!("applications/{name}"),
                says,
            )
            .await
    }

    /// The Releases of one Application for one commit.
    pub(crate) async fn releases(&self, name: &str, commit: &str) -> Result<Vec<Value>> {
        let mut all = self.shop.releases(commit).await?;
        all.retain(|r| r["spec"]["application"] == *name);
        Ok(all)
    }

    /// Each began when the one before it was healthy.
    pub(crate) async fn went_in_order(&self, names: &[&str], commit: &str) -> Result<()> {
        let mut before: Option<jiff::Timestamp> = None;
        for name in names {
            let releases = self.releases(name, commit).await?;
            assert_eq!(releases.len(), 1, "one release of {name}: {releases:?}");
            let times = &releases[0]["status"]["times"];
            let time = |what: &str| text(&times[what]).parse::<jiff::Timestamp>().ok();
            let (planned, healthy) = (time("planned"), time("healthy"));
            assert!(
                planned.is_some() && healthy.is_some(),
                "times of {name}: {releases:?}"
            );
            assert!(before <= planned, "{name} began before {before:?}: {releases:?}");
            before = healthy;
        }
        Ok(())
    }

    pub(crate) async fn value(&self, map: &str) -> Result<String> {
        let live = self.shop.get(&format!("configmaps/{map}")).await?;
        Ok(text(&live["data"]["key"]))
    }
}
