//! Several windows together, searched from boundary to boundary.
//!
//! The search goes forward only and skips nothing that could be the answer: from an instant inside a Deny window to that
//! one's end, and from one outside every Allow window to the next start of one. It is bounded twice: by how far it looks
//! and by how many starts it visits, since two lines may be written so that they miss each other minute by minute.

use jiff::{SignedDuration, Timestamp};
use tidegate_api::policy::WindowKind;

use super::recurrence::Recurrence;
use super::{Next, Windows};

/// How far a search looks: five years.
pub(super) const HORIZON: SignedDuration = SignedDuration::from_hours(24 * (5 * 365 + 1));

/// Most starts that one search visits: some hundredths of a second.
pub(super) const MAX_STEPS: u32 = 100_000;

/// What a search may still cost.
pub(super) struct Search {
    /// Nothing after this is looked at.
    pub(super) limit: Timestamp,
    left: u32,
}

impl Search {
    pub(super) fn from(now: Timestamp) -> Self {
        Self {
            limit: now.checked_add(HORIZON).unwrap_or(Timestamp::MAX),
            left: MAX_STEPS,
        }
    }

    fn step(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    fn spent(&self) -> bool {
        self.left == 0
    }
}

/// One window and where the search has come to: the instant is before `begin`, or before `reach`.
struct Cursor<'a> {
    index: usize,
    window: &'a Recurrence,
    /// The start that the instant follows, or the next one; `None` when it does not start again.
    begin: Option<Timestamp>,
    /// Up to here it is known to last from `begin`.
    reach: Timestamp,
}

impl<'a> Cursor<'a> {
    fn new(index: usize, window: &'a Recurrence, at: Timestamp, search: &mut Search) -> Self {
        search.step();
        let begin = window.latest_start(at);
        let begin = begin.or_else(|| window.next_start(at, search.limit));
        Self {
            index,
            window,
            begin,
            reach: begin.map_or(at, |begin| window.end(begin)),
        }
    }

    fn covers(&mut self, at: Timestamp, search: &mut Search) -> bool {
        if self.begin.is_some_and(|begin| begin <= at && self.reach <= at) {
            *self = Self::new(self.index, self.window, at, search);
        }
        self.begin.is_some_and(|begin| begin <= at)
    }

    /// How long the window lasts without a break from where it is: at least up to `wanted`, or its true end.
    fn extend(&mut self, wanted: Timestamp, search: &mut Search) -> Timestamp {
        while self.reach < wanted && !search.spent() {
            search.step();
            let Some(start) = self.window.latest_start(self.reach) else {
                return self.reach;
            };
            self.reach = self.window.end(self.window.last_without_break(start));
        }
        self.reach
    }
}

/// The windows of one policy at an instant that moves forward.
pub(super) struct Timeline<'a> {
    allow: Vec<Cursor<'a>>,
    deny: Vec<Cursor<'a>>,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(windows: &'a Windows, now: Timestamp, search: &mut Search) -> Self {
        let mut of = |kind: WindowKind| {
            let indexed = windows.all.iter().enumerate();
            let same = indexed.filter(|(_, window)| window.kind == kind);
            same.map(|(index, window)| Cursor::new(index, window, now, search))
                .collect()
        };
        Self {
            allow: of(WindowKind::Allow),
            deny: of(WindowKind::Deny),
        }
    }

    /// The Deny window that an instant is in, and when it ends: of several the one that ends last, or the first that goes on
    /// past the limit.
    pub(super) fn denied(&mut self, at: Timestamp, search: &mut Search) -> Option<(usize, Timestamp)> {
        let mut found: Option<(usize, Timestamp)> = None;
        for cursor in &mut self.deny {
            if !cursor.covers(at, search) {
                continue;
            }
            let end = cursor.extend(search.limit, search);
            if end >= search.limit {
                return Some((cursor.index, end));
            }
            if found.is_none_or(|(_, last)| end > last) {
                found = Some((cursor.index, end));
            }
        }
        found
    }

    /// The first Allow window of the list that an instant is in.
    pub(super) fn allowed_by(&mut self, at: Timestamp, search: &mut Search) -> Option<usize> {
        let mut indices = self
            .allow
            .iter_mut()
            .filter_map(|c| c.covers(at, search).then_some(c.index));
        indices.next()
    }

    pub(super) fn is_open(&mut self, at: Timestamp, search: &mut Search) -> bool {
        let allowed = self.allow.is_empty() || self.allowed_by(at, search).is_some();
        allowed && !self.deny.iter_mut().any(|c| c.covers(at, search))
    }

    /// The first instant at or after one at which it is open.
    pub(super) fn opening(&mut self, from: Timestamp, search: &mut Search) -> Next {
        let mut at = from;
        while !search.spent() {
            if let Some((_, end)) = self.denied(at, search) {
                if end >= search.limit {
                    return Next::Never;
                }
                at = end;
                continue;
            }
            if self.allow.is_empty() || self.allowed_by(at, search).is_some() {
                return Next::At(at);
            }
            let Some(begin) = self.allow.iter().filter_map(|c| c.begin).min() else {
                return Next::Never;
            };
            at = begin;
        }
        Next::NotBefore(at)
    }

    /// The first instant after one at which it is open, at which it is not.
    pub(super) fn closing(&mut self, from: Timestamp, search: &mut Search) -> Next {
        let denied = self.deny.iter().filter_map(|c| c.begin).min();
        let stop = denied.unwrap_or(search.limit);
        let mut at = from;
        while !self.allow.is_empty() && at < stop {
            let reach = self.allowed_until(at, stop, search);
            if reach == at {
                return Next::At(at);
            }
            if reach < stop && search.spent() {
                return Next::NotBefore(reach);
            }
            at = reach;
        }
        denied.map_or(Next::Never, Next::At)
    }

    /// Up to where the Allow windows that an instant is in last, each by itself; not looking past `wanted`.
    fn allowed_until(&mut self, at: Timestamp, wanted: Timestamp, search: &mut Search) -> Timestamp {
        let mut reach = at;
        for cursor in &mut self.allow {
            if reach < wanted && cursor.covers(at, search) {
                reach = reach.max(cursor.extend(wanted, search));
            }
        }
        reach
    }

    /// Whether any Allow window starts at all.
    pub(super) fn allow_ever_starts(&self) -> bool {
        self.allow.iter().any(|c| c.begin.is_some())
    }
}
