//! The chart's roles and bindings, from the table in `rbac`.

use std::fmt::Write;

use crate::generated::{Generated, HEADER};
use crate::rbac::{
    ADMIN, APPLIER, APPROVER, EDIT, OPERATOR, OWN_NAMESPACE, PUBLIC, RELEASE_MANAGER, Rule, TENANT,
    TENANT_WATCH, TRUSTED, VIEW,
};

const FOLDER: &str = "charts/tidegate/templates";

/// Adds `clusterrole.yaml`, `role.yaml`, `role-public.yaml`, `role-tenants.yaml`, `clusterrole-aggregate.yaml` and
/// `clusterrole-people.yaml`.
pub(crate) fn add(files: &mut Generated) {
    files.add(format!("{FOLDER}/clusterrole.yaml"), cluster_roles());
    files.add(format!("{FOLDER}/role.yaml"), own_namespace());
    files.add(format!("{FOLDER}/role-public.yaml"), public());
    files.add(format!("{FOLDER}/role-tenants.yaml"), tenants());
    files.add(format!("{FOLDER}/clusterrole-aggregate.yaml"), aggregated());
    files.add(format!("{FOLDER}/clusterrole-people.yaml"), people());
}

fn cluster_roles() -> String {
    let mut out = open("{{- if .Values.rbac.create }}");
    head(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}",
        false,
    );
    rules(&mut out, OPERATOR);
    out.push_str("{{- if not .Values.tenancy.enabled }}\n");
    items(&mut out, TRUSTED);
    out.push_str("{{- end }}\n{{- if .Values.tenancy.enabled }}\n{{- range .Values.tenancy.watch }}\n");
    let _ = write!(
        out,
        "  - apiGroups: {{{{ toJson .apiGroups }}}}\n    resources: {{{{ toJson .resources }}}}\n    verbs: {}\n",
        list(TENANT_WATCH)
    );
    out.push_str("{{- end }}\n{{- end }}\n");
    binding(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}",
        false,
    );
    out.push_str("{{- if and (not .Values.tenancy.enabled) (or .Values.rbac.clusterAdmin .Values.rbac.rules) }}\n---\n");
    out.push_str("# What commits may create, change and delete. See docs/security.md before widening or narrowing it.\n");
    head(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}-applier",
        false,
    );
    out.push_str("{{- if .Values.rbac.clusterAdmin }}\n");
    rules(&mut out, APPLIER);
    out.push_str("{{- else }}\nrules:\n  {{- toYaml .Values.rbac.rules | nindent 2 }}\n{{- end }}\n");
    binding(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}-applier",
        false,
    );
    out.push_str("{{- end }}\n{{- end }}\n");
    out
}

fn own_namespace() -> String {
    let mut out = open("{{- if .Values.rbac.create }}");
    head(&mut out, "Role", "{{ include \"tidegate.fullname\" . }}", true);
    rules(&mut out, OWN_NAMESPACE);
    binding(&mut out, "Role", "{{ include \"tidegate.fullname\" . }}", true);
    out.push_str("{{- end }}\n");
    out
}

/// The public keys of the records, for everybody who has an account.
fn public() -> String {
    let mut out = open("{{- if .Values.rbac.create }}");
    let name = "{{ include \"tidegate.fullname\" . }}-record-key";
    head(&mut out, "Role", name, true);
    out.push_str("rules:\n");
    for rule in PUBLIC {
        let _ = write!(
            out,
            "  # {}\n  - apiGroups: {}\n    resources: {}\n    resourceNames: [\"tidegate-record-key\"]\n    verbs: {}\n",
            rule.why,
            list(rule.groups),
            list(rule.resources),
            list(rule.verbs),
        );
    }
    out.push_str("---\n");
    head(&mut out, "RoleBinding", name, true);
    let _ = write!(
        out,
        "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: {name}\n\
         subjects:\n  - apiGroup: rbac.authorization.k8s.io\n    kind: Group\n    name: system:authenticated\n"
    );
    out.push_str("{{- end }}\n");
    out
}

/// In each tenant's namespace: a Role with the right to act as one account there, and nowhere else.
fn tenants() -> String {
    let mut out = open(
        "{{- if and .Values.rbac.create .Values.tenancy.enabled }}\n{{- range .Values.tenancy.tenants }}\n---",
    );
    let name = "{{ include \"tidegate.fullname\" $ }}-tenant-{{ .serviceAccount }}";
    let head = |out: &mut String, kind: &str| {
        let _ = write!(
            out,
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {{{{ .namespace }}}}\n  \
             labels:\n    {{{{- include \"tidegate.labels\" $ | nindent 4 }}}}\n"
        );
    };
    head(&mut out, "Role");
    out.push_str("rules:\n");
    for rule in TENANT {
        let _ = write!(
            out,
            "  # {}\n  - apiGroups: {}\n    resources: {}\n    resourceNames: [{{{{ .serviceAccount | quote }}}}]\n    verbs: {}\n",
            rule.why,
            list(rule.groups),
            list(rule.resources),
            list(rule.verbs),
        );
    }
    out.push_str("---\n");
    head(&mut out, "RoleBinding");
    let _ = write!(
        out,
        "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: {name}\nsubjects:\n  - kind: ServiceAccount\n    \
         name: {{{{ include \"tidegate.serviceAccountName\" $ }}}}\n    namespace: {{{{ $.Release.Namespace }}}}\n"
    );
    out.push_str("{{- end }}\n{{- end }}\n");
    out
}

fn aggregated() -> String {
    let mut out = open("{{- if .Values.rbac.aggregate }}");
    head(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}-view",
        false,
    );
    labels(&mut out, &["view", "edit", "admin"]);
    rules(&mut out, VIEW);
    out.push_str("---\n");
    head(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}-edit",
        false,
    );
    labels(&mut out, &["edit", "admin"]);
    rules(&mut out, EDIT);
    out.push_str("---\n");
    head(
        &mut out,
        "ClusterRole",
        "{{ include \"tidegate.fullname\" . }}-admin",
        false,
    );
    labels(&mut out, &["admin"]);
    rules(&mut out, ADMIN);
    out.push_str("{{- end }}\n");
    out
}

/// Bound to nobody: who approves and who overrides is the platform team's to say.
fn people() -> String {
    let mut out = open("{{- if .Values.rbac.create }}");
    for (index, (name, table)) in [("approver", APPROVER), ("release-manager", RELEASE_MANAGER)]
        .into_iter()
        .enumerate()
    {
        if index > 0 {
            out.push_str("---\n");
        }
        let name = format!("{{{{ include \"tidegate.fullname\" . }}}}-{name}");
        head(&mut out, "ClusterRole", &name, false);
        rules(&mut out, table);
    }
    out.push_str("{{- end }}\n");
    out
}

fn open(condition: &str) -> String {
    format!("{{{{- /* {HEADER} */ -}}}}\n{condition}\n")
}

/// Everything up to and with the labels, which are last so that more can follow.
fn head(out: &mut String, kind: &str, name: &str, namespaced: bool) {
    let _ = write!(
        out,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n"
    );
    if namespaced {
        out.push_str("  namespace: {{ .Release.Namespace }}\n");
    }
    out.push_str("  labels:\n    {{- include \"tidegate.labels\" . | nindent 4 }}\n");
}

fn labels(out: &mut String, roles: &[&str]) {
    for role in roles {
        let _ = writeln!(out, "    rbac.authorization.k8s.io/aggregate-to-{role}: \"true\"");
    }
}

fn rules(out: &mut String, rules: &[Rule]) {
    out.push_str("rules:\n");
    items(out, rules);
}

fn items(out: &mut String, rules: &[Rule]) {
    for rule in rules {
        let _ = write!(
            out,
            "  # {}\n  - apiGroups: {}\n    resources: {}\n    verbs: {}\n",
            rule.why,
            list(rule.groups),
            list(rule.resources),
            list(rule.verbs),
        );
    }
}

fn list(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn binding(out: &mut String, kind: &str, name: &str, namespaced: bool) {
    out.push_str("---\n");
    head(out, &format!("{kind}Binding"), name, namespaced);
    let _ = write!(
        out,
        "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {name}\n\
         subjects:\n  - kind: ServiceAccount\n    name: {{{{ include \"tidegate.serviceAccountName\" . }}}}\n    \
         namespace: {{{{ .Release.Namespace }}}}\n"
    );
}

/// The same table for docs/reference.md.
pub(crate) fn markdown() -> String {
    let tables = [
        ("Operator, in the whole cluster", OPERATOR),
        ("Operator, in the whole cluster, without tenancy", TRUSTED),
        (
            "Operator, in each tenant's namespace, with `tenancy.enabled: true`",
            TENANT,
        ),
        ("Operator, in its own namespace", OWN_NAMESPACE),
        ("Everybody with an account, in the operator's namespace", PUBLIC),
        (
            "Operator, with `rbac.clusterAdmin: true` (otherwise `rbac.rules`)",
            APPLIER,
        ),
        ("People with `view`, `edit` or `admin`", VIEW),
        ("People with `edit` or `admin`", EDIT),
        ("People with `admin`", ADMIN),
        ("People with `<release>-approver`", APPROVER),
        ("People with `<release>-release-manager`", RELEASE_MANAGER),
    ];
    let mut out = String::from("## Rights\n");
    for (title, rules) in tables {
        let _ = write!(
            out,
            "\n**{title}**\n\n| groups | resources | verbs | why |\n|---|---|---|---|\n"
        );
        for rule in rules {
            let groups: Vec<&str> = rule
                .groups
                .iter()
                .map(|g| if g.is_empty() { "core" } else { g })
                .collect();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                groups.join(", ").replace('*', "`*`"),
                rule.resources.join(", ").replace('*', "`*`"),
                rule.verbs.join(", "),
                rule.why
            );
        }
    }
    out
}
