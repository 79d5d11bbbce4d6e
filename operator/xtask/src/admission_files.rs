//! The chart's ValidatingAdmissionPolicies, from `tidegate_api::admission`: the operator compares what is in the cluster
//! with the same text.

use serde_json::{Value, json};
use tidegate_api::admission::{Installation, policies};

use crate::generated::{Generated, HEADER};

/// Stand for what helm fills in, while the text is YAML.
const PLACES: [(&str, &str); 3] = [
    ("tidegate-fullname-here", "{{ include \"tidegate.fullname\" . }}"),
    ("tidegate-namespace-here", "{{ .Release.Namespace }}"),
    (
        "tidegate-account-here",
        "{{ include \"tidegate.serviceAccountName\" . }}",
    ),
];

/// Adds `admission.yaml`.
pub(crate) fn add(files: &mut Generated) {
    let [(name, _), (namespace, _), (account, _)] = PLACES;
    let account = format!("system:serviceaccount:{namespace}:{account}");
    let installation = Installation {
        name,
        namespace,
        account: &account,
    };
    let mut documents = Vec::new();
    for shipped in policies(installation) {
        documents.push(document(
            "ValidatingAdmissionPolicy",
            &shipped.name,
            &shipped.policy,
        ));
        documents.push(document(
            "ValidatingAdmissionPolicyBinding",
            &shipped.name,
            &shipped.binding,
        ));
    }
    let text = documents.join("---\n");
    files.add(
        "charts/tidegate/templates/admission.yaml",
        format!("{{{{- /* {HEADER} */ -}}}}\n{{{{- if .Values.admissionPolicies.create }}}}\n{text}{{{{- end }}}}\n"),
    );
}

fn document(kind: &str, name: &str, spec: &Value) -> String {
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    });
    let yaml = tidegate_yaml::to_string(&object);
    let name = format!("  name: {name}\n");
    let labelled = format!("{name}  labels:\n    {{{{- include \"tidegate.labels\" . | nindent 4 }}}}\n");
    let text = yaml.replacen(&name, &labelled, 1);
    PLACES
        .iter()
        .fold(text, |text, (place, filled)| text.replace(place, filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_for_helm_to_stumble_over() {
        let spec = json!({ "validations": [{ "expression": "x != 'tidegate-account-here' && \"a\" == y" }] });
        let text = document(
            "ValidatingAdmissionPolicy",
            "tidegate-fullname-here-approvals",
            &spec,
        );
        assert!(text.contains("name: {{ include \"tidegate.fullname\" . }}-approvals\n  labels:\n"));
        assert!(
            text.contains("'{{ include \"tidegate.serviceAccountName\" . }}'"),
            "{text}"
        );
        assert!(!text.contains("-here"), "{text}");
    }
}
