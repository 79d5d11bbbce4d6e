//! Scalars as the API server reads them: type names, quantities, base64, times.

use base64::Engine;
use serde_json::Value;

/// A value's type with its article, for messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A whole number, `3.0` included as the server does; `None` for other values.
pub(super) fn integer(value: &Value) -> Option<i128> {
    let Value::Number(number) = value else { return None };
    if let Some(n) = number.as_i64() {
        return Some(i128::from(n));
    }
    if let Some(n) = number.as_u64() {
        return Some(i128::from(n));
    }
    let float = number.as_f64()?;
    // Beyond 2^100 a double fits no integer field; the bound keeps the conversion exact.
    (float.fract() == 0.0 && float.abs() < 1e30).then_some(float as i128)
}

/// Whether a text is a resource quantity: sign, decimal digits, then a binary, decimal or exponent suffix.
pub(super) fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits_end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits_end);
    let well_formed = number.matches('.').count() <= 1 && number.contains(|c: char| c.is_ascii_digit());
    const SUFFIXES: &[&str] = &[
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    let exponent = || {
        let digits = suffix.strip_prefix(['e', 'E'])?;
        let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        Some(!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    well_formed && (SUFFIXES.contains(&suffix) || exponent() == Some(true))
}

/// Whether a text is standard base64; line breaks are skipped, as Go's decoder does.
pub(super) fn is_base64(text: &str) -> bool {
    let engine = &base64::engine::general_purpose::STANDARD;
    if !text.contains(['\n', '\r']) {
        return engine.decode(text).is_ok();
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    engine.decode(joined).is_ok()
}

/// Whether a text is a time as the server reads it (RFC 3339).
pub(super) fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}
