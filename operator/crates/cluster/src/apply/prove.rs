//! What has to be asked before planning, without changing anything: whether the API server refuses changes for immutable
//! fields alone, and whether objects are there.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use http::Method;
use tidegate_api::names;
use tidegate_core::catalog::{Catalog, Gvk};
use tidegate_core::desired::DesiredObject;
use tidegate_core::ignore::body_over;
use tidegate_core::object::ObjectId;
use tidegate_core::ownership::Owner;
use tidegate_core::recreate::Candidate;

use super::Executor;
use super::body::{Condition, serialise};
use super::remove::is_ours;
use crate::call::Call;
use crate::connect::MAX_IN_FLIGHT;
use crate::error::{Class, Error};
use crate::paths;

impl Executor {
    /// Those of the candidates whose change is refused for nothing but immutable fields. What is refused for anything
    /// else is not among them: applying it says what is wrong.
    ///
    /// # Errors
    /// When it cannot be told now.
    pub async fn immutable(
        &self,
        candidates: &[Candidate<'_>],
        catalog: &Catalog,
        owner: &Owner,
    ) -> Result<BTreeSet<ObjectId>, Error> {
        let asked: Vec<_> = candidates
            .iter()
            .map(|one| self.is_immutable(*one, catalog, owner))
            .collect();
        let mut answers = futures::stream::iter(asked).buffered(MAX_IN_FLIGHT);
        let mut found = BTreeSet::new();
        for candidate in candidates {
            if answers.next().await.transpose()? == Some(true) {
                found.insert(candidate.object.id.clone());
            }
        }
        Ok(found)
    }

    /// Those of the objects that are there and are not ours.
    ///
    /// # Errors
    /// When it cannot be told now.
    pub async fn present(
        &self,
        objects: &[&DesiredObject],
        catalog: &Catalog,
        owner: &Owner,
    ) -> Result<BTreeSet<ObjectId>, Error> {
        let asked: Vec<_> = objects
            .iter()
            .map(|object| self.is_present(object, catalog, owner))
            .collect();
        let mut answers = futures::stream::iter(asked).buffered(MAX_IN_FLIGHT);
        let mut found = BTreeSet::new();
        for object in objects {
            if answers.next().await.transpose()? == Some(true) {
                found.insert(object.id.clone());
            }
        }
        Ok(found)
    }

    async fn is_present(
        &self,
        object: &DesiredObject,
        catalog: &Catalog,
        owner: &Owner,
    ) -> Result<bool, Error> {
        let gvk = Gvk::new(&object.id.group, &object.version, &object.id.kind);
        // A kind of the commit's own CRDs has no objects yet.
        let Some(info) = catalog.get(&gvk) else {
            return Ok(false);
        };
        let path = paths::object(&gvk, &info.plural, &object.id);
        let live = self.clients.find(&object.id.kind, path).await?;
        Ok(live.is_some_and(|live| !is_ours(&live, None, owner)))
    }

    async fn is_immutable(
        &self,
        candidate: Candidate<'_>,
        catalog: &Catalog,
        owner: &Owner,
    ) -> Result<bool, Error> {
        let Candidate { object, uid } = candidate;
        let gvk = Gvk::new(&object.id.group, &object.version, &object.id.kind);
        let Some(info) = catalog.get(&gvk) else {
            return Ok(false);
        };
        let path = paths::object(&gvk, &info.plural, &object.id);
        let Some(live) = self.clients.find(&object.id.kind, path.clone()).await? else {
            return Ok(false);
        };
        let metadata = &live["metadata"];
        if !is_ours(&live, uid, owner) || metadata["deletionTimestamp"].is_string() {
            return Ok(false);
        }
        let body = body_over(&object.body, &object.ignored, &live);
        let condition = Condition::Uid(metadata["uid"].as_str().unwrap_or_default());
        let path = format!(
            "{path}?fieldManager={}&force=true&dryRun=All",
            names::FIELD_MANAGER
        );
        let call = Call::mutate("dry-run", Method::PATCH, &object.id.kind, path, &self.lease)
            .body("application/apply-patch+yaml", serialise(&body, condition));
        match self.clients.call(&call).await {
            Ok(_) => Ok(false),
            Err(error) => match error.refusal() {
                Some(refusal) if refusal.immutable && !refusal.uid_differs() => Ok(true),
                Some(_) if error.class() != Class::Transient => Ok(false),
                _ => Err(error),
            },
        }
    }
}
