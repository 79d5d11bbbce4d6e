//! What people read about windows: one line, in the zone of the window that it speaks of, with UTC beside it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::recurrence::Recurrence;
use super::{Next, State, Windows};

/// A text that a person wrote, as it may stand in a message.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        short.push_str("...");
    }
    short
}

/// `Thu 2026-11-26 09:00 Europe/Berlin (08:00Z)`.
fn moment(at: Timestamp, zone: &TimeZone, name: &str) -> String {
    let there = at.to_zoned(zone.clone());
    let utc = at.to_zoned(TimeZone::UTC);
    let clock = if utc.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    let local = there.strftime(&format!("%a %Y-%m-%d {clock}")).to_string();
    if name == "UTC" {
        return format!("{local} UTC");
    }
    let day = if utc.date() == there.date() {
        ""
    } else {
        "%Y-%m-%d "
    };
    format!("{local} {name} ({})", utc.strftime(&format!("{day}{clock}Z")))
}

impl Windows {
    /// An instant for people, in the zone of the first Allow window, or of the first window where there is none.
    pub fn moment(&self, at: Timestamp) -> String {
        self.moment_of(None, at)
    }

    /// A state for people: `open until ...`, `closed until ...` or why it is closed.
    pub fn describe(&self, state: &State) -> String {
        match state {
            State::Closed { reason, .. } => reason.clone(),
            State::Open { until: Next::At(at) } => format!("open until {}", self.moment(*at)),
            State::Open {
                until: Next::NotBefore(at),
            } => {
                format!("open at least until {}", self.moment(*at))
            }
            State::Open { until: Next::Never } => "open".to_owned(),
        }
    }

    /// Outside of every Allow window, where at least one starts again.
    pub(super) fn closed_text(&self, opens: Next, by: Option<usize>) -> String {
        match opens {
            Next::At(at) => format!("closed until {}", self.moment_of(by, at)),
            Next::NotBefore(at) => format!("closed at least until {}", self.moment(at)),
            Next::Never => {
                "closed for good: within five years every Allow window lies inside Deny windows; shorten one of them"
                    .to_owned()
            }
        }
    }

    /// Outside of every Allow window, where none starts again.
    pub(super) fn never_text(&self) -> String {
        let lines: Vec<String> = self
            .all
            .iter()
            .filter(|w| w.allows())
            .map(Recurrence::shown)
            .collect();
        let lines = match lines.as_slice() {
            [first, second, third, _, ..] => format!("{first}, {second}, {third} and others"),
            few => few.join(", "),
        };
        format!("closed for good: no Allow window begins within five years; correct day and month of {lines}")
    }

    /// Inside a Deny window that ends, where it does.
    pub(super) fn denied_text(
        &self,
        index: usize,
        end: Option<Timestamp>,
        opens: Next,
        by: Option<usize>,
    ) -> String {
        let Some(window) = self.all.get(index) else {
            return String::new();
        };
        let name = format!("inside the Deny window {} of {}", window.shown(), window.lasts);
        let Some(end) = end else {
            return format!("{name}, which does not end within five years");
        };
        let until = format!("{name} until {}", self.moment_of(Some(index), end));
        match opens {
            Next::At(at) if at == end => until,
            Next::At(at) => format!("{until}; opens {}", self.moment_of(by.or(Some(index)), at)),
            Next::NotBefore(at) => format!("{until}; does not open before {}", self.moment(at)),
            Next::Never => format!("{until}; does not open within five years"),
        }
    }

    fn moment_of(&self, index: Option<usize>, at: Timestamp) -> String {
        let named = index.and_then(|index| self.all.get(index));
        let window = named
            .or_else(|| self.all.iter().find(|w| w.allows()))
            .or(self.all.first());
        match window {
            Some(window) => moment(at, &window.zone, window.zone_name),
            None => moment(at, &TimeZone::UTC, "UTC"),
        }
    }
}

impl Recurrence {
    /// The schedule in backticks.
    fn shown(&self) -> String {
        format!("`{}`", shown(&self.schedule))
    }
}
