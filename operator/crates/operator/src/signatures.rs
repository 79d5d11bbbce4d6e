//! Signatures at a source: the keyring of `spec.verify`, what a commit's signature is worth, and its forms in statuses,
//! records and in what policies are asked with. Decides nothing: git judges, policies demand.

use jiff::Timestamp;
use tidegate_api::GitRepository;
use tidegate_api::git_repository::{CommitSignature, Verify, VerifyMode};
use tidegate_api::release::Signer;
use tidegate_core::people::{SignatureFacts, SignatureState as FactState};
use tidegate_git::{Class, Keyring, Remote, Revision, Signature, SignatureState, Verified};

use crate::source::Trouble;
use crate::state::{Operator, Source};
use crate::store::Key;

/// What a poll came to: the commit, and what is known of its signatures.
pub(crate) struct Judged {
    pub(crate) keyring: Keyring,
    /// `None` where `spec.verify` asks for nothing.
    pub(crate) verified: Option<Verified>,
}

/// Judges the commit that a poll found. In mode Strict one without a good signature is an error, and so is a keyring
/// that cannot be read.
pub(crate) async fn judge(
    operator: &Operator,
    key: &Key,
    repository: &GitRepository,
    remote: &Remote,
    revision: &Revision,
) -> Result<Judged, Trouble> {
    let wanted = repository.spec.verify.as_ref();
    let Some(verify) = wanted.filter(|verify| verify.mode != VerifyMode::None) else {
        return Ok(Judged {
            keyring: Keyring::default(),
            verified: None,
        });
    };
    let known = operator.sources.get(key);
    let known = known.as_deref();
    let keyring = match keyring(operator, key, verify, known).await {
        Ok(keyring) => keyring,
        Err(trouble) if verify.mode == VerifyMode::Warn => return Ok(unreadable(&trouble)),
        Err(trouble) => return Err(trouble),
    };
    let verified = match known.and_then(|source| still_good(source, revision, &keyring)) {
        Some(verified) => verified,
        None => operator
            .git
            .verify(remote, revision, &keyring, Timestamp::now())
            .await
            .map_err(|error| Trouble {
                reason: error.reason(),
                message: error.to_string(),
                stalled: error.class() == Class::Terminal,
            })?,
    };
    let overall = verified.overall();
    if verify.mode == VerifyMode::Strict && overall.state != SignatureState::Good {
        return Err(refusal(revision, overall, known));
    }
    Ok(Judged {
        keyring,
        verified: Some(verified),
    })
}

/// A good signature stays good while neither commit nor keyring change; any other is looked at again.
fn still_good(source: &Source, revision: &Revision, keyring: &Keyring) -> Option<Verified> {
    let same = source.revision.commit == revision.commit
        && source.revision.tag == revision.tag
        && source.revision.reference == revision.reference
        && source.keyring.fingerprint() == keyring.fingerprint();
    let verified = source.verified.as_ref().filter(|_| same)?;
    (verified.overall().state == SignatureState::Good).then(|| verified.clone())
}

/// Reads the Secret; its keys only when they changed.
async fn keyring(
    operator: &Operator,
    key: &Key,
    verify: &Verify,
    known: Option<&Source>,
) -> Result<Keyring, Trouble> {
    let name = verify
        .secret_ref
        .as_ref()
        .map(|secret| secret.name.as_str())
        .unwrap_or_default();
    let place = format!("spec.verify.secretRef: Secret {}/{name}", key.namespace);
    let data = operator
        .secret(&key.namespace, name)
        .await
        .map_err(|message| Trouble {
            reason: "SecretUnavailable",
            message: format!("{place}: {message}"),
            stalled: false,
        })?;
    let unchanged = known.filter(|source| source.keyring.fingerprint() == Keyring::fingerprint_of(&data));
    if let Some(source) = unchanged {
        return Ok(source.keyring.clone());
    }
    operator.git.keyring(data).await.map_err(|error| Trouble {
        reason: error.reason(),
        message: format!("{place}: {error}"),
        stalled: error.class() == Class::Terminal,
    })
}

/// Without a keyring nothing is known of anybody.
fn unreadable(trouble: &Trouble) -> Judged {
    let commit = Signature {
        state: SignatureState::Unknown,
        key_id: String::new(),
        identity: String::new(),
        message: trouble.message.clone(),
    };
    Judged {
        keyring: Keyring::default(),
        verified: Some(Verified { commit, tag: None }),
    }
}

fn refusal(revision: &Revision, signature: &Signature, known: Option<&Source>) -> Trouble {
    let short =
        |revision: &Revision| tidegate_core::record::short_revision(&revision.reference, &revision.commit);
    let stays = known.map_or_else(
        || "nothing is brought until a signed commit is pushed".to_owned(),
        |source| format!("the source stays at {}", short(&source.revision)),
    );
    Trouble {
        reason: reason(signature.state),
        message: format!(
            "{} by {} is not brought: {}; {stays}",
            short(revision),
            revision.author_name,
            signature.message
        ),
        stalled: false,
    }
}

/// Condition reason of a signature.
pub(crate) fn reason(state: SignatureState) -> &'static str {
    match state {
        SignatureState::Good => "SignatureGood",
        SignatureState::Unknown => "SignatureUnknown",
        SignatureState::Bad => "SignatureBad",
        SignatureState::None => "NotSigned",
    }
}

fn word(state: SignatureState) -> &'static str {
    match state {
        SignatureState::Good => "Good",
        SignatureState::Unknown => "Unknown",
        SignatureState::Bad => "Bad",
        SignatureState::None => "None",
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// The form in a source's status.
pub(crate) fn in_status(signature: &Signature) -> CommitSignature {
    CommitSignature {
        state: word(signature.state).to_owned(),
        key_id: some(&signature.key_id),
        identity: some(&signature.identity),
        message: signature.message.clone(),
    }
}

/// The form in a Release's record.
pub(crate) fn in_record(signature: &Signature) -> Signer {
    Signer {
        state: word(signature.state).to_owned(),
        key_id: some(&signature.key_id).map(|id| tidegate_core::record::shorten(&id, 120)),
        identity: some(&signature.identity).map(|who| tidegate_core::record::shorten(&who, 250)),
    }
}

/// The form that policies are asked with.
pub(crate) fn as_facts(signature: &Signature) -> SignatureFacts {
    SignatureFacts {
        state: match signature.state {
            SignatureState::Good => FactState::Good,
            SignatureState::Unknown => FactState::Unknown,
            SignatureState::Bad => FactState::Bad,
            SignatureState::None => FactState::None,
        },
        key_id: some(&signature.key_id),
        identity: some(&signature.identity),
        message: signature.message.clone(),
    }
}
