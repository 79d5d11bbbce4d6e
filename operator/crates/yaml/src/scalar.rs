//! What a scalar means: the resolver of go-yaml v2 (`resolve.go`, `decode.go`), rule by rule. Knows one scalar at a
//! time; owns neither places nor nesting.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::number::{parse_float, parse_int, parse_point_float, parse_uint};
use crate::timestamp::is_timestamp;

/// A scalar's value, in the types go-yaml tells apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    Str(String),
}

const LONG_PREFIX: &str = "tag:yaml.org,2002:";

/// Go's decoder ignores the bits that a last base64 character leaves over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The tag of a merge key, written out.
pub(crate) const MERGE_TAG: &str = "tag:yaml.org,2002:merge";

/// The value of a scalar. `plain` as libyaml says it: no quotes and no tag, or the tag `!`.
///
/// # Errors
/// A message where the text does not fit its tag.
pub(crate) fn resolve(text: &str, tag: Option<&str>, plain: bool) -> Result<Scalar, String> {
    let Some(tag) = tag else {
        return Ok(if plain {
            untagged(text, false)
        } else {
            Scalar::Str(text.to_owned())
        });
    };
    let short = tag.strip_prefix(LONG_PREFIX);
    let value = match short {
        Some("binary") => return binary(text),
        Some("str") => return Ok(Scalar::Str(text.to_owned())),
        Some("timestamp") if is_timestamp(text) => return Ok(Scalar::Str(text.to_owned())),
        Some("bool" | "int" | "float" | "null" | "timestamp") => untagged(text, true),
        // A tag nobody knows is ignored, and its text stays text.
        _ => return Ok(Scalar::Str(text.to_owned())),
    };
    match (short, value) {
        (Some("bool"), value @ Scalar::Bool(_))
        | (Some("null"), value @ Scalar::Null)
        | (Some("int"), value @ (Scalar::Int(_) | Scalar::Uint(_)))
        | (Some("float"), value @ Scalar::Float(_)) => Ok(value),
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        (Some("float"), Scalar::Int(value)) => Ok(Scalar::Float(value as f64)),
        _ => Err(format!(
            "`{}` is not a !!{}; correct the value or drop the tag",
            clip(text),
            short.unwrap_or(tag)
        )),
    }
}

/// What an unquoted text is; `tagged` where a tag stands before it, which rules out timestamps: those are texts.
fn untagged(text: &str, tagged: bool) -> Scalar {
    let Some(first) = text.bytes().next() else {
        return Scalar::Null;
    };
    if let Some(named) = named(text) {
        return named;
    }
    let string = || Scalar::Str(text.to_owned());
    match first {
        b'.' => parse_point_float(text).map_or_else(string, Scalar::Float),
        b'+' | b'-' | b'0'..=b'9' if tagged || !is_timestamp(text) => number(text).unwrap_or_else(string),
        _ => string(),
    }
}

fn named(text: &str) -> Option<Scalar> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn number(text: &str) -> Option<Scalar> {
    let text = text.replace('_', "");
    if let Some(value) = parse_int(&text, 0) {
        return Some(Scalar::Int(value));
    }
    if let Some(value) = parse_uint(&text, 0) {
        return Some(Scalar::Uint(value));
    }
    if let Some(value) = parse_float(&text) {
        return Some(Scalar::Float(value));
    }
    // What Go's integers leave over of binary numbers: a sign behind the prefix.
    if let Some(digits) = text.strip_prefix("0b") {
        return parse_int(digits, 2).map(Scalar::Int);
    }
    let digits = text.strip_prefix("-0b")?;
    parse_int(&format!("-{digits}"), 2).map(Scalar::Int)
}

fn binary(text: &str) -> Result<Scalar, String> {
    let packed: String = text
        .chars()
        .filter(|character| !matches!(character, '\r' | '\n'))
        .collect();
    match BASE64.decode(packed) {
        Ok(bytes) => Ok(Scalar::Str(lossy(&bytes))),
        Err(_) => Err("a !!binary value is not base64; correct it".to_owned()),
    }
}

/// Bytes as `encoding/json` writes them: each byte that is no UTF-8 becomes U+FFFD.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// The first characters of a text, for messages.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_convert_or_refuse() {
        let tagged = |text: &str, tag: &str| resolve(text, Some(&format!("{LONG_PREFIX}{tag}")), false);
        assert_eq!(tagged("3", "float"), Ok(Scalar::Float(3.0)));
        assert_eq!(tagged("3", "int"), Ok(Scalar::Int(3)));
        assert_eq!(tagged("3", "str"), Ok(Scalar::Str("3".to_owned())));
        assert!(tagged("3.5", "int").is_err());
        assert!(tagged("x", "null").is_err());
        assert_eq!(tagged("/w==", "binary"), Ok(Scalar::Str("\u{fffd}".to_owned())));
        assert_eq!(
            resolve("3", Some("!mine"), false),
            Ok(Scalar::Str("3".to_owned()))
        );
    }
}
