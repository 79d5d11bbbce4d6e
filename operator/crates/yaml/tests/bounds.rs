//! Hostile and broken files: a bounded error each, in bounded time, and every fault of a file at its place.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read their corpus, start the oracle and measure time"
)]

use std::time::{Duration, Instant};

use tidegate_yaml::{Class, ErrorKind, Limits, parse_stream};

fn kinds(text: &[u8], limits: &Limits) -> Vec<ErrorKind> {
    let errors = parse_stream(text, limits).expect_err("must be refused");
    errors.into_iter().map(|error| error.kind).collect()
}

fn bomb(levels: usize) -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..levels {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", "));
    }
    text
}

#[test]
fn every_bound_is_an_error_of_its_kind() {
    let small = Limits {
        max_bytes: 1000,
        max_documents: 2,
        max_depth: 3,
        max_nodes: 20,
    };
    assert_eq!(kinds(&[b' '; 1001], &small), [ErrorKind::TooLarge]);
    assert_eq!(
        kinds(b"a: 1\n---\na: 1\n---\na: 1\n---\na: 1\n", &small),
        [ErrorKind::TooManyDocuments]
    );
    assert_eq!(
        kinds(b"kind: List\nitems: [{a: 1}, {a: 1}, {a: 1}]", &small),
        [ErrorKind::TooManyDocuments]
    );
    assert_eq!(kinds(b"[[[[1]]]]", &small), [ErrorKind::TooDeep]);
    assert!(parse_stream(b"[[[1]]]", &small).is_ok());
    assert_eq!(kinds(b"a: &a [[1]]\nb: [[*a]]", &small), [ErrorKind::TooDeep]);
    assert_eq!(
        kinds(b"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", &small),
        [ErrorKind::TooManyNodes]
    );
    assert_eq!(
        kinds(b"a: &a [1,2,3,4]\nb: [*a, *a, *a]", &small),
        [ErrorKind::TooManyNodes]
    );
    let text = format!("a: &a {}\nb: [*a, *a, *a]", "x".repeat(900));
    assert_eq!(kinds(text.as_bytes(), &small), [ErrorKind::TooLarge]);
}

#[test]
fn alias_bombs_end_soon() {
    let kind = kinds(bomb(12).as_bytes(), &Limits::default());
    assert!(
        matches!(kind[..], [ErrorKind::Alias | ErrorKind::TooManyNodes]),
        "{kind:?}"
    );
    // Many small bombs in one file share one account.
    let text = vec![bomb(3); 3000].join("---\n");
    assert_eq!(
        kinds(text.as_bytes(), &Limits::default()).last(),
        Some(&ErrorKind::TooManyNodes)
    );
}

#[test]
fn shapes_that_are_slow_in_libyaml_are_bounded() {
    let long = |piece: &str, count: usize| piece.repeat(count);
    let inputs = [
        long("[", 200_000),
        long("{", 200_000),
        long("- ", 200_000),
        long("? ", 200_000),
        long("[{", 100_000),
        long("a: ", 100_000),
        long("%TAG !a! b\n", 100_000),
        long("%X y\n", 100_000),
        long("&a ", 100_000),
        long("!a ", 100_000),
        long("*a ", 100_000),
        long("\n", 1_000_000),
        long("---\n", 200_000),
        long("...\n", 200_000),
        long("a\n---\n", 100_000),
        long("# x\n---\n", 100_000),
        long("a:\n- ", 100_000),
        format!("a: \"{}", long("x ", 500_000)),
        format!("a: |\n{}", long("  x\n", 200_000)),
        format!("{}{}", long("[", 99), long("1,", 500_000)),
        format!("a: {}", long("'", 300_001)),
        format!(
            "x: &x {{{}}}\n{}",
            long("<<: {a: 1},", 1000),
            long("<<: *x\n", 1000)
        ),
        long("a: 1\n", 200_000),
        format!("\u{feff}{}", long("\r%TAG !a! b", 100_000)),
    ];
    for input in inputs {
        let start = Instant::now();
        let _ = parse_stream(input.as_bytes(), &Limits::default());
        let taken = start.elapsed();
        let head: String = input.chars().take(20).collect();
        assert!(taken < Duration::from_secs(20), "{head:?}... took {taken:?}");
    }
}

#[test]
fn all_faults_of_a_file_are_named_with_their_places() {
    let text = b"a: 1\na: 2\nb: .inf\n---\nok: 1\n---\nx: [1\n---\n--- y\nn: !!int z\n";
    let errors = parse_stream(text, &Limits::default()).unwrap_err();
    let seen: Vec<_> = errors
        .iter()
        .map(|error| (error.document, error.line, error.column, error.reason()))
        .collect();
    assert_eq!(
        seen,
        [
            (0, 2, 1, "YamlDuplicateKey"),
            (0, 3, 4, "YamlValue"),
            (2, 8, 1, "YamlSyntax"),
            (3, 9, 4, "YamlSeparator"),
            (3, 10, 4, "YamlValue"),
        ]
    );
    assert!(errors.iter().all(|error| error.class() == Class::Terminal));
}

#[test]
fn tabs_nul_and_binary_have_their_line() {
    let line = |text: &[u8]| parse_stream(text, &Limits::default()).unwrap_err()[0].line;
    assert_eq!(line(b"a:\n\tb: 1"), 2);
    assert_eq!(line(b"a: 1\n---\nb: 1\nc: \0"), 4);
    assert_eq!(line(b"a: 1\nb: \xff"), 2);
}

#[test]
fn documents_and_fields_know_their_lines() {
    let text =
        b"# head\n---\n# c\nkind: List\nitems:\n- kind: A\n  spec:\n    x: 1\n- kind: B\n---\nkind: C\n";
    let docs = parse_stream(text, &Limits::default()).unwrap();
    let places: Vec<_> = docs.iter().map(|doc| (doc.index, doc.line)).collect();
    assert_eq!(places, [(0, 6), (0, 9), (1, 11)]);
    assert_eq!(docs[0].positions.line_of("/spec/x"), Some(8));
    assert_eq!(docs[0].positions.line_of("/spec/y"), Some(7));
    assert_eq!(docs[2].positions.line_of(""), Some(11));
}

#[test]
fn a_utf16_file_is_split_like_any_other() {
    let text = "a: 1\n---\nb: \u{e9}\n";
    let wide: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let values = |bytes: &[u8]| -> Vec<_> {
        parse_stream(bytes, &Limits::default())
            .unwrap()
            .into_iter()
            .map(|doc| doc.value)
            .collect()
    };
    assert_eq!(values(&wide), values(text.as_bytes()));
}
