//! Freezes and Overrides: each rule alone and in pairs.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "rules are written where they are asked with"
)]

#[path = "gate/room.rs"]
#[expect(dead_code, reason = "shared with other tests of the gate")]
mod room;

use room::{CLOSED, NOW, OPEN, OVERRIDDEN, Room, time};
use serde_json::{Value, json};
use tidegate_core::gate::{Asking, Decision, freeze_stops, override_is_about};
use tidegate_core::policy::ApplicationFacts;
use tidegate_core::problem::Problem;

const CREATED: &str = "2026-11-25T11:00:00Z";
const UNTIL: &str = "2026-11-25T14:00:00Z";

fn frozen_by_policy(overrides: Value) -> Room {
    Room::new().policy(
        "friday",
        json!({ "freeze": { "reason": "Black Friday", "until": "2026-11-30T00:00:00Z" }, "overrides": overrides }),
    )
}

#[test]
fn a_freeze_of_a_policy_holds_until_its_end() {
    let rows = [
        (
            json!({ "reason": "r", "until": "2026-11-30T00:00:00Z" }),
            CLOSED,
            "frozen until 2026-11-30T00:00:00Z: r",
            Some("2026-11-30T00:00:00Z"),
        ),
        (
            json!({ "reason": "r", "until": NOW }),
            OPEN,
            "the freeze ended at 2026-11-25T12:00:00Z",
            None,
        ),
        (
            json!({ "reason": "r" }),
            CLOSED,
            "frozen until spec.freeze is taken out of the policy: r",
            None,
        ),
    ];
    for (freeze, decision, message, until) in rows {
        let line = Room::new().policy("p", json!({ "freeze": freeze })).line();
        assert_eq!(
            (line.decision, line.message.as_str(), line.until.as_deref()),
            (decision, message, until)
        );
    }
    assert!(
        Room::new()
            .policy("p", json!({ "freeze": { "reason": "r", "until": NOW } }))
            .goes()
    );
}

#[test]
fn a_freeze_by_a_person_holds_until_its_end_or_its_deletion() {
    let line = Room::new().frozen("stop", false, Some(UNTIL)).line();
    assert_eq!(line.policy, "Freeze/stop");
    assert_eq!(line.message, "frozen by dora until 2026-11-25T14:00:00Z: pager");
    assert_eq!(line.until.as_deref(), Some(UNTIL));
    let line = Room::new().frozen("stop", true, None).line();
    assert_eq!(
        line.message,
        "frozen, as all namespaces are, by dora until Freeze stop is deleted: pager"
    );
    assert!(Room::new().frozen("stop", false, Some(UNTIL)).at(UNTIL).goes());
    // It stops whoever made it.
    let doubtful = Room {
        unguarded: Some("no policies"),
        ..Room::new().frozen("stop", false, None)
    };
    assert_eq!(
        doubtful.line().message,
        "frozen by dora (not certain) until Freeze stop is deleted: pager"
    );
}

#[test]
fn a_freeze_stops_what_its_selector_and_its_namespace_say() {
    let mut app = ApplicationFacts {
        namespace: "shop".to_owned(),
        name: "shop".to_owned(),
        ..ApplicationFacts::default()
    };
    app.labels.insert("tier".to_owned(), "web".to_owned());
    let spec = |selector: Value| {
        serde_json::from_value(json!({ "reason": "r", "by": "b", "selector": selector })).unwrap()
    };
    let web = json!({ "matchLabels": { "tier": "web" } });
    let db = json!({ "matchLabels": { "tier": "db" } });
    for (selector, namespace, stops) in [
        (Value::Null, "shop", true),
        (Value::Null, "other", false),
        (Value::Null, "tidegate-system", true),
        (web.clone(), "shop", true),
        (db.clone(), "shop", false),
        (db.clone(), "tidegate-system", false),
        (web, "other", false),
    ] {
        assert_eq!(
            freeze_stops(&spec(selector.clone()), namespace, "tidegate-system", &app),
            stops,
            "{selector} {namespace}"
        );
    }
    let mut room = Room::new().frozen("stop", false, None);
    room.freezes[0].spec = spec(db);
    assert!(room.goes());
}

#[test]
fn an_override_is_about_an_application_of_its_namespace_or_from_the_operators_of_any() {
    let app = ApplicationFacts {
        namespace: "shop".to_owned(),
        name: "shop".to_owned(),
        ..ApplicationFacts::default()
    };
    for (named, namespace, application, is) in [
        (None, "shop", "shop", true),
        (None, "shop", "web", false),
        (None, "other", "shop", false),
        (None, "tidegate-system", "shop", false),
        (Some("shop"), "shop", "shop", true),
        (Some("shop"), "tidegate-system", "shop", true),
        (Some("shop"), "other", "shop", false),
        (Some("other"), "shop", "shop", false),
    ] {
        let mut made = room::override_of("o", "carol", &["Freeze"], CREATED, UNTIL).spec;
        made.namespace = named.map(str::to_owned);
        made.application = application.to_owned();
        assert_eq!(
            override_is_about(&made, namespace, "tidegate-system", &app),
            is,
            "{named:?} {namespace} {application}"
        );
    }
}

#[test]
fn an_override_opens_what_its_policy_lets_it_open_until_it_ends() {
    let room =
        frozen_by_policy(json!({ "gates": ["Freeze"] })).overridden("carol", &["Freeze"], CREATED, UNTIL);
    let line = room.line();
    assert_eq!((line.decision, line.reason.as_str()), (OVERRIDDEN, "Overridden"));
    assert_eq!(
        line.message,
        "overridden by carol until 2026-11-25T14:00:00Z: the shop is down. Without Override carol: frozen until \
         2026-11-30T00:00:00Z: Black Friday"
    );
    assert_eq!(line.until.as_deref(), Some(UNTIL));
    assert!(room.goes());
    let after = room.at(UNTIL);
    assert_eq!(
        after.line().message,
        "frozen until 2026-11-30T00:00:00Z: Black Friday"
    );
    assert!(!after.goes());
}

#[test]
fn who_may_not_is_told_why() {
    let rows = [
        (
            Value::Null,
            "ReleasePolicy/friday has no `overrides`, and so lets nobody open anything",
        ),
        (
            json!({ "gates": ["Windows"] }),
            "ReleasePolicy/friday: spec.overrides.gates does not name Freeze, only Windows",
        ),
        (
            json!({ "gates": ["Freeze"], "groups": ["sre"], "users": ["dora"] }),
            "ReleasePolicy/friday: only sre, dora may; an Override counts for a group that its spec.groups names",
        ),
        (
            json!({ "gates": ["Freeze"], "maxDuration": "2h" }),
            "ReleasePolicy/friday: it lasts until 2026-11-25T14:00:00Z, and at most 2h from 2026-11-25T11:00:00Z are allowed",
        ),
        (json!({ "gates": ["Freeze"], "maxDuration": "3h" }), ""),
        (json!({ "gates": ["Freeze", "Windows"], "users": ["carol"] }), ""),
        (json!({ "gates": ["Freeze"], "groups": ["sre", "on-call"] }), ""),
    ];
    for (overrides, why) in rows {
        let mut room = frozen_by_policy(overrides.clone()).overridden("carol", &["Freeze"], CREATED, UNTIL);
        room.overrides[0].spec.groups = vec!["on-call".to_owned()];
        let line = room.line();
        if why.is_empty() {
            assert_eq!(line.decision, OVERRIDDEN, "{overrides}: {}", line.message);
            continue;
        }
        assert_eq!(
            line.message,
            format!(
                "frozen until 2026-11-30T00:00:00Z: Black Friday; Override carol by carol does not count: {why}"
            )
        );
        assert!(!room.goes());
    }
}

#[test]
fn what_cannot_be_trusted_opens_nothing() {
    let good =
        frozen_by_policy(json!({ "gates": ["Freeze"] })).overridden("carol", &["Freeze"], CREATED, UNTIL);
    let unguarded = Room {
        unguarded: Some("no policies"),
        ..good.clone()
    };
    let before = Room {
        since: Some(time(NOW)),
        ..good.clone()
    };
    let mut machine = good.clone();
    machine.overrides[0].spec.requester = "system:serviceaccount:shop:deployer".to_owned();
    let mut foreign = good.clone();
    foreign.overrides[0].spec.application = "web".to_owned();
    let mut endless = good.clone();
    endless.overrides[0].spec.until = "never".to_owned();
    for (room, says) in [
        (unguarded, "it is not certain who made it: no policies"),
        (before, "made before the API server guaranteed"),
        (machine, "is no person"),
        (foreign, "about Application web"),
        (endless, "its end, never, is no time"),
    ] {
        let line = room.line();
        assert_eq!(line.decision, CLOSED, "{says}");
        assert!(line.message.contains(says), "{}", line.message);
    }
    assert!(good.goes());
}

#[test]
fn an_override_opens_the_gates_that_it_names_and_no_other_policys() {
    let both =
        |overrides: Value| json!({ "freeze": { "reason": "r" }, "approvals": {}, "overrides": overrides });
    let all = json!({ "gates": ["Freeze", "Approvals"] });
    let room = Room::new()
        .policy("p", both(all.clone()))
        .overridden("carol", &["Freeze"], CREATED, UNTIL);
    let decisions: Vec<_> = room
        .ask()
        .gates
        .iter()
        .map(|g| (g.gate.clone(), g.decision))
        .collect();
    assert_eq!(
        decisions,
        [
            ("Freeze".to_owned(), OVERRIDDEN),
            ("Approvals".to_owned(), CLOSED)
        ]
    );

    // What a tenant allows opens nothing of a cluster policy.
    let room = Room::new()
        .policy("tenant", both(all))
        .cluster_policy("platform", json!({ "freeze": { "reason": "r" } }))
        .overridden("carol", &["Freeze", "Approvals"], CREATED, UNTIL);
    let closed: Vec<_> = room
        .ask()
        .gates
        .into_iter()
        .filter(|g| g.decision == CLOSED)
        .map(|g| g.policy)
        .collect();
    assert_eq!(closed, ["ClusterReleasePolicy/platform"]);
}

#[test]
fn a_freeze_by_a_person_is_opened_only_as_every_policy_says() {
    let allows = json!({ "overrides": { "gates": ["Freeze"] } });
    let frozen = |everywhere| {
        Room::new()
            .frozen("stop", everywhere, None)
            .overridden("carol", &["Freeze"], CREATED, UNTIL)
    };
    let says = |room: &Room| {
        let line = room.line();
        assert_eq!(line.decision, CLOSED, "{}", line.message);
        line.message
    };
    assert!(says(&frozen(false)).ends_with("no policy matches that could say who may override it"));
    assert!(frozen(false).policy("p", allows.clone()).goes());
    let one_of_two = frozen(false)
        .policy("p", allows.clone())
        .cluster_policy("c", json!({}));
    assert!(
        says(&one_of_two)
            .ends_with("ClusterReleasePolicy/c has no `overrides`, and so lets nobody open anything")
    );
    assert!(
        frozen(false)
            .policy("p", allows.clone())
            .cluster_policy("c", allows.clone())
            .goes()
    );
    // A tenant's own policy does not open what stops everybody.
    assert!(says(&frozen(true).policy("p", allows.clone())).contains("no ClusterReleasePolicy matches"));
    assert!(frozen(true).cluster_policy("c", allows).goes());
}

#[test]
fn a_policy_that_cannot_be_used_and_a_missing_one_stay_closed() {
    let gates = json!([
        "Windows",
        "Freeze",
        "Approvals",
        "After",
        "Limits",
        "Signatures",
        "Rules",
        "Quarantine"
    ]);
    let mut room = Room::new()
        .policy("p", json!({ "overrides": { "gates": gates } }))
        .overridden(
            "carol",
            &[
                "Windows",
                "Freeze",
                "Approvals",
                "After",
                "Limits",
                "Signatures",
                "Rules",
                "Quarantine",
            ],
            CREATED,
            UNTIL,
        );
    let policy = std::sync::Arc::get_mut(&mut room.policies[0]).unwrap();
    policy.problems.push(Problem {
        reason: "InvalidExpression",
        object: String::new(),
        field: None,
        location: None,
        message: "broken".to_owned(),
    });
    assert_eq!(room.line().decision, CLOSED);
}

/// Defined so: an Override opens the beginning. What has begun is brought to its end, unless the policy says `Abort`; then
/// the end of the Override is the end of the window.
#[test]
fn an_override_that_ends_in_mid_release_stops_it_only_where_the_policy_aborts() {
    for (closes, goes_on) in [("Finish", true), ("Abort", false)] {
        let rules = json!({
            "freeze": { "reason": "r" }, "whenWindowCloses": closes, "overrides": { "gates": ["Freeze", "Windows"] },
            "windows": [{ "schedule": "0 0 1 1 *", "duration": "1h" }],
        });
        let room = Room::new()
            .policy("p", rules)
            .overridden("carol", &["Freeze", "Windows"], CREATED, UNTIL);
        assert!(room.goes());
        let begun = Room {
            asking: Asking::Begun,
            ..room
        };
        assert!(begun.goes());
        assert_eq!(begun.at(UNTIL).goes(), goes_on, "{closes}");
    }
}

#[test]
fn the_operator_comes_back_when_something_may_have_changed() {
    let room = Room::new()
        .frozen("a", false, Some("2026-11-25T15:00:00Z"))
        .frozen("b", false, Some(UNTIL));
    let Decision::Wait(wait) = room.ask().decision else {
        panic!("it goes")
    };
    assert_eq!((wait.reason, wait.again), ("Frozen", Some(time(UNTIL))));
}
