//! `spec.health.expressions`: what an expression may say, and what is wrong with one.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

#[path = "support/expressions.rs"]
mod support;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_core::health::expressions::HealthRules;
use tidegate_core::health::{HealthStatus, assess, assess_by};
use tidegate_core::object::ObjectId;

use support::{entry, judge, rule, widget};

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
