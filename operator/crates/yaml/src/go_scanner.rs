//! Where go-yaml's scanner refuses what libyaml accepts. Owns these differences, each with its reason; a text that
//! kubectl would refuse must not become a release. Where libyaml is the stricter one nothing can be done here:
//! tests/cases/stricter.txt lists what is known.

use crate::error::{ErrorKind, Fault};
use crate::events::{Data, Event};

/// Looks at the source of events, which come in the order of the text.
#[derive(Debug)]
pub(crate) struct GoScanner<'a> {
    text: &'a [u8],
    is_json: bool,
    /// A character of the text and the byte it starts at: the last place looked at.
    character: usize,
    byte: usize,
}

impl<'a> GoScanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            is_json: crate::json::looks_like_json(text),
            character: 0,
            byte: 0,
        }
    }

    /// Refuses what go-yaml refuses.
    pub(crate) fn check(&mut self, event: &Event) -> Result<(), Fault> {
        let escapes = matches!(
            &event.data,
            Data::Scalar {
                double_quoted: true,
                ..
            }
        );
        if !escapes && !event.tagged {
            return Ok(());
        }
        self.advance(event.span.start);
        let source = &self.text[self.byte..];
        let problem = if event.tagged && tag_runs_on(source) {
            "a tag must end in a blank"
        } else if escapes && !self.is_json && escapes_a_slash(source, event.span.len()) {
            // kubectl reads what starts with `{` as JSON first, and JSON has this escape.
            "`\\/` is no escape in YAML; write `/`"
        } else {
            return Ok(());
        };
        let message = format!("not valid YAML for Kubernetes: {problem}");
        Err(Fault::new(
            ErrorKind::Syntax,
            event.mark.line,
            event.mark.column,
            message,
        ))
    }

    fn advance(&mut self, character: usize) {
        if character < self.character {
            (self.character, self.byte) = (0, 0);
        }
        while self.character < character && self.byte < self.text.len() {
            self.byte += 1;
            while self.text.get(self.byte).is_some_and(|byte| byte & 0xc0 == 0x80) {
                self.byte += 1;
            }
            self.character += 1;
        }
    }
}

/// go-yaml takes `,`, `[` and `]` into a tag, as libyaml did before 0.2.5.
fn tag_runs_on(source: &[u8]) -> bool {
    let mut rest = source;
    while let [b'&' | b'!', ..] = rest {
        let end = rest
            .iter()
            .position(|byte| byte.is_ascii_whitespace())
            .unwrap_or(rest.len());
        let property = &rest[..end];
        if property.starts_with(b"!") && !property.starts_with(b"!<") {
            return property.iter().any(|byte| matches!(byte, b',' | b'[' | b']'));
        }
        rest = rest[end..].trim_ascii_start();
    }
    false
}

/// `characters` is how many characters the scalar has in the source.
fn escapes_a_slash(source: &[u8], characters: usize) -> bool {
    let Ok(text) = std::str::from_utf8(&source[..source.len().min(characters.saturating_mul(4))])
        .or_else(|error| std::str::from_utf8(&source[..error.valid_up_to()]))
    else {
        return false;
    };
    let mut escaped = false;
    for character in text.chars().take(characters) {
        if escaped && character == '/' {
            return true;
        }
        escaped = !escaped && character == '\\';
    }
    false
}
