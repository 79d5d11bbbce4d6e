//! Properties of the gate over any policies and whatever people said: more leave never closes, more demands never open, order
//! is nothing, and the same question has the same answer to the byte.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

#[path = "gate/room.rs"]
#[expect(dead_code, reason = "shared with other tests of the gate")]
mod room;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use room::{CLOSED, Room, approval, cluster_policy, freeze, override_of, policy};
use serde_json::{Value, json};
use tidegate_core::gate::{ApprovalFacts, Asking, Decision, FreezeFacts, OverrideFacts};
use tidegate_core::people::CommitFacts;
use tidegate_core::policy::CompiledPolicy;

const PEOPLE: [&str; 5] = [
    "alice",
    "alice-admin",
    "bob",
    "carol",
    "system:serviceaccount:shop:deployer",
];
const GROUPS: [&str; 3] = ["sre", "dba", "dev"];
const GATES: [&str; 8] = [
    "Windows",
    "Freeze",
    "Approvals",
    "After",
    "Limits",
    "Signatures",
    "Rules",
    "Quarantine",
];
/// Around the time at which it is asked.
const TIMES: [&str; 5] = [
    "2026-11-25T06:00:00Z",
    "2026-11-25T11:00:00Z",
    "2026-11-25T12:00:00Z",
    "2026-11-25T12:30:00Z",
    "2026-11-26T12:00:00Z",
];

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(of.to_vec(), 0..=of.len())
}

fn any_time() -> impl Strategy<Value = &'static str> {
    select(TIMES.to_vec())
}

/// Absent parts demand nothing.
fn optional(part: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), part]
}

fn any_rules() -> impl Strategy<Value = Value> {
    let approvals = (
        1..4,
        some(&GROUPS),
        some(&PEOPLE),
        any::<bool>(),
        any::<bool>(),
        select(vec![None, Some("1h"), Some("12h")]),
    );
    let approvals = approvals.prop_map(|(required, groups, users, exclude, allow, valid_for)| {
        json!({
            "required": required, "groups": groups, "users": users, "excludeAuthor": exclude,
            "unmappedAuthors": if allow { "Allow" } else { "Hold" }, "validFor": valid_for,
        })
    });
    let freeze = prop::option::of(any_time()).prop_map(|until| json!({ "reason": "r", "until": until }));
    let overrides = (
        subsequence(GATES.to_vec(), 1..=8),
        some(&GROUPS),
        some(&PEOPLE),
        select(vec![None, Some("2h"), Some("48h")]),
    );
    let overrides = overrides.prop_map(|(gates, groups, users, longest)| {
        json!({ "gates": gates, "groups": groups, "users": users, "maxDuration": longest })
    });
    let window = (
        select(vec!["Allow", "Deny"]),
        select(vec!["0 9 * * *", "0 11 * * *", "30 12 * * 1-5"]),
        select(vec!["1h", "4h"]),
    );
    let window = window.prop_map(
        |(kind, schedule, duration)| json!({ "kind": kind, "schedule": schedule, "duration": duration }),
    );
    let windows = prop::collection::vec(window, 0..3);
    let parts = (
        optional(approvals),
        optional(freeze),
        optional(overrides),
        windows,
    );
    parts.prop_map(|(approvals, freeze, overrides, windows)| {
        let mut rules = json!({
            "approvals": approvals, "freeze": freeze, "overrides": overrides, "windows": windows,
            "identities": [
                { "user": "alice", "emails": ["alice@example.com"] },
                { "user": "alice-admin", "emails": ["alice@example.com"] },
                { "user": "bob", "emails": ["bob@example.com"] },
            ],
        });
        rules.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        rules
    })
}

fn any_policies() -> impl Strategy<Value = Vec<Arc<CompiledPolicy>>> {
    prop::collection::vec((any::<bool>(), any_rules()), 0..4).prop_map(|all| {
        let make = |(index, (cluster, rules)): (usize, (bool, Value))| {
            let name = format!("p{index}");
            if cluster {
                cluster_policy(&name, rules)
            } else {
                policy(&name, rules)
            }
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

fn any_approval() -> impl Strategy<Value = ApprovalFacts> {
    let parts = (select(PEOPLE.to_vec()), some(&GROUPS), any_time(), 0..6_u8);
    parts.prop_map(|(who, groups, created, void)| {
        let mut made = approval("", who, &groups, created);
        if void == 0 {
            made.spec.plan_digest = "another".to_owned();
        }
        made
    })
}

fn any_override() -> impl Strategy<Value = OverrideFacts> {
    let parts = (
        select(PEOPLE.to_vec()),
        subsequence(GATES.to_vec(), 1..=8),
        some(&GROUPS),
        any_time(),
        any_time(),
    );
    parts.prop_map(|(who, gates, groups, created, until)| {
        let mut made = override_of("", who, &gates, created, until);
        made.spec.groups = groups.into_iter().map(str::to_owned).collect();
        made
    })
}

fn any_freeze() -> impl Strategy<Value = FreezeFacts> {
    (any::<bool>(), prop::option::of(any_time()))
        .prop_map(|(everywhere, until)| freeze("", everywhere, until))
}

fn any_commit() -> impl Strategy<Value = CommitFacts> {
    select(vec!["alice@example.com", "bob@example.com", "eve@example.com"]).prop_map(|address| CommitFacts {
        commit: "1111111111".to_owned(),
        author_email: address.to_owned(),
        committer_email: address.to_owned(),
        ..CommitFacts::default()
    })
}

fn any_room() -> impl Strategy<Value = Room> {
    let people = (
        prop::collection::vec(any_approval(), 0..5),
        prop::collection::vec(any_override(), 0..4),
        prop::collection::vec(any_freeze(), 0..3),
        prop::collection::vec(any_commit(), 0..3),
    );
    let guard = (prop::bool::weighted(0.1), prop::option::weighted(0.3, any_time()));
    let asking =
        prop_oneof![4 => Just(Asking::Release), 1 => Just(Asking::Rollback), 1 => Just(Asking::Begun)];
    (any_policies(), people, guard, any_time(), asking).prop_map(|(policies, people, guard, now, asking)| {
        let (mut approvals, mut overrides, mut freezes, commits) = people;
        // Names are unique, as they are in a namespace.
        approvals
            .iter_mut()
            .enumerate()
            .for_each(|(n, a)| a.name = format!("a{n}"));
        overrides
            .iter_mut()
            .enumerate()
            .for_each(|(n, o)| o.name = format!("o{n}"));
        freezes
            .iter_mut()
            .enumerate()
            .for_each(|(n, f)| f.name = format!("f{n}"));
        let mut room = Room::new().at(now);
        room.revision.commits = commits;
        Room {
            asking,
            policies,
            approvals,
            overrides,
            freezes,
            unguarded: guard.0.then_some("no admission policies"),
            since: guard.1.map(room::time),
            ..room
        }
    })
}

/// The whole answer as text.
fn answer(room: &Room) -> String {
    let verdict = room.ask();
    let gates = serde_json::to_string(&verdict.gates).unwrap();
    let shown = serde_json::to_string(&room.shown()).unwrap();
    let decision = match verdict.decision {
        Decision::Go(_) => "go".to_owned(),
        Decision::Wait(wait) => format!("{wait:?}"),
    };
    format!("{gates}\n{shown}\n{decision}")
}

/// Gates that are closed, by policy and gate.
fn closed(room: &Room) -> BTreeSet<(String, String)> {
    let gates = room.ask().gates.into_iter().filter(|g| g.decision == CLOSED);
    gates.map(|g| (g.policy, g.gate)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_approval_never_closes_a_gate(room in any_room(), more in any_approval()) {
        let mut richer = room.clone();
        richer.approvals.push(ApprovalFacts { name: "more".to_owned(), ..more });
        let (before, after) = (closed(&room), closed(&richer));
        prop_assert!(after.is_subset(&before), "{:?} closed by an approval", after.difference(&before).collect::<Vec<_>>());
        prop_assert!(!room.goes() || richer.goes());
    }

    #[test]
    fn another_override_never_closes_a_gate(room in any_room(), more in any_override()) {
        let mut richer = room.clone();
        richer.overrides.push(OverrideFacts { name: "more".to_owned(), ..more });
        let (before, after) = (closed(&room), closed(&richer));
        prop_assert!(after.is_subset(&before));
    }

    #[test]
    fn another_deny_never_opens_a_gate(room in any_room(), which in any::<prop::sample::Index>(), schedule in select(vec!["0 9 * * *", "0 0 1 1 *"])) {
        prop_assume!(!room.policies.is_empty());
        let mut stricter = room.clone();
        let index = which.index(room.policies.len());
        let old = &room.policies[index];
        let mut rules = serde_json::to_value(&old.policy).unwrap();
        let windows = rules.as_object_mut().unwrap().entry("windows").or_insert(json!([]));
        windows.as_array_mut().unwrap().push(json!({ "kind": "Deny", "schedule": schedule, "duration": "6h" }));
        let text = old.name.to_string();
        let (kind, name) = text.split_once('/').unwrap();
        stricter.policies[index] = if kind == "ReleasePolicy" { policy(name, rules) } else { cluster_policy(name, rules) };
        prop_assert!(closed(&room).is_subset(&closed(&stricter)));
        prop_assert!(room.goes() || !stricter.goes());
    }

    #[test]
    fn another_freeze_never_opens_a_gate(room in any_room(), more in any_freeze()) {
        let mut stricter = room.clone();
        stricter.freezes.push(FreezeFacts { name: "more".to_owned(), ..more });
        prop_assert!(closed(&room).is_subset(&closed(&stricter)));
        prop_assert!(room.goes() || !stricter.goes());
    }

    /// One that lets nobody override: with overrides of its own it may open what no policy is behind.
    #[test]
    fn another_policy_never_opens_a_gate(room in any_room(), rules in any_rules(), cluster in any::<bool>()) {
        let mut rules = rules;
        rules.as_object_mut().unwrap().remove("overrides");
        let mut stricter = room.clone();
        stricter.policies.push(if cluster { cluster_policy("more", rules) } else { policy("more", rules) });
        prop_assert!(closed(&room).is_subset(&closed(&stricter)));
        prop_assert!(room.goes() || !stricter.goes());
    }

    #[test]
    fn order_is_nothing(room in any_room(), seed in any::<u64>()) {
        let mut mixed = room.clone();
        let turn = |length: usize| if length == 0 { 0 } else { usize::try_from(seed % 1000).unwrap() % length };
        mixed.policies.rotate_left(turn(room.policies.len()));
        mixed.approvals.rotate_left(turn(room.approvals.len()));
        mixed.overrides.rotate_left(turn(room.overrides.len()));
        mixed.freezes.rotate_left(turn(room.freezes.len()));
        prop_assert_eq!(answer(&mixed), answer(&room));
        mixed.policies.reverse();
        mixed.approvals.reverse();
        mixed.overrides.reverse();
        mixed.freezes.reverse();
        prop_assert_eq!(answer(&mixed), answer(&room));
    }

    #[test]
    fn the_same_question_has_the_same_answer_to_the_byte(room in any_room()) {
        prop_assert_eq!(answer(&room), answer(&room));
    }

    /// What nobody may override stays closed whoever tries.
    #[test]
    fn without_leave_nothing_is_overridden(room in any_room()) {
        let mut bare = room;
        bare.policies = bare.policies.iter().map(|p| {
            let mut rules = serde_json::to_value(&p.policy).unwrap();
            rules.as_object_mut().unwrap().remove("overrides");
            policy(p.name.to_string().split_once('/').unwrap().1, rules)
        }).collect();
        let gates = bare.ask().gates;
        prop_assert!(gates.iter().all(|g| g.decision != room::OVERRIDDEN));
        bare.unguarded = Some("no admission policies");
        prop_assert!(bare.ask().gates.iter().all(|g| g.gate != "Approvals" || g.decision == CLOSED));
    }
}
