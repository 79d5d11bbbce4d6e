//! Health of a kind by expressions in CEL (`spec.health.expressions`), for objects whose readiness no general rule knows.
//!
//! Owns what an expression means: how it is read, what it may cost, and the verdict that follows from its answers. The
//! fields of the object are the variables, as users of other GitOps tools write them: `status.phase == 'Ready'`.
//!
//! How expressions are bounded: [`crate::expression`].

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tidegate_api::application::HealthExpression;

use super::conditions::own_words;
use super::{Health, HealthStatus, fields, unobserved};
use crate::expression::{self, Answer, Expression, Language, Subject, Variable};
use crate::object::{ObjectId, split_api_version};
use crate::problem::Problem;

/// Most steps that judging one object may take: some hundredths of a second.
pub const MAX_STEPS: u64 = 200_000;

/// The fields of the object are the variables.
const LANGUAGE: Language = Language {
    max_text: 2048,
    max_nodes: 500,
    example: "status.phase == 'Ready'",
    variables: None,
};

/// The expressions of one Application, by kind.
#[derive(Debug, Default)]
pub struct HealthRules {
    kinds: Vec<KindEntry>,
}

#[derive(Debug)]
struct KindEntry {
    group: String,
    version: String,
    kind: String,
    rule: Arc<HealthRule>,
}

/// How objects of one kind are judged.
#[derive(Debug)]
pub struct HealthRule {
    /// Where it is written: `spec.health.expressions[0]`.
    field: String,
    /// `None` when one of its expressions cannot be used.
    expressions: Option<Expressions>,
    fingerprint: String,
}

#[derive(Debug)]
struct Expressions {
    current: Expression,
    failed: Option<Expression>,
    in_progress: Option<Expression>,
}

impl HealthRules {
    /// Reads the expressions of an Application, and tells all that is wrong with them. A kind with an expression that
    /// cannot be used has a rule all the same: its objects are not judged by anything else.
    pub fn read(entries: &[HealthExpression]) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut rules = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let field = format!("spec.health.expressions[{index}]");
            let (group, version) = split_api_version(&entry.api_version);
            let same = |k: &KindEntry| k.group == group && k.version == version && k.kind == entry.kind;
            if let Some(first) = rules.kinds.iter().find(|k| same(k)) {
                let message = format!(
                    "{} {} is judged by {} already; put both into one entry",
                    entry.api_version, entry.kind, first.rule.field
                );
                problems.push(problem(&field, "kind", message));
                continue;
            }
            rules.kinds.push(KindEntry {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: entry.kind.clone(),
                rule: Arc::new(HealthRule::read(&field, entry, &mut problems)),
            });
        }
        (rules, problems)
    }

    /// How an object is judged that was applied at this version; `None` for what has no expressions. An entry of another
    /// version of the same kind counts where there is none of this one.
    pub fn of(&self, id: &ObjectId, version: &str) -> Option<&Arc<HealthRule>> {
        let mut same_kind = self
            .kinds
            .iter()
            .filter(|k| k.group == *id.group && k.kind == *id.kind);
        let exact = same_kind.clone().find(|k| k.version == version);
        exact.or_else(|| same_kind.next()).map(|k| &k.rule)
    }

    /// True when no kind is judged by expressions.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

impl HealthRule {
    fn read(field: &str, entry: &HealthExpression, problems: &mut Vec<Problem>) -> Self {
        let mut read = |name: &str, text: &str| match expression::read(text, &LANGUAGE) {
            Ok(expression) => Some(expression),
            Err(fault) => {
                let message = format!("of {} {}: {fault}", entry.api_version, entry.kind);
                problems.push(problem(field, name, message));
                None
            }
        };
        let current = read("current", &entry.current);
        let failed = entry.failed.as_deref().map(|text| read("failed", text));
        let in_progress = entry.in_progress.as_deref().map(|text| read("inProgress", text));
        let expressions = match (current, failed, in_progress) {
            (None, _, _) | (_, Some(None), _) | (_, _, Some(None)) => None,
            (Some(current), failed, in_progress) => Some(Expressions {
                current,
                failed: failed.flatten(),
                in_progress: in_progress.flatten(),
            }),
        };
        let mut hash = Sha256::new();
        for text in [
            Some(&entry.current),
            entry.failed.as_ref(),
            entry.in_progress.as_ref(),
        ] {
            hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
            hash.update(text.map(String::as_str).unwrap_or_default());
        }
        Self {
            field: field.to_owned(),
            expressions,
            fingerprint: hash
                .finalize()
                .iter()
                .take(8)
                .map(|b| format!("{b:02x}"))
                .collect(),
        }
    }

    /// Tells this rule from one that was written otherwise.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The verdict on an object that is not being deleted: the first of `inProgress`, `failed` and `current` that is
    /// true; in progress when none is. An expression that reads what is not there is not true.
    pub(super) fn judge(&self, object: &Value) -> Health {
        let Some(expressions) = &self.expressions else {
            let message = format!("{} cannot be used; see condition Stalled", self.field);
            return Health::new(HealthStatus::Unknown, "InvalidExpression", message);
        };
        if !expressions.all().any(|(_, e)| e.names("observedGeneration"))
            && let Some(stale) = unobserved(object)
        {
            return stale;
        }
        if expressions.cost(object) > MAX_STEPS {
            return self.too_costly();
        }
        expressions.verdict(object)
    }

    fn too_costly(&self) -> Health {
        let message = format!(
            "not judged: with lists as long as this object has them, {} can take more than {MAX_STEPS} steps; nest fewer \
             all(), exists(), map() and filter(), or ask for less",
            self.field
        );
        Health::new(HealthStatus::Unknown, "ExpressionTooCostly", message)
    }
}

impl Expressions {
    /// In the order in which they are asked.
    fn all(&self) -> impl Iterator<Item = (&'static str, &Expression)> {
        let optional = [("inProgress", &self.in_progress), ("failed", &self.failed)];
        let optional = optional
            .into_iter()
            .filter_map(|(name, e)| Some((name, e.as_ref()?)));
        optional.chain([("current", &self.current)])
    }

    fn cost(&self, object: &Value) -> u64 {
        let costs = self.all().map(|(_, e)| expression::steps(e, object, MAX_STEPS));
        costs.fold(0, u64::saturating_add)
    }

    fn verdict(&self, object: &Value) -> Health {
        let roots = self.all().flat_map(|(_, e)| &e.roots);
        let subject = Subject::new(roots.map(|root| (root.as_str(), field(root, object))));
        let mut notes = Vec::new();
        for (name, expression) in self.all() {
            let why = match subject.ask(expression) {
                Answer::True => return yes(name, expression, object),
                Answer::False => continue,
                // What would be a failure is not written yet: no news.
                Answer::Unset(_) if name != "current" => continue,
                Answer::Unset(why) | Answer::Wrong(why) | Answer::Mistyped(why) => why,
            };
            notes.push(format!("`{name}` {why}"));
        }
        let notes = if notes.is_empty() {
            String::new()
        } else {
            format!("; {}", notes.join("; "))
        };
        let text = fields::bounded(&self.current.text, 200);
        Health::progress("ExpressionNotTrue", format!("not true yet: {text}{notes}"))
    }
}

/// A top-level field. One that the object lacks is an empty map, so that `has(status.phase)` is false on an object without
/// a status. `metadata.managedFields` is left out: it is large, and says nothing about health.
fn field(name: &str, object: &Value) -> Variable {
    let Some(value) = object.get(name) else {
        return Variable::with([].into_iter());
    };
    match value.as_object().filter(|_| name == "metadata") {
        Some(metadata) => Variable::with(metadata.iter().filter(|(name, _)| *name != "managedFields")),
        None => Variable::of(value),
    }
}

fn yes(name: &str, expression: &Expression, object: &Value) -> Health {
    let text = fields::bounded(&expression.text, 200);
    if name == "current" {
        return Health::current("ExpressionTrue", format!("true: {text}"));
    }
    let said = own_words(object)
        .map(|said| format!("; it says {said}"))
        .unwrap_or_default();
    let message = format!("`{name}` is true: {text}{said}");
    if name == "failed" {
        return Health::failed("ExpressionTrue", message);
    }
    Health::progress("ExpressionTrue", message)
}

fn problem(entry: &str, field: &str, message: String) -> Problem {
    Problem {
        reason: "InvalidExpression",
        object: String::new(),
        field: Some(format!("{entry}.{field}")),
        location: None,
        message,
    }
}
