//! Walks an object beside its schema and gathers violations. Bounded in depth and number.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::node::{ArrayShape, ListType, Node, ObjectShape, Others, Rules, Shape, TextFormat};
use super::spelling::nearest;
use super::values::{integer, is_base64, is_quantity, is_time, type_name};
use super::{MAX_DEPTH, MAX_VIOLATIONS, SchemaSet, Violation};

/// Schema nodes visited for one object; only a schema built to branch endlessly comes near it.
const MAX_STEPS: usize = 4_000_000;

pub(super) fn validate(set: &SchemaSet, root: &Node, object: &Value, secret: bool) -> Vec<Violation> {
    let mut walk = Walk {
        set,
        secret,
        path: Vec::new(),
        found: Vec::new(),
        steps: MAX_STEPS,
    };
    walk.node(root, object);
    walk.found
}

struct Walk<'a> {
    set: &'a SchemaSet,
    /// Values must not appear in messages.
    secret: bool,
    path: Vec<String>,
    found: Vec<Violation>,
    steps: usize,
}

impl<'a> Walk<'a> {
    fn full(&self) -> bool {
        self.found.len() >= MAX_VIOLATIONS
    }

    fn tell(&mut self, message: impl Into<String>) {
        if self.full() {
            return;
        }
        let escape = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        self.found.push(Violation {
            pointer: self.path.iter().map(escape).collect(),
            message: message.into(),
        });
    }

    fn below(&mut self, step: impl Into<String>, check: impl FnOnce(&mut Self)) {
        self.path.push(step.into());
        check(self);
        self.path.pop();
    }

    fn quoted(&self, value: &Value) -> String {
        if self.secret {
            return "the value (not shown)".to_owned();
        }
        let text = value.to_string();
        match text.char_indices().nth(60) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }

    fn resolve(&self, node: &'a Node) -> &'a Node {
        let mut node = node;
        // Real documents refer once; the bound stops a circle of references.
        for _ in 0..16 {
            let Shape::Ref(number) = node.shape else {
                return node;
            };
            let Some(target) = self.set.definition(number) else {
                return node;
            };
            node = target;
        }
        node
    }

    fn node(&mut self, node: &'a Node, value: &Value) {
        if self.full() || self.steps == 0 {
            return;
        }
        self.steps -= 1;
        if self.path.len() > MAX_DEPTH {
            return self.tell(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if value.is_null() && node.nullable {
            return;
        }
        let node = self.resolve(node);
        if value.is_null() && (node.nullable || matches!(node.shape, Shape::Any | Shape::Ref(_))) {
            return;
        }
        let before = self.found.len();
        self.shape(&node.shape, value);
        if let Some(rules) = node.rules.as_deref().filter(|_| self.found.len() == before) {
            self.rules(rules, value);
        }
    }

    fn expected(&mut self, what: &str, value: &Value) {
        let hint = match value {
            Value::Number(_) | Value::Bool(_) if what == "a string" => "; put it in quotes",
            Value::String(text) if unquoted_fits(what, text) => "; remove the quotes",
            _ => "",
        };
        self.tell(format!("must be {what}, but is {}{hint}", type_name(value)));
    }

    fn shape(&mut self, shape: &'a Shape, value: &Value) {
        match (shape, value) {
            (Shape::Any | Shape::Ref(_), _) | (Shape::Number, Value::Number(_)) => {}
            (Shape::Boolean, Value::Bool(_)) => {}
            (Shape::Object(object), Value::Object(map)) => self.object(object, map),
            (Shape::Array(array), Value::Array(items)) => self.array(array, items),
            (Shape::Text(format), Value::String(text)) => self.text(*format, text),
            (Shape::Integer { bits32 }, Value::Number(_)) => self.integer(*bits32, value),
            (Shape::IntOrString, Value::String(_)) => {}
            (Shape::IntOrString, Value::Number(_)) => self.integer(true, value),
            (Shape::Quantity, Value::Number(_)) => {}
            (Shape::Quantity, Value::String(text)) if is_quantity(text) => {}
            (Shape::Quantity, Value::String(_)) => {
                let shown = self.quoted(value);
                self.tell(format!(
                    "{shown} is not a quantity; write it like 500m, 1.5 or 256Mi"
                ));
            }
            (Shape::Object(_), _) => self.expected("an object", value),
            (Shape::Array(_), _) => self.expected("a list", value),
            (Shape::Text(_), _) => self.expected("a string", value),
            (Shape::Integer { .. }, _) => self.expected("an integer", value),
            (Shape::Number, _) => self.expected("a number", value),
            (Shape::Boolean, _) => self.expected("a boolean", value),
            (Shape::IntOrString, _) => self.expected("an integer or a string", value),
            (Shape::Quantity, _) => self.expected("a quantity (number or string)", value),
        }
    }

    fn text(&mut self, format: TextFormat, text: &str) {
        match format {
            TextFormat::Byte if !is_base64(text) => {
                self.tell("must be base64, but is not; in a Secret, plain text goes under stringData");
            }
            TextFormat::DateTime if !is_time(text) => self.tell("must be a time like 2026-01-02T15:04:05Z"),
            _ => {}
        }
    }

    fn integer(&mut self, bits32: bool, value: &Value) {
        let Some(number) = integer(value) else {
            return self.expected("an integer", value);
        };
        let (least, most) = match bits32 {
            true => (i128::from(i32::MIN), i128::from(i32::MAX)),
            false => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        if !(least..=most).contains(&number) {
            let shown = self.quoted(value);
            self.tell(format!(
                "{shown} is out of range; the field takes {least} to {most}"
            ));
        }
    }

    fn object(&mut self, object: &'a ObjectShape, map: &Map<String, Value>) {
        // Nothing under status is taken over by the server when an object is applied.
        let in_status = self.path.first().is_some_and(|step| step == "status");
        let absent = |field: &str| map.get(field).is_none_or(Value::is_null);
        for field in object.required.iter().filter(|field| !in_status && absent(field)) {
            if !nullable_there(object, field, map) {
                self.tell(format!("required field `{field}` is missing"));
            }
        }
        for (name, value) in map {
            let known = object
                .properties
                .binary_search_by(|(known, _)| (**known).cmp(name.as_str()));
            let child = known
                .ok()
                .and_then(|index| object.properties.get(index))
                .map(|(_, node)| node);
            match (child, &object.others) {
                // The server treats a null field as one that is not there.
                (Some(_), _) if value.is_null() => {}
                (Some(node), _) => self.below(name, |walk| walk.node(node, value)),
                (None, Others::Anything) => {}
                (None, Others::Like(_)) if value.is_null() => {}
                (None, Others::Like(node)) => self.below(name, |walk| walk.node(node, value)),
                (None, Others::Refused) => {
                    let names = object.properties.iter().map(|(name, _)| &**name);
                    let meant = nearest(name, names)
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    let shown: String = name.chars().take(80).collect();
                    self.below(name, |walk| walk.tell(format!("unknown field `{shown}`{meant}")));
                }
            }
        }
    }

    fn array(&mut self, array: &'a ArrayShape, items: &[Value]) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if self.full() {
                return;
            }
            self.below(index.to_string(), |walk| {
                walk.same_as_before(&array.list, index, item, &mut seen);
                if let Some(node) = array.items.as_ref().filter(|_| !item.is_null()) {
                    walk.node(node, item);
                }
            });
        }
    }

    /// Elements that server-side apply could not tell apart, or could not identify.
    fn same_as_before(
        &mut self,
        list: &ListType,
        index: usize,
        item: &Value,
        seen: &mut HashMap<String, usize>,
    ) {
        if item.is_null() && !matches!(list, ListType::Atomic) {
            return self.tell("must not be null");
        }
        let key = match list {
            ListType::Atomic => return,
            ListType::Set if item.is_object() || item.is_array() => return,
            ListType::Set => item.to_string(),
            ListType::Map(keys) => {
                let Some(map) = item.as_object() else { return };
                let parts: Vec<String> = keys
                    .iter()
                    .filter_map(|(name, default)| {
                        let value = map.get(&**name).or(default.as_ref())?;
                        Some(format!("{name} {value}"))
                    })
                    .collect();
                if parts.is_empty() {
                    let names: Vec<&str> = keys.iter().map(|(name, _)| &**name).collect();
                    return self.tell(format!(
                        "an element of this list needs `{}`",
                        names.join("` or `")
                    ));
                }
                parts.join(", ")
            }
        };
        if let Some(first) = seen.get(&key) {
            let shown = if self.secret {
                "element".to_owned()
            } else {
                key.chars().take(120).collect()
            };
            return self.tell(format!(
                "duplicate: {shown} is already at index {first} of this list"
            ));
        }
        seen.insert(key, index);
    }

    fn rules(&mut self, rules: &'a Rules, value: &Value) {
        if let Some(allowed) = rules
            .allowed
            .as_deref()
            .filter(|allowed| !allowed.contains(value))
        {
            let words: Vec<String> = allowed.iter().take(20).map(Value::to_string).collect();
            let texts = allowed.iter().filter_map(Value::as_str);
            let meant = value.as_str().and_then(|text| nearest(text, texts));
            let meant = meant.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let shown = self.quoted(value);
            self.tell(format!("{shown} is not one of {}{meant}", words.join(", ")));
        }
        match value {
            Value::String(text) => {
                let length = text.chars().count();
                self.count(length, rules.length, "characters");
                let refused =
                    |p: &&std::sync::Arc<super::node::Pattern>| p.regex().is_some_and(|r| !r.is_match(text));
                if let Some(pattern) = rules.pattern.as_ref().filter(refused) {
                    let shown = self.quoted(value);
                    let source: String = pattern.source.chars().take(200).collect();
                    self.tell(format!("{shown} does not match the pattern {source}"));
                }
            }
            Value::Number(number) => self.bounds(rules, number.as_f64().unwrap_or(0.0)),
            Value::Array(items) => {
                self.count(items.len(), rules.items, "elements");
                let mut seen = HashMap::new();
                for (index, item) in items.iter().enumerate().filter(|_| rules.unique) {
                    if let Some(first) = seen.insert(item.to_string(), index) {
                        self.tell(format!(
                            "elements {first} and {index} are equal; they must be unique"
                        ));
                        break;
                    }
                }
            }
            Value::Object(map) => self.count(map.len(), rules.fields, "fields"),
            Value::Null | Value::Bool(_) => {}
        }
        self.combinations(rules, value);
    }

    fn count(&mut self, have: usize, (least, most): (Option<u64>, Option<u64>), what: &str) {
        let have = have as u64;
        if let Some(least) = least.filter(|least| have < *least) {
            self.tell(format!("has {have} {what}, but needs at least {least}"));
        }
        if let Some(most) = most.filter(|most| have > *most) {
            self.tell(format!("has {have} {what}, but at most {most} are allowed"));
        }
    }

    fn bounds(&mut self, rules: &Rules, number: f64) {
        if let Some((least, exclusive)) = rules.minimum
            && (number < least || (exclusive && number == least))
        {
            let word = if exclusive { "greater than" } else { "at least" };
            self.tell(format!("must be {word} {least}"));
        }
        if let Some((most, exclusive)) = rules.maximum
            && (number > most || (exclusive && number == most))
        {
            let word = if exclusive { "less than" } else { "at most" };
            self.tell(format!("must be {word} {most}"));
        }
        if let Some(step) = rules.multiple_of {
            let quotient = number / step;
            if (quotient - quotient.round()).abs() > 1e-9 {
                self.tell(format!("must be a multiple of {step}"));
            }
        }
    }

    fn combinations(&mut self, rules: &'a Rules, value: &Value) {
        for node in &rules.all_of {
            self.node(node, value);
        }
        if !rules.any_of.is_empty() && !rules.any_of.iter().any(|node| self.fits(node, value)) {
            let reason = self.first_reason(&rules.any_of, value);
            self.tell(format!("fits none of the allowed forms (anyOf){reason}"));
        }
        if !rules.one_of.is_empty() {
            match rules.one_of.iter().filter(|node| self.fits(node, value)).count() {
                1 => {}
                0 => {
                    let reason = self.first_reason(&rules.one_of, value);
                    self.tell(format!("fits none of the allowed forms (oneOf){reason}"));
                }
                n => self.tell(format!(
                    "fits {n} of the forms of which only one may be used (oneOf)"
                )),
            }
        }
        if let Some(node) = rules.not.as_ref()
            && self.fits(node, value)
        {
            self.tell("has a form that is not allowed here (not)");
        }
    }

    /// The violations against one alternative, found aside.
    fn aside(&mut self, node: &'a Node, value: &Value) -> Vec<Violation> {
        let outside = std::mem::take(&mut self.found);
        self.node(node, value);
        std::mem::replace(&mut self.found, outside)
    }

    fn fits(&mut self, node: &'a Node, value: &Value) -> bool {
        self.aside(node, value).is_empty()
    }

    fn first_reason(&mut self, nodes: &'a [Node], value: &Value) -> String {
        let reason = nodes
            .first()
            .and_then(|node| self.aside(node, value).into_iter().next());
        reason.map_or_else(String::new, |first| format!("; the first: {}", first.message))
    }
}

/// A required field may be null where null is a value.
fn nullable_there(object: &ObjectShape, field: &str, map: &Map<String, Value>) -> bool {
    let known = object
        .properties
        .binary_search_by(|(known, _)| (**known).cmp(field))
        .ok();
    let node = known.and_then(|index| object.properties.get(index));
    map.contains_key(field) && node.is_some_and(|(_, node)| node.nullable)
}

/// True when a string would be of the expected type without its quotes.
fn unquoted_fits(what: &str, text: &str) -> bool {
    match what {
        "an integer" => text.parse::<i64>().is_ok(),
        "a number" => text.parse::<f64>().is_ok(),
        "a boolean" => matches!(text, "true" | "false"),
        _ => false,
    }
}
