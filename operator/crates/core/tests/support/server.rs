//! The API server: objects with uid, resource version, finalizers and field ownership, and one stored inventory. It
//! serves exactly the conditional calls of the executor and keeps a ledger of whose each uid is. Whatever a leader
//! does to an object that is not its own becomes a fault.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::application::Adopt;
use tidegate_api::inventory::InventorySpec;
use tidegate_api::names;
use tidegate_core::desired::DesiredObject;
use tidegate_core::inventory::InventorySet;
use tidegate_core::live::reduce;
use tidegate_core::object::ObjectId;
use tidegate_core::plan::Live;

use super::key;

/// Condition of an apply.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// `resourceVersion: "1"`.
    Absent,
    /// This uid.
    Uid(String),
    /// This uid at this resource version.
    Read(String, String),
}

/// One call of a leader.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// The inventory and its resource version.
    ReadInventory,
    /// What the watches know.
    Watch,
    /// Replaces the inventory of that resource version; creates it when there is none.
    WriteInventory(Option<u64>, Vec<InventorySpec>),
    /// One object.
    Get(ObjectId),
    /// Server-side apply, forced.
    Apply(Box<DesiredObject>, Condition),
    /// Delete only this uid at this resource version.
    Delete(ObjectId, String, String),
}

/// Its answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The stored inventory.
    Inventory(Option<u64>, InventorySet),
    /// Reduced live objects.
    Live(Live),
    /// The inventory's new resource version.
    Written(u64),
    /// An object, if it is there.
    Object(Option<Value>),
    /// The object as applied.
    Applied(Value),
    /// Deleted, and gone at once or held by finalizers.
    Deleted,
    /// Nothing there.
    NotFound,
    /// A condition does not hold.
    Conflict,
}

impl Request {
    /// One line of a trace.
    fn line(&self) -> String {
        match self {
            Self::ReadInventory => "read inventory".to_owned(),
            Self::Watch => "watch".to_owned(),
            Self::WriteInventory(rv, specs) => {
                let entries = specs.iter().flat_map(|spec| &spec.entries);
                let entries: Vec<String> = entries.map(|e| format!("{}={:?}", e.id, e.uid)).collect();
                format!("write inventory {rv:?} {}", entries.join(" "))
            }
            Self::Get(id) => format!("get {id}"),
            Self::Apply(object, condition) => format!("apply {} if {condition:?}", object.id),
            Self::Delete(id, uid, rv) => format!("delete {id} if {uid} at {rv}"),
        }
    }
}

impl Answer {
    fn word(&self) -> String {
        match self {
            Self::Inventory(rv, set) => format!("{} entries at {rv:?}", set.entries.len()),
            Self::Live(live) => format!("{} objects", live.len()),
            Self::Written(rv) => format!("written at {rv}"),
            Self::Object(None) | Self::NotFound => "nothing there".to_owned(),
            Self::Object(Some(live)) | Self::Applied(live) => format!("{} at {}", uid(live), version(live)),
            Self::Deleted => "deleted".to_owned(),
            Self::Conflict => "conflict".to_owned(),
        }
    }
}

/// Whose an object is, by its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Made or adopted by the Application under test.
    Ours,
    /// Made by a person.
    Person,
    /// Held by another Application that lives.
    Other,
    /// Left behind by an Application that is gone.
    Gone,
}

/// The server.
pub(crate) struct Server {
    /// By identity.
    pub(crate) objects: BTreeMap<ObjectId, Value>,
    /// Holder of each uid that ever was.
    pub(crate) ledger: BTreeMap<String, Holder>,
    /// What must never happen and did.
    pub(crate) faults: Vec<String>,
    /// Uids that became ours although the stored inventory had no *intended* entry for them at that moment.
    pub(crate) unrecorded: BTreeSet<String>,
    /// Uids of these, and of objects that became ours after another call had found, or left, nothing of ours at their place.
    pub(crate) overtaken: BTreeSet<String>,
    /// Every call and its answer, for messages.
    pub(crate) trace: Vec<String>,
    /// What some commit allowed to prune.
    pub(crate) prunable: BTreeSet<ObjectId>,
    seen_absent: BTreeSet<ObjectId>,
    seen_foreign: BTreeMap<String, u32>,
    stored: Option<(u64, Vec<InventorySpec>)>,
    adopt: Adopt,
    clock: u64,
}

impl Server {
    /// An empty cluster.
    pub(crate) fn new(adopt: Adopt) -> Self {
        Self {
            objects: BTreeMap::new(),
            ledger: BTreeMap::new(),
            faults: Vec::new(),
            unrecorded: BTreeSet::new(),
            overtaken: BTreeSet::new(),
            seen_absent: BTreeSet::new(),
            seen_foreign: BTreeMap::new(),
            trace: Vec::new(),
            prunable: BTreeSet::new(),
            stored: None,
            adopt,
            clock: 1,
        }
    }

    /// The inventory in its stored form, read back.
    pub(crate) fn inventory(&self) -> InventorySet {
        let specs = self.stored.as_ref().map(|(_, specs)| specs.as_slice());
        InventorySet::from_specs(specs.unwrap_or_default()).unwrap().set
    }

    /// What the watches know.
    pub(crate) fn live(&self) -> Live {
        let reduced = |object| reduce(object, &key(), Timestamp::UNIX_EPOCH, &[]);
        self.objects.values().filter_map(reduced).collect()
    }

    /// Holder of what is there.
    pub(crate) fn holder(&self, id: &ObjectId) -> Option<Holder> {
        self.objects.get(id).map(|live| self.ledger[&uid(live)])
    }

    /// Serves a call of a leader.
    pub(crate) fn serve(&mut self, request: Request) -> Answer {
        let asked = request.line();
        let answer = self.answer(request);
        self.trace.push(format!("{asked}: {}", answer.word()));
        answer
    }

    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::ReadInventory => {
                Answer::Inventory(self.stored.as_ref().map(|(rv, _)| *rv), self.inventory())
            }
            Request::Watch => Answer::Live(self.live()),
            Request::WriteInventory(rv, specs) => {
                if self.stored.as_ref().map(|(rv, _)| *rv) != rv {
                    return Answer::Conflict;
                }
                let now = self.tick();
                self.stored = Some((now, specs));
                Answer::Written(now)
            }
            Request::Get(id) => {
                let live = self.objects.get(&id).cloned();
                match &live {
                    None => {
                        self.seen_absent.insert(id);
                    }
                    Some(live) if self.holder(&id) != Some(Holder::Ours) => {
                        *self.seen_foreign.entry(uid(live)).or_default() += 1;
                    }
                    Some(_) => {}
                }
                Answer::Object(live)
            }
            Request::Apply(object, condition) => self.apply(&object, &condition),
            Request::Delete(id, uid, rv) => self.delete(&id, &uid, &rv),
        }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn apply(&mut self, object: &DesiredObject, condition: &Condition) -> Answer {
        let Some(live) = self.objects.get(&object.id) else {
            if !matches!(condition, Condition::Absent) {
                return Answer::Conflict;
            }
            let live = self.put(&object.id, object.body.clone(), Holder::Ours);
            let overtaken = self.seen_absent.remove(&object.id);
            self.becomes_ours(&object.id, uid(&live), overtaken);
            return Answer::Applied(live);
        };
        let holds = match condition {
            Condition::Absent => false,
            Condition::Uid(wanted) => uid(live) == *wanted,
            Condition::Read(wanted, rv) => uid(live) == *wanted && version(live) == *rv,
        };
        if !holds {
            return Answer::Conflict;
        }
        self.take(&object.id);
        let now = self.tick();
        let live = self.objects.get_mut(&object.id).unwrap();
        live["data"] = object.body["data"].clone();
        live["metadata"]["annotations"] = object.body["metadata"]["annotations"].clone();
        live["metadata"]["managedFields"] = json!([our_fields()]);
        live["metadata"]["resourceVersion"] = now.to_string().into();
        Answer::Applied(live.clone())
    }

    /// Only what is ours, or what `spec.adopt` allows to take over.
    pub(crate) fn may_take(&self, holder: Holder) -> bool {
        match holder {
            Holder::Ours => true,
            Holder::Person => self.adopt != Adopt::Never,
            Holder::Gone => self.adopt == Adopt::Always,
            Holder::Other => false,
        }
    }

    fn take(&mut self, id: &ObjectId) {
        let holder = self.holder(id).unwrap();
        let uid = uid(&self.objects[id]);
        if !self.may_take(holder) {
            self.faults.push(format!("overwrote {id} of {holder:?}"));
        } else if holder != Holder::Ours {
            // Read once by the leader that takes it over; any further call saw an object of somebody else.
            let overtaken = self.seen_foreign.get(&uid).is_some_and(|times| *times > 1);
            self.becomes_ours(id, uid, overtaken);
        }
    }

    fn becomes_ours(&mut self, id: &ObjectId, uid: String, overtaken: bool) {
        let entry = self.inventory().entries.remove(id);
        let recorded = entry.is_some_and(|entry| entry.sealed.is_none());
        if !recorded {
            self.unrecorded.insert(uid.clone());
        }
        if overtaken || !recorded {
            self.overtaken.insert(uid.clone());
        }
        self.ledger.insert(uid, Holder::Ours);
    }

    fn delete(&mut self, id: &ObjectId, wanted: &str, rv: &str) -> Answer {
        let Some(live) = self.objects.get(id) else {
            return Answer::NotFound;
        };
        if uid(live) != wanted || version(live) != rv {
            return Answer::Conflict;
        }
        let holder = self.holder(id).unwrap();
        if holder != Holder::Ours {
            self.faults.push(format!("deleted {id} of {holder:?}"));
        }
        if !self.prunable.contains(id) {
            self.faults.push(format!("deleted {id}, which is protected"));
        }
        self.remove(id);
        Answer::Deleted
    }

    pub(super) fn remove(&mut self, id: &ObjectId) {
        let now = self.tick();
        let Some(live) = self.objects.get_mut(id) else {
            return;
        };
        if live["metadata"]["finalizers"].is_array() {
            live["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z".into();
            live["metadata"]["resourceVersion"] = now.to_string().into();
        } else {
            self.seen_absent.insert(id.clone());
            self.objects.remove(id);
        }
    }

    pub(super) fn put(&mut self, id: &ObjectId, mut object: Value, holder: Holder) -> Value {
        let now = self.tick();
        object["metadata"]["uid"] = format!("uid-{now}").into();
        object["metadata"]["resourceVersion"] = now.to_string().into();
        let fields = if holder == Holder::Person {
            their_fields()
        } else {
            our_fields()
        };
        object["metadata"]["managedFields"] = json!([fields]);
        self.ledger.insert(uid(&object), holder);
        self.objects.insert(id.clone(), object.clone());
        object
    }
}

/// `metadata.uid`.
pub(crate) fn uid(live: &Value) -> String {
    live["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// `metadata.resourceVersion`.
pub(crate) fn version(live: &Value) -> String {
    live["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn our_fields() -> Value {
    json!({
        "manager": names::FIELD_MANAGER, "operation": "Apply",
        "fieldsV1": { "f:metadata": { "f:annotations": { "f:tidegate.io/owner": {} } }, "f:data": { "f:v": {} } },
    })
}

pub(super) fn their_fields() -> Value {
    json!({ "manager": "kubectl-edit", "operation": "Update", "fieldsV1": { "f:data": { "f:v": {} } } })
}
