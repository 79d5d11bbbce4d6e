//! Text from other people made fit for a message: no control characters, no terminal escapes, bounded length.
//! Owns no types; everything the room shows that came from a server or a commit passes here.

/// `text` in one line of at most `max` characters; control and direction-changing characters become `\u{..}`.
pub(crate) fn line(text: &str, max: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count >= max {
            out.push('…');
            break;
        }
        if is_unprintable(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same for bytes that need not be UTF-8.
pub(crate) fn bytes(raw: &[u8], max: usize) -> String {
    // Lossy conversion of a whole hostile megabyte would be wasted work: four bytes is the longest character.
    let cut = raw.len().min(max.saturating_mul(4));
    line(&String::from_utf8_lossy(&raw[..cut]), max)
}

fn is_unprintable(c: char) -> bool {
    // U+200B..U+200F, U+202A..U+202E, U+2060..U+2069 and U+FEFF hide or reorder text (bidi tricks in names).
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_and_bidi_marks_are_spelled_out() {
        assert_eq!(
            line("a\u{1b}[31mb\nc\u{202e}", 50),
            "a\\u{1b}[31mb\\u{a}c\\u{202e}"
        );
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(line("abcdef", 3), "abc…");
        assert_eq!(bytes(b"ab\xff", 9), "ab\u{fffd}");
    }
}
