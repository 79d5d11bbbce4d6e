//! Which fields the variables of an expression have, so that a misspelt one is found when the expression is read, and not
//! when a release waits.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::parse::Fault;

/// A field and what it holds.
pub(crate) type Field = (&'static str, Shape);

/// What is known of a value before it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Nothing.
    Any,
    /// It has these fields and no others.
    Record(&'static [Field]),
    /// A list of such values.
    List(&'static Shape),
}

impl Shape {
    fn item(self) -> Self {
        match self {
            Self::List(item) => *item,
            Self::Any | Self::Record(_) => Self::Any,
        }
    }

    /// The one that says more.
    fn or(self, other: Self) -> Self {
        match self {
            Self::Any => other,
            Self::Record(_) | Self::List(_) => self,
        }
    }
}

/// Refuses an expression that reads a field which there never is.
pub(super) fn check(text: &str, ast: &IdedExpr, variables: &'static [Field]) -> Result<(), Fault> {
    let mut walk = Walk {
        text,
        variables,
        scope: Vec::new(),
    };
    walk.shape(ast).map(|_| ())
}

struct Walk<'e> {
    text: &'e str,
    variables: &'static [Field],
    scope: Vec<(&'e str, Shape)>,
}

impl<'e> Walk<'e> {
    fn shape(&mut self, node: &'e IdedExpr) -> Result<Shape, Fault> {
        match &node.expr {
            Expr::Ident(name) => Ok(self.named(name)),
            Expr::Select(select) => {
                let operand = self.shape(&select.operand)?;
                self.field(operand, &select.field)
            }
            Expr::Call(call) => self.call(call),
            // Elements of a written list are looked at; what it holds is not known.
            Expr::List(list) => {
                for element in &list.elements {
                    self.shape(element)?;
                }
                Ok(Shape::Any)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.shape(&entry.key)?;
                        self.shape(&entry.value)?;
                    }
                }
                Ok(Shape::Any)
            }
            Expr::Comprehension(each) => self.each(each),
            Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Ok(Shape::Any),
        }
    }

    fn named(&self, name: &str) -> Shape {
        let bound = self.scope.iter().rev().find(|(known, _)| *known == name);
        let known = bound.or_else(|| self.variables.iter().find(|(known, _)| *known == name));
        known.map_or(Shape::Any, |(_, shape)| *shape)
    }

    fn field(&self, of: Shape, name: &str) -> Result<Shape, Fault> {
        let Shape::Record(fields) = of else {
            return Ok(Shape::Any);
        };
        if let Some((_, shape)) = fields.iter().find(|(known, _)| *known == name) {
            return Ok(*shape);
        }
        let known: Vec<&str> = fields.iter().map(|(known, _)| *known).collect();
        let what = format!("there is no field `{name}` here; there are {}", known.join(", "));
        Err(Fault::at_word(self.text, name, what))
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Shape, Fault> {
        let mut args = Vec::new();
        for arg in call.target.as_deref().into_iter().chain(&call.args) {
            args.push(self.shape(arg)?);
        }
        match (call.func_name.as_str(), args.as_slice()) {
            (operators::INDEX, [of @ Shape::Record(_), _]) => match call.args.last().map(|arg| &arg.expr) {
                Some(Expr::Literal(LiteralValue::String(name))) => self.field(*of, name.inner()),
                _ => Ok(Shape::Any),
            },
            (operators::INDEX, [of, _]) => Ok(of.item()),
            (operators::CONDITIONAL, [_, yes, no]) => Ok(yes.or(*no)),
            (operators::ADD, [a, b]) => Ok(a.or(*b)),
            _ => Ok(Shape::Any),
        }
    }

    /// What `filter` gathers are the items of its list; of what other macros make nothing is known.
    fn each(&mut self, each: &'e ComprehensionExpr) -> Result<Shape, Fault> {
        let range = self.shape(&each.iter_range)?;
        self.shape(&each.accu_init)?;
        let outer = self.scope.len();
        self.scope.push((&each.iter_var, range.item()));
        if let Some(second) = &each.iter_var2 {
            self.scope.push((second, Shape::Any));
        }
        self.scope.push((&each.accu_var, Shape::Any));
        self.shape(&each.loop_cond)?;
        self.shape(&each.loop_step)?;
        self.shape(&each.result)?;
        self.scope.truncate(outer);
        Ok(if gathers_items(each) { range } else { Shape::Any })
    }
}

/// True for the form of `filter`: each turn keeps what was gathered, or adds the item itself.
fn gathers_items(each: &ComprehensionExpr) -> bool {
    let is = |node: &IdedExpr, name: &str| matches!(&node.expr, Expr::Ident(known) if known == name);
    let Expr::Call(step) = &each.loop_step.expr else {
        return false;
    };
    let [_, yes, no] = step.args.as_slice() else {
        return false;
    };
    let Expr::Call(add) = &yes.expr else { return false };
    let [before, new] = add.args.as_slice() else {
        return false;
    };
    let Expr::List(new) = &new.expr else { return false };
    step.func_name == operators::CONDITIONAL
        && add.func_name == operators::ADD
        && is(no, &each.accu_var)
        && is(before, &each.accu_var)
        && matches!(new.elements.as_slice(), [item] if is(item, &each.iter_var))
}
