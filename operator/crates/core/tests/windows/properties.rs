//! What holds whatever is written, and agreement with the second opinion around changes of clocks.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use tidegate_api::policy::{Window, WindowKind};
use tidegate_core::windows::{Next, State, Windows, next_common_opening};

use super::oracle::open_minutes;
use super::{outlook, read, time, window};

/// Days on which something happens to a clock or to the calendar: the middle of what is compared.
const DAYS: [&str; 12] = [
    "2026-03-29T01:00:00Z", // Berlin forward
    "2026-10-25T01:00:00Z", // Berlin back
    "2026-03-08T07:00:00Z", // New York forward
    "2026-11-01T06:00:00Z", // New York back
    "2026-04-04T15:00:00Z", // Lord Howe back, half an hour
    "2026-10-03T15:30:00Z", // Lord Howe forward
    "2011-12-30T10:00:00Z", // Apia leaves out a day
    "1993-08-21T12:00:00Z", // Kwajalein too
    "2028-02-29T00:00:00Z",
    "2027-01-01T00:00:00Z",
    "2018-11-04T03:00:00Z", // Sao Paulo forward, at midnight
    "2018-02-18T02:00:00Z", // Sao Paulo back, at midnight
];
const ZONES: [&str; 7] = [
    "Etc/UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "America/Sao_Paulo",
];
/// Minutes to either side of such a day.
const AROUND: i64 = 30 * 60;

fn any_schedule() -> impl Strategy<Value = String> {
    let minute = select(vec![
        "*", "*/7", "0", "30", "0,30", "5-20", "59", "1-59/2", "45,15",
    ]);
    let hour = select(vec!["*", "*/2", "0", "1", "2", "1,2,3", "9-17", "23", "0-23"]);
    let day = select(vec!["*", "*", "*", "*/2", "29", "31", "1-7", "25,29,30", "1"]);
    let month = select(vec!["*", "*", "*", "3,10", "2", "12", "*/2"]);
    let weekday = select(vec!["*", "*", "*", "0", "6,7", "1-5", "5-7", "*/3"]);
    let two_ways = |day: &str, weekday: &str| {
        day.contains("*/") && weekday != "*" || weekday.contains("*/") && day != "*"
    };
    (minute, hour, day, month, weekday)
        .prop_filter("reads in two ways", move |(_, _, day, _, weekday)| {
            !two_ways(day, weekday)
        })
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

fn any_window() -> impl Strategy<Value = Window> {
    let kind = select(vec![WindowKind::Allow, WindowKind::Allow, WindowKind::Deny]);
    let duration = select(vec!["1m", "7m", "30m", "1h", "90m", "8h", "24h", "50h"]);
    (kind, any_schedule(), duration, select(ZONES.to_vec()))
        .prop_map(|(kind, schedule, duration, zone)| window(kind, &schedule, duration, zone))
}

fn any_windows() -> impl Strategy<Value = Vec<Window>> {
    prop::collection::vec(any_window(), 0..5)
}

/// Instants near those days, also between whole minutes.
fn any_instant() -> impl Strategy<Value = Timestamp> {
    (select(DAYS.to_vec()), -AROUND * 60_000..AROUND * 60_000)
        .prop_map(|(day, millis)| time(day) + SignedDuration::from_millis(millis))
}

fn minutes_after(from: Timestamp, minutes: usize) -> Timestamp {
    from + SignedDuration::from_mins(i64::try_from(minutes).unwrap())
}

/// The first place from one on where a list has another value than there.
fn change_of(list: &[bool], from: usize) -> Option<usize> {
    (from..list.len()).find(|n| list[*n] != list[from])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_walk_through_every_minute_sees_the_same(windows in any_windows(), day in select(DAYS.to_vec())) {
        let minutes = usize::try_from(2 * AROUND).unwrap();
        let from = time(day) - SignedDuration::from_mins(AROUND);
        let expected = open_minutes(&windows, from, minutes);
        let read = read(&windows);
        for (n, open) in expected.iter().enumerate() {
            prop_assert_eq!(read.is_open(minutes_after(from, n)), *open, "minute {} of {}", n, from);
        }
        for n in (0..minutes).step_by(211) {
            let (open, next) = outlook(&read, minutes_after(from, n));
            prop_assert_eq!(open, expected[n]);
            match change_of(&expected, n) {
                Some(change) => prop_assert_eq!(next, Next::At(minutes_after(from, change))),
                None => prop_assert!(next.at().is_none_or(|at| at >= minutes_after(from, minutes))),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_further_deny_window_never_opens(
        windows in any_windows(), more in any_window(), place in 0_usize..5, now in any_instant()
    ) {
        let mut further = windows.clone();
        further.insert(place.min(windows.len()), Window { kind: WindowKind::Deny, ..more });
        prop_assert!(read(&windows).is_open(now) || !read(&further).is_open(now));
    }

    #[test]
    fn a_further_allow_window_beside_others_never_closes(
        windows in any_windows(), more in any_window(), place in 0_usize..5, now in any_instant()
    ) {
        prop_assume!(windows.iter().any(|w| w.kind == WindowKind::Allow));
        let mut further = windows.clone();
        further.insert(place.min(windows.len()), Window { kind: WindowKind::Allow, ..more });
        prop_assert!(!read(&windows).is_open(now) || read(&further).is_open(now));
    }

    #[test]
    fn the_next_change_is_the_first_one(windows in any_windows(), now in any_instant()) {
        let read = read(&windows);
        let (open, next) = outlook(&read, now);
        prop_assert_eq!(open, read.is_open(now));
        if let Next::At(at) = next {
            prop_assert!(at > now);
            prop_assert_eq!(read.is_open(at), !open);
            prop_assert_eq!(read.is_open(at - SignedDuration::from_nanos(1)), open);
        }
    }

    #[test]
    fn the_order_of_windows_changes_nothing(windows in any_windows(), now in any_instant()) {
        let mut turned = windows.clone();
        turned.reverse();
        prop_assert_eq!(outlook(&read(&windows), now), outlook(&read(&turned), now));
    }

    #[test]
    fn all_are_open_at_a_common_opening_and_not_before(
        lists in prop::collection::vec(any_windows(), 1..4), now in any_instant()
    ) {
        let policies: Vec<Windows> = lists.iter().map(|list| read(list)).collect();
        let all: Vec<&Windows> = policies.iter().collect();
        let open = |at| policies.iter().all(|p| p.is_open(at));
        match next_common_opening(&all, now) {
            Next::At(at) => {
                prop_assert!(open(at));
                prop_assert!(at == now || !open(now));
                prop_assert!(at == now || !open(at - SignedDuration::from_nanos(1)));
            }
            Next::NotBefore(at) => prop_assert!(at > now && !open(now)),
            Next::Never => prop_assert!(!open(now)),
        }
        let mut turned = all.clone();
        turned.reverse();
        if next_common_opening(&all, now).at().is_some() {
            prop_assert_eq!(next_common_opening(&all, now), next_common_opening(&turned, now));
        }
    }

    #[test]
    fn nothing_that_is_written_makes_it_panic(
        schedule in prop_oneof![".{0,40}", "[0-9*/,\\- @A-Z?#]{0,30}", "([0-9*/,\\-]{1,4} ){4}[0-9*/,\\-A-Z]{1,7}"],
        duration in prop_oneof![".{0,12}", "[0-9.]{1,6}(ms|s|m|h|d)"],
        zone in prop_oneof![".{0,20}", select(vec!["UTC".to_owned(), "Europe/Berlin".to_owned()])],
        seconds in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ) {
        let written = [window(WindowKind::Deny, &schedule, &duration, &zone)];
        let now = Timestamp::from_second(seconds).unwrap();
        match Windows::read(&written) {
            Ok(read) => {
                let state = read.state(now);
                prop_assert!(!read.describe(&state).is_empty());
            }
            Err(problems) => prop_assert!(problems.iter().all(|p| p.to_string().len() < 500)),
        }
    }

    #[test]
    fn windows_can_be_asked_about_any_time(
        windows in any_windows(), seconds in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second()
    ) {
        let now = Timestamp::from_second(seconds).unwrap();
        let read = read(&windows);
        let state = read.state(now);
        prop_assert_eq!(matches!(state, State::Open { .. }), read.is_open(now));
    }
}
