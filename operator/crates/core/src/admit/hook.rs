//! What is wrong with a hook: on what it stands, what it says, and Jobs that cannot be followed to their end.

use serde_json::Value;
use tidegate_api::names;

use crate::hook::{DeletePolicy, MIN_TTL, Point};
use crate::object::ObjectId;

/// A fault: pointer and message.
pub(super) type Fault = (String, String);

/// What an object says about being a hook. `None` for an ordinary object.
pub(super) fn read(id: &ObjectId, value: &Value) -> Result<Option<(Point, DeletePolicy)>, Vec<Fault>> {
    let pointer = |name: &str| format!("/metadata/annotations/{}", name.replace('/', "~1"));
    let (hook, policy) = (
        pointer(names::ANNOTATION_HOOK),
        pointer(names::ANNOTATION_HOOK_DELETE_POLICY),
    );
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let Some(point) = text(&hook) else {
        return match text(&policy) {
            Some(_) => Err(vec![(
                policy,
                format!("means nothing without {}", names::ANNOTATION_HOOK),
            )]),
            None => Ok(None),
        };
    };
    let mut faults = Vec::new();
    let parsed = Point::parse(point);
    if parsed.is_none() {
        faults.push((
            hook.clone(),
            format!("must be PreSync, PostSync or SyncFail, not `{point}`"),
        ));
    }
    let delete = DeletePolicy::parse(text(&policy).unwrap_or("BeforeHookCreation")).unwrap_or_else(|word| {
        let message = format!(
            "must list BeforeHookCreation, HookSucceeded or HookFailed with commas between, not `{word}`"
        );
        faults.push((policy, message));
        DeletePolicy::default()
    });
    if (&*id.group, &*id.kind) == ("batch", "Job") {
        faults.extend(endless(value));
    } else {
        let message = format!(
            "a hook is a Job of batch/v1; a {} has no end that could be waited for",
            id.kind
        );
        faults.push((hook, message));
    }
    match parsed {
        Some(point) if faults.is_empty() => Ok(Some((point, delete))),
        _ => Err(faults),
    }
}

/// Jobs whose end would not come, or would not be seen.
fn endless(job: &Value) -> impl Iterator<Item = Fault> {
    let suspended = job.pointer("/spec/suspend") == Some(&Value::Bool(true));
    let suspended = suspended.then(|| {
        let message =
            "a suspended Job never ends, and the release would wait for it; remove the field".to_owned();
        ("/spec/suspend".to_owned(), message)
    });
    let ttl = job
        .pointer("/spec/ttlSecondsAfterFinished")
        .and_then(Value::as_i64);
    let short = ttl.filter(|ttl| *ttl < MIN_TTL).map(|ttl| {
        let message = format!(
            "after {ttl} s the Job could be gone before its end was seen; use at least {MIN_TTL}, or {}",
            names::ANNOTATION_HOOK_DELETE_POLICY
        );
        ("/spec/ttlSecondsAfterFinished".to_owned(), message)
    });
    suspended.into_iter().chain(short)
}
