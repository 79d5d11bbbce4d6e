//! From watch events to records.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tidegate_core::catalog::Gvk;
use tidegate_core::object::{ObjectId, api_version};

use super::Shared;
use super::kinds::Seen;
use crate::error::Error;
use crate::paths;
use crate::stream::Sink;

pub(super) struct RecordSink {
    shared: Arc<Shared>,
    gvk: Gvk,
    /// Objects that the list under way has named.
    listing: Option<HashSet<ObjectId>>,
}

impl RecordSink {
    pub(super) fn new(shared: Arc<Shared>, gvk: Gvk) -> Self {
        let listing = None;
        Self { shared, gvk, listing }
    }

    fn take_in(&mut self, object: &Value) {
        let Some((id, record)) = self.shared.reduce(object) else {
            return;
        };
        if let Some(named) = &mut self.listing {
            named.insert(id.clone());
        }
        let changed = self
            .shared
            .kinds()
            .put(&self.gvk, id.clone(), record, Seen::InWatch);
        if changed {
            self.shared.tell([id]);
        }
    }
}

impl Sink for RecordSink {
    fn relist(&mut self) {
        self.shared.kinds().relist(&self.gvk);
        self.listing = Some(HashSet::new());
    }

    async fn object(&mut self, object: Value) {
        self.take_in(&object);
    }

    async fn listed(&mut self, resource_version: &str) {
        let named = self.listing.take().unwrap_or_default();
        let gone = self.shared.kinds().listed(&self.gvk, &named, resource_version);
        self.shared.tell(gone);
        self.shared.turn();
    }

    fn reached(&mut self, resource_version: &str) {
        self.shared.kinds().reached(&self.gvk, resource_version);
    }

    /// Removing our label looks like a deletion: one GET decides.
    async fn deleted(&mut self, object: Value) -> Result<(), Error> {
        let Some(id) = ObjectId::of(&object) else {
            return Ok(());
        };
        drop(object);
        let Some(plural) = self.shared.kinds().plural(&self.gvk) else {
            return Ok(());
        };
        let path = paths::object(&self.gvk, &plural, &id);
        let live = match self.shared.clients.find(&self.gvk.kind, path).await {
            Ok(live) => live,
            // With the kind go its objects.
            Err(error) if error.reason() == "KindMissing" => None,
            Err(error) => return Err(error),
        };
        match live {
            Some(live) => self.take_in(&live),
            None => {
                let removed = self.shared.kinds().remove(&self.gvk, &id);
                if removed {
                    self.shared.tell([id]);
                }
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(kind = %self.gvk.kind, reason = error.reason(), %error, "a watch fails, and is tried again");
        let message = match error.reason() {
            "Forbidden" => format!("{error}; grant list and watch on it to Tidegate's service account"),
            "KindMissing" => format!(
                "what runs cannot be kept as it is: {} is no longer served in {}; put its CustomResourceDefinition back, or take its objects from git",
                self.gvk.kind,
                api_version(&self.gvk.group, &self.gvk.version)
            ),
            _ => error.to_string(),
        };
        self.shared.kinds().fail(&self.gvk, message);
        self.shared.turn();
    }
}
