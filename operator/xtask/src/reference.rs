//! docs/reference.md: kinds, columns, fields, defaults and rules, as the CRDs say them.

use std::fmt::Write;

use serde_json::Value;

use crate::crd_files::Crd;
use crate::generated::HEADER;
use crate::rbac_files;

/// The whole page.
pub(crate) fn markdown(crds: &[Crd]) -> String {
    let mut out = format!("<!-- {HEADER} -->\n# Reference\n\nGroup `tidegate.io`, version `v1alpha1`. ");
    out.push_str("The same texts are in the cluster: `kubectl explain applications.tidegate.io.spec`.\n");
    for crd in crds {
        kind(&mut out, &crd.document);
    }
    out.push('\n');
    out.push_str(&rbac_files::markdown());
    out
}

fn kind(out: &mut String, crd: &Value) {
    let names = &crd["spec"]["names"];
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let _ = write!(
        out,
        "\n## {}\n\n{}\n\n",
        string(&names["kind"]),
        string(&schema["description"])
    );
    let _ = writeln!(
        out,
        "Full name `{}`, short name `{}`.",
        string(&crd["metadata"]["name"]),
        words(&names["shortNames"])
    );
    columns(out, &version["additionalPrinterColumns"]);
    for part in ["spec", "status"] {
        let Some(schema) = schema["properties"].get(part) else {
            continue;
        };
        let _ = write!(
            out,
            "\n| {part} field | type | default | meaning |\n|---|---|---|---|\n"
        );
        fields(out, part, schema);
    }
}

fn columns(out: &mut String, columns: &Value) {
    let Some(columns) = columns.as_array() else { return };
    out.push_str("\n| column | shows |\n|---|---|\n");
    for column in columns {
        let _ = writeln!(
            out,
            "| {} | `{}` |",
            string(&column["name"]),
            string(&column["jsonPath"])
        );
    }
}

fn fields(out: &mut String, path: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let required = schema["required"].as_array();
    for (name, field) in properties {
        let path = format!("{path}.{name}");
        let is_required = required.is_some_and(|names| names.iter().any(|r| r == name));
        let _ = writeln!(
            out,
            "| `{path}` | {} | {} | {} |",
            type_of(field),
            if is_required {
                "required".to_owned()
            } else {
                default_of(field)
            },
            meaning(field)
        );
        fields(out, &path, field);
        fields(out, &format!("{path}[]"), &field["items"]);
    }
}

fn type_of(field: &Value) -> String {
    match string(&field["type"]) {
        "array" => format!("list of {}", string(&field["items"]["type"])),
        "string" => match field["enum"].as_array() {
            Some(values) => values
                .iter()
                .map(|v| format!("`{}`", string(v)))
                .collect::<Vec<_>>()
                .join(", "),
            None => "string".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// The default as JSON; objects are left out, their fields say it.
fn default_of(field: &Value) -> String {
    match field.get("default") {
        None | Some(Value::Object(_)) => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    }
}

/// Description, bounds and the messages of the rules that the API server enforces.
fn meaning(field: &Value) -> String {
    let mut out = string(&field["description"]).replace('|', "\\|");
    let range = (field["minimum"].as_f64(), field["maximum"].as_f64());
    if let (Some(least), Some(most)) = range {
        let _ = write!(out, " From {least} to {most}.");
    }
    for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let _ = write!(
            out,
            " The value {}.",
            string(&rule["message"]).replace('|', "\\|")
        );
    }
    out
}

fn words(list: &Value) -> String {
    list.as_array()
        .into_iter()
        .flatten()
        .map(string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
