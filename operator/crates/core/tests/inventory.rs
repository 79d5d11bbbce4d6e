//! The stored form of an inventory: what a reader finds after a writer stopped at any moment.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: stored shards that cannot be read are a failed test"
)]

use proptest::prelude::*;
use tidegate_api::inventory::InventorySpec;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::PruneRule;
use tidegate_core::hook::{Outcome, Run};
use tidegate_core::inventory::{
    Entry, InventorySet, Layout, ReadError, SHARD_ENTRIES, Sealed, Stored, shard_name,
};
use tidegate_core::object::ObjectId;

fn id(n: usize) -> ObjectId {
    ObjectId::new("", "ConfigMap", "shop", &format!("c{n}"))
}

/// `count` entries; `mark` is in each, to tell two states of the same entry apart.
fn set(count: usize, mark: &str) -> InventorySet {
    let sealed = |n: usize| Sealed {
        uid: format!("uid-{n}"),
        desired: mark.to_owned(),
        ours: format!("ours-{n}"),
        foreign: (!n.is_multiple_of(3)).then(|| vec![format!("f{n}")]),
        ignored: vec!["/spec/replicas".to_owned(); n % 2],
        apply: ApplyRule::Always,
    };
    let entry = |n: usize| Entry {
        version: "v1".to_owned(),
        sealed: (!n.is_multiple_of(7)).then(|| sealed(n)),
        prune: PruneRule::Default,
        wave: i32::try_from(n % 3).unwrap() - 1,
        made: n.is_multiple_of(4).then(|| format!("shop-{n:06}")),
        run: n.is_multiple_of(5).then(|| Run {
            release: format!("shop-{n:06}"),
            outcome: [None, Some(Outcome::Succeeded), Some(Outcome::Failed)][n % 3],
            why: "because".repeat(n % 2),
        }),
    };
    InventorySet {
        entries: (0..count).map(|n| (id(n), entry(n))).collect(),
        ..InventorySet::default()
    }
}

fn read(specs: &[InventorySpec]) -> Stored {
    InventorySet::from_specs(specs).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_survives_its_stored_form(count in 0_usize..900, shards in 1_i32..6, number in 0_i64..9) {
        let (set, layout) = (set(count, "a"), Layout { number, shards });
        let specs = set.to_specs("shop", "uid", layout);
        prop_assert_eq!(specs.len(), usize::try_from(shards).unwrap());
        prop_assert_eq!(read(&specs), Stored { set, layout, next_layout: number + 1 });
    }

    /// Any part of the shards may be written when the process dies: each entry is as before or as after, none is lost.
    #[test]
    fn half_written_shards_of_one_layout_lose_nothing(written in prop::collection::vec(any::<bool>(), 4)) {
        let layout = Layout { number: 2, shards: 4 };
        let before = set(800, "before").to_specs("shop", "uid", layout);
        let after = set(900, "after").to_specs("shop", "uid", layout);
        let mixed: Vec<InventorySpec> = before
            .into_iter()
            .zip(after)
            .zip(&written)
            .map(|((before, after), written)| if *written { after } else { before })
            .collect();
        let found = read(&mixed).set;
        for n in 0..800 {
            prop_assert!(found.entries.contains_key(&id(n)));
        }
    }

    /// A new layout holds from its last shard on, and the old one until then.
    #[test]
    fn a_layout_holds_only_when_it_is_complete(written in 0_usize..=3, removed in 0_usize..=2) {
        let old = Layout { number: 4, shards: 2 };
        let new = Layout { number: 5, shards: 3 };
        let (before, after) = (set(300, "before"), set(500, "after"));
        let mut specs = before.to_specs("shop", "uid", old);
        specs.extend(after.to_specs("shop", "uid", new).into_iter().take(written));
        let complete = written == 3;
        if complete {
            // Only then are the old ones removed, one by one.
            specs.drain(..removed);
        }
        let found = read(&specs);
        prop_assert_eq!(&found.set, if complete { &after } else { &before });
        prop_assert_eq!(found.next_layout, if written == 0 { 5 } else { 6 }, "never a number that was used");
    }
}

#[test]
fn large_sets_are_sharded_and_every_shard_fits_into_one_object() {
    let large = set(12_000, "a");
    let layout = Layout::default().fit(large.entries.len(), 1);
    assert_eq!(layout, Layout { number: 1, shards: 3 });
    let specs = large.to_specs("shop", "uid", layout);
    assert!(specs.iter().all(|s| s.packed.as_ref().unwrap().len() < 1_400_000));
    assert_eq!(read(&specs).set, large);
}

#[test]
fn shards_of_different_applications_never_share_a_name() {
    let names = |application: &str, layout| -> Vec<String> {
        let specs = set(1, "a").to_specs(application, "uid", layout);
        specs.iter().map(shard_name).collect()
    };
    assert_eq!(names("shop", Layout::default()), ["shop"]);
    let two = Layout { number: 1, shards: 2 };
    let mut all = names("shop", two);
    all.extend(names("shop", Layout { number: 2, shards: 2 }));
    all.extend(names("shop-1", two));
    all.extend(names("shop-1", Layout::default()));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
}

#[test]
fn a_layout_is_kept_while_it_fits() {
    let four = Layout { number: 3, shards: 4 };
    assert_eq!(four.fit(SHARD_ENTRIES * 4, 9), four);
    assert_eq!(
        four.fit(SHARD_ENTRIES * 2, 9),
        four,
        "shrinking a little moves nothing"
    );
    assert_eq!(
        four.fit(SHARD_ENTRIES * 4 + 1, 9),
        Layout { number: 9, shards: 5 }
    );
    assert_eq!(four.fit(10, 9), Layout { number: 9, shards: 1 });
    assert_eq!(Layout::default().fit(0, 9), Layout::default());
    let by_count = Layout { number: 0, shards: 2 };
    assert_eq!(
        by_count.fit(SHARD_ENTRIES * 2, 9),
        Layout { number: 9, shards: 2 },
        "its entries lie elsewhere"
    );
}

#[test]
fn a_missing_or_damaged_shard_is_an_error_and_not_an_empty_inventory() {
    let layout = Layout { number: 1, shards: 3 };
    let specs = set(600, "a").to_specs("shop", "uid", layout);
    let missing = |n| {
        Err(ReadError::Incomplete {
            layout: 1,
            missing: n,
            shards: 3,
        })
    };
    assert_eq!(InventorySet::from_specs(&specs[..2]), missing(2));
    assert_eq!(InventorySet::from_specs(&specs[1..]), missing(0));
    let mut damaged = specs;
    damaged[1]
        .packed
        .as_mut()
        .unwrap()
        .replace_range(0..8, "AAAAAAAA");
    assert!(matches!(
        InventorySet::from_specs(&damaged),
        Err(ReadError::Damaged { shard: 1, .. })
    ));
}
