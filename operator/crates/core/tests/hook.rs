//! Hooks: what a run is and has come to, which steps come next, and that nothing is started twice or believed for free.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what is missing is a failed test"
)]

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule};
use tidegate_core::digest::DigestKey;
use tidegate_core::hook::{
    Context, DeletePolicy, Hook, Next, Outcome, Point, Run, Seen, State, needs_reading, next, state,
};
use tidegate_core::inventory::{Entry, Sealed};
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::ownership::Owner;
use tidegate_core::plan::{Action, Plan};

const NOW: &str = "2026-01-01T00:10:00Z";
const R: &str = "shop-000002";

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn hook(name: &str, wave: i32, policy: &str) -> Hook {
    let body = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "annotations": { "tidegate.io/owner": "tidegate/shop/shop" } },
    });
    let job = DesiredObject {
        id: ObjectId::new("batch", "Job", "shop", name),
        version: "v1".into(),
        location: Location {
            file: "jobs.yaml".into(),
            line: 3,
        },
        digest: "digest".to_owned(),
        body,
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave,
    };
    Hook {
        point: Point::PreSync,
        delete: DeletePolicy::parse(policy).unwrap(),
        job,
    }
}

fn entry(uid: Option<&str>, release: &str, outcome: Option<Outcome>) -> Entry {
    Entry {
        version: "v1".to_owned(),
        sealed: uid.map(|uid| Sealed {
            uid: uid.to_owned(),
            desired: "digest".to_owned(),
            ours: String::new(),
            foreign: None,
            ignored: Vec::new(),
            apply: ApplyRule::Always,
        }),
        prune: PruneRule::Default,
        wave: 0,
        made: None,
        run: Some(Run {
            release: release.to_owned(),
            outcome,
            why: String::new(),
        }),
    }
}

/// A Job of ours that was made four minutes ago.
fn job(uid: &str, release: &str, condition: &str) -> Value {
    let conditions = match condition {
        "" => json!([]),
        sort => json!([{ "type": sort, "status": "True", "reason": "Because", "message": "so it is" }]),
    };
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "migrate", "namespace": "shop", "uid": uid, "creationTimestamp": "2026-01-01T00:06:00Z",
            "annotations": { "tidegate.io/owner": "tidegate/shop/shop", "tidegate.io/release": release },
            "managedFields": [{ "manager": "tidegate", "operation": "Apply", "fieldsV1": {} }],
        },
        "status": { "startTime": "2026-01-01T00:06:00Z", "active": 1, "conditions": conditions },
    })
}

fn judge(entry: Option<&Entry>, live: Option<&Value>, timeout: u64, hopeless: bool) -> State {
    let seen = Seen {
        entry,
        live,
        pods: hopeless.then(|| "ImagePullBackOff: no such image".to_owned()),
        hopeless,
    };
    let owner = Owner::parse("tidegate/shop/shop").unwrap();
    let context = Context {
        release: R,
        owner: &owner,
        timeout: Duration::from_secs(timeout),
        now: NOW.parse().unwrap(),
    };
    state(&seen, &context)
}

#[test]
fn a_run_belongs_to_the_release_that_the_inventory_names() {
    let old = entry(Some("u1"), "shop-000001", Some(Outcome::Succeeded));
    let begun = entry(None, R, None);
    let complete = job("u1", "shop-000001", "Complete");
    let mut leaving = complete.clone();
    leaving["metadata"]["deletionTimestamp"] = NOW.into();
    let uid = Some("u1".to_owned());
    assert_eq!(judge(None, None, 300, false), State::Ready);
    assert_eq!(judge(Some(&old), None, 300, false), State::Ready);
    assert_eq!(
        judge(Some(&old), Some(&complete), 300, false),
        State::Old { uid: uid.clone() }
    );
    assert!(matches!(
        judge(Some(&old), Some(&leaving), 300, false),
        State::Leaving(_)
    ));
    // A Job that calls itself a run of this release is none while the inventory says that it is of another.
    let liar = job("u1", R, "Complete");
    assert_eq!(judge(Some(&old), Some(&liar), 300, false), State::Old { uid });
    assert_eq!(judge(None, Some(&liar), 300, false), State::Old { uid: None });
    // A create whose answer was lost is taken up; an earlier run in its place is not.
    assert_eq!(judge(Some(&begun), Some(&liar), 300, false), State::Ready);
    assert_eq!(
        judge(Some(&begun), Some(&complete), 300, false),
        State::Old { uid: None }
    );
    let mut theirs = liar;
    theirs["metadata"]["managedFields"] = json!([]);
    assert!(matches!(
        judge(Some(&begun), Some(&theirs), 300, false),
        State::Foreign(_)
    ));
    assert!(matches!(
        judge(None, Some(&theirs), 300, false),
        State::Foreign(_)
    ));
}

#[test]
fn a_run_ends_by_its_conditions_its_time_or_its_going() {
    let running = entry(Some("u2"), R, None);
    let judge = |live: Option<&Value>, timeout, hopeless| judge(Some(&running), live, timeout, hopeless);
    let failed = |state: State| match state {
        State::Ended(Outcome::Failed, why) => why,
        other => panic!("{other:?}"),
    };
    let active = job("u2", R, "");
    let State::Running { why, until } = judge(Some(&active), 300, false) else {
        panic!("it runs");
    };
    assert_eq!(
        until,
        "2026-01-01T00:11:00Z".parse::<Timestamp>().unwrap(),
        "counted from its creation"
    );
    assert!(why.contains("1 pods active"), "{why}");
    let complete = judge(Some(&job("u2", R, "Complete")), 1, true);
    assert_eq!(
        complete,
        State::Ended(Outcome::Succeeded, String::new()),
        "late or not"
    );
    assert_eq!(
        failed(judge(Some(&job("u2", R, "Failed")), 300, false)),
        "Because: so it is"
    );
    assert!(failed(judge(Some(&active), 240, false)).contains("not complete within 4m"));
    assert!(failed(judge(Some(&active), 300, true)).contains("ImagePullBackOff"));
    assert!(failed(judge(None, 300, false)).contains("vanished"));
    let another = job("u3", R, "Complete");
    assert!(
        failed(judge(Some(&another), 300, false)).contains("vanished"),
        "made anew by somebody"
    );
    assert!(matches!(
        judge(Some(&job("u2", R, "Suspended")), 300, false),
        State::Running { .. }
    ));
}

#[test]
fn what_was_recorded_holds_when_the_job_is_gone() {
    for outcome in [Outcome::Succeeded, Outcome::Failed] {
        let done = entry(Some("u2"), R, Some(outcome));
        let recorded = |live: Option<&Value>| match judge(Some(&done), live, 300, false) {
            State::Recorded {
                outcome: found, left, ..
            } => (found, left),
            other => panic!("{other:?}"),
        };
        assert_eq!(recorded(None), (outcome, None));
        assert_eq!(recorded(Some(&job("u3", R, ""))), (outcome, None));
        assert_eq!(
            recorded(Some(&job("u2", R, "Complete"))),
            (outcome, Some("u2".to_owned()))
        );
    }
    let keep = hook("migrate", 0, "BeforeHookCreation");
    let done = entry(Some("u2"), R, Some(Outcome::Succeeded));
    assert!(
        !needs_reading(&keep, Some(&done), R, true),
        "nothing more is asked of it"
    );
    assert!(needs_reading(&keep, Some(&done), "shop-000003", true));
    assert!(needs_reading(
        &hook("migrate", 0, "HookSucceeded"),
        Some(&done),
        R,
        true
    ));
}

fn verbs(next: &Next) -> Vec<String> {
    let Next::Go(plan) = next else { panic!("{next:?}") };
    plan.steps
        .iter()
        .map(|s| format!("{} {}", s.action.verb(), s.id.name))
        .collect()
}

#[test]
fn waves_of_hooks_follow_each_other_and_a_failure_stops_them() {
    let (a, b, c) = (
        hook("a", 0, "HookSucceeded"),
        hook("b", 0, "HookFailed"),
        hook("c", 1, "BeforeHookCreation"),
    );
    let done = |left: Option<&str>| State::Recorded {
        outcome: Outcome::Succeeded,
        why: String::new(),
        left: left.map(str::to_owned),
    };
    let failed = |left: Option<&str>| State::Recorded {
        outcome: Outcome::Failed,
        why: "exit code 1".to_owned(),
        left: left.map(str::to_owned),
    };
    let runs = || State::Running {
        why: "1 active".to_owned(),
        until: NOW.parse().unwrap(),
    };
    let look = |states: [State; 3]| {
        let [x, y, z] = states;
        next(&[(&a, x), (&b, y), (&c, z)], R, &key())
    };
    let start = look([State::Ready, State::Old { uid: None }, State::Ready]);
    assert_eq!(verbs(&start), ["create a", "delete b"]);
    let Next::Go(Plan { steps, rendered, .. }) = start else {
        panic!("it goes")
    };
    assert_eq!(steps[0].run.as_ref().unwrap().release, R);
    let body = &rendered.get(&a.job.id).unwrap().body;
    assert_eq!(body["metadata"]["annotations"]["tidegate.io/release"], R);
    let ended = look([
        State::Ended(Outcome::Succeeded, String::new()),
        State::Ready,
        State::Ready,
    ]);
    assert_eq!(
        ended,
        Next::Record(vec![(a.job.id.clone(), Outcome::Succeeded, String::new())]),
        "before anything else"
    );
    assert_eq!(
        verbs(&look([done(Some("u1")), runs(), State::Ready])),
        ["delete a"]
    );
    assert!(matches!(
        look([done(None), runs(), State::Ready]),
        Next::Waits { until: Some(_), .. }
    ));
    assert_eq!(
        verbs(&look([done(None), done(Some("u2")), State::Ready])),
        ["create c"],
        "b stays: it has not failed"
    );
    assert_eq!(
        verbs(&look([runs(), failed(Some("u2")), State::Ready])),
        ["delete b"]
    );
    let Next::Failed(failures) = look([State::Ready, failed(None), State::Ready]) else {
        panic!("it failed")
    };
    assert_eq!(failures[0].message, "PreSync hook: exit code 1");
    assert_eq!(failures[0].location.as_deref(), Some("jobs.yaml:3"));
    assert!(matches!(
        look([State::Foreign(String::new()), done(None), done(None)]),
        Next::Failed(_)
    ));
    assert_eq!(look([done(None), done(None), done(None)]), Next::Done);
    assert_eq!(next(&[], R, &key()), Next::Done);
}

/// One hook in a cluster where answers get lost, Jobs end, and people delete them.
#[derive(Default)]
struct World {
    entry: Option<Entry>,
    job: Option<Value>,
    /// Jobs made, with the release that was open.
    made: Vec<String>,
    complete: bool,
    uids: u32,
}

impl World {
    fn look(&mut self, hook: &Hook, release: &str, lost: bool) -> Option<bool> {
        let owner = Owner::parse("tidegate/shop/shop").unwrap();
        let context = Context {
            release,
            owner: &owner,
            timeout: Duration::from_secs(300),
            now: NOW.parse().unwrap(),
        };
        let seen = Seen {
            entry: self.entry.as_ref(),
            live: self.job.as_ref(),
            pods: None,
            hopeless: false,
        };
        match next(&[(hook, state(&seen, &context))], release, &key()) {
            Next::Done => return Some(true),
            Next::Failed(_) => return Some(false),
            Next::Waits { .. } => {}
            Next::Record(ended) => {
                let run = self.entry.as_mut().unwrap().run.as_mut().unwrap();
                run.end(ended[0].1, &ended[0].2);
            }
            Next::Go(plan) => {
                let step = &plan.steps[0];
                match &step.action {
                    Action::Create => self.create(release, lost),
                    _ => {
                        self.job = None;
                        if step.run.is_none() && !lost {
                            self.entry = None;
                        }
                    }
                }
            }
        }
        None
    }

    fn create(&mut self, release: &str, lost: bool) {
        self.entry = Some(entry(None, release, None));
        if self.job.is_none() {
            self.uids += 1;
            self.made.push(release.to_owned());
            self.complete = false;
            self.job = Some(job(&format!("u{}", self.uids), release, ""));
        }
        if !lost {
            let uid = self.job.as_ref().unwrap()["metadata"]["uid"]
                .as_str()
                .unwrap()
                .to_owned();
            self.entry = Some(entry(Some(&uid), release, None));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Each release runs its hook once, whatever is lost, and says success only of a Job of its own that was complete.
    #[test]
    fn every_release_runs_its_hook_once(
        policy in prop::sample::select(vec!["BeforeHookCreation", "HookSucceeded", "HookSucceeded,HookFailed"]),
        events in prop::collection::vec((0_u8..6, any::<bool>()), 0..60),
    ) {
        let hook = hook("migrate", 0, policy);
        let mut world = World::default();
        let mut number = 1;
        let mut ended = None;
        let mut excuses = 0;
        for (event, lost) in events {
            let release = format!("shop-{number:06}");
            match event {
                0 if world.job.is_some() => {
                    world.complete = true;
                    let job = world.job.as_mut().unwrap();
                    job["status"]["conditions"] = json!([{ "type": "Complete", "status": "True" }]);
                }
                1 if lost => {
                    // One that vanished before its create was answered cannot be told from one that was never made.
                    excuses += usize::from(world.entry.as_ref().is_some_and(|e| e.sealed.is_none()));
                    world.job = None;
                }
                2 if ended.is_some() => {
                    number += 1;
                    excuses = 0;
                    ended = None;
                    continue;
                }
                _ => {
                    let result = world.look(&hook, &release, lost);
                    if ended.is_some() {
                        prop_assert_eq!(result.or(ended), ended, "what it came to changes");
                    }
                    ended = ended.or(result);
                }
            }
            let made = world.made.iter().filter(|made| **made == release).count();
            prop_assert!(made <= 1 + excuses, "{} runs of {}", made, release);
            if ended == Some(true) {
                prop_assert!(made >= 1 && world.complete, "success without a complete run");
            }
        }
    }
}
