//! What windows say, one rule a test.

use tidegate_core::windows::{Next, State, Windows, next_common_opening};

use super::{allow, changes, deny, outlook, read, time};

#[test]
fn without_windows_it_is_open_for_good() {
    let none = Windows::default();
    assert!(none.is_empty());
    assert_eq!(outlook(&none, time("2026-11-25T12:00:00Z")), (true, Next::Never));
}

#[test]
fn office_hours_open_and_close_at_the_minute() {
    let office = read(&[allow("0 9 * * 1-4", "8h", "Europe/Berlin")]);
    // 25 November 2026 is a Wednesday.
    assert_eq!(
        changes(&office, "2026-11-25T03:00:00Z", 5),
        [
            "open 2026-11-25T08:00:00Z",
            "close 2026-11-25T16:00:00Z",
            "open 2026-11-26T08:00:00Z",
            "close 2026-11-26T16:00:00Z",
            "open 2026-11-30T08:00:00Z"
        ]
    );
    assert!(!office.is_open(time("2026-11-25T07:59:59.999999999Z")));
    assert!(office.is_open(time("2026-11-25T08:00:00Z")));
    assert!(office.is_open(time("2026-11-25T15:59:59.999999999Z")));
    assert!(!office.is_open(time("2026-11-25T16:00:00Z")));
}

#[test]
fn allow_windows_add_up() {
    let both = read(&[
        allow("0 9 * * *", "3h", "UTC"),
        allow("0 11 * * *", "2h", "UTC"),
        allow("0 20 * * *", "1h", "UTC"),
    ]);
    assert_eq!(
        changes(&both, "2026-11-25T00:00:00Z", 5),
        [
            "open 2026-11-25T09:00:00Z",
            "close 2026-11-25T13:00:00Z",
            "open 2026-11-25T20:00:00Z",
            "close 2026-11-25T21:00:00Z",
            "open 2026-11-26T09:00:00Z"
        ]
    );
}

#[test]
fn windows_that_touch_have_no_gap_between_them() {
    let halves = read(&[allow("0 8 * * *", "4h", "UTC"), allow("0 12 * * *", "4h", "UTC")]);
    assert_eq!(
        changes(&halves, "2026-11-25T09:00:00Z", 2),
        ["close 2026-11-25T16:00:00Z", "open 2026-11-26T08:00:00Z"]
    );
}

#[test]
fn a_pause_of_one_minute_among_starts_without_any_is_seen() {
    let most = read(&[allow("0-9,11-59 * * * *", "1m", "UTC")]);
    assert_eq!(
        changes(&most, "2026-11-25T12:00:30Z", 3),
        [
            "close 2026-11-25T12:10:00Z",
            "open 2026-11-25T12:11:00Z",
            "close 2026-11-25T13:10:00Z"
        ]
    );
}

#[test]
fn a_window_of_seconds_is_over_within_its_minute() {
    let short = read(&[allow("*/5 * * * *", "10s", "UTC")]);
    assert_eq!(
        changes(&short, "2026-11-25T12:00:30Z", 3),
        [
            "open 2026-11-25T12:05:00Z",
            "close 2026-11-25T12:05:10Z",
            "open 2026-11-25T12:10:00Z"
        ]
    );
}

#[test]
fn deny_beats_allow() {
    let lunch = read(&[allow("0 9 * * *", "8h", "UTC"), deny("0 12 * * *", "1h", "UTC")]);
    assert_eq!(
        changes(&lunch, "2026-11-25T09:00:00Z", 4),
        [
            "close 2026-11-25T12:00:00Z",
            "open 2026-11-25T13:00:00Z",
            "close 2026-11-25T17:00:00Z",
            "open 2026-11-26T09:00:00Z"
        ]
    );
}

#[test]
fn with_deny_windows_alone_it_is_open_outside_of_them() {
    let friday = read(&[deny("0 14 * * FRI", "58h", "UTC")]);
    assert_eq!(
        changes(&friday, "2026-11-25T00:00:00Z", 3),
        [
            "close 2026-11-27T14:00:00Z",
            "open 2026-11-30T00:00:00Z",
            "close 2026-12-04T14:00:00Z"
        ]
    );
}

#[test]
fn a_deny_window_goes_on_past_midnight_and_the_end_of_the_year() {
    let peace = read(&[
        allow("0 9 * * *", "8h", "Europe/Berlin"),
        deny("0 12 24 12 *", "264h", "Europe/Berlin"),
    ]);
    assert_eq!(
        changes(&peace, "2026-12-24T09:00:00Z", 3),
        [
            "close 2026-12-24T11:00:00Z",
            "open 2027-01-04T11:00:00Z",
            "close 2027-01-04T16:00:00Z"
        ]
    );
}

#[test]
fn zones_overlap_as_instants() {
    // Nine to five in both places: Berlin 08:00Z to 16:00Z, New York 14:00Z to 22:00Z.
    let either = [
        allow("0 9 * * *", "8h", "Europe/Berlin"),
        allow("0 9 * * *", "8h", "America/New_York"),
    ];
    assert_eq!(
        changes(&read(&either), "2026-11-25T03:00:00Z", 2),
        ["open 2026-11-25T08:00:00Z", "close 2026-11-25T22:00:00Z"]
    );
    let [berlin, york] = either.map(|one| read(&[one]));
    let now = time("2026-11-25T03:00:00Z");
    let both = next_common_opening(&[&berlin, &york], now);
    assert_eq!(both, Next::At(time("2026-11-25T14:00:00Z")));
    assert_eq!(next_common_opening(&[&york, &berlin], now), both);
}

#[test]
fn a_window_longer_than_its_period_never_closes() {
    for (schedule, duration) in [
        ("0 0 * * *", "25h"),
        ("0 * * * *", "1h"),
        ("* * * * *", "1m"),
        ("* * * * *", "744h"),
        ("0 0 * * 1", "169h"),
        ("0 0 1 * *", "744h"),
    ] {
        let always = read(&[allow(schedule, duration, "UTC")]);
        assert_eq!(
            outlook(&always, time("2026-11-25T12:34:56Z")),
            (true, Next::Never),
            "{schedule} for {duration}"
        );
    }
}

#[test]
fn leap_days_and_months_that_are_too_short() {
    let leap = read(&[allow("0 0 29 2 *", "24h", "UTC")]);
    assert_eq!(
        changes(&leap, "2026-11-25T00:00:00Z", 3),
        [
            "open 2028-02-29T00:00:00Z",
            "close 2028-03-01T00:00:00Z",
            "open 2032-02-29T00:00:00Z"
        ]
    );
    let last = read(&[allow("0 0 31 * *", "1h", "UTC")]);
    assert_eq!(
        changes(&last, "2026-11-25T00:00:00Z", 5),
        [
            "open 2026-12-31T00:00:00Z",
            "close 2026-12-31T01:00:00Z",
            "open 2027-01-31T00:00:00Z",
            "close 2027-01-31T01:00:00Z",
            "open 2027-03-31T00:00:00Z"
        ]
    );
}

#[test]
fn two_restricted_days_are_either_and_a_star_restricts_nothing() {
    let opens = |schedule: &str| {
        let windows = read(&[allow(schedule, "1h", "UTC")]);
        let mut list = changes(&windows, "2026-11-01T12:00:00Z", 9);
        list.retain(|change| change.starts_with("open"));
        list.iter()
            .map(|change| change[10..15].to_owned())
            .collect::<Vec<_>>()
    };
    // Mondays of November 2026: 2, 9, 16, 23, 30.
    assert_eq!(opens("0 0 13 * 1"), ["11-02", "11-09", "11-13", "11-16", "11-23"]);
    assert_eq!(opens("0 0 * * 1"), ["11-02", "11-09", "11-16", "11-23", "11-30"]);
    assert_eq!(opens("0 0 13 * *"), ["11-13", "12-13", "01-13", "02-13", "03-13"]);
    assert_eq!(
        opens("0 0 */15 * *"),
        ["11-16", "12-01", "12-16", "12-31", "01-01"]
    );
    assert_eq!(
        opens("0 0 1-31/15 * 1"),
        ["11-02", "11-09", "11-16", "11-23", "11-30"]
    );
}

#[test]
fn nicknames_and_names_mean_their_numbers() {
    for (short, long) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("0 0 * jan,Jul mon-FRI", "0 0 * 1,7 1-5"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * SAT-SUN", "0 0 * * 0,6"),
        ("0-30/15 8 * * *", "0,15,30 8 * * *"),
        ("  0   8 * *  * ", "0 8 * * *"),
    ] {
        let of = |schedule| changes(&read(&[allow(schedule, "1m", "UTC")]), "2026-11-25T12:00:00Z", 40);
        assert_eq!(of(short), of(long), "{short}");
    }
}

#[test]
fn what_never_opens_is_said() {
    let now = time("2026-11-25T12:00:00Z");
    let closed_for_good = [
        vec![allow("0 0 30 2 *", "1h", "UTC")],
        vec![allow("0 0 31 4,6,9,11 *", "1h", "UTC")],
        vec![allow("0 9 * * *", "8h", "UTC"), deny("* * * * *", "1m", "UTC")],
        vec![
            allow("0 9 * * 1-5", "8h", "UTC"),
            deny("30 8 * * 1-5", "9h", "UTC"),
        ],
        vec![deny("0 * * * *", "1h", "Europe/Berlin")],
        vec![
            allow("0 0 1 1 *", "1h", "UTC"),
            deny("59 23 31 12 *", "61m", "UTC"),
        ],
    ];
    for windows in closed_for_good {
        assert_eq!(outlook(&read(&windows), now), (false, Next::Never), "{windows:?}");
    }
}

#[test]
fn several_policies_open_when_all_of_them_are() {
    let now = time("2026-11-25T12:00:00Z");
    let office = read(&[allow("0 9 * * 1-5", "8h", "UTC")]);
    let night = read(&[allow("0 22 * * *", "8h", "UTC")]);
    let evening = read(&[allow("0 16 * * *", "4h", "UTC")]);
    let no_wednesday = read(&[deny("0 0 * * 3", "24h", "UTC")]);
    assert_eq!(next_common_opening(&[], now), Next::At(now));
    assert_eq!(next_common_opening(&[&office], now), Next::At(now));
    assert_eq!(
        next_common_opening(&[&office, &evening, &no_wednesday], now),
        Next::At(time("2026-11-26T16:00:00Z"))
    );
    assert_eq!(next_common_opening(&[&office, &night], now), Next::Never);
    // Each opens by itself.
    assert!(outlook(&night, now).1.at().is_some());
}

#[test]
fn it_names_the_window_that_counts() {
    let windows = read(&[
        allow("0 9 * * *", "8h", "UTC"),
        deny("0 10 * * *", "1h", "UTC"),
        deny("0 10 * * *", "2h", "UTC"),
        allow("0 20 * * *", "1h", "UTC"),
    ]);
    let by = |now: &str| match windows.state(time(now)) {
        State::Open { .. } => panic!("open at {now}"),
        State::Closed { by, .. } => by,
    };
    assert_eq!(
        by("2026-11-25T10:30:00Z"),
        Some(2),
        "of two Deny windows the one that ends last"
    );
    assert_eq!(
        by("2026-11-25T18:00:00Z"),
        Some(3),
        "the Allow window that opens next"
    );
    assert_eq!(by("2026-11-25T22:00:00Z"), Some(0));
}
