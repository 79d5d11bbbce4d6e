//! What is remembered of a failed commit, and which later sets that holds back.

use serde_json::json;
use tidegate_api::application::{Culprit, Quarantined};
use tidegate_api::release::Failure;
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::quarantine::{Failed, MAX_CULPRITS, MAX_QUARANTINED, add, clear, entry, holding, line};

fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

fn object(kind: &str, name: &str, content: &str) -> DesiredObject {
    let group = if kind == "Deployment" { "apps" } else { "" };
    let body =
        json!({ "kind": kind, "metadata": { "name": name }, "data": content, "uses": [{"name": "conf"}] });
    DesiredObject {
        id: ObjectId::new(group, kind, "shop", name),
        version: "v1".into(),
        location: Location {
            file: "a.yaml".into(),
            line: 1,
        },
        digest: key().of_value(&body),
        body,
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

fn set(objects: &[(&str, &str, &str)]) -> Rendered {
    let objects = objects
        .iter()
        .map(|(kind, name, content)| object(kind, name, content));
    Rendered::new(objects.collect(), &key())
}

fn failed(commit: &str, set: &Rendered, good: Option<&Rendered>, objects: &[&str]) -> Quarantined {
    let failures: Vec<Failure> = objects
        .iter()
        .map(|object| Failure {
            object: (*object).to_owned(),
            ..Failure::default()
        })
        .collect();
    entry(&Failed {
        commit,
        release: &format!("shop-{commit}"),
        cause: "CrashLoopBackOff: back-off",
        failures: &failures,
        set: Some(set),
        good,
    })
}

fn ids(entry: &Quarantined) -> Vec<&str> {
    entry.culprits.iter().map(|culprit| culprit.id.as_str()).collect()
}

const WEB: &str = "Deployment shop/web";

#[test]
fn the_culprit_is_what_failed_and_was_changed_and_a_change_of_it_passes() {
    let good = set(&[("Deployment", "web", "1"), ("ConfigMap", "conf", "1")]);
    let bad = set(&[("Deployment", "web", "2"), ("ConfigMap", "conf", "2")]);
    let list = [failed("bad", &bad, Some(&good), &[WEB])];
    assert_eq!(ids(&list[0]), ["apps/Deployment/shop/web"]);
    let held = |set: &Rendered, commit: &str| holding(&list, set, commit).is_some();
    assert!(held(&bad, "bad"), "the commit itself");
    assert!(held(&bad, "pushed again"));
    let on_top = set(&[
        ("Deployment", "web", "2"),
        ("ConfigMap", "conf", "3"),
        ("ConfigMap", "x", "1"),
    ]);
    assert!(held(&on_top, "unrelated"));
    assert!(!held(&set(&[("Deployment", "web", "3")]), "fixed"));
    assert!(!held(&set(&[("ConfigMap", "conf", "2")]), "it is gone"));
    assert!(!held(&good, "reverted"));
    assert!(
        !held(&set(&[("Deployment", "web", "3")]), "bad"),
        "the spec makes something else of it"
    );
    let said = line(&list[0], "unrelated");
    for word in ["shop-bad", "Deployment shop/web", "CrashLoopBackOff"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn what_fails_over_what_it_reads_is_held_with_that() {
    let good = set(&[
        ("Deployment", "web", "1"),
        ("ConfigMap", "conf", "1"),
        ("ConfigMap", "x", "1"),
    ]);
    let bad = set(&[
        ("Deployment", "web", "1"),
        ("ConfigMap", "conf", "2"),
        ("ConfigMap", "x", "2"),
    ]);
    let entry = failed("bad", &bad, Some(&good), &[WEB]);
    assert_eq!(
        ids(&entry),
        ["/ConfigMap/shop/conf"],
        "the workload names it, and not the other"
    );

    let without = set(&[("Deployment", "web", "1"), ("ConfigMap", "x", "1")]);
    let list = [failed("bad", &without, Some(&good), &[WEB])];
    let removed = Culprit {
        id: "/ConfigMap/shop/conf".to_owned(),
        digest: String::new(),
    };
    assert_eq!(list[0].culprits, [removed]);
    assert!(holding(&list, &without, "again").is_some());
    assert!(holding(&list, &good, "it is there again").is_none());
    assert!(line(&list[0], "again").contains("which it removes"));
}

#[test]
fn where_nothing_says_which_it_was_all_that_changed_counts() {
    let good = set(&[
        ("ConfigMap", "a", "1"),
        ("ConfigMap", "b", "1"),
        ("Deployment", "db", "1"),
    ]);
    let bad = set(&[
        ("ConfigMap", "a", "2"),
        ("ConfigMap", "b", "2"),
        ("Deployment", "db", "1"),
    ]);
    let list = [failed("bad", &bad, Some(&good), &["Deployment shop/db"])];
    assert_eq!(ids(&list[0]), ["/ConfigMap/shop/a", "/ConfigMap/shop/b"]);
    let half = set(&[
        ("ConfigMap", "a", "3"),
        ("ConfigMap", "b", "2"),
        ("Deployment", "db", "1"),
    ]);
    assert!(holding(&list, &half, "one of them").is_none());

    let many = |content: &str| {
        let mut all: Vec<DesiredObject> = (0..=MAX_CULPRITS)
            .map(|n| object("ConfigMap", &format!("m{n}"), content))
            .collect();
        all.push(object("Deployment", "db", "1"));
        Rendered::new(all, &key())
    };
    let bad = many("2");
    let list = [failed("bad", &bad, Some(&many("1")), &["Deployment shop/db"])];
    assert_eq!(ids(&list[0]), ["*"]);
    assert!(holding(&list, &bad, "again").is_some());
    let mut other = bad.objects;
    other.push(object("ConfigMap", "x", "1"));
    assert!(holding(&list, &Rendered::new(other, &key()), "any other set").is_none());
}

#[test]
fn without_a_set_only_the_commit_itself_is_held() {
    let list = [entry(&Failed {
        commit: "bad",
        release: "shop-000002",
        cause: "",
        failures: &[],
        set: None,
        good: None,
    })];
    let any = set(&[("ConfigMap", "a", "1")]);
    assert!(holding(&list, &any, "bad").is_some());
    assert!(holding(&list, &any, "other").is_none());
}

#[test]
fn the_list_is_bounded_forgets_the_oldest_and_what_proved_good() {
    let mut list = Vec::new();
    let of = |n: usize| set(&[("Deployment", "web", &format!("bad {n}"))]);
    for n in 0..MAX_QUARANTINED + 3 {
        add(&mut list, failed(&format!("c{n}"), &of(n), None, &[WEB]));
    }
    assert_eq!(list.len(), MAX_QUARANTINED);
    assert!(holding(&list, &of(2), "x").is_none(), "forgotten");
    assert!(holding(&list, &of(3), "x").is_some());
    // The same content once more is one entry, the newest.
    let again = failed("c5", &of(5), None, &[WEB]);
    add(&mut list, again.clone());
    assert_eq!(list.len(), MAX_QUARANTINED);
    assert_eq!(list.last(), Some(&again));
    // Another set that is good clears nothing; this one, passed by an Override, does.
    clear(&mut list, &set(&[("Deployment", "web", "good")]));
    assert!(
        holding(&list, &of(5), "x").is_some(),
        "pushed again after the fix it is known"
    );
    clear(&mut list, &of(5));
    assert!(holding(&list, &of(5), "x").is_none());
    assert!(holding(&list, &of(6), "x").is_some());
}
