//! The cases of this room's tests, and the Go program that says what they mean. Shared by tests and the fuzz loop.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests; each takes what it needs"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read their corpus, start the oracle and measure time"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// One named input.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
}

/// What Go makes of a case: the documents, or an error.
pub(crate) type Outcome = Result<Vec<Value>, String>;

pub(crate) fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All cases that Go and we must agree on, in a fixed order.
pub(crate) fn cases() -> Vec<Case> {
    let apart = |path: &PathBuf| path.ends_with("duplicates.txt") || path.ends_with("stricter.txt");
    files()
        .into_iter()
        .filter(|path| !apart(path))
        .flat_map(|path| read(&path))
        .collect()
}

/// Duplicate keys, which Go accepts.
pub(crate) fn duplicates() -> Vec<Case> {
    read(&crate_dir().join("tests/cases/duplicates.txt"))
}

/// Where libyaml refuses what Go accepts.
pub(crate) fn stricter() -> Vec<Case> {
    read(&crate_dir().join("tests/cases/stricter.txt"))
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(crate_dir().join("tests/cases")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Vec<Case> {
    let bytes = std::fs::read(path).unwrap();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    if path.extension().is_some_and(|extension| extension == "yaml") {
        return vec![Case {
            name: format!("{stem}.yaml"),
            text: bytes,
        }];
    }
    let table = String::from_utf8(bytes).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (name, text) = row
            .split_once(" = ")
            .unwrap_or_else(|| panic!("{stem}: no ` = ` in {row}"));
        Case {
            name: format!("{stem}/{name}"),
            text: unescape(text),
        }
    })
    .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, used) = match rest.as_bytes()[at + 1] {
            b'n' => (b'\n', 2),
            b'r' => (b'\r', 2),
            b't' => (b'\t', 2),
            b'\\' => (b'\\', 2),
            b'x' => (u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap(), 4),
            other => panic!("no escape: \\{}", char::from(other)),
        };
        bytes.push(byte);
        rest = &rest[at + used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Asks the Go program; an error says why it cannot be run.
pub(crate) fn ask_oracle<'a>(cases: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<String, String> {
    let input: Vec<Value> = cases
        .map(|(name, text)| json!({"name": name, "base64": STANDARD.encode(text)}))
        .collect();
    let mut child = Command::new("go")
        .args(["run", "."])
        .current_dir(crate_dir().join("tests/oracle"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("go cannot be started: {error}"))?;
    let mut stdin = child.stdin.take().unwrap();
    let text = Value::Array(input).to_string();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| format!("go was lost: {error}"))?;
    let written = writer.join().unwrap();
    if !output.status.success() {
        return Err(format!(
            "the oracle failed ({written:?}): {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// The outcomes in an answer of the oracle, with the cases' names.
pub(crate) fn outcomes(answer: &str) -> Vec<(String, Outcome)> {
    let answer: Vec<Value> = serde_json::from_str(answer).unwrap();
    answer
        .into_iter()
        .map(|entry| {
            let outcome = match entry["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(entry["docs"].as_array().cloned().unwrap_or_default()),
            };
            (entry["name"].as_str().unwrap().to_owned(), outcome)
        })
        .collect()
}

/// Equality but for the last digit of a float: serde_json reads Go's answer without its slow exact mode.
pub(crate) fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let same_field =
                |(key, ours): (&String, &Value)| theirs.get(key).is_some_and(|theirs| same(ours, theirs));
            ours.len() == theirs.len() && ours.iter().all(same_field)
        }
        (Value::Number(ours), Value::Number(theirs)) if ours.is_f64() && theirs.is_f64() => {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            ours == theirs || ((ours - theirs) / ours).abs() < 1e-15
        }
        _ => ours == theirs,
    }
}

/// [`same`] for all documents of a file.
pub(crate) fn all_same(ours: &[Value], theirs: &[Value]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
}
