//! What holds for every input: what is written is read back, and no bytes bring the reader down.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use tidegate_yaml::{Limits, parse_stream, to_string};

fn read_one(text: &str) -> Value {
    let mut docs = parse_stream(text.as_bytes(), &Limits::default())
        .unwrap_or_else(|errors| panic!("{errors:?} in\n{text}"));
    match docs.len() {
        0 => Value::Null,
        1 => docs.remove(0).value,
        more => panic!("{more} documents in\n{text}"),
    }
}

/// Texts that readers like to mistake, and any other.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+.0-9_eExob:]{0,8}",
        "(y|n|yes|no|on|off|true|false|null|~|<<|=|---|\\.\\.\\.|\\.inf|\\.nan|!|&a|\\*a)",
        "[a-zA-Z /:.#,\\[\\]{}'\"|>%@`?*&!-]{0,20}",
        "[ \\t\\na-c#:-]{0,30}",
        "\\PC{0,20}",
        any::<String>(),
        vec(any::<char>(), 0..20).prop_map(|characters| characters.into_iter().collect::<String>()),
        "[a-z]{1000,1100}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // A float without a fraction comes back as an integer, by Go's rules.
        any::<f64>()
            .prop_filter_map("whole", |value| (value.fract() != 0.0)
                .then(|| Number::from_f64(value))
                .flatten())
            .prop_map(Value::Number),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((text(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn what_is_written_is_read_back(value in value()) {
        // A list would come apart; it is not what this is about.
        prop_assume!(!value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List")));
        let text = to_string(&value);
        prop_assert_eq!(read_one(&text), value, "{}", text);
    }

    #[test]
    fn json_is_read_as_it_is(value in value()) {
        let in_flow = Value::Array(vec![value.clone()]).to_string();
        // libyaml refuses the control characters that JSON may hold bare.
        let bare = in_flow.chars().any(|character| matches!(character, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}'));
        let long_key = in_flow.len() > 900;
        prop_assume!(!bare && !long_key);
        prop_assert_eq!(&read_one(&in_flow)[0], &value, "{}", in_flow);
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in vec(any::<u8>(), 0..300)) {
        let _ = parse_stream(&bytes, &Limits::default());
    }

    #[test]
    fn no_yaml_like_text_brings_it_down(text in "[-a-c1 \\n\\t:,\\[\\]{}&*!|>'\"%#?.<\\r]{0,80}") {
        if let Ok(docs) = parse_stream(text.as_bytes(), &Limits::default()) {
            for doc in docs {
                prop_assert_eq!(read_one(&to_string(&doc.value)), doc.value);
            }
        }
    }
}
