//! Go's strconv, as far as YAML scalars need it. Owns the text forms of numbers; knows nothing of YAML.

/// `strconv.ParseInt(text, base, 64)`; base 0 reads the `0x`, `0o`, `0b` and `0` prefixes. `None` for any error.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_uint(digits, base)?;
    if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// `strconv.ParseUint(text, base, 64)`: no sign allowed.
pub(crate) fn parse_uint(text: &str, base: u32) -> Option<u64> {
    let (digits, base) = if base == 0 { prefix(text) } else { (text, base) };
    // "0" alone is base 10 and has its digit; "0" as a prefix leaves none behind only there.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, base).ok()
}

fn prefix(text: &str) -> (&str, u32) {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'0') || bytes.len() == 1 {
        return (text, 10);
    }
    let base = match bytes[1].to_ascii_lowercase() {
        b'b' => 2,
        b'o' => 8,
        b'x' => 16,
        _ => return (&text[1..], 8),
    };
    // "0x" alone has no digits: Go reads it as octal and fails on the letter.
    if bytes.len() > 2 {
        (&text[2..], base)
    } else {
        (&text[1..], 8)
    }
}

/// `strconv.ParseFloat` of a text that starts with a point: underscores may stand between digits.
pub(crate) fn parse_point_float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut underscores = (0..bytes.len()).filter(|at| bytes[*at] == b'_');
    if !underscores.all(|at| at > 0 && digit(at - 1) && digit(at + 1)) {
        return None;
    }
    parse_float(&text.replace('_', ""))
}

/// A number as `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, which is go-yaml's test. `None` where it is not
/// one or is beyond f64, as `strconv.ParseFloat` has it.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|part| digits(part.strip_prefix(['-', '+']).unwrap_or(part)));
    if !mantissa_fits || !exponent_fits {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// `strconv.FormatFloat(value, 'g', -1, 32)` with go-yaml's names for what is no number: how a float becomes a key.
pub(crate) fn float_key(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Go formats the key with 32 bits")]
    let value = value as f32;
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let mut scientific = format!("{value:e}");
    // Where two shortest forms are as near, Go takes the even digit; Rust does so only for a given precision.
    let digits = scientific
        .bytes()
        .take_while(|byte| *byte != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    let even = format!("{value:.*e}", digits.saturating_sub(1));
    if even.parse() == Ok(value) {
        scientific = even;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go's shortest %g counts as six digits when it chooses the form.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let fraction = i64::try_from(digits).unwrap_or(i64::MAX) - 1 - i64::from(exponent);
    format!("{value:.*}", usize::try_from(fraction).unwrap_or(0))
}

/// The number `encoding/json` writes for a float, as `serde_json` reads it: whole numbers become integers where they
/// fit. `None` for what JSON cannot say.
pub(crate) fn float_value(value: f64) -> Option<serde_json::Number> {
    // Both languages write the shortest digits; Go's are without exponent below 1e21.
    let whole = value.fract() == 0.0 && value.abs() < 1e21 && !(value == 0.0 && value.is_sign_negative());
    if whole {
        let text = format!("{value}");
        if let Ok(integer) = text.parse::<i64>() {
            return Some(integer.into());
        }
        if let Ok(integer) = text.parse::<u64>() {
            return Some(integer.into());
        }
    }
    serde_json::Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_with_their_prefixes() {
        for (text, want) in [
            ("0777", Some(511)),
            ("0o17", Some(15)),
            ("0x1F", Some(31)),
            ("-0x1f", Some(-31)),
            ("0b101", Some(5)),
            ("0", Some(0)),
            ("00", Some(0)),
            ("0x", None),
            ("089", None),
            ("+-1", None),
            ("", None),
            ("-", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
        ] {
            assert_eq!(parse_int(text, 0), want, "{text}");
        }
    }

    #[test]
    fn floats_become_the_integers_go_writes() {
        assert_eq!(float_value(1e3), Some(1000.into()));
        assert_eq!(
            float_value(12345678901234567168.0),
            Some(12_345_678_901_234_567_000_u64.into())
        );
        assert_eq!(float_value(1e20), serde_json::Number::from_f64(1e20));
        assert_eq!(float_value(f64::NAN), None);
    }

    #[test]
    fn float_keys_are_written_as_go_does() {
        for (value, want) in [
            (1.5, "1.5"),
            (1e6, "1e+06"),
            (1e3, "1000"),
            (1e-5, "1e-05"),
            (1e300, ".inf"),
            (123456.5, "123456.5"),
            (1234567.0, "1.234567e+06"),
            (1274099.3, "1.2740992e+06"),
            (0.25, "0.25"),
            (100.0, "100"),
        ] {
            assert_eq!(float_key(value), want);
        }
    }
}
