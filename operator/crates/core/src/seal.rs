//! Sealed records: what a Release was when it reached its final phase, as one text with a digest and a signature.
//!
//! Rules: semantics.md "Release records". The record is the zstd-compressed JSON of [`Record`] in base64, so that it
//! stays under [`MAX_RECORD`] bytes; the digest is over the bytes of that text and not over fields, which an API server
//! may complete with defaults later.
//!
//! The records of an Application are one chain in the order of their *sealing*: each names the record that was sealed
//! before it. `spec.previous` names the one that was the last when the Release was *made*: where a commit is refused while
//! another one is still being carried out, or a Release takes the place of an unfinished one, two Releases have the same
//! `spec.previous`. Two records never do: one operator seals, one Release of an Application at a time.

mod chain;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidegate_api::release::PreviousRecord;
use tidegate_api::{Release, ReleaseSpec, ReleaseStatus};

pub use chain::{Report, Standing, Sum, check};

use crate::record::shorten;

/// Longest record, bytes, where shortening can bring it there: what cannot be shortened are names and the commit.
pub const MAX_RECORD: usize = 2048;
/// Most bytes of the JSON in a record: one made to fill the memory is refused.
const MAX_JSON: usize = 1 << 20;
/// Begins every record: the form of what follows.
const FORM: &str = "tgr1:";
/// Small texts once for each release: the best that zstd has.
const LEVEL: i32 = 19;

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Namespace of the Release.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Place in the chain: 1 for the first record of an Application's name, then one more each time.
    pub number: u64,
    /// The record that was sealed before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRecord>,
    /// Releases with this sequence number and higher ones existed when this one was sealed, and are not trimmed by
    /// `historyLimit` before a later one is sealed.
    pub kept_from: i64,
    /// How much was left out to keep it small: see [`brief`].
    #[serde(default, skip_serializing_if = "is_whole")]
    pub brevity: u8,
    /// The Release's spec.
    pub spec: ReleaseSpec,
    /// Its status, without the seal itself.
    pub status: ReleaseStatus,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_whole(brevity: &u8) -> bool {
    *brevity == 0
}

/// Where the chain of an Application ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last record; 0 before the first.
    pub number: u64,
    /// The last record.
    pub last: Option<PreviousRecord>,
    /// Its `keptFrom`.
    pub kept_from: i64,
}

/// The end of the chain among an Application's Releases. What is sealed and cannot be read is passed over; [`check`]
/// says so.
pub fn head(releases: &[Release]) -> Head {
    let mut head = Head::default();
    for release in releases {
        let status = release.status.as_ref();
        let Some((text, digest)) = status.and_then(|s| Some((s.record.as_deref()?, s.digest.as_deref()?)))
        else {
            continue;
        };
        match open(text) {
            Ok(record) if record.number > head.number => {
                head = Head {
                    number: record.number,
                    kept_from: record.kept_from,
                    last: Some(PreviousRecord {
                        name: record.name,
                        digest: digest.to_owned(),
                    }),
                };
            }
            _ => {}
        }
    }
    head
}

/// The lowest sequence number that trimming leaves, beside the last good Release. `finished` are the numbers of all finished
/// Releases with `own`, which is about to be sealed. It never goes down: what was trimmed before `historyLimit` was raised
/// is not missing.
pub fn kept_from(mut finished: Vec<i64>, limit: usize, own: i64, head: &Head) -> i64 {
    if head.number == 0 {
        return own;
    }
    finished.sort_unstable_by(|a, b| b.cmp(a));
    let lowest = finished.into_iter().take(limit.max(1)).next_back();
    lowest.unwrap_or(own).max(head.kept_from)
}

/// Seals a Release: sets `record` and `digest` of the status and takes away `signature`, which the caller adds.
/// `kept_from` is [`kept_from`]'s. The status must be in its final phase.
///
/// # Errors
/// When it cannot be written as JSON or compressed; both are bugs.
pub fn seal(
    namespace: &str,
    name: &str,
    spec: &ReleaseSpec,
    status: &mut ReleaseStatus,
    head: &Head,
    kept_from: i64,
) -> Result<(), String> {
    let mut record = Record {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        number: head.number + 1,
        previous: head.last.clone(),
        kept_from,
        brevity: 0,
        spec: spec.clone(),
        status: bare(status),
    };
    let mut text = close(&record)?;
    while text.len() > MAX_RECORD && record.brevity < BRIEFEST {
        record.brevity += 1;
        record.status = brief(&bare(status), record.brevity);
        text = close(&record)?;
    }
    status.digest = Some(digest(&text));
    status.record = Some(text);
    status.signature = None;
    Ok(())
}

/// SHA-256 over the bytes of a record, as hexadecimal digits. All that a record holds stands beside it for whoever may read
/// it, so that a digest without a key tells nobody more.
pub fn digest(record: &str) -> String {
    Sha256::digest(record)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Reads a record.
///
/// # Errors
/// When it is not one: for people.
pub fn open(text: &str) -> Result<Record, String> {
    let coded = text
        .strip_prefix(FORM)
        .ok_or_else(|| format!("does not begin with {FORM}; a newer version of tidegate may have made it"))?;
    let packed = STANDARD
        .decode(coded)
        .map_err(|e| format!("is not base64: {e}"))?;
    let json = zstd::bulk::decompress(&packed, MAX_JSON).map_err(|e| format!("cannot be unpacked: {e}"))?;
    serde_json::from_slice(&json).map_err(|e| format!("does not hold a record: {e}"))
}

fn close(record: &Record) -> Result<String, String> {
    let json = serde_json::to_vec(record).map_err(|e| format!("the record cannot be written: {e}"))?;
    let packed =
        zstd::bulk::compress(&json, LEVEL).map_err(|e| format!("the record cannot be packed: {e}"))?;
    Ok(format!("{FORM}{}", STANDARD.encode(packed)))
}

/// A status without its seal.
fn bare(status: &ReleaseStatus) -> ReleaseStatus {
    ReleaseStatus {
        record: None,
        digest: None,
        signature: None,
        ..status.clone()
    }
}

const BRIEFEST: u8 = 4;
/// Longest texts of a record that had to be shortened, bytes.
const BRIEF: usize = 160;

/// What a record holds of a status. 0: all of it. 1: changes without their fields. 2: texts of at most 160 bytes. 3: the
/// first five changes and failures. 4: counts alone, and gates without messages. Phase, counts, the plan's digest,
/// decisions, times and who approved are always in it.
fn brief(status: &ReleaseStatus, brevity: u8) -> ReleaseStatus {
    let mut status = status.clone();
    if brevity >= 1 {
        for change in &mut status.plan.changes {
            change.fields.clear();
        }
    }
    if brevity >= 2 {
        for gate in &mut status.gates {
            gate.message = shorten(&gate.message, BRIEF);
        }
        for failure in &mut status.results.failed {
            failure.message = shorten(&failure.message, BRIEF);
            failure.pod_reason = failure.pod_reason.take().map(|text| shorten(&text, BRIEF));
        }
        for approval in &mut status.approvals {
            approval.why = approval.why.take().map(|text| shorten(&text, BRIEF));
        }
        if let Some(rollback) = &mut status.rollback {
            rollback.cause = shorten(&rollback.cause, BRIEF);
        }
        status.display.message = shorten(&status.display.message, BRIEF);
    }
    if brevity >= 3 {
        status.plan.changes.truncate(5);
        status.results.failed.truncate(5);
        status.results.survivors.truncate(5);
    }
    if brevity >= BRIEFEST {
        status.plan.changes.clear();
        status.results.failed.clear();
        status.results.survivors.clear();
        for gate in &mut status.gates {
            gate.message.clear();
        }
    }
    status
}
