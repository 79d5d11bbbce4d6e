//! Deletes an object and makes it anew. A kill between the two leaves an entry that is only intended and an object that
//! is gone: the next reconcile creates it.

use std::time::Duration;

use tidegate_core::desired::DesiredObject;
use tidegate_core::plan::Step;
use tokio::time::Instant;

use super::{Done, Failure, Run};
use crate::error::Class;
use crate::paths;

/// How long the object may take to go before something else is done in the meantime: pods have 30 s by default.
const GONE: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(250);

impl Run<'_> {
    pub(super) async fn recreate(
        &self,
        object: &DesiredObject,
        step: &Step,
        uid: Option<&str>,
    ) -> Result<Done, Failure> {
        // In the foreground: what belongs to it goes first, so that the new one does not meet it.
        if self.delete_as(step, uid, "Foreground").await? == Done::Deleting {
            self.wait_gone(object).await?;
        }
        self.create(object).await
    }

    async fn wait_gone(&self, object: &DesiredObject) -> Result<(), Failure> {
        let (gvk, info) = self.kind_of(object)?;
        let path = paths::object(&gvk, &info.plural, &object.id);
        let deadline = Instant::now() + GONE;
        loop {
            let live = self.clients.find(&object.id.kind, path.clone()).await;
            let live = live.map_err(|e| Failure::of(&object.id, Some(object), &e))?;
            let Some(live) = live.filter(|live| live["metadata"]["deletionTimestamp"].is_string()) else {
                return Ok(());
            };
            if Instant::now() >= deadline || self.ctx.cancel.is_cancelled() {
                let finalizers = &live["metadata"]["finalizers"];
                let message = format!(
                    "is being deleted to be made anew and is held by finalizers {finalizers}; it is created when it is gone"
                );
                let (id, class) = (&object.id, Class::Waiting);
                return Err(Failure::one(id, Some(object), class, "Terminating", message));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
