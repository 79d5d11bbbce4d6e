//! Taking a commit or tag object apart into what is signed and the signature over it. Owns git's rules for both: of a
//! commit the header `gpgsig`, of a tag the last signature block of its message.

use crate::escape;

/// A commit or tag larger than this is not looked into, bytes: its signature would cover the whole of it.
pub(crate) const MAX_OBJECT: usize = 1 << 20;
/// Longest signature block, bytes. One with an RSA key of 16,384 bits has 4 KiB.
const MAX_BLOCK: usize = 64 << 10;

/// An object taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    Not,
    /// There is a signature that no honest git writes.
    Unreadable(String),
    By {
        block: String,
        /// The object without its signatures, byte by byte.
        payload: Vec<u8>,
    },
}

/// A commit object: the signature is a header, with continuation lines that begin with a space.
pub(crate) fn commit(raw: &[u8]) -> Signed {
    let (payload, mut blocks) = without_signature_headers(raw);
    match (blocks.pop(), blocks.is_empty()) {
        (None, _) => Signed::Not,
        (Some(block), true) => signed(block, payload),
        // git joins them; nothing but an attack has two.
        (Some(_), false) => Signed::Unreadable("it has more than one signature".to_owned()),
    }
}

/// A tag object: the signature is the end of its message, from the last line that begins one.
pub(crate) fn tag(raw: &[u8]) -> Signed {
    let mut at = 0;
    let mut found = None;
    for line in raw.split_inclusive(|&byte| byte == b'\n') {
        if begins_signature(line) {
            found = Some(at);
        }
        at += line.len();
    }
    let Some(found) = found else {
        return Signed::Not;
    };
    let (payload, block) = raw.split_at(found);
    signed(block.to_vec(), without_signature_headers(payload).0)
}

fn signed(block: Vec<u8>, payload: Vec<u8>) -> Signed {
    if block.len() > MAX_BLOCK {
        return Signed::Unreadable(format!(
            "its signature has {} bytes, more than the {MAX_BLOCK} that are looked at",
            block.len()
        ));
    }
    let block = match String::from_utf8(block) {
        Ok(block) if block.is_ascii() => block,
        Ok(block) => return Signed::Unreadable(not_text(block.as_bytes())),
        Err(error) => return Signed::Unreadable(not_text(error.as_bytes())),
    };
    let text = block.trim();
    let one_block = text.matches("-----BEGIN ").count() == 1 && text.matches("-----END ").count() == 1;
    let ends = text
        .lines()
        .last()
        .is_some_and(|line| line.starts_with("-----END "));
    if !one_block || !ends {
        return Signed::Unreadable("its signature is not one armored block".to_owned());
    }
    Signed::By { block, payload }
}

fn not_text(bytes: &[u8]) -> String {
    format!("its signature is not ASCII: {}", escape::bytes(bytes, 40))
}

fn begins_signature(line: &[u8]) -> bool {
    ["PGP SIGNATURE", "PGP MESSAGE", "SIGNED MESSAGE", "SSH SIGNATURE"]
        .iter()
        .any(|label| line.starts_with(format!("-----BEGIN {label}-----").as_bytes()))
}

/// The object without `gpgsig` and `gpgsig-sha256`, as git leaves them out; and the values of the former. The latter signs
/// the object as a SHA-256 repository would have it, which is not looked at.
fn without_signature_headers(raw: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut payload = Vec::with_capacity(raw.len());
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let (mut taking, mut dropping) = (false, false);
    let mut rest = raw;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        if line == b"\n" {
            break;
        }
        if let (Some(folded), true) = (line.strip_prefix(b" "), taking || dropping) {
            if let (true, Some(block)) = (taking, blocks.last_mut()) {
                block.extend_from_slice(folded);
            }
        } else {
            let value = line.strip_prefix(b"gpgsig ");
            taking = value.is_some();
            dropping = line.starts_with(b"gpgsig-sha256 ");
            match value {
                Some(value) => blocks.push(value.to_vec()),
                None if dropping => {}
                None => payload.extend_from_slice(line),
            }
        }
        rest = after;
    }
    payload.extend_from_slice(rest);
    (payload, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";

    #[test]
    fn a_commit_is_its_headers_without_the_signature() {
        let folded = BLOCK.trim_end().replace('\n', "\n ");
        let raw = format!(
            "tree 1\nauthor a\ncommitter c\ngpgsig {folded}\nmergetag object x\n gpgsig no\n\ngpgsig not a header\n"
        );
        let want = "tree 1\nauthor a\ncommitter c\nmergetag object x\n gpgsig no\n\ngpgsig not a header\n";
        let Signed::By { block, payload } = commit(raw.as_bytes()) else {
            panic!("not taken apart");
        };
        assert_eq!(block, BLOCK);
        assert_eq!(String::from_utf8(payload).unwrap(), want);
        assert_eq!(commit(want.as_bytes()), Signed::Not);
        let twice = raw.replacen("tree 1\n", &format!("tree 1\ngpgsig {folded}\n"), 1);
        assert!(matches!(commit(twice.as_bytes()), Signed::Unreadable(_)));
        let both = raw.replacen("tree 1\n", &format!("tree 1\ngpgsig-sha256 {folded}\n"), 1);
        let Signed::By { payload, .. } = commit(both.as_bytes()) else {
            panic!("not taken apart");
        };
        assert_eq!(String::from_utf8(payload).unwrap(), want);
    }

    #[test]
    fn a_tag_is_what_stands_before_its_last_signature_block() {
        let message =
            "object 1\ntype commit\ntag v1\ntagger t\n\nRelease\n\n> -----BEGIN PGP SIGNATURE-----\n";
        let raw = format!("{message}{BLOCK}");
        let Signed::By { block, payload } = tag(raw.as_bytes()) else {
            panic!("not taken apart");
        };
        assert_eq!((block.as_str(), payload.as_slice()), (BLOCK, message.as_bytes()));
        assert_eq!(tag(message.as_bytes()), Signed::Not);
        for tail in ["more text\n", "-----BEGIN X-----\nA\n-----END X-----\n"] {
            let raw = format!("{raw}{tail}");
            assert!(matches!(tag(raw.as_bytes()), Signed::Unreadable(_)), "{tail}");
        }
    }

    #[test]
    fn a_huge_block_is_not_looked_at() {
        let huge = BLOCK.replace("AAAA", &"A".repeat(MAX_BLOCK));
        let raw = format!("object 1\n\nm\n{huge}");
        assert!(matches!(tag(raw.as_bytes()), Signed::Unreadable(why) if why.contains("more than")));
    }
}
