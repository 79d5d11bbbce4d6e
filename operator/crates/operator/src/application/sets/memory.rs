//! What is remembered of kept sets: which Secrets there are, and for a while the sets that were read last. An object that
//! is put back again and again does not cost a read of its whole set each time; and no body stays in memory for good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tidegate_core::desired::{DesiredObject, Rendered};
use tidegate_core::rendered_store::Binding;
use tokio::time::Instant;

use super::index::Index;
use crate::store::Key;

/// Most bytes of all remembered sets together, as they are estimated.
const MAX_BYTES: usize = 64 << 20;
/// A set that nobody asked for so long is dropped.
const IDLE: Duration = Duration::from_secs(300);

/// Memory of all Applications' kept sets.
#[derive(Default)]
pub(crate) struct Sets {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    indexes: HashMap<Key, Index>,
    /// At most one for each Application.
    sets: HashMap<Key, Remembered>,
}

struct Remembered {
    binding: Binding,
    release: String,
    set: Arc<Rendered>,
    bytes: usize,
    used: Instant,
}

impl Sets {
    /// The set that was read last, if it is that of this release.
    pub(super) fn recall(&self, key: &Key, binding: &Binding, release: &str) -> Option<Arc<Rendered>> {
        let mut inner = self.lock();
        let known = inner.sets.get_mut(key)?;
        if known.binding != *binding || known.release != release {
            return None;
        }
        known.used = Instant::now();
        Some(known.set.clone())
    }

    /// Remembers a set in the place of the one before.
    pub(super) fn remember(&self, key: &Key, binding: &Binding, release: &str, set: &Arc<Rendered>) {
        let bytes = weight(set);
        if bytes > MAX_BYTES {
            return;
        }
        let remembered = Remembered {
            binding: binding.clone(),
            release: release.to_owned(),
            set: set.clone(),
            bytes,
            used: Instant::now(),
        };
        let mut inner = self.lock();
        let first = inner.sets.is_empty();
        inner.sets.insert(key.clone(), remembered);
        inner.make_room();
        if first {
            tokio::spawn(drop_idle(Arc::downgrade(&self.inner)));
        }
    }

    /// Takes the index out, to work with it. It is given back when nothing went wrong.
    pub(super) fn take_index(&self, key: &Key) -> Option<Index> {
        self.lock().indexes.remove(key)
    }

    pub(super) fn put_index(&self, key: &Key, index: Index) {
        self.lock().indexes.insert(key.clone(), index);
    }

    /// True when it is known which Secrets the Application has: whatever could be kept in this process is.
    pub(crate) fn is_known(&self, key: &Key) -> bool {
        self.lock().indexes.contains_key(key)
    }

    /// The Secrets are not as they were thought to be.
    pub(super) fn forget_index(&self, key: &Key) {
        self.lock().indexes.remove(key);
    }

    /// The Application is gone.
    pub(crate) fn forget(&self, key: &Key) {
        let mut inner = self.lock();
        inner.indexes.remove(key);
        inner.sets.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What was not asked for longest goes first.
    fn make_room(&mut self) {
        let bytes = |inner: &Self| inner.sets.values().map(|set| set.bytes).sum::<usize>();
        while bytes(self) > MAX_BYTES {
            let oldest = self.sets.iter().min_by_key(|(_, set)| set.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.sets.remove(&oldest);
        }
    }
}

/// Ends with the last set.
async fn drop_idle(inner: Weak<Mutex<Inner>>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sets.retain(|_, set| set.used.elapsed() < IDLE);
        if inner.sets.is_empty() {
            return;
        }
    }
}

/// About how many bytes of memory a set takes.
fn weight(set: &Rendered) -> usize {
    let object = |object: &DesiredObject| 400 + weight_of(&object.body);
    let objects = set.objects.iter().map(object).sum::<usize>();
    objects + set.hooks.iter().map(|hook| object(&hook.job)).sum::<usize>() + set.left_out.len() * 200
}

fn weight_of(value: &Value) -> usize {
    const NODE: usize = size_of::<Value>();
    /// Key, hash and place in the table.
    const FIELD: usize = 56;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NODE,
        Value::String(text) => NODE + text.len(),
        Value::Array(items) => NODE + items.iter().map(weight_of).sum::<usize>(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| FIELD + name.len() + weight_of(value);
            NODE + fields.iter().map(field).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;
    use tidegate_core::digest::DigestKey;
    use tidegate_core::object::{Location, ObjectId};

    fn set(bytes: usize) -> Arc<Rendered> {
        let object = DesiredObject {
            id: ObjectId::new("", "ConfigMap", "shop", "web"),
            version: "v1".into(),
            location: Location {
                file: "a.yaml".into(),
                line: 1,
            },
            body: json!({"data": {"text": "x".repeat(bytes)}}),
            digest: String::new(),
            ignored: Vec::new(),
            prune: tidegate_core::desired::PruneRule::Default,
            force: false,
            apply: tidegate_core::apply_rule::ApplyRule::Always,
            wave: 0,
        };
        Arc::new(Rendered::new(vec![object], &DigestKey::new([0; 32])))
    }

    fn binding(uid: &str) -> Binding {
        Binding {
            installation: "tidegate".to_owned(),
            application_uid: uid.to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sets_are_remembered_within_bounds_and_for_a_while() {
        let sets = Sets::default();
        let third = MAX_BYTES / 3;
        let keys: Vec<Key> = (0..4).map(|n| Key::new("shop", &n.to_string())).collect();
        for key in &keys {
            sets.remember(key, &binding(&key.name), "r", &set(third));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let known = |n: usize| sets.recall(&keys[n], &binding(&n.to_string()), "r").is_some();
        assert_eq!(
            [known(0), known(1), known(2), known(3)],
            [false, false, true, true]
        );
        assert!(sets.recall(&keys[3], &binding("other"), "r").is_none());
        assert!(sets.recall(&keys[3], &binding("3"), "s").is_none());
        sets.remember(&keys[0], &binding("0"), "r", &set(MAX_BYTES));
        assert!(!known(0), "one that is too large for all is not remembered");
        tokio::time::sleep(IDLE * 3).await;
        assert!(sets.lock().sets.is_empty());
    }
}
