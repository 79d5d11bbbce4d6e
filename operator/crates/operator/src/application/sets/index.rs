//! Which Secrets of an Application's sets there are. Listed once for each Application, without their contents, and
//! followed from there on: this process is the only writer. After any error it is listed anew.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::ObjectMeta;
use tidegate_api::names;
use tidegate_core::rendered_store::{Part, part_of};

/// What is known of one Secret.
struct Held {
    uid: Box<str>,
    /// Chunks that the manifest needs, as parts of their names.
    needs: Box<[Box<str>]>,
}

/// The Secrets of one Application, by the end of their names: what they begin with is the same for all.
#[derive(Default)]
pub(super) struct Index {
    prefix: String,
    held: BTreeMap<Box<str>, Held>,
}

impl Index {
    /// An index of Secrets whose names begin so.
    pub(super) fn new(prefix: String, listed: &[ObjectMeta]) -> Self {
        let mut index = Self {
            prefix,
            held: BTreeMap::new(),
        };
        for meta in listed {
            index.add(meta);
        }
        index
    }

    /// True when it is about Secrets whose names begin so.
    pub(super) fn is_of(&self, prefix: &str) -> bool {
        self.prefix == prefix
    }

    /// Notes a Secret that is there. One with another name than ours is none of ours.
    pub(super) fn add(&mut self, meta: &ObjectMeta) {
        let Some(end) = meta
            .name
            .as_deref()
            .and_then(|name| name.strip_prefix(&self.prefix))
        else {
            return;
        };
        let needs = meta
            .annotations
            .iter()
            .flatten()
            .find(|(name, _)| *name == names::ANNOTATION_CHUNKS);
        let needs = needs.map(|(_, ids)| ids.split(',').filter(|id| !id.is_empty()).map(Box::from));
        let held = Held {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            needs: needs.map(Iterator::collect).unwrap_or_default(),
        };
        self.held.insert(end.into(), held);
    }

    /// Notes a Secret that is gone.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(end) = name.strip_prefix(&self.prefix) {
            self.held.remove(end);
        }
    }

    /// True when the first piece of a blob is there: it is written last.
    pub(super) fn has(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix)
            .is_some_and(|end| self.held.contains_key(end))
    }

    /// Name and uid of what belongs to none of these releases: their manifests and plans, chunks that no manifest left
    /// needs, and what a crash left half written. Manifests come first: one that is there has all its chunks.
    pub(super) fn beyond(&self, releases: &BTreeSet<String>) -> Vec<(String, String)> {
        let stays = |part: &Part<'_>| match part {
            Part::Manifest { release } | Part::Plan { release } => releases.contains(*release),
            Part::Chunk { .. } => false,
        };
        let manifests = self.held.iter().filter(|(end, _)| {
            let part = part_of(end);
            part.is_some_and(|part| matches!(part, Part::Manifest { .. }) && stays(&part))
        });
        let needed: BTreeSet<&str> = manifests
            .flat_map(|(_, held)| held.needs.iter().map(|id| &**id))
            .collect();
        let mut gone: Vec<(bool, &str, &Held)> = self
            .held
            .iter()
            .filter_map(|(end, held)| {
                let part = part_of(end);
                let stays = part.as_ref().is_some_and(|part| match part {
                    Part::Chunk { id } => needed.contains(id),
                    other => stays(other),
                });
                let chunk = matches!(part, Some(Part::Chunk { .. }));
                (!stays).then_some((chunk, &**end, held))
            })
            .collect();
        gone.sort_by_key(|(chunk, ..)| *chunk);
        gone.into_iter()
            .map(|(_, end, held)| (format!("{}{end}", self.prefix), held.uid.to_string()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "tidegate-set-0123.";

    fn meta(end: &str, needs: &str) -> ObjectMeta {
        let chunks = (names::ANNOTATION_CHUNKS.to_owned(), needs.to_owned());
        ObjectMeta {
            name: Some(format!("{PREFIX}{end}")),
            uid: Some(format!("uid of {end}")),
            annotations: Some([chunks].into()),
            ..ObjectMeta::default()
        }
    }

    fn ends(index: &Index, releases: &[&str]) -> Vec<String> {
        let releases = releases.iter().map(|&name| name.to_owned()).collect();
        let gone = index.beyond(&releases).into_iter();
        gone.map(|(name, uid)| {
            let end = name.strip_prefix(PREFIX).unwrap().to_owned();
            assert_eq!(uid, format!("uid of {end}"));
            end
        })
        .collect()
    }

    fn id(letter: char) -> String {
        std::iter::repeat_n(letter, 32).collect()
    }

    #[test]
    fn what_no_release_needs_goes_manifests_first() {
        let (a, b, c) = (id('a'), id('b'), id('c'));
        let chunk = |id: &str, piece: &str| meta(&format!("chunk.{id}{piece}"), "");
        let index = Index::new(
            PREFIX.to_owned(),
            &[
                meta("release.shop-000001", &format!("{a},{b}")),
                meta("release.shop-000001.1", &format!("{a},{b}")),
                meta("plan.shop-000001", ""),
                meta("release.shop-000002", &format!("{b},{c}")),
                meta("plan.shop-000002", ""),
                chunk(&a, ""),
                chunk(&a, ".1"),
                chunk(&b, ""),
                chunk(&b, ".1"),
                chunk(&c, ""),
                // Left by a crash: a chunk whose manifest was never written, and the end of a manifest.
                chunk(&id('d'), ""),
                meta("release.shop-000003.1", &id('d')),
                ObjectMeta {
                    name: Some("tidegate-key".to_owned()),
                    ..ObjectMeta::default()
                },
            ],
        );
        assert_eq!(
            ends(&index, &["shop-000002"]),
            [
                "plan.shop-000001",
                "release.shop-000001",
                "release.shop-000001.1",
                "release.shop-000003.1",
                &format!("chunk.{a}"),
                &format!("chunk.{a}.1"),
                &format!("chunk.{}", id('d')),
            ]
        );
        let all = ends(&index, &["shop-000001", "shop-000002"]);
        assert_eq!(all, ["release.shop-000003.1", &format!("chunk.{}", id('d'))]);
        assert_eq!(ends(&index, &[]).len(), 12);
    }

    #[test]
    fn a_blob_is_there_with_its_first_piece() {
        let mut index = Index::new(PREFIX.to_owned(), &[meta("release.shop-000001.1", "")]);
        let name = format!("{PREFIX}release.shop-000001");
        assert!(!index.has(&name));
        index.add(&meta("release.shop-000001", ""));
        assert!(index.has(&name));
        index.remove(&name);
        assert!(!index.has(&name));
        assert!(index.is_of(PREFIX) && !index.is_of("tidegate-set-4567."));
    }
}
