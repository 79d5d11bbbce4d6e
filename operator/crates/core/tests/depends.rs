//! What goes first: what each dependency lacks, and who goes in a circle.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate_api::application::{Dependency, DependencyAt, DependencyKind};
use tidegate_core::depends::{Edges, Known, cycle, cycle_line, dependents, unmet};
use tidegate_core::standing::{Place, Standing};

fn place(source: &str, number: u64) -> Place {
    Place {
        source: source.to_owned(),
        commit: format!("{number:040x}"),
        number,
        shown: format!("master@{number}"),
    }
}

fn on(name: &str, at: DependencyAt) -> Dependency {
    Dependency {
        kind: DependencyKind::Application,
        name: name.to_owned(),
        at,
    }
}

/// Ready, and through with that commit of its source.
fn standing(source: &str, reached: Option<u64>) -> Standing {
    Standing {
        uid: "u".to_owned(),
        generation: Some(1),
        source: source.to_owned(),
        cluster: String::new(),
        seen: None,
        wants: None,
        reached: reached.map(|number| place(source, number)),
        soak: Default::default(),
        ready: true,
        message: "Runs master@1".to_owned(),
    }
}

#[test]
fn each_state_of_a_dependency_under_each_at() {
    let not_ready = Standing {
        ready: false,
        message: "Release db-000002 waits for health".to_owned(),
        ..standing("shop/git", Some(7))
    };
    let (same, behind, ahead) = (
        standing("shop/git", Some(7)),
        standing("shop/git", Some(6)),
        standing("shop/git", Some(8)),
    );
    let (nothing, elsewhere) = (standing("shop/git", None), standing("shop/other", None));
    // The same commit met again: the branch went away from it and came back.
    let mut back = standing("shop/git", Some(3));
    back.reached = Some(Place {
        number: 3,
        ..place("shop/git", 7)
    });
    for (what, known, same_commit, any) in [
        (
            "missing",
            Known::Missing,
            Some("DependencyMissing"),
            Some("DependencyMissing"),
        ),
        (
            "deleting",
            Known::Deleting,
            Some("DependencyNotReady"),
            Some("DependencyNotReady"),
        ),
        (
            "unseen",
            Known::Unseen,
            Some("DependencyNotReady"),
            Some("DependencyNotReady"),
        ),
        (
            "not ready",
            Known::At(&not_ready),
            Some("DependencyNotReady"),
            Some("DependencyNotReady"),
        ),
        ("at the commit", Known::At(&same), None, None),
        ("at a newer one", Known::At(&ahead), None, None),
        ("back at the commit", Known::At(&back), None, None),
        ("behind", Known::At(&behind), Some("DependencyBehind"), None),
        (
            "at no commit",
            Known::At(&nothing),
            Some("DependencyBehind"),
            None,
        ),
        ("edited", Known::Edited(&same), Some("DependencyBehind"), None),
        ("of another source", Known::At(&elsewhere), None, None),
        ("edited, of another source", Known::Edited(&elsewhere), None, None),
    ] {
        for (at, expected) in [(DependencyAt::SameCommit, same_commit), (DependencyAt::Any, any)] {
            let found = unmet(&[on("db", at)], "shop", &place("shop/git", 7), |_| known);
            assert_eq!(
                found.as_ref().map(|u| u.reason),
                expected,
                "{what}, {at:?}: {found:?}"
            );
        }
    }
}

#[test]
fn the_message_names_each_and_repeats_its_own_reason() {
    let failed = Standing {
        ready: false,
        message: "ImagePullBackOff: example.com/db:2".to_owned(),
        ..standing("shop/git", None)
    };
    let wanted = ["db", "queue", "a", "b"].map(|name| on(name, DependencyAt::SameCommit));
    let found = unmet(&wanted, "shop", &place("shop/git", 7), |name| match name {
        "db" => Known::At(&failed),
        _ => Known::Missing,
    });
    let found = found.unwrap();
    assert_eq!(found.reason, "DependencyNotReady");
    assert_eq!(
        found.message,
        "master@7 waits: Application shop/db is not ready: ImagePullBackOff: example.com/db:2; \
         Application shop/queue does not exist; create it, or remove it from spec.dependsOn; \
         Application shop/a does not exist; create it, or remove it from spec.dependsOn; and 1 more"
    );
}

fn edges(all: &[(&str, &[&str])]) -> Edges {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    all.iter()
        .map(|(who, what)| ((*who).to_owned(), owned(what)))
        .collect()
}

#[test]
fn a_cycle_is_named_from_where_it_is_looked_at() {
    let all = edges(&[
        ("a", &["b"]),
        ("b", &["x", "c"]),
        ("c", &["a", "gone"]),
        ("self", &["self"]),
        ("outside", &["a"]),
    ]);
    let way = |name: &str| cycle(name, &all).map(|way| way.join(" → "));
    assert_eq!(way("a").as_deref(), Some("a → b → c → a"));
    assert_eq!(way("c").as_deref(), Some("c → a → b → c"));
    assert_eq!(way("self").as_deref(), Some("self → self"));
    assert_eq!(way("outside"), None, "it waits for a circle and is not in it");
    assert_eq!(way("x"), None);
    let line = cycle_line(&cycle("a", &all).unwrap());
    assert!(line.contains("a → b → c → a"), "{line}");
    let long: Vec<String> = (0..30).map(|n| format!("a{n}")).collect();
    assert!(cycle_line(&long).contains("a0 → a1 → a2 → a3 → a4 → … → a26 → a27 → a28 → a29"));
}

fn any_edges() -> impl Strategy<Value = Edges> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(str::to_owned);
    prop::collection::btree_map(name(), prop::collection::vec(name(), 0..3), 0..6)
}

proptest! {
    #[test]
    fn whoever_goes_in_a_circle_depends_on_itself_and_no_other_does(all in any_edges()) {
        for name in ["a", "b", "c", "d", "e"] {
            let way = cycle(name, &all);
            // By another rule: it can be reached from one of its own dependencies.
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut open: Vec<&str> = vec![name];
            while let Some(here) = open.pop() {
                for next in all.get(here).into_iter().flatten() {
                    if reached.insert(next) {
                        open.push(next);
                    }
                }
            }
            prop_assert_eq!(way.is_some(), reached.contains(name));
            for pair in way.iter().flat_map(|way| way.windows(2)) {
                prop_assert!(all[&pair[0]].contains(&pair[1]), "{:?} is no dependency", pair);
            }
            // Everybody in the circle is told when one of it changes.
            let concerned = dependents(name, &all);
            for member in way.into_iter().flatten().filter(|member| member != name) {
                prop_assert!(concerned.contains(&member));
            }
        }
    }
}
