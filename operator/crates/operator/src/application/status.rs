//! The Application's status: facts in, one patch out, none when nothing changed.

use jiff::Timestamp;
use tidegate_api::Application;
use tidegate_api::release::Phase;
use tidegate_cluster::events::Regarding;
use tidegate_core::record;
use tidegate_core::status::{self as facts, Facts, Observed, Progress};

use crate::application::AppState;
use crate::source::requested_at;
use crate::state::Operator;
use crate::store::Key;

/// Changes of this reconcile that go into the status besides conditions.
#[derive(Default)]
pub(crate) struct Edits {
    pub(crate) applied: Option<Applied>,
    pub(crate) good_release: Option<String>,
    pub(crate) attempted: Option<Attempted>,
    pub(crate) phase: Option<Phase>,
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

/// Writes the status if it changed. Returns the observed objects' state.
pub(crate) async fn write(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
    observed: &Observed,
    edits: Edits,
) {
    let before = app.status.clone().unwrap_or_default();
    let mut status = before.clone();
    let mut revision = status.display.revision.clone();
    let mut phase = status.display.phase.clone();
    if let Some(applied) = edits.applied {
        revision = applied.display;
        status.last_applied_revision = Some(applied.commit);
        status.current_release = applied.release.or(status.current_release);
    }
    if let Some(attempted) = edits.attempted {
        status.last_attempted_revision = Some(attempted.commit);
        status.last_sequence = status.last_sequence.max(attempted.sequence);
        status.attempted_digest = attempted.digest;
    }
    status.last_good_release = edits.good_release.or(status.last_good_release);
    if let Some(new) = edits.phase {
        new.as_str().clone_into(&mut phase);
    }
    let news = std::mem::take(&mut state.drift);
    if news.count > 0 {
        status.drift.count += news.count;
        status.drift.last = news.last.map(|t| t.to_string());
        status.drift.manager = news.manager;
        status.drift.fields = news.fields;
    }
    status.last_handled_requested_at = requested_at(app.metadata.annotations.as_ref());
    let nothing = Progress::Waiting {
        reason: "Pending",
        message: "Has not been looked at yet".to_owned(),
    };
    let source = format!(
        "{:?}/{}:{}",
        app.spec.source.kind, app.spec.source.name, app.spec.source.path
    );
    facts::write(
        &mut status,
        &Facts {
            generation: app.metadata.generation,
            progress: state.progress.as_ref().unwrap_or(&nothing),
            observed,
            revision: &revision,
            phase: &phase,
            source: &source,
            now: Timestamp::now(),
        },
    );
    if status == before && app.status.is_some() {
        return;
    }
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let nothing = serde_json::Value::Null;
    let known = app
        .status
        .as_ref()
        .map_or(nothing, |_| serde_json::to_value(&before).unwrap_or_default());
    let after = serde_json::to_value(&status).unwrap_or_default();
    match operator
        .write_status(&operator.own_applications, key, uid, &known, &after)
        .await
    {
        Ok(_) => operator.remember_status(key, status),
        Err(error) => {
            tracing::warn!(application = %key, %error, "the status could not be written and is tried again");
            operator
                .application_queue
                .add_at(key.clone(), tokio::time::Instant::now() + STATUS_RETRY);
        }
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
