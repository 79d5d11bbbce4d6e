//! `rules` of a policy: expressions in CEL over a plan, its revision, the Application and the time.
//!
//! Owns which variables there are and what an expression may cost. A rule that cannot be used, cannot be answered or costs
//! too much lets nothing through; nothing that it says repeats a value (semantics.md "Several policies").

mod variables;

use jiff::Timestamp;
use tidegate_api::policy::Rule;

use crate::expression::{self, Answer, Expression, Language, Subject};
use crate::gate::Question;
use crate::plan::Plan;
use crate::problem::Problem;
use variables::{VARIABLES, Variables};

/// Most steps that all rules of one policy may take over one plan: about a tenth of a second.
pub const MAX_STEPS: u64 = 2_000_000;

const LANGUAGE: Language = Language {
    max_text: 4096,
    max_nodes: 1000,
    example: "plan.delete == 0",
    variables: Some(VARIABLES),
};

/// A rule that was read.
#[derive(Debug)]
pub struct CompiledRule {
    /// Its name.
    pub name: String,
    /// What its author tells whoever waits.
    pub message: Option<String>,
    /// `None` when it cannot be used.
    expression: Option<Expression>,
}

impl CompiledRule {
    /// True when its answer can change with time alone.
    pub fn reads_time(&self) -> bool {
        self.expression.as_ref().is_some_and(|e| e.roots.contains("now"))
    }

    /// As written, for people.
    pub fn text(&self) -> String {
        let text = self.expression.as_ref().map_or("", |e| e.text.as_str());
        expression::bounded(text, 200)
    }
}

/// What one rule says about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is true.
    Holds,
    /// It is false.
    Fails,
    /// It was refused when it was read.
    Unusable,
    /// It has no answer for this plan. Why, as the end of a sentence about the expression.
    NoAnswer(String),
    /// It could take more steps than it may.
    TooCostly,
}

/// Reads the rules of a policy, and tells all that is wrong with them.
pub fn read(rules: &[Rule], problems: &mut Vec<Problem>) -> Vec<CompiledRule> {
    let mut read = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let mut fault = |field: &str, message: String| {
            problems.push(Problem {
                reason: "InvalidExpression",
                object: String::new(),
                field: Some(format!("spec.rules[{index}].{field}")),
                location: None,
                message: format!("rule {}: {message}", rule.name),
            });
        };
        if rules[..index].iter().any(|other| other.name == rule.name) {
            fault("name", "another rule has this name; give each its own".to_owned());
        }
        let expression = match usable(&rule.expression) {
            Ok(expression) => Some(expression),
            Err(message) => {
                fault("expression", message);
                None
            }
        };
        read.push(CompiledRule {
            name: rule.name.clone(),
            message: rule.message.clone(),
            expression,
        });
    }
    read
}

/// Reads an expression and tries it over a plan with one change: values of the wrong type show there.
fn usable(text: &str) -> Result<Expression, String> {
    let expression = expression::read(text, &LANGUAGE).map_err(|fault| fault.to_string())?;
    let sample = Variables::sample();
    if expression::steps(&expression, sample.values(), MAX_STEPS) > MAX_STEPS {
        return Err("it takes too many steps; nest fewer all(), exists(), map() and filter()".to_owned());
    }
    match sample.subject(&expression.roots).ask(&expression) {
        Answer::Mistyped(why) => Err(format!("it {why}")),
        Answer::True | Answer::False | Answer::Unset(_) | Answer::Wrong(_) => Ok(expression),
    }
}

/// What each rule says about a plan, in their order.
pub fn ask(rules: &[CompiledRule], plan: &Plan, question: &Question<'_>, now: Timestamp) -> Vec<Said> {
    let expressions = || rules.iter().filter_map(|rule| rule.expression.as_ref());
    let reads = |field: &str| expressions().any(|e| e.may_read(field));
    let variables = Variables::of(plan, question, now, &reads);
    let roots = expressions().flat_map(|e| &e.roots).cloned().collect();
    let mut left = MAX_STEPS;
    // Made once, and only when something is asked: a large plan is copied for it.
    let mut subject: Option<Subject<'_>> = None;
    let mut said = Vec::new();
    for rule in rules {
        let Some(expression) = &rule.expression else {
            said.push(Said::Unusable);
            continue;
        };
        let steps = expression::steps(expression, variables.values(), left);
        if steps > left {
            said.push(Said::TooCostly);
            continue;
        }
        left -= steps;
        let subject = subject.get_or_insert_with(|| variables.subject(&roots));
        said.push(match subject.ask(expression) {
            Answer::True => Said::Holds,
            Answer::False => Said::Fails,
            Answer::Unset(why) | Answer::Wrong(why) | Answer::Mistyped(why) => Said::NoAnswer(why),
        });
    }
    said
}
