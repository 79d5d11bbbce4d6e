//! JSON's own ways that YAML does not have. kubectl reads a file that starts with `{` as JSON first, so surrogate
//! pairs in `\u` escapes are fine there. Owns this one rewriting; reads nothing else.

use std::borrow::Cow;

/// True where kubectl tries JSON first: the first character that is no blank is `{`.
pub(crate) fn looks_like_json(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
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
    if !looks_like_json(text) || !has_pairs || serde_json::from_slice::<serde_json::Value>(text).is_err() {
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
