//! Lines that are written to be slow. A search that has visited enough starts says up to where it knows, and goes on from
//! there when it is asked again.

use tidegate_core::windows::{MAX_WINDOWS, Next, next_common_opening};

use super::{allow, deny, outlook, read, time};

/// Even minutes are let through by one and denied by the other: never open, minute by minute.
#[test]
fn windows_that_miss_each_other_by_a_minute_end_the_search_in_time() {
    let now = time("2026-11-25T12:00:00Z");
    let windows = read(&[
        allow("*/2 * * * *", "1m", "UTC"),
        deny("*/2 * * * *", "1m", "UTC"),
    ]);
    let (open, next) = outlook(&windows, now);
    let Next::NotBefore(first) = next else {
        panic!("{next:?}");
    };
    assert!(!open && first > now);
    // Asked again then, it gets further.
    let (open, next) = outlook(&windows, first);
    assert!(!open && next.wake().unwrap() > first);

    let (even, odd) = (
        read(&[allow("*/2 * * * *", "1m", "UTC")]),
        read(&[allow("1-59/2 * * * *", "1m", "UTC")]),
    );
    assert!(matches!(next_common_opening(&[&even, &odd], now), Next::NotBefore(at) if at > now));
}

#[test]
fn halves_of_minutes_that_make_a_whole_are_followed_as_far_as_it_goes() {
    let now = time("2026-11-25T12:00:30Z");
    let windows = read(&[
        allow("*/2 * * * *", "1m", "UTC"),
        allow("1-59/2 * * * *", "1m", "UTC"),
    ]);
    let (open, next) = outlook(&windows, now);
    assert!(
        open && matches!(next, Next::NotBefore(at) if at > now),
        "{next:?}"
    );
}

#[test]
fn as_many_windows_as_there_may_be_each_every_minute() {
    let now = time("2026-11-25T12:00:00Z");
    let zones = ["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "UTC"];
    for duration in ["1m", "744h"] {
        let many: Vec<_> = (0..MAX_WINDOWS)
            .map(|n| match n {
                0 => allow("0 9 * * *", "8h", "UTC"),
                n => deny("* * * * *", duration, zones[n % zones.len()]),
            })
            .collect();
        assert_eq!(outlook(&read(&many), now), (false, Next::Never), "{duration}");
        let open: Vec<_> = many
            .iter()
            .map(|w| allow(&w.schedule, &w.duration, &w.time_zone))
            .collect();
        assert_eq!(outlook(&read(&open), now), (true, Next::Never), "{duration}");
    }
}

#[test]
fn windows_that_hardly_ever_begin() {
    let now = time("2026-11-25T12:00:00Z");
    let many: Vec<_> = (0..MAX_WINDOWS)
        .map(|n| match n {
            0 => allow("0 0 29 2 *", "1h", "UTC"),
            1..32 => deny("0 0 29 2 *", "1h", "UTC"),
            _ => allow("0 0 30 2 *", "744h", "Europe/Berlin"),
        })
        .collect();
    assert_eq!(outlook(&read(&many), now), (false, Next::Never));
}
