//! What can be wrong in a policy that the API server cannot see.

use serde_json::{Value, json};

use crate::plans::{World, cluster, namespaced, plan};

fn problems(rules: Value) -> Vec<String> {
    let policy = namespaced("p", rules);
    policy.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_fault_is_told_with_its_field() {
    for (rules, field, cause) in [
        (
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}}),
            "spec.selector.matchExpressions[0].operator",
            "`Is` is none of",
        ),
        (
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "spec.selector.matchExpressions[0].values",
            "is empty",
        ),
        (
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
            "spec.selector.matchExpressions[0].values",
            "take no values",
        ),
        (
            json!({"freeze": {"reason": "x", "until": "tomorrow"}}),
            "spec.freeze.until",
            "RFC 3339",
        ),
        (
            json!({"approvals": {"required": 0}}),
            "spec.approvals.required",
            "at least 1",
        ),
        (
            json!({"approvals": {"required": 2, "users": ["alice"]}}),
            "spec.approvals.required",
            "never come from 1 users",
        ),
        (
            json!({"approvals": {"validFor": "1 day"}}),
            "spec.approvals.validFor",
            "is not a duration",
        ),
        (
            json!({"approvals": {"validFor": "0s"}}),
            "spec.approvals.validFor",
            "at least 1s",
        ),
        (
            json!({"approvals": {"validFor": "745h"}}),
            "spec.approvals.validFor",
            "at most 744h",
        ),
        (
            json!({"overrides": {"gates": []}}),
            "spec.overrides.gates",
            "is empty",
        ),
        (
            json!({"overrides": {"gates": ["Limits", "Limits"]}}),
            "spec.overrides.gates[1]",
            "Limits is there already",
        ),
        (
            json!({"overrides": {"gates": ["Limits"], "maxDuration": "x"}}),
            "spec.overrides.maxDuration",
            "is not a duration",
        ),
        (
            json!({"after": [{"application": {"name": "a"}, "soak": "2d"}]}),
            "spec.after[0].soak",
            "is not a duration",
        ),
        (
            json!({"limits": {"maxDeletes": -1}}),
            "spec.limits.maxDeletes",
            "negative",
        ),
        (
            json!({"limits": {"maxDeletePercent": 101}}),
            "spec.limits.maxDeletePercent",
            "at most 100",
        ),
        (
            json!({"limits": {"protectedKinds": ["Pod", "pods"]}}),
            "spec.limits.protectedKinds[1]",
            "`pods` is not the name of a kind",
        ),
        (
            json!({"signatures": {"signers": [{"identity": "a", "kinds": ["v1/Pod"]}]}}),
            "spec.signatures.signers[0].kinds[0]",
            "is not the name of a kind",
        ),
        (
            json!({"verification": {"stableFor": "soon"}}),
            "spec.verification.stableFor",
            "is not a duration",
        ),
        (
            json!({"verification": {"stableFor": "11m", "timeout": "10m"}}),
            "spec.verification.stableFor",
            "longer than spec.verification.timeout",
        ),
        (
            json!({"verification": {"metrics": [{"prometheus": {"address": "http://p", "query": "up"}}]}}),
            "spec.verification.metrics[0]",
            "needs min or max",
        ),
        (
            json!({"verification": {"metrics": [{"prometheus": {"address": "http://p", "query": "up"}, "max": "1e3"}]}}),
            "spec.verification.metrics[0].max",
            "no decimal number",
        ),
        (
            json!({"verification": {"metrics": [{"prometheus": {"address": "http://p", "query": "up"}, "max": "1", "min": "2"}]}}),
            "spec.verification.metrics[0].min",
            "larger than max",
        ),
        (
            json!({"verification": {"metrics": [{"prometheus": {"address": "prometheus:9090", "query": "up"}, "max": "1"}]}}),
            "spec.verification.metrics[0].prometheus.address",
            "must be http://host",
        ),
        (
            json!({"verification": {"http": [{"url": "https://user:pass@shop"}]}}),
            "spec.verification.http[0].url",
            "without credentials",
        ),
        (
            json!({"verification": {"http": [{"url": "https://shop", "expectStatus": 42}]}}),
            "spec.verification.http[0].expectStatus",
            "100 to 599",
        ),
        (
            json!({"driftCorrections": {"gates": ["Windows", "Windows"]}}),
            "spec.driftCorrections.gates[1]",
            "there already",
        ),
    ] {
        let found = problems(rules.clone());
        assert_eq!(found.len(), 1, "{rules}: {found:?}");
        assert!(
            found[0].starts_with(&format!("{field}: ")) && found[0].contains(cause),
            "{rules}: {found:?}"
        );
    }
}

#[test]
fn a_whole_policy_without_faults_has_none() {
    let rules = json!({
        "selector": {"matchLabels": {"tier": "production"}, "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]},
        "freeze": {"reason": "Black Friday", "until": "2026-11-30T00:00:00Z"},
        "approvals": {"required": 2, "groups": ["sre"], "validFor": "24h"},
        "overrides": {"gates": ["Windows", "Freeze"], "groups": ["release-managers"], "maxDuration": "4h"},
        "after": [{"application": {"namespace": "staging", "name": "shop"}, "soak": "2h"}],
        "limits": {"maxDeletes": 5, "maxDeletePercent": 20, "maxChanges": 500, "protectedKinds": ["Namespace", "StatefulSet.apps"]},
        "signatures": {"required": true, "signers": [{"identity": "alice@example.com", "paths": ["apps/**"], "kinds": ["Deployment.apps"]}]},
        "verification": {"stableFor": "1m", "timeout": "10m",
            "metrics": [{"prometheus": {"address": "http://prometheus.monitoring:9090", "query": "x"}, "min": "-0.5", "max": "0.01"}],
            "http": [{"url": "https://shop.example.com/health"}]},
        "driftCorrections": {"gates": ["Freeze"]},
        "rules": [{"name": "no-latest", "expression": "plan.changes.all(c, c.images.all(i, !i.endsWith(':latest')))"}],
    });
    assert_eq!(problems(rules), Vec::<String>::new());
    assert_eq!(problems(json!({})), Vec::<String>::new());
}

#[test]
fn a_cluster_policy_is_looked_at_beyond_that() {
    let policy = cluster(
        "c",
        json!({
            "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]},
            "limits": {"maxDeletes": -1},
        }),
    );
    let fields: Vec<&str> = policy
        .problems
        .iter()
        .map(|p| p.field.as_deref().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.limits.maxDeletes",
            "spec.namespaceSelector.matchExpressions[0].operator"
        ]
    );
    let free = cluster(
        "c",
        json!({"selector": {"matchLabels": {"tier": "production"}}, "protectedLabels": ["env"]}),
    );
    assert!(
        free.problems[0]
            .to_string()
            .contains("spec.selector: narrows by label tier"),
        "{:?}",
        free.problems
    );
    let bound = json!({"selector": {"matchLabels": {"tier": "production"}}, "protectedLabels": ["tier"]});
    assert_eq!(cluster("c", bound).problems, []);
    // It is closed for whom it binds, and it binds whom it would bind.
    let said = World::default().closed(&[policy], plan(Vec::new()));
    assert!(
        said[0].contains(
            "ClusterReleasePolicy/c Policy InvalidPolicy: cannot be used, and lets nothing through"
        ),
        "{said:?}"
    );
}
