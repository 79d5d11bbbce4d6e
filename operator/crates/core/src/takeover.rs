//! Taking an object over from another tool: what goes with it, and what is said (semantics.md, Ownership 2).
//!
//! Whoever applied the object before us owns fields of it. Were these entries left, a field that git drops later would
//! stay, since its former owner still has it. So the entries of tools that apply manifests end, and with them what only
//! they had set; people keep what they had set beside git's fields; controllers keep everything.

use serde_json::{Value, json};
use tidegate_api::names;

use crate::additions::is_persons_manager;
use crate::ignore::REPLICAS;
use crate::managed::{self, Fields, entries, is_ours, our_fields, subresource};
use crate::object::ObjectId;
use crate::ownership::managers;
use crate::pointer::{self, Below, Segments};
use crate::strip::{merge, minus, strip};

/// Field managers of tools that apply manifests, as the tools name them.
const TOOLS: [&str; 8] = [
    "kubectl-client-side-apply",
    "kubectl-last-applied",
    "helm",
    "kustomize-controller",
    "helm-controller",
    "flux",
    "argocd-controller",
    "argocd-application-controller",
];
/// What tools note on objects. It goes with them, whoever owns it, unless git has it.
const NOTES: [(&str, &str); 10] = [
    ("annotations", "kubectl.kubernetes.io/last-applied-configuration"),
    ("annotations", HELM_NAME),
    ("annotations", HELM_NAMESPACE),
    ("annotations", ARGO_ID),
    ("annotations", "argocd.argoproj.io/installation-id"),
    ("labels", "kustomize.toolkit.fluxcd.io/name"),
    ("labels", "kustomize.toolkit.fluxcd.io/namespace"),
    ("labels", "helm.toolkit.fluxcd.io/name"),
    ("labels", "helm.toolkit.fluxcd.io/namespace"),
    ("labels", ARGO_INSTANCE),
];
const HELM_NAME: &str = "meta.helm.sh/release-name";
const HELM_NAMESPACE: &str = "meta.helm.sh/release-namespace";
const ARGO_ID: &str = "argocd.argoproj.io/tracking-id";
const ARGO_INSTANCE: &str = "argocd.argoproj.io/instance";
/// Written by whoever created the object, but meant for others: the API server's own admission sets finalizers so.
const NEVER_TAKEN: [&str; 3] = ["f:finalizers", "f:ownerReferences", "f:generateName"];

/// An object as it is to be after the take-over.
#[derive(Clone, Debug, PartialEq)]
pub struct Handover {
    /// Without the tools' entries, and without what only they had set.
    pub without: Value,
    /// As far as the API server must allow it: without entries, labels and annotations; the rest stays and is nobody's.
    pub released: Value,
}

/// What is left to do after our first apply to an object that others had applied, from its answer. `None`: nothing.
/// Fields that others may set keep their values, and are nobody's: the next apply sends them as they are.
pub fn handover(live: &Value, ignored: &[String]) -> Option<Handover> {
    let ours = our_fields(live)?;
    let notes = notes_on(live, ours);
    let (mut managed, mut taken) = (Vec::new(), notes.clone());
    let mut changed = !notes.is_empty();
    for entry in entries(live) {
        let Some(fields) = entry["fieldsV1"].as_object().filter(|_| !is_ours(entry)) else {
            managed.push(entry.clone());
            continue;
        };
        if is_tools(entry) {
            if is_readable(entry, live) {
                merge(&mut taken, fields.clone());
            }
            changed = true;
            continue;
        }
        let mut left = minus(fields, &notes);
        if is_persons(entry) && is_readable(entry, live) {
            left = minus(&left, ours);
        }
        changed |= left != *fields;
        if !left.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = Value::Object(left);
            managed.push(entry);
        }
    }
    if !changed {
        return None;
    }
    plain_data(live, &mut taken);
    let taken = takeable(&taken, live, ignored);
    let metadata = taken.get("f:metadata").cloned();
    let labels_only = |metadata: &Value| {
        let chosen = ["f:annotations", "f:labels"].map(|e| Some((e.to_owned(), metadata.get(e)?.clone())));
        Value::Object(chosen.into_iter().flatten().collect())
    };
    let mut noted = Fields::new();
    noted.extend(metadata.map(|metadata| ("f:metadata".to_owned(), labels_only(&metadata))));
    Some(Handover {
        without: strip(live, managed.clone(), &taken),
        released: strip(live, managed, &noted),
    })
}

/// The object before our first apply with the tools' fields in our entry, so that this apply takes those away that git does
/// not have, in one step with what it brings. `None` where no tool has any.
pub fn claimed(live: &Value, ignored: &[String]) -> Option<Value> {
    let mut ours = our_fields(live).cloned().unwrap_or_default();
    let notes = notes_on(live, &ours);
    let (mut managed, mut any) = (Vec::new(), false);
    merge(&mut ours, notes.clone());
    let mut our_entry = json!({
        "manager": names::FIELD_MANAGER, "operation": "Apply", "apiVersion": live["apiVersion"],
        "fieldsType": "FieldsV1",
    });
    for entry in entries(live) {
        let Some(fields) = entry["fieldsV1"].as_object().filter(|_| !is_ours(entry)) else {
            our_entry = entry.clone();
            continue;
        };
        let mut left = minus(fields, &notes);
        if is_tools(entry) && is_readable(entry, live) {
            let mut taken = fields.clone();
            plain_data(live, &mut taken);
            let taken = takeable(&taken, live, ignored);
            left = minus(&left, &taken);
            left.remove("f:stringData");
            merge(&mut ours, taken);
            any = true;
        }
        if !left.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = Value::Object(left);
            managed.push(entry);
        }
    }
    if !any {
        return None;
    }
    our_entry["fieldsV1"] = Value::Object(ours);
    managed.insert(0, our_entry);
    let mut claimed = live.clone();
    claimed["metadata"]["managedFields"] = Value::Array(managed);
    Some(claimed)
}

/// True when the entry's paths are those of the version that the object was read at.
fn is_readable(entry: &Value, live: &Value) -> bool {
    entry["apiVersion"] == live["apiVersion"]
}

/// The fields of a tool without those that stay.
fn takeable(fields: &Fields, live: &Value, ignored: &[String]) -> Fields {
    // Git without replicas leaves their number to whoever scales: the API server's default, 1, is never meant.
    let ignored = ignored.iter().map(String::as_str).chain([REPLICAS]);
    let ignored: Vec<Segments> = ignored.filter_map(pointer::parse).collect();
    let mut taken = spared(fields, &Below::root(&ignored), Some(live));
    if let Some(metadata) = taken.get_mut("f:metadata").and_then(Value::as_object_mut) {
        metadata.retain(|element, _| !NEVER_TAKEN.contains(&element.as_str()));
    }
    taken
}

/// The fields without those that pointers lead to.
fn spared(fields: &Fields, ignored: &Below<'_>, live: Option<&Value>) -> Fields {
    let mut left = Fields::new();
    for (element, node) in fields {
        let Some(below) = ignored.step(element, live) else {
            continue;
        };
        let node = match node.as_object() {
            Some(children) if !below.is_empty() => {
                let inner = live.and_then(|live| managed::step(live, element));
                Value::Object(spared(children, &below, inner))
            }
            _ => node.clone(),
        };
        // What has become a leaf would mean all that is in it.
        if fields[element].as_object().is_some_and(Fields::is_empty) || node != json!({}) {
            left.insert(element.clone(), node);
        }
    }
    left
}

/// A tool's entry; or one that our own removal of fields left behind, where the API server's defaults took their place.
fn is_tools(entry: &Value) -> bool {
    let (manager, update) = (
        entry["manager"].as_str().unwrap_or_default(),
        entry["operation"] == "Update",
    );
    let applied = manager == "kubectl" && !update;
    let of_ours = manager == names::FIELD_MANAGER && update;
    subresource(entry).is_none() && (applied || of_ours || TOOLS.contains(&manager))
}

/// People's entries, `kubectl scale` included: what they share with git is git's from now on.
fn is_persons(entry: &Value) -> bool {
    matches!(subresource(entry), None | Some("scale"))
        && entry["manager"].as_str().is_some_and(is_persons_manager)
}

/// Paths of the tools' notes on an object that git does not have.
fn notes_on(live: &Value, ours: &Fields) -> Fields {
    let mut found = Fields::new();
    for (field, key) in NOTES {
        let element = format!("f:{key}");
        let git = managed::child(ours, "f:metadata").and_then(|m| managed::child(m, &format!("f:{field}")));
        if live["metadata"][field].get(key).is_some() && !git.is_some_and(|git| git.contains_key(&element)) {
            let path = json!({"f:metadata": {format!("f:{field}"): {element: {}}}});
            merge(&mut found, path.as_object().cloned().unwrap_or_default());
        }
    }
    found
}

/// Who applied `stringData` of a Secret owns it there, and nobody owns what became of it under `data`.
fn plain_data(live: &Value, taken: &mut Fields) {
    if live["kind"] != "Secret" {
        return;
    }
    if let Some(plain) = taken.remove("f:stringData") {
        merge(taken, Fields::from_iter([("f:data".to_owned(), plain)]));
    }
}

/// From whom an object was taken over, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Former {
    /// Field managers, and the release or Application of the tool where the object names one.
    pub by: String,
    /// What to do about a tool that still counts the object as its own.
    pub advice: Option<String>,
}

/// From whom an object would be taken over.
pub fn former(live: &Value) -> Former {
    let metadata = &live["metadata"];
    let label = |key: &str| metadata["labels"][key].as_str();
    let note = |key: &str| metadata["annotations"][key].as_str();
    let named = |namespace: Option<&str>, name: &str| match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let of_flux = |kind: &str| {
        let name = label(&format!("{kind}.toolkit.fluxcd.io/name"))?;
        Some(named(label(&format!("{kind}.toolkit.fluxcd.io/namespace")), name))
    };
    let (tool, advice) = if let Some(name) = of_flux("kustomize") {
        (
            format!("Flux Kustomization {name}"),
            "applies it again until told to let go: set spec.prune: false there, then delete it or take the object out of its source",
        )
    } else if let Some(name) = of_flux("helm") {
        (
            format!("Flux HelmRelease {name}"),
            "applies it again until told to let go: suspend it; deleting it uninstalls the chart",
        )
    } else if let Some(id) = note(ARGO_ID).or(label(ARGO_INSTANCE)) {
        let name = id.split(':').next().unwrap_or_default();
        (
            format!("Argo CD Application {name}"),
            "applies it again until told to let go: delete it without cascade (argocd app delete --cascade=false)",
        )
    } else if let Some(name) = note(HELM_NAME) {
        (
            format!("Helm release {}", named(note(HELM_NAMESPACE), name)),
            "still lists it: never run helm uninstall, which deletes it; delete the release's Secrets (labels owner=helm and name) instead",
        )
    } else {
        return Former {
            by: managers(live),
            advice: None,
        };
    };
    Former {
        by: format!("{} ({tool})", managers(live)),
        advice: Some(format!("{tool} {advice}")),
    }
}

/// Most objects named for each former owner.
const NAMED: usize = 4;

/// The note of the Event: objects by former owner, then what to do about those who do not know yet.
pub fn note(taken: &[(ObjectId, Former)]) -> String {
    let mut by: std::collections::BTreeMap<&Former, Vec<&ObjectId>> = std::collections::BTreeMap::new();
    for (id, former) in taken {
        by.entry(former).or_default().push(id);
    }
    let groups: Vec<String> = by
        .iter()
        .map(|(former, ids)| {
            let mut names: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
            if ids.len() > NAMED {
                names.push(format!("{} more", ids.len() - NAMED));
            }
            format!("{} from {}", names.join(", "), former.by)
        })
        .collect();
    let advice = by.keys().filter_map(|former| former.advice.as_deref());
    let mut lines = vec![format!("Took over objects that existed: {}", groups.join("; "))];
    lines.extend(advice.map(str::to_owned));
    lines.join(". ")
}
