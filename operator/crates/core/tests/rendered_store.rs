//! Kept sets: whatever goes in comes out, nothing else does, and twenty releases of a thousand objects stay small.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: a missing blob is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tidegate_api::release::Change;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::hook::{DeletePolicy, Hook, Point};
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::rendered_store::{
    self as store, Binding, Blob, Manifest, PIECE, Part, SetKey, StoreError, Stored,
};

const RELEASE: &str = "shop-000007";

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn binding(installation: &str, uid: &str) -> Binding {
    Binding {
        installation: installation.to_owned(),
        application_uid: uid.to_owned(),
    }
}

fn set_key() -> SetKey {
    SetKey::derive(&key(), binding("tidegate", "uid-1")).unwrap()
}

/// What a namespace full of Secrets holds.
#[derive(Default)]
struct Shelf(BTreeMap<String, Vec<Vec<u8>>>);

impl Shelf {
    /// Keeps a release; the number of Secrets that were written.
    fn keep(&mut self, release: &str, set: &Rendered) -> usize {
        let stored = store::encode(&set_key(), release, set, |name| self.0.contains_key(name)).unwrap();
        let before = self.secrets();
        for blob in stored.chunks.into_iter().chain([stored.manifest]) {
            assert!(
                self.0.insert(blob.name, blob.pieces).is_none(),
                "written although it was there"
            );
        }
        self.secrets() - before
    }

    fn kept(&self, release: &str) -> Result<Rendered, StoreError> {
        read(&set_key(), release, &self.0)
    }

    fn secrets(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn bytes(&self) -> usize {
        self.0.values().flatten().map(Vec::len).sum()
    }
}

fn read(key: &SetKey, release: &str, shelf: &BTreeMap<String, Vec<Vec<u8>>>) -> Result<Rendered, StoreError> {
    let name = store::manifest_name(key.binding(), release);
    let pieces = shelf.get(&name).ok_or(StoreError::Missing { name })?;
    store::open(key, release, pieces)?.assemble(key, shelf)
}

fn blobs(stored: Stored) -> BTreeMap<String, Vec<Vec<u8>>> {
    let blobs = stored.chunks.into_iter().chain([stored.manifest]);
    blobs.map(|blob: Blob| (blob.name, blob.pieces)).collect()
}

fn object(name: &str, body: Value) -> DesiredObject {
    let mut object = DesiredObject {
        id: ObjectId::new("", "ConfigMap", "shop", name),
        version: "v1".into(),
        location: Location {
            file: "deploy/all.yaml".into(),
            line: 1,
        },
        body,
        digest: String::new(),
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    };
    object.ignore(Vec::new(), &key());
    object
}

/// An object of about 600 bytes that compresses as manifests do.
fn map(number: usize, content: &str) -> DesiredObject {
    let name = format!("map-{number}");
    let owner = json!({"tidegate.io/owner": "tidegate/shop/shop"});
    let lines: Vec<String> = (0..8)
        .map(|n| format!("setting.{n} = {}", number * 7919 + n))
        .collect();
    object(
        &name,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "shop", "annotations": owner, "labels": {"tidegate.io/managed-by": "tidegate"}},
            "data": {"content": content, "settings": lines.join("\n")},
        }),
    )
}

fn maps(count: usize) -> Vec<DesiredObject> {
    (0..count).map(|number| map(number, "1")).collect()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no such number", |n| n.is_finite())
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let fields = vec((".{0,6}", inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_id() -> impl Strategy<Value = ObjectId> {
    (".{0,8}", ".{0,8}", ".{0,8}", ".{0,8}").prop_map(|(a, b, c, d)| ObjectId::new(&a, &b, &c, &d))
}

fn any_object() -> impl Strategy<Value = DesiredObject> {
    let rules = (
        select(vec![PruneRule::Default, PruneRule::Enabled, PruneRule::Disabled]),
        any::<bool>(),
        select(vec![ApplyRule::Always, ApplyRule::IfNotPresent, ApplyRule::Merge]),
        any::<i32>(),
    );
    let place = ("[a-c]{0,3}", any::<u32>());
    // Some are large, so that sets have several chunks.
    let padding = prop_oneof![3 => Just(0_usize), 1 => 30_000_usize..90_000];
    (
        any_id(),
        ".{0,8}",
        any_json(),
        rules,
        place,
        vec(".{0,8}", 0..3),
        padding,
    )
        .prop_map(
            |(id, version, inner, (prune, force, apply, wave), (file, line), ignored, padding)| {
                let mut object = DesiredObject {
                    id,
                    version: version.as_str().into(),
                    location: Location {
                        file: file.as_str().into(),
                        line,
                    },
                    body: json!({"inner": inner, "padding": "x".repeat(padding)}),
                    digest: String::new(),
                    ignored: Vec::new(),
                    prune,
                    force,
                    apply,
                    wave,
                };
                object.ignore(ignored, &key());
                object
            },
        )
}

fn any_hook() -> impl Strategy<Value = Hook> {
    let point = select(vec![Point::PreSync, Point::PostSync, Point::SyncFail]);
    (point, any::<bool>(), any::<bool>(), any_object()).prop_map(|(point, succeeded, failed, job)| Hook {
        point,
        delete: DeletePolicy { succeeded, failed },
        job,
    })
}

fn any_set() -> impl Strategy<Value = Rendered> {
    (
        vec(any_object(), 0..30),
        vec(any_hook(), 0..4),
        vec(any_id(), 0..4),
    )
        .prop_map(|(objects, hooks, left_out)| Rendered::whole(objects, hooks, left_out, &key()))
}

/// Equal, with the order of fields, which equality of JSON values passes over.
fn same(a: &Rendered, b: &Rendered) -> bool {
    let text = |set: &Rendered| set.objects.iter().map(|o| o.body.to_string()).collect::<String>();
    a == b && text(a) == text(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(set in any_set()) {
        let mut shelf = Shelf::default();
        shelf.keep(RELEASE, &set);
        let back = shelf.kept(RELEASE).unwrap();
        prop_assert!(same(&back, &set), "{back:?}\n{set:?}");
    }

    #[test]
    fn what_the_next_release_shares_is_not_written_again_and_reads_the_same(
        set in any_set(),
        more in any_object(),
    ) {
        let mut shelf = Shelf::default();
        shelf.keep("shop-000001", &set);
        let again = shelf.keep("shop-000002", &set);
        prop_assert_eq!(again, 1, "the manifest only");
        let mut objects = set.objects.clone();
        objects.retain(|object| object.id != more.id);
        objects.push(more);
        let next = Rendered::whole(objects, set.hooks.clone(), set.left_out.clone(), &key());
        shelf.keep("shop-000003", &next);
        for (release, expected) in [("shop-000001", &set), ("shop-000002", &set), ("shop-000003", &next)] {
            prop_assert!(same(&shelf.kept(release).unwrap(), expected), "{}", release);
        }
    }
}

fn two_chunks() -> (Rendered, BTreeMap<String, Vec<Vec<u8>>>) {
    let padded = |n: usize| object(&n.to_string(), json!({"n": n, "padding": "x".repeat(40_000)}));
    let set = Rendered::new((0..20).map(padded).collect(), &key());
    let stored = store::encode(&set_key(), RELEASE, &set, |_| false).unwrap();
    assert!(stored.chunks.len() >= 2, "{}", stored.chunks.len());
    (set, blobs(stored))
}

#[test]
fn any_flipped_bit_is_found_and_its_blob_named() {
    let (set, whole) = two_chunks();
    assert_eq!(read(&set_key(), RELEASE, &whole).unwrap(), set);
    for (name, pieces) in &whole {
        for at in 0..pieces[0].len() {
            let mut broken = whole.clone();
            broken.get_mut(name).unwrap()[0][at] ^= 1 << (at % 8);
            let error = read(&set_key(), RELEASE, &broken).unwrap_err();
            assert!(error.to_string().starts_with(name.as_str()), "{at}: {error}");
        }
        for cut in [0, 1, 10, 18, 19, 30, pieces[0].len() - 1] {
            let mut broken = whole.clone();
            broken.get_mut(name).unwrap()[0].truncate(cut);
            let error = read(&set_key(), RELEASE, &broken).unwrap_err();
            assert!(error.to_string().starts_with(name.as_str()), "{cut}: {error}");
        }
        let mut without = whole.clone();
        without.remove(name);
        let error = read(&set_key(), RELEASE, &without).unwrap_err();
        assert_eq!(error, StoreError::Missing { name: name.clone() });
    }
}

#[test]
fn a_blob_in_the_place_of_another_is_found() {
    let (_, whole) = two_chunks();
    let names: Vec<&String> = whole.keys().collect();
    for name in &names {
        for other in names.iter().filter(|other| *other != name) {
            let mut swapped = whole.clone();
            swapped.insert((*name).clone(), whole[*other].clone());
            let error = read(&set_key(), RELEASE, &swapped).unwrap_err();
            assert_eq!(
                error,
                StoreError::Damaged {
                    name: (*name).clone()
                }
            );
        }
    }
    // That of an older release, in the place of the newer one.
    let mut older = whole.clone();
    let manifest = store::manifest_name(set_key().binding(), RELEASE);
    let moved = store::manifest_name(set_key().binding(), "shop-000008");
    older.insert(moved.clone(), whole[&manifest].clone());
    let error = read(&set_key(), "shop-000008", &older).unwrap_err();
    assert_eq!(error, StoreError::Damaged { name: moved });
}

#[test]
fn nothing_opens_for_another_application_installation_or_key() {
    let (_, whole) = two_chunks();
    let others = [
        SetKey::derive(&key(), binding("tidegate", "uid-2")).unwrap(),
        SetKey::derive(&key(), binding("tidegate-2", "uid-1")).unwrap(),
        SetKey::derive(&DigestKey::new([8; 32]), binding("tidegate", "uid-1")).unwrap(),
    ];
    let ours = set_key();
    for other in others {
        // Under the names that it looks for.
        let moved = whole.iter().map(|(name, pieces)| {
            let name = name.replace(
                &store::prefix_of(ours.binding()),
                &store::prefix_of(other.binding()),
            );
            (name, pieces.clone())
        });
        let error = read(&other, RELEASE, &moved.collect()).unwrap_err();
        let name = store::manifest_name(other.binding(), RELEASE);
        assert_eq!(error, StoreError::OtherKey { name });
    }
    let text = StoreError::OtherKey { name: "x".into() }.to_string();
    assert!(text.contains("restore the Secret tidegate-key"), "{text}");
}

#[test]
fn a_newer_form_is_said_and_not_read() {
    let (_, mut whole) = two_chunks();
    let manifest = store::manifest_name(set_key().binding(), RELEASE);
    whole.get_mut(&manifest).unwrap()[0][0] = 2;
    let error = read(&set_key(), RELEASE, &whole).unwrap_err();
    assert_eq!(
        error,
        StoreError::OtherVersion {
            name: manifest,
            version: 2
        }
    );
}

/// Form 1, as it was when it was first written: a version that cannot read it loses what runs. Never change these bytes.
#[test]
fn what_the_first_version_wrote_is_readable() {
    let mut set = Rendered::whole(
        vec![map(1, "one"), map(2, "two")],
        vec![Hook {
            point: Point::PostSync,
            delete: DeletePolicy {
                succeeded: true,
                failed: false,
            },
            job: object("smoke", json!({"kind": "Job"})),
        }],
        vec![ObjectId::new("", "Secret", "shop", "left")],
        &key(),
    );
    set.objects[0].wave = -3;
    set.objects[0].force = true;
    set.objects[1].apply = ApplyRule::Merge;
    set.objects[1].prune = PruneRule::Enabled;
    set.objects[1].ignored = vec!["/spec/replicas".to_owned()];
    let written = include_bytes!("fixtures/rendered_set_1.bin");
    let manifest: Manifest = store::open(&set_key(), RELEASE, &[written.to_vec()]).unwrap();
    assert!(same(
        &manifest.assemble(&set_key(), &BTreeMap::new()).unwrap(),
        &set
    ));
}

#[test]
fn a_small_application_has_one_secret_for_each_release() {
    let mut shelf = Shelf::default();
    for release in 1..=20 {
        let mut objects = maps(10);
        objects[3] = map(3, &format!("release {release}"));
        let name = format!("shop-{release:06}");
        assert_eq!(shelf.keep(&name, &Rendered::new(objects, &key())), 1);
    }
    assert_eq!(shelf.secrets(), 20);
    assert!(shelf.bytes() < 20 * 3_000, "{}", shelf.bytes());
}

#[test]
fn a_thousand_objects_of_which_one_changes_are_not_written_twenty_times() {
    let mut shelf = Shelf::default();
    let mut objects = maps(1000);
    let first = shelf.keep("shop-000001", &Rendered::new(objects.clone(), &key()));
    let whole = shelf.bytes();
    assert!((4..=12).contains(&first), "{first}");
    for release in 2..=20 {
        // Lines move in the file, too: what is not changed is not written again.
        for object in &mut objects {
            object.location.line += 3;
        }
        let changed = release * 37 % 1000;
        objects[changed] = map(changed, &format!("release {release}"));
        let name = format!("shop-{release:06}");
        let set = Rendered::new(objects.clone(), &key());
        assert_eq!(shelf.keep(&name, &set), 2, "a manifest and a chunk");
        assert_eq!(shelf.kept(&name).unwrap(), set);
    }
    assert_eq!(shelf.secrets(), first + 38);
    assert!(
        shelf.bytes() < whole * 8,
        "{} bytes for twenty releases, {whole} for one",
        shelf.bytes()
    );
}

#[test]
fn one_more_or_one_less_changes_few_chunks() {
    let mut shelf = Shelf::default();
    let first = shelf.keep("shop-000001", &Rendered::new(maps(3000), &key()));
    let mut objects = maps(3000);
    objects.remove(1234);
    let written = shelf.keep("shop-000002", &Rendered::new(objects.clone(), &key()));
    assert!(written <= 3, "{written} of {first}");
    objects.push(object("aaa", json!({})));
    objects.push(object("zzz", json!({})));
    let written = shelf.keep("shop-000003", &Rendered::new(objects, &key()));
    assert!(written <= 4, "{written} of {first}");
}

#[test]
fn a_large_set_has_a_handful_of_chunks_too() {
    let mut shelf = Shelf::default();
    let written = shelf.keep(RELEASE, &Rendered::new(maps(10_000), &key()));
    assert!((4..=20).contains(&written), "{written}");
    assert!(shelf.0.values().flatten().all(|piece| piece.len() <= PIECE));
}

#[test]
fn what_no_secret_can_hold_is_cut() {
    // Nothing compresses this: a byte that changes with a hash of its place.
    let mut seed = 1_u64;
    let noise: String = (0..1_390_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from((seed >> 40) % 90).unwrap())
        })
        .collect();
    let set = Rendered::new(
        vec![object("large", json!({ "noise": noise })), map(1, "1")],
        &key(),
    );
    let stored = store::encode(&set_key(), RELEASE, &set, |_| false).unwrap();
    let most = stored.chunks.iter().map(|chunk| chunk.pieces.len()).max();
    assert_eq!(most, Some(2));
    let chunk = stored
        .chunks
        .iter()
        .find(|chunk| chunk.pieces.len() == 2)
        .unwrap();
    assert_eq!(store::pieces_of(&chunk.pieces[0]), Some(2));
    assert!(chunk.pieces.iter().all(|piece| piece.len() <= PIECE));
    let (name, mut whole) = (chunk.name.clone(), blobs(stored));
    assert_eq!(read(&set_key(), RELEASE, &whole).unwrap(), set);
    whole.get_mut(&name).unwrap().swap(0, 1);
    assert!(read(&set_key(), RELEASE, &whole).is_err());
}

#[test]
fn nothing_that_is_in_a_set_can_be_read_from_its_secrets() {
    let secret = "correct horse battery staple";
    let set = Rendered::new(
        vec![object("password", json!({"data": {"password": secret}}))],
        &key(),
    );
    let stored = store::encode(&set_key(), RELEASE, &set, |_| false).unwrap();
    let bytes = stored.manifest.pieces.concat();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(b"battery") && !holds(b"password") && !holds(b"deploy/all.yaml"));
    // Nor is it merely compressed.
    let packed = zstd::bulk::compress(secret.as_bytes(), 3).unwrap();
    assert!(!holds(&packed[4..]));
    assert!((0..bytes.len()).all(|at| zstd::bulk::decompress(&bytes[at..], 1 << 20).is_err()));
}

#[test]
fn the_same_set_makes_the_same_bytes_and_two_sets_never_share_a_nonce() {
    let sets: Vec<Rendered> = (0..300)
        .map(|n| Rendered::new(vec![map(1, &n.to_string())], &key()))
        .collect();
    let seal = |set| {
        store::encode(&set_key(), RELEASE, set, |_| false)
            .unwrap()
            .manifest
    };
    let nonces: BTreeSet<Vec<u8>> = sets
        .iter()
        .map(|set| seal(set).pieces[0][7..19].to_vec())
        .collect();
    assert_eq!(nonces.len(), sets.len());
    assert_eq!(seal(&sets[0]), seal(&sets[0]));
}

#[test]
fn plans_are_kept_whole() {
    let changes: Vec<Change> = (0..500)
        .map(|n| Change {
            action: "update".to_owned(),
            object: format!("ConfigMap shop/map-{n}"),
            fields: vec!["data.content: 1 → 2".to_owned()],
        })
        .collect();
    let blob = store::encode_plan(&set_key(), RELEASE, &changes).unwrap();
    assert_eq!(
        store::decode_plan(&set_key(), RELEASE, &blob.pieces).unwrap(),
        changes
    );
    let mut broken = blob.pieces.clone();
    broken[0][40] ^= 1;
    let error = store::decode_plan(&set_key(), RELEASE, &broken).unwrap_err();
    assert_eq!(error, StoreError::Damaged { name: blob.name });
}

#[test]
fn names_are_read_back_and_fit_whatever_the_application_is_called() {
    let binding = binding("tidegate", "uid-1");
    let prefix = store::prefix_of(&binding);
    let long = format!("{}-000001", "a.1".repeat(13));
    for release in ["shop-000007", "a.b-1234567", &long] {
        for piece in [0, 1, 299] {
            let manifest = store::piece_name(&store::manifest_name(&binding, release), piece);
            assert!(manifest.len() <= 253, "{manifest}");
            let end = manifest.strip_prefix(&prefix).unwrap();
            assert_eq!(store::part_of(end), Some(Part::Manifest { release }));
            let plan = store::piece_name(&store::plan_name(&binding, release), piece);
            let end = plan.strip_prefix(&prefix).unwrap();
            assert_eq!(store::part_of(end), Some(Part::Plan { release }));
        }
    }
    let id = "0".repeat(32);
    let chunk = format!("chunk.{id}");
    assert_eq!(store::part_of(&chunk), Some(Part::Chunk { id: &id }));
    assert_eq!(
        store::part_of(&store::piece_name(&chunk, 12)),
        Some(Part::Chunk { id: &id })
    );
    assert_eq!(store::part_of("key"), None);
}
