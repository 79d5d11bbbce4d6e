//! `limits`: how much one release may change.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::gate::{Asking, Decision, uncounted};
use tidegate_core::inventory::{Entry, InventorySet};
use tidegate_core::plan::{Forgotten, Live, Step};
use tidegate_core::policy::CompiledPolicy;

use crate::plans::{World, id, live as live_record, namespaced, of_hook, plan, steps};

fn limited(limits: Value) -> [Arc<CompiledPolicy>; 1] {
    [namespaced("small", json!({ "limits": limits }))]
}

fn closed(limits: Value, steps: Vec<Step>) -> Vec<String> {
    World::default().closed(&limited(limits), plan(steps))
}

#[test]
fn each_limit_alone_lets_through_what_is_on_it_and_holds_one_more() {
    for (limits, verb, most) in [
        (json!({"maxDeletes": 5}), "delete", 5),
        (json!({"maxDeletes": 0}), "delete", 0),
        (json!({"maxDeletes": 5}), "recreate", 5),
        (json!({"maxDeletePercent": 20}), "delete", 4),
        (json!({"maxDeletePercent": 20}), "recreate", 4),
        (json!({"maxDeletePercent": 0}), "delete", 0),
        (json!({"maxRecreates": 2}), "recreate", 2),
        (json!({"maxChanges": 3}), "create", 3),
        (json!({"maxChanges": 3}), "update", 3),
        (json!({"maxChanges": 3}), "recreate", 3),
        (json!({"maxChanges": 3}), "delete", 3),
    ] {
        let on = closed(limits.clone(), steps(verb, "ConfigMap", most));
        assert_eq!(on, Vec::<String>::new(), "{limits} {verb} {most}");
        let over = closed(limits.clone(), steps(verb, "ConfigMap", most + 1));
        assert_eq!(over.len(), 1, "{limits} {verb} {over:?}");
    }
    for (limits, verb) in [
        (json!({"maxDeletes": 0}), "create"),
        (
            json!({"maxDeletes": 0, "maxDeletePercent": 0, "maxRecreates": 0}),
            "update",
        ),
        (json!({"maxRecreates": 0}), "delete"),
        (json!({"protectedKinds": ["Secret"]}), "delete"),
        (json!({}), "delete"),
    ] {
        let plenty = closed(limits.clone(), steps(verb, "ConfigMap", 20));
        assert_eq!(plenty, Vec::<String>::new(), "{limits} {verb}");
    }
}

#[test]
fn what_is_held_says_how_many_of_what_and_what_to_do() {
    let half = [
        steps("delete", "ConfigMap", 8),
        steps("delete", "Service", 3),
        steps("delete", "PersistentVolumeClaim", 1),
    ]
    .concat();
    assert_eq!(
        closed(json!({"maxDeletePercent": 20}), half.clone()),
        [
            "ReleasePolicy/small Limits TooManyDeletes: would delete 12 of 20 objects (60 %, at most 20 %): 8 ConfigMaps, \
          3 Services, 1 PersistentVolumeClaim; nobody may override it: make smaller commits, or raise spec.limits of \
          ReleasePolicy/small"
        ]
    );
    let overridable = json!({
        "limits": {"maxDeletes": 5, "maxDeletePercent": 20},
        "overrides": {"gates": ["Limits"], "groups": ["sre"], "users": ["alice"]},
    });
    let policies = [namespaced("small", overridable)];
    assert_eq!(
        World::default().closed(&policies, plan(half)),
        [
            "ReleasePolicy/small Limits TooManyDeletes: would delete 12 objects, at most 5: 8 ConfigMaps, 3 Services, \
             1 PersistentVolumeClaim; an Override of gate Limits by alice or group sre lets it through, or smaller commits",
            "ReleasePolicy/small Limits TooManyDeletes: would delete 12 of 20 objects (60 %, at most 20 %): 8 ConfigMaps, \
             3 Services, 1 PersistentVolumeClaim; an Override of gate Limits by alice or group sre lets it through, or \
             smaller commits",
        ]
    );
    let both = [
        steps("recreate", "Job.batch", 2),
        steps("delete", "Ingress.networking.k8s.io", 2),
        steps("delete", "NetworkPolicy.networking.k8s.io", 2),
        steps("create", "ConfigMap", 1),
    ]
    .concat();
    let said = closed(json!({"maxDeletes": 1, "maxRecreates": 1, "maxChanges": 1}), both);
    assert!(
        said[0].contains(
            "would change 7 objects, at most 1: 1 to create, 0 to update, 2 to recreate, 4 to delete"
        ),
        "{said:?}"
    );
    assert!(
        said[1].contains(
            "would delete 4 and recreate 2 objects, at most 1: 2 Ingresses, 2 Jobs, 2 NetworkPolicies"
        ),
        "{said:?}"
    );
    assert!(
        said[2].contains("would recreate 2 objects, at most 1: 2 Jobs"),
        "{said:?}"
    );
}

#[test]
fn protected_kinds_are_held_whatever_their_number() {
    let protected = json!({"protectedKinds": ["Namespace", "StatefulSet.apps"], "maxDeletes": 100});
    for (kind, verb, held) in [
        ("Namespace", "delete", true),
        ("StatefulSet.apps", "delete", true),
        ("StatefulSet.apps", "recreate", true),
        ("StatefulSet.apps", "update", false),
        ("StatefulSet.example.com", "delete", false),
        ("ConfigMap", "delete", false),
    ] {
        let said = closed(protected.clone(), steps(verb, kind, 1));
        assert_eq!(!said.is_empty(), held, "{kind} {verb} {said:?}");
        if held {
            assert!(said[0].contains("ProtectedKind: would "), "{said:?}");
            assert!(
                said[0].contains(&format!("{verb}-0, of protected kinds")),
                "{said:?}"
            );
        }
    }
    let many = closed(
        json!({"protectedKinds": ["ConfigMap"]}),
        steps("delete", "ConfigMap", 8),
    );
    assert!(
        many[0].contains("would delete ConfigMap shop/delete-0, ConfigMap shop/delete-1"),
        "{many:?}"
    );
    assert!(
        many[0].contains("ConfigMap shop/delete-4, 3 more, of protected kinds"),
        "{many:?}"
    );
}

#[test]
fn runs_of_hooks_and_what_is_only_forgotten_do_not_count() {
    let strict = json!({"maxDeletes": 0, "maxChanges": 0, "maxDeletePercent": 0, "maxRecreates": 0, "protectedKinds": ["Job"]});
    let runs: Vec<Step> = ["create", "recreate", "delete"]
        .iter()
        .flat_map(|verb| steps(verb, "Job.batch", 2))
        .map(of_hook)
        .collect();
    assert_eq!(closed(strict.clone(), runs), Vec::<String>::new());
    let mut forgets = plan(Vec::new());
    forgets.forgotten = vec![Forgotten {
        id: id("PersistentVolumeClaim", "data"),
        kept_because: Some("its kind is never pruned"),
    }];
    assert_eq!(
        World::default().closed(&limited(strict), forgets),
        Vec::<String>::new()
    );
}

#[test]
fn a_share_is_reckoned_without_overflow_and_of_nothing_too() {
    let percent = |applied, deletes, most: i32| {
        let world = World {
            applied,
            ..World::default()
        };
        world.closed(
            &limited(json!({ "maxDeletePercent": most })),
            plan(steps("delete", "ConfigMap", deletes)),
        )
    };
    assert_eq!(percent(0, 0, 0), Vec::<String>::new());
    assert_eq!(percent(0, 2, 100), Vec::<String>::new());
    assert!(percent(0, 2, 99)[0].contains("would delete 2 of 2 objects (100 %, at most 99 %)"));
    assert_eq!(percent(usize::MAX, 5, 1), Vec::<String>::new());
    // Not a whole percent over the limit is over it, and does not look as if it were on it.
    assert!(percent(999, 200, 20)[0].contains("200 of 999 objects (21 %, at most 20 %)"));
    assert_eq!(percent(1000, 200, 20), Vec::<String>::new());
    assert_eq!(percent(3, 1, 34), Vec::<String>::new());
    assert_eq!(percent(3, 1, 33).len(), 1);
}

#[test]
fn of_several_policies_the_smallest_limit_holds() {
    let policies = |a: i32, b: i32| {
        [
            namespaced("a", json!({"limits": {"maxDeletes": a}})),
            namespaced("b", json!({"limits": {"maxDeletes": b}})),
        ]
    };
    let world = World::default();
    for n in 0..6 {
        for (a, b) in [(2, 4), (4, 2), (3, 3)] {
            let held = !world
                .closed(&policies(a, b), plan(steps("delete", "ConfigMap", n)))
                .is_empty();
            assert_eq!(held, n > usize::try_from(a.min(b)).unwrap(), "{n} of {a} and {b}");
        }
    }
}

#[test]
fn corrections_rollbacks_and_deletions_ask_limits_and_automatic_rollback_does_not() {
    let policies = limited(json!({"maxChanges": 3, "maxDeletes": 3}));
    for (asking, verb, held) in [
        (Asking::Release, "create", true),
        (Asking::Correction, "create", true),
        (Asking::Rollback, "create", true),
        (Asking::Teardown, "delete", true),
        (Asking::Begun, "create", false),
        (Asking::AutomaticRollback, "delete", false),
    ] {
        let world = World {
            asking,
            ..World::default()
        };
        let said = world.closed(&policies, plan(steps(verb, "ConfigMap", 4)));
        assert_eq!(!said.is_empty(), held, "{asking:?} {said:?}");
    }
}

#[test]
fn a_deletion_that_is_held_names_both_ways_out() {
    let world = World {
        asking: Asking::Teardown,
        ..World::default()
    };
    let rules = |overrides: Value| {
        let mut rules = json!({"limits": {"maxDeletes": 3}});
        if overrides.is_object() {
            rules["overrides"] = overrides;
        }
        [namespaced("small", rules)]
    };
    let four = || plan(steps("delete", "ConfigMap", 4));
    assert_eq!(
        world.closed(&rules(json!({"gates": ["Limits"], "groups": ["sre"]})), four()),
        [
            "ReleasePolicy/small Limits TooManyDeletes: would delete 4 objects, at most 3: 4 ConfigMaps; an Override of gate \
          Limits by group sre, made in the operator's namespace with spec.namespace shop, lets it go; or set \
          spec.deletionPolicy to Orphan to leave the objects running"
        ]
    );
    let moved = World {
        asking: Asking::Move,
        ..World::default()
    };
    let said = moved.closed(&rules(Value::Null), four()).concat();
    assert!(
        said.ends_with("4 ConfigMaps; set spec.prune to false to leave the objects in the former cluster"),
        "{said}"
    );
    assert_eq!(
        world.closed(&rules(json!({"gates": ["Windows"]})), four()),
        [
            "ReleasePolicy/small Limits TooManyDeletes: would delete 4 objects, at most 3: 4 ConfigMaps; set \
          spec.deletionPolicy to Orphan to leave the objects running"
        ]
    );
}

#[test]
fn limits_that_cannot_be_read_are_closed_for_whatever_asks_them() {
    let broken = limited(json!({"protectedKinds": ["not a kind"]}));
    for asking in [Asking::Release, Asking::Correction, Asking::Teardown] {
        let world = World {
            asking,
            ..World::default()
        };
        let said = world.closed(&broken, plan(steps("delete", "ConfigMap", 1)));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("spec.limits.protectedKinds[0]: `not a kind`"),
            "{said:?}"
        );
    }
}

#[test]
fn what_is_gone_already_or_goes_with_its_namespace_does_not_count() {
    let mut inventory = InventorySet::default();
    let mut live = Live::new();
    for step in steps("delete", "ConfigMap", 6) {
        inventory.entries.insert(step.id.clone(), Entry::default());
        live.insert(step.id, live_record());
    }
    let none = BTreeSet::new();
    assert!(uncounted(&inventory, Some(&live), &none).is_empty());
    live.remove(&id("ConfigMap", "delete-0"));
    assert_eq!(
        uncounted(&inventory, Some(&live), &none),
        [id("ConfigMap", "delete-0")].into()
    );
    assert!(
        uncounted(&inventory, None, &none).is_empty(),
        "it is not known what is there"
    );
    let terminating = BTreeSet::from(["shop".to_owned()]);
    let world = World {
        asking: Asking::Teardown,
        uncounted: uncounted(&inventory, Some(&live), &terminating),
        ..World::default()
    };
    let policies = limited(json!({"maxDeletes": 0, "protectedKinds": ["ConfigMap"]}));
    assert_eq!(
        world.closed(&policies, plan(steps("delete", "ConfigMap", 6))),
        Vec::<String>::new()
    );
    // What is in no namespace does not go with one.
    let scoped = world.closed(
        &policies,
        plan(steps("delete", "ClusterRole.rbac.authorization.k8s.io", 1)),
    );
    assert_eq!(scoped.len(), 1, "{scoped:?}");
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let one = (
        prop::sample::select(vec!["create", "update", "recreate", "delete"]),
        prop::sample::select(vec!["ConfigMap", "Namespace", "Job.batch"]),
        0..2_usize,
    );
    let all = prop::collection::vec(one, 0..12);
    all.prop_map(|all| {
        all.into_iter()
            .flat_map(|(verb, kind, n)| steps(verb, kind, n))
            .collect()
    })
}

fn any_limits() -> impl Strategy<Value = Value> {
    let limit = || prop::option::of(0..8_i32);
    (
        limit(),
        limit(),
        limit(),
        prop::option::of(0..=100_i32),
        any::<bool>(),
    )
        .prop_map(|(deletes, changes, recreates, percent, protects)| {
            let mut limits = json!({});
            let set = [
                ("maxDeletes", deletes),
                ("maxChanges", changes),
                ("maxRecreates", recreates),
                ("maxDeletePercent", percent),
            ];
            for (name, limit) in set {
                if let Some(limit) = limit {
                    limits[name] = limit.into();
                }
            }
            if protects {
                limits["protectedKinds"] = json!(["Namespace"]);
            }
            limits
        })
}

proptest! {
    #[test]
    fn one_step_more_never_opens(limits in any_limits(), all in any_steps(), more in any_steps(), applied in 0..40_usize) {
        let world = World { applied, ..World::default() };
        let policies = limited(limits);
        let few = world.closed(&policies, plan(all.clone()));
        let many = world.closed(&policies, plan([all, more].concat()));
        prop_assert!(few.is_empty() || !many.is_empty());
    }

    #[test]
    fn the_order_of_policies_and_steps_means_nothing(a in any_limits(), b in any_limits(), all in any_steps()) {
        let world = World::default();
        let (a, b) = (namespaced("a", json!({ "limits": a })), namespaced("b", json!({ "limits": b })));
        let mut turned = all.clone();
        turned.reverse();
        let one = world.ask(&[a.clone(), b.clone()], plan(all));
        let other = world.ask(&[b, a], plan(turned));
        let kinds_of = |gates: &[tidegate_api::release::Gate]| -> Vec<(String, String, bool)> {
            gates.iter().map(|g| (g.policy.clone(), g.reason.clone(), g.decision == tidegate_api::release::GateDecision::Open)).collect()
        };
        prop_assert_eq!(kinds_of(&one.gates), kinds_of(&other.gates));
        prop_assert_eq!(matches!(one.decision, Decision::Go(_)), matches!(other.decision, Decision::Go(_)));
    }
}

#[test]
fn in_pairs_each_says_its_own_and_neither_hides_the_other() {
    let parts = [
        (json!({"limits": {"maxDeletes": 1}}), "TooManyDeletes"),
        (json!({"limits": {"maxDeletePercent": 5}}), "TooManyDeletes"),
        (json!({"limits": {"maxChanges": 4}}), "TooManyChanges"),
        (json!({"limits": {"maxRecreates": 1}}), "TooManyRecreates"),
        (
            json!({"limits": {"protectedKinds": ["Namespace"]}}),
            "ProtectedKind",
        ),
        (
            json!({"rules": [{"name": "r", "expression": "plan.delete == 0"}]}),
            "RuleNotMet",
        ),
        (
            json!({"rules": [{"name": "r", "expression": "plan.changes[99].name == ''"}]}),
            "RuleNotAnswered",
        ),
        (
            json!({"rules": [{"name": "r", "expression": "nonsense"}]}),
            "InvalidExpression",
        ),
        (json!({"overrides": {"gates": []}}), "InvalidPolicy"),
        (json!({"limits": {"maxDeletes": 100}}), ""),
        (
            json!({"rules": [{"name": "r", "expression": "plan.create == 0"}]}),
            "",
        ),
        (json!({}), ""),
    ];
    let all = || plan([steps("delete", "Namespace", 3), steps("recreate", "Job.batch", 2)].concat());
    let world = World::default();
    let reasons = |policies: &[Arc<CompiledPolicy>]| -> Vec<String> {
        let verdict = world.ask(policies, all());
        let closed = verdict.gates.iter().filter(|gate| !gate.reason.is_empty());
        closed
            .map(|gate| format!("{} {}", gate.policy, gate.reason))
            .collect()
    };
    for (a, first) in &parts {
        for (b, second) in &parts {
            let pair = [namespaced("a", a.clone()), namespaced("b", b.clone())];
            let found = reasons(&pair);
            for (name, reason) in [("a", first), ("b", second)] {
                let line = format!("ReleasePolicy/{name} {reason}");
                let said = found.contains(&line);
                assert_eq!(said, !reason.is_empty(), "{a} and {b}: {found:?}");
            }
            let expected = [first, second].iter().filter(|r| !r.is_empty()).count();
            assert_eq!(found.len(), expected, "{a} and {b}: {found:?}");
        }
    }
}
