//! What drifted objects look like, for people.

use jiff::Timestamp;
use tidegate_core::additions::added_fields;
use tidegate_core::desired::DesiredObject;
use tidegate_core::differences::{Difference, Sort, lost};
use tidegate_core::live::reduce;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::{Cause, Plan, Step};

use crate::target::Target;

/// Most fields of one object that are named.
const MAX_FIELDS: usize = 3;

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
        let object = plan.rendered.get(&id);
        let sort = if step.cause == Cause::Added {
            Sort::Added
        } else {
            Sort::Changed
        };
        let found = match object {
            Some(object) => self.differences(object, sort, step.accepted.as_deref()).await,
            None => None,
        };
        let Some((manager, found)) = found else {
            return DriftedObject {
                line: format!("{id} (deleted)"),
                manager: None,
                paths: Vec::new(),
                id,
            };
        };
        let owner = found.iter().find_map(|difference| difference.manager.clone());
        let paths: Vec<String> = found.into_iter().map(|difference| difference.field).collect();
        DriftedObject {
            manager: owner.or(manager),
            line: format!("{id} {}", paths.join(" ")).trim_end().to_owned(),
            paths,
            id,
        }
    }

    /// Reads an object and finds what of it differs; with the manager of the newest foreign write. Which keys a Secret has
    /// is not for everybody who reads Applications. `None` when the object cannot be read.
    pub(crate) async fn differences(
        &self,
        object: &DesiredObject,
        sort: Sort,
        accepted: Option<&[String]>,
    ) -> Option<(Option<String>, Vec<Difference>)> {
        let live = self.read_object(&object.id, &object.version).await?;
        let (_, record) = reduce(&live, &self.terms.key, Timestamp::now(), &object.ignored)?;
        let secret = object.id.group.is_empty() && &*object.id.kind == "Secret";
        let found = match (sort, accepted) {
            _ if secret => Vec::new(),
            (Sort::Added, accepted) => added_fields(
                &live,
                &self.terms.key,
                &object.ignored,
                accepted.unwrap_or_default(),
                MAX_FIELDS,
            ),
            (Sort::Changed, _) => lost(&object.body, &live, &object.ignored, MAX_FIELDS),
        };
        Some((record.last_foreign_manager, found))
    }
}
