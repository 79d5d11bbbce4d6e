//! One object or hook as a line of JSON: everything of it but the place it was read from, which a line added above it in
//! the same file would change.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::apply_rule::ApplyRule;
use crate::desired::{DesiredObject, PruneRule};
use crate::hook::{DeletePolicy, Hook, Point};
use crate::object::{Location, ObjectId};

/// Identity in four parts: a name may hold any character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredId<'a>(Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, Cow<'a, str>);

impl<'a> StoredId<'a> {
    pub(super) fn of(id: &'a ObjectId) -> Self {
        Self(
            Cow::Borrowed(&id.group),
            Cow::Borrowed(&id.kind),
            Cow::Borrowed(&id.namespace),
            Cow::Borrowed(&id.name),
        )
    }

    pub(super) fn owned(id: &ObjectId) -> StoredId<'static> {
        let part = |part: &str| Cow::Owned(part.to_owned());
        StoredId(
            part(&id.group),
            part(&id.kind),
            part(&id.namespace),
            part(&id.name),
        )
    }

    pub(super) fn to_id(&self) -> ObjectId {
        ObjectId::new(&self.0, &self.1, &self.2, &self.3)
    }
}

/// An unknown field is an error: it would be a rule that this version does not keep.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Line<'a> {
    id: StoredId<'a>,
    version: Cow<'a, str>,
    digest: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_empty")]
    ignored: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prune: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    force: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apply: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    wave: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hook: Option<HookLine<'a>>,
    body: Cow<'a, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HookLine<'a> {
    point: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    delete_succeeded: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    delete_failed: bool,
}

/// What a line comes to.
pub(super) enum Item {
    Object(DesiredObject),
    Hook(Hook),
}

impl<'a> Line<'a> {
    pub(super) fn of_object(object: &'a DesiredObject) -> Self {
        Self {
            id: StoredId::of(&object.id),
            version: Cow::Borrowed(&object.version),
            digest: Cow::Borrowed(&object.digest),
            ignored: Cow::Borrowed(&object.ignored),
            prune: object.prune.as_str().map(Cow::Borrowed),
            force: object.force,
            apply: object.apply.as_str().map(Cow::Borrowed),
            wave: object.wave,
            hook: None,
            body: Cow::Borrowed(&object.body),
        }
    }

    pub(super) fn of_hook(hook: &'a Hook) -> Self {
        let line = HookLine {
            point: Cow::Borrowed(hook.point.as_str()),
            delete_succeeded: hook.delete.succeeded,
            delete_failed: hook.delete.failed,
        };
        Self {
            hook: Some(line),
            ..Self::of_object(&hook.job)
        }
    }

    /// What tells it from all others: a hook may have the name of an object.
    pub(super) fn identity(&self) -> Vec<u8> {
        let StoredId(group, kind, namespace, name) = &self.id;
        let hook = if self.hook.is_some() { "hook" } else { "" };
        [hook, group, kind, namespace, name].join("\0").into_bytes()
    }

    /// The item again; `Err` says what this version does not know.
    pub(super) fn into_item(self, location: Location) -> Result<Item, String> {
        let unknown = |what: &str, word: &str| format!("{what} `{word}` is not known");
        let prune = match self.prune.as_deref() {
            None => PruneRule::Default,
            Some(word) => PruneRule::parse(word).ok_or_else(|| unknown("prune rule", word))?,
        };
        let apply = match self.apply.as_deref() {
            None => ApplyRule::Always,
            Some(word) => ApplyRule::parse(word).ok_or_else(|| unknown("apply rule", word))?,
        };
        let object = DesiredObject {
            id: self.id.to_id(),
            version: Arc::from(&*self.version),
            location,
            body: self.body.into_owned(),
            digest: self.digest.into_owned(),
            ignored: self.ignored.into_owned(),
            prune,
            force: self.force,
            apply,
            wave: self.wave,
        };
        let Some(hook) = self.hook else {
            return Ok(Item::Object(object));
        };
        let point = Point::parse(&hook.point).ok_or_else(|| unknown("hook", &hook.point))?;
        let delete = DeletePolicy {
            succeeded: hook.delete_succeeded,
            failed: hook.delete_failed,
        };
        Ok(Item::Hook(Hook {
            point,
            delete,
            job: object,
        }))
    }
}

fn is_empty(list: &[String]) -> bool {
    list.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}
