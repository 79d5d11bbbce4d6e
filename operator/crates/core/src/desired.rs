//! The desired set: what a commit says should exist, checked and ready to be planned.

use std::sync::Arc;

use serde_json::Value;

use crate::apply_rule::ApplyRule;
use crate::digest::DigestKey;
use crate::hook::{Hook, Point};
use crate::object::{Location, ObjectId};

/// Finds the line of a field in the file it was read from.
pub trait Lines: Send + Sync {
    /// 1-based line of a JSON pointer, or of its nearest ancestor.
    fn line_of(&self, pointer: &str) -> Option<u32>;
}

/// One object as a renderer read it, not yet checked.
#[derive(Clone)]
pub struct RawObject {
    /// The document.
    pub value: Value,
    /// Where it starts.
    pub location: Location,
    /// Lines of its fields, where the renderer knows them.
    pub lines: Option<Arc<dyn Lines>>,
}

impl RawObject {
    /// Location of a field of the object.
    pub fn locate(&self, pointer: &str) -> Location {
        let line = self.lines.as_ref().and_then(|lines| lines.line_of(pointer));
        Location {
            file: self.location.file.clone(),
            line: line.unwrap_or(self.location.line),
        }
    }
}

/// What git says about pruning an object (annotation `tidegate.io/prune`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PruneRule {
    /// By kind: see [`crate::order::never_pruned_by_default`].
    #[default]
    Default,
    /// May be pruned whatever its kind.
    Enabled,
    /// Is never pruned.
    Disabled,
}

impl PruneRule {
    /// Reads an annotation's value.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Enabled" => Some(Self::Enabled),
            "Disabled" => Some(Self::Disabled),
            _ => None,
        }
    }

    /// The annotation's value, `None` for the default.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Enabled => Some("Enabled"),
            Self::Disabled => Some("Disabled"),
        }
    }
}

/// One checked object, with our owner annotation and label in place.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredObject {
    /// Identity.
    pub id: ObjectId,
    /// Version it is applied at, without the group.
    pub version: Arc<str>,
    /// Where it is written.
    pub location: Location,
    /// Body of the apply.
    pub body: Value,
    /// Keyed digest of the body and of what is ignored.
    pub digest: String,
    /// JSON pointers of fields that others may set, sorted: see [`crate::ignore`].
    pub ignored: Vec<String>,
    /// What git says about pruning it.
    pub prune: PruneRule,
    /// True when git allows that it is deleted and made anew for a field that cannot be changed.
    pub force: bool,
    /// How it is applied; never `Ignore`.
    pub apply: ApplyRule,
    /// Wave that it is applied in (annotation `tidegate.io/wave`): see [`crate::wave`].
    pub wave: i32,
}

impl DesiredObject {
    /// What the inventory keeps of `prune`. An object that others have a part of is deleted only where git says so in as
    /// many words, also while it is not known yet what became of applying it.
    pub fn prune_rule(&self) -> PruneRule {
        match (self.apply, self.prune) {
            (ApplyRule::Merge, PruneRule::Default) => PruneRule::Disabled,
            (_, rule) => rule,
        }
    }

    /// Sets what is ignored; the digest follows.
    pub fn ignore(&mut self, pointers: Vec<String>, key: &DigestKey) {
        self.ignored = pointers;
        let mut digester = key.start();
        digester.value(&self.body);
        for pointer in &self.ignored {
            digester.part(pointer.as_bytes());
        }
        self.digest = digester.finish();
    }
}

/// Everything a commit makes for one Application, sorted by identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// The objects.
    pub objects: Vec<DesiredObject>,
    /// Jobs that a release runs; they are no objects of the set.
    pub hooks: Vec<Hook>,
    /// Objects that git has and does not want to be looked at: neither applied nor pruned. Sorted.
    pub left_out: Vec<ObjectId>,
    /// Keyed digest over identities and bodies; the same set has the same digest whatever its order in the files.
    pub digest: String,
}

impl Rendered {
    /// A set without hooks.
    pub fn new(objects: Vec<DesiredObject>, key: &DigestKey) -> Self {
        Self::with_hooks(objects, Vec::new(), key)
    }

    /// Sorts the objects and takes the digest.
    pub fn with_hooks(objects: Vec<DesiredObject>, hooks: Vec<Hook>, key: &DigestKey) -> Self {
        Self::whole(objects, hooks, Vec::new(), key)
    }

    /// As [`Rendered::with_hooks`], with the objects that are left out.
    pub fn whole(
        mut objects: Vec<DesiredObject>,
        mut hooks: Vec<Hook>,
        mut left_out: Vec<ObjectId>,
        key: &DigestKey,
    ) -> Self {
        left_out.sort_unstable();
        left_out.dedup();
        objects.sort_by(|a, b| a.id.cmp(&b.id));
        hooks.sort_by(|a, b| a.job.id.cmp(&b.job.id));
        let mut digester = key.start();
        for object in &objects {
            digester
                .part(object.id.key().as_bytes())
                .part(object.version.as_bytes())
                .part(object.digest.as_bytes());
        }
        for hook in &hooks {
            // The annotations are in the body.
            digester
                .part(b"hook")
                .part(hook.job.id.key().as_bytes())
                .part(hook.job.digest.as_bytes());
        }
        for id in &left_out {
            digester.part(b"left out").part(id.key().as_bytes());
        }
        Self {
            digest: digester.finish(),
            objects,
            hooks,
            left_out,
        }
    }

    /// True when the commit has it, as an object or as a hook.
    pub fn names(&self, id: &ObjectId) -> bool {
        self.get(id).is_some() || self.hooks.iter().any(|hook| hook.job.id == *id)
    }

    /// Hooks of one point, by identity.
    pub fn hooks_at(&self, point: Point) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(move |hook| hook.point == point)
    }

    /// Finds an object.
    pub fn get(&self, id: &ObjectId) -> Option<&DesiredObject> {
        self.objects
            .binary_search_by(|o| o.id.cmp(id))
            .ok()
            .map(|i| &self.objects[i])
    }
}
