//! Pods of a workload that is not current, for the reason in its message. Never watched, never asked in steady state.

use serde_json::Value;

use crate::call::Call;
use crate::connect::Clients;
use crate::error::Error;
use crate::paths;

/// Pods looked at; a failing workload's pods fail alike.
const LIMIT: usize = 20;

impl Clients {
    /// At most 20 pods that a label selector chooses, as `core::health::selector_of` gives it.
    pub async fn pods_for(&self, namespace: &str, selector: &str) -> Result<Vec<Value>, Error> {
        let pods = paths::collection("", "v1", namespace, "pods");
        let path = format!("{pods}?limit={LIMIT}&labelSelector={}", paths::segment(selector));
        let call = Call {
            verb: "list",
            ..Call::get("Pod", path)
        };
        let (_, mut list) = self.json(&call).await?;
        let Some(Value::Array(mut items)) = list.get_mut("items").map(Value::take) else {
            return Ok(Vec::new());
        };
        for item in &mut items {
            // Items of a list come without their kind.
            item["apiVersion"] = "v1".into();
            item["kind"] = "Pod".into();
        }
        Ok(items)
    }

    /// An object as it is now, for a message about it; `None` when it is not there.
    pub async fn object(
        &self,
        gvk: &tidegate_core::catalog::Gvk,
        plural: &str,
        id: &tidegate_core::object::ObjectId,
    ) -> Result<Option<Value>, Error> {
        self.find(&gvk.kind, paths::object(gvk, plural, id)).await
    }
}
