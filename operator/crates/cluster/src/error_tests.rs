use serde_json::json;

use super::*;

fn refusal(code: u16, message: &str, details: impl Into<Value>) -> Refusal {
    let body = json!({"kind": "Status", "message": message, "reason": "X", "details": details.into()});
    Refusal::read(code, body.to_string().as_bytes())
}

#[test]
fn each_refusal_has_its_class() {
    let rbac = "deployments.apps \"web\" is forbidden: User \"u\" cannot patch resource \"deployments\"";
    let named = json!({"name": "web", "kind": "configmaps"});
    let table = [
        (
            500,
            "failed to create typed patch object (a/b; v1, Kind=ConfigMap): .x: field not declared in schema",
            json!({}),
            Class::Terminal,
            "Invalid",
        ),
        (
            500,
            "Internal error occurred: failed calling webhook \"w\"",
            json!({}),
            Class::Transient,
            "WebhookUnavailable",
        ),
        (
            500,
            "etcdserver: leader changed",
            json!({}),
            Class::Transient,
            "ServerError",
        ),
        (
            400,
            "admission webhook \"w\" denied the request: no",
            json!({}),
            Class::Terminal,
            "AdmissionDenied",
        ),
        (403, rbac, named.clone(), Class::Terminal, "Forbidden"),
        (
            403,
            "pods \"a\" is forbidden: exceeded quota: q",
            named.clone(),
            Class::Waiting,
            "QuotaExceeded",
        ),
        (
            403,
            "unable to create new content in namespace a because it is being terminated",
            json!({}),
            Class::Waiting,
            "NamespaceTerminating",
        ),
        (
            404,
            "namespaces \"a\" not found",
            json!({"name": "a", "kind": "namespaces"}),
            Class::Waiting,
            "NamespaceMissing",
        ),
        (
            404,
            "the server could not find the requested resource",
            json!({}),
            Class::Waiting,
            "KindMissing",
        ),
        (
            404,
            "configmaps \"web\" not found",
            named.clone(),
            Class::Transient,
            "NotFound",
        ),
        (
            409,
            "Operation cannot be fulfilled",
            named,
            Class::Transient,
            "Conflict",
        ),
        (
            422,
            "invalid",
            json!({"name": "w", "causes": [{"field": "metadata.uid", "message": "field is immutable"}]}),
            Class::Transient,
            "Conflict",
        ),
        (
            422,
            "invalid",
            json!({"name": "w", "causes": [{"field": "spec.selector", "message": "field is immutable"}]}),
            Class::Terminal,
            "Immutable",
        ),
        (
            422,
            "invalid",
            json!({"name": "w", "causes": [{"field": "spec.x", "message": "Required value"}]}),
            Class::Terminal,
            "Invalid",
        ),
        (429, "slow down", json!({}), Class::Transient, "TooManyRequests"),
        (503, "shutting down", json!({}), Class::Transient, "ServerError"),
    ];
    for (code, message, details, class, reason) in table {
        assert_eq!(
            refusal(code, message, details).verdict(),
            (class, reason),
            "{code} {message}"
        );
    }
}

#[test]
fn typed_patch_errors_name_every_field() {
    let one = refusal(
        500,
        "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema",
        json!({}),
    );
    assert_eq!(
        one.complaints(),
        vec![(
            Some("spec.replica".to_owned()),
            "field not declared in schema".to_owned()
        )]
    );
    let two = refusal(
        500,
        "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): errors:\n  .spec.a: field not declared in schema\n  .spec.b: expected numeric",
        json!({}),
    );
    assert_eq!(two.complaints().len(), 2);
    assert_eq!(two.complaints()[1].0.as_deref(), Some("spec.b"));
}

#[test]
fn an_invalid_object_is_told_by_cause() {
    let causes =
        json!([{"field": "spec.a", "message": "Required value"}, {"field": "<nil>", "message": "no"}]);
    let found = refusal(422, "is invalid", json!({"name": "w", "causes": causes})).complaints();
    assert_eq!(found[0], (Some("spec.a".to_owned()), "Required value".to_owned()));
    assert_eq!(found[1], (None, "no".to_owned()));
}

#[test]
fn an_answer_that_is_no_status_keeps_its_start() {
    let found = Refusal::read(502, b"<html>bad gateway</html>");
    assert_eq!(found.message, "<html>bad gateway</html>");
    assert_eq!(found.verdict(), (Class::Transient, "ServerError"));
}

#[test]
fn a_missing_namespace_is_gone_for_a_read_and_waited_for_by_a_write() {
    let missing = refusal(
        404,
        "namespaces \"a\" not found",
        json!({"name": "a", "kind": "namespaces"}),
    );
    assert!(missing.nothing_there() && !missing.object_missing());
    let object = refusal(
        404,
        "configmaps \"a\" not found",
        json!({"name": "a", "kind": "configmaps"}),
    );
    assert!(object.nothing_there() && object.object_missing());
    let kind = refusal(404, "the server could not find the requested resource", json!({}));
    assert!(!kind.nothing_there() && !kind.object_missing());
}
