//! Fields that others may set: `spec.drift.ignore`, and `spec.replicas` of what an autoscaler scales, whether it is in
//! the same set or made elsewhere (semantics.md, Drift 6).
//!
//! An ignored field is never dropped while we are its only owner: the API server would remove it, and dropping
//! `replicas` scales production to 1. So the live value is sent until another manager owns the field, and then nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidegate_api::application::DriftIgnore;
use tidegate_api::names;

use crate::desired::DesiredObject;
use crate::managed::{Fields, entries, is_ours, selects};
use crate::object::{ObjectId, split_api_version};
use crate::pointer::{self, Segments, by_name, find, position};

/// What an autoscaler writes.
pub(crate) const REPLICAS: &str = "/spec/replicas";
/// What makes an object the one it is, and ours: never ignored, nor what contains it.
const IDENTITY: [&[&str]; 8] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "uid"],
    &["metadata", "managedFields"],
    &["metadata", "annotations", names::ANNOTATION_OWNER],
    &["metadata", "labels", names::LABEL_MANAGED_BY],
];

/// What is wrong with a pointer, and what to do.
pub fn fault(text: &str) -> Option<String> {
    let Some(segments) = pointer::parse(text) else {
        return Some(format!(
            "`{text}` is not a JSON pointer; write it like /spec/replicas, with ~1 for a slash in a key and ~0 for a tilde"
        ));
    };
    let contains = |path: &&&[&str]| segments.iter().zip(path.iter()).all(|(a, b)| a == b);
    let within = IDENTITY.iter().find(contains)?;
    Some(format!(
        "`{text}` would ignore {}, by which Tidegate knows the object; name a field beside it",
        within.join(".")
    ))
}

/// Ignored pointers of each object: items by name where they have one, sorted. Faulty pointers are left out.
pub fn ignored(object: &DesiredObject, rules: &[DriftIgnore], scaled: &Scaled) -> Vec<String> {
    let of_rules = rules
        .iter()
        .filter(|rule| targets(rule, &object.id))
        .flat_map(|rule| &rule.json_pointers);
    let mut pointers: Vec<String> = of_rules
        .filter(|text| fault(text).is_none())
        .filter_map(|text| pointer::parse(text))
        .map(|segments| pointer::write(&by_name(&segments, &object.body)))
        .collect();
    if scaled.contains_key(&object.id) {
        pointers.push(REPLICAS.to_owned());
    }
    pointers.sort_unstable();
    pointers.dedup();
    pointers
}

fn targets(rule: &DriftIgnore, id: &ObjectId) -> bool {
    let same = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|wanted| wanted == have);
    let target = &rule.target;
    same(&target.group, &id.group)
        && same(&target.kind, &id.kind)
        && same(&target.namespace, &id.namespace)
        && same(&target.name, &id.name)
}

/// Objects whose replicas are not git's to say, each with its autoscaler.
pub type Scaled = BTreeMap<ObjectId, ObjectId>;

/// Objects whose replicas an autoscaler of the same set sets.
pub fn autoscaled(objects: &[DesiredObject]) -> Scaled {
    objects
        .iter()
        .filter_map(|o| Some((scale_target(&o.id, &o.body)?, o.id.clone())))
        .collect()
}

/// The object whose replicas an autoscaler sets; `None` for what is none, or names no target.
pub fn scale_target(scaler: &ObjectId, body: &Value) -> Option<ObjectId> {
    // KEDA's reference means a Deployment where it says nothing else.
    let (api_version, kind) = match (&*scaler.group, &*scaler.kind) {
        ("autoscaling", "HorizontalPodAutoscaler") => ("", ""),
        ("keda.sh", "ScaledObject") => ("apps/v1", "Deployment"),
        _ => return None,
    };
    let target = body.pointer("/spec/scaleTargetRef")?;
    let text = |field: &str, default| {
        target[field]
            .as_str()
            .filter(|s| !s.is_empty())
            .unwrap_or(default)
    };
    let (group, _) = split_api_version(text("apiVersion", api_version));
    let (kind, name) = (text("kind", kind), target["name"].as_str()?);
    Some(ObjectId::new(group, kind, &scaler.namespace, name))
}

/// What to apply over this live object: ignored fields have the live value where nobody else owns them, and are left
/// out where somebody does or where they are gone. In an item of a list that is not live they have git's value, as in
/// an object that is not there yet: nobody can have set them.
pub fn body_over(body: &Value, ignored: &[String], live: &Value) -> Value {
    let mut body = body.clone();
    for segments in ignored.iter().filter_map(|text| pointer::parse(text)) {
        match kept(&body, &segments, live) {
            Kept::Live(value) => set(&mut body, &segments, value),
            Kept::Nothing => remove(&mut body, &segments),
            Kept::Git => {}
        }
    }
    body
}

/// What is sent of an ignored field.
enum Kept {
    Live(Value),
    Nothing,
    Git,
}

/// What an owner has of a value.
#[derive(Clone, Copy)]
enum Own<'a> {
    Nothing,
    /// It as a whole: a leaf, or below one.
    Whole,
    /// Some of what is in it.
    Part(&'a Fields),
}

impl<'a> Own<'a> {
    fn of(entry: &'a Value) -> Self {
        entry["fieldsV1"].as_object().map_or(Self::Nothing, Self::Part)
    }

    fn step(self, element: &str) -> Self {
        match self {
            Self::Part(fields) => Self::node(fields.get(element)),
            whole_or_nothing => whole_or_nothing,
        }
    }

    fn item(self, item: &Value) -> Self {
        match self {
            Self::Part(fields) => {
                let found = fields.iter().find(|(element, _)| selects(element, item));
                Self::node(found.map(|(_, node)| node))
            }
            whole_or_nothing => whole_or_nothing,
        }
    }

    fn node(node: Option<&'a Value>) -> Self {
        match node.and_then(Value::as_object) {
            None => Self::Nothing,
            Some(children) if children.is_empty() => Self::Whole,
            Some(children) => Self::Part(children),
        }
    }

    /// Down by a segment of a pointer. `parent` and `child` are what is live there.
    fn down(self, segment: &str, parent: &Value, child: &Value) -> Self {
        match parent {
            Value::Array(_) => self.item(child),
            _ => self.step(&format!("f:{segment}")),
        }
    }

    fn is_nothing(self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Whose a live value is, and whether git sets it.
#[derive(Clone)]
struct Claims<'a> {
    git: Option<&'a Value>,
    ours: Own<'a>,
    others: Vec<Own<'a>>,
}

impl Claims<'_> {
    fn map(&self, git: impl Fn(&Value) -> Option<&Value>, own: impl Fn(Own<'_>) -> Own<'_>) -> Claims<'_> {
        Claims {
            git: self.git.and_then(git),
            ours: own(self.ours),
            others: self.others.iter().map(|other| own(*other)).collect(),
        }
    }

    fn wanted(&self) -> bool {
        self.git.is_some() || !self.ours.is_nothing()
    }

    /// The part of a live value that has to be sent, so that it is not lost.
    fn keep(&self, live: &Value) -> Option<Value> {
        if self.others.iter().any(|other| matches!(other, Own::Whole)) || !self.wanted() {
            return None;
        }
        match live {
            Value::Object(map) => {
                let kept: Map<String, Value> = map
                    .iter()
                    .filter_map(|(key, value)| {
                        let element = format!("f:{key}");
                        let below = self.map(|git| git.get(key), |own| own.step(&element));
                        Some((key.clone(), below.keep(value)?))
                    })
                    .collect();
                (!kept.is_empty() || map.is_empty()).then_some(Value::Object(kept))
            }
            Value::Array(_) if self.others.iter().all(|other| other.is_nothing()) => Some(live.clone()),
            Value::Array(items) => {
                let kept: Vec<Value> = items.iter().filter_map(|item| self.keep_item(item)).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            scalar => Some(scalar.clone()),
        }
    }

    fn keep_item(&self, item: &Value) -> Option<Value> {
        let owners = std::iter::once(&self.ours).chain(&self.others);
        let mut elements = owners.filter_map(|own| match own {
            Own::Part(fields) => fields.keys().find(|element| selects(element, item)),
            _ => None,
        });
        let element = elements.next();
        let in_git = |git: &Value| -> Option<usize> {
            git.as_array()?.iter().position(|candidate| match element {
                Some(element) => selects(element, candidate),
                None => candidate == item,
            })
        };
        let below = self.map(|git| git.get(in_git(git)?), |own| own.item(item));
        let mut kept = below.keep(item)?;
        let keys = element.and_then(|element| element.strip_prefix("k:"));
        let keys = keys.and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok());
        if let (Some(kept), Some(keys)) = (kept.as_object_mut(), keys) {
            kept.extend(keys);
        }
        Some(kept)
    }
}

fn kept(body: &Value, segments: &Segments, live: &Value) -> Kept {
    let mut claims = Claims {
        git: Some(body),
        ours: entries(live).find(|e| is_ours(e)).map_or(Own::Nothing, Own::of),
        others: entries(live).filter(|e| !is_ours(e)).map(Own::of).collect(),
    };
    let mut here = live;
    for (at, segment) in segments.iter().enumerate() {
        let Some(child) = find(here, segment) else {
            let new_item = claims
                .git
                .is_some_and(|git| leads_through_item(git, &segments[at..]));
            return if new_item { Kept::Git } else { Kept::Nothing };
        };
        claims = Claims {
            git: claims.git.and_then(|git| find(git, segment)),
            ours: claims.ours.down(segment, here, child),
            others: claims
                .others
                .iter()
                .map(|other| other.down(segment, here, child))
                .collect(),
        };
        here = child;
    }
    claims.keep(here).map_or(Kept::Nothing, Kept::Live)
}

/// True when segments lead from here into an item of a list.
fn leads_through_item(value: &Value, segments: &[String]) -> bool {
    let Some((first, rest)) = segments.split_first() else {
        return false;
    };
    let child = find(value, first);
    child.is_some_and(|child| value.is_array() || leads_through_item(child, rest))
}

/// Sets a field, with the maps that lead to it. An item that git does not have is not made up.
fn set(body: &mut Value, segments: &[String], value: Value) {
    let Some((first, rest)) = segments.split_first() else {
        *body = value;
        return;
    };
    let child = match body {
        Value::Array(items) => position(items, first).and_then(|index| items.get_mut(index)),
        Value::Object(map) => Some(map.entry(first.clone()).or_insert(Value::Null)),
        _ => None,
    };
    let Some(child) = child else { return };
    if !rest.is_empty() && child.is_null() {
        *child = Value::Object(Map::new());
    }
    set(child, rest, value);
}

/// Removes a field, and the maps and lists that only led to it.
fn remove(body: &mut Value, segments: &[String]) {
    let Some((first, rest)) = segments.split_first() else {
        return;
    };
    match body {
        Value::Object(map) => {
            let Some(child) = map.get_mut(first) else { return };
            if rest.is_empty() || emptied(child, rest) {
                map.remove(first);
            }
        }
        Value::Array(items) => {
            let Some(index) = position(items, first) else {
                return;
            };
            if rest.is_empty() || emptied(&mut items[index], rest) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

/// Removes below, and tells whether that left nothing.
fn emptied(value: &mut Value, segments: &[String]) -> bool {
    let empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let before = empty(value);
    remove(value, segments);
    !before && empty(value)
}
