//! Time windows of a policy: whether releases may begin now, and the first instant at which that changes.
//!
//! Deny beats Allow; several Allow windows add up; without any Allow window it is open except inside Deny windows.
//! `recurrence` says what a window means where clocks are changed, `timeline` how far a search looks.

mod cron;
mod field;
mod recurrence;
mod text;
mod timeline;
mod zone;

use jiff::{SignedDuration, Timestamp};
use tidegate_api::policy::Window;

use crate::duration;
use crate::problem::Problem;
use cron::Line;
use recurrence::Recurrence;
use text::shown;
use timeline::{Search, Timeline};
use zone::Zones;

/// Most windows that one policy has; the schema of `spec.windows` says the same.
pub const MAX_WINDOWS: usize = 64;

/// The longest that a window lasts: 31 days.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The windows of one policy, read. By default none: always open.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// In the order in which they are written.
    all: Vec<Recurrence>,
}

/// What the windows say at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Releases may begin.
    Open {
        /// The first instant at which they may not.
        until: Next,
    },
    /// Releases may not begin.
    Closed {
        /// One line for people: why and until when.
        reason: String,
        /// The first instant at which they may.
        opens: Next,
        /// Place in the list of the Deny window that it is in, or else of the Allow window that opens next.
        by: Option<usize>,
    },
}

/// When something is next the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At exactly that instant, and not before.
    At(Timestamp),
    /// Not before that instant. The windows have so many boundaries that the search ended there: ask again then.
    NotBefore(Timestamp),
    /// Not within five years.
    Never,
}

impl Next {
    /// The instant, where it is known exactly.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::NotBefore(_) | Self::Never => None,
        }
    }

    /// When it is worth asking again.
    pub fn wake(self) -> Option<Timestamp> {
        match self {
            Self::At(at) | Self::NotBefore(at) => Some(at),
            Self::Never => None,
        }
    }
}

impl State {
    /// True when releases may begin.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl Windows {
    /// Reads `spec.windows` of a policy.
    ///
    /// # Errors
    /// All that is wrong with all of them, by field.
    pub fn read(windows: &[Window]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if windows.len() > MAX_WINDOWS {
            let message = format!("{} windows; a policy has at most {MAX_WINDOWS}", windows.len());
            return Err(vec![problem("spec.windows".to_owned(), message)]);
        }
        let mut zones = Zones::default();
        let mut all = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            all.extend(read_one(index, window, &mut zones, &mut problems));
        }
        if problems.is_empty() {
            Ok(Self { all })
        } else {
            Err(problems)
        }
    }

    /// True when there are none: always open.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether it is open, without looking any further.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let mut search = Search::from(now);
        Timeline::new(self, now, &mut search).is_open(now, &mut search)
    }

    /// Whether it is open, and when that changes.
    pub fn state(&self, now: Timestamp) -> State {
        let mut search = Search::from(now);
        let mut timeline = Timeline::new(self, now, &mut search);
        if timeline.is_open(now, &mut search) {
            let until = timeline.closing(now, &mut search);
            return State::Open { until };
        }
        let starts = timeline.allow_ever_starts();
        let denied = timeline.denied(now, &mut search);
        let opens = match denied {
            Some((_, end)) if end >= search.limit => Next::Never,
            Some((_, end)) => timeline.opening(end, &mut search),
            None => timeline.opening(now, &mut search),
        };
        let allowed = opens.at().and_then(|at| timeline.allowed_by(at, &mut search));
        let reason = match denied {
            Some((index, end)) => {
                let end = Some(end).filter(|end| *end < search.limit);
                self.denied_text(index, end, opens, allowed)
            }
            None if starts => self.closed_text(opens, allowed),
            None => self.never_text(),
        };
        let by = denied.map(|(index, _)| index).or(allowed);
        State::Closed { reason, opens, by }
    }
}

/// The first instant from now on at which all of them are open.
pub fn next_common_opening(all: &[&Windows], now: Timestamp) -> Next {
    let mut search = Search::from(now);
    let mut timelines: Vec<Timeline<'_>> = all
        .iter()
        .map(|windows| Timeline::new(windows, now, &mut search))
        .collect();
    let mut at = now;
    loop {
        let before = at;
        for timeline in &mut timelines {
            match timeline.opening(at, &mut search) {
                Next::At(next) => at = next,
                later => return later,
            }
        }
        if at == before {
            return Next::At(at);
        }
    }
}

fn read_one(
    index: usize,
    window: &Window,
    zones: &mut Zones,
    problems: &mut Vec<Problem>,
) -> Option<Recurrence> {
    let mut fault = |field: &str, message: String| {
        problems.push(problem(format!("spec.windows[{index}].{field}"), message));
    };
    let line = Line::read(&window.schedule)
        .map_err(|why| fault("schedule", format!("`{}`: {why}", shown(&window.schedule))))
        .ok();
    let duration = read_duration(&window.duration)
        .map_err(|why| fault("duration", why))
        .ok();
    let (zone_name, zone) = zones
        .find(&window.time_zone)
        .map_err(|why| fault("timeZone", why))
        .ok()?;
    Some(Recurrence {
        kind: window.kind,
        line: line?,
        duration: duration?,
        zone,
        zone_name,
        schedule: window.schedule.trim().to_owned(),
        lasts: window.duration.clone(),
    })
}

fn read_duration(text: &str) -> Result<SignedDuration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    if let Some(days) = days.filter(|days| (1..=31).contains(days)) {
        return Err(format!("`{text}` is in days; write {}h", days * 24));
    }
    let written = duration::parse(text).map_err(|_| {
        let text = shown(text);
        format!("`{text}` is not a duration; write for example 30m, 8h or 1h30m, at most 744h (31 days)")
    })?;
    let duration = SignedDuration::try_from(written).unwrap_or(SignedDuration::MAX);
    if duration < SignedDuration::from_secs(1) {
        return Err(format!("`{}` is shorter than 1s; write 1s or more", shown(text)));
    }
    if duration > LONGEST {
        return Err(format!(
            "`{}` is longer than 744h (31 days); write 744h or less, and let windows that follow each other overlap",
            shown(text)
        ));
    }
    Ok(duration)
}

fn problem(field: String, message: String) -> Problem {
    Problem {
        reason: "InvalidWindow",
        object: String::new(),
        field: Some(field),
        location: None,
        message,
    }
}
