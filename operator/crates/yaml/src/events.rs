//! libyaml's events as safe Rust values. Owns the only unsafe code of this room; gives no meaning to any event.
#![expect(
    unsafe_code,
    reason = "libyaml-rs is a translation of the C library and has its interface"
)]

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use libyaml_rs as sys;

use crate::error::{ErrorKind, Fault};

/// A 0-based place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One event and where it starts.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) mark: Mark,
    /// The bytes of the text; libyaml-rs counts bytes where the C library counts characters.
    pub(crate) span: Range<usize>,
    pub(crate) tagged: bool,
    pub(crate) data: Data,
}

/// The styles of scalars that matter to [`crate::go_scanner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    DoubleQuoted,
    Other,
}

/// What an event says. Tags of collections are left out: Go's reader ignores them.
#[derive(Debug)]
pub(crate) enum Data {
    StreamStart,
    StreamEnd,
    DocumentStart,
    /// `implicit` where no `...` line ends it.
    DocumentEnd {
        implicit: bool,
    },
    Alias(String),
    Scalar {
        anchor: Option<String>,
        tag: Option<String>,
        value: String,
        plain: bool,
        style: Style,
    },
    SequenceStart {
        anchor: Option<String>,
        flow: bool,
    },
    SequenceEnd,
    MappingStart {
        anchor: Option<String>,
        flow: bool,
    },
    MappingEnd,
}

/// The events of one text, in order.
pub(crate) struct Events<'a> {
    /// Owned; from `Box::into_raw`, so that its address never changes: libyaml keeps a pointer to it in itself.
    parser: *mut sys::yaml_parser_t,
    input: &'a [u8],
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        let parser =
            Box::into_raw(Box::<MaybeUninit<sys::yaml_parser_t>>::new_uninit()).cast::<sys::yaml_parser_t>();
        // SAFETY: `parser` points to memory of the right size that this value owns; `initialize` writes all of it
        // (it cannot fail: it aborts when memory runs out). `input` outlives the parser by the lifetime `'a`, and a
        // slice's pointer is never null.
        unsafe {
            let _ = sys::yaml_parser_initialize(parser);
            sys::yaml_parser_set_input_string(parser, input.as_ptr(), input.len() as u64);
            // The text is UTF-8 by now, and its byte order mark is gone; libyaml must not guess.
            sys::yaml_parser_set_encoding(parser, sys::YAML_UTF8_ENCODING);
        }
        Self {
            parser,
            input,
            borrowed: PhantomData,
        }
    }

    /// The next event, or the fault that ends the text. After `StreamEnd` it is `StreamEnd` again.
    pub(crate) fn next(&mut self) -> Result<Event, Fault> {
        let mut raw = MaybeUninit::<sys::yaml_event_t>::uninit();
        // SAFETY: the parser is initialised and owned; `yaml_parser_parse` first zeroes the event.
        let parsed = unsafe { sys::yaml_parser_parse(self.parser, raw.as_mut_ptr()) };
        if !parsed.ok {
            return Err(self.fault());
        }
        // SAFETY: a successful parse has filled the event; it is deleted once, below, and not used afterwards.
        let mut raw = unsafe { raw.assume_init() };
        let mark = Mark {
            line: raw.start_mark.line as usize,
            column: raw.start_mark.column as usize,
        };
        let span = raw.start_mark.index as usize..raw.end_mark.index as usize;
        // SAFETY: `raw` is an event as libyaml filled it.
        let (data, tagged) = unsafe { (data_of(&raw), is_tagged(&raw)) };
        // SAFETY: as above; this frees the strings that `data_of` has copied.
        unsafe { sys::yaml_event_delete(&raw mut raw) };
        Ok(Event {
            mark,
            span,
            tagged,
            data,
        })
    }

    fn fault(&self) -> Fault {
        // SAFETY: the parser is initialised; these fields are plain values, and `problem` and `context` are null or
        // static C strings.
        let (kind, problem, context, mark, offset) = unsafe {
            let parser = &*self.parser;
            (
                parser.error,
                static_text(parser.problem),
                static_text(parser.context),
                parser.problem_mark,
                parser.problem_offset,
            )
        };
        let problem = problem.unwrap_or("cannot be read");
        if kind == sys::YAML_READER_ERROR {
            let (line, column) = place(self.input, offset as usize);
            return Fault::new(
                ErrorKind::Encoding,
                line,
                column,
                format!("not text: {problem}; save the file as UTF-8"),
            );
        }
        let message = match context {
            Some(context) => format!("not valid YAML: {context}: {problem}"),
            None => format!("not valid YAML: {problem}"),
        };
        Fault::new(
            ErrorKind::Syntax,
            mark.line as usize,
            mark.column as usize,
            message,
        )
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, deleted only here; the box is given back as the type it was made as.
        unsafe {
            sys::yaml_parser_delete(self.parser);
            drop(Box::from_raw(
                self.parser.cast::<MaybeUninit<sys::yaml_parser_t>>(),
            ));
        }
    }
}

/// SAFETY: `event` must be an event that `yaml_parser_parse` filled and that is not yet deleted.
unsafe fn data_of(event: &sys::yaml_event_t) -> Data {
    // SAFETY: each union field is read only under the event type it belongs to; the pointers are null or C strings
    // owned by the event, `value` is `length` bytes long.
    unsafe {
        match event.type_ {
            sys::YAML_STREAM_START_EVENT => Data::StreamStart,
            sys::YAML_DOCUMENT_START_EVENT => Data::DocumentStart,
            sys::YAML_DOCUMENT_END_EVENT => Data::DocumentEnd {
                implicit: event.data.document_end.implicit,
            },
            sys::YAML_ALIAS_EVENT => Data::Alias(owned_text(event.data.alias.anchor).unwrap_or_default()),
            sys::YAML_SCALAR_EVENT => {
                let scalar = &event.data.scalar;
                let bytes = std::slice::from_raw_parts(scalar.value, scalar.length as usize);
                Data::Scalar {
                    anchor: owned_text(scalar.anchor),
                    tag: owned_text(scalar.tag).filter(|tag| !tag.is_empty()),
                    value: String::from_utf8_lossy(bytes).into_owned(),
                    plain: scalar.plain_implicit,
                    style: match scalar.style {
                        sys::YAML_PLAIN_SCALAR_STYLE => Style::Plain,
                        sys::YAML_DOUBLE_QUOTED_SCALAR_STYLE => Style::DoubleQuoted,
                        _ => Style::Other,
                    },
                }
            }
            sys::YAML_SEQUENCE_START_EVENT => Data::SequenceStart {
                anchor: owned_text(event.data.sequence_start.anchor),
                flow: event.data.sequence_start.style == sys::YAML_FLOW_SEQUENCE_STYLE,
            },
            sys::YAML_MAPPING_START_EVENT => Data::MappingStart {
                anchor: owned_text(event.data.mapping_start.anchor),
                flow: event.data.mapping_start.style == sys::YAML_FLOW_MAPPING_STYLE,
            },
            sys::YAML_SEQUENCE_END_EVENT => Data::SequenceEnd,
            sys::YAML_MAPPING_END_EVENT => Data::MappingEnd,
            // NO_EVENT is what libyaml says after the end.
            _ => Data::StreamEnd,
        }
    }
}

/// SAFETY: as for `data_of`.
unsafe fn is_tagged(event: &sys::yaml_event_t) -> bool {
    // SAFETY: each union field is read only under the event type it belongs to.
    unsafe {
        match event.type_ {
            sys::YAML_SCALAR_EVENT => !event.data.scalar.tag.is_null(),
            sys::YAML_SEQUENCE_START_EVENT => !event.data.sequence_start.tag.is_null(),
            sys::YAML_MAPPING_START_EVENT => !event.data.mapping_start.tag.is_null(),
            _ => false,
        }
    }
}

/// SAFETY: `text` must be null or a C string that lives through the call.
unsafe fn owned_text(text: *const u8) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: by this function's condition.
    let text = unsafe { CStr::from_ptr(text.cast()) };
    Some(text.to_string_lossy().into_owned())
}

/// SAFETY: `text` must be null or a C string that is never freed.
unsafe fn static_text(text: *const i8) -> Option<&'static str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: by this function's condition.
    unsafe { CStr::from_ptr(text.cast()) }.to_str().ok()
}

/// The 0-based line and column of a byte.
fn place(input: &[u8], offset: usize) -> (usize, usize) {
    let before = &input[..offset.min(input.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_with_a_stream_end_that_stays() {
        let mut events = Events::new(b"a: 1");
        let mut seen = 0;
        while !matches!(events.next().unwrap().data, Data::StreamEnd) {
            seen += 1;
        }
        assert_eq!(seen, 7);
        assert!(matches!(events.next().unwrap().data, Data::StreamEnd));
    }

    #[test]
    fn a_control_character_has_its_place() {
        let mut events = Events::new(b"a: 1\nb: \x01");
        let fault = std::iter::from_fn(|| Some(events.next()))
            .find_map(Result::err)
            .unwrap();
        assert_eq!(
            (fault.kind, fault.line, fault.column),
            (ErrorKind::Encoding, 1, 3)
        );
    }
}
