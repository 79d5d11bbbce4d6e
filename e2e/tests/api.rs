//! The custom resources and the chart on a real API server: accepted, explained, enforced, installable.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use tidegate_e2e::{Cluster, Options, paths};

/// A cluster without nodes: nothing here runs a pod. The chart brings the CRDs.
async fn cluster() -> &'static Cluster {
    static SHARED: tokio::sync::OnceCell<Cluster> = tokio::sync::OnceCell::const_new();
    let start = || async {
        let options = Options {
            name: "api".to_owned(),
            scheduler: false,
            nodes: 0,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        cluster.helm_install_chart(&["replicaCount=0"]).await.unwrap();
        cluster
    };
    SHARED.get_or_init(start).await
}

fn application(spec: &str) -> String {
    format!(
        "{{apiVersion: tidegate.io/v1alpha1, kind: Application, metadata: {{name: a, namespace: default}}, spec: {spec}}}"
    )
}

fn repository(spec: &str) -> String {
    format!(
        "{{apiVersion: tidegate.io/v1alpha1, kind: GitRepository, metadata: {{name: a, namespace: default}}, spec: {spec}}}"
    )
}

/// Else a run on the oldest Kubernetes would prove nothing about it.
#[tokio::test]
async fn the_api_server_is_the_one_that_was_asked_for() {
    if std::env::var_os("TIDEGATE_E2E_KUBECONFIG").is_some()
        || std::env::var_os("KUBEBUILDER_ASSETS").is_some()
    {
        return;
    }
    let version = cluster()
        .await
        .kubectl(&["get", "--raw", "/version"])
        .await
        .unwrap();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    let asked = paths::Kubernetes::asked().unwrap().version().unwrap();
    assert_eq!(version["gitVersion"], format!("v{asked}"));
}

/// One more than there may be.
fn many_dependencies() -> String {
    let all: Vec<String> = (0..33).map(|n| format!("{{name: a{n}}}")).collect();
    all.join(", ")
}

#[tokio::test]
async fn malformed_objects_are_refused_with_what_to_write() {
    let cluster = cluster().await;
    let rows = [
        (
            application("{source: {name: s, path: a/../b}}"),
            "spec.source.path",
            "must be a path inside the repository",
        ),
        (
            application("{source: {name: s, path: /etc}}"),
            "spec.source.path",
            "must be a path inside the repository",
        ),
        (
            application("{source: {name: s}, health: {timeout: 5 minutes}}"),
            "spec.health.timeout",
            "for example 30s or 5m",
        ),
        (
            application("{source: {name: s}, health: {timeout: 200h}}"),
            "spec.health.timeout",
            "between 1s and 168h",
        ),
        (
            application(
                "{source: {name: s}, health: {expressions: [{apiVersion: v1, kind: A, current: a.b}, \
                 {apiVersion: v1, kind: A, current: a.c}]}}",
            ),
            "spec.health.expressions",
            "duplicate entries for key [apiVersion=\"v1\",kind=\"A\"]",
        ),
        (
            application("{source: {name: s}, health: {expressions: [{apiVersion: v1, kind: A}]}}"),
            "spec.health.expressions[0].current",
            "Required value",
        ),
        (
            application("{source: {name: s}, historyLimit: 0}"),
            "spec.historyLimit",
            "greater than or equal to 1",
        ),
        (
            application("{source: {name: s}, adopt: Maybe}"),
            "spec.adopt",
            "IfUnowned",
        ),
        (
            application("{source: {name: s}, suspend: {by: x}}"),
            "spec.suspend.reason",
            "Required value",
        ),
        (
            application("{source: {name: s}, suspend: {reason: x, until: soon}}"),
            "spec.suspend.until",
            "date-time",
        ),
        (
            application("{source: {name: s}, prun: false}"),
            "spec.prun",
            "field not declared in schema",
        ),
        (
            application("{source: {name: s}, dependsOn: [{name: DB}]}"),
            "spec.dependsOn[0].name",
            "should match",
        ),
        (
            application("{source: {name: s}, dependsOn: [{name: db}, {name: db, at: Any}]}"),
            "spec.dependsOn",
            "duplicate entries for key [name=\"db\"]",
        ),
        (
            application("{source: {name: s}, dependsOn: [{kind: Release, name: db}]}"),
            "spec.dependsOn[0].kind",
            "supported values: \"Application\"",
        ),
        (
            application(&format!(
                "{{source: {{name: s}}, dependsOn: [{}]}}",
                many_dependencies()
            )),
            "spec.dependsOn",
            "must have at most 32 items",
        ),
        (application("{prune: true}"), "spec.source", "Required value"),
        (
            repository("{url: 'ext::sh -c id'}"),
            "spec.url",
            "must be https://host/path",
        ),
        (
            repository("{url: 'file:///etc'}"),
            "spec.url",
            "must be https://host/path",
        ),
        (
            repository("{url: '--upload-pack=x'}"),
            "spec.url",
            "must be https://host/path",
        ),
        (
            repository("{url: 'https://user:word@host/x'}"),
            "spec.url",
            "spec.secretRef",
        ),
        (
            repository("{url: 'https://h/x', ref: {branch: a, tag: b}}"),
            "spec.ref",
            "at most one of branch, tag",
        ),
        (
            repository("{url: 'https://h/x', ref: {commit: abc}}"),
            "spec.ref.commit",
            "should match",
        ),
        (
            repository("{url: 'https://h/x', interval: 10ms}"),
            "spec.interval",
            "between 1s and 168h",
        ),
    ];
    for (manifest, field, hint) in rows {
        let refusal = cluster.apply(&manifest).await.expect_err(&manifest).to_string();
        assert!(
            refusal.contains(field) && refusal.contains(hint),
            "{manifest}\nwas refused with\n{refusal}"
        );
    }
}

#[tokio::test]
async fn the_least_that_can_be_written_is_completed_by_defaults() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("defaults").await.unwrap();
    let manifest = application("{source: {name: shop}}")
        .replace("namespace: default", &format!("namespace: {namespace}"));
    cluster.apply(&manifest).await.unwrap();

    let spec = cluster
        .kubectl(&[
            "-n",
            &namespace,
            "get",
            "applications.tidegate.io",
            "a",
            "-o",
            "jsonpath={.spec}",
        ])
        .await
        .unwrap();
    let spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
    let expected = serde_json::json!({
        "source": { "kind": "GitRepository", "name": "shop", "path": "." },
        "target": {},
        "prune": true,
        "deletionPolicy": "MirrorPrune",
        "adopt": "IfUnowned",
        "force": false,
        "drift": { "mode": "Correct", "additions": "Correct" },
        "dryRun": "WhenPolicied",
        "health": { "timeout": "5m" },
        "historyLimit": 20,
    });
    assert_eq!(spec, expected);
}

#[tokio::test]
async fn kubectl_explains_every_kind() {
    let cluster = cluster().await;
    for kind in paths::custom_resources().unwrap() {
        let text = cluster
            .kubectl(&["explain", &format!("{kind}.spec")])
            .await
            .unwrap();
        assert!(
            text.contains("FIELDS:") && !text.contains("<no description>"),
            "{text}"
        );
    }
    let text = cluster
        .kubectl(&["explain", "applications.tidegate.io.spec.source.path"])
        .await
        .unwrap();
    assert!(text.contains("Directory in the repository"), "{text}");
}

#[tokio::test]
async fn a_release_never_changes_and_is_found_by_its_application() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("releases").await.unwrap();
    let release = |application: &str| {
        format!(
            "{{apiVersion: tidegate.io/v1alpha1, kind: Release, metadata: {{name: r, namespace: {namespace}}}, spec: {{\
             application: {application}, applicationUID: u, sequence: 1, trigger: Commit, revision: {{commit: c, tree: t, \
             ref: master, author: a, committedAt: '2026-01-01T00:00:00Z', subject: s}}}}}}"
        )
    };
    cluster.apply(&release("shop")).await.unwrap();
    let refusal = cluster
        .apply(&release("other"))
        .await
        .expect_err("the spec of a Release was changed")
        .to_string();
    assert!(refusal.contains("a Release's spec never changes"), "{refusal}");

    let found = cluster
        .kubectl(&[
            "-n",
            &namespace,
            "get",
            "tgrel",
            "--field-selector",
            "spec.application=shop",
            "-o",
            "name",
        ])
        .await
        .unwrap();
    assert_eq!(found.trim(), "release.tidegate.io/r");
}

#[tokio::test]
async fn the_chart_gives_what_the_table_of_rights_says() {
    let cluster = cluster().await;
    let account = "--as=system:serviceaccount:tidegate-system:tidegate";
    let rows = [
        ("create", "deployments.apps", "default", true),
        ("patch", "applications.tidegate.io/status", "default", true),
        ("get", "secrets", "default", true),
        ("create", "leases.coordination.k8s.io", "tidegate-system", true),
        ("create", "secrets", "tidegate-system", true),
        (
            "escalate",
            "clusterroles.rbac.authorization.k8s.io",
            "default",
            true,
        ),
        ("impersonate", "users", "default", false),
        ("impersonate", "groups", "default", false),
        ("impersonate", "serviceaccounts", "default", true),
        ("deletecollection", "pods", "default", false),
    ];
    for (verb, resource, namespace, allowed) in rows {
        // `kubectl auth can-i` exits with 1 for "no".
        let output = cluster
            .kubectl_output(&["auth", "can-i", verb, resource, "-n", namespace, account])
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            answer.trim(),
            if allowed { "yes" } else { "no" },
            "{verb} {resource} in {namespace}"
        );
    }
}

/// The plain manifest is the chart: everything in it is accepted, also by restricted pod security.
#[tokio::test]
async fn the_plain_manifest_is_accepted() {
    let cluster = cluster().await;
    let manifest = paths::root().join("manifests/install.yaml");
    let file = manifest.display().to_string();
    let output = cluster
        .kubectl_output(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            &file,
        ])
        .await
        .unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !problems.contains("Warning"),
        "{problems}"
    );
}
