//! Kills, late requests and two leaders at once, with people between any two calls: whatever the order, what runs in
//! the end is what git says, and nothing of anybody else was touched.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what is missing is a failed test"
)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use support::server::{Condition, Holder, Request};
use support::world::{Event, World, adopt, events};
use support::{commit, id, key, object};
use tidegate_api::application::Adopt;
use tidegate_core::desired::{PruneRule, Rendered};

/// A leader reads that an object is nobody's; before it takes it over, another Application does.
#[test]
fn an_object_that_another_application_adopts_first_is_not_taken_from_it() {
    let set = |name: u8, content| vec![object(id(name), PruneRule::Default, content)];
    let commits = [set(0, 0), set(1, 0)].map(|objects| Arc::new(Rendered::new(objects, &key())));
    let mut world = World::new(Adopt::IfUnowned, &commits);
    world.server.somebody_creates(&id(1), Holder::Person);
    let takes_over = |r: &Request| matches!(r, Request::Apply(_, c) if !matches!(c, Condition::Absent));
    while !world.leaders[0].requests().iter().any(takes_over) {
        world.call(0, 0);
    }
    world.server.other_adopts(&id(1));
    world.call(0, 0);
    assert_eq!(world.server.faults, Vec::<String>::new());
}

fn commits() -> impl Strategy<Value = [Arc<Rendered>; 3]> {
    [commit(), commit(), commit()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_kill_at_any_moment_leads_to_the_same_end(
        commits in commits(),
        adopt in adopt(),
        events in events(),
    ) {
        let mut world = World::new(adopt, &commits);
        for event in events {
            match event {
                Event::Call(leader, slot) => world.call(leader, slot),
                Event::Somebody(what, on) => world.somebody(what, on),
                Event::Crash(bits) => {
                    for (n, request) in world.retire().into_iter().enumerate() {
                        if bits >> (n % 8) & 1 == 1 {
                            world.server.serve(request);
                        }
                    }
                    world.start(&commits[1 + usize::from(bits % 2)]);
                }
                Event::Arrive(_) => {}
            }
        }
        world.comes_to_rest()?;
        prop_assert!(world.server.unrecorded.is_empty());
        prop_assert_eq!(world.leaks(), Vec::<String>::new());
    }

    #[test]
    fn requests_of_a_former_leader_that_arrive_late_are_harmless(
        commits in commits(),
        adopt in adopt(),
        before in events(),
        after in events(),
    ) {
        let mut world = World::new(adopt, &commits);
        run(&mut world, before);
        world.retire_late();
        world.start(&commits[2]);
        run(&mut world, after);
        while !world.late.is_empty() {
            world.arrive(0);
        }
        rests_after_two(&mut world)?;
    }

    #[test]
    fn two_leaders_at_once_end_where_the_newer_one_wants(
        commits in commits(),
        adopt in adopt(),
        before in events(),
        after in events(),
    ) {
        let mut world = World::new(adopt, &commits);
        run(&mut world, before);
        world.start(&commits[2]);
        run(&mut world, after);
        rests_after_two(&mut world)?;
    }
}

/// A leader that has nothing to write does not see that another has written the inventory behind its back, so that the
/// end is that of a restart. And a create or takeover cannot be fenced: one that is overtaken by another leader's prune
/// of its intended entry makes an object that nobody records. That is the only thing that may be left over.
fn rests_after_two(world: &mut World) -> Result<(), TestCaseError> {
    let commit = world.leaders.last().unwrap().commit.clone();
    world.start(&commit);
    world.comes_to_rest()?;
    let leaks = world.leaks();
    let overtaken = &world.server.overtaken;
    prop_assert!(
        leaks.iter().all(|uid| overtaken.contains(uid)),
        "{leaks:?} but {overtaken:?}:\n{}",
        world.server.trace.join("\n")
    );
    Ok(())
}

fn run(world: &mut World, events: Vec<Event>) {
    for event in events {
        match event {
            Event::Call(leader, slot) => world.call(leader, slot),
            Event::Somebody(what, on) => world.somebody(what, on),
            Event::Arrive(which) => world.arrive(which),
            Event::Crash(_) => {}
        }
    }
}
