//! The Application's status: facts in, one patch out, none when nothing changed.

use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_api::application::{ApplicationStatus, Quarantined, RolledBack};
use tidegate_api::release::Phase;
use tidegate_cluster::events::Regarding;
use tidegate_core::desired::Rendered;
use tidegate_core::soak::{self, Runs, Settled};
use tidegate_core::status::{self as facts, Facts, Observed, Progress};
use tidegate_core::{quarantine, record};

use crate::application::{AppState, DriftNews, relations};
use crate::source::requested_at;
use crate::state::Operator;
use crate::store::Key;

/// Changes of this reconcile that go into the status besides conditions.
#[derive(Default)]
pub(crate) struct Edits {
    pub(crate) applied: Option<Applied>,
    pub(crate) good_release: Option<String>,
    /// A commit that failed.
    pub(crate) quarantined: Option<Quarantined>,
    /// A rollback that a person asked for begins, or does not hold any more.
    pub(crate) rolled_back: Option<Option<RolledBack>>,
    /// The value of `tidegate.io/rollbackTo` that was answered; none where there is none.
    pub(crate) answered_rollback: Option<Option<String>>,
    /// The set of a release that is good.
    pub(crate) proven: Option<Arc<Rendered>>,
    pub(crate) attempted: Option<Attempted>,
    /// Phase of the release of that sequence number; shown while there is no newer one.
    pub(crate) phase: Option<(i64, Phase)>,
}

impl Edits {
    /// Sets the phase of a release. One reconcile may deny a commit and look after an older release: the newer is shown.
    pub(crate) fn turn(&mut self, sequence: i64, phase: Phase) {
        if self.phase.is_none_or(|(newest, _)| sequence >= newest) {
            self.phase = Some((sequence, phase));
        }
    }

    /// Sets what was tried, likewise.
    pub(crate) fn attempt(&mut self, attempted: Attempted) {
        let newest = self.attempted.as_ref().map(|a| a.sequence);
        if newest.is_none_or(|newest| attempted.sequence >= newest) {
            self.attempted = Some(attempted);
        }
    }
}

/// What runs now.
pub(crate) struct Applied {
    pub(crate) commit: String,
    pub(crate) display: String,
    pub(crate) release: Option<String>,
}

/// What was tried.
pub(crate) struct Attempted {
    pub(crate) commit: String,
    pub(crate) sequence: i64,
    pub(crate) digest: Option<String>,
}

/// Brings the status in memory to what is known now, and writes it if it changed. `observed` is `None` while it is not
/// known what belongs to the Application; `answered` when a request by annotation was carried out and need not be repeated.
pub(crate) async fn write(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    observed: Option<&Observed>,
    edits: Edits,
    answered: bool,
) {
    let mut status = app.status.clone().unwrap_or_default();
    edit(&mut status, edits);
    count_drift(&mut status, std::mem::take(&mut state.drift));
    if answered {
        status.last_handled_requested_at = requested_at(app.metadata.annotations.as_ref());
    }
    let nothing = Progress::Waiting {
        reason: "Pending",
        message: "Has not been looked at yet".to_owned(),
    };
    let source = format!(
        "{:?}/{}:{}",
        app.spec.source.kind, app.spec.source.name, app.spec.source.path
    );
    let (revision, phase) = (status.display.revision.clone(), status.display.phase.clone());
    facts::write(
        &mut status,
        &Facts {
            generation: app.metadata.generation,
            progress: state
                .obstacle
                .as_ref()
                .or(state.progress.as_ref())
                .unwrap_or(&nothing),
            observed,
            revision: &revision,
            phase: &phase,
            note: &note(state),
            source: &source,
            now: Timestamp::now(),
        },
    );
    keep_log(&mut status, state, observed);
    state.status = Some(status.clone());
    if state.written.as_ref() == Some(&status) {
        return;
    }
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let value = |status: &ApplicationStatus| serde_json::to_value(status).unwrap_or_default();
    let known = state.written.as_ref().map(value).unwrap_or_default();
    match operator
        .write_status(&operator.own_applications, key, uid, &known, &value(&status))
        .await
    {
        Ok(_) => state.written = Some(status),
        Err(error) => {
            tracing::warn!(application = %key, %error, "the status could not be written and is tried again");
            operator
                .application_queue
                .add_at(key.clone(), tokio::time::Instant::now() + STATUS_RETRY);
        }
    }
}

/// What is said besides, while all else is done.
fn note(state: &AppState) -> String {
    let kept = state.kept.line();
    match &state.promotion.follows {
        None => kept,
        Some(follows) if kept.is_empty() => follows.clone(),
        Some(follows) => format!("{follows}; {kept}"),
    }
}

/// Keeps the log of the commits that ran here. A set whose release failed earns nothing, however healthy it is later.
fn keep_log(status: &mut ApplicationStatus, state: &mut AppState, observed: Option<&Observed>) {
    let failed = status.display.phase == Phase::Failed.as_str();
    let place = state
        .at
        .as_ref()
        .filter(|_| !failed && relations::is_settled(state));
    let settled = place.map(|place| Settled {
        commit: place.commit.clone(),
        shown: place.shown.clone(),
        tree: state.newest.as_ref().map(|n| n.tree.clone()).unwrap_or_default(),
        digest: status.attempted_digest.clone().unwrap_or_default(),
    });
    let bringing = state
        .open
        .as_ref()
        .and_then(|open| open.spec.set_digest.as_deref());
    let digest = soak::running(status, bringing).map(str::to_owned);
    let digest = settled.as_ref().map(|s| s.digest.clone()).or(digest);
    let runs = Runs {
        settled,
        digest: digest.as_deref(),
        sound: observed.map(|seen| seen.healthy() && seen.counts.drifted == 0),
    };
    soak::note(&mut status.observed, &mut state.unlogged, &runs, Timestamp::now());
}

/// What this reconcile brought. News of an older release than the newest change nothing of what is said of that.
fn edit(status: &mut ApplicationStatus, edits: Edits) {
    if let Some(applied) = edits.applied {
        status.display.revision = applied.display;
        status.last_applied_revision = Some(applied.commit);
        status.current_release = applied.release.or(status.current_release.take());
    }
    if let Some(attempted) = edits.attempted.filter(|a| a.sequence >= status.last_sequence) {
        status.last_attempted_revision = Some(attempted.commit);
        status.last_sequence = attempted.sequence;
        // A refused commit has no set: what was tried last stays what it was.
        status.attempted_digest = attempted.digest.or(status.attempted_digest.take());
    }
    status.last_good_release = edits.good_release.or(status.last_good_release.take());
    if let Some(rolled_back) = edits.rolled_back {
        status.rolled_back = rolled_back;
    }
    if let Some(answered) = edits.answered_rollback {
        status.last_handled_rollback_to = answered;
    }
    if let Some(set) = edits.proven {
        quarantine::clear(&mut status.quarantined, &set);
    }
    if let Some(entry) = edits.quarantined {
        quarantine::add(&mut status.quarantined, entry);
    }
    if let Some((sequence, phase)) = edits.phase
        && sequence >= status.last_sequence
    {
        phase.as_str().clone_into(&mut status.display.phase);
    }
}

fn count_drift(status: &mut ApplicationStatus, news: DriftNews) {
    if news.count > 0 {
        status.drift.count += news.count;
        status.drift.last = news.last.map(|t| t.to_string());
        status.drift.manager = news.manager;
        status.drift.fields = news.fields;
    }
}

/// Wait before a status that could not be written is tried again.
const STATUS_RETRY: std::time::Duration = std::time::Duration::from_secs(2);

/// Reference of an Application in Events.
pub(crate) fn reference(key: &Key, app: &Application) -> Regarding {
    Regarding {
        api_version: "tidegate.io/v1alpha1".to_owned(),
        kind: "Application".to_owned(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: app.metadata.uid.clone().unwrap_or_default(),
    }
}

/// `master@1a2b3c4d` of a source's revision.
pub(crate) fn shown(revision: &tidegate_git::Revision) -> String {
    record::short_revision(&revision.reference, &revision.commit)
}
