//! The rendered set of a release as it is kept: from [`Rendered`] to sealed blobs and back, exactly.
//!
//! Rules: semantics.md "Rollback". What is put back after a failure or a drift is read from here, never rendered again.
//!
//! **Layout.** A set is a *manifest* for each release and *chunks* that the releases of an Application share. A chunk is a
//! stretch of objects, named by a keyed digest of its content, so that a set which changes one object makes one new chunk
//! and one manifest, and the same set makes a manifest only. See [`cut`] for where a set is cut. The number of chunks is a
//! handful whatever the size of the set: one Secret for each object would be a thousand requests for a release, and one
//! Secret for each set would write a thousand objects anew for one that changes. A set under [`INLINE`] bytes is in the
//! manifest itself: one Secret for each release. Where each object was read from is in the manifest, since a line that is
//! added to a file moves all that follow it.
//!
//! Blobs are written once and never changed, so that keeping a set needs no right to update: the chunks first, the
//! manifest last. A manifest that is there is whole; a chunk that no manifest names was left by a crash.
//!
//! **Sealing.** See [`seal`]: each blob is bound to installation, Application and its own name; that of a manifest has the
//! release in it, that of a chunk its content. Any changed byte, and any blob in the place of another, is found.

mod cut;
mod line;
mod seal;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tidegate_api::release::Change;

use crate::desired::{DesiredObject, Rendered};
use crate::hook::Hook;
use crate::object::Location;

use line::{Item, Line, StoredId};
pub use seal::{Binding, MAX_PIECES, PIECE, SetKey, pieces_of};

/// Sets up to this many bytes, not compressed, are in the manifest itself.
pub const INLINE: usize = 64 << 10;

/// Why a set cannot be stored or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// No key can be derived. Does not happen with a key of 32 bytes.
    #[error("no key for kept sets can be derived; this is a bug, please report it")]
    NoKey,
    /// Something in it is too large.
    #[error("{name} cannot be stored: {cause}")]
    NotStorable {
        /// Name of the blob.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Sealed with a key that this installation does not have any more.
    #[error(
        "{name} was sealed with another key than this installation has now; restore the Secret tidegate-key that it was kept under to read it again"
    )]
    OtherKey {
        /// Name of the blob.
        name: String,
    },
    /// Changed since it was written, or put in the place of another.
    #[error("{name} is damaged: it is not what was written there")]
    Damaged {
        /// Name of the blob.
        name: String,
    },
    /// Not there.
    #[error("{name} is missing")]
    Missing {
        /// Name of the blob.
        name: String,
    },
    /// Written by another version of the operator.
    #[error(
        "{name} has form {version}, which this version of the operator does not read; run the newer one again"
    )]
    OtherVersion {
        /// Name of the blob.
        name: String,
        /// Its form.
        version: u8,
    },
    /// It opens and does not say what it should.
    #[error("{name} was written by another version of the operator: {cause}")]
    Malformed {
        /// Name of the blob.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// What is stored under one name, in pieces that fit a Secret each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Name of the first piece; see [`piece_name`] for the others.
    pub name: String,
    /// The pieces; never none.
    pub pieces: Vec<Vec<u8>>,
}

/// A set ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Goes last.
    pub manifest: Blob,
    /// Digests of all chunks that the manifest needs, as they are in their names.
    pub needs: Vec<String>,
    /// Those of them that were not there yet.
    pub chunks: Vec<Blob>,
}

/// The opened manifest of one release.
#[derive(Debug)]
pub struct Manifest {
    name: String,
    head: Head,
    /// Lines of a small set.
    inline: Vec<u8>,
}

/// First line of a manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Head {
    digest: String,
    files: Vec<String>,
    /// Index into `files` and line, of each object and then of each hook.
    places: Vec<(u32, u32)>,
    left_out: Vec<StoredId<'static>>,
    chunks: Vec<String>,
}

/// What all names of one Application's blobs have in them, and their label: who may see names learns nothing from it, and
/// neither name nor label grows with the Application's.
pub fn mark_of(binding: &Binding) -> String {
    let whole = format!("{}/{}", binding.installation, binding.application_uid);
    seal::hex(&digest(&SHA256, whole.as_bytes()).as_ref()[..10])
}

/// What the names of all blobs of one Application begin with.
pub fn prefix_of(binding: &Binding) -> String {
    format!("tidegate-set-{}.", mark_of(binding))
}

/// Name of a release's manifest.
pub fn manifest_name(binding: &Binding, release: &str) -> String {
    format!("{}release.{release}", prefix_of(binding))
}

/// Name of a release's full plan.
pub fn plan_name(binding: &Binding, release: &str) -> String {
    format!("{}plan.{release}", prefix_of(binding))
}

fn chunk_name(key: &SetKey, id: &str) -> String {
    format!("{}chunk.{id}", prefix_of(key.binding()))
}

/// Name of one piece of a blob.
pub fn piece_name(blob: &str, piece: usize) -> String {
    match piece {
        0 => blob.to_owned(),
        piece => format!("{blob}.{piece}"),
    }
}

/// What a name says, after [`prefix_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A piece of a release's manifest.
    Manifest {
        /// Name of the Release.
        release: &'a str,
    },
    /// A piece of a release's full plan.
    Plan {
        /// Name of the Release.
        release: &'a str,
    },
    /// A piece of a chunk.
    Chunk {
        /// Keyed digest of its content.
        id: &'a str,
    },
}

/// Reads the end of a name; `None` for one that is none of these.
pub fn part_of(end: &str) -> Option<Part<'_>> {
    // The last part of a Release's name has a dash in it, and a digest is longer.
    let is_number = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let blob = match end.rsplit_once('.') {
        Some((blob, number)) if is_number(number) => blob,
        _ => end,
    };
    match blob.split_once('.')? {
        ("release", release) => Some(Part::Manifest { release }),
        ("plan", release) => Some(Part::Plan { release }),
        ("chunk", id) => Some(Part::Chunk { id }),
        _ => None,
    }
}

/// Makes the blobs of a release's set. `there` says which chunks need not be made, since they are stored already.
pub fn encode(
    key: &SetKey,
    release: &str,
    rendered: &Rendered,
    there: impl Fn(&str) -> bool,
) -> Result<Stored, StoreError> {
    let name = manifest_name(key.binding(), release);
    let lines: Vec<Line<'_>> = lines_of(rendered).collect();
    let items = lines
        .iter()
        .map(|line| weigh(key, line))
        .collect::<Result<Vec<_>, _>>();
    let items = items.map_err(|e| not_storable(&name, &e))?;
    let whole: usize = items.iter().map(|item| item.weight).sum();
    let mut head = Head::of(rendered);
    let (mut needs, mut chunks, mut inline) = (Vec::new(), Vec::new(), Vec::new());
    if whole <= INLINE {
        inline = text_of(&lines).map_err(|e| not_storable(&name, &e))?;
    } else {
        for stretch in cut::cut(&items, cut::target(whole)) {
            let text =
                text_of(lines.get(stretch).unwrap_or_default()).map_err(|e| not_storable(&name, &e))?;
            let id = key.name_of(&text);
            let chunk = chunk_name(key, &id);
            if !there(&chunk) && !needs.contains(&id) {
                let pieces = key.seal(&chunk, &text)?;
                chunks.push(Blob { name: chunk, pieces });
            }
            needs.push(id.clone());
            head.chunks.push(id);
        }
    }
    let mut text = serde_json::to_vec(&head).map_err(|e| not_storable(&name, &e))?;
    text.push(b'\n');
    text.append(&mut inline);
    let pieces = key.seal(&name, &text)?;
    Ok(Stored {
        manifest: Blob { name, pieces },
        needs,
        chunks,
    })
}

/// Opens a release's manifest.
pub fn open(key: &SetKey, release: &str, pieces: &[Vec<u8>]) -> Result<Manifest, StoreError> {
    let name = manifest_name(key.binding(), release);
    let mut text = key.open(&name, pieces)?;
    let malformed = |cause: String| StoreError::Malformed {
        name: name.clone(),
        cause,
    };
    let end = text.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| malformed("its head has no end".to_owned()))?;
    let inline = text.split_off(end + 1);
    let head = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
    Ok(Manifest { name, head, inline })
}

impl Manifest {
    /// Keyed digest of the set.
    pub fn digest(&self) -> &str {
        &self.head.digest
    }

    /// Names of the chunks that it needs.
    pub fn needs(&self, key: &SetKey) -> Vec<String> {
        self.head.chunks.iter().map(|id| chunk_name(key, id)).collect()
    }

    /// The set, given the pieces of each chunk by its name.
    pub fn assemble(
        &self,
        key: &SetKey,
        chunks: &BTreeMap<String, Vec<Vec<u8>>>,
    ) -> Result<Rendered, StoreError> {
        let mut set = Rendered {
            digest: self.head.digest.clone(),
            left_out: self.head.left_out.iter().map(StoredId::to_id).collect(),
            ..Rendered::default()
        };
        let files: Vec<Arc<str>> = self.head.files.iter().map(|file| file.as_str().into()).collect();
        let mut places = self.head.places.iter();
        self.take(&self.name, &self.inline, &files, &mut places, &mut set)?;
        for name in self.needs(key) {
            let pieces = chunks
                .get(&name)
                .ok_or_else(|| StoreError::Missing { name: name.clone() })?;
            let text = key.open(&name, pieces)?;
            self.take(&name, &text, &files, &mut places, &mut set)?;
        }
        if places.next().is_some() {
            return Err(self.malformed(&self.name, "it has more places than objects".to_owned()));
        }
        Ok(set)
    }

    fn take<'a>(
        &self,
        name: &str,
        text: &[u8],
        files: &[Arc<str>],
        places: &mut impl Iterator<Item = &'a (u32, u32)>,
        set: &mut Rendered,
    ) -> Result<(), StoreError> {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line<'_> =
                serde_json::from_slice(line).map_err(|e| self.malformed(name, e.to_string()))?;
            let place = places.next().and_then(|(file, line)| {
                let file = files.get(usize::try_from(*file).ok()?)?.clone();
                Some(Location { file, line: *line })
            });
            let place = place.ok_or_else(|| self.malformed(name, "an object has no place".to_owned()))?;
            match line.into_item(place).map_err(|e| self.malformed(name, e))? {
                Item::Object(object) => set.objects.push(object),
                Item::Hook(hook) => set.hooks.push(hook),
            }
        }
        Ok(())
    }

    fn malformed(&self, name: &str, cause: String) -> StoreError {
        StoreError::Malformed {
            name: name.to_owned(),
            cause,
        }
    }
}

/// Makes the blob of a release's full plan: its record has the first changes only.
pub fn encode_plan(key: &SetKey, release: &str, changes: &[Change]) -> Result<Blob, StoreError> {
    let name = plan_name(key.binding(), release);
    let text = serde_json::to_vec(changes).map_err(|e| not_storable(&name, &e))?;
    let pieces = key.seal(&name, &text)?;
    Ok(Blob { name, pieces })
}

/// Reads [`encode_plan`] back.
pub fn decode_plan(key: &SetKey, release: &str, pieces: &[Vec<u8>]) -> Result<Vec<Change>, StoreError> {
    let name = plan_name(key.binding(), release);
    let text = key.open(&name, pieces)?;
    serde_json::from_slice(&text).map_err(|e| StoreError::Malformed {
        name,
        cause: e.to_string(),
    })
}

impl Head {
    fn of(rendered: &Rendered) -> Self {
        let mut files: Vec<String> = Vec::new();
        let mut known: BTreeMap<&str, u32> = BTreeMap::new();
        let places = locations(rendered).map(|place| {
            let file = *known.entry(&place.file).or_insert_with(|| {
                files.push(place.file.to_string());
                u32::try_from(files.len() - 1).unwrap_or(u32::MAX)
            });
            (file, place.line)
        });
        let places = places.collect();
        Self {
            digest: rendered.digest.clone(),
            places,
            files,
            left_out: rendered.left_out.iter().map(StoredId::owned).collect(),
            chunks: Vec::new(),
        }
    }
}

fn items_of(rendered: &Rendered) -> impl Iterator<Item = (&DesiredObject, Option<&Hook>)> {
    let objects = rendered.objects.iter().map(|object| (object, None));
    objects.chain(rendered.hooks.iter().map(|hook| (&hook.job, Some(hook))))
}

fn lines_of(rendered: &Rendered) -> impl Iterator<Item = Line<'_>> {
    items_of(rendered).map(|(object, hook)| hook.map_or_else(|| Line::of_object(object), Line::of_hook))
}

fn locations(rendered: &Rendered) -> impl Iterator<Item = &Location> {
    items_of(rendered).map(|(object, _)| &object.location)
}

fn text_of(lines: &[Line<'_>]) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// A line is long where its object is: it is measured without being kept.
fn weigh(key: &SetKey, line: &Line<'_>) -> serde_json::Result<cut::Item> {
    let mut weight = Weight(1);
    serde_json::to_writer(&mut weight, line)?;
    Ok(cut::Item {
        weight: weight.0,
        rank: key.rank_of(&line.identity()),
    })
}

struct Weight(usize);

impl io::Write for Weight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn not_storable(name: &str, error: &serde_json::Error) -> StoreError {
    StoreError::NotStorable {
        name: name.to_owned(),
        cause: error.to_string(),
    }
}
