//! From the text of an expression to one that may be evaluated: its grammar, its functions, its bounds.
//!
//! The interpreter recurses over nesting without a limit of its own, and a stack that overflows ends the process: so
//! nesting is counted before the text is parsed, and again in what the parser made of it.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::parser::PrattParser;

use super::bounded;
use super::shape::{self, Field};

/// Deepest nesting of brackets.
const MAX_BRACKETS: usize = 24;
/// Deepest nesting of the parsed expression.
const MAX_DEPTH: usize = 48;
/// How deep `all`, `exists`, `exists_one`, `map` and `filter` may be nested.
const MAX_LOOPS: usize = 3;
/// Largest compiled pattern of `matches`, in bytes.
const MAX_PATTERN: usize = 1 << 17;

/// What can be called beside operators and the macros.
const FUNCTIONS: [&str; 21] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "hasValue",
    "int",
    "matches",
    "none",
    "of",
    "ofNonZeroValue",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "value",
    operators::NOT_STRICTLY_FALSE,
];
/// Names that are not fields of the object.
const NAMES: [&str; 12] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "optional",
    "string",
    "type",
    "uint",
];
/// Names under which other tools have the object as a whole.
const WHOLE: [&str; 3] = ["self", "object", "obj"];
/// Functions of times and spans.
pub(super) const TIME_FUNCTIONS: [&str; 12] = [
    "duration",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "timestamp",
];

/// What expressions of one use may name, and how long they may be.
pub(crate) struct Language {
    /// Longest text, in characters; the CRD says the same.
    pub(crate) max_text: usize,
    /// Most nodes of the parsed expression, macros expanded.
    pub(crate) max_nodes: usize,
    /// An example for whoever wrote something else.
    pub(crate) example: &'static str,
    /// The variables, with the fields that are known of them. `None`: the fields of an object, whichever it has; then
    /// there is no time of day.
    pub(crate) variables: Option<&'static [Field]>,
}

/// An expression that may be evaluated.
#[derive(Debug)]
pub(crate) struct Expression {
    /// As written.
    pub(crate) text: String,
    pub(super) ast: IdedExpr,
    /// Variables that it reads.
    pub(crate) roots: BTreeSet<String>,
    /// Names of fields and texts in it.
    words: BTreeSet<String>,
    /// It picks fields by names that are not written in it.
    computed: bool,
}

impl Expression {
    /// True unless it is certain that it does not read a field of this name.
    pub(crate) fn may_read(&self, field: &str) -> bool {
        self.computed || self.words.contains(field)
    }

    /// True when it names a field.
    pub(crate) fn names(&self, field: &str) -> bool {
        self.words.contains(field)
    }
}

/// Why an expression cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            at: None,
            what: what.into(),
        }
    }

    /// At the first place where the text calls or names this.
    pub(super) fn at_word(text: &str, word: &str, what: impl Into<String>) -> Self {
        let found = text.match_indices(word).map(|(at, _)| at);
        let at = found.map(|at| position(text, at)).next();
        Self {
            at,
            what: what.into(),
        }
    }
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Reads an expression.
pub(crate) fn read(text: &str, language: &Language) -> Result<Expression, Fault> {
    let Language {
        max_text, example, ..
    } = language;
    if text.trim().is_empty() {
        return Err(Fault::new(format!(
            "it is empty; write a condition such as {example}"
        )));
    }
    if text.chars().count() > *max_text {
        return Err(Fault::new(format!("it is longer than {max_text} characters")));
    }
    if let Some(at) = too_deep(text) {
        let what = format!("brackets are nested deeper than {MAX_BRACKETS} levels");
        return Err(Fault {
            at: Some(position(text, at)),
            what,
        });
    }
    let parser = PrattParser::new()
        .enable_optional_syntax(true)
        .enable_ident_escape_syntax(true)
        .max_recursion_depth(64)
        .error_reporting_limit(1);
    // The parser is young: a panic in it must be a broken expression, not a broken operator.
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(text)));
    let ast = match parsed {
        Ok(Ok(ast)) => ast,
        Ok(Err(errors)) => return Err(syntax(&errors)),
        Err(_) => return Err(Fault::new("it cannot be parsed; write it in another way")),
    };
    let mut check = Check {
        text,
        language,
        nodes: 0,
        scope: Vec::new(),
        roots: BTreeSet::new(),
        words: BTreeSet::new(),
        computed: false,
    };
    check.node(&ast, 0, 0)?;
    if never_bool(&ast) {
        return Err(Fault::new(format!(
            "its value is not true or false; compare it with something, as in {example}"
        )));
    }
    let Check {
        roots,
        words,
        computed,
        ..
    } = check;
    if let Some(variables) = language.variables {
        shape::check(text, &ast, variables)?;
    }
    Ok(Expression {
        text: text.to_owned(),
        ast,
        roots,
        words,
        computed,
    })
}

/// Where brackets open too deep. Those within strings count too: no sensible text has so many.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_BRACKETS {
            return Some(at);
        }
    }
    None
}

fn syntax(errors: &cel::ParseErrors) -> Fault {
    let placed = errors
        .errors
        .iter()
        .find(|e| e.pos.0 > 0)
        .or(errors.errors.first());
    let Some(error) = placed else {
        return Fault::new("it cannot be parsed");
    };
    let number = |n: isize| usize::try_from(n).ok().filter(|n| *n > 0);
    let what = error.msg.trim_start_matches("Syntax error: ");
    let hint = match what {
        _ if what.starts_with("mismatched input '=' ") => "; `==` compares",
        _ if what.contains("'&' ") || what.starts_with("unexpected token: &") => "; `&&` is and",
        _ => "",
    };
    Fault {
        at: number(error.pos.0).zip(number(error.pos.1)),
        what: format!("{}{hint}", bounded(what, 300)),
    }
}

struct Check<'t> {
    text: &'t str,
    language: &'t Language,
    nodes: usize,
    /// Variables of the macros around.
    scope: Vec<String>,
    roots: BTreeSet<String>,
    words: BTreeSet<String>,
    computed: bool,
}

impl Check<'_> {
    fn node(&mut self, node: &IdedExpr, depth: usize, loops: usize) -> Result<(), Fault> {
        self.nodes += 1;
        let most = self.language.max_nodes;
        if self.nodes > most {
            return Err(Fault::new(format!(
                "it has more than {most} parts, macros counted as what they stand for"
            )));
        }
        if depth > MAX_DEPTH {
            return Err(Fault::new(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Literal(literal) => {
                if let LiteralValue::String(text) = literal {
                    self.words.insert(text.inner().to_owned());
                }
                Ok(())
            }
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                self.words.insert(select.field.clone());
                self.node(&select.operand, depth, loops)
            }
            Expr::Call(call) => self.call(call, depth, loops),
            Expr::List(list) => list.elements.iter().try_for_each(|e| self.node(e, depth, loops)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.node(&entry.key, depth, loops)?;
                    self.node(&entry.value, depth, loops)
                }
                EntryExpr::StructField(_) => Err(Fault::new("messages cannot be made here")),
            }),
            Expr::Comprehension(each) => {
                if loops == MAX_LOOPS {
                    return Err(Fault::new(format!(
                        "all(), exists(), map() and filter() are nested deeper than {MAX_LOOPS} levels"
                    )));
                }
                self.node(&each.iter_range, depth, loops)?;
                self.node(&each.accu_init, depth, loops)?;
                let outer = self.scope.len();
                self.scope.push(each.iter_var.clone());
                self.scope.extend(each.iter_var2.clone());
                self.scope.push(each.accu_var.clone());
                let inner = [&each.loop_cond, &each.loop_step, &each.result];
                inner
                    .into_iter()
                    .try_for_each(|e| self.node(e, depth, loops + 1))?;
                self.scope.truncate(outer);
                Ok(())
            }
            Expr::Struct(_) => Err(Fault::new("messages cannot be made here")),
            Expr::Unspecified => Err(Fault::new("it cannot be parsed")),
        }
    }

    fn name(&mut self, name: &str) -> Result<(), Fault> {
        if self.scope.iter().any(|bound| bound == name) || NAMES.contains(&name) {
            return Ok(());
        }
        if let Some(variables) = self.language.variables {
            if !variables.iter().any(|(known, _)| *known == name) {
                let known: Vec<&str> = variables.iter().map(|(known, _)| *known).collect();
                let what = format!("there is no `{name}`; there are {}", known.join(", "));
                return Err(Fault::at_word(self.text, name, what));
            }
        } else if WHOLE.contains(&name) {
            let what = format!(
                "there is no `{name}`: the fields of the object are the variables; write status.phase, metadata.name"
            );
            return Err(Fault::at_word(self.text, name, what));
        }
        self.roots.insert(name.to_owned());
        Ok(())
    }

    fn call(&mut self, call: &CallExpr, depth: usize, loops: usize) -> Result<(), Fault> {
        let name = call.func_name.as_str();
        let times = self.language.variables.is_some();
        let known =
            is_operator(name) || FUNCTIONS.contains(&name) || (times && TIME_FUNCTIONS.contains(&name));
        if !known {
            let of_times = if times {
                ", timestamp, duration, getHours and the others of times"
            } else {
                ""
            };
            let what = format!(
                "there is no function `{name}`; there are all, exists, exists_one, map, filter, has, size, contains, startsWith, \
                 endsWith, matches, string, int, uint, double, bool, type{of_times} and those of optionals"
            );
            return Err(Fault::at_word(self.text, &format!("{name}("), what));
        }
        if matches!(name, operators::INDEX | operators::OPT_INDEX) {
            let written = call.args.last().map(|arg| &arg.expr);
            self.computed |= !matches!(written, Some(Expr::Literal(_)));
        }
        if name == "matches" {
            self.pattern(call)?;
        }
        if let Some(target) = &call.target {
            self.node(target, depth, loops)?;
        }
        call.args.iter().try_for_each(|arg| self.node(arg, depth, loops))
    }

    /// Patterns are compiled at each call, so that they are looked at here, once, as a whole.
    fn pattern(&self, call: &CallExpr) -> Result<(), Fault> {
        let fault = |what: String| Err(Fault::at_word(self.text, "matches(", what));
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|arg| &arg.expr) else {
            return fault("the pattern of matches() must be written out as a string".to_owned());
        };
        let built = regex::RegexBuilder::new(pattern.inner())
            .size_limit(MAX_PATTERN)
            .build();
        match built {
            Ok(_) => Ok(()),
            Err(regex::Error::CompiledTooBig(_)) => {
                fault("the pattern is too large; use fewer or smaller repetitions".to_owned())
            }
            Err(error) => fault(bounded(&format!("the pattern: {error}"), 300)),
        }
    }
}

fn is_operator(name: &str) -> bool {
    name.starts_with(['_', '!', '-']) || name == operators::IN
}

/// True for what cannot be true or false, whatever the object is.
fn never_bool(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) => true,
        Expr::Comprehension(each) => matches!(each.accu_init.expr, Expr::List(_)),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::CONDITIONAL => call.args.iter().skip(1).any(never_bool),
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE
            | operators::OPT_SELECT
            | operators::OPT_INDEX
            | "size"
            | "string"
            | "int"
            | "uint"
            | "double"
            | "bytes"
            | "type" => true,
            name => TIME_FUNCTIONS.contains(&name),
        },
        _ => false,
    }
}
