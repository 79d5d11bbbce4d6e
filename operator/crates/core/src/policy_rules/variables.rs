//! What rules see: `plan`, `revision`, `application`, `now`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::desired::{DesiredObject, Rendered};
use crate::expression::{Field, Shape, Subject, Variable};
use crate::gate::{Question, RevisionFacts};
use crate::object::ObjectId;
use crate::people::SignatureState;
use crate::plan::{Plan, Step};

/// Fields of one change, and of one hook.
const CHANGE: Shape = Shape::Record(&[
    ("action", Shape::Any),
    ("kind", Shape::Any),
    ("group", Shape::Any),
    ("namespace", Shape::Any),
    ("name", Shape::Any),
    ("wave", Shape::Any),
    ("object", Shape::Any),
    ("images", Shape::Any),
]);

/// The variables and their fields. docs/rules.md says what each is.
pub(super) const VARIABLES: &[Field] = &[
    (
        "plan",
        Shape::Record(&[
            ("create", Shape::Any),
            ("update", Shape::Any),
            ("recreate", Shape::Any),
            ("delete", Shape::Any),
            ("unchanged", Shape::Any),
            ("changes", Shape::List(&CHANGE)),
            ("hooks", Shape::List(&CHANGE)),
        ]),
    ),
    (
        "revision",
        Shape::Record(&[
            ("commit", Shape::Any),
            ("ref", Shape::Any),
            ("author", Shape::Any),
            ("subject", Shape::Any),
            ("committedAt", Shape::Any),
            (
                "signature",
                Shape::Record(&[
                    ("state", Shape::Any),
                    ("identity", Shape::Any),
                    ("keyID", Shape::Any),
                ]),
            ),
        ]),
    ),
    (
        "application",
        Shape::Record(&[
            ("namespace", Shape::Any),
            ("name", Shape::Any),
            ("labels", Shape::Any),
        ]),
    ),
    ("now", Shape::Any),
];

/// What stands in place of a value of a Secret.
const HIDDEN: &str = "***";

/// The variables with their values.
pub(super) struct Variables {
    values: Value,
    now: Timestamp,
    committed_at: Timestamp,
}

impl Variables {
    /// Of a plan. What no expression `reads` is left out.
    pub(super) fn of(
        plan: &Plan,
        question: &Question<'_>,
        now: Timestamp,
        reads: &dyn Fn(&str) -> bool,
    ) -> Self {
        let (objects, images) = (reads("object"), reads("images"));
        let shown = |id: &ObjectId, action: &str, wave: i32, desired: Option<&DesiredObject>| {
            let body = desired.map(|o| &o.body);
            json!({
                "action": action, "kind": &*id.kind, "group": &*id.group,
                "namespace": &*id.namespace, "name": &*id.name, "wave": wave,
                "object": body.filter(|_| objects).map_or_else(|| json!({}), |body| without_secrets(id, body)),
                "images": body.filter(|_| images).map(images_of).unwrap_or_default(),
            })
        };
        let changes: Vec<Value> = steps(plan)
            .map(|step| {
                shown(
                    &step.id,
                    step.action.verb(),
                    step.wave,
                    desired(&plan.rendered, step),
                )
            })
            .collect();
        let hooks: Vec<Value> = plan
            .rendered
            .hooks
            .iter()
            .map(|hook| shown(&hook.job.id, "run", hook.job.wave, Some(&hook.job)))
            .collect();
        let count = |verb: &str| steps(plan).filter(|s| s.action.verb() == verb).count();
        let app = question.application;
        let values = json!({
            "plan": {
                "create": count("create"), "update": count("update"), "recreate": count("recreate"),
                "delete": count("delete"), "unchanged": plan.unchanged, "changes": changes, "hooks": hooks,
            },
            "revision": revision(question.revision),
            "application": { "namespace": app.namespace, "name": app.name, "labels": app.labels },
            "now": now.to_string(),
        });
        Self {
            values,
            now,
            committed_at: question.revision.committed_at,
        }
    }

    /// Of a plan with one change, with values of the right types.
    pub(super) fn sample() -> Self {
        let change = json!({
            "action": "create", "kind": "Deployment", "group": "apps", "namespace": "shop", "name": "web", "wave": 0,
            "object": {}, "images": ["registry.example.com/shop/web:1.0"],
        });
        let values = json!({
            "plan": {
                "create": 1, "update": 1, "recreate": 1, "delete": 1, "unchanged": 1,
                "changes": [&change], "hooks": [&change],
            },
            "revision": revision(&RevisionFacts::default()),
            "application": { "namespace": "shop", "name": "shop", "labels": {} },
            "now": "",
        });
        Self {
            values,
            now: Timestamp::UNIX_EPOCH,
            committed_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// As JSON, for their sizes.
    pub(super) fn values(&self) -> &Value {
        &self.values
    }

    /// Those that are read, ready to be asked about.
    pub(super) fn subject(&self, roots: &BTreeSet<String>) -> Subject<'static> {
        let variable = |root: &str| match root {
            "now" => Variable::time(self.now),
            "revision" => {
                Variable::of(&self.values["revision"]).and("committedAt", Variable::time(self.committed_at))
            }
            _ => Variable::of(&self.values[root]),
        };
        Subject::new(roots.iter().map(|root| (root.as_str(), variable(root))))
    }
}

/// The steps of the set itself: runs of hooks are shown apart.
fn steps(plan: &Plan) -> impl Iterator<Item = &Step> {
    plan.steps.iter().filter(|step| step.run.is_none())
}

fn desired<'a>(rendered: &'a Rendered, step: &Step) -> Option<&'a DesiredObject> {
    rendered.get(&step.id)
}

fn revision(facts: &RevisionFacts) -> Value {
    let commit = facts.commits.iter().find(|c| c.commit == facts.commit);
    let signature = commit.map(|c| c.signature.clone()).unwrap_or_default();
    let state = match signature.state {
        SignatureState::Good => "Good",
        SignatureState::Unknown => "Unknown",
        SignatureState::Bad => "Bad",
        SignatureState::None => "None",
    };
    json!({
        "commit": facts.commit, "ref": facts.reference, "author": facts.author_email, "subject": facts.subject,
        "committedAt": facts.committed_at.to_string(),
        "signature": {
            "state": state,
            "identity": signature.identity.unwrap_or_default(),
            "keyID": signature.key_id.unwrap_or_default(),
        },
    })
}

/// An object as rules see it: of a Secret the keys alone.
fn without_secrets(id: &ObjectId, body: &Value) -> Value {
    let mut shown = body.clone();
    if !id.group.is_empty() || &*id.kind != "Secret" {
        return shown;
    }
    for field in ["data", "stringData"] {
        match shown.get_mut(field) {
            Some(Value::Object(values)) => values.values_mut().for_each(|v| *v = HIDDEN.into()),
            Some(other) => *other = Value::Object(Map::new()),
            None => {}
        }
    }
    // It has the whole Secret as it was applied by kubectl.
    if let Some(annotations) = shown
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    shown
}

/// Images of all containers in an object, wherever its pods are described, in their order.
fn images_of(body: &Value) -> Vec<String> {
    let mut images = Vec::new();
    collect_images(body, &mut images);
    images
}

fn collect_images(value: &Value, images: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if matches!(
                    name.as_str(),
                    "containers" | "initContainers" | "ephemeralContainers"
                ) {
                    let containers = value.as_array().into_iter().flatten();
                    images.extend(containers.filter_map(|c| Some(c.get("image")?.as_str()?.to_owned())));
                }
                collect_images(value, images);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, images)),
        _ => {}
    }
}
