//! The rows: what git has, what somebody does to it, and what is to come of it. Owns no calls.

use serde_json::Value;

/// What is done to an object; bodies are JSON. The first text is the field manager.
pub(super) enum Disturb {
    /// A merge patch.
    Merge(&'static str, &'static str),
    /// A strategic merge patch.
    Strategic(&'static str, &'static str),
    /// A JSON patch.
    Json(&'static str, &'static str),
    /// Through the scale subresource.
    Scale(&'static str, u32),
    /// A forced server-side apply.
    Apply(&'static str, &'static str),
    /// A deletion.
    Delete,
    /// Something else in the cluster is applied, a CRD for example.
    Elsewhere(&'static str),
}

/// What is said of a drift: kind of the object, field, field manager. The latter two are empty where nobody can know.
pub(super) struct Said(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// One row. `{ns}` in its texts is the namespace.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Applied by an administrator before anything else; empty for nothing.
    pub(super) before: &'static str,
    pub(super) manifest: &'static str,
    /// Path of the object that is disturbed.
    pub(super) path: &'static str,
    pub(super) disturb: &'static [Disturb],
    /// True while the object is as git says.
    pub(super) git: fn(&Value) -> bool,
    /// True once the disturbance is there.
    pub(super) disturbed: fn(&Value) -> bool,
    /// `None`: it is no drift, whatever the mode.
    pub(super) drift: Option<Said>,
}

const PERSON: &str = "kubectl-edit";

fn container(object: &Value, field: &str) -> Value {
    object["spec"]["template"]["spec"]["containers"][0][field].clone()
}

macro_rules! config_map {
    ($name:literal) => {
        concat!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ",
            $name,
            "}\ndata: {key: git}\n"
        )
    };
}

macro_rules! workload {
    ($name:literal, $replicas:literal, $metadata:literal, $pod:literal) => {
        concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ",
            $name,
            $metadata,
            "}\nspec:\n  replicas: ",
            $replicas,
            "\n  selector: {matchLabels: {app: ",
            $name,
            "}}\n  template:\n    metadata: {labels: {app: ",
            $name,
            "}}\n    spec: {",
            $pod,
            "containers: [{name: web, image: 'example.com/web:1', ",
            "resources: {requests: {cpu: 1000m, memory: 1024Mi}}}]}\n"
        )
    };
}

macro_rules! autoscaler {
    ($name:literal, $least:literal) => {
        concat!(
            "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: ",
            $name,
            "}\nspec: {minReplicas: ",
            $least,
            ", maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: ",
            $name,
            "}}\n"
        )
    };
}

macro_rules! gadget_crd {
    ($colour:literal) => {
        concat!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n",
            "metadata: {name: 'gadgets.{ns}.example.com'}\nspec:\n  group: '{ns}.example.com'\n  scope: Namespaced\n",
            "  names: {kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}\n  versions:\n",
            "  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, properties: ",
            "{spec: {type: object, properties: {size: {type: integer}, options: {type: object, properties: {a: {type: string}}}, colour: {type: string",
            $colour,
            "}}}}}}\n"
        )
    };
}

/// All of them.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "an edited value",
        before: "",
        manifest: config_map!("edited"),
        path: "/api/v1/namespaces/{ns}/configmaps/edited",
        disturb: &[Disturb::Merge(PERSON, r#"{"data":{"key":"hand"}}"#)],
        git: |v| v["data"]["key"] == "git",
        disturbed: |v| v["data"]["key"] == "hand",
        drift: Some(Said("ConfigMap", "data.key", PERSON)),
    },
    Row {
        name: "a scale to zero",
        before: "",
        manifest: workload!("to-zero", "2", "", ""),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/to-zero",
        disturb: &[Disturb::Scale("kubectl", 0)],
        git: |v| v["spec"]["replicas"] == 2,
        disturbed: |v| v["spec"]["replicas"] == 0,
        // What the API server drops as zero is nobody's.
        drift: Some(Said("Deployment", "spec.replicas", "")),
    },
    Row {
        name: "a scale from zero",
        before: "",
        manifest: workload!("from-zero", "0", "", ""),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/from-zero",
        disturb: &[Disturb::Scale("kubectl", 3)],
        git: |v| v["spec"]["replicas"] == 0,
        disturbed: |v| v["spec"]["replicas"] == 3,
        drift: Some(Said("Deployment", "spec.replicas", "kubectl")),
    },
    Row {
        name: "a forced apply by another manager",
        before: "",
        manifest: config_map!("forced"),
        path: "/api/v1/namespaces/{ns}/configmaps/forced",
        disturb: &[Disturb::Apply(
            "rival",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"forced"},"data":{"key":"rival"}}"#,
        )],
        git: |v| v["data"]["key"] == "git",
        disturbed: |v| v["data"]["key"] == "rival",
        drift: Some(Said("ConfigMap", "data.key", "rival")),
    },
    Row {
        name: "a removed field",
        before: "",
        manifest: config_map!("removed"),
        path: "/api/v1/namespaces/{ns}/configmaps/removed",
        disturb: &[Disturb::Json(PERSON, r#"[{"op":"remove","path":"/data/key"}]"#)],
        git: |v| v["data"]["key"] == "git",
        disturbed: |v| v["data"]["key"].is_null(),
        drift: Some(Said("ConfigMap", "data.key", "")),
    },
    Row {
        name: "an added sidecar",
        before: "",
        manifest: workload!("sidecar", "1", "", ""),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/sidecar",
        disturb: &[Disturb::Strategic(
            PERSON,
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"miner","image":"example.com/miner:1"}]}}}}"#,
        )],
        git: |v| container(v, "name") == "web" && v["spec"]["template"]["spec"]["containers"][1].is_null(),
        disturbed: |v| !v["spec"]["template"]["spec"]["containers"][1].is_null(),
        drift: Some(Said(
            "Deployment",
            "spec.template.spec.containers[name=miner]",
            PERSON,
        )),
    },
    Row {
        name: "an added key of a ConfigMap",
        before: "",
        manifest: config_map!("key"),
        path: "/api/v1/namespaces/{ns}/configmaps/key",
        disturb: &[Disturb::Merge(PERSON, r#"{"data":{"extra":"hand"}}"#)],
        git: |v| v["data"]["key"] == "git" && v["data"]["extra"].is_null(),
        disturbed: |v| v["data"]["extra"] == "hand",
        drift: Some(Said("ConfigMap", "data.extra", PERSON)),
    },
    Row {
        name: "an opened NetworkPolicy",
        before: "",
        manifest: "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed}\n\
                   spec: {podSelector: {}, policyTypes: [Ingress]}\n",
        path: "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/closed",
        disturb: &[Disturb::Merge(PERSON, r#"{"spec":{"ingress":[{}]}}"#)],
        git: |v| v["spec"]["policyTypes"][0] == "Ingress" && v["spec"]["ingress"].is_null(),
        disturbed: |v| v["spec"]["ingress"][0].is_object(),
        drift: Some(Said("NetworkPolicy", "spec.ingress", PERSON)),
    },
    Row {
        name: "a map that was applied empty gains children",
        before: "",
        manifest: workload!("rooted", "1", "", "securityContext: {}, "),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/rooted",
        disturb: &[Disturb::Strategic(
            PERSON,
            r#"{"spec":{"template":{"spec":{"securityContext":{"runAsUser":0}}}}}"#,
        )],
        git: |v| {
            let context = &v["spec"]["template"]["spec"]["securityContext"];
            context.is_object() && context["runAsUser"].is_null()
        },
        disturbed: |v| v["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 0,
        drift: Some(Said(
            "Deployment",
            "spec.template.spec.securityContext.runAsUser",
            PERSON,
        )),
    },
    Row {
        name: "an edited Secret that git writes as stringData",
        before: "",
        manifest: "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\nstringData: {password: git}\n",
        path: "/api/v1/namespaces/{ns}/secrets/plain",
        disturb: &[Disturb::Merge(PERSON, r#"{"stringData":{"password":"hand"}}"#)],
        git: |v| v["data"]["password"] == "Z2l0",
        disturbed: |v| v["data"]["password"] == "aGFuZA==",
        // Which keys a Secret has is not for everybody who reads Applications.
        drift: Some(Said("Secret", "", PERSON)),
    },
    Row {
        name: "our label removed",
        before: "",
        manifest: config_map!("unlabelled"),
        path: "/api/v1/namespaces/{ns}/configmaps/unlabelled",
        disturb: &[Disturb::Merge(
            PERSON,
            r#"{"metadata":{"labels":{"tidegate.io/managed-by":null}}}"#,
        )],
        git: |v| v["metadata"]["labels"]["tidegate.io/managed-by"] == "tidegate",
        disturbed: |v| v.is_object() && v["metadata"]["labels"]["tidegate.io/managed-by"].is_null(),
        drift: Some(Said("ConfigMap", "metadata.labels[tidegate.io/managed-by]", "")),
    },
    Row {
        name: "a deleted object",
        before: "",
        manifest: config_map!("deleted"),
        path: "/api/v1/namespaces/{ns}/configmaps/deleted",
        disturb: &[Disturb::Delete],
        git: |v| v["data"]["key"] == "git",
        disturbed: Value::is_null,
        drift: Some(Said("ConfigMap", "(deleted)", "")),
    },
    Row {
        name: "quantities that the API server writes in another way, and a label of somebody else",
        before: "",
        manifest: workload!("quantities", "1", "", ""),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/quantities",
        disturb: &[Disturb::Merge(
            "controller",
            r#"{"metadata":{"labels":{"seen":"yes"}}}"#,
        )],
        git: |v| container(v, "resources")["requests"]["cpu"] == "1",
        disturbed: |v| {
            container(v, "resources")["requests"]["memory"] == "1Gi"
                && v["metadata"]["labels"]["seen"] == "yes"
        },
        drift: None,
    },
    Row {
        name: "an image that mutating admission rewrites",
        before: "",
        manifest: workload!("mirrored", "1", ", labels: {e2e.tidegate.io/mirror: 'yes'}", ""),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/mirrored",
        disturb: &[Disturb::Merge(
            "controller",
            r#"{"metadata":{"labels":{"seen":"yes"}}}"#,
        )],
        git: |v| container(v, "image") == "mirror.example.com/web:1",
        disturbed: |v| {
            v["metadata"]["labels"]["seen"] == "yes" && container(v, "image") == "mirror.example.com/web:1"
        },
        drift: None,
    },
    Row {
        name: "an autoscaler that wants what git says",
        before: "",
        manifest: concat!(workload!("equal", "2", "", ""), autoscaler!("equal", "2")),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/equal",
        disturb: &[Disturb::Scale("kube-controller-manager", 2)],
        git: |v| v["spec"]["replicas"] == 2,
        disturbed: |v| v["spec"]["replicas"] == 2,
        drift: None,
    },
    Row {
        name: "an autoscaler that wants something else",
        before: "",
        manifest: concat!(workload!("other", "2", "", ""), autoscaler!("other", "4")),
        path: "/apis/apps/v1/namespaces/{ns}/deployments/other",
        disturb: &[],
        git: |v| v["spec"]["replicas"] == 4,
        disturbed: |v| v["spec"]["replicas"] == 4,
        drift: None,
    },
    Row {
        name: "a rollout restart of what has an empty map of annotations",
        before: "",
        manifest: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: restarted, annotations: {}}\nspec:\n  replicas: 1\n  \
                   selector: {matchLabels: {app: restarted}}\n  template:\n    metadata: {labels: {app: restarted}, annotations: {}}\n    \
                   spec: {tolerations: [], nodeSelector: {}, containers: [{name: web, image: 'example.com/web:1'}]}\n",
        path: "/apis/apps/v1/namespaces/{ns}/deployments/restarted",
        disturb: &[Disturb::Strategic(
            "kubectl-rollout",
            r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}"#,
        )],
        git: |v| {
            v["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string()
        },
        disturbed: |v| {
            v["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string()
        },
        drift: None,
    },
    Row {
        name: "an empty map that is taken away",
        before: gadget_crd!(""),
        manifest: "apiVersion: '{ns}.example.com/v1'\nkind: Gadget\nmetadata: {name: two}\nspec: {size: 2, options: {}}\n",
        path: "/apis/{ns}.example.com/v1/namespaces/{ns}/gadgets/two",
        disturb: &[Disturb::Merge(PERSON, r#"{"spec":{"options":null}}"#)],
        git: |v| v["spec"]["options"].is_object(),
        disturbed: |v| v["spec"]["size"] == 2 && v["spec"]["options"].is_null(),
        drift: Some(Said("Gadget", "spec.options", "")),
    },
    Row {
        name: "a map that was applied empty and filled by a controller",
        before: gadget_crd!(""),
        manifest: "apiVersion: '{ns}.example.com/v1'\nkind: Gadget\nmetadata: {name: three}\nspec: {size: 3, options: {}}\n",
        path: "/apis/{ns}.example.com/v1/namespaces/{ns}/gadgets/three",
        disturb: &[Disturb::Merge("controller", r#"{"spec":{"options":{"a":"b"}}}"#)],
        git: |v| v["spec"]["options"]["a"] == "b",
        disturbed: |v| v["spec"]["options"]["a"] == "b",
        drift: None,
    },
    Row {
        name: "a default that comes later with the CRD",
        before: gadget_crd!(""),
        manifest: "apiVersion: '{ns}.example.com/v1'\nkind: Gadget\nmetadata: {name: one}\nspec: {size: 1}\n",
        path: "/apis/{ns}.example.com/v1/namespaces/{ns}/gadgets/one",
        disturb: &[
            Disturb::Elsewhere(gadget_crd!(", default: blue")),
            Disturb::Merge("controller", r#"{"metadata":{"labels":{"seen":"yes"}}}"#),
        ],
        git: |v| v["spec"]["size"] == 1,
        disturbed: |v| v["spec"]["colour"] == "blue" && v["metadata"]["labels"]["seen"] == "yes",
        drift: None,
    },
];

/// Sets the image of Deployments that carry the label; git says nothing of it.
pub(super) const MIRROR: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: e2e-mirror}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    objectSelector: {matchLabels: {e2e.tidegate.io/mirror: 'yes'}}
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE, UPDATE]}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        [JSONPatch{op: 'replace', path: '/spec/template/spec/containers/0/image', value: 'mirror.example.com/web:1'}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: e2e-mirror}
spec: {policyName: e2e-mirror}
";

/// Shows whether the policy is in force yet.
pub(super) const MIRRORED_PROBE: &str =
    workload!("probe", "0", ", labels: {e2e.tidegate.io/mirror: 'yes'}", "");
