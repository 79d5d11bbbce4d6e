//! Writes that depend on what is there: additions are taken away, and ignored fields have the live value or are left out.
//!
//! Read, then write on the condition that nothing was written between, and all over again where something was.

use serde_json::Value;
use tidegate_core::additions::without;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::beside::beside;
use tidegate_core::desired::DesiredObject;
use tidegate_core::ignore::body_over;
use tidegate_core::plan::{Cause, Step};

use super::body::Condition;
use super::write::{is_other_object, other_object, was_changed};
use super::{Done, Failure, Run};
use crate::error::{Class, Error};
use crate::paths;

/// A controller that writes the object's status all the time may win that often.
const TRIES: usize = 8;

impl Run<'_> {
    pub(super) async fn update_over(
        &self,
        object: &DesiredObject,
        uid: &str,
        step: &Step,
    ) -> Result<Done, Failure> {
        let (gvk, info) = self.kind_of(object)?;
        let path = paths::object(&gvk, &info.plural, &object.id);
        for _ in 0..TRIES {
            let live = self.clients.find(&object.id.kind, path.clone()).await;
            let live = live.map_err(|e| Failure::of(&object.id, Some(object), &e))?;
            let Some(live) = live.filter(|live| live["metadata"]["uid"] == uid) else {
                return Err(other_object(object));
            };
            match self.once_over(object, &path, live, step).await {
                Ok(answer) => return self.updated(object, &answer, step),
                Err(error) if was_changed(&error) => {}
                Err(error) if error.code() != 409 && error.refusal().is_some_and(is_other_object) => {
                    return Err(other_object(object));
                }
                Err(error) => return Err(Failure::of(&object.id, Some(object), &error)),
            }
        }
        let message = "it changes faster than it can be updated; it is tried again".to_owned();
        Err(Failure::one(
            &object.id,
            Some(object),
            Class::Transient,
            "Conflict",
            message,
        ))
    }

    async fn once_over(
        &self,
        object: &DesiredObject,
        path: &str,
        live: Value,
        step: &Step,
    ) -> Result<Value, Error> {
        let accepted = step.accepted.as_deref().filter(|_| step.cause == Cause::Added);
        let fewer = accepted.and_then(|accepted| without(&live, self.ctx.key, &object.ignored, accepted));
        let live = match fewer {
            Some(fewer) => self.rewrite(&object.id, path, &live, &fewer).await?,
            None => live,
        };
        let (_, answer) = self.apply_over(object, &live).await?;
        Ok(answer)
    }

    /// Applies over an object as it was read. Nothing may be written between: a value of an ignored field that another
    /// has just set would be undone.
    pub(super) async fn apply_over(
        &self,
        object: &DesiredObject,
        live: &Value,
    ) -> Result<(u16, Value), Error> {
        let text = |field: &str| live["metadata"][field].as_str().unwrap_or_default();
        let condition = Condition::At {
            uid: text("uid"),
            resource_version: text("resourceVersion"),
        };
        let mut body = body_over(&object.body, &object.ignored, live);
        if object.apply == ApplyRule::Merge {
            body = beside(&body, live);
        }
        self.apply(object, &body, condition).await
    }
}
