//! Asking an expression. The cost was bounded before.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, Value as CelValue};
use jiff::Timestamp;
use serde_json::Value;

use super::parse::{Expression, TIME_FUNCTIONS};

/// Functions and types of the language.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What an expression says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    True,
    False,
    /// It reads something that is not there (yet). Why, as the end of a sentence about the expression.
    Unset(String),
    /// It cannot be answered for these values.
    Wrong(String),
    /// It cannot be answered for values of these types.
    Mistyped(String),
}

/// The value of a variable.
pub(crate) struct Variable(CelValue);

impl Variable {
    /// As JSON has it. Whole numbers are `int`, as in the API server's own rules.
    pub(crate) fn of(value: &Value) -> Self {
        Self(convert(value))
    }

    /// An object with some of its fields.
    pub(crate) fn with<'v>(all: impl Iterator<Item = (&'v String, &'v Value)>) -> Self {
        Self(fields(all))
    }

    /// An object with one field more.
    pub(crate) fn and(self, name: &str, value: Self) -> Self {
        let CelValue::Map(Map { map: known }) = self.0 else {
            return self;
        };
        let mut known = Arc::unwrap_or_clone(known);
        known.insert(Key::String(Arc::new(name.to_owned())), value.0);
        Self(map(known))
    }

    /// A time, to the second.
    pub(crate) fn time(at: Timestamp) -> Self {
        let time = chrono::DateTime::from_timestamp(at.as_second(), 0).unwrap_or_default();
        Self(CelValue::Timestamp(time.fixed_offset()))
    }
}

/// What expressions are asked about.
pub(crate) struct Subject<'p> {
    context: Context<'p, 'static>,
}

impl Subject<'_> {
    /// With these variables.
    pub(crate) fn new<'n>(variables: impl Iterator<Item = (&'n str, Variable)>) -> Self {
        let mut context = Context::with_env(ENV.clone());
        for (name, Variable(value)) in variables {
            context.add_variable_from_value(name, value);
        }
        Self { context }
    }

    pub(crate) fn ask(&self, expression: &Expression) -> Answer {
        let asked = catch_unwind(AssertUnwindSafe(|| {
            CelValue::resolve(&expression.ast, &self.context)
        }));
        match asked {
            Ok(Ok(CelValue::Bool(true))) => Answer::True,
            Ok(Ok(CelValue::Bool(false))) => Answer::False,
            Ok(Ok(CelValue::Null)) => Answer::Unset("is null".to_owned()),
            Ok(Ok(other)) => Answer::Mistyped(format!("gives a {}, not true or false", other.type_of())),
            Ok(Err(error)) => refused(expression, error),
            Err(_) => {
                Answer::Wrong("cannot be evaluated over these values; write it in another way".to_owned())
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
        ExecutionError::NoSuchOverload(error) => Answer::Mistyped(format!(
            "applies `{}` to {}, which it is not for",
            error.function(),
            error.argument_types().join(" and ")
        )),
        ExecutionError::UnexpectedType { got, want } => {
            Answer::Mistyped(format!("needs a {want} and finds a {got}"))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            Answer::Wrong("divides by zero".to_owned())
        }
        ExecutionError::Overflow(..) => Answer::Wrong("overflows".to_owned()),
        ExecutionError::FunctionError { function, .. } if function == "timezone" => {
            Answer::Mistyped("names a time zone that is not known".to_owned())
        }
        ExecutionError::FunctionError { function, .. } => {
            let why = format!("calls {function}() with something that it is not for");
            // Times and zones are written out, as a rule: what is wrong with them is wrong whatever the values are.
            if TIME_FUNCTIONS.contains(&function.as_str()) {
                Answer::Mistyped(why)
            } else {
                Answer::Wrong(why)
            }
        }
        ExecutionError::UnsupportedBinaryOperator(name, ..) => {
            Answer::Mistyped(format!("uses `{name}` on values that it is not for"))
        }
        ExecutionError::ValuesNotComparable(..) => {
            Answer::Mistyped("compares values that have no order".to_owned())
        }
        _ => Answer::Wrong("cannot be evaluated over these values".to_owned()),
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
