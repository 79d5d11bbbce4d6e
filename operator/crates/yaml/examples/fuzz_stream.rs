//! A fuzz loop for the stable toolchain: mutates the test cases with a seeded generator and checks that nothing
//! panics, that each input is done in bounded time, that what was read survives writing, and, on demand, that Go reads
//! the same.
//!
//! Environment: TIDEGATE_FUZZ_SECONDS (default 5), TIDEGATE_FUZZ_SEED (default 1), TIDEGATE_FUZZ_ORACLE=1 to compare
//! with Go in batches, TIDEGATE_FUZZ_STRICTER=1 to print where only we refuse. Exit code 1 on a finding.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read their corpus, start the oracle and measure time"
)]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a tool for developers"
)]

#[path = "../tests/support/corpus.rs"]
mod corpus;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_yaml::{Error, ErrorKind, Limits, parse_stream, to_string};

const BATCH: usize = 4000;
const SLOWEST: Duration = Duration::from_secs(5);
const SCRAPS: [&str; 48] = [
    "\n",
    "---\n",
    "--- ",
    "...\n",
    "\n---\n",
    ": ",
    ":",
    "- ",
    "-",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "&a ",
    "*a",
    "*a ",
    "!!str ",
    "!!int ",
    "!!binary ",
    "! ",
    "!x ",
    "<<: ",
    "<<",
    "|",
    ">",
    "|-\n  ",
    "\"",
    "'",
    "\\",
    "\\u00e9",
    "#",
    " #",
    " ",
    "  ",
    "\t",
    "\r",
    "\r\n",
    "\u{feff}",
    "\0",
    "1",
    "0x",
    "_",
    "~",
    "é",
    "%",
];

/// What we make of an input.
type Outcome = Result<Vec<Value>, Vec<Error>>;

/// SplitMix64: small, seeded, good enough to choose mutations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn mutate(text: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(text.len() + 1);
    let end = at + random.below((text.len() - at).min(12) + 1);
    match random.below(8) {
        0 | 1 => drop(text.splice(at..at, SCRAPS[random.below(SCRAPS.len())].bytes())),
        2 => drop(text.splice(at..end, SCRAPS[random.below(SCRAPS.len())].bytes())),
        3 => drop(text.drain(at..end)),
        4 => {
            let copy = text[at..end].to_vec();
            let to = random.below(text.len() + 1);
            drop(text.splice(to..to, copy));
        }
        5 => {
            let from = random.below(other.len() + 1);
            let piece = &other[from..(from + random.below(20)).min(other.len())];
            drop(text.splice(at..at, piece.iter().copied()));
        }
        6 => text.truncate(at),
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap();
            }
        }
    }
}

fn is_list(value: &Value) -> bool {
    value
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"))
}

/// Reads one input and checks what must hold for it.
fn check(text: &[u8]) -> Result<Outcome, String> {
    let limits = Limits::default();
    let start = Instant::now();
    let read = catch_unwind(|| parse_stream(text, &limits)).map_err(|_| "panic".to_owned())?;
    let taken = start.elapsed();
    if taken > SLOWEST {
        return Err(format!("took {taken:?}"));
    }
    let docs: Vec<Value> = match read {
        Ok(docs) => docs.into_iter().map(|doc| doc.value).collect(),
        Err(errors) => return Ok(Err(errors)),
    };
    for value in docs.iter().filter(|value| !is_list(value)) {
        let written = to_string(value);
        let again =
            parse_stream(written.as_bytes(), &limits).map_err(|errors| format!("{errors:?} in {written}"))?;
        let same = again.len() == 1 && again[0].value == *value;
        // A list in a list item may be null, and a null document is none.
        if !same && !value.is_null() {
            return Err(format!("{value} was written as {written}"));
        }
    }
    Ok(Ok(docs))
}

/// True where the refusal is a rule of ours. Anything else is libyaml being stricter than go-yaml: it is counted, but
/// no finding, because nothing is changed in silence (tests/cases/stricter.txt).
fn is_our_rule(errors: &[Error]) -> bool {
    errors.iter().all(|error| {
        matches!(
            error.kind,
            ErrorKind::DuplicateKey
                | ErrorKind::TooDeep
                | ErrorKind::TooLarge
                | ErrorKind::TooManyDocuments
                | ErrorKind::TooManyNodes
        )
    })
}

fn compare(batch: &[(Vec<u8>, Outcome)]) -> (usize, usize) {
    let answer = corpus::ask_oracle(batch.iter().map(|(text, _)| ("x", text.as_slice()))).unwrap();
    let (mut findings, mut stricter) = (0, 0);
    for ((text, ours), (_, theirs)) in batch.iter().zip(corpus::outcomes(&answer)) {
        let same = match (ours, &theirs) {
            (Ok(ours), Ok(theirs)) => corpus::all_same(ours, theirs),
            (Err(errors), Ok(_)) if is_our_rule(errors) => true,
            (Err(errors), Ok(_)) => {
                stricter += 1;
                if std::env::var_os("TIDEGATE_FUZZ_STRICTER").is_some() {
                    println!("STRICTER {:?}: {}", String::from_utf8_lossy(text), errors[0]);
                }
                true
            }
            (Err(_), Err(_)) => true,
            (Ok(_), Err(_)) => false,
        };
        if !same {
            findings += 1;
            println!(
                "DIFFERS {:?}\n    Go: {theirs:?}\n  ours: {ours:?}",
                String::from_utf8_lossy(text)
            );
        }
    }
    (findings, stricter)
}

fn main() {
    let setting = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let end = Instant::now() + Duration::from_secs(setting("TIDEGATE_FUZZ_SECONDS", 5));
    let with_oracle = std::env::var_os("TIDEGATE_FUZZ_ORACLE").is_some();
    let mut random = Random(setting("TIDEGATE_FUZZ_SEED", 1));
    let corpus: Vec<Vec<u8>> = corpus::cases().into_iter().map(|case| case.text).collect();
    let (mut inputs, mut accepted, mut findings, mut stricter) = (0_u64, 0_u64, 0_usize, 0_usize);
    let mut batch = Vec::new();
    while Instant::now() < end {
        let mut text = corpus[random.below(corpus.len())].clone();
        let other = &corpus[random.below(corpus.len())];
        for _ in 0..=random.below(5) {
            mutate(&mut text, other, &mut random);
        }
        inputs += 1;
        match check(&text) {
            Ok(outcome) => {
                accepted += u64::from(outcome.is_ok());
                if with_oracle {
                    batch.push((text, outcome));
                }
            }
            Err(problem) => {
                findings += 1;
                println!("FINDING {:?}: {problem}", String::from_utf8_lossy(&text));
            }
        }
        if batch.len() == BATCH {
            let (more, refused) = compare(&batch);
            (findings, stricter) = (findings + more, stricter + refused);
            batch.clear();
        }
    }
    if !batch.is_empty() {
        let (more, refused) = compare(&batch);
        (findings, stricter) = (findings + more, stricter + refused);
    }
    println!(
        "{inputs} inputs, {accepted} of them readable, {findings} findings, {stricter} refused where Go is laxer"
    );
    std::process::exit(i32::from(findings > 0));
}
