//! What Applications say of live objects beside their bodies, as the watch asks for it at each event: fields that others
//! may set, and the expressions that judge health.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidegate_core::health::expressions::HealthRules;
use tidegate_core::live::Lens;
use tidegate_core::object::ObjectId;

use crate::store::Key;

/// Lenses by object, for the objects that have one.
#[derive(Default)]
pub(crate) struct Lenses(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    /// With the Application that manages the object.
    objects: HashMap<ObjectId, (Key, Lens)>,
    /// For the lenses that are made next.
    rules: HashMap<Key, Arc<HealthRules>>,
}

/// An object with the version it is applied at and the pointers of the fields that others may set.
pub(crate) type Seen<'a> = (&'a ObjectId, &'a str, &'a [String]);

impl Lenses {
    /// The lens of an object; an empty one for most.
    pub(crate) fn of(&self, id: &ObjectId) -> Lens {
        let objects = &self.read().objects;
        objects.get(id).map(|(_, lens)| lens.clone()).unwrap_or_default()
    }

    /// Sets by which expressions an Application's objects are judged from now on. True when they were others; then the
    /// lenses of its objects are to be made anew.
    pub(crate) fn judge_by(&self, key: &Key, rules: &Arc<HealthRules>) -> bool {
        let mut inner = self.write();
        let before = inner.rules.get(key);
        if before.map_or(rules.is_empty(), |before| Arc::ptr_eq(before, rules)) {
            return false;
        }
        inner.rules.insert(key.clone(), rules.clone());
        true
    }

    /// Sets what an Application's objects have; objects that are not named have none.
    pub(crate) fn replace<'a>(&self, key: &Key, objects: impl Iterator<Item = Seen<'a>>) {
        let mut inner = self.write();
        let rules = inner.rules.get(key).cloned().unwrap_or_default();
        inner.objects.retain(|_, (owner, _)| owner != key);
        let lenses = objects.filter_map(|seen| Some((seen.0.clone(), (key.clone(), lens(&rules, seen)?))));
        inner.objects.extend(lenses);
    }

    /// Sets what these objects have; others keep theirs.
    pub(crate) fn put<'a>(&self, key: &Key, objects: impl Iterator<Item = Seen<'a>>) {
        let mut inner = self.write();
        let rules = inner.rules.get(key).cloned().unwrap_or_default();
        for seen in objects {
            // What another has is seen as that one says, until it is known to be ours.
            if inner.objects.get(seen.0).is_some_and(|(owner, _)| owner != key) {
                continue;
            }
            match lens(&rules, seen) {
                Some(lens) => inner.objects.insert(seen.0.clone(), (key.clone(), lens)),
                None => inner.objects.remove(seen.0),
            };
        }
    }

    /// Drops all of an Application.
    pub(crate) fn forget(&self, key: &Key) {
        let mut inner = self.write();
        inner.objects.retain(|_, (owner, _)| owner != key);
        inner.rules.remove(key);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` when nothing is said of the object.
fn lens(rules: &HealthRules, (id, version, ignored): Seen<'_>) -> Option<Lens> {
    let health = rules.of(id, version).cloned();
    (health.is_some() || !ignored.is_empty()).then(|| Lens {
        ignored: ignored.into(),
        health,
    })
}
