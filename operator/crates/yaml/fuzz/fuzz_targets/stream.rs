//! Any bytes: no panic, and what was read survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_yaml::{Limits, parse_stream, to_string};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(docs) = parse_stream(bytes, &limits) else { return };
    for doc in docs {
        let text = to_string(&doc.value);
        let again = parse_stream(text.as_bytes(), &limits).expect("own output must be readable");
        let is_list = doc.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        assert!(is_list || again.len() == 1 && again[0].value == doc.value, "{text}");
    }
});
