//! The custom resources as an API server and `kubectl explain` will see them: structural, bounded, described.
//! That a real API server takes them and enforces their rules is tested in `e2e/tests/api.rs`.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use serde_json::Value;

/// `(path, schema)` of every node below the root of every kind, `applications.spec.source.path`.
fn nodes() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for crd in tidegate_api::crds::all() {
        let plural = crd.spec.names.plural.clone();
        let crd = serde_json::to_value(crd).unwrap();
        collect(
            &plural,
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            &mut found,
        );
    }
    found
}

fn collect(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), schema.clone()));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), property, found);
    }
    if schema["items"].is_object() {
        collect(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn every_field_is_described_without_traces_of_rust() {
    for (path, schema) in nodes() {
        if path.ends_with("[]") {
            continue;
        }
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "{path} has no description");
        for trace in ["[`", "`]", "::", "Option<", "Vec<", "# Errors", "\n", "  "] {
            assert!(
                !description.contains(trace),
                "{path}: `{trace}` in {description:?}"
            );
        }
    }
}

#[test]
fn schemas_are_structural() {
    for (path, schema) in nodes() {
        for key in [
            "$ref",
            "anyOf",
            "oneOf",
            "allOf",
            "not",
            "definitions",
            "$defs",
            "patternProperties",
        ] {
            assert!(schema.get(key).is_none(), "{path} has {key}");
        }
        let kind = schema["type"].as_str();
        assert!(kind.is_some(), "{path} has no type");
        if kind == Some("object") {
            assert!(
                schema["properties"].is_object() || schema["additionalProperties"].is_object(),
                "{path} is an object of anything"
            );
        }
    }
}

#[test]
fn integers_have_a_format_that_the_api_server_enforces() {
    for (path, schema) in nodes()
        .into_iter()
        .filter(|(_, schema)| schema["type"] == "integer")
    {
        let format = schema["format"].as_str().unwrap_or_default();
        assert!(
            ["int32", "int64"].contains(&format),
            "{path} has format {format:?}"
        );
    }
}

/// Unbounded strings and lists make the cost of CEL rules unbounded, and let one object fill etcd.
#[test]
fn what_people_write_is_bounded() {
    let written = ["applications.spec", "gitrepositories.spec"];
    for (path, schema) in nodes() {
        if !written.iter().any(|part| path.starts_with(part)) {
            continue;
        }
        let is_bounded_string = ["maxLength", "enum", "pattern"]
            .iter()
            .any(|key| schema.get(*key).is_some());
        assert!(
            schema["type"] != "string" || is_bounded_string,
            "{path} is a string without bounds"
        );
        assert!(
            schema["type"] != "array" || schema.get("maxItems").is_some(),
            "{path} is a list without bounds"
        );
    }
}

#[test]
fn rules_say_what_to_write_instead() {
    let mut rules = 0;
    for (path, schema) in nodes() {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            rules += 1;
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(
                message.len() > 20 && !message.contains("self"),
                "{path}: {message:?}"
            );
        }
    }
    assert!(rules >= 6, "only {rules} rules are left");
}

/// A column is one JSONPath value (design: kubectl concatenates nothing), so each reads one existing field.
#[test]
fn columns_read_fields_that_exist() {
    let known: Vec<String> = nodes().into_iter().map(|(path, _)| path).collect();
    for crd in tidegate_api::crds::all() {
        let plural = &crd.spec.names.plural;
        for column in crd.spec.versions[0].additional_printer_columns.iter().flatten() {
            let path = column.json_path.as_str();
            if path == ".metadata.creationTimestamp" || path.starts_with(".status.conditions[?(@.type==") {
                continue;
            }
            assert!(
                known.contains(&format!("{plural}{path}")),
                "{plural}: column {} reads {path}",
                column.name
            );
        }
    }
}

/// Renaming any of these breaks installed clusters and everything people wrote. Change the list only with a new version.
#[test]
fn names_are_stable() {
    let mut lines: Vec<String> = nodes()
        .into_iter()
        .map(|(path, schema)| format!("{path}: {}", schema["type"].as_str().unwrap_or_default()))
        .collect();
    for crd in tidegate_api::crds::all() {
        let names = &crd.spec.names;
        lines.push(format!(
            "kind {} {} {} {}",
            names.kind,
            names.plural,
            names.short_names.clone().unwrap_or_default().join(","),
            names.categories.clone().unwrap_or_default().join(",")
        ));
    }
    insta::assert_snapshot!(lines.join("\n"));
}
