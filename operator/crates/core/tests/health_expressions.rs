//! `spec.health.expressions`: what an expression may say, what is wrong with one, and that none runs away.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_api::application::HealthExpression;
use tidegate_core::health::expressions::{HealthRule, HealthRules, MAX_STEPS};
use tidegate_core::health::{Health, HealthStatus, assess, assess_by};
use tidegate_core::object::ObjectId;

fn entry(current: &str, failed: &str, in_progress: &str) -> HealthExpression {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    HealthExpression {
        api_version: "example.com/v1".to_owned(),
        kind: "Widget".to_owned(),
        current: current.to_owned(),
        failed: some(failed),
        in_progress: some(in_progress),
    }
}

fn widget(fields: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "shop", "uid": "u", "generation": 2},
    });
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn rule(entries: &[HealthExpression]) -> std::sync::Arc<HealthRule> {
    let id = ObjectId::of(&widget(&json!({}))).unwrap();
    HealthRules::read(entries).0.of(&id, "v1").unwrap().clone()
}

fn judge(entry: HealthExpression, fields: &Value) -> Health {
    let (_, problems) = HealthRules::read(std::slice::from_ref(&entry));
    assert_eq!(problems, [], "{entry:?}");
    assess_by(Some(&rule(&[entry])), &widget(fields), Timestamp::UNIX_EPOCH)
}

fn current(text: &str, fields: &Value) -> HealthStatus {
    judge(entry(text, "", ""), fields).status
}

/// What is wrong with `current`.
fn fault(text: &str) -> String {
    let (_, problems) = HealthRules::read(&[entry(text, "", "")]);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    problems[0].to_string()
}

#[test]
fn the_fields_of_the_object_are_the_variables() {
    use HealthStatus::{Current, InProgress};
    let ready = json!({"spec": {"replicas": 3}, "status": {
        "phase": "Ready", "ready": 3, "share": 0.5, "nodes": {"a": "up", "b": "up"},
        "conditions": [{"type": "Synced", "status": "True"}, {"type": "Ready", "status": "True"}],
    }});
    for (text, want) in [
        ("status.phase == 'Ready'", Current),
        ("status.phase == \"Ready\" && metadata.name == 'w'", Current),
        ("status.phase in ['Ready', 'Idle']", Current),
        ("status.ready == spec.replicas", Current),
        ("status.ready + 1 > spec.replicas", Current),
        ("status.ready >= spec.replicas + 1", InProgress),
        ("status.share > 0.4", Current),
        (
            "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            Current,
        ),
        (
            "status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True')",
            Current,
        ),
        ("status.conditions.all(c, c.status == 'False')", InProgress),
        ("status.nodes.all(name, status.nodes[name] == 'up')", Current),
        ("size(status.nodes) == 2 && status.nodes.size() == 2", Current),
        (
            "status.phase.startsWith('Re') && status.phase.matches('^R.*y$')",
            Current,
        ),
        ("has(status.phase) && !has(status.error)", Current),
        ("status.?phase.orValue('') == 'Ready'", Current),
        ("kind == 'Widget' && apiVersion == 'example.com/v1'", Current),
        ("true", Current),
        ("false", InProgress),
    ] {
        assert_eq!(current(text, &ready), want, "{text}");
    }
}

#[test]
fn what_is_not_there_is_not_true_and_no_error() {
    for text in [
        "status.phase == 'Ready'",
        "status.conditions.exists(c, c.type == 'Ready')",
        "status.conditions[0].status == 'True'",
        "status.?phase.orValue('') == 'Ready'",
        "has(status.phase)",
        "spec.replicas == status.ready",
    ] {
        for fields in [
            json!({}),
            json!({"status": {}}),
            json!({"status": {"conditions": []}}),
        ] {
            let health = judge(entry(text, "status.phase == 'Broken'", ""), &fields);
            assert_eq!(health.status, HealthStatus::InProgress, "{text}: {health:?}");
            assert!(!health.message.contains("`failed`"), "{health:?}");
        }
    }
    let health = judge(entry("status.phase == 'Ready'", "", ""), &json!({}));
    assert_eq!(
        health.message,
        "not true yet: status.phase == 'Ready'; `current` reads `phase`, which is not set"
    );
    assert_eq!(current("!has(status.error)", &json!({})), HealthStatus::Current);
    let managed = json!({"metadata": {"name": "w", "managedFields": [1]}, "status": {"managedFields": [1]}});
    assert_eq!(
        current(
            "!has(metadata.managedFields) && has(status.managedFields)",
            &managed
        ),
        HealthStatus::Current
    );
}

#[test]
fn in_progress_is_asked_before_failed_and_failed_before_current() {
    use HealthStatus::{Current, Failed, InProgress};
    let rule = || entry("status.ok", "status.bad", "status.busy");
    for (ok, bad, busy, want) in [
        (true, true, true, InProgress),
        (true, true, false, Failed),
        (true, false, false, Current),
        (false, false, false, InProgress),
        (false, false, true, InProgress),
    ] {
        let fields = json!({"status": {"ok": ok, "bad": bad, "busy": busy}});
        assert_eq!(judge(rule(), &fields).status, want, "{fields}");
    }
}

#[test]
fn a_failure_is_told_in_the_objects_own_words() {
    let rule = || entry("status.phase == 'Ready'", "status.phase == 'Broken'", "");
    let said = judge(
        rule(),
        &json!({"status": {"phase": "Broken", "message": "disk\nfull"}}),
    );
    assert_eq!(
        said.message,
        "`failed` is true: status.phase == 'Broken'; it says disk full"
    );
    let condition =
        json!({"type": "Ready", "status": "False", "reason": "NoDisk", "message": "none is left"});
    let said = judge(
        rule(),
        &json!({"status": {"phase": "Broken", "conditions": [condition]}}),
    );
    assert!(said.message.ends_with("it says NoDisk: none is left"), "{said:?}");
}

#[test]
fn an_old_generation_is_in_progress_unless_an_expression_looks_at_it() {
    let old = json!({"status": {"observedGeneration": 1, "phase": "Ready"}});
    let health = judge(entry("status.phase == 'Ready'", "", ""), &old);
    assert_eq!(
        (health.status, health.reason),
        (HealthStatus::InProgress, "GenerationNotObserved")
    );
    for own in [
        "status.observedGeneration >= 1 && status.phase == 'Ready'",
        "status['observedGeneration'] == 1",
    ] {
        assert_eq!(current(own, &old), HealthStatus::Current, "{own}");
    }
}

#[test]
fn a_deletion_goes_before_expressions() {
    let mut object = widget(&json!({"status": {"phase": "Ready"}}));
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let rule = rule(&[entry("true", "", "")]);
    let health = assess_by(Some(&rule), &object, Timestamp::UNIX_EPOCH);
    assert_eq!(health.status, HealthStatus::Terminating);
}

#[test]
fn an_expression_wins_over_the_rule_of_the_kind() {
    let id = |kind: &str, group: &str| ObjectId {
        group: group.into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: "w".into(),
    };
    let mut deployment = entry("metadata.name == 'w'", "", "");
    (deployment.api_version, deployment.kind) = ("apps/v1".to_owned(), "Deployment".to_owned());
    let (rules, problems) = HealthRules::read(&[deployment]);
    assert_eq!(problems, []);
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}});
    assert_eq!(
        assess(&object, Timestamp::UNIX_EPOCH).status,
        HealthStatus::InProgress
    );
    let rule = rules.of(&id("Deployment", "apps"), "v1");
    let health = assess_by(rule.map(|r| &**r), &object, Timestamp::UNIX_EPOCH);
    assert_eq!(health.status, HealthStatus::Current);
    assert!(rules.of(&id("Deployment", "other"), "v1").is_none());
    assert!(rules.of(&id("StatefulSet", "apps"), "v1").is_none());
}

#[test]
fn the_version_of_the_object_goes_before_another_of_its_kind() {
    let mut beta = entry("false", "", "");
    beta.api_version = "example.com/v1beta1".to_owned();
    let id = ObjectId::of(&widget(&json!({}))).unwrap();
    let rules = HealthRules::read(&[beta, entry("true", "", "")]).0;
    let verdict = |version| {
        assess_by(
            rules.of(&id, version).map(|r| &**r),
            &widget(&json!({})),
            Timestamp::UNIX_EPOCH,
        )
    };
    assert_eq!(verdict("v1").status, HealthStatus::Current);
    assert_eq!(verdict("v1beta1").status, HealthStatus::InProgress);
    assert_eq!(
        verdict("v2").status,
        HealthStatus::InProgress,
        "any of its kind is better than none"
    );
}

#[test]
fn a_broken_expression_is_named_with_entry_field_place_and_cause() {
    for (text, place, cause) in [
        ("status.phase = 'Ready'", "line 1, column 14: ", "`==` compares"),
        ("status.phase ==", "line 1, column 16: ", "expecting expression"),
        (
            "status.phase == 'Ready",
            "line 1, column 17: ",
            "unterminated string literal",
        ),
        ("true &&\n  (status.ok", "line 2, column 13: ", "expected ')'"),
        (
            "status.phase.isReady()",
            "line 1, column 14: ",
            "there is no function `isReady`",
        ),
        ("now() > 3", "line 1, column 1: ", "there is no function `now`"),
        (
            "self.status.phase == 'Ready'",
            "line 1, column 1: ",
            "write status.phase",
        ),
        ("has(object.status)", "line 1, column 5: ", "there is no `object`"),
        ("status.phase.matches('(')", "line 1, column 14: ", "the pattern"),
        (
            "status.phase.matches(spec.pattern)",
            "line 1, column 14: ",
            "must be written out",
        ),
        (
            "status.phase.matches('(\\\\w{100}){100}')",
            "line 1, column 14: ",
            "too large",
        ),
        ("has(status)", "line 1, column 5: ", "invalid argument to has()"),
        (
            "status.list.all(1, true)",
            "line 1, column 17: ",
            "must be a simple name",
        ),
        ("Widget{a: 1} == 3", "", "messages cannot be made"),
        ("'Ready'", "", "its value is not true or false"),
        ("status.a + status.b", "", "its value is not true or false"),
        (
            "has(status.a) ? 'yes' : 'no'",
            "",
            "its value is not true or false",
        ),
        (
            "status.list.filter(x, x.ok)",
            "",
            "its value is not true or false",
        ),
        ("  ", "", "it is empty"),
    ] {
        let said = fault(text);
        let start = format!("spec.health.expressions[0].current: of example.com/v1 Widget: {place}");
        assert!(said.starts_with(&start) && said.contains(cause), "{text}\n{said}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_such_a_kind_is_judged_by_nothing_else() {
    let (rules, problems) = HealthRules::read(&[entry("a ==", "b ==", "true"), entry("true", "", "")]);
    let fields: Vec<_> = problems.iter().map(|p| p.field.clone().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "spec.health.expressions[0].current",
            "spec.health.expressions[0].failed",
            "spec.health.expressions[1].kind"
        ]
    );
    assert!(problems.iter().all(|p| p.reason == "InvalidExpression"));
    let object = widget(&json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
    assert_eq!(
        assess(&object, Timestamp::UNIX_EPOCH).status,
        HealthStatus::Current
    );
    let rule = rules.of(&ObjectId::of(&object).unwrap(), "v1").unwrap().clone();
    let health = assess_by(Some(&rule), &object, Timestamp::UNIX_EPOCH);
    assert_eq!(
        (health.status, health.reason),
        (HealthStatus::Unknown, "InvalidExpression")
    );
}

#[test]
fn an_edited_expression_has_another_fingerprint() {
    let of = |current: &str, failed: &str, busy: &str| {
        rule(&[entry(current, failed, busy)]).fingerprint().to_owned()
    };
    assert_eq!(of("a == 1", "b", ""), of("a == 1", "b", ""));
    let all = [
        of("a", "", ""),
        of("b", "", ""),
        of("a", "b", ""),
        of("a", "", "b"),
        of("a ==", "", ""),
        of("ab", "", ""),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn values_are_not_repeated() {
    let secret = json!({"data": {"password": "hunter2", "list": ["hunter2"]}});
    for text in [
        "data.password + 1 == 'x'",
        "data.password > 3",
        "data[data.password] == 'x'",
        "data.list[0] - 2 == 3",
        "int(data.password) == 3",
        "data.password",
        "data.password && true",
        "data.list + {'a': 1} == []",
        "data.password.all(x, x)",
        "{data.password: 1, data.password: 2} == {}",
    ] {
        let health = judge(entry(text, text, text), &secret);
        assert_eq!(health.status, HealthStatus::InProgress, "{text}");
        assert!(!health.message.contains("hunter2"), "{text}: {}", health.message);
    }
    let health = judge(entry("data.password > 3", "", ""), &secret);
    assert!(
        health
            .message
            .contains("`current` applies `_>_` to string and int"),
        "{health:?}"
    );
    let health = judge(entry("data.password", "", ""), &secret);
    assert!(
        health.message.contains("gives a string, not true or false"),
        "{health:?}"
    );
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
