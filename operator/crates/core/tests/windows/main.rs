//! Time windows: how they are read, what they say, what clocks do to them, and a slow second opinion on all of it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what cannot be read is a failed test"
)]

mod clocks;
mod costs;
mod oracle;
mod properties;
mod reading;
mod rules;
mod words;

use jiff::Timestamp;
use tidegate_api::policy::{Window, WindowKind};
use tidegate_core::windows::{Next, State, Windows};

fn window(kind: WindowKind, schedule: &str, duration: &str, time_zone: &str) -> Window {
    Window {
        kind,
        schedule: schedule.to_owned(),
        duration: duration.to_owned(),
        time_zone: time_zone.to_owned(),
    }
}

fn allow(schedule: &str, duration: &str, time_zone: &str) -> Window {
    window(WindowKind::Allow, schedule, duration, time_zone)
}

fn deny(schedule: &str, duration: &str, time_zone: &str) -> Window {
    window(WindowKind::Deny, schedule, duration, time_zone)
}

fn read(windows: &[Window]) -> Windows {
    Windows::read(windows).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Whether it is open, and when that changes.
fn outlook(windows: &Windows, now: Timestamp) -> (bool, Next) {
    match windows.state(now) {
        State::Open { until } => (true, until),
        State::Closed { opens, .. } => (false, opens),
    }
}

/// Every instant from one on at which it opens or closes, as far as asked for: `open 2026-11-26T08:00:00Z`.
fn changes(windows: &Windows, from: &str, many: usize) -> Vec<String> {
    let mut now = time(from);
    let mut list = Vec::new();
    while list.len() < many {
        let (open, next) = outlook(windows, now);
        let Some(at) = next.at() else {
            list.push(format!("{next:?}"));
            break;
        };
        list.push(format!("{} {at}", if open { "close" } else { "open" }));
        now = at;
    }
    list
}
