//! The inventory: what was applied for an Application. Written as *intended* before the first mutation, then
//! *sealed* with UID and digest from the API server's answer. The only ground on which anything is deleted.

use std::collections::BTreeMap;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use tidegate_api::inventory::{InventoryEntry, InventoryRun, InventorySpec, Place};

use crate::apply_rule::ApplyRule;
use crate::desired::{PruneRule, Rendered};
use crate::hook::{Outcome, Run};
use crate::object::ObjectId;

/// Entries kept readable in one object; more are packed.
pub const READABLE_ENTRIES: usize = 200;
/// Entries that one packed shard holds on average: about 600 KB as base64.
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
    /// Wave that it was applied in last.
    pub wave: i32,
    /// Release that created it; `None` for what was there before and was taken over, and for what an earlier version
    /// applied, which did not note it.
    pub made: Option<String>,
    /// For the Job of a hook: its last run. Such an object neither drifts nor counts in health.
    pub run: Option<Run>,
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
    /// How it was applied.
    pub apply: ApplyRule,
}

/// All entries of one Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventorySet {
    /// By identity.
    pub entries: BTreeMap<ObjectId, Entry>,
    /// Where they were applied, and as whom: the place that they are deleted at, and the account that deletes them.
    pub place: Place,
}

/// How a set is spread over Inventory objects. An entry's shard follows from its identity alone, so that shards of one
/// layout can be written one after another, and a crash between two of them leaves each entry as it was or as it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Goes up with each change of `shards`, so that a half-written new layout never mixes with the old one.
    pub number: i64,
    /// Number of shards, at least 1.
    pub shards: i32,
}

impl Default for Layout {
    fn default() -> Self {
        Self { number: 0, shards: 1 }
    }
}

impl Layout {
    /// The layout for that many entries: this one while it fits, else one with the number `next`. It fits while its shards
    /// are neither too full nor four times as many as are needed.
    pub fn fit(self, entries: usize, next: i64) -> Self {
        let needed = i32::try_from(entries.div_ceil(SHARD_ENTRIES))
            .unwrap_or(i32::MAX)
            .max(1);
        // Several shards without a number were filled one after another, by versions before there were layouts.
        let by_identity = self.number > 0 || self.shards == 1;
        if by_identity && needed <= self.shards && self.shards < needed.saturating_mul(4) {
            return self;
        }
        Self {
            number: next,
            shards: needed,
        }
    }

    /// Shard of an entry.
    fn shard_of(self, id: &ObjectId) -> i32 {
        let hash = Sha256::digest(id.key());
        let head = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        let shards = u32::try_from(self.shards).unwrap_or(1).max(1);
        i32::try_from(head % shards).unwrap_or_default()
    }
}

/// An inventory as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The entries.
    pub set: InventorySet,
    /// The layout that holds them.
    pub layout: Layout,
    /// Number for the next layout: higher than that of any shard, leftovers included.
    pub next_layout: i64,
}

/// Why stored shards could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// No layout has all its shards.
    #[error(
        "Inventory shard {missing} of {shards} (layout {layout}) is missing; restore it from a backup, or delete the Application with deletionPolicy Orphan and make it anew to adopt its objects"
    )]
    Incomplete {
        /// Number of the highest layout.
        layout: i64,
        /// Number of its first missing shard.
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
    /// Takes over what git says now of how its objects are deleted, also of those that are not written again: one that is
    /// only created where it is absent, for one.
    pub fn follow(&mut self, rendered: &Rendered) {
        for object in &rendered.objects {
            if let Some(entry) = self.entries.get_mut(&object.id) {
                entry.prune = object.prune_rule();
                entry.wave = object.wave;
            }
        }
    }

    /// Entries of objects that are kept as git says: all but the runs of hooks.
    pub fn kept(&self) -> impl Iterator<Item = (&ObjectId, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.run.is_none())
    }

    /// Splits the set into specs of Inventory objects, one for each shard of the layout, empty ones included.
    pub fn to_specs(&self, application: &str, application_uid: &str, layout: Layout) -> Vec<InventorySpec> {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let readable = layout.shards == 1 && self.entries.len() <= READABLE_ENTRIES;
        let mut parts: BTreeMap<i32, Vec<InventoryEntry>> =
            (0..layout.shards).map(|shard| (shard, Vec::new())).collect();
        for (id, entry) in &self.entries {
            let part = parts.entry(layout.shard_of(id)).or_default();
            part.push(to_api(id, entry));
        }
        parts
            .into_iter()
            .map(|(shard, entries)| InventorySpec {
                application: application.to_owned(),
                application_uid: application_uid.to_owned(),
                layout: layout.number,
                shard,
                shards: layout.shards,
                place: self.place.clone(),
                count: count(entries.len()),
                packed: (!readable).then(|| pack(&entries)),
                entries: if readable { entries } else { Vec::new() },
            })
            .collect()
    }

    /// Reads a stored inventory back: the highest complete layout. No specs at all are an empty inventory.
    pub fn from_specs(specs: &[InventorySpec]) -> Result<Stored, ReadError> {
        let mut layouts: Vec<Layout> = specs.iter().map(layout_of).collect();
        layouts.sort_unstable_by_key(|l| std::cmp::Reverse((l.number, l.shards)));
        layouts.dedup();
        let Some(highest) = layouts.first() else {
            return Ok(Stored::default());
        };
        let shard = |layout: Layout, number: i32| {
            specs
                .iter()
                .find(move |spec| layout_of(spec) == layout && spec.shard == number)
        };
        let missing = |layout: &Layout| (0..layout.shards).find(|number| shard(*layout, *number).is_none());
        let Some(layout) = layouts.iter().find(|layout| missing(layout).is_none()).copied() else {
            return Err(ReadError::Incomplete {
                layout: highest.number,
                missing: missing(highest).unwrap_or_default(),
                shards: highest.shards,
            });
        };
        let mut set = Self {
            place: shard(layout, 0)
                .map(|spec| spec.place.clone())
                .unwrap_or_default(),
            ..Self::default()
        };
        for spec in specs.iter().filter(|spec| layout_of(spec) == layout) {
            read_shard(spec, &mut set)?;
        }
        Ok(Stored {
            set,
            layout,
            next_layout: highest.number.saturating_add(1),
        })
    }
}

/// The layout that a shard belongs to.
pub fn layout_of(spec: &InventorySpec) -> Layout {
    Layout {
        number: spec.layout,
        shards: spec.shards,
    }
}

/// Name of a shard's object: the Application's while there is one shard, so that people find it. The others carry part of
/// the Application's uid, so that they do not meet the inventory of an Application with a similar name.
pub fn shard_name(spec: &InventorySpec) -> String {
    if layout_of(spec) == Layout::default() {
        return spec.application.clone();
    }
    let hash = Sha256::digest(format!("{}/{}", spec.application, spec.application_uid));
    let mark = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    // Names have at most 253 characters.
    let head = spec.application.get(..200).unwrap_or(&spec.application);
    format!("{head}.{mark:08x}.{}.{}", spec.layout, spec.shard)
}

fn read_shard(spec: &InventorySpec, set: &mut InventorySet) -> Result<(), ReadError> {
    let damaged = |cause: String| ReadError::Damaged {
        shard: spec.shard,
        cause,
    };
    let unpacked = spec.packed.as_deref().map(unpack).transpose().map_err(damaged)?;
    for entry in unpacked.as_ref().unwrap_or(&spec.entries) {
        let id = ObjectId::parse(&entry.id)
            .ok_or_else(|| damaged(format!("`{}` is not an object id", entry.id)))?;
        set.entries.insert(id, from_api(entry));
    }
    Ok(())
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
        apply: sealed.and_then(|s| s.apply.as_str()).map(str::to_owned),
        prune: entry.prune.as_str().map(str::to_owned),
        wave: entry.wave,
        made: entry.made.clone(),
        run: entry.run.as_ref().map(|run| InventoryRun {
            release: run.release.clone(),
            outcome: run.outcome.map(|outcome| outcome.as_str().to_owned()),
            message: (!run.why.is_empty()).then(|| run.why.clone()),
        }),
    }
}

fn from_api(entry: &InventoryEntry) -> Entry {
    let sealed = entry.uid.clone().map(|uid| Sealed {
        uid,
        desired: entry.desired.clone().unwrap_or_default(),
        ours: entry.ours.clone().unwrap_or_default(),
        foreign: entry.foreign.clone(),
        ignored: entry.ignored.clone(),
        apply: entry
            .apply
            .as_deref()
            .and_then(ApplyRule::parse)
            .unwrap_or_default(),
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
        wave: entry.wave,
        made: entry.made.clone(),
        run: entry.run.as_ref().map(|run| Run {
            release: run.release.clone(),
            outcome: run.outcome.as_deref().and_then(Outcome::parse),
            why: run.message.clone().unwrap_or_default(),
        }),
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
