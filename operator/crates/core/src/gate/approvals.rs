//! `approvals` of a policy: people who agree to the plan as it is. Rules: semantics.md "Approvals, overrides, identity".

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_api::ApprovalSpec;
use tidegate_api::policy::{Approvals, GateName, UnmappedAuthors};
use tidegate_api::release::ApprovalShown;

use super::authors::{Hands, Persons, hands, short};
use super::{Asking, Line, Question};
use crate::duration;
use crate::plan::Plan;
use crate::policy::CompiledPolicy;

/// Most of them in a Release's status.
const SHOWN: usize = 64;
/// Most things of one sort that a message names.
const NAMED: usize = 3;

/// An Approval that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalFacts {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it says.
    pub spec: ApprovalSpec,
}

/// What the approvals of a policy come to; nothing where it asks for none.
pub(super) fn ask(
    policy: &CompiledPolicy,
    plan: &Plan,
    question: &Question<'_>,
    now: Timestamp,
) -> Option<Line> {
    let rules = policy.policy.approvals.as_ref()?;
    let name = policy.name.to_string();
    let closed = |reason, message| Some(Line::closed(&name, GateName::Approvals, reason, message, None));
    if let Some(why) = question.unguarded {
        return closed(
            "ApprovalsUnguarded",
            format!("no Approval counts, since it is not certain who makes them: {why}"),
        );
    }
    let room = Room::new(policy, rules, question);
    let judged = room.judge(plan, now);
    let required = usize::try_from(rules.required).unwrap_or(1).max(1);
    let counting: Vec<&Judged<'_>> = judged.iter().filter(|j| j.standing.is_ok()).collect();
    let count = format!("{} of {required} approvals{}", counting.len(), by(&counting));
    if let Some((reason, why)) = room.not_known_who(&name) {
        return closed(reason, format!("{why}; {count}"));
    }
    if counting.len() >= required {
        let until = room.enough_until(&counting, required);
        return Some(Line::open(&name, GateName::Approvals, count, until));
    }
    let missing = required - counting.len();
    let message = format!(
        "{count}; needs {missing} more {}{}{}",
        wanted(rules),
        not_counting(&judged),
        how(plan, question)
    );
    closed("ApprovalRequired", message)
}

/// The Approvals of a Release for its status, and whether each counts for all policies that ask for some.
pub fn show(plan: &Plan, question: &Question<'_>, now: Timestamp) -> Vec<ApprovalShown> {
    let mut whys: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut asked = 0;
    for policy in question.policies {
        let Some(rules) = policy.policy.approvals.as_ref() else {
            continue;
        };
        asked += 1;
        for judged in Room::new(policy, rules, question).judge(plan, now) {
            if let Err(why) = judged.standing {
                let said = whys.entry(&judged.approval.name).or_default();
                said.push((policy.name.to_string(), why));
            }
        }
    }
    let mut all: Vec<&ApprovalFacts> = question.approvals.iter().collect();
    all.sort_by_key(|a| (whys.contains_key(a.name.as_str()), a.created, &a.name));
    all.truncate(SHOWN);
    all.sort_by_key(|a| (a.created, &a.name));
    let shown = |approval: &ApprovalFacts| {
        let why = match whys.get(approval.name.as_str()) {
            Some(said) => Some(together(said, asked)),
            None if asked > 0 => None,
            None => Some("no policy asks for approvals".to_owned()),
        };
        ApprovalShown {
            name: approval.name.clone(),
            approver: approval.spec.approver.clone(),
            at: approval.created.to_string(),
            counts: why.is_none(),
            why,
        }
    };
    all.into_iter().map(shown).collect()
}

/// One reason where all policies that ask have the same; each with its policy otherwise.
fn together(said: &[(String, String)], asked: usize) -> String {
    let mut said = said.to_vec();
    said.sort();
    match said.as_slice() {
        [(_, first), others @ ..] if said.len() == asked && others.iter().all(|(_, why)| why == first) => {
            first.clone()
        }
        _ => {
            let each = said.iter().map(|(policy, why)| format!("{policy}: {why}"));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

/// One Approval, and until when it counts or why it does not.
struct Judged<'a> {
    approval: &'a ApprovalFacts,
    standing: Result<Option<Timestamp>, String>,
}

/// One policy's approvals of one Release.
struct Room<'a> {
    rules: &'a Approvals,
    question: &'a Question<'a>,
    persons: Persons<'a>,
    hands: Hands<'a>,
}

impl<'a> Room<'a> {
    fn new(policy: &'a CompiledPolicy, rules: &'a Approvals, question: &'a Question<'a>) -> Self {
        let identities = &policy.policy.identities;
        Self {
            rules,
            question,
            persons: Persons::new(identities),
            hands: hands(&question.revision.commits, identities),
        }
    }

    /// Why it cannot be said who must not approve.
    fn not_known_who(&self, policy: &str) -> Option<(&'static str, String)> {
        if !self.rules.exclude_author {
            return None;
        }
        if let Some(why) = &self.question.revision.unknown {
            let message = format!(
                "who made the commits since the last good release is not known, and so not who must not approve: {why}"
            );
            return Some(("HistoryUnknown", message));
        }
        if let (Asking::Release, Some(why)) = (self.question.asking, &self.question.revision.taken_back) {
            let message =
                format!("{why}, and so not who must not approve; bring it back by a commit on top instead");
            return Some(("HistoryRewritten", message));
        }
        if self.rules.unmapped_authors == UnmappedAuthors::Allow || self.hands.strangers.is_empty() {
            return None;
        }
        let strangers = self.hands.strangers.iter();
        let named = strangers.take(NAMED).map(|(who, commit)| {
            let subject: String = commit.subject.chars().take(60).collect();
            format!("{who} (commit {} \"{subject}\")", short(&commit.commit))
        });
        let message = format!(
            "nobody knows who is {}{}, and so not who must not approve; name the user in spec.identities of {policy}, or set \
             spec.approvals.unmappedAuthors to Allow there",
            named.collect::<Vec<_>>().join(", "),
            more(self.hands.strangers.len())
        );
        Some(("AuthorUnmapped", message))
    }

    /// All Approvals in the order in which they were made. Of several by one person the one that counts longest counts.
    fn judge(&self, plan: &Plan, now: Timestamp) -> Vec<Judged<'a>> {
        let mut judged: Vec<Judged<'a>> = self
            .question
            .approvals
            .iter()
            .map(|approval| Judged {
                approval,
                standing: self.standing(approval, plan, now),
            })
            .collect();
        judged.sort_by_key(|j| (j.approval.created, &j.approval.name));
        let mut best: BTreeMap<&str, (Timestamp, &str)> = BTreeMap::new();
        for (approval, until) in judged
            .iter()
            .filter_map(|j| Some((j.approval, j.standing.as_ref().ok()?)))
        {
            let until = until.unwrap_or(Timestamp::MAX);
            let person = self.persons.person(&approval.spec.approver);
            let longest = best.entry(person).or_insert((until, &approval.name));
            if until > longest.0 {
                *longest = (until, &approval.name);
            }
        }
        for j in &mut judged {
            let person = self.persons.person(&j.approval.spec.approver);
            let counted = best.get(person).map(|(_, name)| *name);
            if let Some(other) = counted.filter(|name| *name != j.approval.name && j.standing.is_ok()) {
                j.standing = Err(format!(
                    "each person counts once, and {person} counts by Approval {other}"
                ));
            }
        }
        judged
    }

    fn standing(
        &self,
        approval: &ApprovalFacts,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, String> {
        let (question, spec) = (self.question, &approval.spec);
        if let Some(why) = question.unguarded {
            return Err(format!("it is not certain who made it: {why}"));
        }
        if question
            .guarded_since
            .is_some_and(|since| approval.created < since)
        {
            return Err(
                "it was made before the API server guaranteed who makes Approvals; delete it and approve again".to_owned(),
            );
        }
        if spec.application != question.application.name || question.release != Some(spec.release.as_str()) {
            return Err(format!(
                "it is about Release {} of Application {}, which this is not",
                spec.release, spec.application
            ));
        }
        if spec.plan_digest != plan.digest {
            return Err(format!(
                "the plan has changed since: {} was approved, and it is {} now; look at it and approve again",
                shortened(&spec.plan_digest),
                shortened(&plan.digest)
            ));
        }
        self.may(spec)?;
        self.has_no_hand_in_it(&spec.approver)?;
        self.valid_until(approval, now)
    }

    fn may(&self, spec: &ApprovalSpec) -> Result<(), String> {
        let rules = self.rules;
        if rules.users.contains(&spec.approver) {
            return Ok(());
        }
        if is_no_person(&spec.approver) {
            return Err(format!(
                "{} is no person, and counts only where spec.approvals.users has that full name",
                spec.approver
            ));
        }
        let anybody = rules.users.is_empty() && rules.groups.is_empty();
        if anybody || spec.groups.iter().any(|group| rules.groups.contains(group)) {
            return Ok(());
        }
        let hint = match (rules.groups.as_slice(), spec.groups.as_slice()) {
            ([], _) => String::new(),
            (_, []) => "; it names no group in spec.groups, and a group counts only there".to_owned(),
            (_, named) => format!("; it names {}", named.join(", ")),
        };
        Err(format!("only {} counts{hint}", whose(rules)))
    }

    fn has_no_hand_in_it(&self, approver: &str) -> Result<(), String> {
        if !self.rules.exclude_author {
            return Ok(());
        }
        let person = self.persons.person(approver);
        let mut own = self
            .hands
            .users
            .iter()
            .filter(|(user, _)| self.persons.person(user) == person);
        match own.next() {
            None => Ok(()),
            Some((_, commit)) => Err(format!(
                "{approver} made, committed or signed commit {}, and nobody approves their own",
                short(&commit.commit)
            )),
        }
    }

    fn valid_until(&self, approval: &ApprovalFacts, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let Some(valid_for) = self.rules.valid_for.as_deref() else {
            return Ok(None);
        };
        let span = duration::parse(valid_for).map_err(|e| format!("spec.approvals.validFor: {e}"))?;
        // Past the end of time is for ever.
        let Ok(end) = approval.created.checked_add(span) else {
            return Ok(None);
        };
        if end <= now {
            return Err(format!("it counted for {valid_for}, until {end}; approve again"));
        }
        Ok(Some(end))
    }

    /// When there are too few, if nobody approves any more.
    fn enough_until(&self, counting: &[&Judged<'_>], required: usize) -> Option<Timestamp> {
        let mut ends: Vec<Timestamp> = counting
            .iter()
            .map(|j| {
                j.standing
                    .as_ref()
                    .ok()
                    .copied()
                    .flatten()
                    .unwrap_or(Timestamp::MAX)
            })
            .collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(required - 1)
            .copied()
            .filter(|end| *end != Timestamp::MAX)
    }
}

/// `system:` is the API server's own prefix: ServiceAccounts, nodes and parts of Kubernetes. Else git could approve itself.
pub(super) fn is_no_person(user: &str) -> bool {
    user.starts_with("system:")
}

fn by(counting: &[&Judged<'_>]) -> String {
    if counting.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = counting
        .iter()
        .map(|j| j.approval.spec.approver.as_str())
        .collect();
    format!(", by {}", names.join(", "))
}

fn wanted(rules: &Approvals) -> String {
    if rules.groups.is_empty() && rules.users.is_empty() {
        return "by anybody who may approve".to_owned();
    }
    format!("by {}", whose(rules))
}

fn whose(rules: &Approvals) -> String {
    let of = |one: &str, many: &str, names: &[String]| match names {
        [] => None,
        [name] => Some(format!("{one} {name}")),
        names => Some(format!("{many} {}", names.join(", "))),
    };
    let groups = of(
        "a member of group",
        "a member of one of the groups",
        &rules.groups,
    );
    let users = of("user", "one of the users", &rules.users);
    [groups, users]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" or ")
}

fn not_counting(judged: &[Judged<'_>]) -> String {
    let not: Vec<String> = judged
        .iter()
        .filter_map(|j| {
            Some(format!(
                "{}'s: {}",
                j.approval.spec.approver,
                j.standing.as_ref().err()?
            ))
        })
        .collect();
    if not.is_empty() {
        return String::new();
    }
    let newest: Vec<&str> = not.iter().rev().take(NAMED).map(String::as_str).collect();
    format!(". What does not count: {}{}", newest.join("; "), more(not.len()))
}

fn how(plan: &Plan, question: &Question<'_>) -> String {
    let Some(release) = question.release else {
        return String::new();
    };
    let application = question.application;
    format!(
        ". Approve with `tidegate approve {release} -n {}`, or make an Approval with application {}, release {release} and \
         planDigest {}",
        application.namespace, application.name, plan.digest
    )
}

fn more(all: usize) -> String {
    match all.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

fn shortened(digest: &str) -> String {
    digest.chars().take(12).collect()
}
