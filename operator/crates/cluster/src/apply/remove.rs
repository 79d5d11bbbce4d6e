//! Deletes: only that uid, at the resource version read just before.

use http::Method;
use serde_json::{Value, json};
use tidegate_api::names;
use tidegate_core::catalog::{Gvk, KindInfo};
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::{Owner, applied_by_us};
use tidegate_core::plan::Step;

use super::{Done, Failure, Run};
use crate::call::Call;
use crate::connect::Clients;
use crate::discovery;
use crate::error::{Class, Error, Refusal};
use crate::paths;

/// A controller that writes the object's status all the time may win that often.
const TRIES: usize = 8;

impl Run<'_> {
    fn remover(&self) -> &Clients {
        self.ctx.remover.as_ref().unwrap_or(self.clients)
    }

    pub(super) async fn delete(&self, step: &Step, uid: Option<&str>) -> Result<Done, Failure> {
        self.delete_as(step, uid, "Background").await
    }

    /// Deletes with this propagation policy.
    pub(super) async fn delete_as(
        &self,
        step: &Step,
        uid: Option<&str>,
        propagation: &str,
    ) -> Result<Done, Failure> {
        let id = &step.id;
        let fail = |error: &Error| Failure::of(id, None, error);
        let Some((gvk, info)) = self.served(step).await? else {
            return Ok(Done::Deleted);
        };
        let path = paths::object(&gvk, &info.plural, id);
        for _ in 0..TRIES {
            let live = match self.remover().find(&id.kind, path.clone()).await {
                Ok(Some(live)) => live,
                Ok(None) => return Ok(Done::Deleted),
                // The kind went since discovery, and its objects with it.
                Err(error) if error.reason() == "KindMissing" => return Ok(Done::Deleted),
                Err(error) => return Err(fail(&error)),
            };
            let metadata = &live["metadata"];
            if !is_ours(&live, uid, self.ctx.owner) {
                tracing::info!(object = %id, "not deleted: it is not the object that was applied");
                return Ok(Done::NotOurs);
            }
            // Read in the version that is deleted: who takes it over after that makes the delete conflict.
            if let Some(other) = self.taken_by(id, &live) {
                tracing::info!(object = %id, by = other.name(), "not deleted: another Application has it");
                return Ok(Done::NotOurs);
            }
            if metadata["deletionTimestamp"].is_string() {
                return Ok(Done::Deleting);
            }
            let call = self.deletion(id, &path, metadata, propagation);
            match self.remover().json(&call).await {
                // A Status means gone. The object itself means that something still holds it, but for Services, which
                // answer so although they are gone.
                Ok((_, answer)) if answer["kind"] == "Status" => return Ok(Done::Deleted),
                Ok(_) => return self.after_delete(id, path, &metadata["uid"]).await,
                Err(error) if error.refusal().is_some_and(Refusal::nothing_there) => {
                    return Ok(Done::Deleted);
                }
                Err(error) if error.code() == 409 => {}
                Err(error) => return Err(fail(&error)),
            }
        }
        let message = "it changes faster than it can be deleted; it is tried again".to_owned();
        Err(Failure::one(id, None, Class::Transient, "Conflict", message))
    }

    /// The Application that an object belongs to by now, if it is another than ours. A name alone proves nothing.
    fn taken_by(&self, id: &ObjectId, live: &Value) -> Option<Owner> {
        let named = live["metadata"]["annotations"][names::ANNOTATION_OWNER].as_str();
        let other = named.and_then(Owner::parse)?;
        let foreign = other.installation != self.ctx.owner.installation;
        let taken = other != *self.ctx.owner && (foreign || (self.ctx.claim)(&other, id).is_held());
        taken.then_some(other)
    }

    async fn after_delete(&self, id: &ObjectId, path: String, uid: &Value) -> Result<Done, Failure> {
        let live = self.remover().find(&id.kind, path).await;
        let live = live.map_err(|error| Failure::of(id, None, &error))?;
        let held = live.is_some_and(|live| live["metadata"]["uid"] == *uid);
        Ok(if held { Done::Deleting } else { Done::Deleted })
    }

    fn deletion<'c>(&'c self, id: &'c ObjectId, path: &str, metadata: &Value, propagation: &str) -> Call<'c> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation,
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        });
        Call::mutate("delete", Method::DELETE, &id.kind, path.to_owned(), self.lease)
            .body("application/json", options.to_string().into_bytes())
    }

    /// How the kind is served. `None` when it is certain that it is not: then its objects are gone too. The catalog
    /// may be older than a CRD, so that absence is looked up once more.
    async fn served(&self, step: &Step) -> Result<Option<(Gvk, KindInfo)>, Failure> {
        let id = &step.id;
        if let Some(found) = lookup(&self.catalog, step) {
            return Ok(Some(found));
        }
        let fresh = discovery::discover(self.clients)
            .await
            .map_err(|error| Failure::of(id, None, &error))?;
        match lookup(&fresh.catalog, step) {
            None if fresh.stale_groups.contains(&*id.group) => {
                let message =
                    "its aggregated API does not answer, so that it cannot be seen; check the APIService";
                Err(Failure::one(
                    id,
                    None,
                    Class::Waiting,
                    "KindMissing",
                    message.to_owned(),
                ))
            }
            found => Ok(found),
        }
    }
}

fn lookup(catalog: &tidegate_core::catalog::Catalog, step: &Step) -> Option<(Gvk, KindInfo)> {
    let exact = Gvk::new(&step.id.group, &step.version, &step.id.kind);
    let gvk = match catalog.get(&exact) {
        Some(_) => exact,
        None => catalog.any_version(&step.id)?,
    };
    let info = catalog.get(&gvk)?.clone();
    Some((gvk, info))
}

/// An entry that was only intended has no uid: then our owner annotation and our manager's entry must both be there.
pub(super) fn is_ours(live: &Value, uid: Option<&str>, owner: &Owner) -> bool {
    let metadata = &live["metadata"];
    match uid {
        Some(uid) => metadata["uid"] == uid,
        None => {
            let annotation = metadata["annotations"][names::ANNOTATION_OWNER].as_str();
            annotation == Some(owner.annotation().as_str()) && applied_by_us(live)
        }
    }
}
