//! What drifted objects look like, for people.

use jiff::Timestamp;
use tidegate_core::additions::added_paths;
use tidegate_core::live::{lost_paths, reduce};
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Cause, Plan, Step};

use crate::target::Target;

/// What is known of one drifted object, for people.
pub(crate) struct DriftedObject {
    pub(crate) id: ObjectId,
    /// Field manager that did it.
    pub(crate) manager: Option<String>,
    /// Paths of fields; empty for Secrets and deleted objects.
    pub(crate) paths: Vec<String>,
    /// One line of `status.drift.fields`.
    pub(crate) line: String,
}

impl Target {
    /// Reads what drifted objects look like now, before they are put back. At most five are read.
    pub(crate) async fn describe_drift(&self, plan: &Plan) -> Vec<DriftedObject> {
        let drifted = plan
            .steps
            .iter()
            .filter(|s| matches!(s.cause, Cause::Drifted | Cause::Added | Cause::Missing));
        let mut described = Vec::new();
        for step in drifted.take(5) {
            described.push(self.describe_one(plan, step).await);
        }
        described
    }

    async fn describe_one(&self, plan: &Plan, step: &Step) -> DriftedObject {
        let id = step.id.clone();
        let Some(live) = self.read_object(&id, &step.version).await else {
            return DriftedObject {
                line: format!("{id} (deleted)"),
                manager: None,
                paths: Vec::new(),
                id,
            };
        };
        let object = plan.rendered.get(&id);
        let desired = object.map(|o| &o.body);
        let ignored = object.map(|o| &*o.ignored).unwrap_or_default();
        let secret = id.group.is_empty() && &*id.kind == "Secret";
        let paths = match (step.cause, &step.accepted) {
            _ if secret => Vec::new(),
            (Cause::Added, Some(accepted)) => added_paths(&live, &self.terms.key, ignored, accepted, 3),
            _ => desired.map(|d| lost_paths(d, &live, 3)).unwrap_or_default(),
        };
        let record = reduce(&live, &self.terms.key, Timestamp::now(), ignored);
        DriftedObject {
            manager: record.and_then(|(_, record)| record.last_foreign_manager),
            line: format!("{id} {}", paths.join(" ")).trim_end().to_owned(),
            paths,
            id,
        }
    }
}
