//! What the log of an Application remembers, what it is worth to those that come after it, and which commit they follow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tidegate_api::ReleasePolicySpec;
use tidegate_api::application::{ApplicationStatus, Quarantined};
use tidegate_api::observed::{HealthySpan, ObservedCommit};
use tidegate_api::policy::{After, ApplicationReference, Policy};
use tidegate_core::gate::{AfterState, Asking, Decision, Question, RevisionFacts, decide};
use tidegate_core::plan::Plan;
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy, PolicyName};
use tidegate_core::promotion::{
    Candidate, Sight, Stage, States, Wanted, circle, earned_commits, follow, follow_line, judge, next,
};
use tidegate_core::soak::{MAX, Runs, Settled, Shown, note, running};

const SOAK: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap_or_default()
}

fn settled(commit: &str, set: &str) -> Settled {
    Settled {
        commit: commit.to_owned(),
        shown: format!("master@{commit}"),
        tree: format!("tree of {set}"),
        digest: set.to_owned(),
    }
}

/// An Application over time.
#[derive(Default)]
struct Life {
    log: Vec<ObservedCommit>,
    unlogged: Option<Settled>,
}

impl Life {
    fn look(&mut self, runs: &Runs<'_>, second: i64) {
        note(&mut self.log, &mut self.unlogged, runs, at(second));
    }

    /// The commit was looked at to the end.
    fn settles(&mut self, commit: &str, set: &str, second: i64) {
        let runs = Runs {
            settled: Some(settled(commit, set)),
            digest: Some(set),
            sound: Some(true),
        };
        self.look(&runs, second);
    }

    /// The set runs, healthy or not, or nobody knows.
    fn runs(&mut self, set: &str, sound: Option<bool>, second: i64) {
        let runs = Runs {
            settled: None,
            digest: Some(set),
            sound,
        };
        self.look(&runs, second);
    }

    /// Another set is being written.
    fn replaced(&mut self, second: i64) {
        self.runs("another", Some(false), second);
    }

    fn soaked(&self, commit: &str) -> Option<&HealthySpan> {
        self.log.iter().find(|e| e.commit == commit)?.soaked.as_ref()
    }

    fn stage(&self) -> Stage {
        Stage {
            name: "staging/shop".to_owned(),
            sight: Sight::At(Shown {
                runs: "master@c0".to_owned(),
                message: "all is well".to_owned(),
                log: self.log.clone(),
                failed: Vec::new(),
            }),
        }
    }

    fn judge(&self, commit: &str, second: i64) -> AfterState {
        judge(&self.stage(), &logged(commit), SOAK, at(second))
    }
}

/// A commit that is in the log under its own name.
fn logged(commit: &str) -> Wanted {
    Wanted {
        commit: commit.to_owned(),
        shown: format!("master@{commit}"),
        alike: BTreeSet::from([commit.to_owned()]),
        observed: true,
    }
}

fn is_earned(state: &AfterState) -> bool {
    matches!(state, AfterState::Earned { .. })
}

fn says(state: &AfterState, words: &[&str]) {
    let message = match state {
        AfterState::NotYet { message } | AfterState::Never { message } => message.as_str(),
        AfterState::Earned { .. } | AfterState::Soaking { .. } => "it is healthy there",
    };
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn the_time_counts_from_health_and_ends_to_the_second() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    assert_eq!(life.judge("c1", 59), AfterState::Soaking { until: at(60) });
    assert_eq!(life.judge("c1", 60), AfterState::Earned { since: at(60) });
    assert_eq!(next(&life.stage(), SOAK, at(10)), Some(at(60)));
    assert_eq!(next(&life.stage(), SOAK, at(60)), None);
}

#[test]
fn health_that_is_lost_begins_anew_and_not_knowing_changes_nothing() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    life.runs("one", None, 20);
    assert_eq!(life.judge("c1", 30), AfterState::Soaking { until: at(60) });
    life.runs("one", Some(false), 40);
    says(
        &life.judge("c1", 70),
        &["c1 is not healthy in staging/shop", "all is well"],
    );
    life.runs("one", Some(true), 80);
    assert_eq!(life.judge("c1", 90), AfterState::Soaking { until: at(140) });
    assert!(is_earned(&life.judge("c1", 140)));
    // What runs now and breaks has to earn it again.
    life.runs("one", Some(false), 200);
    assert!(!is_earned(&life.judge("c1", 201)));
}

#[test]
fn what_was_replaced_keeps_what_it_earned_and_nothing_more() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    life.replaced(100);
    life.settles("c2", "two", 110);
    life.replaced(120);
    life.settles("c3", "three", 130);
    assert_eq!(life.judge("c1", 5000), AfterState::Earned { since: at(60) });
    says(
        &life.judge("c2", 5000),
        &["c2 was replaced in staging/shop after 10s of 1m"],
    );
    let earned = |second| -> Vec<String> {
        let stage = life.stage();
        let found = earned_commits(&stage, SOAK, at(second));
        found.iter().map(|e| e.commit.clone()).collect()
    };
    assert_eq!(earned(150), ["c1"]);
    assert_eq!(earned(190), ["c3", "c1"], "newest first");
    // Put back and broken there, it has still earned what it had.
    life.runs("one", Some(false), 200);
    assert!(is_earned(&life.judge("c1", 201)));
}

#[test]
fn a_commit_that_makes_the_same_has_the_time_of_what_runs() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    life.settles("c2", "one", 50);
    assert_eq!(life.log.len(), 1, "nothing is written for what changes nothing");
    life.replaced(70);
    assert!(is_earned(&life.judge("c2", 71)), "{:?}", life.log);
    assert_eq!(life.soaked("c2"), life.soaked("c1"));
    // A change of the folder that changes no object is written with the rest of its record.
    life.settles("c3", "three", 100);
    let mut other = settled("c4", "three");
    other.tree = "a comment".to_owned();
    let runs = Runs {
        settled: Some(other),
        digest: Some("three"),
        sound: Some(true),
    };
    life.look(&runs, 140);
    assert_eq!(life.judge("c4", 150), AfterState::Soaking { until: at(160) });
}

#[test]
fn an_edited_spec_that_makes_another_set_of_a_commit_begins_anew() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    life.replaced(100);
    life.settles("c1", "one with an edit", 110);
    assert_eq!(life.judge("c1", 120), AfterState::Soaking { until: at(170) });
    assert_eq!(life.log.len(), 1);
}

#[test]
fn the_log_is_bounded_and_keeps_the_commit_with_the_longest_time() {
    let mut life = Life::default();
    life.settles("good", "good", 0);
    life.replaced(100);
    for n in 0..100_i64 {
        let name = format!("c{n}");
        life.settles(&name, &name, 200 + n * 10);
        life.replaced(205 + n * 10);
    }
    assert_eq!(life.log.len(), MAX);
    assert!(is_earned(&life.judge("good", 9000)));
    assert_eq!(life.log.last().unwrap().commit, "c99");
}

#[test]
fn what_runs_as_a_whole_is_what_the_status_says_runs() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    let status = ApplicationStatus {
        last_applied_revision: Some("c1".to_owned()),
        attempted_digest: Some("one".to_owned()),
        observed: life.log.clone(),
        ..ApplicationStatus::default()
    };
    assert_eq!(running(&status, None), Some("one"));
    assert_eq!(running(&status, Some("two")), Some("two"), "it is being replaced");
    let mut half = status;
    half.attempted_digest = Some("two".to_owned());
    assert_eq!(running(&half, None), None, "another set was written in part");
    half.display.phase = "RolledBack".to_owned();
    assert_eq!(running(&half, None), Some("one"), "and put back");
}

#[test]
fn each_sight_of_a_stage_says_what_is_waited_for() {
    let stage = |sight| Stage {
        name: "staging/shop".to_owned(),
        sight,
    };
    let ask = |sight| judge(&stage(sight), &logged("c1"), SOAK, at(0));
    let missing = ask(Sight::Missing);
    assert!(matches!(missing, AfterState::Never { .. }));
    says(&missing, &["there is no Application staging/shop", "create it"]);
    let way = ["a/x", "a/y", "a/x"].map(str::to_owned).to_vec();
    let circle = ask(Sight::Circle(way));
    assert!(matches!(circle, AfterState::Never { .. }));
    says(&circle, &["a/x → a/y → a/x", "remove one"]);
    says(&ask(Sight::Deleting), &["is being deleted"]);
    says(&ask(Sight::Edited), &["was edited"]);
    says(
        &ask(Sight::Unknown("no answer".to_owned())),
        &["staging/shop: no answer"],
    );
    let unseen = Wanted {
        observed: false,
        alike: BTreeSet::new(),
        ..logged("c9")
    };
    let shown = Shown {
        runs: "master@c1".to_owned(),
        message: "Suspended".to_owned(),
        ..Shown::default()
    };
    let state = judge(&stage(Sight::At(shown)), &unseen, SOAK, at(0));
    says(
        &state,
        &["master@c9 has not come to staging/shop, which runs master@c1: Suspended"],
    );
}

#[test]
fn a_commit_that_failed_there_has_earned_nothing_however_healthy() {
    let mut life = Life::default();
    life.settles("c1", "one", 0);
    let mut status = ApplicationStatus {
        observed: life.log.clone(),
        last_attempted_revision: Some("c1".to_owned()),
        ..ApplicationStatus::default()
    };
    let judged = |status: &ApplicationStatus, wanted: &Wanted| {
        let stage = Stage {
            name: "staging/shop".to_owned(),
            sight: Sight::At(Shown::of(status)),
        };
        (
            judge(&stage, wanted, SOAK, at(100)),
            earned_commits(&stage, SOAK, at(100)).len(),
        )
    };
    assert!(is_earned(&judged(&status, &logged("c1")).0));
    status.display.phase = "Failed".to_owned();
    let (state, earned) = judged(&status, &logged("c1"));
    says(&state, &["master@c1 failed in staging/shop"]);
    assert_eq!(earned, 0);
    // Nor has one that makes the same there.
    let alike = Wanted {
        commit: "c2".to_owned(),
        ..logged("c1")
    };
    says(&judged(&status, &alike).0, &["failed in staging/shop"]);
    status.display.phase = "Succeeded".to_owned();
    status.quarantined = vec![Quarantined {
        commit: "c1".to_owned(),
        cause: "CrashLoopBackOff".to_owned(),
        ..Quarantined::default()
    }];
    says(&judged(&status, &logged("c1")).0, &["CrashLoopBackOff"]);
}

fn key(index: usize) -> (PolicyName, usize) {
    (PolicyName::Namespaced("shop".into(), "p".into()), index)
}

fn candidate(commit: &str, earned: bool, newer: bool, begun: bool) -> Candidate {
    let state = if earned {
        AfterState::Earned { since: at(0) }
    } else {
        AfterState::Soaking { until: at(9) }
    };
    Candidate {
        commit: commit.to_owned(),
        states: States::from([(key(0), state)]),
        newer,
        begun,
    }
}

#[test]
fn the_newest_earned_commit_that_is_no_step_back_is_followed() {
    let all = [
        candidate("c3", false, true, false),
        candidate("c2", true, true, false),
        candidate("c1", true, true, false),
    ];
    assert_eq!(follow(&all), Some(1));
    let back = [candidate("c1", true, false, false)];
    assert_eq!(follow(&back), None, "never back");
    let begun = [
        candidate("c2", false, true, true),
        candidate("c1", true, true, false),
    ];
    assert_eq!(follow(&begun), Some(0), "what has begun is brought to its end");
    assert_eq!(follow(&[]), None);
    let mut both = candidate("c1", true, true, false);
    both.states.insert(
        key(1),
        AfterState::NotYet {
            message: String::new(),
        },
    );
    assert_eq!(follow(&[both]), None, "all stages must agree");
    let states = States::from([(key(0), AfterState::Soaking { until: at(9) })]);
    let line = follow_line("master@c1", &["staging/shop"], "master@c3", &states, at(0));
    assert_eq!(
        line,
        format!(
            "follows master@c1, the newest commit that has soaked in staging/shop; master@c3 will have by {}",
            at(9)
        )
    );
}

#[test]
fn circles_over_any_edges_are_found_and_long_ways_end() {
    let next = |name: &str| -> Vec<String> {
        let on: &[&str] = match name {
            "prod/a" => &["stage/b", "prod/z"],
            "stage/b" => &["stage/c"],
            "stage/c" => &["prod/a"],
            "out/d" => &["prod/a"],
            _ => &[],
        };
        on.iter().map(|s| (*s).to_owned()).collect()
    };
    let way = circle("prod/a", 100, next).unwrap();
    assert_eq!(way, ["prod/a", "stage/b", "stage/c", "prod/a"]);
    assert_eq!(circle("out/d", 100, next), None, "it goes in none itself");
    assert_eq!(
        circle("x/x", 100, |_| vec!["x/x".to_owned()]).unwrap(),
        ["x/x", "x/x"]
    );
    let endless = |name: &str| vec![format!("{name}x")];
    assert_eq!(circle("a", 50, endless), None);
}

/// A plan of nothing: the gate `After` looks at no step.
fn nothing() -> Plan {
    Plan {
        steps: Vec::new(),
        rendered: Arc::default(),
        unchanged: 0,
        forgotten: Vec::new(),
        digest: String::new(),
        more: false,
    }
}

#[test]
fn the_gate_says_a_line_for_each_stage() {
    let after = |name: &str| After {
        application: ApplicationReference {
            namespace: Some("staging".to_owned()),
            name: name.to_owned(),
        },
        soak: "1m".to_owned(),
        kube_config: None,
    };
    let policy = Policy {
        after: vec![after("one"), after("two")],
        ..Policy::default()
    };
    let policies = [Arc::new(CompiledPolicy::namespaced(
        "shop",
        "p",
        &ReleasePolicySpec { policy },
    ))];
    let application = ApplicationFacts {
        namespace: "shop".to_owned(),
        name: "shop".to_owned(),
        ..ApplicationFacts::default()
    };
    let revision = RevisionFacts {
        commit: "1a2b3c4d5e6f".to_owned(),
        reference: "master".to_owned(),
        ..RevisionFacts::default()
    };
    let ask = |states: &States| {
        let question = Question {
            policies: &policies,
            ..Question::unbound(Asking::Release, &application, &revision, states)
        };
        decide(nothing(), &question, at(0))
    };
    let earned = AfterState::Earned { since: at(-5) };
    let all = States::from([(key(0), earned.clone()), (key(1), earned.clone())]);
    let verdict = ask(&all);
    assert!(matches!(verdict.decision, Decision::Go(_)), "{verdict:?}");
    assert_eq!(verdict.gates.len(), 2);
    let soaking = States::from([
        (key(0), earned.clone()),
        (key(1), AfterState::Soaking { until: at(30) }),
    ]);
    let Decision::Wait(wait) = ask(&soaking).decision else {
        panic!("it goes");
    };
    assert_eq!((wait.reason, wait.again), ("Soaking", Some(at(30))));
    assert!(
        wait.why
            .contains("master@1a2b3c4d is healthy in staging/two, for 1m at"),
        "{}",
        wait.why
    );
    // Its end has come between the look and the question.
    let over = States::from([
        (key(0), earned.clone()),
        (key(1), AfterState::Soaking { until: at(0) }),
    ]);
    assert!(matches!(ask(&over).decision, Decision::Go(_)));
    // What nobody looked at is closed.
    let Decision::Wait(wait) = ask(&States::from([(key(0), earned)])).decision else {
        panic!("it goes");
    };
    assert_eq!(wait.reason, "NotHealthyBefore");
    let question = Question {
        policies: &policies,
        ..Question::unbound(Asking::Correction, &application, &revision, &over)
    };
    assert_eq!(
        decide(nothing(), &question, at(0)).gates.len(),
        0,
        "corrections are not asked"
    );
}

proptest! {
    /// Whatever comes after it takes nothing from a commit that had earned its way when it was replaced.
    #[test]
    fn earned_is_earned(steps in proptest::collection::vec((0_usize..4, 0_u8..3, 1_i64..90), 0..30)) {
        let mut life = Life::default();
        life.settles("first", "first", 0);
        life.replaced(60);
        let mut second = 60;
        for (n, (what, set, wait)) in steps.into_iter().enumerate() {
            second += wait;
            let set = format!("set{set}");
            match what {
                0 => life.settles(&format!("c{n}"), &set, second),
                1 => life.runs(&set, Some(false), second),
                2 => life.runs(&set, Some(true), second),
                _ => life.replaced(second),
            }
            prop_assert!(life.log.len() <= MAX);
        }
        let stage = life.stage();
        let outlasted = earned_commits(&stage, SOAK, at(second));
        prop_assert!(!outlasted.is_empty(), "{:?}", life.log);
    }
}
