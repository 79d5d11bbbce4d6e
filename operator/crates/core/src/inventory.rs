//! The inventory: what was applied for an Application. Written as *intended* before the first mutation, then
//! *sealed* with UID and digest from the API server's answer. The only ground on which anything is deleted.

use std::collections::BTreeMap;

use base64::Engine as _;
use tidegate_api::inventory::{InventoryEntry, InventorySpec};

use crate::desired::PruneRule;
use crate::object::ObjectId;

/// Entries kept readable in one object; more are packed.
pub const READABLE_ENTRIES: usize = 200;
/// Entries in one packed shard: about 600 KB as base64.
pub const SHARD_ENTRIES: usize = 5_000;

/// What is known of one applied object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Version it was applied at.
    pub version: String,
    /// What the API server answered; `None` while only intended.
    pub sealed: Option<Sealed>,
    /// What git said about pruning when it was applied last.
    pub prune: PruneRule,
}

/// The API server's answer to the last apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// UID.
    pub uid: String,
    /// Digest of the desired body that was applied.
    pub desired: String,
    /// Digest of the fields we own and their values in the answer: the baseline of drift.
    pub ours: String,
    /// What people owned beside our fields when it was sealed: accepted. `None` when it was sealed by a version that
    /// did not look: then nothing counts as added until the next apply.
    pub foreign: Option<Vec<String>>,
    /// JSON pointers of the fields that `ours` and `foreign` leave out.
    pub ignored: Vec<String>,
}

/// All entries of one Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventorySet {
    /// By identity.
    pub entries: BTreeMap<ObjectId, Entry>,
}

/// Why stored shards could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// A shard is missing or belongs to another count of shards.
    #[error(
        "Inventory shard {missing} of {shards} is missing; restore it from a backup, or annotate the Application to adopt its objects anew"
    )]
    Incomplete {
        /// Number of the missing shard.
        missing: i32,
        /// Number of shards that belong together.
        shards: i32,
    },
    /// The packed part is damaged.
    #[error("Inventory shard {shard} cannot be unpacked ({cause}); restore it from a backup")]
    Damaged {
        /// Number of the shard.
        shard: i32,
        /// What is wrong with it.
        cause: String,
    },
}

impl InventorySet {
    /// Splits the set into specs of Inventory objects. Always at least one.
    pub fn to_specs(&self, application: &str, application_uid: &str) -> Vec<InventorySpec> {
        let entries: Vec<InventoryEntry> = self.entries.iter().map(|(id, entry)| to_api(id, entry)).collect();
        let chunk = if entries.len() <= READABLE_ENTRIES {
            READABLE_ENTRIES
        } else {
            SHARD_ENTRIES
        };
        let chunks: Vec<&[InventoryEntry]> = if entries.is_empty() {
            vec![&[]]
        } else {
            entries.chunks(chunk).collect()
        };
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let readable = entries.len() <= READABLE_ENTRIES;
        chunks
            .iter()
            .enumerate()
            .map(|(shard, part)| InventorySpec {
                application: application.to_owned(),
                application_uid: application_uid.to_owned(),
                shard: count(shard),
                shards: count(chunks.len()),
                count: count(part.len()),
                entries: if readable { part.to_vec() } else { Vec::new() },
                packed: (!readable).then(|| pack(part)),
            })
            .collect()
    }

    /// Reads the set back. Shards past the count that shard 0 names are leftovers of a larger set and ignored.
    pub fn from_specs(specs: &[InventorySpec]) -> Result<Self, ReadError> {
        let Some(first) = specs.iter().find(|s| s.shard == 0) else {
            return if specs.is_empty() {
                Ok(Self::default())
            } else {
                Err(ReadError::Incomplete {
                    missing: 0,
                    shards: specs.len().try_into().unwrap_or(i32::MAX),
                })
            };
        };
        let mut set = Self::default();
        for shard in 0..first.shards {
            let spec = specs.iter().find(|s| s.shard == shard);
            let spec = spec.ok_or(ReadError::Incomplete {
                missing: shard,
                shards: first.shards,
            })?;
            let damaged = |cause: String| ReadError::Damaged { shard, cause };
            let unpacked = spec.packed.as_deref().map(unpack).transpose().map_err(damaged)?;
            for entry in unpacked.as_ref().unwrap_or(&spec.entries) {
                let id = ObjectId::parse(&entry.id)
                    .ok_or_else(|| damaged(format!("`{}` is not an object id", entry.id)))?;
                set.entries.insert(id, from_api(entry));
            }
        }
        Ok(set)
    }
}

fn to_api(id: &ObjectId, entry: &Entry) -> InventoryEntry {
    let sealed = entry.sealed.as_ref();
    InventoryEntry {
        id: id.key(),
        version: entry.version.clone(),
        uid: sealed.map(|s| s.uid.clone()),
        desired: sealed.map(|s| s.desired.clone()),
        ours: sealed.map(|s| s.ours.clone()),
        foreign: sealed.and_then(|s| s.foreign.clone()),
        ignored: sealed.map(|s| s.ignored.clone()).unwrap_or_default(),
        prune: entry.prune.as_str().map(str::to_owned),
    }
}

fn from_api(entry: &InventoryEntry) -> Entry {
    let sealed = entry.uid.clone().map(|uid| Sealed {
        uid,
        desired: entry.desired.clone().unwrap_or_default(),
        ours: entry.ours.clone().unwrap_or_default(),
        foreign: entry.foreign.clone(),
        ignored: entry.ignored.clone(),
    });
    let prune = entry
        .prune
        .as_deref()
        .and_then(PruneRule::parse)
        .unwrap_or_default();
    Entry {
        version: entry.version.clone(),
        sealed,
        prune,
    }
}

/// Most bytes that one packed shard may unpack to.
const MAX_UNPACKED: usize = 64 << 20;

fn pack(entries: &[InventoryEntry]) -> String {
    let json = serde_json::to_vec(entries).unwrap_or_default();
    let packed = zstd::bulk::compress(&json, 3).unwrap_or_default();
    base64::engine::general_purpose::STANDARD.encode(packed)
}

fn unpack(packed: &str) -> Result<Vec<InventoryEntry>, String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|e| e.to_string())?;
    let json = zstd::bulk::decompress(&bytes, MAX_UNPACKED).map_err(|e| e.to_string())?;
    serde_json::from_slice(&json).map_err(|e| e.to_string())
}
