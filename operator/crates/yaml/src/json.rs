//! JSON's own ways that YAML does not have. kubectl reads a file that starts with `{` as JSON first, so surrogate
//! pairs in `\u` escapes and several values in a row are fine there. Owns these; reads nothing else.

use std::borrow::Cow;

/// True where kubectl reads JSON: the first character that is no blank is `{`, and the whole is JSON.
pub(crate) fn is_json(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(text).is_ok()
}

/// The values of a text that is several JSON values one behind the other, each with the number of lines before it;
/// any other text is one. kubectl reads such a stream, while a YAML reader stops after the first value.
pub(crate) fn json_values(text: &[u8]) -> Vec<(&[u8], usize)> {
    let whole = vec![(text, 0)];
    if !text.trim_ascii_start().starts_with(b"{") {
        return whole;
    }
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>();
    let (mut start, mut lines) = (0, 0);
    while let Some(value) = stream.next() {
        if value.is_err() {
            return whole;
        }
        let end = stream.byte_offset();
        values.push((&text[start..end], lines));
        lines += text[start..end].iter().filter(|byte| **byte == b'\n').count();
        start = end;
    }
    if values.len() > 1 { values } else { whole }
}

/// A JSON text with its escaped surrogate pairs as the one escape YAML has for such characters, `\U`. Any other text
/// stays as it is.
pub(crate) fn join_surrogates(text: &[u8]) -> Cow<'_, [u8]> {
    let has_pairs = text.windows(4).any(|window| {
        matches!(
            window,
            [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B']
        )
    });
    if !has_pairs || !is_json(text) {
        return Cow::Borrowed(text);
    }
    let mut joined = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if let Some(character) = pair(rest) {
            joined.extend_from_slice(format!("\\U{:08X}", u32::from(character)).as_bytes());
            rest = &rest[12..];
            continue;
        }
        joined.push(*first);
        rest = tail;
        // The character behind a backslash is part of the escape, and may be a backslash itself.
        if let (b'\\', [second, tail @ ..]) = (first, rest) {
            joined.push(*second);
            rest = tail;
        }
    }
    Cow::Owned(joined)
}

fn pair(text: &[u8]) -> Option<char> {
    let units = [unit(text.get(..6)?)?, unit(text.get(6..12)?)?];
    let high = (0xd800..0xdc00).contains(&units[0]);
    char::decode_utf16(units).next().filter(|_| high)?.ok()
}

fn unit(escape: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_stream_is_several_values() {
        let values = json_values(b"{\"a\":1}\n{\"b\":2}{}\n");
        assert_eq!(
            values,
            [(&b"{\"a\":1}"[..], 0), (&b"\n{\"b\":2}"[..], 0), (&b"{}"[..], 1)]
        );
        assert_eq!(json_values(b"{a: 1}\n{}").len(), 1);
    }

    #[test]
    fn pairs_become_one_escape_in_json_only() {
        let joined = join_surrogates(br#"{"a":"\\ud83d \ud83d\ude00"}"#);
        assert_eq!(joined.as_ref(), br#"{"a":"\\ud83d \U0001F600"}"#);
        assert!(matches!(
            join_surrogates(br#"a: "\ud83d\ude00""#),
            Cow::Borrowed(_)
        ));
        assert!(matches!(
            join_surrogates(br#"{a: "\ud83d\ude00"}"#),
            Cow::Borrowed(_)
        ));
    }
}
