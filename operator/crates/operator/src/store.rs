//! The newest state of our own kinds, as the watch delivers them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Namespace and name of one of our objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Objects of one kind.
pub(crate) struct Store<T>(RwLock<HashMap<Key, Arc<T>>>);

impl<T> Store<T> {
    pub(crate) fn new() -> Self {
        Self(RwLock::new(HashMap::new()))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    pub(crate) fn put(&self, key: Key, object: T) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, Arc::new(object));
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// All objects, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.values().cloned().collect()
    }

    /// What `take` makes of the objects that it takes.
    pub(crate) fn gather<R, C: FromIterator<R>>(&self, take: impl Fn(&Key, &T) -> Option<R>) -> C {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter().filter_map(|(key, object)| take(key, object)).collect()
    }

    /// Keys of the objects that `wanted` picks.
    pub(crate) fn keys(&self, wanted: impl Fn(&Key, &T) -> bool) -> Vec<Key> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter()
            .filter(|(key, object)| wanted(key, object))
            .map(|(key, _)| key.clone())
            .collect()
    }
}
