//! `allow`: what namespaces may release at all.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_core::desired::Rendered;
use tidegate_core::guard::{Route, fingerprint, refuse_objects, refuse_route};
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};

use crate::plans::{World, cluster, deployment, rendered};

fn shop() -> ApplicationFacts {
    World::default().application
}

fn route(app: &ApplicationFacts) -> Route<'_> {
    Route {
        application: app,
        source: "https://git.example.com/shop/web.git",
        namespace: None,
        kube_config: None,
    }
}

fn allow(allow: Value) -> [Arc<CompiledPolicy>; 1] {
    let policy = cluster("tenants", json!({ "allow": allow }));
    assert_eq!(policy.problems, []);
    [policy]
}

fn set() -> Rendered {
    rendered(&[
        deployment("web", &["web:1"]),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "other"}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "all"}}),
    ])
}

fn objects(rules: Value) -> Vec<String> {
    let app = shop();
    let problems = refuse_objects(&allow(rules), &route(&app), &set());
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_absent_list_limits_nothing_and_an_empty_one_allows_nothing() {
    let app = shop();
    assert_eq!(refuse_route(&allow(json!({})), &route(&app)), []);
    assert_eq!(objects(json!({})), Vec::<String>::new());
    assert_eq!(
        refuse_route(&allow(json!({"sources": []})), &route(&app)).len(),
        1
    );
    assert_eq!(
        refuse_route(&allow(json!({"targets": []})), &route(&app)).len(),
        1
    );
    assert_eq!(objects(json!({"kinds": []})).len(), 2);
    assert_eq!(objects(json!({"clusterScoped": []})).len(), 1);
    assert_eq!(objects(json!({"targets": []})).len(), 2);
}

#[test]
fn what_is_refused_names_object_line_policy_and_what_would_have_to_be_allowed() {
    assert_eq!(
        objects(
            json!({"clusterScoped": [{"kind": "Namespace"}], "kinds": [{"group": "*", "kind": "*"}],
            "targets": [{"namespace": "$namespace"}, {"namespace": "shop-*"}]})
        ),
        [
            "deploy/all.yaml:7: ConfigMap other/c: metadata.namespace: ClusterReleasePolicy/tenants does not allow namespace \
             other as a target to Applications of namespace shop; take it out, or ask the platform team to add {namespace: \
             other} to its spec.allow.targets",
            "deploy/all.yaml:7: ClusterRole all: kind: ClusterReleasePolicy/tenants does not allow cluster-scoped kind \
             ClusterRole.rbac.authorization.k8s.io to Applications of namespace shop; take it out, or ask the platform team to \
             add {group: \"rbac.authorization.k8s.io\", kind: ClusterRole} to its spec.allow.clusterScoped",
        ]
    );
    let app = shop();
    let far = Route {
        source: "https://evil.example.com/shop/web",
        kube_config: Some("prod-eu"),
        namespace: Some("shop"),
        ..route(&app)
    };
    let rules = json!({"sources": ["https://git.example.com/shop/**"], "targets": [{"namespace": "*"}]});
    let said: Vec<String> = refuse_route(&allow(rules), &far)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "spec.source: ClusterReleasePolicy/tenants does not allow repository https://evil.example.com/shop/web to \
             Applications of namespace shop; take it out, or ask the platform team to add https://evil.example.com/shop/web to \
             its spec.allow.sources",
            "spec.target.kubeConfig.secretRef.name: ClusterReleasePolicy/tenants does not allow the cluster of Secret prod-eu \
             as a target to Applications of namespace shop; take it out, or ask the platform team to add {namespace: \
             $namespace, kubeConfig: prod-eu} to its spec.allow.targets",
        ]
    );
}

#[test]
fn targets_are_a_cluster_and_a_namespace_together() {
    let app = shop();
    let targets = json!({"targets": [
        {"namespace": "$namespace"}, {"namespace": "$namespace-*"}, {"namespace": "shared", "kubeConfig": "prod-*"},
    ]});
    for (namespace, kube_config, allowed) in [
        (None, None, true),
        (Some("shop"), None, true),
        (Some("shop-blue"), None, true),
        (Some("shopping"), None, false),
        (Some("shared"), None, false),
        (Some("shared"), Some("prod-eu"), true),
        (None, Some("prod-eu"), true),
        (Some("shop"), Some("prod-eu"), false),
        (Some("shared"), Some("staging"), false),
        (Some("kube-system"), None, false),
    ] {
        let there = Route {
            namespace,
            kube_config,
            ..route(&app)
        };
        let refused = refuse_route(&allow(targets.clone()), &there);
        assert_eq!(
            refused.is_empty(),
            allowed,
            "{namespace:?} {kube_config:?} {refused:?}"
        );
    }
    let remote = Route {
        kube_config: Some("prod-eu"),
        ..route(&app)
    };
    let objects = rendered(&[deployment("web", &[])]);
    assert_eq!(
        refuse_objects(&allow(targets.clone()), &remote, &objects).len(),
        1,
        "shop is not shared"
    );
    assert_eq!(refuse_objects(&allow(targets), &route(&app), &objects), []);
}

#[test]
fn kinds_are_matched_with_their_group() {
    for (kinds, refused) in [
        (
            json!([{"group": "apps", "kind": "Deployment"}, {"kind": "ConfigMap"}]),
            0,
        ),
        (json!([{"kind": "Deployment"}, {"kind": "ConfigMap"}]), 1),
        (json!([{"group": "*", "kind": "*"}]), 0),
        (json!([{"group": "apps*", "kind": "*"}]), 1),
        (json!([{"kind": "*"}]), 1),
    ] {
        assert_eq!(objects(json!({ "kinds": kinds })).len(), refused, "{kinds}");
    }
    assert_eq!(
        objects(json!({"clusterScoped": [{"group": "rbac.authorization.k8s.io", "kind": "Cluster*"}]})).len(),
        0
    );
}

#[test]
fn every_policy_that_binds_must_allow() {
    let app = shop();
    let wide = cluster(
        "wide",
        json!({"allow": {"clusterScoped": [{"group": "*", "kind": "*"}]}}),
    );
    let narrow = cluster("narrow", json!({"allow": {"clusterScoped": []}}));
    for policies in [[wide.clone(), narrow.clone()], [narrow, wide.clone()]] {
        assert_eq!(refuse_objects(&policies, &route(&app), &set()).len(), 1);
    }
    assert_eq!(refuse_objects(&[wide], &route(&app), &set()), []);
}

#[test]
fn broken_guard_rails_allow_nothing_and_are_a_problem_of_the_policy() {
    let app = shop();
    let broken = json!({"allow": {
        "sources": ["https://git.example.com/../x"], "targets": [{"namespace": "Shop"}, {"namespace": "a", "kubeConfig": "A b"}],
        "kinds": [{"group": "Apps", "kind": "Deployment"}], "clusterScoped": [{"kind": "Cluster Role"}],
    }});
    let policy = cluster("tenants", broken);
    let fields: Vec<&str> = policy
        .problems
        .iter()
        .map(|p| p.field.as_deref().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.allow.sources[0]",
            "spec.allow.targets[0].namespace",
            "spec.allow.targets[1].kubeConfig",
            "spec.allow.kinds[0].group",
            "spec.allow.clusterScoped[0].kind",
        ]
    );
    let policies = [policy];
    assert_eq!(refuse_route(&policies, &route(&app)).len(), 2);
    assert_eq!(refuse_objects(&policies, &route(&app), &set()).len(), 5);
}

#[test]
fn a_large_set_is_refused_in_bounded_words() {
    let app = shop();
    let many: Vec<Value> = (0..500).map(|n| deployment(&format!("web-{n}"), &[])).collect();
    let problems = refuse_objects(&allow(json!({"kinds": []})), &route(&app), &rendered(&many));
    assert_eq!(problems.len(), 50);
    assert!(
        problems[49]
            .message
            .ends_with("(450 more objects are not allowed)"),
        "{}",
        problems[49]
    );
}

#[test]
fn the_fingerprint_follows_rails_and_repository_alone() {
    let app = shop();
    let one = allow(json!({"kinds": []}));
    assert_eq!(fingerprint(&[cluster("free", json!({}))], &route(&app)), "");
    let before = fingerprint(&one, &route(&app));
    assert_eq!(before, fingerprint(&allow(json!({"kinds": []})), &route(&app)));
    assert_ne!(
        before,
        fingerprint(&allow(json!({"kinds": [{"kind": "Pod"}]})), &route(&app))
    );
    let moved = Route {
        source: "https://git.example.com/other",
        ..route(&app)
    };
    assert_ne!(before, fingerprint(&one, &moved));
}
