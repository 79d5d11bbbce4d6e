//! `approvals`: each rule alone and in pairs, and what is said to whoever waits.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "rules are written where they are asked with"
)]

#[path = "gate/room.rs"]
#[expect(dead_code, reason = "shared with other tests of the gate")]
mod room;

use room::{CLOSED, OPEN, Room, approval};
use serde_json::{Value, json};
use tidegate_core::gate::Asking;
use tidegate_core::people::{SignatureFacts, SignatureState};

const EARLY: &str = "2026-11-25T10:00:00Z";
const LATER: &str = "2026-11-25T11:00:00Z";

fn asked(approvals: Value) -> Room {
    let identities = json!([
        { "user": "alice", "emails": ["alice@example.com"] },
        { "user": "alice-admin", "emails": ["alice@example.com"] },
        { "user": "bob", "emails": ["bob@example.com"], "keys": ["SHA256:bob"] },
    ]);
    Room::new().policy(
        "eyes",
        json!({ "approvals": approvals, "identities": identities }),
    )
}

fn why(room: &Room) -> String {
    let shown = room.shown();
    shown.into_iter().next().unwrap().why.unwrap_or_default()
}

#[test]
fn nobody_is_asked_where_no_policy_asks() {
    let room = Room::new()
        .policy("none", json!({}))
        .approved("a", "alice", &[], EARLY);
    assert!(room.goes());
    assert_eq!(room.ask().gates, []);
    assert_eq!(why(&room), "no policy asks for approvals");
}

#[test]
fn a_stranger_is_told_what_to_do_next() {
    let room = asked(json!({ "required": 2, "groups": ["sre"] }));
    let line = room.line();
    assert_eq!(
        (line.decision, line.reason.as_str()),
        (CLOSED, "ApprovalRequired")
    );
    assert_eq!(
        line.message,
        "0 of 2 approvals; needs 2 more by a member of group sre. Approve with `tidegate approve shop-000007 -n shop`, or make \
         an Approval with application shop, release shop-000007 and planDigest 0123456789abcdef0123456789abcdef"
    );
    let room = room
        .approved("a", "alice", &["sre"], EARLY)
        .approved("b", "bob", &["dba"], EARLY);
    assert_eq!(
        room.line().message,
        "1 of 2 approvals, by alice; needs 1 more by a member of group sre. What does not count: bob's: only a member of group \
         sre counts; it names dba. Approve with `tidegate approve shop-000007 -n shop`, or make an Approval with application \
         shop, release shop-000007 and planDigest 0123456789abcdef0123456789abcdef"
    );
    let room = room.approved("c", "carol", &["sre"], LATER);
    let line = room.line();
    assert_eq!(
        (line.decision, line.message.as_str()),
        (OPEN, "2 of 2 approvals, by alice, carol")
    );
    assert!(room.goes());
}

#[test]
fn one_person_counts_once_whatever_they_call_themselves() {
    for second in ["alice", "alice-admin"] {
        let room = asked(json!({ "required": 2 }))
            .approved("a", "alice", &[], EARLY)
            .approved("b", second, &[], LATER);
        assert_eq!(room.line().decision, CLOSED, "{second}");
        let shown = room.shown();
        assert!(shown[0].counts);
        assert_eq!(
            shown[1].why.as_deref(),
            Some("each person counts once, and alice counts by Approval a"),
        );
        assert!(room.approved("c", "bob", &[], LATER).goes());
    }
}

#[test]
fn who_may_is_who_is_named_or_in_a_group_that_the_approval_names() {
    let both = json!({ "groups": ["sre", "dba"], "users": ["carol"] });
    let rows: [(Value, &str, &[&str], &str); 9] = [
        (json!({}), "anybody", &[], ""),
        (both.clone(), "alice", &["sre"], ""),
        (both.clone(), "alice", &["dba", "other"], ""),
        (both.clone(), "carol", &[], ""),
        (
            both.clone(),
            "alice",
            &[],
            "only a member of one of the groups sre, dba or user carol counts; it names no group in spec.groups, and a group \
             counts only there",
        ),
        (
            both,
            "alice",
            &["other"],
            "only a member of one of the groups sre, dba or user carol counts; it names other",
        ),
        (
            json!({ "users": ["carol", "dora"] }),
            "alice",
            &["sre"],
            "only one of the users carol, dora counts",
        ),
        (
            json!({}),
            "system:serviceaccount:shop:deployer",
            &[],
            "system:serviceaccount:shop:deployer is no person, and counts only where spec.approvals.users has that full name",
        ),
        (
            json!({ "users": ["system:serviceaccount:shop:deployer"] }),
            "system:serviceaccount:shop:deployer",
            &[],
            "",
        ),
    ];
    for (rules, approver, groups, expected) in rows {
        let room = asked(rules.clone()).approved("a", approver, groups, EARLY);
        assert_eq!(why(&room), expected, "{rules} {approver} {groups:?}");
        assert_eq!(room.goes(), expected.is_empty(), "{rules} {approver} {groups:?}");
    }
}

/// Else membership of a ServiceAccount in a group would let git approve itself.
#[test]
fn a_service_account_does_not_count_by_a_group() {
    let room = asked(json!({ "groups": ["system:serviceaccounts"] })).approved(
        "a",
        "system:serviceaccount:shop:deployer",
        &["system:serviceaccounts"],
        EARLY,
    );
    assert_eq!(room.line().decision, CLOSED);
}

#[test]
fn another_plan_voids_and_says_so() {
    let mut room = asked(json!({})).approved("a", "bob", &[], EARLY);
    assert!(room.goes());
    room.approvals[0].spec.plan_digest = "ffffffffffffffffffffffffffffffff".to_owned();
    assert_eq!(
        why(&room),
        "the plan has changed since: ffffffffffff was approved, and it is 0123456789ab now; look at it and approve again"
    );
    assert!(
        room.line()
            .message
            .contains("What does not count: bob's: the plan has changed since")
    );
    assert!(!room.goes());
}

#[test]
fn it_counts_for_its_own_release_and_application_only() {
    let good = asked(json!({})).approved("a", "bob", &[], EARLY);
    let mut other = good.clone();
    other.approvals[0].spec.release = "shop-000006".to_owned();
    let mut foreign = good.clone();
    foreign.approvals[0].spec.application = "web".to_owned();
    let unmade = Room {
        release: None,
        ..good
    };
    for room in [other, foreign, unmade] {
        assert!(!room.goes());
        assert!(why(&room).ends_with("which this is not"), "{}", why(&room));
    }
}

#[test]
fn approvals_expire_and_the_gate_knows_when() {
    let rules = json!({ "required": 2, "validFor": "2h" });
    let room = asked(rules)
        .approved("a", "alice", &[], "2026-11-25T10:30:00Z")
        .approved("b", "bob", &[], "2026-11-25T11:00:00Z")
        .approved("c", "carol", &[], "2026-11-25T11:30:00Z");
    // alice's ends first, and two are left then.
    assert_eq!(room.line().until.as_deref(), Some("2026-11-25T13:00:00Z"));
    let two = room.clone().at("2026-11-25T12:45:00Z");
    assert!(two.goes());
    assert_eq!(
        two.shown()[0].why.as_deref(),
        Some("it counted for 2h, until 2026-11-25T12:30:00Z; approve again")
    );
    let one = room.at("2026-11-25T13:00:00Z");
    assert_eq!(
        one.line().message.split(';').next(),
        Some("1 of 2 approvals, by carol")
    );
}

/// Approving once more while the first still counts is how one keeps it alive.
#[test]
fn of_two_by_one_person_the_one_that_lasts_counts() {
    let room = asked(json!({ "validFor": "2h" }))
        .approved("a", "bob", &[], "2026-11-25T10:30:00Z")
        .approved("b", "bob", &[], "2026-11-25T11:30:00Z");
    assert_eq!(room.line().until.as_deref(), Some("2026-11-25T13:30:00Z"));
    assert_eq!(
        room.shown().iter().map(|s| s.counts).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn nobody_with_a_hand_in_any_commit_approves() {
    let room = asked(json!({}))
        .commit("1111111111", "bob@example.com")
        .commit("2222222222", "alice@example.com");
    for (approver, commit) in [
        ("alice", "22222222"),
        ("alice-admin", "22222222"),
        ("bob", "11111111"),
    ] {
        let room = room.clone().approved("a", approver, &[], EARLY);
        assert!(!room.goes(), "{approver}");
        assert_eq!(
            why(&room),
            format!("{approver} made, committed or signed commit {commit}, and nobody approves their own")
        );
    }
    assert!(room.approved("a", "carol", &[], EARLY).goes());

    let mut signed = asked(json!({})).commit("1111111111", "alice@example.com");
    signed.revision.commits[0].signature = SignatureFacts {
        state: SignatureState::Good,
        key_id: Some("SHA256:bob".to_owned()),
        ..SignatureFacts::default()
    };
    assert!(!signed.clone().approved("a", "bob", &[], EARLY).goes());
    assert!(signed.approved("a", "carol", &[], EARLY).goes());

    let not_excluded = asked(json!({ "excludeAuthor": false })).commit("1111111111", "bob@example.com");
    assert!(not_excluded.approved("a", "bob", &[], EARLY).goes());
}

#[test]
fn an_author_who_is_nobody_holds_it_unless_allowed() {
    let stranger = |rules| {
        asked(rules)
            .commit("1111111111", "eve@example.com")
            .approved("a", "carol", &[], EARLY)
    };
    let room = stranger(json!({}));
    let line = room.line();
    assert_eq!((line.decision, line.reason.as_str()), (CLOSED, "AuthorUnmapped"));
    assert_eq!(
        line.message,
        "nobody knows who is eve@example.com (commit 11111111 \"a change\"), and so not who must not approve; name the user in \
         spec.identities of ReleasePolicy/eyes, or set spec.approvals.unmappedAuthors to Allow there; 1 of 1 approvals, by carol"
    );
    assert!(stranger(json!({ "unmappedAuthors": "Allow" })).goes());
    assert!(stranger(json!({ "excludeAuthor": false })).goes());
}

#[test]
fn commits_that_are_not_known_hold_it_where_authors_are_excluded() {
    let unknown = |rules| {
        let mut room = asked(rules).approved("a", "carol", &[], EARLY);
        room.revision.unknown = Some("the history was rewritten".to_owned());
        room
    };
    let line = unknown(json!({ "unmappedAuthors": "Allow" })).line();
    assert_eq!((line.decision, line.reason.as_str()), (CLOSED, "HistoryUnknown"));
    assert!(
        line.message.contains("the history was rewritten"),
        "{}",
        line.message
    );
    assert!(unknown(json!({ "excludeAuthor": false })).goes());
}

#[test]
fn without_the_admission_policies_none_counts_and_that_is_said() {
    let room = Room {
        unguarded: Some("install the chart with admissionPolicies.create=true"),
        ..asked(json!({})).approved("a", "bob", &[], EARLY)
    };
    let line = room.line();
    assert_eq!(
        (line.decision, line.reason.as_str()),
        (CLOSED, "ApprovalsUnguarded")
    );
    assert!(
        line.message
            .ends_with("install the chart with admissionPolicies.create=true")
    );
    assert!(why(&room).starts_with("it is not certain who made it"));
}

/// Forged ones got in for some tenths of a second before the policies were active.
#[test]
fn one_from_before_the_admission_policies_does_not_count() {
    let mut room = asked(json!({})).approved("a", "bob", &[], EARLY);
    room.since = Some(room::time(EARLY));
    assert!(room.goes());
    room.since = Some(room::time("2026-11-25T10:00:01Z"));
    assert!(!room.goes());
    assert!(why(&room).starts_with("it was made before the API server guaranteed who makes Approvals"));
}

#[test]
fn each_policy_counts_on_its_own() {
    let room = Room::new()
        .policy("sre", json!({ "approvals": { "groups": ["sre"] } }))
        .cluster_policy("security", json!({ "approvals": { "groups": ["security"] } }))
        .approved("a", "alice", &["sre"], EARLY);
    let decisions: Vec<_> = room
        .ask()
        .gates
        .iter()
        .map(|g| (g.policy.clone(), g.decision))
        .collect();
    assert_eq!(
        decisions,
        [
            ("ClusterReleasePolicy/security".to_owned(), CLOSED),
            ("ReleasePolicy/sre".to_owned(), OPEN)
        ]
    );
    assert_eq!(
        why(&room),
        "ClusterReleasePolicy/security: only a member of group security counts; it names sre"
    );
    assert!(!room.goes());
    let both = room.clone().approved("b", "bob", &["security"], EARLY);
    assert!(both.goes());
    let one_in_both = Room {
        approvals: vec![approval("a", "alice", &["sre", "security"], EARLY)],
        ..room
    };
    assert!(one_in_both.goes() && one_in_both.shown()[0].counts);
}

#[test]
fn a_rollback_that_a_person_asks_for_is_approved_only_where_a_policy_says_so() {
    for (require, goes) in [(false, true), (true, false)] {
        let room = Room {
            asking: Asking::Rollback,
            ..Room::new().policy(
                "p",
                json!({ "approvals": {}, "rollback": { "requireApproval": require } }),
            )
        };
        assert_eq!(room.goes(), goes);
    }
}

#[test]
fn what_is_shown_is_bounded_and_what_counts_is_among_it() {
    let mut room = asked(json!({ "groups": ["sre"] }));
    for n in 0..100 {
        room = room.approved(&format!("n{n:03}"), &format!("u{n}"), &[], EARLY);
    }
    let room = room.approved("z", "carol", &["sre"], LATER);
    let shown = room.shown();
    assert_eq!(shown.len(), 64);
    assert_eq!(
        shown
            .iter()
            .filter(|s| s.counts)
            .map(|s| s.name.as_str())
            .collect::<Vec<_>>(),
        ["z"]
    );
}
