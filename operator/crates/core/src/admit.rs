//! Admissibility: the whole set is checked before anything is written, and everything wrong with it is said at once.
//!
//! Rules: semantics.md "Plan, admissibility, limits"; hostile-input.md row "manifests".

mod empty;
mod hook;
mod secret;
mod wave;

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tidegate_api::application::DriftIgnore;
use tidegate_api::names;

use crate::apply_rule::ApplyRule;
use crate::catalog::{Catalog, Gvk};
use crate::desired::{DesiredObject, PruneRule, RawObject, Rendered};
use crate::digest::DigestKey;
use crate::hook::{DeletePolicy, Hook, MAX_HOOKS, Point};
use crate::ignore;
use crate::object::{Location, ObjectId, split_api_version};
use crate::order::{WAVES, parse_wave};
use crate::ownership::Owner;
use crate::problem::{Problem, field_path};
use crate::schema::SchemaSet;

/// Most objects that one Application may have.
pub const MAX_OBJECTS: usize = 50_000;
/// Largest object as JSON, bytes; etcd refuses requests over 1.5 MiB.
pub const MAX_OBJECT_BYTES: usize = 1_400_000;

/// What a set is checked against.
pub struct Context<'a> {
    /// Kinds that are served.
    pub catalog: &'a Catalog,
    /// Their schemas.
    pub schemas: &'a SchemaSet,
    /// Namespace of objects that name none.
    pub namespace: &'a str,
    /// Written to every object.
    pub owner: &'a Owner,
    /// `spec.force`.
    pub force: bool,
    /// `spec.drift.ignore`.
    pub ignore: &'a [DriftIgnore],
    /// What autoscalers in the cluster scale; those of the set itself need not be among them.
    pub scaled: &'a ignore::Scaled,
    /// For digests.
    pub key: &'a DigestKey,
}

/// Checks a set and makes it ready to be planned, or says all that is wrong with it, sorted by place.
pub fn admit(raw: Vec<RawObject>, context: &Context<'_>) -> Result<Rendered, Vec<Problem>> {
    if raw.len() > MAX_OBJECTS {
        let message = format!(
            "{} objects; at most {MAX_OBJECTS} are allowed in one Application, split it",
            raw.len()
        );
        return Err(vec![Problem {
            reason: "TooManyObjects",
            object: String::new(),
            field: None,
            location: None,
            message,
        }]);
    }
    let (catalog, schemas) = with_own_crds(&raw, context);
    let mut problems = ignore_faults(context.ignore);
    let mut objects: Vec<DesiredObject> = Vec::with_capacity(raw.len());
    let mut hooks: Vec<Hook> = Vec::new();
    let mut left_out = Vec::new();
    let mut seen: HashMap<ObjectId, Location> = HashMap::with_capacity(raw.len());
    for mut object in raw {
        if object.value.pointer(APPLY).and_then(Value::as_str) == Some("Ignore") {
            // As though git did not have it, whatever is wrong with its fields. Which object it is has to be known: else it
            // would be deleted as one that git no longer has. Of a kind that is not served there is none.
            let mut faults = Vec::new();
            let id = identify(&object, &catalog, context.namespace, &mut faults);
            left_out.extend(id);
            problems.extend(faults.into_iter().filter(|_| is_served(&object, &catalog)));
            continue;
        }
        let before = problems.len();
        let Some(id) = identify(&object, &catalog, context.namespace, &mut problems) else {
            continue;
        };
        empty::drop_empty_metadata(&id, &mut object.value);
        let mut faults = secret::fold_string_data(&id, &mut object.value);
        faults.extend(secret::not_base64(&id, &object.value));
        let mut check = Check {
            object: &object,
            name: id.to_string(),
            problems: &mut problems,
        };
        if let Some(first) = seen.get(&id) {
            let message = format!("is also defined at {first}; keep one of the two");
            check.problem("DuplicateObject", "", message);
        }
        check.metadata();
        for (pointer, reason, message) in faults {
            check.problem(reason, &pointer, message);
        }
        check.size();
        check.schema(&schemas);
        let prune = check.prune_rule();
        let force = check.force(context.force);
        let apply = check.apply_rule();
        let wave = check.wave();
        let hook = check.hook(&id, hooks.len());
        if problems.len() == before {
            seen.insert(id.clone(), object.location.clone());
            let object = DesiredObject {
                prune,
                wave,
                force,
                apply,
                ..finish(object, id, context)
            };
            match hook {
                Some((point, delete)) => hooks.push(Hook {
                    point,
                    delete,
                    job: object,
                }),
                None => objects.push(object),
            }
        }
    }
    problems.extend(wave::contradictions(&objects));
    if problems.is_empty() {
        let mut scaled = ignore::autoscaled(&objects);
        scaled.extend(
            context
                .scaled
                .iter()
                .map(|(target, by)| (target.clone(), by.clone())),
        );
        for object in &mut objects {
            object.ignore(ignore::ignored(object, context.ignore, &scaled), context.key);
        }
        for hook in &mut hooks {
            hook.job.ignore(Vec::new(), context.key);
        }
        return Ok(Rendered::whole(objects, hooks, left_out, context.key));
    }
    problems.sort_by(|a, b| a.location.cmp(&b.location));
    Err(problems)
}

/// Faults of the Application itself: they have no place in the source.
fn ignore_faults(rules: &[DriftIgnore]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (rule, pointers) in rules.iter().map(|r| &r.json_pointers).enumerate() {
        for (index, message) in pointers
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some((i, ignore::fault(p)?)))
        {
            problems.push(Problem {
                reason: "InvalidIgnore",
                object: String::new(),
                field: Some(format!("spec.drift.ignore[{rule}].jsonPointers[{index}]")),
                location: None,
                message,
            });
        }
    }
    problems
}

/// The served kinds and schemas plus those of the CRDs in the set itself.
fn with_own_crds<'a>(
    raw: &[RawObject],
    context: &Context<'a>,
) -> (std::borrow::Cow<'a, Catalog>, std::borrow::Cow<'a, SchemaSet>) {
    use std::borrow::Cow;
    let (mut catalog, mut schemas) = (Cow::Borrowed(context.catalog), Cow::Borrowed(context.schemas));
    for crd in raw
        .iter()
        .map(|o| &o.value)
        .filter(|v| v["kind"] == "CustomResourceDefinition")
    {
        catalog.to_mut().insert_crd(crd);
        schemas.to_mut().add_crd(crd);
    }
    (catalog, schemas)
}

fn is_served(object: &RawObject, catalog: &Catalog) -> bool {
    let text = |pointer: &str| object.value.pointer(pointer).and_then(Value::as_str);
    let (group, _) = split_api_version(text("/apiVersion").unwrap_or_default());
    !catalog
        .versions(group, text("/kind").unwrap_or_default())
        .is_empty()
}

/// Finds out which object a document means, or says why that cannot be told.
fn identify(
    object: &RawObject,
    catalog: &Catalog,
    default_namespace: &str,
    problems: &mut Vec<Problem>,
) -> Option<ObjectId> {
    let value = &object.value;
    let mut check = Check {
        object,
        name: describe(value),
        problems,
    };
    if !value.is_object() {
        check.problem(
            "NotAnObject",
            "",
            "is not an object; a manifest is a mapping with apiVersion, kind and metadata".to_owned(),
        );
        return None;
    }
    let api_version = check.required_text("/apiVersion");
    let kind = check.required_text("/kind");
    if value["metadata"].get("generateName").is_some() && value["metadata"].get("name").is_none() {
        let message = "generateName makes a new object at every apply; give the object a fixed metadata.name"
            .to_owned();
        check.problem("GenerateName", "/metadata/generateName", message);
        return None;
    }
    let name = check.required_text("/metadata/name");
    let (api_version, kind, name) = (api_version?, kind?, name?);
    let (group, version) = split_api_version(&api_version);
    let Some(info) = catalog.get(&Gvk::new(group, version, &kind)) else {
        check.problem(
            "UnknownKind",
            "/kind",
            unknown_kind(catalog, group, &api_version, &kind),
        );
        return None;
    };
    let namespace = value
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .filter(|n| !n.is_empty());
    if !info.namespaced && namespace.is_some() {
        let message = format!("{kind} is cluster-scoped and has no namespace; remove the field");
        check.problem("WrongScope", "/metadata/namespace", message);
        return None;
    }
    let namespace = if info.namespaced {
        namespace.unwrap_or(default_namespace)
    } else {
        ""
    };
    if !is_path_segment(&name) || !(namespace.is_empty() || is_dns_label(namespace)) {
        let message =
            format!("`{namespace}/{name}` is not a valid name; use lower-case letters, digits, `-` and `.`");
        check.problem("InvalidName", "/metadata/name", message);
        return None;
    }
    Some(ObjectId::new(group, &kind, namespace, &name))
}

fn unknown_kind(catalog: &Catalog, group: &str, api_version: &str, kind: &str) -> String {
    let served = catalog.versions(group, kind);
    let elsewhere = catalog.groups_of(kind);
    if !served.is_empty() {
        return format!(
            "{kind} is not served at {api_version}, but at {}; change apiVersion",
            served.join(", ")
        );
    }
    if !elsewhere.is_empty() {
        return format!(
            "{kind} is not in {api_version}, but in {}; change apiVersion",
            elsewhere.join(", ")
        );
    }
    format!(
        "the cluster does not know {kind} in {api_version}; install its CustomResourceDefinition or add it to this commit"
    )
}

fn describe(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or("object");
    let metadata = &value["metadata"];
    match (metadata["namespace"].as_str(), metadata["name"].as_str()) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (None, Some(name)) => format!("{kind} {name}"),
        _ => kind.to_owned(),
    }
}

/// Names become URL segments: RBAC names may hold `:`, nothing may hold `/` or `%`, `.` and `..` are refused.
fn is_path_segment(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_' | b'@' | b'*');
    !name.is_empty() && name.len() <= 253 && name != "." && name != ".." && name.bytes().all(allowed)
}

fn is_dns_label(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 63
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Null, empty, or made of nothing else: what generators leave behind (`creationTimestamp: null`, `status: {}`).
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(map) => map.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

const APPLY: &str = "/metadata/annotations/tidegate.io~1apply";

const SERVER_SET: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// Annotations that mean something, but not in this version: applying the object as if they were absent would be a guess.
const NOT_YET: [&str; 1] = ["tidegate.io/substitute"];

struct Check<'a> {
    object: &'a RawObject,
    name: String,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, reason: &'static str, pointer: &str, message: String) {
        self.problems.push(Problem {
            reason,
            object: self.name.clone(),
            field: (!pointer.is_empty()).then(|| field_path(pointer)),
            location: Some(self.object.locate(pointer)),
            message,
        });
    }

    fn required_text(&mut self, pointer: &str) -> Option<String> {
        match self.object.value.pointer(pointer) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::Null) | None => {
                self.problem("MissingField", pointer, "is required and missing".to_owned());
                None
            }
            Some(_) => {
                let message =
                    "must be a non-empty string; quote it if it looks like a number or a boolean".to_owned();
                self.problem("InvalidField", pointer, message);
                None
            }
        }
    }

    fn metadata(&mut self) {
        let value = &self.object.value;
        for field in SERVER_SET {
            if value["metadata"].get(field).is_some_and(|v| !is_blank(v)) {
                let message = "is set by the API server and does not belong in git; remove it".to_owned();
                self.problem("ServerSetField", &format!("/metadata/{field}"), message);
            }
        }
        if value.get("status").is_some_and(|v| !is_blank(v)) {
            let message = "is written by the cluster and does not belong in git; remove it".to_owned();
            self.problem("StatusInGit", "/status", message);
        }
        for key in ["annotations", "labels"] {
            self.string_map(key);
        }
        let Some(annotations) = value.pointer("/metadata/annotations").and_then(Value::as_object) else {
            return;
        };
        let reserved = |key: &str| {
            [
                names::ANNOTATION_OWNER,
                names::ANNOTATION_HOLD,
                names::ANNOTATION_RELEASE,
            ]
            .contains(&key)
        };
        for key in annotations.keys().filter(|k| reserved(k)) {
            let message = "belongs on live objects only and is not read from git; remove it".to_owned();
            self.problem(
                "ReservedAnnotation",
                &format!("/metadata/annotations/{}", key.replace('/', "~1")),
                message,
            );
        }
        for key in annotations.keys().filter(|k| NOT_YET.contains(&k.as_str())) {
            let message = "is not supported by this version of Tidegate; remove it, or the object would be applied as if it were absent".to_owned();
            self.problem(
                "UnsupportedAnnotation",
                &format!("/metadata/annotations/{}", key.replace('/', "~1")),
                message,
            );
        }
    }

    fn string_map(&mut self, key: &str) {
        let pointer = format!("/metadata/{key}");
        match self.object.value.pointer(&pointer) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => {
                for (name, _) in map.iter().filter(|(_, v)| !v.is_string() && !v.is_null()) {
                    let message = "must be a string; quote the value".to_owned();
                    self.problem(
                        "InvalidField",
                        &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
                        message,
                    );
                }
            }
            Some(_) => self.problem(
                "InvalidField",
                &pointer,
                "must be a mapping of strings".to_owned(),
            ),
        }
    }

    fn prune_rule(&mut self) -> PruneRule {
        let pointer = "/metadata/annotations/tidegate.io~1prune";
        let Some(text) = self.object.value.pointer(pointer).and_then(Value::as_str) else {
            return PruneRule::Default;
        };
        PruneRule::parse(text).unwrap_or_else(|| {
            self.problem(
                "InvalidField",
                pointer,
                format!("must be Enabled or Disabled, not `{text}`"),
            );
            PruneRule::Disabled
        })
    }

    fn apply_rule(&mut self) -> ApplyRule {
        let Some(text) = self.object.value.pointer(APPLY).and_then(Value::as_str) else {
            return ApplyRule::default();
        };
        ApplyRule::parse(text).unwrap_or_else(|| {
            let message = format!("must be IfNotPresent, Merge or Ignore, not `{text}`");
            self.problem("InvalidField", APPLY, message);
            ApplyRule::default()
        })
    }

    /// Whether the object may be made anew; `default` is the Application's word.
    fn force(&mut self, default: bool) -> bool {
        let pointer = "/metadata/annotations/tidegate.io~1force";
        match self.object.value.pointer(pointer).and_then(Value::as_str) {
            None => default,
            Some("Enabled") => true,
            Some("Disabled") => false,
            Some(text) => {
                let message = format!("must be Enabled or Disabled, not `{text}`");
                self.problem("InvalidField", pointer, message);
                false
            }
        }
    }

    fn wave(&mut self) -> i32 {
        let pointer = "/metadata/annotations/tidegate.io~1wave";
        let Some(text) = self.object.value.pointer(pointer).and_then(Value::as_str) else {
            return 0;
        };
        parse_wave(text).unwrap_or_else(|| {
            let (least, most) = (WAVES.start(), WAVES.end());
            let message = format!("must be a whole number from {least} to {most} in quotes, not `{text}`");
            self.problem("InvalidField", pointer, message);
            0
        })
    }

    fn hook(&mut self, id: &ObjectId, before: usize) -> Option<(Point, DeletePolicy)> {
        let hook = hook::read(id, &self.object.value).unwrap_or_else(|faults| {
            for (pointer, message) in faults {
                self.problem("InvalidHook", &pointer, message);
            }
            None
        })?;
        if before >= MAX_HOOKS {
            let message = format!("an Application has at most {MAX_HOOKS} hooks; do more in one Job");
            self.problem("InvalidHook", "", message);
        }
        Some(hook)
    }

    fn size(&mut self) {
        let size = serde_json::to_vec(&self.object.value).map_or(usize::MAX, |bytes| bytes.len());
        if size > MAX_OBJECT_BYTES {
            let message = format!(
                "{size} bytes; the API server takes at most about {MAX_OBJECT_BYTES}, split the object"
            );
            self.problem("ObjectTooLarge", "", message);
        }
    }

    fn schema(&mut self, schemas: &SchemaSet) {
        let value = &self.object.value;
        let (Some(api_version), Some(kind)) = (value["apiVersion"].as_str(), value["kind"].as_str()) else {
            return;
        };
        for violation in schemas.validate(api_version, kind, value) {
            self.problem("InvalidForSchema", &violation.pointer, violation.message);
        }
    }
}

/// Brings an object into the form that is applied: namespace filled in, blanks of generators dropped, owner and
/// label added.
fn finish(object: RawObject, id: ObjectId, context: &Context<'_>) -> DesiredObject {
    let RawObject {
        value: mut body,
        location,
        ..
    } = object;
    let (_, version) = split_api_version(body["apiVersion"].as_str().unwrap_or_default());
    let version = version.into();
    if let Some(map) = body.as_object_mut() {
        map.remove("status");
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            for field in SERVER_SET {
                metadata.remove(field);
            }
            if !id.namespace.is_empty() {
                metadata.insert("namespace".to_owned(), Value::from(&*id.namespace));
            }
            put(
                metadata,
                "annotations",
                names::ANNOTATION_OWNER,
                context.owner.annotation(),
            );
            put(
                metadata,
                "labels",
                names::LABEL_MANAGED_BY,
                context.owner.installation.clone(),
            );
        }
    }
    DesiredObject {
        id,
        version,
        location,
        body,
        // Taken when it is known what is ignored, for which the whole set is needed.
        digest: String::new(),
        ignored: Vec::new(),
        prune: PruneRule::Default,
        wave: 0,
        force: false,
        apply: ApplyRule::Always,
    }
}

fn put(metadata: &mut Map<String, Value>, field: &str, key: &str, value: String) {
    let map = metadata.entry(field).or_insert_with(|| json!({}));
    if map.is_null() {
        *map = json!({});
    }
    if let Some(map) = map.as_object_mut() {
        map.insert(key.to_owned(), Value::String(value));
    }
}
