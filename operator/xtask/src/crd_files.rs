//! `crds/*.yaml` and the same documents as chart templates.
//!
//! The chart carries them as templates and not in helm's `crds/` folder, because helm never upgrades that folder;
//! the keep-policy annotation does what the folder is otherwise good for: `helm uninstall` leaves the data.

use serde_json::Value;

use crate::error::Error;
use crate::generated::{Generated, HEADER};

/// A CRD as JSON.
pub(crate) struct Crd {
    /// `applications`.
    pub(crate) plural: String,
    /// The whole definition.
    pub(crate) document: Value,
}

/// All CRDs, sorted by name.
pub(crate) fn documents() -> Result<Vec<Crd>, Error> {
    tidegate_api::crds::all()
        .into_iter()
        .map(|crd| {
            let plural = crd.spec.names.plural.clone();
            let mut document = serde_json::to_value(crd).map_err(|source| Error::Json {
                what: "a CustomResourceDefinition",
                source,
            })?;
            whole_numbers(&mut document);
            Ok(Crd { plural, document })
        })
        .collect()
}

/// `minimum: 1.0` is how a schema's f64 serialises; people write 1.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let float = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15);
            if let Some(float) = float {
                *value = Value::from(float as i64);
            }
        }
        _ => {}
    }
}

/// Adds both forms of each.
pub(crate) fn add(files: &mut Generated, crds: &[Crd]) {
    for crd in crds {
        let yaml = tidegate_yaml::to_string(&crd.document);
        files.add(format!("crds/{}.yaml", crd.plural), format!("# {HEADER}\n{yaml}"));
        files.add(
            format!("charts/tidegate/templates/crds/{}.yaml", crd.plural),
            template(&yaml),
        );
    }
}

fn template(yaml: &str) -> String {
    // A description may hold `{{`; the template engine must print it, not run it.
    let escaped = yaml.replace("{{", "{{ \"{{\" }}");
    let annotated = escaped.replacen(
        "metadata:\n",
        "metadata:\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n  \
         labels:\n    {{- include \"tidegate.labels\" . | nindent 4 }}\n",
        1,
    );
    format!("{{{{- /* {HEADER} */ -}}}}\n{{{{- if .Values.crds.install }}}}\n{annotated}{{{{- end }}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_can_be_switched_off_and_outlive_an_uninstall() {
        let text = template("kind: X\nmetadata:\n  name: x\nspec:\n  description: \"{{ .Values }}\"\n");
        assert!(text.contains("{{- if .Values.crds.install }}"));
        assert!(text.contains("helm.sh/resource-policy: keep"));
        assert!(text.contains("{{ \"{{\" }} .Values }}"));
    }
}
