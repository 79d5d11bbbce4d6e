//! The gate asked about windows: one policy, several, one that cannot be read.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what cannot be read is a failed test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_api::ReleasePolicySpec;
use tidegate_api::application::DriftMode;
use tidegate_api::policy::{Policy, WhenWindowCloses, Window, WindowKind};
use tidegate_core::desired::Rendered;
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::{self, Asking, Decision, Question, RevisionFacts, Wait};
use tidegate_core::inventory::InventorySet;
use tidegate_core::plan::{Inputs, Live, Plan, plan};
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};
use tidegate_core::recreate::Found;

fn nothing_to_do() -> Plan {
    plan(&Inputs {
        rendered: &Arc::new(Rendered::default()),
        inventory: &InventorySet::default(),
        live: &Live::default(),
        prune: true,
        drift: DriftMode::Correct,
        additions: DriftMode::Correct,
        found: &Found::default(),
        now: Timestamp::UNIX_EPOCH,
        key: &DigestKey::new([7; 32]),
    })
}

fn policy(name: &str, schedule: &str, duration: &str, closing: WhenWindowCloses) -> Arc<CompiledPolicy> {
    let spec = ReleasePolicySpec {
        policy: Policy {
            windows: vec![Window {
                kind: WindowKind::Allow,
                schedule: schedule.to_owned(),
                duration: duration.to_owned(),
                time_zone: "UTC".to_owned(),
            }],
            when_window_closes: closing,
            ..Policy::default()
        },
    };
    Arc::new(CompiledPolicy::namespaced("shop", name, &spec))
}

/// `None` when it goes.
fn ask(policies: &[Arc<CompiledPolicy>], asking: Asking, now: &str) -> Option<Wait> {
    let (application, revision, after) = (
        ApplicationFacts::default(),
        RevisionFacts::default(),
        BTreeMap::default(),
    );
    let question = Question {
        policies,
        ..Question::unbound(asking, &application, &revision, &after)
    };
    match gate::decide(nothing_to_do(), &question, now.parse().unwrap()).decision {
        Decision::Go(_) => None,
        Decision::Wait(wait) => Some(wait),
    }
}

fn time(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn a_release_waits_for_the_window_and_goes_in_it() {
    let office = [policy("office", "0 9 * * *", "8h", WhenWindowCloses::Finish)];
    let wait = ask(&office, Asking::Release, "2026-11-25T18:00:00Z").unwrap();
    assert_eq!(wait.reason, "WindowClosed");
    assert_eq!(wait.again, time("2026-11-26T09:00:00Z"));
    assert_eq!(
        wait.why,
        "ReleasePolicy/office: closed until Thu 2026-11-26 09:00 UTC"
    );
    assert_eq!(ask(&office, Asking::Release, "2026-11-26T09:00:00Z"), None);
}

#[test]
fn what_has_begun_goes_on_unless_it_is_to_be_cut_off() {
    let closed = "2026-11-25T18:00:00Z";
    let finish = [policy("office", "0 9 * * *", "8h", WhenWindowCloses::Finish)];
    let abort = [policy("office", "0 9 * * *", "8h", WhenWindowCloses::Abort)];
    assert_eq!(ask(&finish, Asking::Begun, closed), None);
    assert!(ask(&abort, Asking::Begun, closed).is_some());
    for asking in [
        Asking::Correction,
        Asking::Rollback,
        Asking::AutomaticRollback,
        Asking::Teardown,
    ] {
        assert_eq!(ask(&abort, asking, closed), None, "{asking:?}");
    }
}

#[test]
fn several_policies_say_when_they_are_open_at_once() {
    let mut both = [
        policy("morning", "0 6 * * *", "4h", WhenWindowCloses::Finish),
        policy("office", "0 9 * * *", "8h", WhenWindowCloses::Finish),
    ];
    let wait = ask(&both, Asking::Release, "2026-11-25T18:00:00Z").unwrap();
    assert_eq!(
        wait.why,
        "ReleasePolicy/morning: closed until Thu 2026-11-26 06:00 UTC; the windows of all policies that bind it are open at \
         once from Thu 2026-11-26 09:00 UTC; ReleasePolicy/office: closed until Thu 2026-11-26 09:00 UTC"
    );
    both.reverse();
    assert_eq!(ask(&both, Asking::Release, "2026-11-25T18:00:00Z"), Some(wait));
    assert_eq!(ask(&both, Asking::Release, "2026-11-26T09:00:00Z"), None);
}

#[test]
fn windows_that_never_meet_are_said() {
    let now = "2026-11-25T07:00:00Z";
    let alone = [policy("leap", "0 0 30 2 *", "4h", WhenWindowCloses::Finish)];
    let wait = ask(&alone, Asking::Release, now).unwrap();
    assert_eq!((wait.reason, wait.again), ("NeverOpens", None));

    // One of the two is open now, and each opens every day.
    let both = [
        policy("morning", "0 6 * * *", "2h", WhenWindowCloses::Finish),
        policy("office", "0 9 * * *", "8h", WhenWindowCloses::Finish),
    ];
    let wait = ask(&both, Asking::Release, now).unwrap();
    assert_eq!(wait.reason, "NeverOpens");
    assert_eq!(
        wait.why,
        "ReleasePolicy/office: closed until Wed 2026-11-25 09:00 UTC; the windows of all policies that bind it are not open \
         at once within five years; change one of them"
    );
}

#[test]
fn a_policy_whose_windows_cannot_be_read_lets_nothing_through() {
    let broken = [policy("office", "0 9 * * 8", "8h", WhenWindowCloses::Finish)];
    assert_eq!(broken[0].problems.len(), 1);
    let wait = ask(&broken, Asking::Release, "2026-11-25T10:00:00Z").unwrap();
    assert_eq!(wait.reason, "InvalidWindow");
    assert!(wait.why.contains("day of week 8 is past 7"), "{}", wait.why);
}
