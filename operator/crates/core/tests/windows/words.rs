//! What people read.

use tidegate_api::policy::WindowKind;
use tidegate_core::windows::State;

use super::{allow, deny, read, time, window};

#[test]
fn one_line_says_why_and_until_when() {
    let office = allow("0 9 * * 1-4", "8h", "Europe/Berlin");
    let peace = deny("0 0 24 12 *", "72h", "Europe/Berlin");
    let night = deny("0 2 * * *", "1h", "America/New_York");
    for (windows, now, said) in [
        (
            vec![office.clone()],
            "2026-11-25T17:00:00Z",
            "closed until Thu 2026-11-26 09:00 Europe/Berlin (08:00Z)",
        ),
        (
            vec![office.clone()],
            "2026-11-25T12:00:00Z",
            "open until Wed 2026-11-25 17:00 Europe/Berlin (16:00Z)",
        ),
        (
            vec![allow("@daily", "24h", "UTC")],
            "2026-11-25T12:00:00Z",
            "open",
        ),
        (
            vec![peace.clone()],
            "2026-12-25T12:00:00Z",
            "inside the Deny window `0 0 24 12 *` of 72h until Sun 2026-12-27 00:00 Europe/Berlin (2026-12-26 23:00Z)",
        ),
        (
            vec![office.clone(), peace.clone()],
            "2026-12-25T12:00:00Z",
            "inside the Deny window `0 0 24 12 *` of 72h until Sun 2026-12-27 00:00 Europe/Berlin (2026-12-26 23:00Z); \
             opens Mon 2026-12-28 09:00 Europe/Berlin (08:00Z)",
        ),
        (
            vec![peace],
            "2026-11-25T12:00:00Z",
            "open until Thu 2026-12-24 00:00 Europe/Berlin (2026-12-23 23:00Z)",
        ),
        (
            vec![allow("30 8 * * *", "1h", "UTC"), night],
            "2026-11-25T12:00:00Z",
            "closed until Thu 2026-11-26 08:30 UTC",
        ),
        (
            vec![deny("* * * * *", "90s", "UTC"), office],
            "2026-11-25T12:00:00Z",
            "inside the Deny window `* * * * *` of 90s, which does not end within five years",
        ),
        (
            vec![allow("0 0 30 2 *", "1h", "UTC"), allow("0 0 31 4 *", "1h", "UTC")],
            "2026-11-25T12:00:00Z",
            "closed for good: no Allow window begins within five years; correct day and month of `0 0 30 2 *`, \
             `0 0 31 4 *`",
        ),
        (
            vec![allow("0 9 * * *", "1h", "UTC"), deny("0 8 * * *", "3h", "UTC")],
            "2026-11-25T12:00:00Z",
            "closed for good: within five years every Allow window lies inside Deny windows; shorten one of them",
        ),
        (
            vec![allow("0 9 * * *", "1h", "UTC"), deny("0 8 * * *", "3h", "UTC")],
            "2026-11-25T09:30:00Z",
            "inside the Deny window `0 8 * * *` of 3h until Wed 2026-11-25 11:00 UTC; does not open within five years",
        ),
        (
            vec![allow("0 9 * * *", "90s", "UTC")],
            "2026-11-25T09:00:00Z",
            "open until Wed 2026-11-25 09:01:30 UTC",
        ),
    ] {
        let read = read(&windows);
        let state = read.state(time(now));
        assert_eq!(read.describe(&state), said, "{windows:?} at {now}");
        if let State::Closed { reason, .. } = &state {
            assert_eq!(reason, said);
        }
    }
}

/// The windows on the page for people can be read and are what it says beside them.
#[test]
fn the_page_says_what_is() {
    let page = include_str!("../../../../../docs/windows.md");
    let value = |line: &str, key: &str| {
        let rest = line.split(&format!("{key}: ")).nth(1).unwrap_or("UTC");
        rest.trim_matches('"')
            .split(['"', ',', '}'])
            .next()
            .unwrap()
            .to_owned()
    };
    let written: Vec<_> = page
        .lines()
        .filter(|line| line.contains("{kind:"))
        .map(|line| {
            let kind = if value(line, "kind") == "Deny" {
                WindowKind::Deny
            } else {
                WindowKind::Allow
            };
            let schedule = value(line, "schedule");
            window(
                kind,
                &schedule,
                &value(line, "duration"),
                &value(line, "timeZone"),
            )
        })
        .collect();
    let [weekdays, friday, november, always] = written.as_slice() else {
        panic!("{written:?}");
    };
    let policy = read(&[weekdays.clone(), friday.clone(), november.clone()]);
    for (now, open) in [
        ("2026-12-03T15:59:00Z", true), // Thursday
        ("2026-12-04T10:59:00Z", true), // Friday
        ("2026-12-04T11:00:00Z", false),
        ("2026-12-05T10:00:00Z", false), // Saturday
        ("2026-11-25T10:00:00Z", false), // Wednesday
        ("2026-11-30T22:59:00Z", false),
    ] {
        assert_eq!(policy.is_open(time(now)), open, "{now}");
    }
    assert!(read(std::slice::from_ref(november)).is_open(time("2026-11-30T23:00:00Z")));
    let always = read(std::slice::from_ref(always));
    assert_eq!(
        always.describe(&always.state(time("2026-11-25T12:00:00Z"))),
        "open"
    );
}
