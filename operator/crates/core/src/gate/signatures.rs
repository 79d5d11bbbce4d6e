//! `signatures` of a policy: who must have signed the commits since the last good release, and who may change what.
//!
//! With `required` every commit is signed by a key of the source's keyring, and where `signers` are named, by one of them
//! who may change its files. Without it only the files and kinds that a signer's rule names are guarded. A bad signature
//! is never let through: somebody tried something. What is not known of the history is taken for unsigned.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_api::policy::GateName;

use super::{Line, Question, RevisionFacts};
use crate::people::{CommitFacts, SignatureFacts, SignatureState, short};
use crate::plan::Plan;
use crate::policy::CompiledPolicy;
use crate::signers::{PlannedKind, SignerRule, kind_of};

/// Most commits that a message names.
const SHOWN: usize = 5;

/// A machine's word for what is wrong, and a person's.
type Fault = (&'static str, String);

/// What the signatures of all commits since the last good release come to.
pub(super) fn ask(policy: &CompiledPolicy, plan: &Plan, question: &Question<'_>) -> Option<Line> {
    let demand = policy.policy.signatures.as_ref()?;
    let name = policy.name.to_string();
    if !demand.required && demand.signers.is_empty() {
        return None;
    }
    if policy.signers.len() != demand.signers.len() {
        let why = "signatures.signers has an entry that cannot be read, and lets nothing through".to_owned();
        return Some(Line::closed(
            &name,
            GateName::Signatures,
            "InvalidExpression",
            why,
            None,
        ));
    }
    let rules = Rules {
        required: demand.required,
        signers: &policy.signers,
        tag: question.revision.tag.as_ref(),
        kinds: Kinds::of(plan, &policy.signers),
    };
    let faults = rules.faults(question.revision);
    let Some((reason, _)) = faults.first() else {
        let count = question.revision.commits.len();
        let message =
            format!("the signatures of {count} commits since the last good release are as they must be");
        return Some(Line::open(&name, GateName::Signatures, message, None));
    };
    let reason = *reason;
    Some(Line::closed(
        &name,
        GateName::Signatures,
        reason,
        said(&faults),
        None,
    ))
}

fn said(faults: &[Fault]) -> String {
    let shown: Vec<&str> = faults.iter().take(SHOWN).map(|(_, text)| text.as_str()).collect();
    let more = faults.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!(
        "{}{more}; have who may sign them do so and push that, or open the gate with an Override",
        shown.join("; ")
    )
}

struct Rules<'a> {
    required: bool,
    signers: &'a [SignerRule],
    tag: Option<&'a SignatureFacts>,
    kinds: Kinds,
}

impl Rules<'_> {
    fn faults(&self, revision: &RevisionFacts) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(why) = &revision.unknown {
            faults.push(("HistoryUnknown", format!("not all commits are known: {why}")));
        }
        if let Some(why) = &revision.taken_back {
            faults.push(("HistoryRewritten", why.clone()));
        }
        faults.extend(self.tag_fault(&revision.reference));
        faults.extend(revision.commits.iter().filter_map(|commit| self.fault(commit)));
        faults
    }

    /// An unsigned tag says nothing; one that is signed by whoever must not have been.
    fn tag_fault(&self, reference: &str) -> Option<Fault> {
        let tag = self.tag?;
        let reason = match tag.state {
            SignatureState::Bad => "SignatureBad",
            SignatureState::Unknown => "SignatureUnknown",
            SignatureState::Good | SignatureState::None => return None,
        };
        Some((reason, format!("tag {reference}: {}", tag.message)))
    }

    fn fault(&self, commit: &CommitFacts) -> Option<Fault> {
        let own = &commit.signature;
        if own.state == SignatureState::Bad {
            let why = format!(
                "{}, and its signature is bad: {}",
                does(commit, None),
                own.message
            );
            return Some(("SignatureBad", why));
        }
        // Who signs a tag signs all that it leads to, as if it were one commit of his.
        let tag = self.tag.filter(|tag| tag.state == SignatureState::Good);
        let signature = match own.state {
            SignatureState::Good => Some(own),
            _ => tag,
        };
        let Some(signature) = signature else {
            return self.unsigned(commit);
        };
        if self.signers.is_empty() {
            return None;
        }
        let theirs: Vec<&SignerRule> = self
            .signers
            .iter()
            .filter(|rule| rule.is_about(signature))
            .collect();
        let who = who(signature);
        if theirs.is_empty() && self.required {
            let why = format!(
                "{}, signed by {who}, whom no signers entry names",
                does(commit, None)
            );
            return Some(("SignerNotAllowed", why));
        }
        self.file_fault(commit, &theirs, &who)
            .or_else(|| self.kind_fault(commit, &theirs, &who))
    }

    fn unsigned(&self, commit: &CommitFacts) -> Option<Fault> {
        let (reason, how) = match commit.signature.state {
            SignatureState::Unknown => ("SignatureUnknown", commit.signature.message.as_str()),
            _ => ("NotSigned", "is not signed"),
        };
        let joint = if reason == "NotSigned" { " and " } else { ", and " };
        if self.required {
            return Some((reason, format!("{}{joint}{how}", does(commit, None))));
        }
        let guarded = |path: &&String| self.signers.iter().any(|rule| rule.allows_path(path));
        if let Some(path) = commit.paths.iter().find(guarded) {
            return Some((reason, format!("{}{joint}{how}", does(commit, Some(path)))));
        }
        if commit.more_paths && !self.signers.is_empty() {
            return Some((reason, format!("{}{joint}{how}", does(commit, None))));
        }
        let kind = self.kinds.asked(commit).find(|kind| self.guards_kind(kind))?;
        Some((
            reason,
            format!("{}, may change a {}{joint}{how}", does(commit, None), kind.0),
        ))
    }

    fn file_fault(&self, commit: &CommitFacts, theirs: &[&SignerRule], who: &str) -> Option<Fault> {
        let refuse = |what: &str| {
            let why = format!(
                "{}, signed by {who}, who may not change {what}",
                does(commit, None)
            );
            Some(("SignerNotAllowed", why))
        };
        let allowed = |path: &str| theirs.iter().any(|rule| rule.allows_path(path));
        let guarded = |path: &str| self.required || self.signers.iter().any(|rule| rule.allows_path(path));
        if let Some(path) = commit.paths.iter().find(|path| guarded(path) && !allowed(path)) {
            let why = format!(
                "{}, signed by {who}, who may not change it",
                does(commit, Some(path))
            );
            return Some(("SignerNotAllowed", why));
        }
        if commit.more_paths && !theirs.iter().any(|rule| rule.allows_any_path()) {
            return refuse("every file");
        }
        None
    }

    fn kind_fault(&self, commit: &CommitFacts, theirs: &[&SignerRule], who: &str) -> Option<Fault> {
        // The rules by which its files were allowed: each of them must allow what it may have changed.
        let used: Vec<&&SignerRule> = theirs
            .iter()
            .filter(|rule| commit.more_paths || commit.paths.iter().any(|path| rule.allows_path(path)))
            .collect();
        let refused = |kind: &&PlannedKind| {
            let guarded = self.required || self.guards_kind(kind);
            guarded && (used.is_empty() || !used.iter().all(|rule| rule.allows_kind(kind)))
        };
        let by_file = |path: &String, kind: &PlannedKind| {
            theirs
                .iter()
                .any(|rule| rule.allows_path(path) && rule.allows_kind(kind))
        };
        let kind = match self.kinds.asked_by_file(commit) {
            Some(pairs) => pairs
                .filter(|(path, kind)| (self.required || self.guards_kind(kind)) && !by_file(path, kind))
                .map(|(_, kind)| kind)
                .next(),
            None => self.kinds.asked(commit).find(refused),
        }?;
        let why = format!(
            "{}, signed by {who}, who may not change a {}",
            does(commit, None),
            kind.0
        );
        Some(("SignerNotAllowed", why))
    }

    fn guards_kind(&self, kind: &PlannedKind) -> bool {
        self.signers.iter().any(|rule| rule.names_kind(kind))
    }
}

/// Kinds that a plan changes, and in which files they are written. Empty where no rule is about kinds.
struct Kinds {
    all: BTreeSet<PlannedKind>,
    by_file: BTreeMap<String, BTreeSet<PlannedKind>>,
    /// Every file that an object of the set is written in.
    manifests: BTreeSet<String>,
}

impl Kinds {
    fn of(plan: &Plan, signers: &[SignerRule]) -> Self {
        let mut kinds = Self {
            all: BTreeSet::new(),
            by_file: BTreeMap::new(),
            manifests: BTreeSet::new(),
        };
        if !signers.iter().any(SignerRule::has_kinds) {
            return kinds;
        }
        kinds.manifests.extend(
            plan.rendered
                .objects
                .iter()
                .map(|object| object.location.file.to_string()),
        );
        for step in &plan.steps {
            let kind = kind_of(&step.id);
            if let Some(object) = plan.rendered.get(&step.id) {
                let file = object.location.file.to_string();
                kinds.by_file.entry(file).or_default().insert(kind.clone());
            }
            kinds.all.insert(kind);
        }
        kinds
    }

    /// The kinds that a commit is asked about, one by one with the file; `None` where its files do not tell: it changes
    /// something beside manifests (a deleted one, a patch, values), which may have changed any object.
    fn asked_by_file<'a>(
        &'a self,
        commit: &'a CommitFacts,
    ) -> Option<impl Iterator<Item = (&'a String, &'a PlannedKind)>> {
        let told = !commit.more_paths && commit.paths.iter().all(|path| self.manifests.contains(path));
        told.then(|| {
            commit.paths.iter().flat_map(|path| {
                let kinds = self.by_file.get(path).into_iter().flatten();
                kinds.map(move |kind| (path, kind))
            })
        })
    }

    fn asked<'a>(&'a self, commit: &'a CommitFacts) -> Box<dyn Iterator<Item = &'a PlannedKind> + 'a> {
        match self.asked_by_file(commit) {
            Some(pairs) => Box::new(pairs.map(|(_, kind)| kind)),
            None => Box::new(self.all.iter()),
        }
    }
}

/// `commit 1a2b3c4d by Bob changes apps/x.yaml`.
fn does(commit: &CommitFacts, path: Option<&str>) -> String {
    let id = short(&commit.commit);
    let path = path.or(commit.paths.first().map(String::as_str));
    let what = match path {
        Some(path) => format!("changes {path}"),
        None if commit.more_paths => "changes more files than are listed".to_owned(),
        None => "changes no file by itself".to_owned(),
    };
    format!("commit {id} by {} {what}", commit.author_name)
}

fn who(signature: &SignatureFacts) -> String {
    let key = signature.key_id.as_deref().unwrap_or("an unnamed key");
    match &signature.identity {
        Some(identity) => format!("{identity} ({key})"),
        None => key.to_owned(),
    }
}
