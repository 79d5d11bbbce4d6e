//! Work queue of object keys: a key waits at most once, is worked on by one task at a time, and can be asked for later.
//! Bounded by the number of objects.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

struct Inner<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    active: HashSet<K>,
    again: HashSet<K>,
    due: HashMap<K, Instant>,
    timers: BTreeSet<(Instant, K)>,
}

/// See the module's header.
pub(crate) struct Queue<K> {
    inner: Mutex<Inner<K>>,
    wake: Notify,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        let inner = Inner {
            ready: VecDeque::new(),
            queued: HashSet::new(),
            active: HashSet::new(),
            again: HashSet::new(),
            due: HashMap::new(),
            timers: BTreeSet::new(),
        };
        Self {
            inner: Mutex::new(inner),
            wake: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        // Every change under the lock is complete before anything that can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for work on a key now. While it is worked on, it comes again afterwards.
    pub(crate) fn add(&self, key: K) {
        let mut inner = self.lock();
        forget_timer(&mut inner, &key);
        enqueue(&mut inner, key);
        drop(inner);
        self.wake.notify_one();
    }

    /// Asks for work on a key at a time; an earlier time wins.
    pub(crate) fn add_at(&self, key: K, at: Instant) {
        let mut inner = self.lock();
        if inner.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        forget_timer(&mut inner, &key);
        inner.due.insert(key.clone(), at);
        inner.timers.insert((at, key));
        drop(inner);
        self.wake.notify_one();
    }

    /// The next key to work on; [`Queue::done`] must follow.
    pub(crate) async fn next(&self) -> K {
        loop {
            let next_timer = {
                let mut inner = self.lock();
                release_due(&mut inner);
                if let Some(key) = inner.ready.pop_front() {
                    inner.queued.remove(&key);
                    inner.active.insert(key.clone());
                    if !inner.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
                inner.timers.first().map(|(at, _)| *at)
            };
            match next_timer {
                Some(at) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// Work on a key ended.
    pub(crate) fn done(&self, key: &K) {
        let mut inner = self.lock();
        inner.active.remove(key);
        if inner.again.remove(key) {
            enqueue(&mut inner, key.clone());
        }
        drop(inner);
        self.wake.notify_one();
    }
}

fn enqueue<K: Clone + Eq + Hash>(inner: &mut Inner<K>, key: K) {
    if inner.active.contains(&key) {
        inner.again.insert(key);
    } else if inner.queued.insert(key.clone()) {
        inner.ready.push_back(key);
    }
}

fn forget_timer<K: Clone + Eq + Hash + Ord>(inner: &mut Inner<K>, key: &K) {
    if let Some(at) = inner.due.remove(key) {
        inner.timers.remove(&(at, key.clone()));
    }
}

fn release_due<K: Clone + Eq + Hash + Ord>(inner: &mut Inner<K>) {
    let now = Instant::now();
    while inner.timers.first().is_some_and(|(at, _)| *at <= now) {
        let Some((_, key)) = inner.timers.pop_first() else {
            return;
        };
        inner.due.remove(&key);
        enqueue(inner, key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_comes_again_when_asked_for_during_work() {
        let queue = Queue::new();
        queue.add(1);
        queue.add(1);
        assert_eq!(queue.next().await, 1);
        queue.add(1);
        let early = tokio::time::timeout(Duration::from_secs(1), queue.next()).await;
        assert!(early.is_err(), "a key is worked on by one task at a time");
        queue.done(&1);
        assert_eq!(queue.next().await, 1);
        queue.done(&1);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), queue.next())
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_wins_and_now_beats_later() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_at(1, start + Duration::from_secs(60));
        queue.add_at(1, start + Duration::from_secs(5));
        queue.add_at(1, start + Duration::from_secs(90));
        queue.next().await;
        queue.done(&1);
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.add_at(1, start + Duration::from_secs(600));
        queue.add(1);
        queue.next().await;
        queue.done(&1);
        assert_eq!(start.elapsed().as_secs(), 5);
        assert!(
            tokio::time::timeout(Duration::from_secs(3600), queue.next())
                .await
                .is_err()
        );
    }
}
