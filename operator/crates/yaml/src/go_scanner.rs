//! Where go-yaml's scanner refuses what libyaml accepts. Owns these differences, each with its reason; a text that
//! kubectl would refuse must not become a release. Where libyaml is the stricter one nothing can be done here:
//! tests/cases/stricter.txt lists what is known.

use crate::error::{ErrorKind, Fault};
use crate::events::{Data, Event, Style};
use crate::json::is_json;

/// Looks at the source of events, which come in the order of the text.
#[derive(Debug)]
pub(crate) struct GoScanner<'a> {
    text: &'a [u8],
    may_be_json: bool,
    /// For each open collection, whether it is in flow style.
    open: Vec<bool>,
}

impl<'a> GoScanner<'a> {
    pub(crate) fn new(text: &'a [u8], may_be_json: bool) -> Self {
        Self {
            text,
            may_be_json,
            open: Vec::new(),
        }
    }

    /// Refuses what go-yaml refuses.
    pub(crate) fn check(&mut self, event: &Event) -> Result<(), Fault> {
        match &event.data {
            Data::SequenceStart { flow, .. } | Data::MappingStart { flow, .. } => self.open.push(*flow),
            Data::SequenceEnd | Data::MappingEnd => drop(self.open.pop()),
            Data::Scalar {
                style: Style::Plain,
                value,
                ..
            } if self.in_flow() && value.contains('?') => {
                return Err(refusal(
                    event,
                    "`?` ends an unquoted text inside brackets; quote the text",
                ));
            }
            _ => {}
        }
        let escapes = matches!(
            &event.data,
            Data::Scalar {
                style: Style::DoubleQuoted,
                ..
            }
        );
        if !escapes && !event.tagged {
            return Ok(());
        }
        let source = self.text.get(event.span.start..).unwrap_or_default();
        let problem = if event.tagged && tag_runs_on(source) {
            "a tag must end in a blank"
        } else if escapes
            && escapes_a_slash(self.text.get(event.span.clone()).unwrap_or_default())
            && !(self.may_be_json && is_json(self.text))
        {
            // JSON has this escape, and kubectl reads JSON as JSON.
            "`\\/` is no escape in YAML; write `/`"
        } else {
            return Ok(());
        };
        Err(refusal(event, problem))
    }

    fn in_flow(&self) -> bool {
        self.open.last().copied().unwrap_or(false)
    }
}

fn refusal(event: &Event, problem: &str) -> Fault {
    let message = format!("not valid YAML for Kubernetes: {problem}");
    Fault::new(ErrorKind::Syntax, event.mark.line, event.mark.column, message)
}

/// A second byte order mark, or one at the start of a later line. libyaml skips it there; go-yaml takes it for text. It is never
/// meant: it comes from files joined into one.
pub(crate) fn stray_mark(text: &[u8]) -> Option<Fault> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let breaks: [&[u8]; 5] = [b"\n", b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"];
    let at = (0..text.len()).find(|at| {
        text[*at] == MARK[0]
            && text[*at..].starts_with(MARK)
            && (*at == 0 || breaks.iter().any(|end| text[..*at].ends_with(end)))
    })?;
    let line = text[..at].iter().filter(|byte| **byte == b'\n').count();
    let problem = "not valid YAML: a byte order mark (U+FEFF) inside the file; remove it";
    Some(Fault::new(ErrorKind::Syntax, line, 0, problem))
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

fn escapes_a_slash(source: &[u8]) -> bool {
    let mut escaped = false;
    for byte in source {
        if escaped && *byte == b'/' {
            return true;
        }
        escaped = !escaped && *byte == b'\\';
    }
    false
}
