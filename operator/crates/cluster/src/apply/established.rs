//! The wait between a CRD and its first instance.

use std::time::Duration;

use serde_json::Value;
use tidegate_core::catalog::Gvk;
use tidegate_core::object::ObjectId;
use tokio::time::Instant;

use super::{Failure, Run};
use crate::error::Class;
use crate::paths;

const PAUSE: Duration = Duration::from_millis(150);

impl Run<'_> {
    /// Waits until each CRD is Established. Returns those that are not in time, or never will be.
    pub(super) async fn wait_established(&self, crds: &[&ObjectId]) -> Vec<(ObjectId, Failure)> {
        let deadline = Instant::now() + self.ctx.established_timeout;
        let waits: Vec<_> = crds.iter().map(|id| self.late(id, deadline)).collect();
        futures::future::join_all(waits)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn late(&self, id: &ObjectId, deadline: Instant) -> Option<(ObjectId, Failure)> {
        let failure = self.wait_for_one(id, deadline).await.err()?;
        Some((id.clone(), failure))
    }

    async fn wait_for_one(&self, id: &ObjectId, deadline: Instant) -> Result<(), Failure> {
        let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let path = paths::object(&gvk, "customresourcedefinitions", id);
        let object = self.plan.rendered.get(id);
        loop {
            let crd = self.clients.find(&id.kind, path.clone()).await;
            let crd = crd.map_err(|error| Failure::of(id, object, &error))?;
            let crd = crd.unwrap_or_default();
            if condition(&crd, "Established").is_some_and(|c| c["status"] == "True") {
                return Ok(());
            }
            let refused = condition(&crd, "NamesAccepted").filter(|c| c["status"] == "False");
            let said = refused.and_then(|c| c["message"].as_str()).unwrap_or_default();
            if refused.is_some() {
                let message = format!("the API server does not accept its names: {said}; choose others");
                return Err(Failure::one(
                    id,
                    object,
                    Class::Terminal,
                    "NotEstablished",
                    message,
                ));
            }
            if Instant::now() >= deadline || self.ctx.cancel.is_cancelled() {
                let seconds = self.ctx.established_timeout.as_secs();
                let message =
                    format!("not Established after {seconds} s; its instances are applied when it is");
                return Err(Failure::one(
                    id,
                    object,
                    Class::Waiting,
                    "NotEstablished",
                    message,
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn condition<'a>(crd: &'a Value, sort: &str) -> Option<&'a Value> {
    let conditions = crd.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|c| c["type"] == sort)
}
