//! JSON values as YAML that Go, this reader and YAML 1.2 readers all understand alike: whatever could be read as
//! another type is quoted. Owns the style; keeps the order of keys.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// libyaml takes a key on one line only up to 1024 characters; longer ones are written with `? `.
const MAX_SIMPLE_KEY: usize = 1000;

/// The value as one YAML document in block style, ending in a newline and without `---`.
///
/// Reading it back gives the same value, except that a float without a fraction comes back as an integer, as from Go.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => {
            inline(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// Entries, the first one where the cursor stands and the others at `indent`.
fn mapping(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (number, (key, value)) in map.iter().enumerate() {
        if number > 0 {
            pad(indent, out);
        }
        let start = out.len();
        word(key, out);
        if out.len() - start > MAX_SIMPLE_KEY {
            out.insert_str(start, "? ");
            out.push('\n');
            pad(indent, out);
        }
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(indent + 2, out);
                mapping(inner, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(indent, out);
                sequence(items, indent, out);
            }
            other => {
                out.push(' ');
                inline(other, indent, out);
                out.push('\n');
            }
        }
    }
}

/// Items, the first one where the cursor stands and the others at `indent`.
fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(map, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, indent + 2, out),
            other => {
                inline(other, indent, out);
                out.push('\n');
            }
        }
    }
}

/// A scalar or an empty collection, without the newline behind it.
fn inline(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // serde_json writes floats with a fraction or an exponent, which go-yaml reads as floats.
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) if is_block_text(text) => block(text, indent, out),
        Value::String(text) => word(text, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A string on one line: plain where no reader can mistake it, else in double quotes.
fn word(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if is_printable(character) => out.push(character),
            _ if (character as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02X}", character as u32);
            }
            _ if (character as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04X}", character as u32);
            }
            _ => {
                let _ = write!(out, "\\U{:08X}", character as u32);
            }
        }
    }
    out.push('"');
}

/// Characters that may stand in the text as they are: those libyaml accepts, without its line breaks and the mark.
fn is_printable(character: char) -> bool {
    matches!(character,
        ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}'
        | '\u{10000}'..)
}

/// True for a text that is a string to every reader when it stands without quotes: it starts with a letter, `/` or
/// `_`, is not a word that names another type, and has nothing that ends a plain scalar.
fn is_plain(text: &str) -> bool {
    let starts_well =
        text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '_'));
    let fits = |character: char| character.is_ascii_alphanumeric() || " _./:-@+=(),%".contains(character);
    starts_well
        && text.chars().all(fits)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && text.len() <= 120
        && !is_type_word(text)
}

fn is_type_word(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// True for a text of several lines that a literal block can hold and a person can read.
fn is_block_text(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text
            .chars()
            .all(|character| matches!(character, '\n' | '\t') || is_printable(character))
}

fn block(text: &str, indent: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    let newlines = text.len() - body.len();
    out.push_str(match newlines {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent + 2, out);
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', newlines.saturating_sub(1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_as_another_type_is_quoted() {
        for text in [
            "yes",
            "1_000",
            "0777",
            "1e3",
            "~",
            "null",
            "",
            "2024-01-01",
            "12:30",
            "<<",
            "=",
            "y",
            ".inf",
        ] {
            assert_eq!(to_string(&Value::from(text)), format!("\"{text}\"\n"));
        }
        assert_eq!(to_string(&Value::from("nginx:1.25")), "nginx:1.25\n");
    }

    #[test]
    fn the_style_is_kubectl_s() {
        let value = serde_json::json!({"spec": {"list": [{"a": 1, "b": [true, []]}, "x\ny\n"], "e": {}}});
        let text = "spec:\n  list:\n  - a: 1\n    b:\n    - true\n    - []\n  - |\n    x\n    y\n  e: {}\n";
        assert_eq!(to_string(&value), text);
    }
}
