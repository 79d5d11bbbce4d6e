//! One window on a clock: when it starts, and how long it stays without a break.
//!
//! - A start is a minute that the clock of the zone shows. One that the clock leaves out when it is put forward comes with
//!   the change; one that it shows twice when it is put back comes the first time. So what is named by its hour comes
//!   once on each day of the calendar, whatever is done to clocks.
//! - Where the hour is `*` or `*/n`, a start that the clock shows twice comes twice: hours that pass are meant, and
//!   `0 * * * *` for `1h` would leave out one of them in autumn.
//! - A duration is time that passes, not what the clock shows: `8h` are eight hours on every day of the year.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tidegate_api::policy::WindowKind;

use super::cron::{Civil, Line};
use super::zone::Stretch;

/// A window that has been read.
#[derive(Clone, Debug)]
pub(super) struct Recurrence {
    pub(super) kind: WindowKind,
    pub(super) line: Line,
    pub(super) duration: SignedDuration,
    pub(super) zone: TimeZone,
    pub(super) zone_name: &'static str,
    /// As written, for people.
    pub(super) schedule: String,
    pub(super) lasts: String,
}

impl Recurrence {
    /// True for an Allow window.
    pub(super) fn allows(&self) -> bool {
        self.kind == WindowKind::Allow
    }

    /// The first start after an instant, up to and with a last one.
    pub(super) fn next_start(&self, after: Timestamp, limit: Timestamp) -> Option<Timestamp> {
        let mut stretch = Stretch::at(&self.zone, after);
        let (date, minute) = stretch.minute(after);
        let mut from = stretch.first(self.line.every_hour).max((date, minute + 1));
        let last = limit.to_zoned(self.zone.clone()).date();
        loop {
            let found = self.line.at_or_after(from, last);
            if let Some(start) = found.and_then(|civil| stretch.instant(civil))
                && stretch.end.is_none_or(|end| start < end)
            {
                return Some(start).filter(|start| *start <= limit);
            }
            stretch = stretch.next(&self.zone)?;
            if stretch.begin()? > limit {
                return None;
            }
            from = stretch.first(self.line.every_hour);
        }
    }

    /// The last start whose window an instant is in. `None` when it is in none.
    pub(super) fn latest_start(&self, at: Timestamp) -> Option<Timestamp> {
        let floor = at.checked_sub(self.duration).unwrap_or(Timestamp::MIN);
        let mut stretch = Stretch::at(&self.zone, at);
        let mut from = stretch.minute(at);
        // A day that the calendar leaves out is the most that a start is moved.
        let oldest: Civil = (
            floor.to_zoned(self.zone.clone()).date().saturating_sub(2.days()),
            0,
        );
        loop {
            let first = stretch.first(self.line.every_hour).max(oldest);
            if let Some(civil) = self.line.at_or_before(from, first) {
                return stretch.instant(civil).filter(|start| *start > floor);
            }
            if stretch.begin()? <= floor {
                return None;
            }
            stretch = stretch.previous(&self.zone)?;
            from = stretch.last()?;
        }
    }

    /// The end of the window that starts at an instant.
    pub(super) fn end(&self, start: Timestamp) -> Timestamp {
        start.checked_add(self.duration).unwrap_or(Timestamp::MAX)
    }

    /// A start from which the window goes on without a break from the given one: the last of its day where each of the day
    /// comes before the window of the one before ends, and else that start itself.
    pub(super) fn last_without_break(&self, start: Timestamp) -> Timestamp {
        let pause = SignedDuration::from_mins(i64::from(self.line.longest_pause));
        if self.line.longest_pause == 0 || pause > self.duration {
            return start;
        }
        let stretch = Stretch::at(&self.zone, start);
        let civil = stretch.minute(start);
        if !self.line.matches(civil) {
            return start;
        }
        stretch
            .instant((civil.0, self.line.last_minute()))
            .filter(|last| stretch.end.is_none_or(|end| *last < end))
            .map_or(start, |last| last.max(start))
    }
}
