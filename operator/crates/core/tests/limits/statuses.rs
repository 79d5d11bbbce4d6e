//! The status of a policy.

use serde_json::{Value, json};
use tidegate_api::condition::is_true;
use tidegate_api::policy::ReleasePolicyStatus;
use tidegate_core::policy_status::{Facts, demands, write};

use crate::plans::{cluster, namespaced, now};

fn facts() -> Facts {
    Facts {
        generation: Some(3),
        applications: 4,
        waiting: 1,
        now: now(),
    }
}

#[test]
fn one_line_says_what_is_demanded() {
    for (rules, line) in [
        (json!({}), "demands nothing"),
        (
            json!({
                "windows": [{"schedule": "0 9 * * *", "duration": "8h"}, {"schedule": "0 20 * * *", "duration": "1h"}],
                "approvals": {"required": 2, "groups": ["sre"]},
                "after": [{"application": {"namespace": "staging", "name": "shop"}, "soak": "2h"}],
                "limits": {"maxDeletes": 5},
            }),
            "2 windows; 2 approvals of sre; after staging/shop for 2h; at most 5 deletions",
        ),
        (
            json!({
                "windows": [{"schedule": "0 9 * * *", "duration": "8h"}],
                "freeze": {"reason": "Black Friday", "until": "2026-11-30T00:00:00Z"},
                "approvals": {"required": 1, "groups": ["sre"], "users": ["alice"]},
                "after": [{"application": {"name": "db"}}],
                "limits": {"maxDeletes": 1, "maxDeletePercent": 20, "maxChanges": 500, "maxRecreates": 0, "protectedKinds": ["Namespace"]},
                "signatures": {"required": true},
                "verification": {"stableFor": "1m", "http": [{"url": "https://shop"}]},
                "rules": [{"name": "a", "expression": "true"}],
            }),
            "1 window; frozen until 2026-11-30T00:00:00Z: Black Friday; 1 approval of sre or alice; after db; at most 1 deletion; \
             at most 20 % deleted; at most 500 changes; at most 0 recreations; 1 protected kind; signed commits; healthy for 1m; \
             1 HTTP check; 1 rule",
        ),
    ] {
        assert_eq!(demands(&namespaced("p", rules)), line);
    }
    assert_eq!(
        demands(&cluster("c", json!({"allow": {"kinds": []}}))),
        "guard rails"
    );
}

fn written(rules: Value, status: &mut ReleasePolicyStatus) {
    write(status, &namespaced("p", rules), &facts());
}

#[test]
fn a_policy_is_ready_or_stalled_and_says_why() {
    let mut status = ReleasePolicyStatus::default();
    written(
        json!({"rules": [{"name": "mine", "expression": "plan.deletes == 0"}]}),
        &mut status,
    );
    assert!(is_true(&status.conditions, "Stalled") && !is_true(&status.conditions, "Ready"));
    for condition in &status.conditions {
        assert_eq!(condition.reason, "InvalidExpression");
        assert!(condition.message.starts_with("cannot be used, and lets no release through: spec.rules[0].expression: rule mine: line 1, column 6: there is no field `deletes`"), "{}", condition.message);
    }
    assert!(status.display.message.contains("there is no field `deletes`"));
    written(json!({"limits": {"maxDeletes": -1}}), &mut status);
    assert!(status.conditions.iter().all(|c| c.reason == "InvalidPolicy"));
    written(json!({"limits": {"maxDeletes": 5}}), &mut status);
    assert!(is_true(&status.conditions, "Ready"));
    assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    assert_eq!(status.display.message, "at most 5 deletions");
    assert_eq!(status.display.window, "");
    assert_eq!(
        (status.applications, status.waiting, status.observed_generation),
        (4, 1, Some(3))
    );
}

#[test]
fn a_window_is_shown_until_it_changes() {
    let rules =
        json!({"windows": [{"schedule": "0 9 * * 1-5", "duration": "8h", "timeZone": "Europe/Berlin"}]});
    let mut status = ReleasePolicyStatus::default();
    let next = write(&mut status, &namespaced("p", rules), &facts());
    assert_eq!(next, Some("2026-11-26T08:00:00Z".parse().unwrap()));
    assert_eq!(
        status.display.window,
        "closed until Thu 2026-11-26 09:00 Europe/Berlin (08:00Z)"
    );
}

#[test]
fn no_line_is_too_long_for_a_column() {
    let rules: Vec<Value> = (0..64)
        .map(|n| json!({"name": format!("r{n}"), "expression": format!("nonsense{n}")}))
        .collect();
    let mut status = ReleasePolicyStatus::default();
    written(json!({ "rules": rules }), &mut status);
    assert!(
        status.display.message.len() <= 310,
        "{}",
        status.display.message.len()
    );
    assert!(
        status.conditions[0].message.contains("and 59 more"),
        "{}",
        status.conditions[0].message
    );
}
