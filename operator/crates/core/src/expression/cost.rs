//! How many steps an expression can take over one object, at most.
//!
//! The expression is walked once with the *sizes* of values in place of values. Where a value is read from the object,
//! it is known which ones it can be, so that a loop over `status.conditions` counts the conditions that are there. Where
//! it is made by the expression, its size follows from what it is made of. A loop costs its body, over the largest item,
//! as often as its list is long.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;

use super::parse::Expression;

/// From here on it is no longer tracked which values of the object an expression can have.
const MAX_TRACKED: usize = 10_000;
/// Compiling a pattern, which `matches` does each time.
const PATTERN: u64 = 5_000;
/// The longest text of a number.
const NUMBER: u64 = 400;
/// Bytes of text that are copied or compared in one step.
const BYTES: u64 = 16;

/// An upper bound. Past `limit` it is not counted on, and no bound any more: sizing large values takes time as well.
pub(crate) fn steps(expression: &Expression, object: &Value, limit: u64) -> u64 {
    let mut walk = Walk {
        object,
        limit,
        scope: Vec::new(),
        steps: 0,
    };
    walk.size(&expression.ast);
    walk.steps
}

/// How large a value can be.
#[derive(Clone)]
enum Size<'o> {
    /// One of these values of the object.
    One(Vec<&'o Value>),
    /// Made by the expression.
    Made {
        /// Items of a list or map.
        length: u64,
        /// All nodes within, and the text.
        weight: u64,
        /// The items, where they are values of the object.
        items: Option<Vec<&'o Value>>,
    },
}

impl<'o> Size<'o> {
    fn made(weight: u64) -> Self {
        Self::Made {
            length: weight,
            weight,
            items: None,
        }
    }

    fn one(values: Vec<&'o Value>) -> Self {
        if values.len() > MAX_TRACKED {
            let largest = Self::One(values).weight();
            return Self::made(largest);
        }
        Self::One(values)
    }

    fn length(&self) -> u64 {
        match self {
            Self::One(values) => values.iter().map(|v| length(v)).max().unwrap_or(0),
            Self::Made { length, .. } => *length,
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Self::One(values) => values.iter().map(|v| weight(v)).max().unwrap_or(1),
            Self::Made { weight, .. } => *weight,
        }
    }

    /// Items of it as a list.
    fn items(&self) -> Option<Vec<&'o Value>> {
        match self {
            Self::One(values) => {
                let lists = values.iter().map(|v| v.as_array()).collect::<Option<Vec<_>>>()?;
                Some(lists.into_iter().flatten().collect())
            }
            Self::Made { items, .. } => items.clone(),
        }
    }

    /// One item, or one key of a map.
    fn item(&self) -> Self {
        if let Some(items) = self.items() {
            return Self::one(items);
        }
        Self::made(self.weight())
    }

    /// What lies within, whichever it is.
    fn child(&self, name: Option<&str>) -> Self {
        let Self::One(values) = self else {
            return self.item();
        };
        let within = |value: &&'o Value| -> Vec<&'o Value> {
            match (value, name) {
                (Value::Object(fields), Some(name)) => fields.get(name).into_iter().collect(),
                (Value::Object(fields), None) => fields.values().collect(),
                (Value::Array(items), _) => items.iter().collect(),
                _ => Vec::new(),
            }
        };
        Self::one(values.iter().flat_map(within).collect())
    }

    /// Either of two.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::One(mut a), Self::One(b)) => {
                a.extend(b);
                Self::one(a)
            }
            (a, b) => Self::Made {
                length: a.length().max(b.length()),
                weight: a.weight().max(b.weight()),
                items: both(&a, &b),
            },
        }
    }

    /// The two put together.
    fn with(&self, other: &Self) -> Self {
        Self::Made {
            length: self.length().saturating_add(other.length()),
            weight: self.weight().saturating_add(other.weight()),
            items: both(self, other),
        }
    }
}

fn both<'o>(a: &Size<'o>, b: &Size<'o>) -> Option<Vec<&'o Value>> {
    let (mut items, more) = (a.items()?, b.items()?);
    items.extend(more);
    (items.len() <= MAX_TRACKED).then_some(items)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn length(value: &Value) -> u64 {
    match value {
        Value::Array(items) => count(items.len()),
        Value::Object(fields) => count(fields.len()),
        _ => 0,
    }
}

fn weight(value: &Value) -> u64 {
    let sum = match value {
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(k, v)| text(k).saturating_add(weight(v)))
            .sum(),
        Value::String(s) => text(s),
        _ => 0_u64,
    };
    sum.saturating_add(1)
}

fn text(text: &str) -> u64 {
    count(text.len()) / BYTES + 1
}

struct Walk<'e, 'o> {
    object: &'o Value,
    limit: u64,
    scope: Vec<(&'e str, Size<'o>)>,
    steps: u64,
}

impl<'e, 'o> Walk<'e, 'o> {
    fn spend(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps);
    }

    fn size(&mut self, node: &'e IdedExpr) -> Size<'o> {
        self.spend(1);
        if self.steps > self.limit {
            return Size::made(1);
        }
        match &node.expr {
            Expr::Literal(literal) => Size::made(match literal {
                LiteralValue::String(s) => text(s.inner()).saturating_add(1),
                LiteralValue::Bytes(b) => count(b.inner().len()) / BYTES + 2,
                _ => 1,
            }),
            Expr::Ident(name) => self.named(name),
            Expr::Select(select) => {
                let operand = self.size(&select.operand);
                if select.test {
                    Size::made(1)
                } else {
                    operand.child(Some(&select.field))
                }
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let elements: Vec<Size<'o>> = list.elements.iter().map(|e| self.size(e)).collect();
                self.list(&elements)
            }
            Expr::Map(map) => {
                let mut weight = 1_u64;
                for entry in &map.entries {
                    let (key, value) = match &entry.expr {
                        EntryExpr::MapEntry(entry) => (self.size(&entry.key), self.size(&entry.value)),
                        EntryExpr::StructField(_) => continue,
                    };
                    weight = weight.saturating_add(key.weight()).saturating_add(value.weight());
                }
                self.spend(weight);
                Size::Made {
                    length: count(map.entries.len()),
                    weight,
                    items: None,
                }
            }
            Expr::Comprehension(each) => self.each(each),
            // Refused when the expression is read.
            Expr::Struct(_) | Expr::Unspecified => {
                self.spend(u64::MAX);
                Size::made(u64::MAX)
            }
        }
    }

    fn named(&self, name: &str) -> Size<'o> {
        let bound = self.scope.iter().rev().find(|(known, _)| *known == name);
        match bound {
            Some((_, size)) => size.clone(),
            None => Size::One(self.object.get(name).into_iter().collect()),
        }
    }

    fn list(&mut self, elements: &[Size<'o>]) -> Size<'o> {
        let weight = elements.iter().map(Size::weight).fold(1, u64::saturating_add);
        self.spend(weight);
        let known = elements.iter().map(|e| match e {
            Size::One(values) => Some(values.clone()),
            Size::Made { .. } => None,
        });
        let items = known.collect::<Option<Vec<_>>>().map(|sets| sets.concat());
        Size::Made {
            length: count(elements.len()),
            weight,
            items: items.filter(|items| items.len() <= MAX_TRACKED),
        }
    }

    fn call(&mut self, call: &'e CallExpr) -> Size<'o> {
        let target = call.target.as_deref().map(|target| self.size(target));
        let mut args: Vec<Size<'o>> = target.into_iter().collect();
        for arg in &call.args {
            let size = self.size(arg);
            args.push(size);
        }
        let total = args.iter().map(Size::weight).fold(1, u64::saturating_add);
        match (call.func_name.as_str(), args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _) => Size::made(1),
            (operators::NOT_STRICTLY_FALSE, _) => Size::made(1),
            (operators::CONDITIONAL, [_, yes, no]) => yes.clone().or(no.clone()),
            (operators::ADD, [a, b]) => {
                self.spend(total);
                a.with(b)
            }
            (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, [a, _]) => {
                let name = match call.args.last().map(|arg| &arg.expr) {
                    Some(Expr::Literal(LiteralValue::String(name))) => Some(name.inner()),
                    _ => None,
                };
                let child = a.child(name);
                self.spend(child.weight());
                child
            }
            ("orValue" | "or", [a, b]) => {
                self.spend(total);
                a.clone().or(b.clone())
            }
            ("value" | "dyn", [a]) => {
                self.spend(total);
                a.clone()
            }
            ("of" | "ofNonZeroValue", [_, a]) => {
                self.spend(total);
                a.clone()
            }
            ("matches", _) => {
                self.spend(total.saturating_mul(BYTES).saturating_add(PATTERN));
                Size::made(1)
            }
            (operators::IN | operators::EQUALS | operators::NOT_EQUALS, _) => {
                self.spend(total);
                Size::made(1)
            }
            ("string" | "bytes", _) => {
                self.spend(total);
                Size::made(total.saturating_add(NUMBER / BYTES))
            }
            // Numbers, truths and types.
            _ => {
                self.spend(total);
                Size::made(1)
            }
        }
    }

    fn each(&mut self, each: &'e ComprehensionExpr) -> Size<'o> {
        let range = self.size(&each.iter_range);
        let start = self.size(&each.accu_init);
        let outer = self.scope.len();
        let item = range.item();
        let turns = range.length();
        self.scope.push((&each.iter_var, item.clone()));
        if let Some(second) = &each.iter_var2 {
            self.scope.push((second, range.child(None)));
        }
        self.scope.push((&each.accu_var, start.clone()));
        let before = std::mem::take(&mut self.steps);
        self.size(&each.loop_cond);
        let step = self.size(&each.loop_step);
        let body = std::mem::replace(&mut self.steps, before);
        self.spend(body.saturating_add(1).saturating_mul(turns));
        // Each item is copied for its turn.
        self.spend(copies(&range, &item, turns));
        let grown = grown(&start, &step, turns);
        self.scope.truncate(outer);
        self.scope.push((&each.accu_var, grown));
        let result = self.size(&each.result);
        self.scope.truncate(outer);
        result
    }
}

/// Copying each item once: as much as all of them weigh, where that is known to be less than the largest one each time.
fn copies(range: &Size<'_>, item: &Size<'_>, turns: u64) -> u64 {
    let largest = item.weight().saturating_mul(turns);
    let all = range
        .items()
        .map(|items| items.iter().map(|i| weight(i)).fold(0, u64::saturating_add));
    all.map_or(largest, |all| all.min(largest))
}

/// What a loop has gathered after so many turns, of which each adds the same. Only macros make loops: their step appends to
/// what was gathered, or replaces it by a truth or a number.
fn grown<'o>(start: &Size<'o>, step: &Size<'o>, turns: u64) -> Size<'o> {
    let after = |first: u64, next: u64| {
        next.saturating_sub(first)
            .saturating_mul(turns)
            .saturating_add(first)
    };
    Size::Made {
        length: after(start.length(), step.length()),
        weight: after(start.weight(), step.weight()),
        items: step.items(),
    }
}
