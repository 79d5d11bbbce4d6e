//! What an Application's status says. All its conditions are made here, from facts, so that they never contradict
//! each other.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tidegate_api::application::{ApplicationDisplay, ApplicationStatus, Drift, DriftMode, ObjectCounts};
use tidegate_api::condition::{self, DRIFTED, HEALTHY, READY, RECONCILING, STALLED, SYNCED};

use crate::differences::{self, Explained, MAX_EXPLAINED, Sort};
use crate::fights::Fights;
use crate::health::HealthStatus;
use crate::ignore::{REPLICAS, Scaled};
use crate::inventory::{InventorySet, Sealed};
use crate::live::LiveRecord;
use crate::object::ObjectId;
use crate::plan::Live;

/// What the cluster shows of the managed objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Counts.
    pub counts: ObjectCounts,
    /// Objects that are not there yet, with why; at most ten.
    pub pending: Vec<String>,
    /// Objects that failed, with why; at most ten.
    pub failed: Vec<String>,
    /// Objects that differ from what was applied; at most [`MAX_EXPLAINED`].
    pub drifted: Vec<String>,
    /// Objects whose replicas are left to an autoscaler; at most ten.
    pub scaled: Vec<String>,
}

impl Observed {
    /// True when every object is there and healthy.
    pub fn healthy(&self) -> bool {
        self.counts.healthy == self.counts.total
    }
}

/// What is known besides inventory and live objects.
pub struct Notes<'a> {
    /// `spec.drift`.
    pub drift: &'a Drift,
    /// Objects that are put back again and again.
    pub fights: &'a Fights,
    /// What differs where drift was seen.
    pub explained: &'a Explained,
    /// What autoscalers scale.
    pub scaled: &'a Scaled,
}

/// Sums up the live objects of an inventory.
pub fn observe(inventory: &InventorySet, live: &Live, notes: &Notes<'_>, now: Timestamp) -> Observed {
    let mut seen = Observed::default();
    for (id, entry) in inventory.kept() {
        seen.counts.total += 1;
        let record = live.get(id);
        match record.map(|r| r.health) {
            Some(HealthStatus::Current) => seen.counts.healthy += 1,
            Some(HealthStatus::Failed) => {
                seen.counts.failed += 1;
                note(&mut seen.failed, || {
                    format!("{id}: {}", record.map_or("", |r| &r.message))
                });
            }
            Some(_) => note(&mut seen.pending, || {
                format!("{id}: {}", record.map_or("", |r| &r.message))
            }),
            None => note(&mut seen.pending, || format!("{id}: not found")),
        }
        if let Some(sealed) = &entry.sealed {
            if let Some(line) = drift_of(id, sealed, record, notes, now) {
                seen.counts.drifted += 1;
                if seen.drifted.len() < MAX_EXPLAINED {
                    seen.drifted.push(line);
                }
            }
            if let Some(scaler) = notes.scaled.get(id).filter(|_| leaves_replicas(sealed)) {
                note(&mut seen.scaled, || {
                    format!("spec.replicas of {id} is left to {scaler}")
                });
            }
        }
    }
    seen
}

fn leaves_replicas(sealed: &Sealed) -> bool {
    sealed.ignored.iter().any(|pointer| pointer == REPLICAS)
}

/// A line about an object that differs, where `spec.drift` wants it to be known.
fn drift_of(
    id: &ObjectId,
    sealed: &Sealed,
    live: Option<&LiveRecord>,
    notes: &Notes<'_>,
    now: Timestamp,
) -> Option<String> {
    let Some(live) = live else {
        return (notes.drift.mode != DriftMode::Ignore).then(|| format!("{id} (deleted)"));
    };
    let what = match differences::sort(sealed, live, notes.drift)? {
        Sort::Changed => "changed",
        Sort::Added => "fields added",
    };
    if let Some(line) = notes.fights.line(id, now) {
        return Some(line);
    }
    let found = notes.explained.of(id, live);
    let newest = || live.last_foreign_manager.as_deref();
    let owner = found.iter().find_map(|difference| difference.manager.as_deref());
    let by = owner.or_else(newest).unwrap_or("an unknown manager");
    let fields: Vec<&str> = found.iter().map(|difference| difference.field.as_str()).collect();
    let fields = if fields.is_empty() {
        String::new()
    } else {
        format!(": {}", fields.join(", "))
    };
    let hold = live.held(now);
    let hold = hold.map(|h| format!(", held until {}: {}", h.until, h.reason));
    Some(format!(
        "{id} ({what} by {by}{fields}{})",
        hold.unwrap_or_default()
    ))
}

fn note(list: &mut Vec<String>, line: impl FnOnce() -> String) {
    if list.len() < 10 {
        list.push(line());
    }
}

/// Where the newest attempt stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// What runs is what the newest commit says.
    Synced,
    /// Work is under way.
    Working {
        /// `Applying`, `Verifying`, `Fetching`...
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// Something has to happen first: a gate, a source, a suspension.
    Waiting {
        /// CamelCase cause.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// The newest attempt failed; it is tried again by itself only if `stalled` is false.
    Failed {
        /// CamelCase cause.
        reason: &'static str,
        /// For people.
        message: String,
        /// True when nothing but a new commit or an edit helps.
        stalled: bool,
    },
}

/// What the status is made of.
pub struct Facts<'a> {
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Where the newest attempt stands.
    pub progress: &'a Progress,
    /// The cluster; `None` while it is not known what belongs to the Application: then health, drift and counts stay as
    /// they were.
    pub observed: Option<&'a Observed>,
    /// `master@1a2b3c4d` of what runs; empty before the first release.
    pub revision: &'a str,
    /// Phase of the newest release; empty before the first.
    pub phase: &'a str,
    /// What is left to other Applications, or waits for them, while all else is done; empty for nothing.
    pub note: &'a str,
    /// `GitRepository/shop:./deploy`.
    pub source: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// Writes conditions, counts and columns into a status. The rest of the status is the caller's.
pub fn write(status: &mut ApplicationStatus, facts: &Facts<'_>) {
    let time = Time(facts.now);
    let applied = !facts.revision.is_empty();
    let mut put = |type_: &str, on: bool, reason: &str, message: String| {
        let message = crate::record::shorten(&message, 4_000);
        condition::set(
            &mut status.conditions,
            condition::condition(type_, on, reason, message, facts.generation, time.clone()),
        );
    };
    let (synced, reason, message) = sync_line(facts);
    put(SYNCED, synced, reason, message.clone());
    let health = facts.observed.map(|observed| health_line(observed, applied));
    if let Some((healthy, reason, message)) = &health {
        put(HEALTHY, *healthy, reason, message.clone());
    }
    if let Some(observed) = facts.observed {
        let (drifted, reason, message) = drift_line(observed);
        put(DRIFTED, drifted, reason, message);
    }
    let health = health.unwrap_or((
        false,
        "NotKnown",
        "It is not known yet what was applied".to_owned(),
    ));
    let (ready, ready_reason, ready_message) =
        ready_line(facts, (synced, reason, &message), (health.0, health.1, &health.2));
    put(READY, ready, ready_reason, ready_message.clone());
    match facts.progress {
        Progress::Working { reason, message } => put(RECONCILING, true, reason, message.clone()),
        Progress::Failed {
            stalled: false,
            reason,
            message,
        } => put(RECONCILING, true, reason, message.clone()),
        _ => condition::clear(&mut status.conditions, RECONCILING),
    }
    match facts.progress {
        Progress::Failed {
            stalled: true,
            reason,
            message,
        } => {
            let new: Condition = condition::condition(
                STALLED,
                true,
                reason,
                crate::record::shorten(message, 4_000),
                facts.generation,
                time,
            );
            condition::set(&mut status.conditions, new);
        }
        _ => condition::clear(&mut status.conditions, STALLED),
    }
    status.observed_generation = facts.generation;
    if let Some(observed) = facts.observed {
        status.objects = observed.counts.clone();
    }
    let counts = &status.objects;
    status.display = ApplicationDisplay {
        revision: facts.revision.to_owned(),
        phase: facts.phase.to_owned(),
        objects: format!("{}/{}", counts.healthy, counts.total),
        drift: counts.drifted.to_string(),
        source: facts.source.to_owned(),
        message: crate::record::shorten(&ready_message, crate::record::MAX_COLUMN),
    };
}

fn sync_line<'a>(facts: &Facts<'a>) -> (bool, &'a str, String) {
    match facts.progress {
        Progress::Synced => (
            true,
            "Applied",
            format!("Runs {}{}", facts.revision, noted(facts)),
        ),
        Progress::Working { reason, message } | Progress::Waiting { reason, message } => {
            (false, reason, message.clone())
        }
        Progress::Failed { reason, message, .. } => (false, reason, message.clone()),
    }
}

fn noted(facts: &Facts<'_>) -> String {
    match facts.note {
        "" => String::new(),
        note => format!("; {note}"),
    }
}

fn drift_line(observed: &Observed) -> (bool, &'static str, String) {
    let mut lines = observed.drifted.clone();
    let shown = i32::try_from(lines.len()).unwrap_or(i32::MAX);
    let drifts = shown > 0;
    if !drifts {
        lines.push("No live object differs from what was applied".to_owned());
        lines.extend(observed.scaled.iter().cloned());
    } else if observed.counts.drifted > shown {
        lines.push(format!("and {} more", observed.counts.drifted - shown));
    }
    let reason = if drifts { "ObjectsDiffer" } else { "NoDrift" };
    (drifts, reason, lines.join("; "))
}

fn health_line(observed: &Observed, applied: bool) -> (bool, &'static str, String) {
    let counts = &observed.counts;
    if !observed.failed.is_empty() {
        return (false, "ObjectsFailed", observed.failed.join("; "));
    }
    if !observed.healthy() {
        return (false, "ObjectsInProgress", observed.pending.join("; "));
    }
    if counts.total == 0 && !applied {
        return (false, "NothingApplied", "Nothing has been applied yet".to_owned());
    }
    (
        true,
        "ObjectsHealthy",
        format!("{} of {} objects are healthy", counts.healthy, counts.total),
    )
}

/// `Ready` is both synced and healthy. While a release waits at a gate it keeps the truth of what runs.
fn ready_line<'a>(
    facts: &Facts<'_>,
    sync: (bool, &'a str, &str),
    health: (bool, &'a str, &str),
) -> (bool, &'a str, String) {
    let waits_with_something_running =
        matches!(facts.progress, Progress::Waiting { .. }) && !facts.revision.is_empty();
    let (synced, sync_reason, sync_message) = sync;
    let (healthy, health_reason, health_message) = health;
    if waits_with_something_running {
        let message = format!("Runs {}; {sync_message}", facts.revision);
        return if healthy {
            (true, "Waiting", message)
        } else {
            (false, health_reason, health_message.to_owned())
        };
    }
    if !synced {
        return (false, sync_reason, sync_message.to_owned());
    }
    if !healthy {
        return (false, health_reason, health_message.to_owned());
    }
    (
        true,
        "Succeeded",
        format!("Runs {}; {health_message}{}", facts.revision, noted(facts)),
    )
}
