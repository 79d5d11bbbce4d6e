//! What exactly differs where drift was seen, for people: which field, and whose it is now. Never values.
//!
//! Digests say that an object drifted; the object and its body are read once more to say where. What was found is kept
//! as long as the object stays as it was then.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_api::application::{Drift, DriftMode};

use crate::inventory::{InventorySet, Sealed};
use crate::live::LiveRecord;
use crate::managed::{self, Fields, child, entries, is_ours, keys_match, step, subresource};
use crate::object::ObjectId;
use crate::plan::{Live, added, drifted};
use crate::pointer::{self, Below, Segments};

/// Most objects whose differences are looked up and shown.
pub const MAX_EXPLAINED: usize = 20;

/// One field that is not as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `spec.template.spec.containers[name=web].image`.
    pub field: String,
    /// The field manager that owns it now; `None` when nobody does.
    pub manager: Option<String>,
}

/// How a live object differs from what was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Fields that we had applied were taken from us.
    Changed,
    /// People own something beside our fields.
    Added,
}

/// How a live object differs, where `spec.drift` wants it to be known.
pub fn sort(sealed: &Sealed, live: &LiveRecord, drift: &Drift) -> Option<Sort> {
    if drifted(sealed, live) {
        return (drift.mode != DriftMode::Ignore).then_some(Sort::Changed);
    }
    (drift.additions != DriftMode::Ignore && added(sealed, live)).then_some(Sort::Added)
}

/// Differences of the objects of one Application, as they were looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    by_object: BTreeMap<ObjectId, (String, Vec<Difference>)>,
}

impl Explained {
    /// Drifted objects whose differences are not known as they are now, with what to look for; forgets the others. At
    /// most [`MAX_EXPLAINED`] are known at a time.
    pub fn unknown(&mut self, set: &InventorySet, live: &Live, drift: &Drift) -> Vec<(ObjectId, Sort)> {
        let mut differing = Vec::new();
        for (id, entry) in set.kept() {
            let found = entry.sealed.as_ref().zip(live.get(id));
            let sort = found.and_then(|(sealed, live)| sort(sealed, live, drift));
            if let Some(sort) = sort.filter(|_| differing.len() < MAX_EXPLAINED) {
                differing.push((id.clone(), sort));
            }
        }
        self.by_object.retain(|id, (mark, _)| {
            let still = differing.iter().any(|(differing, _)| differing == id);
            still && live.get(id).is_some_and(|live| mark_of(live) == *mark)
        });
        differing.retain(|(id, _)| !self.by_object.contains_key(id));
        differing
    }

    /// Keeps what was found, for as long as the object stays as this record has it.
    pub fn put(&mut self, id: ObjectId, live: &LiveRecord, found: Vec<Difference>) {
        self.by_object.insert(id, (mark_of(live), found));
    }

    /// What is known of an object as it is now.
    pub fn of(&self, id: &ObjectId, live: &LiveRecord) -> &[Difference] {
        let known = self.by_object.get(id).filter(|(mark, _)| *mark == mark_of(live));
        known.map(|(_, found)| found.as_slice()).unwrap_or_default()
    }
}

fn mark_of(live: &LiveRecord) -> String {
    let ours = live.ours.as_deref().unwrap_or_default();
    format!("{}/{ours}/{}", live.uid, live.foreign.join(","))
}

/// Fields of a desired body that we no longer own on the live object, with their owners now. At most `limit`. The
/// server writes many values in another way than git does, so that a value says nothing; who owns it does.
pub fn lost(desired: &Value, live: &Value, ignored: &[String], limit: usize) -> Vec<Difference> {
    let ignored: Vec<Segments> = ignored.iter().filter_map(|text| pointer::parse(text)).collect();
    let others = entries(live).filter(|e| !is_ours(e) && subresource(e) != Some("status"));
    let others = others.filter_map(|e| Some((e["manager"].as_str()?, e["fieldsV1"].as_object()?)));
    let mut search = Search {
        found: Vec::new(),
        path: Vec::new(),
        limit,
    };
    let place = Place {
        live: Some(live),
        ours: managed::our_fields(live),
        others: others.collect(),
    };
    for (key, value) in desired.as_object().into_iter().flatten() {
        match (key.as_str(), value.as_object()) {
            ("apiVersion" | "kind", _) => {}
            // Name and namespace are nobody's.
            ("metadata", Some(metadata)) => {
                for part in ["labels", "annotations"] {
                    if let Some(value) = metadata.get(part) {
                        search.enter(
                            "f:metadata",
                            &Below::root(&ignored),
                            &place,
                            |search, below, place| {
                                search.visit(&format!("f:{part}"), value, below, place);
                            },
                        );
                    }
                }
            }
            _ => search.visit(&format!("f:{key}"), value, &Below::root(&ignored), &place),
        }
    }
    search.found
}

/// What is live at a place, and what of it is whose.
struct Place<'a> {
    live: Option<&'a Value>,
    ours: Option<&'a Fields>,
    others: Vec<(&'a str, &'a Fields)>,
}

impl<'a> Place<'a> {
    fn below(&self, element: &str) -> Place<'a> {
        let others = self.others.iter();
        Place {
            live: self.live.and_then(|live| step(live, element)),
            ours: self.ours.and_then(|ours| child(ours, element)),
            others: others
                .filter_map(|(manager, fields)| Some((*manager, child(fields, element)?)))
                .collect(),
        }
    }

    /// The element of fieldsV1 that means this item of a list.
    fn element_of(&self, item: &Value) -> Option<String> {
        let owners = self
            .ours
            .into_iter()
            .chain(self.others.iter().map(|(_, fields)| *fields));
        let mut elements = owners.flat_map(Fields::keys);
        elements.find(|element| is_item(element, item)).cloned()
    }
}

/// True when a `k:` or `v:` element means an item as git has it: keys that git leaves to their defaults are not there.
fn is_item(element: &str, item: &Value) -> bool {
    let Some(keys) = element.strip_prefix("k:") else {
        return managed::selects(element, item);
    };
    let keys: Fields = serde_json::from_str(keys).unwrap_or_default();
    let given = keys.iter().filter(|(key, _)| item.get(key).is_some());
    let given: Fields = given.map(|(key, value)| (key.clone(), value.clone())).collect();
    keys_match(&Value::Object(given).to_string(), item)
}

struct Search {
    found: Vec<Difference>,
    path: Vec<String>,
    limit: usize,
}

impl Search {
    fn enter(
        &mut self,
        element: &str,
        ignored: &Below<'_>,
        parent: &Place<'_>,
        then: impl FnOnce(&mut Self, &Below<'_>, &Place<'_>),
    ) {
        let Some(below) = ignored.step(element, parent.live) else {
            return;
        };
        self.path.push(element.to_owned());
        then(self, &below, &parent.below(element));
        self.path.pop();
    }

    /// `parent` is what has the element.
    fn visit(&mut self, element: &str, desired: &Value, ignored: &Below<'_>, parent: &Place<'_>) {
        if self.found.len() >= self.limit {
            return;
        }
        let owned = parent.ours.is_some_and(|ours| ours.contains_key(element));
        self.enter(element, ignored, parent, |search, below, place| {
            if owned && place.ours.is_none_or(Fields::is_empty) {
                return;
            }
            let whole_item = place.live.is_none() && element.starts_with("k:");
            match (desired, place.live) {
                (Value::Object(map), Some(Value::Object(_)) | None) if !map.is_empty() && !whole_item => {
                    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                        search.visit(&format!("f:{key}"), value, below, place);
                    }
                }
                (Value::Array(items), Some(Value::Array(_))) if !items.is_empty() => {
                    search.items(items, below, place);
                }
                _ if !owned => search.tell(place),
                _ => {}
            }
        });
    }

    fn items(&mut self, items: &[Value], ignored: &Below<'_>, place: &Place<'_>) {
        let keyed = |fields: &Fields| {
            fields
                .keys()
                .any(|key| key.starts_with("k:") || key.starts_with("v:"))
        };
        if !place.ours.is_some_and(keyed) && !place.others.iter().any(|(_, fields)| keyed(fields)) {
            // One value as a whole, which is somebody else's now.
            return self.tell(place);
        }
        for item in items {
            match (place.element_of(item), item.get("name")) {
                (Some(element), _) => self.visit(&element, item, ignored, place),
                (None, Some(name)) => {
                    let element = format!("k:{}", serde_json::json!({ "name": name }));
                    self.visit(&element, item, ignored, place);
                }
                (None, None) => self.tell(place),
            }
        }
    }

    fn tell(&mut self, place: &Place<'_>) {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let field = managed::readable(&path);
        if self.found.len() < self.limit && self.found.iter().all(|known| known.field != field) {
            let manager = place.others.first().map(|(manager, _)| (*manager).to_owned());
            self.found.push(Difference { field, manager });
        }
    }
}
