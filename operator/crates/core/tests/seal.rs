//! Sealed records: small, whole, chained; one changed byte anywhere is seen.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step of a test is a failed test"
)]

use serde_json::{Value, json};
use tidegate_api::Release;
use tidegate_core::seal::{self, Head, MAX_RECORD, Report, Sum};

const KEY: &str = "the-key";

/// A signature that only names what it is of.
fn signed_by(digest: &str, signature: &str) -> Result<String, String> {
    match signature.strip_prefix(digest) {
        Some(":signed") => Ok(KEY.to_owned()),
        _ => Err("is not of this digest".to_owned()),
    }
}

fn release(sequence: i64) -> Release {
    let name = format!("shop-{sequence:06}");
    serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Release",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{sequence}")},
        "spec": {
            "application": "shop", "applicationUID": "5f0c0b0e-7f0e-4f6c-8f55-1f1f2f3f4f5f", "sequence": sequence,
            "revision": {"commit": "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432", "tree": "1a2b3c4d5e6f70819203a4b5c6d7e8f901234567",
                "ref": "master", "author": "Alice Liddell <alice@example.com>", "committedAt": "2026-11-25T10:00:00Z",
                "subject": "Scale web for the sale"},
            "trigger": "Commit", "setDigest": "0123456789abcdef0123456789abcdef",
        },
        "status": {
            "phase": "Succeeded",
            "plan": {"digest": "fedcba9876543210fedcba9876543210", "create": 1, "update": 3, "unchanged": 20, "changes": [
                {"action": "create", "object": "ConfigMap shop/flags"},
                {"action": "update", "object": "Deployment shop/web", "fields": ["spec.replicas: 2 → 5", "spec.template.spec.containers[0].image: example.com/web:1.2.3 → example.com/web:1.3.0"]},
                {"action": "update", "object": "Deployment shop/worker", "fields": ["spec.template.spec.containers[0].image: example.com/web:1.2.3 → example.com/web:1.3.0"]},
                {"action": "update", "object": "Ingress shop/front", "fields": ["spec.rules[0].host: old.example.com → new.example.com"]},
            ]},
            "gates": [
                {"policy": "ReleasePolicy/office-hours", "gate": "Windows", "decision": "Open", "message": "open until 2026-11-25T17:00:00Z", "until": "2026-11-25T17:00:00Z"},
                {"policy": "ReleasePolicy/four-eyes", "gate": "Approvals", "decision": "Open", "message": "2 of 2: bob, carol"},
            ],
            "approvals": [
                {"name": "shop-000007-x7k2p", "approver": "oidc:bob", "at": "2026-11-25T10:05:00Z", "counts": true},
                {"name": "shop-000007-9m1qa", "approver": "oidc:carol", "at": "2026-11-25T10:06:00Z", "counts": true},
            ],
            "results": {"failedTotal": 0},
            "times": {"committed": "2026-11-25T10:00:00Z", "detected": "2026-11-25T10:00:04.123Z", "planned": "2026-11-25T10:00:05.456Z",
                "approved": "2026-11-25T10:06:00.789Z", "applied": "2026-11-25T10:06:02.012Z", "healthy": "2026-11-25T10:06:12.345Z", "finished": "2026-11-25T10:06:12.345Z"},
            "display": {"revision": "master@9f8e7d6c", "changes": "+1 ~3 -0", "by": "Alice Liddell", "took": "6m8s", "message": "24 of 24 objects are healthy"},
        },
    }))
    .unwrap()
}

/// Seals the next one of a chain, as the operator does.
fn add(chain: &mut Vec<Release>, limit: usize) {
    let mut next = release(chain.iter().map(|r| r.spec.sequence).max().unwrap_or(0) + 1);
    seal_one(chain, &mut next, limit);
    chain.push(next);
    chain.sort_by_key(|r| std::cmp::Reverse(r.spec.sequence));
    chain.truncate(limit);
    chain.reverse();
}

fn seal_one(chain: &[Release], next: &mut Release, limit: usize) {
    let head = seal::head(chain);
    let numbers = chain.iter().chain([&*next]).map(|r| r.spec.sequence).collect();
    let from = seal::kept_from(numbers, limit, next.spec.sequence, &head);
    let name = next.metadata.name.clone().unwrap();
    let status = next.status.as_mut().unwrap();
    seal::seal("shop", &name, &next.spec, status, &head, from).unwrap();
    let digest = status.digest.clone().unwrap();
    status.signature = Some(format!("{digest}:signed"));
}

fn chain(length: usize, limit: usize) -> Vec<Release> {
    let mut chain = Vec::new();
    for _ in 0..length {
        add(&mut chain, limit);
    }
    chain
}

fn check(chain: &[Release]) -> Report {
    let last = chain.iter().map(|r| r.spec.sequence).max().unwrap_or(0);
    seal::check(chain, last, &signed_by)
}

fn changed(release: &Release, pointer: &str, value: Value) -> Release {
    let mut json = serde_json::to_value(release).unwrap();
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_chain_is_whole_and_says_where_it_begins() {
    let report = check(&chain(3, 20));
    assert_eq!((report.faults, report.notes), (vec![], vec![]));
    assert_eq!(report.keys, [KEY]);
    let trimmed = check(&chain(9, 4));
    assert!(trimmed.faults.is_empty(), "{trimmed:#?}");
    assert_eq!(
        trimmed.notes,
        ["the chain begins at shop-000006, its record number 6; older ones were trimmed by historyLimit"]
    );
    assert_eq!(trimmed.head.unwrap().name, "shop-000009");
}

#[test]
fn every_flipped_byte_of_a_record_is_seen() {
    let whole = chain(2, 20);
    let text = whole[0].status.as_ref().unwrap().record.clone().unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let mut chain = whole.clone();
        chain[0].status.as_mut().unwrap().record = Some(String::from_utf8(bytes).unwrap());
        let report = check(&chain);
        assert!(
            report
                .faults
                .iter()
                .any(|f| f.starts_with("shop-000001: status.record was changed")),
            "byte {at}: {report:#?}"
        );
        assert_eq!(report.releases[0].sum, Sum::Broken);
    }
}

#[test]
fn what_stands_in_the_open_is_what_was_sealed() {
    let whole = chain(2, 20);
    for (pointer, value, field) in [
        ("/status/phase", json!("Failed"), "status.phase"),
        ("/status/plan/update", json!(4), "status.plan"),
        ("/status/gates/1/decision", json!("Closed"), "status.gates"),
        (
            "/status/approvals/0/approver",
            json!("oidc:mallory"),
            "status.approvals",
        ),
        (
            "/status/times/finished",
            json!("2026-11-25T10:06:13Z"),
            "status.times",
        ),
        (
            "/spec/revision/author",
            json!("Mallory <m@example.com>"),
            "spec.revision",
        ),
    ] {
        let mut chain = whole.clone();
        chain[1] = changed(&chain[1], pointer, value);
        assert_eq!(
            check(&chain).faults,
            [format!("shop-000002: {field} differs from what was sealed")]
        );
    }
}

#[test]
fn a_forged_record_does_not_fit_into_the_chain() {
    let mut chain = chain(3, 20);
    // Whoever has the key could seal something else in its place; the one after it does not name that.
    let mut forged = changed(&chain[1], "/status/display/by", json!("Mallory"));
    seal_one(&chain[..1], &mut forged, 20);
    chain[1] = forged;
    assert_eq!(
        check(&chain).faults,
        ["shop-000002: is not the record that shop-000003 was sealed after"]
    );
    chain[1].status.as_mut().unwrap().signature = Some("of something else".to_owned());
    assert!(
        check(&chain)
            .faults
            .contains(&"shop-000002: status.signature is not of this digest".to_owned())
    );
}

#[test]
fn one_taken_out_is_missed_wherever_it_stood() {
    let whole = chain(9, 5);
    for (at, name) in [(0, "shop-000005"), (2, "shop-000007"), (4, "shop-000009")] {
        let mut chain = whole.clone();
        chain.remove(at);
        let report = seal::check(&chain, 9, &signed_by);
        assert_eq!(
            report.faults,
            [format!("{name}: is missing, and was not trimmed by historyLimit")]
        );
    }
    // Also when the operator goes on after it.
    let mut chain = whole;
    chain.remove(2);
    add(&mut chain, 5);
    assert_eq!(
        check(&chain).faults,
        ["shop-000007: is missing, and was not trimmed by historyLimit"]
    );
}

#[test]
fn the_last_good_one_outlives_the_history_and_a_raised_limit_misses_nothing() {
    let mut all = chain(6, 20);
    let good = all[0].clone();
    all.drain(..4);
    // As trimming left it: the last good one, and the newest two.
    all.insert(0, good);
    let mut next = release(7);
    let head = seal::head(&all);
    assert_eq!(head.number, 6);
    // The limit was 2 when the sixth was sealed.
    let mut sixth = release(6);
    seal_one(&all[..2], &mut sixth, 2);
    all[2] = sixth;
    seal_one(&all, &mut next, 20);
    all.push(next);
    let report = check(&all);
    assert!(report.faults.is_empty(), "{report:#?}");
}

#[test]
fn two_with_the_same_one_before_them_are_a_fork() {
    let mut chain = chain(2, 20);
    let mut fork = release(3);
    seal_one(&chain[..1], &mut fork, 20);
    chain.push(fork);
    let report = check(&chain);
    assert!(
        report.faults[0].contains("names shop-000001 as the record before it, as shop-000002 does"),
        "{report:#?}"
    );
}

#[test]
fn releases_from_before_sealing_are_said_and_later_ones_without_a_seal_are_faults() {
    let old = release(1);
    let mut chain = vec![old];
    add(&mut chain, 20);
    add(&mut chain, 20);
    let report = check(&chain);
    assert!(report.faults.is_empty(), "{report:#?}");
    assert_eq!(report.notes, ["shop-000001: was made before records were sealed"]);
    let status = chain[2].status.as_mut().unwrap();
    (status.record, status.digest, status.signature) = (None, None, None);
    assert_eq!(
        check(&chain).faults,
        ["shop-000003: is finished and not sealed, though shop-000002 before it is"]
    );
    assert_eq!(
        check(&[release(1)]).faults,
        ["none of 1 finished Releases is sealed: there is nothing that could be verified"]
    );
}

#[test]
fn a_record_of_another_release_is_refused() {
    let mut chain = chain(2, 20);
    chain[1].status = chain[0].status.clone();
    let report = check(&chain);
    assert!(
        report
            .faults
            .contains(&"shop-000002: status.record is that of shop/shop-000001".to_owned()),
        "{report:#?}"
    );
}

/// Text that does not compress: digits of hashes.
fn noise(seed: usize, length: usize) -> String {
    let mut text = String::new();
    for n in 0.. {
        text.push_str(&seal::digest(&format!("{seed} {n}")));
        if text.len() >= length {
            break;
        }
    }
    text.truncate(length);
    text
}

#[test]
fn records_are_small_whatever_the_release() {
    let length = |release: &Release| {
        let mut release = release.clone();
        seal_one(&[], &mut release, 20);
        let text = release.status.unwrap().record.unwrap();
        (text.len(), seal::open(&text).unwrap().brevity)
    };
    let typical = length(&release(7));
    assert!(typical.0 < 1500 && typical.1 == 0, "{typical:?}");
    // Twenty changes of five fields each, twenty failures, many gates: as large as a Release can be.
    let mut large = release(7);
    let status = large.status.as_mut().unwrap();
    let fields: Vec<String> = (0..5)
        .map(|n| format!("spec.field{n}: {} → {}", noise(n, 40), noise(n + 9, 40)))
        .collect();
    status.plan.changes = (0..20)
        .map(|n| {
            let object = format!("Deployment shop/{}", noise(n, 30));
            serde_json::from_value(json!({"action": "update", "object": object, "fields": fields})).unwrap()
        })
        .collect();
    status.results.failed = (0..20)
        .map(|n| serde_json::from_value(json!({"object": noise(n, 40), "message": noise(n, 400)})).unwrap())
        .collect();
    status.gates = (0..16)
        .map(|n| serde_json::from_value(json!({"policy": format!("ReleasePolicy/policy-{n}"), "gate": "Rules", "decision": "Open", "message": noise(n, 300)})).unwrap())
        .collect();
    let largest = length(&large);
    assert!(largest.0 <= MAX_RECORD && largest.1 == 4, "{largest:?}");
    // What the record leaves out may be anything; what it has is held to it.
    let mut chain = vec![];
    seal_one(&[], &mut large, 20);
    chain.push(large.clone());
    assert!(check(&chain).faults.is_empty());
    chain[0] = changed(&large, "/status/gates/3/decision", json!("Overridden"));
    assert_eq!(
        check(&chain).faults,
        ["shop-000007: status.gates differs from what was sealed"]
    );
}

#[test]
fn what_is_no_record_is_refused_with_its_reason() {
    for (text, why) in [
        ("", "does not begin with tgr1:"),
        ("tgr2:AAAA", "does not begin with tgr1:"),
        ("tgr1:*", "is not base64"),
        ("tgr1:AAAA", "cannot be unpacked"),
    ] {
        let error = seal::open(text).unwrap_err();
        assert!(error.starts_with(why), "{text}: {error}");
    }
    assert_eq!(seal::head(&[release(1)]), Head::default());
}
