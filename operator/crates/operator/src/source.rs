//! Controller of `GitRepository`: follows the ref, keeps the mirror, wakes the Applications.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tidegate_api::condition::{self, READY, RECONCILING, STALLED};
use tidegate_api::git_repository::{
    GitReference, GitRepositoryStatus, Revision as ApiRevision, SourceDisplay,
};
use tidegate_api::{Application, GitRepository, names};
use tidegate_cluster::events::Regarding;
use tidegate_core::{duration, gate, record};
use tidegate_git::{
    Class, Credentials, Fetched, Keyring, RefSpec, Remote, RepoUrl, Revision, SignatureState, Verified,
};

use crate::signatures::{self, Judged};
use crate::state::{Again, Operator, Source};
use crate::store::Key;

/// Why a source cannot be read now.
pub(crate) struct Trouble {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) stalled: bool,
}

/// What a poll brought.
struct Brought {
    remote: Remote,
    revision: Revision,
    judged: Judged,
}

/// One poll. Returns when to come again.
pub(crate) async fn reconcile(operator: &Arc<Operator>, key: &Key) -> Again {
    let Some(repository) = operator.repositories.get(key) else {
        operator.sources.remove(key);
        return Again::Never;
    };
    if repository.metadata.deletion_timestamp.is_some() {
        return Again::Never;
    }
    let now = Timestamp::now();
    if let Some((why, until)) = gate::suspended(repository.spec.suspend.as_ref(), now) {
        let trouble = Trouble {
            reason: "Suspended",
            message: why,
            stalled: false,
        };
        write_status(operator, key, &repository, Err(&trouble)).await;
        return until.map_or(Again::Never, Again::at);
    }
    let interval = duration::parse(&repository.spec.interval).unwrap_or(Duration::from_secs(30));
    let outcome = poll(operator, key, &repository).await;
    let known = operator.sources.get(key);
    match outcome {
        Ok(brought) => {
            let news = take_in(operator, key, known.as_deref(), &brought, now);
            write_status(operator, key, &repository, Ok(&brought)).await;
            if news {
                operator.wake_applications_of(key);
            }
            Again::after(interval)
        }
        Err(trouble) => {
            write_status(operator, key, &repository, Err(&trouble)).await;
            if known.is_none() {
                operator.wake_applications_of(key);
            }
            Again::after(interval)
        }
    }
}

/// Keeps what was brought; true for news to the Applications: another commit, or other answers about its signatures.
fn take_in(
    operator: &Operator,
    key: &Key,
    known: Option<&Source>,
    brought: &Brought,
    now: Timestamp,
) -> bool {
    let revision = &brought.revision;
    let same =
        known.filter(|k| k.revision.commit == revision.commit && k.revision.reference == revision.reference);
    let judged = &brought.judged;
    let unchanged = |k: &&Source| {
        k.revision.tag == revision.tag
            && k.keyring.fingerprint() == judged.keyring.fingerprint()
            && k.verified == judged.verified
    };
    if same.is_some_and(|k| unchanged(&k)) {
        return false;
    }
    let source = Source {
        remote: Some(brought.remote.clone()),
        revision: revision.clone(),
        number: same.map_or_else(|| operator.standings.next_commit(), |k| k.number),
        detected: same.map_or(now, |k| k.detected),
        keyring: judged.keyring.clone(),
        verified: judged.verified.clone(),
    };
    operator.sources.put(key.clone(), source);
    true
}

async fn poll(operator: &Operator, key: &Key, repository: &GitRepository) -> Result<Brought, Trouble> {
    let remote = remote(operator, key, repository).await?;
    let spec = ref_spec(&repository.spec.reference);
    let known = operator.sources.get(key).filter(|s| {
        s.remote
            .as_ref()
            .is_some_and(|r| r.url.to_string() == remote.url.to_string())
    });
    let known = known.map(|s| s.revision.commit.clone());
    let started = Instant::now();
    let fetched = operator
        .git
        .fetch(&remote, &spec, known.as_deref())
        .await
        .map_err(|error| Trouble {
            reason: error.reason(),
            message: error.to_string(),
            stalled: error.class() == Class::Terminal,
        })?;
    if let Fetched::New(_) = fetched {
        operator.metrics.stage("fetch", started.elapsed());
    }
    let revision = fetched.revision().clone();
    let judged = signatures::judge(operator, key, repository, &remote, &revision).await?;
    Ok(Brought {
        remote,
        revision,
        judged,
    })
}

/// The source as an earlier process left it, with the commit that runs, or that a first release is about to bring: its
/// mirror may have survived, and the kept set needs none. `None` where it is not known what runs.
pub(crate) async fn mirrored(
    operator: &Operator,
    app: &Application,
    key: &Key,
    begun: Option<&str>,
) -> Option<Source> {
    let applied = app
        .status
        .as_ref()
        .and_then(|s| s.last_applied_revision.as_deref());
    let commit = applied.or(begun)?.to_owned();
    let source = Key::new(&key.namespace, &app.spec.source.name);
    let repository = operator.repositories.get(&source);
    let remote = match &repository {
        Some(repository) => remote(operator, &source, repository).await.ok(),
        None => None,
    };
    let reference = repository.map(|r| shown_ref(&r.spec.reference));
    let revision = Revision {
        reference: reference.unwrap_or_else(|| "commit".to_owned()),
        commit,
        tree: String::new(),
        author_name: String::new(),
        author_email: String::new(),
        committer_name: String::new(),
        committer_email: String::new(),
        committed_at: Timestamp::UNIX_EPOCH,
        subject: String::new(),
        tag: None,
    };
    let detected = Timestamp::now();
    Some(Source {
        remote,
        revision,
        detected,
        // Older than any that this process has fetched.
        number: 0,
        keyring: Keyring::default(),
        verified: None,
    })
}

async fn remote(operator: &Operator, key: &Key, repository: &GitRepository) -> Result<Remote, Trouble> {
    let terminal = |error: &tidegate_git::Error| Trouble {
        reason: error.reason(),
        message: format!("spec.url: {error}"),
        stalled: true,
    };
    let mut remote = Remote::new(RepoUrl::parse(&repository.spec.url).map_err(|e| terminal(&e))?);
    remote.timeout = duration::parse(&repository.spec.timeout).map_err(|message| Trouble {
        reason: "InvalidSpec",
        message: format!("spec.timeout: {message}"),
        stalled: true,
    })?;
    if let Some(secret) = &repository.spec.secret_ref {
        let data = operator
            .secret(&key.namespace, &secret.name)
            .await
            .map_err(|message| Trouble {
                reason: "SecretUnavailable",
                message: format!(
                    "spec.secretRef: Secret {}/{}: {message}",
                    key.namespace, secret.name
                ),
                stalled: false,
            })?;
        remote.credentials = Credentials::from_secret(&data).map_err(|error| Trouble {
            reason: error.reason(),
            message: format!(
                "spec.secretRef: Secret {}/{}: {error}",
                key.namespace, secret.name
            ),
            stalled: true,
        })?;
    }
    Ok(remote)
}

/// At most one field is set (the API server checks it); none means branch `master`.
fn ref_spec(reference: &GitReference) -> RefSpec {
    let GitReference {
        branch,
        tag,
        semver,
        commit,
        name,
    } = reference;
    match (commit, name, semver, tag) {
        (Some(commit), _, _, _) => RefSpec::Commit(commit.clone()),
        (_, Some(name), _, _) => RefSpec::Name(name.clone()),
        (_, _, Some(range), _) => RefSpec::Semver(range.clone()),
        (_, _, _, Some(tag)) => RefSpec::Tag(tag.clone()),
        _ => RefSpec::Branch(branch.clone().unwrap_or_else(|| "master".to_owned())),
    }
}

fn shown_ref(reference: &GitReference) -> String {
    match ref_spec(reference) {
        RefSpec::Branch(text) | RefSpec::Tag(text) | RefSpec::Semver(text) | RefSpec::Name(text) => text,
        RefSpec::Commit(commit) => record::short_revision("commit", &commit),
    }
}

async fn write_status(
    operator: &Operator,
    key: &Key,
    repository: &GitRepository,
    outcome: Result<&Brought, &Trouble>,
) {
    let mut status = repository.status.clone().unwrap_or_default();
    let time = Time(Timestamp::now());
    let generation = repository.metadata.generation;
    let revision_before = status.display.revision.clone();
    let put = |status: &mut GitRepositoryStatus, type_: &str, on: bool, reason: &str, message: &str| {
        let new = condition::condition(type_, on, reason, message, generation, time.clone());
        condition::set(&mut status.conditions, new);
    };
    condition::clear(&mut status.conditions, RECONCILING);
    condition::clear(&mut status.conditions, STALLED);
    match outcome {
        Ok(brought) => {
            let revision = &brought.revision;
            let signature = brought.judged.verified.as_ref().map(Verified::overall);
            let short = record::short_revision(&revision.reference, &revision.commit);
            let doubt = signature.filter(|s| s.state != SignatureState::Good);
            let doubt = doubt.map(|s| format!(" ({}: {})", signatures::reason(s.state), s.message));
            let message = format!(
                "{short} by {}: {}{}",
                revision.author_name,
                revision.subject,
                doubt.unwrap_or_default()
            );
            put(&mut status, READY, true, "Fetched", &format!("Fetched {message}"));
            status.display.revision = short;
            status.display.message = message;
            status.revision = Some(ApiRevision {
                signature: signature.map(signatures::in_status),
                ..api_revision(revision)
            });
        }
        Err(trouble) => {
            put(&mut status, READY, false, trouble.reason, &trouble.message);
            if trouble.stalled {
                put(&mut status, STALLED, true, trouble.reason, &trouble.message);
            }
            status.display.message.clone_from(&trouble.message);
        }
    }
    status.observed_generation = generation;
    status.display = SourceDisplay {
        reference: shown_ref(&repository.spec.reference),
        ..status.display
    };
    status.last_handled_requested_at = requested_at(repository.metadata.annotations.as_ref());
    if repository.status.as_ref() == Some(&status) {
        return;
    }
    if let Err(trouble) = outcome
        && repository
            .status
            .as_ref()
            .is_none_or(|s| s.display.message != trouble.message)
    {
        operator.event(
            reference(key, repository),
            true,
            trouble.reason,
            "Fetch",
            &trouble.message,
        );
    }
    if let Ok(brought) = outcome
        && status.display.revision != revision_before
    {
        let state = brought.judged.verified.as_ref().map(|v| v.overall().state);
        let doubt = state.filter(|state| *state != SignatureState::Good);
        operator.event(
            reference(key, repository),
            doubt.is_some(),
            doubt.map_or("Fetched", signatures::reason),
            "Fetch",
            &status.display.message,
        );
    }
    let before = repository
        .status
        .as_ref()
        .map(|s| serde_json::to_value(s).unwrap_or_default())
        .unwrap_or_default();
    let after = serde_json::to_value(&status).unwrap_or_default();
    let uid = repository.metadata.uid.as_deref().unwrap_or_default();
    if !operator.lease.may_write() {
        return;
    }
    if let Err(error) = operator
        .write_status(&operator.own_repositories, key, uid, &before, &after)
        .await
    {
        tracing::warn!(repository = %key, %error, "the status could not be written; the next poll tries again");
    }
}

/// The value of `tidegate.io/requestedAt`.
pub(crate) fn requested_at(annotations: Option<&BTreeMap<String, String>>) -> Option<String> {
    annotations?.get(names::ANNOTATION_REQUESTED_AT).cloned()
}

fn api_revision(revision: &Revision) -> ApiRevision {
    ApiRevision {
        reference: revision.reference.clone(),
        commit: revision.commit.clone(),
        author: author(revision),
        committed_at: revision.committed_at.to_string(),
        subject: revision.subject.clone(),
        signature: None,
    }
}

/// `Name <email>`.
pub(crate) fn author(revision: &Revision) -> String {
    format!("{} <{}>", revision.author_name, revision.author_email)
}

fn reference(key: &Key, repository: &GitRepository) -> Regarding {
    Regarding {
        api_version: "tidegate.io/v1alpha1".to_owned(),
        kind: "GitRepository".to_owned(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: repository.metadata.uid.clone().unwrap_or_default(),
    }
}
