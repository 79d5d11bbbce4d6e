//! Bytes to UTF-8. Owns byte order marks and UTF-16; leaves UTF-8 as it is (the parser checks it).

use std::borrow::Cow;

use crate::error::{ErrorKind, Fault};

/// The file as UTF-8, a UTF-16 file with a byte order mark rewritten. The mark of a UTF-8 file stays: the parser
/// takes it off where it may stand.
pub(crate) fn to_utf8(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>, Fault> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut line = 0;
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let Ok(character) = decoded else {
            return Err(broken(line, "an unpaired surrogate"));
        };
        line += usize::from(character == '\n');
        text.push(character);
    }
    if !rest.is_empty() {
        return Err(broken(line, "half a character at the end"));
    }
    Ok(text.into_bytes())
}

fn broken(line: usize, what: &str) -> Fault {
    Fault::new(
        ErrorKind::Encoding,
        line,
        0,
        format!("the file starts as UTF-16 but has {what}; save it as UTF-8"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_of_both_orders_is_text() {
        assert_eq!(to_utf8(b"\xff\xfea\0:\0").unwrap().as_ref(), b"a:");
        assert_eq!(to_utf8(b"\xfe\xff\0a\0:").unwrap().as_ref(), b"a:");
    }

    #[test]
    fn broken_utf16_names_the_line() {
        let fault = to_utf8(b"\xff\xfe\n\0\0\xd8").unwrap_err();
        assert_eq!((fault.line, fault.kind), (1, ErrorKind::Encoding));
        assert!(to_utf8(b"\xff\xfea").is_err());
    }
}
