//! What people, controllers and other Applications do to objects. None of it asks anybody.

use serde_json::json;
use tidegate_api::names;
use tidegate_core::desired::PruneRule;
use tidegate_core::object::ObjectId;

use super::server::{Holder, Server, our_fields, their_fields, uid};
use super::{body, owner};

impl Server {
    /// Somebody else makes an object, if the name is free.
    pub(crate) fn somebody_creates(&mut self, id: &ObjectId, holder: Holder) {
        if self.objects.contains_key(id) {
            return;
        }
        let by = match holder {
            Holder::Person => None,
            Holder::Other => Some(owner("other")),
            Holder::Gone => Some(owner("gone")),
            Holder::Ours => return,
        };
        let object = body(id, by.as_ref(), PruneRule::Default, "theirs");
        self.put(id, object, holder);
    }

    /// A person edits what we had applied: our manager loses the path.
    pub(crate) fn somebody_edits(&mut self, id: &ObjectId) {
        let now = self.tick();
        let Some(live) = self.objects.get_mut(id) else {
            return;
        };
        live["data"]["v"] = format!("edit-{now}").into();
        live["metadata"]["resourceVersion"] = now.to_string().into();
        let ours = json!({
            "manager": names::FIELD_MANAGER, "operation": "Apply",
            "fieldsV1": { "f:metadata": { "f:annotations": { "f:tidegate.io/owner": {} } } },
        });
        let managers = live["metadata"]["managedFields"].as_array();
        let applied = managers.is_some_and(|all| all.contains(&our_fields()) || all.contains(&ours));
        let fields = if applied {
            json!([ours, their_fields()])
        } else {
            json!([their_fields()])
        };
        live["metadata"]["managedFields"] = fields;
    }

    /// A person deletes whatever is there.
    pub(crate) fn somebody_deletes(&mut self, id: &ObjectId) {
        self.remove(id);
    }

    /// A controller puts a finalizer on an object.
    pub(crate) fn somebody_holds(&mut self, id: &ObjectId) {
        let now = self.tick();
        if let Some(live) = self.objects.get_mut(id)
            && live["metadata"]["deletionTimestamp"].is_null()
        {
            live["metadata"]["finalizers"] = json!(["example.com/hold"]);
            live["metadata"]["resourceVersion"] = now.to_string().into();
        }
    }

    /// It takes the finalizer away again.
    pub(crate) fn somebody_lets_go(&mut self, id: &ObjectId) {
        let now = self.tick();
        let Some(live) = self.objects.get_mut(id) else {
            return;
        };
        let metadata = live["metadata"].as_object_mut().unwrap();
        metadata.remove("finalizers");
        metadata.insert("resourceVersion".into(), now.to_string().into());
        if metadata.contains_key("deletionTimestamp") {
            self.objects.remove(id);
        }
    }

    /// Another Application takes over what a person had made.
    pub(crate) fn other_adopts(&mut self, id: &ObjectId) {
        if self.holder(id) != Some(Holder::Person) {
            return;
        }
        let now = self.tick();
        let live = self.objects.get_mut(id).unwrap();
        live["metadata"]["annotations"][names::ANNOTATION_OWNER] = owner("other").annotation().into();
        live["metadata"]["managedFields"] = json!([our_fields()]);
        live["metadata"]["resourceVersion"] = now.to_string().into();
        let uid = uid(live);
        self.ledger.insert(uid, Holder::Other);
    }
}
