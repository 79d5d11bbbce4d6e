//! Asking an expression about an object. The cost was bounded before.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, Value as CelValue};
use serde_json::Value;

use super::parse::Expression;

/// Functions and types of the language.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What an expression says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    True,
    False,
    /// It reads something that the object does not have (yet). Why, as the end of a sentence about the expression.
    Unset(String),
    /// It can never be answered for such an object.
    Wrong(String),
}

/// An object as expressions see it.
pub(super) struct Subject<'p> {
    context: Context<'p, 'static>,
}

impl Subject<'_> {
    /// With the fields that these expressions read. A top-level field that the object lacks is an empty map, so that
    /// `has(status.phase)` is false on an object without a status.
    pub(super) fn new<'e>(expressions: impl Iterator<Item = &'e Expression>, object: &Value) -> Self {
        let mut context = Context::with_env(ENV.clone());
        for expression in expressions {
            for root in &expression.roots {
                let value = object
                    .get(root)
                    .map_or_else(|| map([].into()), |value| field(root, value));
                context.add_variable_from_value(root, value);
            }
        }
        Self { context }
    }

    pub(super) fn ask(&self, expression: &Expression) -> Answer {
        let asked = catch_unwind(AssertUnwindSafe(|| {
            CelValue::resolve(&expression.ast, &self.context)
        }));
        match asked {
            Ok(Ok(CelValue::Bool(true))) => Answer::True,
            Ok(Ok(CelValue::Bool(false))) => Answer::False,
            Ok(Ok(CelValue::Null)) => Answer::Unset("is null".to_owned()),
            Ok(Ok(other)) => Answer::Wrong(format!("gives a {}, not true or false", other.type_of())),
            Ok(Err(error)) => refused(expression, error),
            Err(_) => {
                Answer::Wrong("cannot be evaluated over this object; write it in another way".to_owned())
            }
        }
    }
}

/// Without the values that the interpreter would show.
fn refused(expression: &Expression, error: ExecutionError) -> Answer {
    match error {
        // The name of a field is repeated when it is written in the expression; it could come from a value.
        ExecutionError::NoSuchKey(key) if expression.text.contains(&**key) => {
            Answer::Unset(format!("reads `{key}`, which is not set"))
        }
        ExecutionError::NoSuchKey(_) => Answer::Unset("reads a field that is not set".to_owned()),
        ExecutionError::IndexOutOfBounds(_) => Answer::Unset("reads an item that is not there".to_owned()),
        ExecutionError::UndeclaredReference(name) => {
            Answer::Wrong(format!("uses `{name}`, which there is not"))
        }
        ExecutionError::NoSuchOverload(error) => Answer::Wrong(format!(
            "applies `{}` to {}, which it is not for",
            error.function(),
            error.argument_types().join(" and ")
        )),
        ExecutionError::UnexpectedType { got, want } => {
            Answer::Wrong(format!("needs a {want} and finds a {got}"))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            Answer::Wrong("divides by zero".to_owned())
        }
        ExecutionError::Overflow(..) => Answer::Wrong("overflows".to_owned()),
        ExecutionError::FunctionError { function, .. } => {
            Answer::Wrong(format!("calls {function}() with something that it is not for"))
        }
        ExecutionError::UnsupportedBinaryOperator(name, ..) => {
            Answer::Wrong(format!("uses `{name}` on values that it is not for"))
        }
        ExecutionError::ValuesNotComparable(..) => {
            Answer::Wrong("compares values that have no order".to_owned())
        }
        _ => Answer::Wrong("cannot be evaluated over this object".to_owned()),
    }
}

/// A top-level field. `metadata.managedFields` is left out: it is large, and says nothing about health.
fn field(name: &str, value: &Value) -> CelValue {
    match value.as_object().filter(|_| name == "metadata") {
        Some(metadata) => fields(metadata.iter().filter(|(name, _)| *name != "managedFields")),
        None => convert(value),
    }
}

/// Whole numbers are `int`, as in the API server's own rules.
fn convert(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(truth) => CelValue::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(large)) => CelValue::UInt(large),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::from(text.as_str()),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(convert).collect())),
        Value::Object(object) => fields(object.iter()),
    }
}

fn fields<'v>(all: impl Iterator<Item = (&'v String, &'v Value)>) -> CelValue {
    map(all
        .map(|(name, value)| (Key::String(Arc::new(name.clone())), convert(value)))
        .collect())
}

fn map(fields: HashMap<Key, CelValue>) -> CelValue {
    CelValue::Map(Map {
        map: Arc::new(fields),
    })
}
