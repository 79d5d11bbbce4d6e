//! The fields of live objects that others may set, as the watch asks for them at each event.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_core::object::ObjectId;

use crate::store::Key;

/// The Application that manages an object, and the JSON pointers.
type Fields = (Key, Arc<[String]>);

/// JSON pointers by object, for the objects that have some.
#[derive(Default)]
pub(crate) struct IgnoredFields(RwLock<HashMap<ObjectId, Fields>>);

impl IgnoredFields {
    /// Pointers of an object; none for most.
    pub(crate) fn of(&self, id: &ObjectId) -> Arc<[String]> {
        let fields = self.0.read().unwrap_or_else(PoisonError::into_inner);
        fields
            .get(id)
            .map(|(_, pointers)| pointers.clone())
            .unwrap_or_default()
    }

    /// Sets what an Application's objects have; objects that are not named have none.
    pub(crate) fn replace<'a>(&self, key: &Key, objects: impl Iterator<Item = (&'a ObjectId, &'a [String])>) {
        let mut fields = self.0.write().unwrap_or_else(PoisonError::into_inner);
        fields.retain(|_, (owner, _)| owner != key);
        fields.extend(objects.map(|(id, pointers)| (id.clone(), (key.clone(), pointers.into()))));
    }

    /// Sets what these objects have; others keep theirs.
    pub(crate) fn put<'a>(&self, key: &Key, objects: impl Iterator<Item = (&'a ObjectId, &'a [String])>) {
        let mut fields = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (id, pointers) in objects {
            if pointers.is_empty() {
                fields.remove(id);
            } else {
                fields.insert(id.clone(), (key.clone(), pointers.into()));
            }
        }
    }
}
