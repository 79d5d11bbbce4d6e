//! From OpenAPI JSON to nodes. Tolerant: what it does not understand becomes "anything", never an error.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::SchemaSet;
use super::node::{ArrayShape, ListType, Node, ObjectShape, Others, Pattern, Rules, Shape, TextFormat};

const PREFIX: &str = "#/components/schemas/";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// Schemas nested deeper than this are not looked into.
const MAX_SCHEMA_DEPTH: usize = 60;

/// Fields that documents of some servers call required although the server fills in or takes the zero value.
const NOT_REALLY_REQUIRED: &[(&str, &str)] = &[
    (".StatefulSetSpec", "serviceName"),
    (".NetworkPolicySpec", "podSelector"),
    (".RoleRef", "apiGroup"),
    (".HTTPHeader", "value"),
    (".Sysctl", "value"),
    (".PriorityClass", "value"),
    (".LimitRangeSpec", "limits"),
    (".EndpointSlice", "endpoints"),
    (".CustomResourceDefinitionVersion", "served"),
    (".CustomResourceDefinitionVersion", "storage"),
    (".TokenRequest", "audience"),
];

/// Where a schema stands, as far as it changes its meaning.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The document's definitions, to find defaults of list keys.
    definitions: Option<&'a Map<String, Value>>,
    /// Name of the definition; empty inside a CRD.
    name: &'a str,
    /// Server code is behind it, not a CRD: a default does not stand in for a required field.
    native: bool,
    /// An ancestor keeps unknown fields, and server-side apply lets its descendants do so too.
    preserve: bool,
    /// Inside allOf, anyOf, oneOf, not: rules on values, which do not say which fields exist.
    values_only: bool,
    depth: usize,
}

pub(super) fn document(set: &mut SchemaSet, doc: &Value) {
    let Some(definitions) = doc.pointer("/components/schemas").and_then(Value::as_object) else {
        return;
    };
    for (name, schema) in definitions {
        let native = [
            "io.k8s.api.",
            "io.k8s.apimachinery.",
            "io.k8s.apiextensions-apiserver.",
            "io.k8s.kube-aggregator.",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix));
        let number = set.number(name) as usize;
        if set.definitions.get(number).is_none_or(Option::is_none) {
            let place = Place {
                definitions: Some(definitions),
                name,
                native,
                preserve: false,
                values_only: false,
                depth: 0,
            };
            let node = Arc::new(compile(set, schema, place));
            if let Some(slot) = set.definitions.get_mut(number) {
                *slot = Some(node);
            }
        }
        let Some(Some(node)) = set.definitions.get(number).cloned() else {
            continue;
        };
        // DeleteOptions and WatchEvent carry every group and version; nobody puts them in git.
        let kinds = schema
            .get("x-kubernetes-group-version-kind")
            .and_then(Value::as_array);
        for gvk in kinds.filter(|kinds| kinds.len() <= 4).into_iter().flatten() {
            let (Some(version), Some(kind)) = (gvk["version"].as_str(), gvk["kind"].as_str()) else {
                continue;
            };
            let api_version = match gvk["group"].as_str() {
                Some(group) if !group.is_empty() => set.intern(&format!("{group}/{version}")),
                _ => set.intern(version),
            };
            let kind = set.intern(kind);
            set.kinds
                .entry((api_version, kind))
                .or_insert_with(|| Arc::clone(&node));
        }
    }
}

pub(super) fn crd(set: &mut SchemaSet, crd: &Value) {
    let spec = &crd["spec"];
    let (Some(group), Some(kind)) = (spec["group"].as_str(), spec["names"]["kind"].as_str()) else {
        return;
    };
    for version in spec["versions"].as_array().into_iter().flatten() {
        let Some(name) = version["name"].as_str() else {
            continue;
        };
        let key = (set.intern(&format!("{group}/{name}")), set.intern(kind));
        if version["served"].as_bool() != Some(true) {
            set.kinds.remove(&key);
            continue;
        }
        let Some(schema) = version.pointer("/schema/openAPIV3Schema") else {
            continue;
        };
        let preserve = spec["preserveUnknownFields"].as_bool() == Some(true);
        let place = Place {
            definitions: None,
            name: "",
            native: false,
            preserve,
            values_only: false,
            depth: 0,
        };
        let mut node = compile(set, schema, place);
        add_identity(set, &mut node);
        set.kinds.insert(key, Arc::new(node));
    }
}

/// Every whole object has these, whether or not its schema says so.
fn add_identity(set: &mut SchemaSet, node: &mut Node) {
    let Shape::Object(object) = &mut node.shape else {
        return;
    };
    let mut properties = std::mem::take(&mut object.properties).into_vec();
    properties.retain(|(name, _)| !matches!(&**name, "apiVersion" | "kind" | "metadata"));
    for name in ["apiVersion", "kind"] {
        properties.push((set.intern(name), plain(Shape::Text(TextFormat::Plain))));
    }
    let meta = set.number(OBJECT_META);
    properties.push((set.intern("metadata"), plain(Shape::Ref(meta))));
    properties.sort_by(|(a, _), (b, _)| a.cmp(b));
    object.properties = properties.into_boxed_slice();
}

fn plain(shape: Shape) -> Node {
    Node {
        shape,
        nullable: false,
        rules: None,
    }
}

fn on(schema: &Value, field: &str) -> bool {
    schema.get(field).and_then(Value::as_bool) == Some(true)
}

fn compile(set: &mut SchemaSet, schema: &Value, at: Place<'_>) -> Node {
    if at.depth > MAX_SCHEMA_DEPTH || !schema.is_object() {
        return plain(Shape::Any);
    }
    let at = Place {
        depth: at.depth + 1,
        preserve: at.preserve || on(schema, "x-kubernetes-preserve-unknown-fields"),
        ..at
    };
    let nullable = on(schema, "nullable");
    if let Some(target) = reference(schema) {
        return Node {
            shape: Shape::Ref(set.number(target)),
            nullable,
            rules: None,
        };
    }
    let int_or_string = on(schema, "x-kubernetes-int-or-string") || schema["format"] == "int-or-string";
    let shape = match schema["type"].as_str() {
        _ if at.depth == 1 && at.name.ends_with(".resource.Quantity") => Shape::Quantity,
        _ if int_or_string => Shape::IntOrString,
        Some("object") => object(set, schema, at),
        Some("array") => array(set, schema, at),
        Some("string") => Shape::Text(text_format(schema)),
        Some("integer") => Shape::Integer {
            bits32: schema["format"] == "int32",
        },
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        _ if schema.get("properties").is_some() || schema.get("required").is_some() => {
            object(set, schema, at)
        }
        _ if schema.get("items").is_some() => array(set, schema, at),
        _ => Shape::Any,
    };
    let special = matches!(shape, Shape::Quantity | Shape::IntOrString);
    let mut node = Node {
        shape,
        nullable,
        rules: rules(set, schema, at, special),
    };
    if on(schema, "x-kubernetes-embedded-resource") {
        add_identity(set, &mut node);
    }
    node
}

/// The name referred to, also in the form `allOf: [{$ref}]` that servers write beside a default or description.
fn reference(schema: &Value) -> Option<&str> {
    let only = schema
        .get("allOf")
        .and_then(Value::as_array)
        .filter(|all| all.len() == 1)
        .and_then(|all| all.first());
    let target = schema.get("$ref").or_else(|| only?.get("$ref"))?;
    target.as_str()?.strip_prefix(PREFIX)
}

fn text_format(schema: &Value) -> TextFormat {
    match schema["format"].as_str() {
        Some("byte") => TextFormat::Byte,
        Some("date-time") => TextFormat::DateTime,
        _ => TextFormat::Plain,
    }
}

fn object(set: &mut SchemaSet, schema: &Value, at: Place<'_>) -> Shape {
    let declared = schema.get("properties").and_then(Value::as_object);
    let mut properties = Vec::with_capacity(declared.map_or(0, Map::len));
    for (name, property) in declared.into_iter().flatten() {
        properties.push((set.intern(name), compile(set, property, at)));
    }
    properties.sort_by(|(a, _): &(Arc<str>, Node), (b, _)| a.cmp(b));
    let others = match schema.get("additionalProperties") {
        _ if at.values_only => Others::Anything,
        Some(Value::Bool(false)) => Others::Refused,
        Some(Value::Bool(true)) => Others::Anything,
        Some(like) if like.as_object().is_some_and(|m| !m.is_empty()) => {
            Others::Like(Box::new(compile(set, like, at)))
        }
        Some(_) => Others::Anything,
        // An object without any declared field is free-form to server-side apply.
        None if at.preserve || properties.is_empty() => Others::Anything,
        None => Others::Refused,
    };
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let required: Vec<Arc<str>> = required
        .filter_map(Value::as_str)
        .filter(|field| really_required(schema, field, at))
        .map(|field| set.intern(field))
        .collect();
    Shape::Object(Box::new(ObjectShape {
        properties: properties.into_boxed_slice(),
        others,
        required: required.into_boxed_slice(),
    }))
}

fn really_required(schema: &Value, field: &str, at: Place<'_>) -> bool {
    if at.native {
        return !NOT_REALLY_REQUIRED
            .iter()
            .any(|(name, f)| *f == field && at.name.ends_with(name));
    }
    // The server fills in defaults before it checks a custom resource.
    schema["properties"][field]
        .get("default")
        .is_none_or(Value::is_null)
}

fn array(set: &mut SchemaSet, schema: &Value, at: Place<'_>) -> Shape {
    let items = schema.get("items").map(|items| compile(set, items, at));
    Shape::Array(Box::new(ArrayShape {
        items,
        list: list_type(set, schema, at),
    }))
}

/// As the server's schema for server-side apply: the list type, or else the patch strategy.
fn list_type(set: &mut SchemaSet, schema: &Value, at: Place<'_>) -> ListType {
    let strategy = || {
        schema
            .get("x-kubernetes-patch-strategy")
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let keys: Vec<&str> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => return ListType::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            keys.into_iter().flatten().filter_map(Value::as_str).collect()
        }
        Some(_) => return ListType::Atomic,
        None if !matches!(strategy(), "merge" | "merge,retainKeys") => return ListType::Atomic,
        None => match schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str) {
            Some(key) => vec![key],
            None => return ListType::Set,
        },
    };
    let item = schema.get("items");
    let item = match (item.and_then(reference), at.definitions) {
        (Some(target), Some(definitions)) => definitions.get(target),
        _ => item,
    };
    let default = |key: &str| {
        item?
            .get("properties")?
            .get(key)?
            .get("default")
            .filter(|v| !v.is_null())
            .cloned()
    };
    let keys: Vec<_> = keys
        .into_iter()
        .map(|key| (set.intern(key), default(key)))
        .collect();
    if keys.is_empty() {
        ListType::Atomic
    } else {
        ListType::Map(keys.into_boxed_slice())
    }
}

fn rules(set: &mut SchemaSet, schema: &Value, at: Place<'_>, special: bool) -> Option<Box<Rules>> {
    const FIELDS: &[&str] = &[
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "uniqueItems",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    let schema = schema.as_object()?;
    if !FIELDS.iter().any(|field| schema.contains_key(*field)) {
        return None;
    }
    let number = |field: &str| schema.get(field).and_then(Value::as_f64);
    let whole = |field: &str| schema.get(field).and_then(Value::as_u64);
    let flag = |field: &str| schema.get(field).and_then(Value::as_bool) == Some(true);
    let inner = Place {
        values_only: true,
        ..at
    };
    let mut each = |field: &str| -> Vec<Node> {
        // `anyOf: [{type: integer}, {type: string}]` beside int-or-string says the type a second time.
        let schemas = schema
            .get(field)
            .and_then(Value::as_array)
            .filter(|_| !(special && field != "allOf"));
        schemas
            .into_iter()
            .flatten()
            .map(|s| compile(set, s, inner))
            .collect()
    };
    let (all_of, any_of, one_of) = (each("allOf"), each("anyOf"), each("oneOf"));
    let not = schema.get("not").map(|not| compile(set, not, inner));
    Some(Box::new(Rules {
        allowed: schema
            .get("enum")
            .and_then(Value::as_array)
            .map(|all| all.clone().into_boxed_slice()),
        pattern: schema
            .get("pattern")
            .and_then(Value::as_str)
            .map(|source| pattern(set, source)),
        minimum: number("minimum").map(|n| (n, flag("exclusiveMinimum"))),
        maximum: number("maximum").map(|n| (n, flag("exclusiveMaximum"))),
        multiple_of: number("multipleOf").filter(|n| *n > 0.0),
        length: (whole("minLength"), whole("maxLength")),
        items: (whole("minItems"), whole("maxItems")),
        fields: (whole("minProperties"), whole("maxProperties")),
        unique: flag("uniqueItems"),
        all_of,
        any_of,
        one_of,
        not,
    }))
}

fn pattern(set: &mut SchemaSet, source: &str) -> Arc<Pattern> {
    let source = set.intern(source);
    let new = || {
        Arc::new(Pattern {
            source: Arc::clone(&source),
            compiled: OnceLock::new(),
        })
    };
    Arc::clone(set.patterns.entry(Arc::clone(&source)).or_insert_with(new))
}
