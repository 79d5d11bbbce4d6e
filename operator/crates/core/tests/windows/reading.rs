//! What cannot be read, and what is said about it.

use tidegate_api::policy::Window;
use tidegate_core::windows::{MAX_WINDOWS, Windows};

use super::allow;

fn fault(window: Window) -> String {
    let problems = Windows::read(&[allow("0 9 * * *", "8h", "UTC"), window]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].reason, "InvalidWindow");
    problems[0].to_string()
}

#[test]
fn each_fault_of_a_schedule_says_what_to_write() {
    for (schedule, said) in [
        (
            "0 9 * * 8",
            "`0 9 * * 8`: day of week 8 is past 7; write 0 to 7 (0 and 7 are Sunday) or SUN to SAT",
        ),
        ("60 9 * * *", "`60 9 * * *`: minute 60 is past 59; write 0 to 59"),
        ("0 24 * * *", "`0 24 * * *`: hour 24 is past 23; write 0 to 23"),
        (
            "0 9 0 * *",
            "`0 9 0 * *`: day of month 0 is below 1; write 1 to 31",
        ),
        (
            "0 9 * 13 *",
            "`0 9 * 13 *`: month 13 is past 12; write 1 to 12 or JAN to DEC",
        ),
        (
            "0 99999999999999999999999 * * *",
            "`0 99999999999999999999999 * * *`: hour 99999999999999999999999 is past 23; write 0 to 23",
        ),
        (
            "0 9 * *",
            "`0 9 * *`: 4 fields; write five: minute, hour, day of month, month, day of week",
        ),
        (
            "0 0 9 * * 1",
            "`0 0 9 * * 1`: 6 fields; write five: minute, hour, day of month, month, day of week",
        ),
        (
            "",
            "``: 0 fields; write five: minute, hour, day of month, month, day of week",
        ),
        (
            "0 22-6 * * *",
            "`0 22-6 * * *`: hour `22-6` runs backwards; write it as two ranges, 22-23 and 0-6",
        ),
        (
            "0 9 * * FRI-MON",
            "`0 9 * * FRI-MON`: day of week `FRI-MON` runs backwards; write it as two ranges, 5-6 and 0-1",
        ),
        (
            "5/15 * * * *",
            "`5/15 * * * *`: a step needs a range to go through; write 5-59/15 in place of minute `5/15`",
        ),
        (
            "*/0 * * * *",
            "`*/0 * * * *`: minute `*/0` has a step of 0; write 1 or more",
        ),
        (
            "*/90 * * * *",
            "`*/90 * * * *`: minute `*/90` has a step past its range of 60, and so would count once only; write the \
             minutes out",
        ),
        (
            "*/x * * * *",
            "`*/x * * * *`: minute `*/x` has a step that is not a number; write for example */2",
        ),
        (
            "0 9, * * *",
            "`0 9, * * *`: hour `9,` has an empty place in its list",
        ),
        (
            "0 9- * * *",
            "`0 9- * * *`: `` is not an hour; write 0 to 23 on both sides of the -",
        ),
        (
            "0 9 */2 * 1",
            "`0 9 */2 * 1`: day of month `*/2` beside another day reads in two ways; write 1-31/2 for `*/2` to mean either \
             of the two days",
        ),
        (
            "0 9 1 * */2",
            "`0 9 1 * */2`: day of week `*/2` beside another day reads in two ways; write 0-6/2 for `*/2` to mean either \
             of the two days",
        ),
        ("0 9 ? * 1", "`0 9 ? * 1`: `?` is not a day of month; write *"),
        (
            "0 9 L * *",
            "`0 9 L * *`: `L` is not a day of month; write 1 to 31; L, W and # are not known here",
        ),
        (
            "0 9 * * Monday",
            "`0 9 * * Monday`: `Monday` is not a day of week; write MON",
        ),
        (
            "0 nine * * *",
            "`0 nine * * *`: `nine` is not an hour; write 0 to 23",
        ),
        (
            "@every 5m",
            "`@every 5m`: no such nickname; write @hourly, @daily, @weekly, @monthly, @yearly or five fields",
        ),
        (
            "CRON_TZ=Asia/Tokyo 0 9 * * *",
            "`CRON_TZ=Asia/Tokyo 0 9 * * *`: a time zone has no place in a schedule; write it into timeZone",
        ),
    ] {
        assert_eq!(
            fault(allow(schedule, "8h", "UTC")),
            format!("spec.windows[1].schedule: {said}")
        );
    }
}

#[test]
fn each_fault_of_a_duration_says_what_to_write() {
    for (duration, said) in [
        ("2d", "`2d` is in days; write 48h"),
        (
            "8 hours",
            "`8 hours` is not a duration; write for example 30m, 8h or 1h30m, at most 744h (31 days)",
        ),
        (
            "",
            "`` is not a duration; write for example 30m, 8h or 1h30m, at most 744h (31 days)",
        ),
        ("0s", "`0s` is shorter than 1s; write 1s or more"),
        ("999ms", "`999ms` is shorter than 1s; write 1s or more"),
        (
            "745h",
            "`745h` is longer than 744h (31 days); write 744h or less, and let windows that follow each other overlap",
        ),
        (
            "99999999999999h",
            "`99999999999999h` is longer than 744h (31 days); write 744h or less, and let windows that follow each other \
             overlap",
        ),
    ] {
        assert_eq!(
            fault(allow("0 9 * * *", duration, "UTC")),
            format!("spec.windows[1].duration: {said}")
        );
    }
}

#[test]
fn each_fault_of_a_time_zone_says_what_to_write() {
    for (zone, said) in [
        ("Berlin", "`Berlin` is no time zone; write Europe/Berlin"),
        ("new york", "`new york` is no time zone; write America/New_York"),
        (
            "CEST",
            "`CEST` is no time zone; write an IANA name such as Europe/Berlin, or UTC",
        ),
        (
            "",
            "`` is no time zone; write an IANA name such as Europe/Berlin, or UTC",
        ),
        (
            "Local",
            "`Local` is no time zone; write an IANA name such as Europe/Berlin, or UTC",
        ),
        (
            "Etc/Unknown",
            "`Etc/Unknown` is no time zone; write an IANA name such as Europe/Berlin, or UTC",
        ),
        (
            "+02:00",
            "`+02:00` is no time zone; write a name such as Europe/Berlin; Etc/GMT-2 is two hours ahead of UTC",
        ),
        (
            "../../etc/passwd",
            "`../../etc/passwd` is no time zone; write an IANA name such as Europe/Berlin, or UTC",
        ),
    ] {
        assert_eq!(
            fault(allow("0 9 * * *", "8h", zone)),
            format!("spec.windows[1].timeZone: {said}")
        );
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let problems = Windows::read(&[
        allow("x", "y", "z"),
        allow("0 9 * * *", "8h", "UTC"),
        allow("0 9 * * *", "0s", "UTC"),
    ]);
    let fields: Vec<String> = problems
        .unwrap_err()
        .into_iter()
        .filter_map(|p| p.field)
        .collect();
    assert_eq!(
        fields,
        [
            "spec.windows[0].schedule",
            "spec.windows[0].duration",
            "spec.windows[0].timeZone",
            "spec.windows[2].duration"
        ]
    );
}

#[test]
fn too_many_windows_are_refused_before_they_are_read() {
    let many = vec![allow("x", "y", "z"); MAX_WINDOWS + 1];
    let problems = Windows::read(&many).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "spec.windows: 65 windows; a policy has at most 64"
    );
}

#[test]
fn what_is_long_is_cut_in_messages() {
    let long = "9".repeat(10_000);
    for window in [
        allow(&long, "8h", "UTC"),
        allow("0 9 * * *", &long, "UTC"),
        allow("0 9 * * *", "8h", &long),
    ] {
        assert!(fault(window).len() < 400);
    }
    assert!(fault(allow(&format!("0 {long} * * *"), "8h", "UTC")).len() < 400);
}
