//! Taking fields away that are not ours to leave out of an apply: additions of people, and what other tools had set.
//!
//! Fields and managers' entries change in one request, on the condition that nothing was written since the reading:
//! where it is refused, nothing has changed.

use http::Method;
use serde_json::{Map, Value, json};
use tidegate_api::names;
use tidegate_core::desired::DesiredObject;
use tidegate_core::object::ObjectId;
use tidegate_core::takeover::{Handover, claimed, handover};

use super::Run;
use crate::call::Call;
use crate::error::{Class, Error};

/// Rounds of a hand-over; each leaves at most the defaults of what it took away.
const ROUNDS: usize = 3;

/// What came of an apply in place of other tools.
pub(super) enum Claim {
    /// It went through: the answer.
    Applied(Value),
    /// There was nothing to claim, or it was refused: the object as it was before.
    Refused(Value),
}

impl Run<'_> {
    /// Applies an object with the fields of other tools as if they were ours: what git does not have goes in the same step.
    /// Where the API server refuses that, the tools have their entries back.
    pub(super) async fn apply_claimed(
        &self,
        object: &DesiredObject,
        path: &str,
        live: &Value,
    ) -> Result<Claim, Error> {
        let Some(claimed) = claimed(live, &object.ignored) else {
            return Ok(Claim::Refused(live.clone()));
        };
        let ours = match self.rewrite(&object.id, path, live, &claimed).await {
            Err(error) if error.class() == Class::Terminal => return Ok(Claim::Refused(live.clone())),
            answer => answer?,
        };
        match self.apply_over(object, &ours).await {
            // With the last child that it takes away, the API server also takes a map that we apply empty; the apply
            // after this one puts it there again.
            Ok((_, answer)) => Ok(Claim::Applied(self.apply_over(object, &answer).await?.1)),
            Err(error) => {
                let mut before = ours.clone();
                before["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
                let before = self.rewrite(&object.id, path, &ours, &before).await;
                match (error.class(), before) {
                    (Class::Terminal, Ok(before)) => Ok(Claim::Refused(before)),
                    _ => Err(error),
                }
            }
        }
    }

    /// Ends what other tools own of an object that was just applied for the first time. Returns it as it is then.
    pub(super) async fn relieve(
        &self,
        object: &DesiredObject,
        path: &str,
        mut live: Value,
    ) -> Result<Value, Error> {
        let id = &object.id;
        for _ in 0..ROUNDS {
            let Some(Handover { without, released }) = handover(&live, &object.ignored) else {
                break;
            };
            live = match self.rewrite(id, path, &live, &without).await {
                // What the API server does not let go (a claim's storage class) stays, and is nobody's.
                Err(error) if error.class() == Class::Terminal => {
                    tracing::info!(object = %id, %error, "what another tool had set stays");
                    self.rewrite(id, path, &live, &released).await?
                }
                answer => answer?,
            };
        }
        Ok(live)
    }

    /// Makes of an object as it was read another one. *Replacing* the resource version by the one that was read makes the
    /// server answer 409 when it is not current; a `test` operation would answer 422 like any invalid patch.
    pub(super) async fn rewrite(
        &self,
        id: &ObjectId,
        path: &str,
        live: &Value,
        wanted: &Value,
    ) -> Result<Value, Error> {
        let metadata = &live["metadata"];
        let mut patch = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}),
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}),
        ];
        differences(&live["metadata"], &wanted["metadata"], "/metadata", &mut patch);
        differences(live, wanted, "", &mut patch);
        let path = format!("{path}?fieldManager={}", names::FIELD_MANAGER);
        let patch = Value::Array(patch).to_string().into_bytes();
        let call = Call::mutate("patch", Method::PATCH, &id.kind, path, self.lease)
            .body("application/json-patch+json", patch);
        let (_, answer) = self.clients.json(&call).await?;
        Ok(answer)
    }
}

/// Operations for each child of `live` that is not as in `wanted`, the metadata aside.
fn differences(live: &Value, wanted: &Value, at: &str, patch: &mut Vec<Value>) {
    let empty = Map::new();
    let (have, want) = (
        live.as_object().unwrap_or(&empty),
        wanted.as_object().unwrap_or(&empty),
    );
    for (key, value) in have.iter().filter(|(key, _)| *key != "metadata") {
        let path = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        match want.get(key) {
            None => patch.push(json!({"op": "remove", "path": path})),
            Some(wanted) if wanted != value => {
                patch.push(json!({"op": "replace", "path": path, "value": wanted}));
            }
            Some(_) => {}
        }
    }
}
