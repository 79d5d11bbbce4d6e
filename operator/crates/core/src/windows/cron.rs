//! A line of cron: which minutes of which days. It knows no time zone; `recurrence` puts it on a clock.
//!
//! Our own reader and search: the crates for it (croner, cronexpr, jiff-cron) answer with errors that do not say what to
//! write instead, look thousands of years ahead for a 30th of February, bring syntax that reads in two ways, and each has
//! its own idea of what happens when clocks are changed.

use jiff::civil::Date;

use super::field::{DAY, Field, HOUR, MINUTE, MONTH, WEEKDAY};

/// Minutes in a day.
pub(super) const DAY_MINUTES: u16 = 24 * 60;

/// Most bytes of a line, as the schema of `schedule` has it.
const LONGEST_LINE: usize = 256;

/// A day and a minute of it, 0 to 1439, on a clock that is never changed. 1440 stands for "after the last".
pub(super) type Civil = (Date, u16);

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A line that has been read. Sets are bits: bit 9 of `hours` is nine o'clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both days are restricted, so that either is enough: the classic rule of cron.
    either_day: bool,
    /// The hour is `*` or `*/n`: hours that pass are meant, and one that the clock shows twice comes twice.
    pub(super) every_hour: bool,
    /// The longest time between two starts on one day, in minutes; 0 when there is only one.
    pub(super) longest_pause: u16,
}

impl Line {
    /// Reads five fields or a nickname.
    ///
    /// # Errors
    /// What is wrong and what to write instead, without the line itself.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > LONGEST_LINE {
            return Err(format!("{} bytes; write at most {LONGEST_LINE}", text.len()));
        }
        if text.starts_with('@') {
            let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
            let Some((_, line)) = known else {
                return Err(
                    "no such nickname; write @hourly, @daily, @weekly, @monthly, @yearly or five fields"
                        .to_owned(),
                );
            };
            return Self::read(line);
        }
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            return Err("a time zone has no place in a schedule; write it into timeZone".to_owned());
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "{} fields; write five: minute, hour, day of month, month, day of week",
                fields.len()
            ));
        };
        days_read_in_one_way(&DAY, day, weekday)?;
        days_read_in_one_way(&WEEKDAY, weekday, day)?;
        let mut line = Self {
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            weekdays: WEEKDAY.read(weekday)?,
            either_day: day != "*" && weekday != "*",
            every_hour: hour.starts_with('*'),
            longest_pause: 0,
        };
        line.longest_pause = line.find_longest_pause();
        Ok(line)
    }

    /// The first minute that matches, at or after one, up to and with a last day.
    pub(super) fn at_or_after(&self, (date, minute): Civil, last: Date) -> Option<Civil> {
        if self.is_day(date)
            && let Some(minute) = self.minute_at_or_after(minute)
        {
            return Some((date, minute));
        }
        let mut date = date.tomorrow().ok()?;
        while date <= last {
            if !self.is_month(date) {
                date = date.last_of_month().tomorrow().ok()?;
            } else if self.is_day(date) {
                return Some((date, self.minute_at_or_after(0)?));
            } else {
                date = date.tomorrow().ok()?;
            }
        }
        None
    }

    /// The last minute that matches, at or before one, back to and with a first one.
    pub(super) fn at_or_before(&self, (date, minute): Civil, first: Civil) -> Option<Civil> {
        let mut minute = minute;
        let mut date = date;
        while (date, minute) >= first {
            if self.is_day(date)
                && let Some(minute) = self.minute_at_or_before(minute)
            {
                return Some((date, minute)).filter(|found| *found >= first);
            }
            date = date.yesterday().ok()?;
            minute = DAY_MINUTES - 1;
        }
        None
    }

    /// Whether that very minute matches.
    pub(super) fn matches(&self, (date, minute): Civil) -> bool {
        self.is_day(date) && self.minute_at_or_after(minute) == Some(minute)
    }

    /// The last minute that matches on any day that does.
    pub(super) fn last_minute(&self) -> u16 {
        self.minute_at_or_before(DAY_MINUTES - 1).unwrap_or_default()
    }

    fn is_month(&self, date: Date) -> bool {
        has(self.months, date.month())
    }

    fn is_day(&self, date: Date) -> bool {
        if !self.is_month(date) {
            return false;
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either_day {
            day || weekday
        } else {
            day && weekday
        }
    }

    fn minute_at_or_after(&self, minute: u16) -> Option<u16> {
        let (hour, minute) = (minute / 60, minute % 60);
        if has(self.hours, hour) {
            let rest = self.minutes >> minute << minute;
            if rest != 0 {
                return Some(hour * 60 + first(rest));
            }
        }
        let later = self.hours & !up_to(hour);
        (later != 0).then(|| first(later) * 60 + first(self.minutes))
    }

    fn minute_at_or_before(&self, minute: u16) -> Option<u16> {
        let (hour, minute) = (minute / 60, minute % 60);
        if has(self.hours, hour) {
            let rest = self.minutes & up_to(minute);
            if rest != 0 {
                return Some(hour * 60 + last(rest));
            }
        }
        let earlier = self.hours & (up_to(hour) >> 1);
        (earlier != 0).then(|| last(earlier) * 60 + last(self.minutes))
    }

    fn find_longest_pause(&self) -> u16 {
        let mut longest = 0;
        let mut from = self.minute_at_or_after(0);
        while let Some(start) = from {
            from = self.minute_at_or_after(start + 1);
            longest = longest.max(from.map_or(0, |next| next - start));
        }
        longest
    }
}

/// Crons differ on whether `*/2` is a restriction that makes the two days either-or.
fn days_read_in_one_way(field: &Field, text: &str, other: &str) -> Result<(), String> {
    if !text.contains('*') || text == "*" || other == "*" {
        return Ok(());
    }
    Err(format!(
        "{} `{text}` beside another day reads in two ways; write {} for `{text}` to mean either of the two days",
        field.name,
        text.replace('*', &field.whole())
    ))
}

fn has<N: Into<i32>>(set: u64, number: N) -> bool {
    u32::try_from(number.into()).is_ok_and(|n| set.checked_shr(n).unwrap_or(0) & 1 == 1)
}

/// The bits up to and with one.
fn up_to(bit: u16) -> u64 {
    u64::MAX >> (63 - bit.min(63))
}

/// The lowest bit of a set that is not empty.
fn first(set: u64) -> u16 {
    u16::try_from(set.trailing_zeros()).unwrap_or_default()
}

/// The highest bit of a set that is not empty.
fn last(set: u64) -> u16 {
    63 - u16::try_from(set.leading_zeros()).unwrap_or_default().min(63)
}
