//! What people add beside our fields: a sidecar, `privileged`, one more key of a ConfigMap (semantics.md, Drift 1 and 4).
//!
//! An addition leaves our set of paths and its values as they were, and no apply removes it. So the leaves that
//! people's managers own and we do not are kept as one short digest each, of path and value. What is there in the
//! answer to the apply that seals the object is accepted; what comes after it is an addition. It is taken away together
//! with its paths in those entries: where that is refused, nothing has changed.

use serde_json::Value;

use crate::differences::Difference;
use crate::digest::DigestKey;
use crate::managed::{self, Fields, child, entries, our_fields, step, subresource};
use crate::pointer::{self, Below, Segments};
use crate::strip::{merge, strip};

/// Beginnings of the names of managers that stand for a person: kubectl in all its forms, what it owned before
/// server-side apply knew it, and browsers, whose `User-Agent` becomes the manager of what a dashboard writes.
pub const PERSONS_MANAGERS: [&str; 6] = [
    "kubectl",
    "before-first-apply",
    "Mozilla",
    "Opera",
    "Chrome",
    "Safari",
];
/// Written by people on purpose, without any wish to change what runs.
const NEVER_COUNTED: [&str; 2] = ["f:kubectl.kubernetes.io/restartedAt", "f:tidegate.io/hold"];
/// Whoever puts a finalizer on an object takes it away again: without it, what it protects would be lost.
const FINALIZERS: [&str; 2] = ["f:metadata", "f:finalizers"];
/// Most digests kept of one object; more are folded into one over all of them.
pub const MAX_KEPT: usize = 64;

/// True for a field manager that stands for a person.
pub fn is_persons_manager(manager: &str) -> bool {
    PERSONS_MANAGERS.iter().any(|start| manager.starts_with(start))
}

/// Digests of the leaves that people's whole-object entries own and we do not, sorted. A value counts where it is a
/// scalar or a list; a map counts as present, since it may gain children of others.
pub fn foreign(object: &Value, key: &DigestKey, ignored: &[String]) -> Vec<String> {
    let ours = our_fields(object);
    let ignored = segments(ignored);
    let below = Below::root(&ignored);
    let mut found = Vec::new();
    for fields in entries(object)
        .filter(|e| is_persons(e))
        .filter_map(|e| e["fieldsV1"].as_object())
    {
        let mut path = Vec::new();
        leaves(
            fields,
            ours,
            Some(object),
            &below,
            &mut path,
            &mut |path, value| {
                found.push(leaf_digest(path, value, key));
            },
        );
    }
    found.sort_unstable();
    found.dedup();
    if found.len() <= MAX_KEPT {
        return found;
    }
    let mut all = key.start();
    for digest in &found {
        all.part(digest.as_bytes());
    }
    vec![format!("{FOLDED}{}", all.finish())]
}

/// Begins the one digest that stands for more than [`MAX_KEPT`].
const FOLDED: &str = "+";

/// True when single leaves can no longer be told from it.
fn is_folded(digests: &[String]) -> bool {
    digests.first().is_some_and(|first| first.starts_with(FOLDED))
}

/// True when there is something that was not accepted. Where too much was accepted to tell its leaves, nothing is: what
/// cannot be told from an addition must not be taken away.
pub fn any_added(foreign: &[String], accepted: &[String]) -> bool {
    if is_folded(accepted) {
        return false;
    }
    foreign.iter().any(|digest| !accepted.contains(digest))
}

/// What stays accepted after an apply: what was accepted before and is still there. An apply that puts back or
/// changes something else does not accept additions.
pub fn still_accepted(foreign: &[String], accepted: Option<&[String]>) -> Vec<String> {
    match accepted {
        Some(accepted) if is_folded(accepted) => return foreign.to_vec(),
        Some(accepted) if is_folded(foreign) => return accepted.to_vec(),
        _ => {}
    }
    let known = |digest: &&String| accepted.is_none_or(|accepted| accepted.contains(digest));
    foreign.iter().filter(known).cloned().collect()
}

/// The object without its additions, and without them in people's entries. `None` when none can be taken away.
/// An item of a keyed list goes as a whole: half of a container would be refused.
pub fn without(object: &Value, key: &DigestKey, ignored: &[String], accepted: &[String]) -> Option<Value> {
    let folded = foreign(object, key, ignored);
    if !any_added(&folded, accepted) {
        return None;
    }
    let ignored = segments(ignored);
    let below = Below::root(&ignored);
    let ours = our_fields(object).cloned().unwrap_or_default();
    let (mut managed, mut all) = (Vec::new(), Fields::new());
    for entry in entries(object) {
        let Some(fields) = entry["fieldsV1"].as_object().filter(|_| is_persons(entry)) else {
            managed.push(entry.clone());
            continue;
        };
        let mut cut = Cut {
            key,
            accepted,
            path: Vec::new(),
        };
        let (taken, left) = cut.split(fields, Some(&ours), Some(object), &below);
        merge(&mut all, taken);
        if !left.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = Value::Object(left);
            managed.push(entry);
        }
    }
    (!all.is_empty()).then(|| strip(object, managed, &all))
}

fn segments(pointers: &[String]) -> Vec<Segments> {
    pointers.iter().filter_map(|text| pointer::parse(text)).collect()
}

fn is_persons(entry: &Value) -> bool {
    subresource(entry).is_none() && entry["manager"].as_str().is_some_and(is_persons_manager)
}

/// Calls `found` for each leaf that is not ours. `.` elements never count: what is in the container does.
fn leaves<'a>(
    fields: &'a Fields,
    ours: Option<&Fields>,
    live: Option<&Value>,
    ignored: &Below<'_>,
    path: &mut Vec<&'a str>,
    found: &mut impl FnMut(&[&str], Option<&Value>),
) {
    for (element, node) in fields {
        let finalizers = path[..] == FINALIZERS[..1] && element == FINALIZERS[1];
        if element == "." || finalizers || NEVER_COUNTED.contains(&element.as_str()) {
            continue;
        }
        let Some(below) = ignored.step(element, live) else {
            continue;
        };
        let child_live = live.and_then(|live| step(live, element));
        path.push(element);
        match node.as_object().filter(|children| !children.is_empty()) {
            Some(children) => {
                leaves(
                    children,
                    ours.and_then(|o| child(o, element)),
                    child_live,
                    &below,
                    path,
                    found,
                );
            }
            None if ours.is_some_and(|o| o.contains_key(element)) => {}
            None => found(path, child_live),
        }
        path.pop();
    }
}

fn leaf_digest(path: &[&str], value: Option<&Value>, key: &DigestKey) -> String {
    let mut digester = key.start();
    for element in path {
        digester.part(element.as_bytes());
    }
    match value {
        Some(Value::Object(_)) | None => digester.part(b"present"),
        Some(value) => digester.value(value),
    };
    let mut digest = digester.finish();
    digest.truncate(16);
    digest
}

/// Cuts a person's entry in two: what is taken from it, and what it keeps.
struct Cut<'a> {
    key: &'a DigestKey,
    accepted: &'a [String],
    path: Vec<&'a str>,
}

impl<'a> Cut<'a> {
    fn split(
        &mut self,
        fields: &'a Fields,
        ours: Option<&Fields>,
        parent: Option<&Value>,
        ignored: &Below<'_>,
    ) -> (Fields, Fields) {
        let (mut taken, mut left) = (Fields::new(), Fields::new());
        for (element, node) in fields.iter().filter(|(element, _)| *element != ".") {
            let Some(below) = ignored.step(element, parent) else {
                left.insert(element.clone(), node.clone());
                continue;
            };
            let live = parent.and_then(|parent| step(parent, element));
            let ours_here = ours.and_then(|o| child(o, element));
            self.path.push(element);
            let (take, keep) = match node.as_object().filter(|children| !children.is_empty()) {
                // Who owns only some fields of another's item has not added it, and without them it would be refused.
                Some(children)
                    if element.starts_with("k:") && ours_here.is_none() && !children.contains_key(".") =>
                {
                    (None, Some(node.clone()))
                }
                Some(children) if element.starts_with("k:") && ours_here.is_none() => {
                    self.whole(children, node, live, &below)
                }
                Some(children) => {
                    let (take, keep) = self.split(children, ours_here, live, &below);
                    (node_of(take), node_of(keep))
                }
                None if self.is_added(element, ours, live) => (Some(node.clone()), None),
                None => (None, Some(node.clone())),
            };
            self.path.pop();
            taken.extend(take.map(|take| (element.clone(), take)));
            left.extend(keep.map(|keep| (element.clone(), keep)));
        }
        // The container itself goes with the last that is in it.
        if let Some(dot) = fields.get(".") {
            let side = if left.is_empty() { &mut taken } else { &mut left };
            side.insert(".".to_owned(), dot.clone());
        }
        (taken, left)
    }

    fn whole(
        &mut self,
        children: &'a Fields,
        node: &Value,
        live: Option<&Value>,
        ignored: &Below<'_>,
    ) -> (Option<Value>, Option<Value>) {
        let (key, accepted) = (self.key, self.accepted);
        let mut added = false;
        leaves(
            children,
            None,
            live,
            ignored,
            &mut self.path,
            &mut |path, value| {
                added |= !accepted.contains(&leaf_digest(path, value, key));
            },
        );
        let node = Some(node.clone());
        if added { (node, None) } else { (None, node) }
    }

    fn is_added(&self, element: &str, ours: Option<&Fields>, live: Option<&Value>) -> bool {
        !NEVER_COUNTED.contains(&element)
            && !self.path.starts_with(&FINALIZERS)
            && !ours.is_some_and(|o| o.contains_key(element))
            && !self.accepted.contains(&leaf_digest(&self.path, live, self.key))
    }
}

fn node_of(fields: Fields) -> Option<Value> {
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// Additions with their managers, `spec.template.spec.containers[name=debug].image`, at most `limit`. Never values.
pub fn added_fields(
    object: &Value,
    key: &DigestKey,
    ignored: &[String],
    accepted: &[String],
    limit: usize,
) -> Vec<Difference> {
    let ignored = segments(ignored);
    let below = Below::root(&ignored);
    let ours = our_fields(object);
    let mut added = Vec::new();
    for entry in entries(object).filter(|e| is_persons(e)) {
        let Some(fields) = entry["fieldsV1"].as_object() else {
            continue;
        };
        leaves(
            fields,
            ours,
            Some(object),
            &below,
            &mut Vec::new(),
            &mut |path, value| {
                if added.len() < limit && !accepted.contains(&leaf_digest(path, value, key)) {
                    added.push(Difference {
                        field: managed::readable(path),
                        manager: entry["manager"].as_str().map(str::to_owned),
                    });
                }
            },
        );
    }
    added
}
