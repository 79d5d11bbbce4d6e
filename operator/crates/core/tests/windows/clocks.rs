//! Days on which clocks are changed, and days that a calendar leaves out.

use tidegate_core::windows::Next;

use super::{allow, changes, deny, outlook, read, time};

#[test]
fn nine_o_clock_is_nine_o_clock_before_and_after_a_change() {
    let office = read(&[allow("0 9 * * *", "8h", "Europe/Berlin")]);
    // 29 March 2026, 02:00 becomes 03:00; 25 October 2026, 03:00 becomes 02:00.
    assert_eq!(
        changes(&office, "2026-03-28T00:00:00Z", 4),
        [
            "open 2026-03-28T08:00:00Z",
            "close 2026-03-28T16:00:00Z",
            "open 2026-03-29T07:00:00Z",
            "close 2026-03-29T15:00:00Z"
        ]
    );
    assert_eq!(
        changes(&office, "2026-10-24T00:00:00Z", 4),
        [
            "open 2026-10-24T07:00:00Z",
            "close 2026-10-24T15:00:00Z",
            "open 2026-10-25T08:00:00Z",
            "close 2026-10-25T16:00:00Z"
        ]
    );
}

#[test]
fn a_start_that_the_clock_leaves_out_comes_with_the_change() {
    for (schedule, zone, from, opens) in [
        // 02:00 becomes 03:00 at 01:00Z.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "0 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "0 3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "59 1 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T00:59:00Z",
        ),
        // 8 March 2026, 02:00 becomes 03:00 at 07:00Z.
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-08T00:00:00Z",
            "2026-03-08T07:00:00Z",
        ),
        // 4 October 2026, 02:00 becomes 02:30 at 15:30Z of the day before.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            "2026-10-03T15:30:00Z",
        ),
        (
            "45 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            "2026-10-03T15:45:00Z",
        ),
    ] {
        let windows = read(&[allow(schedule, "10m", zone)]);
        assert_eq!(
            outlook(&windows, time(from)),
            (false, Next::At(time(opens))),
            "{schedule} {zone}"
        );
    }
}

#[test]
fn starts_that_are_left_out_together_come_together_once() {
    let windows = read(&[allow("0,20,40 2 * * *", "15m", "Europe/Berlin")]);
    assert_eq!(
        changes(&windows, "2026-03-28T12:00:00Z", 3),
        [
            "open 2026-03-29T01:00:00Z",
            "close 2026-03-29T01:15:00Z",
            "open 2026-03-30T00:00:00Z"
        ]
    );
}

#[test]
fn a_start_that_the_clock_shows_twice_comes_the_first_time() {
    for (schedule, zone, from, opens, again) in [
        // 03:00 becomes 02:00 at 01:00Z.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        ),
        // 1 November 2026, 02:00 becomes 01:00 at 06:00Z.
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-02T06:30:00Z",
        ),
        // 5 April 2026, 02:00 becomes 01:30 at 15:00Z of the day before.
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00:00Z",
            "2026-04-04T14:45:00Z",
            "2026-04-05T15:15:00Z",
        ),
    ] {
        let windows = read(&[allow(schedule, "10m", zone)]);
        let list = changes(&windows, from, 3);
        assert_eq!(list[0], format!("open {opens}"), "{schedule} {zone}");
        assert_eq!(list[2], format!("open {again}"), "{schedule} {zone}");
    }
}

#[test]
fn a_window_is_as_long_as_it_says_when_the_clock_is_changed_inside_it() {
    let night = read(&[allow("0 22 * * *", "6h", "Europe/Berlin")]);
    // Until 05:00 by the clock in spring, and 03:00 in autumn.
    assert_eq!(
        changes(&night, "2026-03-28T12:00:00Z", 2),
        ["open 2026-03-28T21:00:00Z", "close 2026-03-29T03:00:00Z"]
    );
    assert_eq!(
        changes(&night, "2026-10-24T12:00:00Z", 2),
        ["open 2026-10-24T20:00:00Z", "close 2026-10-25T02:00:00Z"]
    );
}

#[test]
fn a_day_of_25_hours_is_an_hour_longer_than_24h() {
    let day = |duration| read(&[deny("0 0 * * SUN", duration, "Europe/Berlin")]);
    assert_eq!(
        changes(&day("24h"), "2026-10-24T23:00:00Z", 1),
        ["open 2026-10-25T22:00:00Z"],
        "23:00 of the same Sunday"
    );
    assert_eq!(
        changes(&day("25h"), "2026-10-24T23:00:00Z", 1),
        ["open 2026-10-25T23:00:00Z"]
    );
}

#[test]
fn every_hour_means_the_hours_that_pass() {
    // The hour that comes twice in autumn has its starts twice: no hole in what is meant to be always.
    for (schedule, duration, zone) in [
        ("0 * * * *", "1h", "Europe/Berlin"),
        ("0 */2 * * *", "2h", "Europe/Berlin"),
        ("*/30 * * * *", "30m", "Australia/Lord_Howe"),
        ("* * * * *", "1m", "America/New_York"),
    ] {
        let always = read(&[deny(schedule, duration, zone)]);
        assert_eq!(
            outlook(&always, time("2026-03-01T00:00:00Z")),
            (false, Next::Never),
            "{schedule} {zone}"
        );
    }
    // What the clock leaves out in spring comes with the change all the same.
    let half = read(&[allow("30 * * * *", "10m", "Europe/Berlin")]);
    assert_eq!(
        changes(&half, "2026-03-29T00:35:00Z", 4),
        [
            "close 2026-03-29T00:40:00Z",
            "open 2026-03-29T01:00:00Z",
            "close 2026-03-29T01:10:00Z",
            "open 2026-03-29T01:30:00Z"
        ]
    );
    let autumn = changes(&half, "2026-10-25T00:00:00Z", 4);
    assert_eq!(autumn[0], "open 2026-10-25T00:30:00Z");
    assert_eq!(autumn[2], "open 2026-10-25T01:30:00Z");
}

#[test]
fn starts_of_a_day_that_the_calendar_leaves_out_come_with_the_day_after() {
    // Apia went from Thursday 29 to Saturday 31 December 2011, at 10:00Z of the 30th.
    let friday = read(&[allow("0 9 * * FRI", "1h", "Pacific/Apia")]);
    assert_eq!(
        changes(&friday, "2011-12-28T00:00:00Z", 3),
        [
            "open 2011-12-30T10:00:00Z",
            "close 2011-12-30T11:00:00Z",
            "open 2012-01-05T19:00:00Z"
        ]
    );
    let daily = read(&[allow("0 9 * * *", "1h", "Pacific/Apia")]);
    assert_eq!(
        changes(&daily, "2011-12-29T12:00:00Z", 6),
        [
            "open 2011-12-29T19:00:00Z",
            "close 2011-12-29T20:00:00Z",
            "open 2011-12-30T10:00:00Z",
            "close 2011-12-30T11:00:00Z",
            "open 2011-12-30T19:00:00Z",
            "close 2011-12-30T20:00:00Z"
        ]
    );
}

#[test]
fn starts_that_follow_each_other_through_a_change() {
    let hours = read(&[allow("0 0-20 * * *", "1h", "Europe/Berlin")]);
    assert_eq!(
        changes(&hours, "2026-03-28T23:30:00Z", 1),
        ["close 2026-03-29T19:00:00Z"]
    );
    // The hours are named: the second 02:00 is none of them.
    assert_eq!(
        changes(&hours, "2026-10-24T22:30:00Z", 3),
        [
            "close 2026-10-25T01:00:00Z",
            "open 2026-10-25T02:00:00Z",
            "close 2026-10-25T20:00:00Z"
        ]
    );
}

#[test]
fn a_start_that_was_moved_is_not_taken_for_one_of_its_day() {
    let evening = read(&[allow("0 20,23 * * *", "4h", "Pacific/Apia")]);
    assert_eq!(
        changes(&evening, "2011-12-30T09:30:00Z", 3),
        [
            "close 2011-12-30T14:00:00Z",
            "open 2011-12-31T06:00:00Z",
            "close 2011-12-31T13:00:00Z"
        ],
        "from 23:00 through what was Friday to 04:00 of Saturday, then 20:00 to 03:00"
    );
}

#[test]
fn a_search_from_inside_the_hour_that_comes_twice() {
    let windows = read(&[allow("30 2 * * *", "45m", "Europe/Berlin")]);
    // Open from the first 02:30 (00:30Z) to 01:15Z, which is the second 02:15.
    for (now, expected) in [
        ("2026-10-25T00:10:00Z", (false, "2026-10-25T00:30:00Z")),
        ("2026-10-25T00:45:00Z", (true, "2026-10-25T01:15:00Z")),
        ("2026-10-25T01:10:00Z", (true, "2026-10-25T01:15:00Z")),
        ("2026-10-25T01:20:00Z", (false, "2026-10-26T01:30:00Z")),
        ("2026-10-25T01:40:00Z", (false, "2026-10-26T01:30:00Z")),
    ] {
        let (open, next) = outlook(&windows, time(now));
        assert_eq!((open, next), (expected.0, Next::At(time(expected.1))), "{now}");
    }
}

#[test]
fn zones_that_follow_no_rule_and_zones_without_whole_hours() {
    let kathmandu = read(&[allow("0 9 * * *", "1h", "Asia/Kathmandu")]);
    assert_eq!(
        changes(&kathmandu, "2026-11-25T00:00:00Z", 1),
        ["open 2026-11-25T03:15:00Z"]
    );
    let written_small = read(&[allow("0 9 * * *", "1h", "europe/berlin")]);
    assert_eq!(
        changes(&written_small, "2026-11-25T00:00:00Z", 1),
        ["open 2026-11-25T08:00:00Z"]
    );
    // Past the tables of 2037 the rule of the zone goes on.
    let later = read(&[allow("0 9 1 7 *", "1h", "Europe/Berlin")]);
    assert_eq!(
        changes(&later, "2061-01-01T00:00:00Z", 1),
        ["open 2061-07-01T07:00:00Z"]
    );
}
