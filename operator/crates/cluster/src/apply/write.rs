//! Creates and updates: server-side apply on a condition.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tidegate_api::names;
use tidegate_core::additions::still_accepted;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::catalog::{Gvk, KindInfo};
use tidegate_core::desired::DesiredObject;
use tidegate_core::inventory::Sealed;
use tidegate_core::live::reduce_by;
use tidegate_core::ownership::{Takeover, decide};
use tidegate_core::plan::{Cause, Step};
use tidegate_core::takeover::Former;

use super::body::{Condition, serialise};
use super::remove::is_ours;
use super::rewrite::Claim;
use super::{Done, Failure, Run};
use crate::call::Call;
use crate::error::{Class, Error, Refusal};
use crate::paths;

/// A just established CRD's API may answer 404 for a moment.
const FRESH_KIND_TRIES: u32 = 40;
const FRESH_KIND_PAUSE: Duration = Duration::from_millis(250);
/// A controller that writes the object's status all the time may come between reading and taking over that often.
const TRIES: usize = 8;

impl Run<'_> {
    pub(super) async fn create(&self, object: &DesiredObject) -> Result<Done, Failure> {
        match self.apply(object, &object.body, Condition::Absent).await {
            Ok((code, live)) => self.applied(object, &live, None, code == 201),
            Err(error) if error.code() == 409 => self.take_over(object).await,
            Err(error) => Err(Failure::of(&object.id, Some(object), &error)),
        }
    }

    /// The object is there already: ours after a crash, nobody's, or somebody else's. Whose it is holds for the version
    /// that was read: another Application may take it over in the next moment.
    async fn take_over(&self, object: &DesiredObject) -> Result<Done, Failure> {
        let fail = |error: &Error| Failure::of(&object.id, Some(object), error);
        let (gvk, info) = self.kind_of(object)?;
        let path = paths::object(&gvk, &info.plural, &object.id);
        let (mut tried, mut from) = (0, None);
        loop {
            let live = self.clients.find(&object.id.kind, path.clone()).await;
            let Some(live) = live.map_err(|e| fail(&e))? else {
                let message = "it vanished while it was being created; it is tried again".to_owned();
                return Err(Failure::one(
                    &object.id,
                    Some(object),
                    Class::Transient,
                    "Conflict",
                    message,
                ));
            };
            if object.apply == ApplyRule::IfNotPresent {
                return self.leave(object, &live);
            }
            // Once our own apply went through, it looks as if it had been ours all along.
            from = from.or(self.former_owner(object, &live)?);
            // What is applied beside others is not taken from them.
            from = from.filter(|_| object.apply != ApplyRule::Merge);
            tried += 1;
            match self.relieved(object, &path, &live).await {
                Ok(live) => return self.applied(object, &live, from, false),
                Err(error) if was_changed(&error) && tried < TRIES => {}
                Err(error) => return Err(fail(&error)),
            }
        }
    }

    /// Somebody was faster, and the object stays as it is: ours after a crash, else nobody's business.
    fn leave(&self, object: &DesiredObject, live: &Value) -> Result<Done, Failure> {
        if is_ours(live, None, self.ctx.owner) {
            return self.applied(object, live, None, false);
        }
        Ok(Done::Deleted)
    }

    /// Applied over what is there, and freed of what other tools own of it.
    async fn relieved(&self, object: &DesiredObject, path: &str, live: &Value) -> Result<Value, Error> {
        if object.apply == ApplyRule::Merge {
            return Ok(self.apply_over(object, live).await?.1);
        }
        let live = match self.apply_claimed(object, path, live).await? {
            Claim::Applied(live) => live,
            Claim::Refused(live) => self.apply_over(object, &live).await?.1,
        };
        self.relieve(object, path, live).await
    }

    /// From whom an existing object is taken over; `None` when it was ours all along.
    fn former_owner(&self, object: &DesiredObject, live: &Value) -> Result<Option<Former>, Failure> {
        let claim = |other: &_| (self.ctx.claim)(other, &object.id);
        match decide(live, self.ctx.owner, self.ctx.adopt, claim) {
            Takeover::Resume => Ok(None),
            Takeover::Adopt { from } => Ok(Some(from)),
            Takeover::Refuse { reason, message } => {
                let class = if reason == "Terminating" {
                    Class::Waiting
                } else {
                    Class::Terminal
                };
                Err(Failure::one(&object.id, Some(object), class, reason, message))
            }
        }
    }

    pub(super) async fn update(
        &self,
        object: &DesiredObject,
        uid: &str,
        step: &Step,
    ) -> Result<Done, Failure> {
        if step.cause == Cause::Added || !object.ignored.is_empty() || object.apply == ApplyRule::Merge {
            return self.update_over(object, uid, step).await;
        }
        match self.apply(object, &object.body, Condition::Uid(uid)).await {
            Ok((_, live)) => self.updated(object, &live, step),
            Err(error) if error.refusal().is_some_and(is_other_object) => Err(other_object(object)),
            Err(error) => Err(Failure::of(&object.id, Some(object), &error)),
        }
    }

    /// What an update leaves: additions that were not accepted before are not accepted by it.
    pub(super) fn updated(&self, object: &DesiredObject, live: &Value, step: &Step) -> Result<Done, Failure> {
        let mut done = self.applied(object, live, None, false)?;
        if let Done::Applied { sealed, live, .. } = &mut done {
            sealed.foreign = Some(still_accepted(&live.foreign, step.accepted.as_deref()));
        }
        Ok(done)
    }

    pub(super) async fn apply(
        &self,
        object: &DesiredObject,
        body: &Value,
        condition: Condition<'_>,
    ) -> Result<(u16, Value), Error> {
        let (gvk, info) = self.known(object)?;
        let path = format!(
            "{}?fieldManager={}&force={}",
            paths::object(&gvk, &info.plural, &object.id),
            names::FIELD_MANAGER,
            object.apply != ApplyRule::Merge
        );
        let call = Call::mutate("apply", Method::PATCH, &object.id.kind, path, self.lease)
            .body("application/apply-patch+yaml", serialise(body, condition));
        let kind = (object.id.group.to_string(), object.id.kind.to_string());
        let tries = if self.own_kinds.contains(&kind) {
            FRESH_KIND_TRIES
        } else {
            1
        };
        for _ in 1..tries {
            match self.clients.json(&call).await {
                Err(error) if error.reason() == "KindMissing" => tokio::time::sleep(FRESH_KIND_PAUSE).await,
                answer => return answer,
            }
        }
        self.clients.json(&call).await
    }

    fn applied(
        &self,
        object: &DesiredObject,
        live: &Value,
        adopted_from: Option<Former>,
        created: bool,
    ) -> Result<Done, Failure> {
        let rule = self
            .ctx
            .health
            .of(&object.id, &object.version)
            .map(|rule| &**rule);
        let now = jiff::Timestamp::now();
        let Some((_, live)) = reduce_by(rule, live, self.ctx.key, now, &object.ignored) else {
            return Err(Failure::bug(
                &object.id,
                "the API server's answer to an apply is no object",
            ));
        };
        let sealed = Sealed {
            uid: live.uid.clone(),
            desired: object.digest.clone(),
            ours: live.ours.clone().unwrap_or_default(),
            foreign: Some(live.foreign.clone()),
            ignored: object.ignored.clone(),
            apply: object.apply,
        };
        Ok(Done::Applied {
            sealed,
            live,
            adopted_from,
            created,
        })
    }

    pub(super) fn known(&self, object: &DesiredObject) -> Result<(Gvk, KindInfo), Error> {
        let gvk = Gvk::new(&object.id.group, &object.version, &object.id.kind);
        match self.catalog.get(&gvk) {
            Some(info) => Ok((gvk, info.clone())),
            None => Err(Error::Refused {
                call: format!("apply {}", object.id),
                refusal: Box::new(Refusal::read(
                    404,
                    b"the API server does not serve this kind at this version",
                )),
            }),
        }
    }

    pub(super) fn kind_of(&self, object: &DesiredObject) -> Result<(Gvk, KindInfo), Failure> {
        self.known(object)
            .map_err(|error| Failure::of(&object.id, Some(object), &error))
    }
}

/// Something was written since the reading. A conflict over fields, without force, has causes.
pub(super) fn was_changed(error: &Error) -> bool {
    error
        .refusal()
        .is_some_and(|refusal| refusal.code == 409 && refusal.causes.is_empty())
}

/// Creating with a uid is refused by the server: 404 or 409 in some versions, 422 on `metadata.uid` in others.
pub(super) fn is_other_object(refusal: &Refusal) -> bool {
    refusal.object_missing() || refusal.code == 409 || refusal.uid_differs()
}

pub(super) fn other_object(object: &DesiredObject) -> Failure {
    let message = "the live object was deleted or made anew since it was applied; it is planned anew";
    Failure::one(
        &object.id,
        Some(object),
        Class::Transient,
        "Conflict",
        message.to_owned(),
    )
}
