//! What needs a right of its own on an Application that may otherwise be edited: suspending it, asking for a rollback, and
//! labels by which cluster policies choose.

use serde_json::{Value, json};

use super::{AdmissionPolicy, Installation, Rule, binding, may, spec};
use crate::names::ANNOTATION_ROLLBACK_TO;

const HERE: &str = ".namespace(request.namespace).name(object.metadata.name)";

pub(super) fn verbs(of: Installation<'_>) -> AdmissionPolicy {
    let name = format!("{}-applications", of.name);
    let needs = |what: &str, verb: &str| {
        format!(
            "{what} needs the verb {verb} on the Application; have ClusterRole {}-release-manager bound to you in its namespace",
            of.name
        )
    };
    let unchanged = "variables.suspend == variables.suspendBefore";
    let rules = [
        Rule {
            expression: format!("{unchanged} || {}", may("suspend", HERE)),
            message: needs("setting, changing or removing spec.suspend", "suspend"),
            named: None,
        },
        Rule {
            expression: format!(
                "{unchanged} || variables.suspend == null || variables.suspend.?by.orValue(null) == null || variables.suspend.by == \
                 request.userInfo.username"
            ),
            message: "spec.suspend.by must be the name of whoever sets or changes spec.suspend".to_owned(),
            named: Some(
                "'spec.suspend.by must be the name of whoever sets or changes spec.suspend: ' + request.userInfo.username".to_owned(),
            ),
        },
        Rule {
            expression: format!(
                "variables.rollbackTo == variables.rollbackToBefore || {}",
                may("rollback", HERE)
            ),
            message: needs(
                &format!("setting, changing or removing the annotation {ANNOTATION_ROLLBACK_TO}"),
                "rollback",
            ),
            named: None,
        },
    ];
    let mut policy = spec("applications", &["CREATE", "UPDATE"], &rules);
    policy["variables"] = variables();
    AdmissionPolicy {
        policy,
        binding: binding(&name),
        name,
        forgery: None,
    }
}

/// An object that is being made has no old one.
fn variables() -> Value {
    let annotation = format!("metadata.?annotations[?'{ANNOTATION_ROLLBACK_TO}']");
    json!([
        { "name": "suspend", "expression": "object.?spec.?suspend.orValue(null)" },
        {
            "name": "suspendBefore",
            "expression": "oldObject == null ? null : oldObject.?spec.?suspend.orValue(null)",
        },
        { "name": "rollbackTo", "expression": format!("object.{annotation}.orValue('')") },
        {
            "name": "rollbackToBefore",
            "expression": format!("oldObject == null ? '' : oldObject.{annotation}.orValue('')"),
        },
    ])
}

/// A policy of its own, since it is asked once for each ClusterReleasePolicy.
pub(super) fn labels(of: Installation<'_>) -> AdmissionPolicy {
    let name = format!("{}-labels", of.name);
    let changed = "params.spec.?protectedLabels.orValue([]).exists(key, object.metadata.?labels[?key] != (oldObject == null ? \
                   optional.none() : oldObject.metadata.?labels[?key]))";
    let rules = [Rule {
        expression: format!("!{changed} || {}", may("relabel", HERE)),
        message: format!(
            "a label that a ClusterReleasePolicy protects is set, changed or removed, which needs the verb relabel on the \
             Application; have ClusterRole {}-release-manager bound to you in its namespace",
            of.name
        ),
        named: Some(format!(
            "'ClusterReleasePolicy ' + params.metadata.name + ' protects the labels ' + params.spec.protectedLabels.join(', ') + ': \
             setting, changing or removing one needs the verb relabel on the Application; have ClusterRole {}-release-manager \
             bound to you in its namespace'",
            of.name
        )),
    }];
    let mut policy = spec("applications", &["CREATE", "UPDATE"], &rules);
    policy["paramKind"] = json!({
        "apiVersion": format!("{}/{}", crate::GROUP, crate::VERSION),
        "kind": "ClusterReleasePolicy",
    });
    let mut binding = binding(&name);
    binding["paramRef"] = json!({ "selector": {}, "parameterNotFoundAction": "Allow" });
    AdmissionPolicy {
        policy,
        binding,
        name,
        forgery: None,
    }
}
