//! `spec.health.expressions`: no expression panics, overflows a stack or runs away, whatever it and the object are.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]
#![expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]

#[path = "support/expressions.rs"]
mod support;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_core::health::expressions::{HealthRules, MAX_STEPS};
use tidegate_core::health::{Health, HealthStatus, assess_by};
use tidegate_core::object::ObjectId;

use support::{entry, judge, widget};

/// What is wrong with `current`.
fn fault(text: &str) -> String {
    let (_, problems) = HealthRules::read(&[entry(text, "", "")]);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    problems[0].to_string()
}

/// Judges within a second whatever it costs, and is not judged at all when it could cost more than is allowed.
fn quick(text: &str, fields: &Value) -> Health {
    let (_, problems) = HealthRules::read(&[entry(text, "", "")]);
    assert_eq!(problems, [], "{text}");
    let started = Instant::now();
    let health = judge(entry(text, "", ""), fields);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "{text} took {took:?}: {health:?}");
    health
}

#[test]
fn an_expression_that_could_run_away_is_not_evaluated() {
    let list: Vec<u32> = (0..300).collect();
    let fields = json!({"status": {"list": list, "word": "x".repeat(5_000)}});
    let hundred = format!(
        "[{}]",
        (0..99).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    let doubled = format!("['x']{}.size() == 1", ".map(a, a + a)".repeat(20));
    let squared = format!("[status.list]{}.size() == 1", ".map(a, a.map(b, a))".repeat(4));
    for text in [
        "status.list.all(a, status.list.all(b, status.list.all(c, a + b + c >= 0)))",
        "status.list.map(a, status.list).map(b, b + b).all(c, c.all(d, d >= 0))",
        &format!("{hundred}.all(a, {hundred}.all(b, {hundred}.all(c, a + b + c >= 0)))"),
        "status.list.all(a, status.list.all(b, status.word.contains('y') || true))",
        "status.list.all(a, status.list.all(b, 'aaa'.matches('a+b')))",
        &doubled,
        &squared,
    ] {
        if HealthRules::read(&[entry(text, "", "")]).1.is_empty() {
            let health = quick(text, &fields);
            assert_eq!(
                (health.status, health.reason),
                (HealthStatus::Unknown, "ExpressionTooCostly"),
                "{text}: {health:?}"
            );
            assert!(
                health.message.contains("spec.health.expressions[0]"),
                "{health:?}"
            );
        }
    }
    // Neither evaluating nor counting takes long over an object of the largest size that the API server keeps.
    let large: Vec<Value> = (0..40_000)
        .map(|n| json!({"name": format!("name-{n}")}))
        .collect();
    let large = json!({ "status": large });
    let same = ["status == status"; 40].join(" && ");
    let wide = "status.all(a, status.all(b, status.map(c, c).size() > 0 && status.filter(d, d.name == b.name).size() > 0))";
    for text in [
        &*same,
        wide,
        "status.map(a, a).map(a, a).map(a, a).map(a, a).size() > 0",
    ] {
        assert_eq!(quick(text, &large).reason, "ExpressionTooCostly", "{text}");
    }
    let nested = "status.a.all(a, a.b.all(b, b.c.all(c, c.d.all(d, d))))";
    assert!(fault(nested).contains("nested deeper than 3"));
}

#[test]
fn lists_are_counted_where_they_are_and_not_where_the_longest_is() {
    let many: Vec<Value> = (0..2_000).map(|n| json!({"name": format!("n-{n}")})).collect();
    let fields = json!({"status": {"many": many, "conditions": [
        {"type": "Ready", "status": "True", "parts": [{"ok": true}, {"ok": true}]},
        {"type": "Synced", "status": "True", "parts": [{"ok": true}]},
    ]}});
    for text in [
        "status.conditions.all(c, c.parts.all(p, status.conditions.exists(d, d.type == 'Ready' && p.ok)))",
        "status.conditions.filter(c, c.type == 'Ready').map(c, c.status).all(s, s == 'True')",
        "status.many.all(m, m.name.startsWith('n-'))",
    ] {
        assert_eq!(quick(text, &fields).status, HealthStatus::Current, "{text}");
    }
    assert_eq!(MAX_STEPS, 200_000);
}

#[test]
fn forms_that_would_overflow_a_stack_are_refused() {
    let on_a_small_stack = || {
        for n in [24, 48, 400, 1_000, 2_000] {
            for text in [
                format!("{}true{}", "(".repeat(n), ")".repeat(n)),
                format!("{}1{} == 1", "[".repeat(n), "]".repeat(n)),
                format!("{}1{} == 1", "{1:".repeat(n), "}".repeat(n)),
                format!("{}1{} == 1", "size(".repeat(n), ")".repeat(n)),
                format!("{}true", "!".repeat(n)),
                format!("{}1 == 1", "-".repeat(n)),
                format!("{}true", "! ".repeat(n / 2)),
                format!("1{} == 1", "+1".repeat(n)),
                format!("a{}", "&&a".repeat(n)),
                format!("{}true", "a?b:".repeat(n)),
                format!("a{} == 1", ".b".repeat(n)),
                format!("a{} == 1", "[0]".repeat(n)),
                format!("a{} == 1", ".?b".repeat(n)),
                format!("a{} == []", ".map(x,x)".repeat(n)),
                format!("{}true{}", "a.all(x,".repeat(n), ")".repeat(n)),
                format!("{}'", "(".repeat(n)),
                "\u{e9}'\"\\x".repeat(n),
            ] {
                let (rules, _) = HealthRules::read(&[entry(&text, "", "")]);
                let object = widget(&json!({"a": [[[true]]]}));
                let id = ObjectId::of(&object).unwrap();
                let rule = rules.of(&id, "v1").map(|r| &**r);
                assess_by(rule, &object, Timestamp::UNIX_EPOCH);
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(on_a_small_stack).unwrap().join().unwrap();
}

#[test]
fn every_bound_says_what_it_is() {
    let sum = |n: usize| format!("1{} == 1", "+1".repeat(n));
    for (text, place, cause) in [
        (
            format!("{}true{}", "(".repeat(25), ")".repeat(25)),
            "line 1, column 25: ",
            "brackets are nested deeper than 24 levels",
        ),
        (sum(60), "", "nested deeper than 48 levels"),
        (format!("a in [{}]", "b, ".repeat(500)), "", "more than 500 parts"),
        (
            format!("a == '{}'", "b".repeat(2_048)),
            "",
            "longer than 2048 characters",
        ),
    ] {
        let said = fault(&text);
        assert!(
            said.contains(&format!("Widget: {place}")) && said.contains(cause),
            "{said}"
        );
    }
    for text in [
        format!("{}true{}", "(".repeat(24), ")".repeat(24)),
        sum(40),
        format!("a in [{}]", "b, ".repeat(490)),
        format!("a == '{}'", "b".repeat(2_000)),
    ] {
        assert_eq!(HealthRules::read(&[entry(&text, "", "")]).1, [], "{text}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "status", "spec", "a", "b", "x", "y", "metadata", "name", "list", "optional", "int",
    ])
    .prop_map(str::to_owned)
}

/// Mostly well-formed expressions.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        name(),
        Just("status.list".to_owned()),
        Just("spec.list".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| format!("{n}u")),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        "[a-z]{0,4}".prop_map(|s| format!("'{s}'")),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("b'\\377'".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let i = || inner.clone();
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", " in ",
        ]);
        let loops = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        let methods = prop::sample::select(vec!["contains", "startsWith", "endsWith", "orValue", "or"]);
        let functions = prop::sample::select(vec![
            "size",
            "string",
            "int",
            "uint",
            "double",
            "bool",
            "bytes",
            "dyn",
            "type",
            "-",
            "!",
            "has",
            "optional.of",
            "optional.ofNonZeroValue",
        ]);
        prop_oneof![
            (i(), operator, i()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (i(), loops, name(), i()).prop_map(|(a, l, n, b)| format!("{a}.{l}({n}, {b})")),
            (i(), methods, i()).prop_map(|(a, m, b)| format!("{a}.{m}({b})")),
            (functions, i()).prop_map(|(f, a)| format!("{f}({a})")),
            (i(), name()).prop_map(|(a, n)| format!("{a}.{n}")),
            (i(), name()).prop_map(|(a, n)| format!("{a}.?{n}")),
            (i(), i()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (i(), i()).prop_map(|(a, b)| format!("{a}[?{b}]")),
            (i(), i(), i()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            prop::collection::vec(i(), 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
            prop::collection::vec((i(), i()), 0..3).prop_map(|all| {
                let all: Vec<_> = all.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", all.join(", "))
            }),
        ]
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        (0_u32..400).prop_map(|n| (0..n).collect::<Vec<_>>().into()),
    ];
    leaf.prop_recursive(4, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..6).prop_map(|m| json!(m)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_panics_or_runs_away(
        current in expression(), failed in expression(), status in json_value(), spec in json_value(),
    ) {
        let entries = [entry(&current, &failed, "")];
        let (rules, problems) = HealthRules::read(&entries);
        let object = widget(&json!({"status": status, "spec": spec}));
        let rule = rules.of(&ObjectId::of(&object).unwrap(), "v1").unwrap().clone();
        let started = Instant::now();
        let health = assess_by(Some(&rule), &object, Timestamp::UNIX_EPOCH);
        let took = started.elapsed();
        prop_assert!(took < Duration::from_secs(2), "took {:?}", took);
        prop_assert!(health.message.chars().count() <= 610);
        prop_assert_eq!(problems.is_empty(), health.reason != "InvalidExpression");
        prop_assert!(!health.message.contains("write it in another way"), "a panic: {}", health.message);
        for problem in problems {
            prop_assert!(problem.message.chars().count() < 600);
            prop_assert!(!problem.message.contains("write it in another way"), "a panic: {}", problem.message);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        HealthRules::read(&[entry(&text, "", "")]);
    }

    #[test]
    fn any_text_of_the_right_characters_is_read_or_refused(text in r#"[a-c0-9.?:(){}'"\\&|!=<>+*/%,\[\] \n-]{0,60}"#) {
        let (_, problems) = HealthRules::read(&[entry(&text, "", "")]);
        for problem in problems {
            prop_assert!(!problem.message.contains("write it in another way"), "a panic: {}", problem.message);
        }
    }
}
