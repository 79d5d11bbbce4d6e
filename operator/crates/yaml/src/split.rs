//! A file into the texts of its documents, as `YAMLReader` of k8s.io/apimachinery does it: by lines that start with
//! `---`, before any YAML is read. Owns the separators; knows nothing of what stands between them.

use std::borrow::Cow;

/// One part of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Part<'a> {
    /// The text of a document and the 1-based line it starts at.
    Text { text: Cow<'a, [u8]>, line: usize },
    /// A separator with content behind it, which Kubernetes refuses.
    BadSeparator { content: String, line: usize },
}

/// Splits a file. Not the same as YAML's own rule: `---x` is refused, `...` does not separate, and a first `---` line
/// stays part of its document.
pub(crate) fn split(bytes: &[u8]) -> Parts<'_> {
    Parts {
        bytes,
        at: 0,
        line: 1,
        pending: None,
    }
}

/// The parts of a file, in order.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    pending: Option<Part<'a>>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if let Some(part) = self.pending.take() {
            return Some(part);
        }
        let (start, first_line) = (self.at, self.line);
        while self.at < self.bytes.len() {
            let begin = self.at;
            let line = next_line(&self.bytes[begin..]);
            let number = self.line;
            self.at += line.len();
            self.line += 1;
            let Some(after) = line.strip_prefix(b"---") else {
                continue;
            };
            if let Some(content) = content_after(after) {
                let bad = Part::BadSeparator {
                    content,
                    line: number,
                };
                if begin == start {
                    return Some(bad);
                }
                self.pending = Some(bad);
                return Some(self.text(start, begin, first_line));
            }
            if begin != start {
                return Some(self.text(start, begin, first_line));
            }
        }
        (start < self.at).then(|| self.text(start, self.at, first_line))
    }
}

impl<'a> Parts<'a> {
    fn text(&self, start: usize, end: usize, line: usize) -> Part<'a> {
        let raw = &self.bytes[start..end];
        Part::Text {
            text: without_doubled_returns(raw),
            line,
        }
    }
}

/// A line with its newline.
fn next_line(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |at| at + 1);
    &bytes[..end]
}

/// What follows `---`, unless it is only blanks or a comment.
fn content_after(after: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(after);
    let trimmed = text.trim();
    let bad = !trimmed.is_empty() && !trimmed.starts_with('#');
    bad.then(|| trimmed.chars().take(40).collect())
}

/// Go's line reader takes one carriage return off each line end. It matters only where there are two: they would
/// be two line breaks to the parser.
fn without_doubled_returns(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.windows(3).any(|window| window == b"\r\r\n") {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(content) => {
                text.extend_from_slice(content);
                text.push(b'\n');
            }
            None => text.extend_from_slice(line),
        }
    }
    Cow::Owned(text)
}

/// True for a text of nothing but blank lines and comments: no document stands there.
pub(crate) fn is_blank(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').all(|line| {
        let line = line.trim_ascii();
        line.is_empty() || line.starts_with(b"#")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(input: &str) -> Vec<(String, usize)> {
        split(input.as_bytes())
            .map(|part| match part {
                Part::Text { text, line } => (String::from_utf8(text.into_owned()).unwrap(), line),
                Part::BadSeparator { content, line } => (format!("!{content}"), line),
            })
            .collect()
    }

    fn owned(parts: &[(&str, usize)]) -> Vec<(String, usize)> {
        parts
            .iter()
            .map(|(text, line)| ((*text).to_owned(), *line))
            .collect()
    }

    #[test]
    fn separators_split_and_keep_lines() {
        assert_eq!(texts("a: 1\n---\nb: 2\n"), owned(&[("a: 1\n", 1), ("b: 2\n", 3)]));
        assert_eq!(
            texts("---\na: 1\n--- # x\n---\n"),
            owned(&[("---\na: 1\n", 1), ("---\n", 4)])
        );
        assert_eq!(texts(""), owned(&[]));
        assert_eq!(texts("a"), owned(&[("a", 1)]));
    }

    #[test]
    fn content_behind_a_separator_is_reported_after_the_text_before_it() {
        assert_eq!(texts("a\n--- b\nc"), owned(&[("a\n", 1), ("!b", 2), ("c", 3)]));
        assert_eq!(texts("---x"), owned(&[("!x", 1)]));
    }

    #[test]
    fn doubled_carriage_returns_are_one_line_end() {
        assert_eq!(texts("a\r\r\nb\r\n"), owned(&[("a\r\nb\n", 1)]));
    }
}
