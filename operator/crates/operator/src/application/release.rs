//! A Release from its first line to its last: making, writing phases, finishing, history.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::ObjectMeta;
use tidegate_api::release::{Failure, Phase, PlanSummary, ReleaseRevision, Results, Times, Trigger};
use tidegate_api::{Application, ApplicationStatus, Release, ReleaseSpec, ReleaseStatus, names};
use tidegate_core::desired::Rendered;
use tidegate_core::{duration, record, seal};
use tidegate_git::{Revision, Signature};

use crate::application::AppState;
use crate::application::fail::Fault;
use crate::application::history::History;
use crate::signatures::in_record;
use crate::source::author;
use crate::state::Operator;
use crate::store::Key;

/// A release that is not finished.
pub(crate) struct Open {
    /// Name of the Release.
    pub(crate) name: String,
    /// What it is about.
    pub(crate) spec: ReleaseSpec,
    /// UID of the Release.
    pub(crate) uid: String,
    /// What it should say.
    pub(crate) status: ReleaseStatus,
    /// What was written last.
    written: Option<ReleaseStatus>,
    /// When it has failed if not everything is healthy; set when verification begins.
    pub(crate) deadline: Option<Timestamp>,
    /// The set that it brings, once it is known: its hooks are not in the cluster.
    pub(crate) set: Option<Arc<Rendered>>,
    /// Why it fails, while its `SyncFail` hooks run.
    pub(crate) failing: Option<Fault>,
    /// True when what failed is not to be remembered as the commit's fault.
    pub(crate) spared: bool,
    /// What its next part waits for, and until when.
    wait: Option<(String, Timestamp)>,
    /// What its message is about.
    about: String,
    /// For the stage histogram.
    pub(crate) started: Instant,
}

/// What a new release is about.
pub(crate) struct Subject<'a> {
    pub(crate) revision: &'a Revision,
    /// What its signature is worth, where that is looked at.
    pub(crate) signature: Option<&'a Signature>,
    pub(crate) tree: &'a str,
    pub(crate) trigger: Trigger,
    pub(crate) detected: Timestamp,
    /// Digest of the set; `None` for a commit that is refused.
    pub(crate) digest: Option<&'a str>,
    /// The Release whose set it puts back, because somebody asked.
    pub(crate) restores: Option<&'a str>,
}

impl Open {
    /// True while its objects are being written: not all of them are known to be.
    pub(crate) fn being_written(&self) -> bool {
        matches!(
            self.status.phase,
            Phase::Planned | Phase::Waiting | Phase::Applying
        )
    }

    /// True when it brings that set.
    pub(crate) fn brings(&self, digest: &str) -> bool {
        self.spec.set_digest.as_deref() == Some(digest)
    }

    /// The release that what it creates belongs to: on the way back, the one that is put back.
    pub(crate) fn maker(&self) -> &str {
        let back = self.status.rollback.as_ref();
        back.map_or(&self.name, |back| &back.to)
    }

    /// True while the last good set is being put back.
    pub(crate) fn goes_back(&self) -> bool {
        self.status.rollback.is_some() && !self.status.phase.is_final()
    }

    /// `master@1a2b3c4d`.
    pub(crate) fn short_revision(&self) -> String {
        record::short_revision(&self.spec.revision.reference, &self.spec.revision.commit)
    }

    /// Moves to a phase, with the line for people. Nothing is written yet.
    pub(crate) fn turn(&mut self, phase: Phase, message: &str, now: Timestamp) {
        let time = Some(now.to_string());
        let times = &mut self.status.times;
        match phase {
            Phase::Planned => times.planned.clone_from(&time),
            Phase::Waiting => {}
            Phase::Applying => times.approved.clone_from(&time),
            Phase::Verifying => times.applied.clone_from(&time),
            Phase::Succeeded => times.healthy.clone_from(&time),
            Phase::Failed | Phase::RolledBack | Phase::Superseded | Phase::Denied => {}
        }
        if phase.is_final() && times.finished.is_none() {
            times.finished = time;
        }
        self.status.phase = phase;
        self.status.display = record::display(
            &self.spec.revision,
            &self.status.plan,
            &self.status.times,
            phase,
            message,
        );
    }

    /// Changes the line for people within a phase. Nothing is written yet.
    pub(crate) fn say(&mut self, message: &str) {
        let status = &mut self.status;
        let phase = status.phase;
        status.display = record::display(&self.spec.revision, &status.plan, &status.times, phase, message);
    }

    /// True when a message is about something else than the last one: counts that change with each pod are not written.
    pub(crate) fn says_anew(&mut self, about: &str) -> bool {
        let anew = self.about != about;
        about.clone_into(&mut self.about);
        anew
    }

    /// The time of waits stands still while the Application is suspended: it begins anew.
    pub(crate) fn pause(&mut self) {
        self.deadline = None;
        self.wait = None;
    }

    /// When a wait ends. It begins with the first call for it; each wait has its own time.
    pub(crate) fn wait_until(&mut self, what: &str, now: Timestamp, timeout: Duration) -> Timestamp {
        match &self.wait {
            Some((known, until)) if known == what => *until,
            _ => {
                let until = now.checked_add(timeout).unwrap_or(now);
                self.wait = Some((what.to_owned(), until));
                until
            }
        }
    }

    /// Replaces the results.
    pub(crate) fn fail(&mut self, failed: Vec<Failure>, survivors: Vec<String>) {
        self.status.results = record::results(failed, survivors);
    }
}

/// Makes the Release in the cluster, numbered after the highest that exists. Unfinished ones that a failed call left
/// behind are closed; `running` names the one that is still being carried out.
pub(crate) async fn open(
    operator: &Operator,
    key: &Key,
    app: &Application,
    subject: Subject<'_>,
    plan: PlanSummary,
    running: Option<&str>,
) -> Result<Open, String> {
    let mut existing = operator.list_releases(key).await?;
    let is_stray = |r: &&Release| !is_final(r) && r.metadata.name.as_deref() != running;
    let strays: Vec<Release> = existing.iter().filter(is_stray).cloned().collect();
    if !strays.is_empty() {
        for stray in strays {
            close_stray(operator, key, app, stray).await?;
        }
        // Their records are the last ones of the chain now.
        existing = operator.list_releases(key).await?;
    }
    let recorded = app.status.as_ref().map_or(0, |s| s.last_sequence);
    let highest = existing.iter().map(|r| r.spec.sequence).max().unwrap_or(0);
    let spec = ReleaseSpec {
        application: key.name.clone(),
        application_uid: app.metadata.uid.clone().unwrap_or_default(),
        sequence: highest.max(recorded) + 1,
        revision: ReleaseRevision {
            commit: subject.revision.commit.clone(),
            tree: subject.tree.to_owned(),
            reference: subject.revision.reference.clone(),
            author: record::shorten(&author(subject.revision), 500),
            committed_at: subject.revision.committed_at.to_string(),
            subject: subject.revision.subject.clone(),
            signer: subject.signature.map(in_record),
        },
        trigger: subject.trigger,
        set_digest: subject.digest.map(str::to_owned),
        previous: seal::head(&existing).last,
        restores: subject.restores.map(str::to_owned),
    };
    let name = record::release_name(&key.name, spec.sequence);
    let created = operator.create_release(&to_object(key, &name, &spec)).await?;
    let uid = created.metadata.uid.unwrap_or_default();
    tracing::info!(release = name, commit = spec.revision.commit, "release begins");
    let times = Times {
        committed: Some(subject.revision.committed_at.to_string()),
        detected: Some(subject.detected.to_string()),
        planned: Some(Timestamp::now().to_string()),
        ..Times::default()
    };
    let status = ReleaseStatus {
        plan,
        times,
        results: Results::default(),
        ..ReleaseStatus::default()
    };
    Ok(Open {
        name,
        spec,
        uid,
        status,
        written: None,
        deadline: None,
        set: None,
        failing: None,
        spared: false,
        wait: None,
        about: String::new(),
        started: Instant::now(),
    })
}

/// Picks up what an earlier process left unfinished, whatever the newest commit is by now: the newest Release that had
/// begun goes on, the newest that waits goes on waiting, the others are closed.
pub(crate) async fn resume(
    operator: &Operator,
    key: &Key,
    app: &Application,
    state: &mut AppState,
) -> Result<(), String> {
    if state.resumed {
        return Ok(());
    }
    let mut unfinished = operator.list_releases(key).await?;
    unfinished.retain(|r| Some(&r.spec.application_uid) == app.metadata.uid.as_ref() || !is_final(r));
    if let Some(status) = &mut state.status {
        catch_up(status, &unfinished);
    }
    unfinished.retain(|r| !is_final(r));
    unfinished.sort_by_key(|r| std::cmp::Reverse(r.spec.sequence));
    let ours = |r: &Release| {
        r.spec.set_digest.is_some() && Some(&r.spec.application_uid) == app.metadata.uid.as_ref()
    };
    let mut take = |which: &dyn Fn(&Release) -> bool| {
        let at = unfinished.iter().position(|r| ours(r) && which(r))?;
        Some(unfinished.remove(at))
    };
    // One that waits may stand beside one that has begun before it.
    let (waiting, begun) = (take(&waits), take(&|r| !waits(r)));
    for stray in unfinished {
        close_stray(operator, key, app, stray).await?;
    }
    state.open = begun.map(reopened);
    state.waiting = waiting.map(reopened);
    state.resumed = true;
    Ok(())
}

/// The process may have ended between the last line of a record and the Application's status: the record is right.
fn catch_up(status: &mut ApplicationStatus, releases: &[Release]) {
    let phase = |r: &Release| r.status.as_ref().map(|s| s.phase).unwrap_or_default();
    let sequence_of = |name: &Option<String>| {
        let digits = name.as_deref().and_then(|name| name.rsplit('-').next());
        digits
            .and_then(|digits| digits.parse::<i64>().ok())
            .unwrap_or_default()
    };
    let good = releases
        .iter()
        .filter(|r| phase(r) == Phase::Succeeded)
        .max_by_key(|r| r.spec.sequence);
    if let Some(good) = good.filter(|r| r.spec.sequence > sequence_of(&status.last_good_release)) {
        status.last_good_release.clone_from(&good.metadata.name);
    }
    let tried = |r: &&Release| {
        matches!(phase(r), Phase::Succeeded | Phase::Failed | Phase::RolledBack)
            && r.spec.set_digest.is_some()
            && r.spec.sequence >= status.last_sequence
    };
    if let Some(last) = releases.iter().filter(tried).max_by_key(|r| r.spec.sequence) {
        phase(last).as_str().clone_into(&mut status.display.phase);
        status.last_sequence = last.spec.sequence;
        status.attempted_digest.clone_from(&last.spec.set_digest);
        status.last_attempted_revision = Some(last.spec.revision.commit.clone());
    }
}

pub(super) fn is_final(release: &Release) -> bool {
    release.status.as_ref().is_some_and(|s| s.phase.is_final())
}

/// True for one that has not begun, or whose first line was never written: the gates are asked again. Nothing of it is in
/// the cluster before its record says that it is being applied.
fn waits(release: &Release) -> bool {
    let begun = |phase: Phase| !matches!(phase, Phase::Planned | Phase::Waiting);
    !release.status.as_ref().is_some_and(|s| begun(s.phase))
}

async fn close_stray(
    operator: &Operator,
    key: &Key,
    app: &Application,
    stray: Release,
) -> Result<(), String> {
    let message = "left unfinished by a failed call or an earlier process";
    let mut stray = reopened(stray);
    finish(operator, key, app, &mut stray, Phase::Superseded, message).await
}

fn reopened(release: Release) -> Open {
    Open {
        name: release.metadata.name.unwrap_or_default(),
        spec: release.spec,
        uid: release.metadata.uid.unwrap_or_default(),
        written: release.status.clone(),
        status: release.status.unwrap_or_default(),
        deadline: None,
        set: None,
        failing: None,
        spared: false,
        wait: None,
        about: String::new(),
        started: Instant::now(),
    }
}

fn to_object(key: &Key, name: &str, spec: &ReleaseSpec) -> Release {
    let label = (names::LABEL_APPLICATION.to_owned(), label_value(&key.name));
    Release {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(key.namespace.clone()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        spec: spec.clone(),
        status: None,
    }
}

/// A label's value has at most 63 characters; Applications' names may be longer.
pub(crate) fn label_value(name: &str) -> String {
    name.get(..63)
        .unwrap_or(name)
        .trim_end_matches(['-', '.'])
        .to_owned()
}

/// Writes the status as it stands in memory.
pub(crate) async fn write(operator: &Operator, key: &Key, open: &mut Open) -> Result<(), String> {
    let release = Key::new(&key.namespace, &open.name);
    let before = open.written.clone().unwrap_or_default();
    operator
        .write_status(&operator.releases, &release, &open.uid, &before, &open.status)
        .await?;
    open.written = Some(open.status.clone());
    Ok(())
}

/// Brings a release to its final phase, seals it and prunes the history. After an error the record is not final: call it
/// again. What is sealed stays as it is: it may have been written, though no answer came.
pub(crate) async fn finish(
    operator: &Operator,
    key: &Key,
    app: &Application,
    open: &mut Open,
    phase: Phase,
    message: &str,
) -> Result<(), String> {
    let others = operator.list_releases(key).await?;
    let history = History::of(&others, app, open);
    if open.status.record.is_none() {
        open.turn(phase, message, Timestamp::now());
        history.seal(operator, key, open)?;
    }
    let phase = open.status.phase;
    write(operator, key, open).await?;
    operator.metrics.released(phase.as_str());
    tracing::info!(
        release = open.name,
        phase = phase.as_str(),
        message,
        "release ends"
    );
    if phase == Phase::Succeeded {
        operator.metrics.stage("healthy", open.started.elapsed());
    }
    let warning = matches!(phase, Phase::Failed | Phase::Denied | Phase::RolledBack);
    let note = format!("Release {} of {}: {message}", open.name, open.short_revision());
    operator.event(
        crate::application::status::reference(key, app),
        warning,
        phase.as_str(),
        "Release",
        &note,
    );
    // The record is complete; old ones that could not be removed now go with the next release.
    if let Err(error) = history.prune(operator, key, app, open).await {
        tracing::warn!(application = %key, %error, "old Releases could not be removed");
    }
    Ok(())
}

/// `spec.health.timeout`.
pub(crate) fn health_timeout(app: &Application) -> Duration {
    duration::parse(&app.spec.health.timeout).unwrap_or(Duration::from_secs(300))
}
