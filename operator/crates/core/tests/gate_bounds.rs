//! What stays bounded or closed where something is not known, or there is too much of it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use tidegate_api::policy::ClusterReleasePolicySpec;
use tidegate_api::release::{Gate, GateDecision};
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};
use tidegate_core::record::{MAX_LINES, gates};

#[test]
fn a_namespace_that_was_not_seen_yet_is_bound_by_every_cluster_policy() {
    let spec = ClusterReleasePolicySpec {
        namespace_selector: Some(LabelSelector {
            match_labels: Some([("env".to_owned(), "production".to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..ClusterReleasePolicySpec::default()
    };
    let policy = CompiledPolicy::cluster("production", &spec);
    let labelled = |labels: Option<BTreeMap<String, String>>| ApplicationFacts {
        namespace_labels: labels,
        ..ApplicationFacts::default()
    };
    assert!(policy.binds(&labelled(None)));
    assert!(policy.binds(&labelled(spec.namespace_selector.unwrap().match_labels)));
    assert!(!policy.binds(&labelled(Some(BTreeMap::new()))));
}

#[test]
fn of_too_many_gates_the_closed_ones_are_shown() {
    let line = |n: usize, decision| Gate {
        policy: format!("ReleasePolicy/p{n}"),
        gate: "Rules".to_owned(),
        decision,
        message: "x".repeat(5_000),
        ..Gate::default()
    };
    let mut all: Vec<Gate> = (0..100).map(|n| line(n, GateDecision::Open)).collect();
    all.push(line(100, GateDecision::Closed));
    let shown = gates(all);
    assert_eq!(shown.len(), MAX_LINES);
    assert_eq!(shown[0].policy, "ReleasePolicy/p100");
    assert!(shown.iter().all(|gate| gate.message.len() < 1_100));
    let schema = json!(tidegate_api::crds::all());
    let text = schema.to_string();
    assert!(
        text.contains(&format!("\"maxItems\":{MAX_LINES}")),
        "the schema says the same"
    );
}
