//! A field that is put back and changed again and again: somebody or something else means it. Corrections of that
//! object back off, and it is said who changes what (semantics.md, Drift 5).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::object::ObjectId;

/// Corrections further apart than this are no fight.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Corrections within the window that are made at once.
pub const AT_ONCE: u32 = 3;
/// Wait after the last correction that is made at once; each further one doubles it.
pub const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(5);
/// Longest wait.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// What is remembered of the corrections of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fight {
    /// Corrections, each within the window (and the wait, where that is longer) of the one before.
    rounds: u32,
    last: Timestamp,
    manager: Option<String>,
    fields: Vec<String>,
}

impl Fight {
    /// How long to wait after the last correction; zero while corrections are made at once.
    fn wait(&self) -> SignedDuration {
        let Some(over) = self.rounds.checked_sub(AT_ONCE) else {
            return SignedDuration::ZERO;
        };
        let doubled = 1_i32.checked_shl(over).filter(|factor| *factor > 0);
        doubled
            .and_then(|factor| FIRST_WAIT.checked_mul(factor))
            .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
    }

    /// True when a change at `now` has nothing to do with it any more. Whoever waited for us is still fighting: the
    /// window opens when the wait ends.
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.last) > WINDOW + self.wait()
    }
}

/// Corrections of the objects of one Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fights {
    by_object: HashMap<ObjectId, Fight>,
}

impl Fights {
    /// Remembers a correction: who had changed the object, and which fields. Never values.
    pub fn record(&mut self, id: &ObjectId, now: Timestamp, manager: Option<&str>, fields: &[String]) {
        self.by_object.retain(|_, fight| !fight.is_over(now));
        let before = self.by_object.get(id).map_or(0, |fight| fight.rounds);
        let fight = Fight {
            rounds: before.saturating_add(1),
            last: now,
            manager: manager.map(str::to_owned),
            fields: fields.to_vec(),
        };
        self.by_object.insert(id.clone(), fight);
    }

    /// When the object may be corrected again. `None`: at once.
    pub fn ready_at(&self, id: &ObjectId, now: Timestamp) -> Option<Timestamp> {
        let fight = self.by_object.get(id)?;
        let at = fight.last.checked_add(fight.wait()).unwrap_or(Timestamp::MAX);
        (at > now).then_some(at)
    }

    /// The next moment at which an object that waits may be corrected.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.by_object
            .keys()
            .filter_map(|id| self.ready_at(id, now))
            .min()
    }

    /// A line for condition `Drifted`: the object, who changes what, how often it was put back and when it is again.
    pub fn line(&self, id: &ObjectId, now: Timestamp) -> Option<String> {
        let at = self.ready_at(id, now)?;
        let fight = self.by_object.get(id)?;
        let by = fight.manager.as_deref().unwrap_or("an unknown manager");
        let fields = if fight.fields.is_empty() {
            "it".to_owned()
        } else {
            fight.fields.join(", ")
        };
        Some(format!(
            "{id}: {by} changes {fields} again and again (put back {} times); the next correction is at {at}. Take the field from git, list it in spec.drift.ignore, or stop {by}",
            fight.rounds
        ))
    }

    /// Forgets an object that a release changes or removes.
    pub fn forget(&mut self, id: &ObjectId) {
        self.by_object.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn web() -> ObjectId {
        ObjectId::new("apps", "Deployment", "shop", "web")
    }

    /// Corrects as soon as it is allowed, `rounds` times; returns the waits in seconds.
    fn waits(rounds: usize) -> (Fights, Vec<i64>) {
        let (mut fights, mut now, mut waits) = (Fights::default(), at(0), Vec::new());
        for _ in 0..rounds {
            fights.record(&web(), now, Some("hpa"), &["spec.replicas".to_owned()]);
            let ready = fights.ready_at(&web(), now).unwrap_or(now);
            waits.push(ready.duration_since(now).as_secs());
            now = ready;
        }
        (fights, waits)
    }

    #[test]
    fn three_at_once_then_twice_as_long_each_time_up_to_ten_minutes() {
        let (_, waits) = waits(13);
        assert_eq!(waits, [0, 0, 5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
    }

    #[test]
    fn many_rounds_do_not_overflow() {
        assert_eq!(waits(80).1.last(), Some(&600));
    }

    #[test]
    fn a_change_after_the_window_is_a_new_matter() {
        for (gap, waits) in [(600, true), (601, false)] {
            let mut fights = Fights::default();
            fights.record(&web(), at(0), None, &[]);
            fights.record(&web(), at(1), None, &[]);
            fights.record(&web(), at(1 + gap), None, &[]);
            assert_eq!(fights.ready_at(&web(), at(1 + gap)).is_some(), waits, "{gap}");
        }
        let (mut fights, _) = waits(12);
        let waited = fights.by_object[&web()].last + LONGEST_WAIT + SignedDuration::from_secs(1);
        fights.record(&web(), waited, None, &[]);
        let next = fights.ready_at(&web(), waited);
        assert_eq!(next, Some(waited + LONGEST_WAIT), "the wait itself ends no fight");
    }

    #[test]
    fn the_line_names_manager_field_and_time_and_others_do_not_wait() {
        let (fights, _) = waits(3);
        let line = fights.line(&web(), at(0)).unwrap_or_default();
        for part in [
            "Deployment shop/web",
            "hpa",
            "spec.replicas",
            "3 times",
            "1970-01-01T00:00:05Z",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let other = ObjectId::new("", "ConfigMap", "shop", "a");
        assert_eq!(fights.ready_at(&other, at(0)), None);
        assert_eq!(fights.next(at(0)), Some(at(5)));
        assert_eq!(fights.line(&web(), at(5)), None, "its time has come");
        let mut forgotten = fights;
        forgotten.forget(&web());
        assert_eq!(forgotten.ready_at(&web(), at(0)), None);
    }
}
