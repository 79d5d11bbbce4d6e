//! Agreement with Go: every case of tests/cases means what tests/expected.json says, which the Go program wrote.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read their corpus, start the oracle and measure time"
)]

#[path = "support/corpus.rs"]
mod corpus;

use corpus::{all_same, ask_oracle, cases, crate_dir, duplicates, outcomes, stricter};
use tidegate_yaml::{ErrorKind, Limits, parse_stream};

fn expected() -> String {
    std::fs::read_to_string(crate_dir().join("tests/expected.json")).unwrap()
}

#[test]
fn every_case_means_what_go_makes_of_it() {
    let expected = outcomes(&expected());
    let cases = cases();
    assert!(cases.len() >= 300, "only {} cases", cases.len());
    assert_eq!(cases.len(), expected.len(), "expected.json is not of these cases");
    let mut differences = Vec::new();
    for (case, (name, want)) in cases.iter().zip(&expected) {
        assert_eq!(&case.name, name);
        let got = parse_stream(&case.text, &Limits::default());
        let got: Result<Vec<serde_json::Value>, _> =
            got.map(|docs| docs.into_iter().map(|doc| doc.value).collect());
        let same = match (&got, want) {
            (Ok(got), Ok(want)) => all_same(got, want),
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if !same {
            let text = String::from_utf8_lossy(&case.text);
            differences.push(format!("{name}: {text:?}\n   Go: {want:?}\n  our: {got:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Set TIDEGATE_WRITE_EXPECTED=1 to write the file anew, TIDEGATE_REQUIRE_GO=1 to fail where Go is missing.
#[test]
fn oracle_is_current() {
    let cases = cases();
    let answer = match ask_oracle(
        cases
            .iter()
            .map(|case| (case.name.as_str(), case.text.as_slice())),
    ) {
        Ok(answer) => answer,
        Err(error) if std::env::var_os("TIDEGATE_REQUIRE_GO").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    if std::env::var_os("TIDEGATE_WRITE_EXPECTED").is_some() {
        std::fs::write(crate_dir().join("tests/expected.json"), &answer).unwrap();
    }
    assert!(
        answer == expected(),
        "tests/expected.json is stale: run with TIDEGATE_WRITE_EXPECTED=1 and review"
    );
}

#[test]
fn a_duplicate_key_is_refused_with_both_places() {
    for case in duplicates() {
        let errors = parse_stream(&case.text, &Limits::default()).expect_err(&case.name);
        assert!(
            errors.iter().all(|error| error.kind == ErrorKind::DuplicateKey),
            "{}: {errors:?}",
            case.name
        );
    }
    let errors = parse_stream(b"x: 1\n---\na: 1\nb: 2\n\na: 3\n", &Limits::default()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "line 6, column 1 (document 2): key \"a\" stands twice in one mapping, at line 3, column 1 and at line 6, \
         column 1; kubectl would silently take the last: remove one"
    );
}

#[test]
fn what_libyaml_cannot_read_as_go_does_is_refused_and_not_changed() {
    for case in stricter() {
        let errors = parse_stream(&case.text, &Limits::default()).expect_err(&case.name);
        assert_eq!(errors[0].kind, ErrorKind::Syntax, "{}", case.name);
    }
}
