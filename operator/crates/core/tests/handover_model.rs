//! Two Applications of one source on one cluster, each call of the one between any two calls of the other, crashes and
//! suspensions among them: an object that some commit moves from the one to the other is never gone, never made anew,
//! never nobody's; and when all has come to rest each object is one Application's, as git says.

#![expect(clippy::unwrap_used, reason = "what is missing is a failed test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_api::application::{Adopt, DriftMode};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::handover::{Among, Fate, Other, settle, without_lost};
use tidegate_core::inventory::{InventorySet, Sealed};
use tidegate_core::live::reduce;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::ownership::{Owner, Takeover, decide, refusal};
use tidegate_core::plan::{Action, Inputs, Live, Plan, Step, Upkeep, plan};
use tidegate_core::standing::{Place, Standing};

const IDS: usize = 2;
const SOURCE: &str = "shop/git";

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn id(number: usize) -> ObjectId {
    ObjectId::new("", "ConfigMap", "shop", &format!("x{number}"))
}

fn owner(app: usize) -> Owner {
    Owner {
        installation: "tidegate".into(),
        namespace: "shop".into(),
        application: ["a", "b"][app].into(),
    }
}

fn place(number: usize) -> Place {
    Place {
        source: SOURCE.into(),
        commit: number.to_string(),
        number: number as u64,
        shown: format!("master@{number}"),
    }
}

/// Who wants an object in a commit: bit 0 for `a`, bit 1 for `b`.
type Commit = [u8; IDS];

fn desired(app: usize, commit: &Commit, number: usize) -> Arc<Rendered> {
    let wanted = (0..IDS).filter(|n| commit[*n] >> app & 1 == 1);
    let object = |n: usize| {
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"v": number.to_string()},
            "metadata": {"name": format!("x{n}"), "namespace": "shop",
                         "annotations": {"tidegate.io/owner": owner(app).annotation()}},
        });
        DesiredObject {
            id: id(n),
            version: "v1".into(),
            location: Location {
                file: "a.yaml".into(),
                line: 1,
            },
            digest: key().of_value(&body),
            ignored: Vec::new(),
            body,
            prune: PruneRule::Default,
            wave: 0,
            force: false,
            apply: ApplyRule::Always,
        }
    };
    Arc::new(Rendered::new(wanted.map(object).collect(), &key()))
}

#[derive(Default)]
struct App {
    /// As it is stored; outlives a crash.
    inventory: InventorySet,
    phase: Phase,
    /// What the others know; dies with a crash.
    standing: Option<Standing>,
    looked: Option<(usize, Arc<Rendered>)>,
    since: BTreeMap<ObjectId, Timestamp>,
    suspended: bool,
    /// The commit that met a conflict.
    failed: Option<usize>,
    /// Objects of others that it could not have then.
    contested: BTreeSet<ObjectId>,
    /// Nothing to do, or nothing that may be done.
    quiet: bool,
}

#[expect(clippy::large_enum_variant, reason = "two of them in a test")]
#[derive(Default)]
enum Phase {
    #[default]
    Idle,
    Planning,
    Acting(Plan, InventorySet, VecDeque<Step>, Call),
}

/// The next call of the first step.
#[derive(Default)]
enum Call {
    #[default]
    First,
    TakeOver(String, String),
    Delete(String, String),
}

struct World {
    commits: Vec<Commit>,
    head: usize,
    now: Timestamp,
    clock: u64,
    objects: BTreeMap<ObjectId, Value>,
    apps: [App; 2],
    faults: Vec<String>,
    trace: Vec<String>,
}

fn text(live: &Value, pointer: &str) -> String {
    live.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn uid(live: &Value) -> String {
    text(live, "/metadata/uid")
}

fn version(live: &Value) -> String {
    text(live, "/metadata/resourceVersion")
}

fn named(live: &Value) -> String {
    text(live, "/metadata/annotations/tidegate.io~1owner")
}

impl World {
    fn new(commits: Vec<Commit>) -> Self {
        Self {
            commits,
            head: 0,
            now: Timestamp::UNIX_EPOCH,
            clock: 1,
            objects: BTreeMap::new(),
            apps: Default::default(),
            faults: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn live(&self) -> Live {
        let reduced = |live| reduce(live, &key(), Timestamp::UNIX_EPOCH, &[]);
        self.objects.values().filter_map(reduced).collect()
    }

    fn among<T>(&self, app: usize, look: impl FnOnce(&Among<'_>) -> T) -> T {
        let recorded = |who: &Owner, id: &ObjectId| {
            let at = (0..2).find(|n| owner(*n) == *who);
            at.is_some_and(|n| self.apps[n].inventory.entries.contains_key(id))
        };
        let other = Other {
            owner: owner(1 - app),
            source: SOURCE.into(),
            here: true,
            standing: self.apps[1 - app].standing.as_ref(),
        };
        look(&Among {
            ours: &owner(app),
            others: vec![other],
            recorded: &recorded,
            now: self.now,
        })
    }

    /// One call of an Application, or one decision between two calls.
    fn step(&mut self, app: usize) {
        if self.apps[app].suspended && matches!(self.apps[app].phase, Phase::Idle) {
            // A suspension is seen by the next reconcile.
            if let Some(standing) = &mut self.apps[app].standing {
                standing.wants = None;
            }
            self.apps[app].quiet = true;
            return;
        }
        match std::mem::take(&mut self.apps[app].phase) {
            Phase::Idle => self.look(app),
            Phase::Planning => self.plan(app),
            Phase::Acting(plan, set, steps, call) => self.act(app, plan, set, steps, call),
        }
    }

    fn look(&mut self, app: usize) {
        let rendered = desired(app, &self.commits[self.head], self.head);
        self.apps[app].standing = Some(Standing {
            uid: "u".into(),
            generation: None,
            source: SOURCE.into(),
            cluster: String::new(),
            seen: Some(place(self.head)),
            wants: Some(rendered.objects.iter().map(|o| o.id.clone()).collect()),
            reached: None,
            soak: Arc::default(),
            ready: true,
            message: String::new(),
        });
        self.apps[app].looked = Some((self.head, rendered));
        self.apps[app].phase = Phase::Planning;
    }

    fn plan(&mut self, app: usize) {
        let (number, rendered) = self.apps[app].looked.clone().unwrap();
        let (set, live) = (self.apps[app].inventory.clone(), self.live());
        let wanted = |id: &ObjectId| rendered.get(id).is_some();
        let own = self.among(app, |among| {
            without_lost(&set, wanted, |id| among.is_lost(id, live.get(id)))
        });
        let made = plan(&Inputs {
            rendered: &rendered,
            inventory: own.as_ref().unwrap_or(&set),
            live: &live,
            prune: true,
            drift: DriftMode::Correct,
            additions: DriftMode::Ignore,
            found: &tidegate_core::recreate::Found::default(),
            now: self.now,
            key: &key(),
        });
        let leaving: Vec<ObjectId> = set.entries.keys().filter(|id| !wanted(id)).cloned().collect();
        let before = std::mem::take(&mut self.apps[app].since);
        let since: BTreeMap<ObjectId, Timestamp> = leaving
            .iter()
            .map(|id| (id.clone(), before.get(id).copied().unwrap_or(self.now)))
            .collect();
        let at = place(number);
        let fates = self.among(app, |among| {
            among.fates(leaving.iter().map(|id| (id, since[id])), &live, Some(&at))
        });
        self.apps[app].since = since;
        let made = settle(made, &fates, &key());
        // What may be had soon is waited for. A set that met a conflict is tried again when that is over.
        let steps = made.steps.clone();
        let creates = || steps.iter().filter(|s| s.action == Action::Create);
        let failed = self.apps[app].failed == Some(number);
        let was = self.apps[app].contested.clone();
        let (waits, given_up) = self.among(app, |among| {
            let refused = |step: &Step| {
                let other = live.get(&step.id)?.owner.as_deref().and_then(Owner::parse)?;
                let claim = among.claim_of(&other, &step.id);
                let other = Some(other).filter(|other| *other != owner(app))?;
                refusal(&other, &owner(app), Adopt::IfUnowned, claim)
            };
            let is_foreign = |step: &Step| {
                let named = live.get(&step.id).and_then(|live| live.owner.clone());
                named.is_some_and(|named| named != owner(app).annotation())
            };
            let not_yet = |step: &Step| among.not_yet(&step.id, live.get(&step.id), &at).is_some();
            let others = || creates().filter(|step| is_foreign(step));
            let contested: BTreeSet<ObjectId> = others()
                .filter(|step| refused(step).is_some())
                .map(|step| step.id.clone())
                .collect();
            // One that could not be had before can be had now, or is gone.
            let fewer = was.iter().any(|id| !contested.contains(id));
            let given_up = failed && !fewer && !contested.is_empty();
            (!given_up && creates().any(not_yet), given_up)
        });
        // What is tried now says anew what it is refused.
        self.apps[app].contested.retain(|_| given_up);
        // What was given up is not tried again; what is left of earlier sets is looked after all the same.
        let made = if given_up {
            let upkeep = Upkeep {
                removed: true,
                begun: false,
            };
            made.upkeep(upkeep, &key(), |_| true)
        } else {
            made
        };
        let nothing = made.steps.is_empty() && made.forgotten.is_empty();
        self.apps[app].quiet = nothing || waits;
        let kept = fates
            .values()
            .filter(|fate| matches!(fate, Fate::Keep { .. }))
            .count();
        let steps: Vec<String> = made
            .steps
            .iter()
            .map(|s| format!("{} {}", s.action.verb(), s.id))
            .collect();
        self.trace.push(format!(
            "{app} plans for {number}: {steps:?}, kept {kept}, waits {waits}, given up {given_up}"
        ));
        if self.apps[app].quiet {
            return;
        }
        let intended = made.intended(&set);
        self.apps[app].inventory = intended.clone();
        let steps = made.steps.iter().cloned().collect();
        self.apps[app].phase = Phase::Acting(made, intended, steps, Call::First);
    }

    fn act(&mut self, app: usize, plan: Plan, mut set: InventorySet, mut steps: VecDeque<Step>, call: Call) {
        let Some(step) = steps.front().cloned() else {
            self.apps[app].inventory = set;
            return;
        };
        let next = self.call(app, &plan, &step, call, &mut set);
        if next.is_none() {
            steps.pop_front();
        }
        self.apps[app].phase = Phase::Acting(plan, set, steps, next.unwrap_or_default());
    }

    /// One call of one step; the next one, if there is one.
    fn call(
        &mut self,
        app: usize,
        plan: &Plan,
        step: &Step,
        call: Call,
        set: &mut InventorySet,
    ) -> Option<Call> {
        let live = self.objects.get(&step.id).cloned();
        match (&step.action, call, live) {
            (Action::Delete { .. }, Call::First, None) => {
                set.entries.remove(&step.id);
            }
            (Action::Delete { uid: wanted }, Call::First, Some(live)) => {
                // As the executor has it: not another one's, and the one that was applied.
                let other = Owner::parse(&named(&live)).filter(|other| *other != owner(app));
                let held = |other: Owner| self.among(app, |among| among.claim_of(&other, &step.id).is_held());
                let ours = wanted
                    .as_ref()
                    .map_or(named(&live) == owner(app).annotation(), |w| *w == uid(&live));
                if !ours || other.is_some_and(held) {
                    set.entries.remove(&step.id);
                    return None;
                }
                return Some(Call::Delete(uid(&live), version(&live)));
            }
            (Action::Delete { .. }, Call::Delete(wanted, at), live) => match live {
                Some(live) if uid(&live) == wanted && version(&live) == at => self.delete(app, &step.id, set),
                Some(_) => return Some(Call::First),
                None => {
                    set.entries.remove(&step.id);
                }
            },
            (Action::Create, Call::First, None) => self.apply(app, plan, &step.id, set),
            (Action::Create, Call::First, Some(live)) => {
                let claim = |other: &Owner| self.among(app, |among| among.claim_of(other, &step.id));
                return match decide(&live, &owner(app), Adopt::IfUnowned, claim) {
                    Takeover::Refuse { .. } => {
                        set.entries.remove(&step.id);
                        self.apps[app].contested.insert(step.id.clone());
                        self.apps[app].failed = self.apps[app].looked.as_ref().map(|(number, _)| *number);
                        None
                    }
                    _ => Some(Call::TakeOver(uid(&live), version(&live))),
                };
            }
            (Action::Create, Call::TakeOver(wanted, at), live) => match live {
                Some(live) if uid(&live) == wanted && version(&live) == at => {
                    self.apply(app, plan, &step.id, set);
                }
                _ => return Some(Call::First),
            },
            // Planned before another took it over, it may write over that one's: both then see whose it is.
            (Action::Update { uid: wanted }, _, Some(live)) if uid(&live) == *wanted => {
                self.apply(app, plan, &step.id, set);
            }
            _ => {}
        }
        None
    }

    fn apply(&mut self, app: usize, plan: &Plan, id: &ObjectId, set: &mut InventorySet) {
        self.clock += 1;
        let object = plan.rendered.get(id).unwrap();
        let mut body = object.body.clone();
        let known = self.objects.get(id).map(uid);
        body["metadata"]["uid"] = known.unwrap_or_else(|| format!("uid-{}", self.clock)).into();
        body["metadata"]["resourceVersion"] = self.clock.to_string().into();
        body["metadata"]["managedFields"] = json!([{
            "manager": "tidegate", "operation": "Apply",
            "fieldsV1": {"f:metadata": {"f:annotations": {"f:tidegate.io/owner": {}}}, "f:data": {"f:v": {}}},
        }]);
        let (_, record) = reduce(&body, &key(), Timestamp::UNIX_EPOCH, &[]).unwrap();
        let entry = set.entries.entry(id.clone()).or_default();
        entry.sealed = Some(Sealed {
            uid: record.uid,
            desired: object.digest.clone(),
            ours: record.ours.unwrap_or_default(),
            foreign: Some(record.foreign),
            ignored: Vec::new(),
            apply: ApplyRule::Always,
        });
        self.trace.push(format!("{app} applies {id}"));
        self.objects.insert(id.clone(), body);
    }

    fn delete(&mut self, app: usize, id: &ObjectId, set: &mut InventorySet) {
        let live = self.objects.remove(id).unwrap();
        self.trace.push(format!("{app} deletes {id}"));
        if named(&live) != owner(app).annotation() {
            self.faults
                .push(format!("{app} deleted {id} of {}", named(&live)));
        }
        set.entries.remove(id);
    }

    /// The process dies: both Applications forget what was not stored.
    fn crash(&mut self) {
        self.trace.push("crash".into());
        for app in &mut self.apps {
            let (inventory, suspended) = (std::mem::take(&mut app.inventory), app.suspended);
            *app = App {
                inventory,
                suspended,
                ..App::default()
            };
        }
    }

    /// Every object is in some inventory, whatever moment it is.
    fn nobodys(&self) -> Vec<String> {
        let known = |id: &ObjectId| self.apps.iter().any(|app| app.inventory.entries.contains_key(id));
        self.objects
            .keys()
            .filter(|id| !known(id))
            .map(ToString::to_string)
            .collect()
    }

    fn rest(&mut self, late: bool) {
        for app in &mut self.apps {
            app.suspended = false;
        }
        for round in 0..40 {
            if late && round == 20 {
                self.now += SignedDuration::from_secs(60);
            }
            for app in 0..2 {
                self.step(app);
            }
        }
    }

    fn holders(&self, id: &ObjectId) -> Vec<usize> {
        let has = |app: &usize| self.apps[*app].inventory.entries.contains_key(id);
        (0..2).filter(has).collect()
    }
}

#[derive(Clone, Debug)]
enum Event {
    Step(usize),
    Push,
    Crash,
    Suspend(usize),
    Resume(usize),
    Later,
}

fn events(time: bool) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        24 => (0..2_usize).prop_map(Event::Step),
        2 => Just(Event::Push),
        1 => Just(Event::Crash),
        1 => (0..2_usize).prop_map(Event::Suspend),
        1 => (0..2_usize).prop_map(Event::Resume),
        1 => Just(if time { Event::Later } else { Event::Push }),
    ];
    prop::collection::vec(event, 0..80)
}

/// Commits in which each object is wanted by somebody, or also by nobody.
fn commits(least: u8) -> impl Strategy<Value = Vec<Commit>> {
    let commit = [least..4_u8, least..4_u8];
    prop::collection::vec(commit, 1..6)
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Step(app) => world.step(*app),
        Event::Push => world.head = (world.head + 1).min(world.commits.len() - 1),
        Event::Crash => world.crash(),
        Event::Suspend(app) => world.apps[*app].suspended = true,
        Event::Resume(app) => world.apps[*app].suspended = false,
        Event::Later => world.now += SignedDuration::from_secs(20),
    }
}

/// Each object is one Application's that wants it, alone, with its content.
fn as_git_says(world: &World) -> Result<(), TestCaseError> {
    let trace = world.trace.join("\n");
    prop_assert_eq!(&world.faults, &Vec::<String>::new(), "{}", &trace);
    let commit = world.commits[world.head];
    for (n, wanted) in commit.iter().enumerate() {
        let id = id(n);
        let holders = world.holders(&id);
        let Some(live) = world.objects.get(&id) else {
            prop_assert_eq!(*wanted, 0, "{} is not there\n{}", id, &trace);
            prop_assert_eq!(
                holders,
                Vec::<usize>::new(),
                "{} is gone and recorded\n{}",
                id,
                &trace
            );
            continue;
        };
        prop_assert_eq!(
            holders.len(),
            1,
            "{} is in the inventories of {:?}\n{}",
            id,
            &holders,
            &trace
        );
        let holder = holders[0];
        prop_assert!(
            wanted >> holder & 1 == 1,
            "{} is {}'s, which does not want it\n{}",
            id,
            holder,
            &trace
        );
        prop_assert_eq!(named(live), owner(holder).annotation(), "{}\n{}", id, &trace);
        prop_assert_eq!(
            text(live, "/data/v"),
            world.head.to_string(),
            "{}\n{}",
            id,
            &trace
        );
        let sealed = world.apps[holder].inventory.entries[&id].sealed.as_ref();
        prop_assert_eq!(
            sealed.map(|s| s.uid.clone()),
            Some(uid(live)),
            "{}\n{}",
            id,
            &trace
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_object_that_somebody_always_wants_is_never_gone_and_never_nobodys(
        commits in commits(1),
        events in events(false),
    ) {
        let mut world = World::new(commits);
        let mut born: BTreeMap<ObjectId, String> = BTreeMap::new();
        let last = events.len();
        for at in 0..=last {
            match events.get(at) {
                Some(event) => happen(&mut world, event),
                None => world.rest(false),
            }
            for (id, live) in &world.objects {
                let first = born.entry(id.clone()).or_insert_with(|| uid(live));
                prop_assert_eq!(&*first, &uid(live), "{} was made anew\n{}", id, world.trace.join("\n"));
            }
            let there: BTreeSet<&ObjectId> = world.objects.keys().collect();
            prop_assert!(born.keys().all(|id| there.contains(id)), "gone\n{}", world.trace.join("\n"));
            prop_assert_eq!(world.nobodys(), Vec::<String>::new(), "{}", world.trace.join("\n"));
        }
        as_git_says(&world)?;
    }

    #[test]
    fn whatever_is_wanted_and_however_long_it_takes_nothing_of_another_is_deleted(
        commits in commits(0),
        events in events(true),
    ) {
        let mut world = World::new(commits);
        for event in &events {
            happen(&mut world, event);
            prop_assert_eq!(world.nobodys(), Vec::<String>::new(), "{}", world.trace.join("\n"));
        }
        world.rest(true);
        as_git_says(&world)?;
    }
}
