//! Approvals, Overrides and Freezes: made in one's own name, with one's own groups, by who has the verb on the Application,
//! and never by the operator.

use serde_json::json;

use super::{AdmissionPolicy, Forgery, Installation, OWN_NAME, Rule, binding, may, quoted, spec};

/// Nobody's name: the prefix `system:` belongs to Kubernetes, which has no such user.
const NOBODY: &str = "system:nobody:forged";

pub(super) fn approvals(of: Installation<'_>) -> AdmissionPolicy {
    let name = format!("{}-approvals", of.name);
    let application = ".namespace(request.namespace).name(object.spec.application)";
    let rules = [
        own_name("approver"),
        own_groups(),
        not_the_operator(of, "approves nothing"),
        Rule {
            expression: may("approve", application),
            message: "approving needs the verb approve on the Application".to_owned(),
            named: Some(format!(
                "'approving releases of Application ' + request.namespace + '/' + object.spec.application + ' needs the verb \
                 approve on it; have ClusterRole {}-approver bound to you in namespace ' + request.namespace",
                of.name
            )),
        },
    ];
    AdmissionPolicy {
        policy: spec("approvals", &["CREATE"], &rules),
        binding: binding(&name),
        name,
        forgery: Some(Forgery {
            plural: "approvals",
            kind: "Approval",
            spec: json!({ "application": "forged", "release": "forged-000001", "planDigest": "forged", "approver": NOBODY }),
        }),
    }
}

pub(super) fn overrides(of: Installation<'_>) -> AdmissionPolicy {
    let name = format!("{}-overrides", of.name);
    let namespace = "variables.about";
    let rules = [
        own_name("requester"),
        own_groups(),
        not_the_operator(of, "overrides nothing"),
        Rule {
            expression: format!(
                "{namespace} == request.namespace || request.namespace == {}",
                quoted(of.namespace)
            ),
            message: format!(
                "spec.namespace may name another namespace only in the operator's own, {}; make the Override beside its Application",
                of.namespace
            ),
            named: None,
        },
        Rule {
            expression: may(
                "override",
                &format!(".namespace({namespace}).name(object.spec.application)"),
            ),
            message: "overriding needs the verb override on the Application".to_owned(),
            named: Some(format!(
                "'opening gates of Application ' + {namespace} + '/' + object.spec.application + ' needs the verb override on \
                 it; have ClusterRole {}-release-manager bound to you in namespace ' + {namespace}",
                of.name
            )),
        },
    ];
    let mut policy = spec("overrides", &["CREATE"], &rules);
    // `null` is what some clients write for a field that is not there.
    policy["variables"] = json!([{
        "name": "about",
        "expression": "object.spec.?namespace.orValue(null) == null ? request.namespace : object.spec.namespace",
    }]);
    AdmissionPolicy {
        policy,
        binding: binding(&name),
        name,
        forgery: Some(Forgery {
            plural: "overrides",
            kind: "Override",
            spec: json!({
                "application": "forged", "gates": ["Freeze"], "reason": "forged", "until": "2000-01-01T00:00:00Z",
                "requester": NOBODY,
            }),
        }),
    }
}

pub(super) fn freezes(of: Installation<'_>) -> AdmissionPolicy {
    let name = format!("{}-freezes", of.name);
    // A Freeze in the operator's namespace stops everybody, and so needs a right everywhere.
    let rules = [
        own_name("by"),
        not_the_operator(of, "freezes nothing"),
        Rule {
            expression: format!(
                "request.namespace == {} ? {} : {}",
                quoted(of.namespace),
                may("freeze", ""),
                may("freeze", ".namespace(request.namespace)")
            ),
            message: format!(
                "freezing needs the verb freeze on the Applications of the namespace, and in namespace {} on those of all; have \
                 ClusterRole {}-release-manager bound to you there",
                of.namespace, of.name
            ),
            named: None,
        },
    ];
    AdmissionPolicy {
        policy: spec("freezes", &["CREATE"], &rules),
        binding: binding(&name),
        name,
        forgery: Some(Forgery {
            plural: "freezes",
            kind: "Freeze",
            spec: json!({ "reason": "forged", "until": "2000-01-01T00:00:00Z", "by": NOBODY }),
        }),
    }
}

fn own_name(field: &str) -> Rule {
    Rule {
        expression: format!("object.spec.{field} == request.userInfo.username"),
        message: format!("spec.{field} {OWN_NAME}"),
        named: Some(format!(
            "'spec.{field} {OWN_NAME}, ' + request.userInfo.username + ', and it is ' + object.spec.{field}"
        )),
    }
}

fn own_groups() -> Rule {
    let own = "has(request.userInfo.groups) && group in request.userInfo.groups";
    Rule {
        expression: format!("!has(object.spec.groups) || object.spec.groups.all(group, {own})"),
        message: "spec.groups may name your own groups only; `kubectl auth whoami` shows them".to_owned(),
        named: Some(format!(
            "'you are not in ' + object.spec.groups.filter(group, !({own})).join(', ') + ': spec.groups may name your own groups \
             only, and `kubectl auth whoami` shows them'"
        )),
    }
}

/// It may be able to create objects of any kind, since commits may hold any kind; a commit must not give leave to itself.
fn not_the_operator(of: Installation<'_>, what: &str) -> Rule {
    Rule {
        expression: format!("request.userInfo.username != {}", quoted(of.account)),
        message: format!("the operator's own account {what}: that is for people, and no commit may do it"),
        named: None,
    }
}
