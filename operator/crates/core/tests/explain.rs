//! What a stranger reads about a release: each reason to wait, each end. Read the snapshots as one.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "gates are written where they are asked with"
)]

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_api::{Application, Release};
use tidegate_core::explain;

fn now() -> Timestamp {
    "2026-11-25T12:10:05Z".parse().unwrap()
}

/// A Release with this status beside the usual.
fn release(phase: &str, status: Value) -> Release {
    let mut whole = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Release",
        "metadata": {"name": "shop-000007", "namespace": "shop"},
        "spec": {
            "application": "shop", "applicationUID": "u", "sequence": 7, "trigger": "Commit",
            "revision": {"commit": "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432", "tree": "t", "ref": "master",
                "author": "Alice Liddell <alice@example.com>", "committedAt": "2026-11-25T09:59:00Z", "subject": "Scale web"},
        },
        "status": {
            "phase": phase,
            "plan": {"digest": "fedcba9876543210fedcba9876543210", "create": 1, "update": 3, "unchanged": 20},
            "times": {"detected": "2026-11-25T10:00:04.123Z", "planned": "2026-11-25T10:00:05.456Z"},
            "display": {},
        },
    });
    merge(&mut whole["status"], status);
    serde_json::from_value(whole).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn app(spec: Value, status: Value) -> Application {
    let mut whole = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "shop", "generation": 3},
        "spec": {"source": {"name": "shop"}},
        "status": {
            "observedGeneration": 3, "currentRelease": "shop-000006", "lastGoodRelease": "shop-000006",
            "display": {"revision": "master@1a2b3c4d", "objects": "24/24"},
        },
    });
    merge(&mut whole["spec"], spec);
    merge(&mut whole["status"], status);
    serde_json::from_value(whole).unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-25T10:00:00Z"})
}

fn closed(policy: &str, gate: &str, reason: &str, message: &str, until: Option<&str>) -> Value {
    json!({"policy": policy, "gate": gate, "decision": "Closed", "reason": reason, "message": message, "until": until})
}

fn waits(gates: Value) -> String {
    explain::release(&release("Waiting", json!({"gates": gates})), None, now())
}

#[test]
fn one_closed_gate_of_each_kind() {
    let gates = [
        closed(
            "ReleasePolicy/office-hours",
            "Windows",
            "OutsideWindow",
            "closed until Thursday 09:00 in Europe/Berlin",
            Some("2026-11-26T08:00:00Z"),
        ),
        closed(
            "ReleasePolicy/office-hours",
            "Windows",
            "NeverOpens",
            "the Allow windows lie within the Deny windows",
            None,
        ),
        closed(
            "ReleasePolicy/sale",
            "Freeze",
            "Frozen",
            "Black Friday",
            Some("2026-11-30T00:00:00Z"),
        ),
        closed(
            "ReleasePolicy/sale",
            "Freeze",
            "Frozen",
            "until further notice",
            None,
        ),
        closed(
            "Freeze/incident-42",
            "Freeze",
            "Frozen",
            "oidc:eve: database is down",
            None,
        ),
        closed(
            "ReleasePolicy/four-eyes",
            "Approvals",
            "ApprovalsMissing",
            "0 of 2 approvals",
            None,
        ),
        closed(
            "ReleasePolicy/four-eyes",
            "Approvals",
            "AuthorUnmapped",
            "bot@example.com is nobody in identities",
            None,
        ),
        closed(
            "ClusterReleasePolicy/promotion",
            "After",
            "Soaking",
            "healthy in staging/shop since 11:30, 2h asked",
            Some("2026-11-25T13:30:00Z"),
        ),
        closed(
            "ClusterReleasePolicy/promotion",
            "After",
            "NotThere",
            "staging/shop runs master@1a2b3c4d, an older commit",
            None,
        ),
        closed(
            "ReleasePolicy/careful",
            "Limits",
            "TooManyDeletions",
            "deletes 12 of 24 objects, at most 5 allowed",
            None,
        ),
        closed(
            "ReleasePolicy/signed",
            "Signatures",
            "NotSigned",
            "9f8e7d6c has no signature",
            None,
        ),
        closed(
            "ReleasePolicy/rules",
            "Rules",
            "RuleFalse",
            "no-latest: an image is tagged latest",
            None,
        ),
        closed(
            "",
            "Quarantine",
            "StillContainsQuarantined",
            "has Deployment shop/web as in 0a1b2c3d, which failed",
            None,
        ),
        closed(
            "",
            "Policy",
            "PolicyRequired",
            "this installation releases nothing without a policy",
            None,
        ),
        closed(
            "ReleasePolicy/rules",
            "Policy",
            "InvalidExpression",
            "cannot be used: rules[0].expression: unknown variable `plam`",
            None,
        ),
    ];
    for gate in gates {
        let text = waits(json!([gate.clone()]));
        let name = format!(
            "{}_{}",
            gate["gate"].as_str().unwrap(),
            gate["reason"].as_str().unwrap()
        );
        let until = if gate["until"].is_null() { "" } else { "_until" };
        let of = gate["policy"]
            .as_str()
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        insta::assert_snapshot!(format!("{name}_{of}{until}"), text);
    }
}

#[test]
fn several_gates_with_who_approved() {
    let status = json!({
        "gates": [
            closed("ReleasePolicy/office-hours", "Windows", "OutsideWindow", "closed until Thursday 09:00", Some("2026-11-26T08:00:00Z")),
            closed("ReleasePolicy/four-eyes", "Approvals", "ApprovalsMissing", "1 of 2 approvals", None),
            {"policy": "ReleasePolicy/careful", "gate": "Limits", "decision": "Overridden", "reason": "TooManyDeletions", "message": "deletes 12 of 24; opened by oidc:rita until 13:00: tidying up"},
            {"policy": "ReleasePolicy/sale", "gate": "Freeze", "decision": "Open", "message": "no freeze now"},
        ],
        "approvals": [
            {"name": "shop-000007-a", "approver": "oidc:bob", "at": "2026-11-25T11:00:00.5Z", "counts": true},
            {"name": "shop-000007-b", "approver": "oidc:alice", "at": "2026-11-25T11:01:00Z", "counts": false, "why": "wrote one of the commits"},
            {"name": "shop-000007-c", "approver": "oidc:carol", "at": "2026-11-25T10:01:00Z", "counts": false, "why": "was for plan 0011223344, which has changed since"},
        ],
    });
    insta::assert_snapshot!(explain::release(&release("Waiting", status), None, now()));
}

#[test]
fn all_that_open_by_themselves_need_nobody() {
    insta::assert_snapshot!(waits(json!([
        closed(
            "ReleasePolicy/office-hours",
            "Windows",
            "OutsideWindow",
            "closed until Thursday 09:00",
            Some("2026-11-26T08:00:00Z")
        ),
        closed(
            "ReleasePolicy/sale",
            "Freeze",
            "Frozen",
            "Black Friday",
            Some("2026-11-30T00:00:00Z")
        ),
    ])));
}

#[test]
fn a_suspended_application() {
    let suspend = json!({"suspend": {"reason": "migrating the database", "by": "oidc:eve"}});
    let message = "Suspended by oidc:eve until spec.suspend is removed: migrating the database";
    let conditions = json!({"conditions": [
        condition("Ready", "True", "Waiting", &format!("Runs master@1a2b3c4d; {message}")),
        condition("Synced", "False", "Suspended", message),
    ]});
    insta::assert_snapshot!(explain::application(&app(suspend, conditions), None, now()));
}

#[test]
fn an_application_that_goes_after_another() {
    let spec = json!({"dependsOn": [{"name": "db"}]});
    let conditions = json!({"conditions": [
        condition("Ready", "True", "Waiting", "Runs master@1a2b3c4d; waits for Application db, which is not ready"),
        condition("Synced", "False", "DependencyNotReady", "waits for Application db, which is not ready"),
    ]});
    insta::assert_snapshot!(explain::application(&app(spec, conditions), None, now()));
}

#[test]
fn an_application_whose_newest_release_waits() {
    let newest = release(
        "Waiting",
        json!({"gates": [closed("ReleasePolicy/four-eyes", "Approvals", "ApprovalsMissing", "0 of 2 approvals", None)]}),
    );
    let conditions = json!({"conditions": [
        condition("Ready", "True", "Waiting", "Runs master@1a2b3c4d; ReleasePolicy/four-eyes: 0 of 2 approvals"),
        condition("Synced", "False", "Waiting", "ReleasePolicy/four-eyes: 0 of 2 approvals"),
        condition("Healthy", "True", "ObjectsHealthy", "24 of 24 objects are healthy"),
    ]});
    insta::assert_snapshot!(explain::application(
        &app(json!({}), conditions),
        Some(&newest),
        now()
    ));
}

fn failed() -> Value {
    json!({
        "results": {"failedTotal": 21, "failed": [
            {"object": "Deployment shop/web", "location": "deploy/web.yaml:12", "message": "0 of 2 pods are ready", "podReason": "ImagePullBackOff: example.com/web:1.3.0 not found"},
            {"object": "Ingress shop/front", "field": "spec.rules[0].host", "message": "is no host name"},
        ], "survivors": ["Job shop/migrate"]},
        "times": {"finished": "2026-11-25T10:05:06Z"},
        "display": {"took": "5m2s", "message": "not healthy within 5m: Deployment shop/web: ImagePullBackOff: example.com/web:1.3.0 not found"},
    })
}

#[test]
fn a_failed_release() {
    let app = app(json!({}), json!({}));
    insta::assert_snapshot!(explain::release(&release("Failed", failed()), Some(&app), now()));
}

#[test]
fn a_release_that_was_rolled_back() {
    let mut status = failed();
    merge(
        &mut status,
        json!({"rollback": {"to": "shop-000006", "cause": "Deployment shop/web was not healthy within 5m", "started": "2026-11-25T10:05:06Z", "finished": "2026-11-25T10:05:31Z"}}),
    );
    let quarantine = json!({"quarantined": [{
        "commit": "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432", "release": "shop-000007", "cause": "Deployment shop/web was not healthy within 5m",
        "culprits": [{"id": "apps/Deployment/shop/web", "digest": "d"}],
    }]});
    let app = app(json!({}), quarantine);
    insta::assert_snapshot!(explain::application(
        &app,
        Some(&release("RolledBack", status)),
        now()
    ));
}

#[test]
fn a_rollback_that_a_person_asked_for_holds() {
    let status = json!({"rolledBack": {"to": "shop-000004", "fromDigest": "d", "asked": "shop-000004"}});
    insta::assert_snapshot!(explain::application(&app(json!({}), status), None, now()));
}

#[test]
fn a_denied_release() {
    let status = json!({
        "plan": {"digest": ""},
        "results": {"failedTotal": 1, "failed": [{"object": "Deployment shop/web", "location": "deploy/web.yaml:4", "field": "spec.replicas", "message": "must be an integer, is a string"}]},
        "times": {"finished": "2026-11-25T10:00:05Z"},
        "display": {"took": "1s", "message": "deploy/web.yaml:4: Deployment shop/web: spec.replicas: must be an integer, is a string"},
    });
    let app = app(json!({}), json!({}));
    insta::assert_snapshot!(explain::release(&release("Denied", status), Some(&app), now()));
}

#[test]
fn superseded_succeeded_and_under_way() {
    let status = json!({"display": {"took": "2h", "message": "master@0a1b2c3d took its place"}});
    insta::assert_snapshot!(
        "superseded",
        explain::release(&release("Superseded", status), None, now())
    );
    let status = json!({
        "gates": [{"policy": "ReleasePolicy/office-hours", "gate": "Windows", "decision": "Open", "message": "open until 17:00"}],
        "times": {"finished": "2026-11-25T10:00:13Z"},
        "display": {"took": "9s", "message": "24 of 24 objects are healthy"},
    });
    insta::assert_snapshot!(
        "succeeded",
        explain::release(&release("Succeeded", status), None, now())
    );
    let status = json!({"display": {"message": "Release shop-000007 waits for health: Deployment shop/web: 1 of 2 pods are ready"}});
    insta::assert_snapshot!(
        "verifying",
        explain::release(&release("Verifying", status), None, now())
    );
}
