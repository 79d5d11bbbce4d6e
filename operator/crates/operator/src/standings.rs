//! What each Application has come to, kept in memory, and who waits for whom: a change wakes those who wait, and nobody
//! polls.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tidegate_core::standing::Standing;

use crate::store::Key;

/// See the module's header. Bounded by the number of Applications and of what they wait for.
#[derive(Default)]
pub(crate) struct Standings {
    inner: Mutex<Inner>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Inner {
    of: HashMap<Key, Standing>,
    /// Who waits, and for whom.
    waits: HashMap<Key, BTreeSet<Key>>,
}

/// Who is to be woken by a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Those who wait for it.
    pub(crate) who: Vec<Key>,
    /// False when only what it says to people changed: that has time.
    pub(crate) at_once: bool,
}

/// Numbers of commits that a source has come to begin here: over all times of commits, in seconds, up to the year 2242.
const NEWEST: u64 = 1 << 33;

/// What is known of all at one moment.
pub(crate) type View = HashMap<Key, Standing>;

impl Standings {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock is complete before anything that can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a commit that a source has come to, higher than all before.
    pub(crate) fn next_commit(&self) -> u64 {
        NEWEST + self.commits.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number for an older commit of a source that is followed meanwhile: lower than all that a source has come to, and
    /// higher for a later commit.
    pub(crate) fn older_commit(committed_at: Timestamp) -> u64 {
        u64::try_from(committed_at.as_second()).map_or(0, |seconds| seconds.min(NEWEST))
    }

    /// A reconcile begins: what it waits for is found out anew.
    pub(crate) fn begin(&self, who: &Key) {
        self.lock().waits.remove(who);
    }

    /// Looks at all, and notes for whom `who` waits from now on, beside those it waits for already. Nothing can change
    /// between the look and the note. `look` must ask the stores too: they are filled before those who wait are woken.
    pub(crate) fn ask<T>(&self, who: &Key, look: impl FnOnce(&View) -> (T, Vec<Key>)) -> T {
        let mut inner = self.lock();
        let (answer, on) = look(&inner.of);
        if !on.is_empty() {
            inner.waits.entry(who.clone()).or_default().extend(on);
        }
        answer
    }

    /// Looks at all without waiting for anybody.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.lock().of)
    }

    /// Notes what an Application has come to.
    pub(crate) fn put(&self, key: &Key, standing: Standing) -> Woken {
        let mut inner = self.lock();
        let before = inner.of.insert(key.clone(), standing);
        let now = &inner.of[key];
        let at_once = !before.as_ref().is_some_and(|before| before.equals(now));
        let same = before.as_ref() == Some(now);
        let who = if same { Vec::new() } else { waiting(&inner, key) };
        Woken { who, at_once }
    }

    /// Forgets an Application that is gone. Returns who waited for it.
    pub(crate) fn remove(&self, key: &Key) -> Vec<Key> {
        let mut inner = self.lock();
        inner.of.remove(key);
        inner.waits.remove(key);
        waiting(&inner, key)
    }

    /// Who waits for an Application.
    pub(crate) fn waiting_for(&self, key: &Key) -> Vec<Key> {
        waiting(&self.lock(), key)
    }
}

fn waiting(inner: &Inner, key: &Key) -> Vec<Key> {
    let on = inner.waits.iter().filter(|(_, on)| on.contains(key));
    on.map(|(who, _)| who.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn standing(ready: bool, message: &str) -> Standing {
        Standing {
            uid: "u".to_owned(),
            generation: Some(1),
            source: "shop/git".to_owned(),
            cluster: String::new(),
            seen: None,
            wants: None,
            reached: None,
            soak: Arc::default(),
            ready,
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_change_wakes_those_who_wait_and_words_alone_have_time() {
        let all = Standings::default();
        let (db, web, api) = (
            Key::new("shop", "db"),
            Key::new("shop", "web"),
            Key::new("shop", "api"),
        );
        all.ask(&web, |view| (assert!(view.is_empty()), vec![db.clone()]));
        let woken = all.put(&db, standing(false, "1 of 2"));
        assert_eq!(
            (woken.who.as_slice(), woken.at_once),
            (std::slice::from_ref(&web), true)
        );
        let woken = all.put(&db, standing(false, "2 of 2"));
        assert_eq!(
            (woken.who.as_slice(), woken.at_once),
            (std::slice::from_ref(&web), false)
        );
        assert_eq!(all.put(&db, standing(false, "2 of 2")).who, [], "nothing changed");
        all.ask(&web, |view| {
            (
                (),
                if view[&db].ready {
                    vec![]
                } else {
                    vec![api.clone()]
                },
            )
        });
        assert_eq!(
            all.waiting_for(&api),
            std::slice::from_ref(&web),
            "one wait is added to the other"
        );
        all.begin(&web);
        assert_eq!(all.put(&db, standing(true, "")).who, [], "it waits no more");
        all.ask(&web, |_| ((), vec![db.clone()]));
        assert_eq!(all.remove(&db), [web]);
    }
}
