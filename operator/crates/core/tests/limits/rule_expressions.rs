//! `rules`: expressions over a plan, its revision, the Application and the time.

use serde_json::{Value, json};
use tidegate_core::desired::Rendered;
use tidegate_core::gate::{Asking, Decision, RevisionFacts};
use tidegate_core::hook::{DeletePolicy, Hook, Point};
use tidegate_core::people::{CommitFacts, SignatureFacts, SignatureState};
use tidegate_core::plan::Plan;

use crate::plans::{
    World, deployment, id, key, namespaced, now, object, of_hook, plan, plan_of, rendered, step, steps,
};

fn rule(expression: &str) -> Value {
    json!({"rules": [{"name": "mine", "expression": expression}]})
}

fn world() -> World {
    World {
        revision: RevisionFacts {
            commit: "1a2b3c4d".to_owned(),
            reference: "master".to_owned(),
            author_email: "alice@example.com".to_owned(),
            subject: "Add a shop".to_owned(),
            committed_at: "2026-11-25T10:00:00Z".parse().unwrap(),
            commits: vec![CommitFacts {
                commit: "1a2b3c4d".to_owned(),
                signature: SignatureFacts {
                    state: SignatureState::Good,
                    identity: Some("alice@example.com".to_owned()),
                    ..SignatureFacts::default()
                },
                ..CommitFacts::default()
            }],
            ..RevisionFacts::default()
        },
        ..World::default()
    }
}

fn mixed() -> Plan {
    let set = rendered(&[
        deployment(
            "web",
            &[
                "registry.example.com/shop/web:1.2",
                "registry.example.com/proxy@sha256:00",
            ],
        ),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{hunter2}"}},
            "data": {"password": "aHVudGVyMg=="}, "type": "Opaque"}),
    ]);
    let all = [
        vec![
            step(tidegate_core::plan::Action::Create, id("Deployment.apps", "web")),
            step(
                tidegate_core::plan::Action::Update { uid: "u".to_owned() },
                id("Secret", "db"),
            ),
        ],
        steps("delete", "ConfigMap", 2),
    ];
    plan_of(all.concat(), set)
}

#[test]
fn what_rules_see() {
    for (expression, holds) in [
        (
            "plan.create == 1 && plan.update == 1 && plan.delete == 2 && plan.recreate == 0 && plan.unchanged == 3",
            true,
        ),
        ("plan.delete < 2", false),
        ("size(plan.changes) == 4", true),
        (
            "plan.changes.exists(c, c.action == 'create' && c.kind == 'Deployment' && c.group == 'apps' && c.namespace == 'shop' && c.name == 'web' && c.wave == 0)",
            true,
        ),
        (
            "plan.changes.filter(c, c.action == 'delete').all(c, c.kind == 'ConfigMap')",
            true,
        ),
        (
            "plan.changes.all(c, c.images.all(i, !i.endsWith(':latest')))",
            true,
        ),
        (
            "plan.changes.all(c, c.images.all(i, i.contains('@sha256:')))",
            false,
        ),
        (
            "plan.changes.all(c, c.kind != 'Deployment' || c.object.spec.replicas >= 2)",
            true,
        ),
        (
            "plan.changes.all(c, c.kind != 'Deployment' || c['object'].spec.replicas >= 3)",
            false,
        ),
        (
            "revision.commit == '1a2b3c4d' && revision.ref == 'master' && revision.author.endsWith('@example.com')",
            true,
        ),
        ("revision.subject.startsWith('Add')", true),
        (
            "revision.signature.state == 'Good' && revision.signature.identity == 'alice@example.com'",
            true,
        ),
        (
            "application.namespace == 'shop' && application.name == 'shop' && application.labels.tier == 'production'",
            true,
        ),
        ("application.labels[?'team'].orValue('') == ''", true),
        (
            "now.getHours() == 17 && now.getMinutes() == 30 && now.getDayOfWeek() == 3",
            true,
        ),
        ("now.getHours('Europe/Berlin') == 18", true),
        (
            "now - revision.committedAt > duration('7h') && now - revision.committedAt < duration('8h')",
            true,
        ),
        ("now < timestamp('2026-12-24T00:00:00Z')", true),
        ("now.getDayOfWeek('Europe/Berlin') in [1, 2]", false),
    ] {
        let said = world().closed(&[namespaced("p", rule(expression))], mixed());
        assert_eq!(said.is_empty(), holds, "{expression}: {said:?}");
    }
}

#[test]
fn values_of_secrets_are_not_seen() {
    for expression in [
        "plan.changes.exists(c, c.kind == 'Secret' && c.object.data.password == '***')",
        "plan.changes.filter(c, c.kind == 'Secret').all(c, !has(c.object.metadata.annotations) || size(c.object.metadata.annotations) == 0)",
        "plan.changes.exists(c, c.kind == 'Secret' && c.object.type == 'Opaque')",
    ] {
        let said = world().closed(&[namespaced("p", rule(expression))], mixed());
        assert_eq!(said, Vec::<String>::new(), "{expression}");
    }
    let loud = namespaced("p", rule("plan.changes.all(c, int(c.object.data.password) > 1)"));
    let said = world().closed(&[loud], mixed()).concat();
    assert!(
        !said.contains("hunter2") && !said.contains("aHVudGVyMg"),
        "{said}"
    );
}

#[test]
fn hooks_are_seen_apart_and_their_runs_are_no_changes() {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "m", "image": "migrate:latest"}]}}}});
    let hook = Hook {
        point: Point::PreSync,
        delete: DeletePolicy::default(),
        job: object(job),
    };
    let set = Rendered::with_hooks(Vec::new(), vec![hook], &key());
    let run = of_hook(steps("create", "Job.batch", 1).remove(0));
    for (expression, holds) in [
        ("size(plan.changes) == 0 && plan.create == 0", true),
        (
            "plan.hooks.all(h, h.images.all(i, !i.endsWith(':latest')))",
            false,
        ),
        (
            "plan.hooks.exists(h, h.kind == 'Job' && h.name == 'migrate' && h.action == 'run')",
            true,
        ),
    ] {
        let said = world().closed(
            &[namespaced("p", rule(expression))],
            plan_of(vec![run.clone()], set.clone()),
        );
        assert_eq!(said.is_empty(), holds, "{expression}: {said:?}");
    }
}

#[test]
fn a_rule_that_is_not_met_says_what_its_author_says() {
    let rules = json!({"rules": [
        {"name": "no-deletes", "expression": "plan.delete == 0", "message": "ask the database team first"},
        {"name": "small", "expression": "plan.create < 1"},
        {"name": "fine", "expression": "true"},
    ]});
    let verdict = world().ask(&[namespaced("p", rules)], mixed());
    let said: Vec<String> = verdict.gates.iter().map(crate::plans::line).collect();
    assert_eq!(
        said,
        [
            "ReleasePolicy/p Rules : rule fine holds",
            "ReleasePolicy/p Rules RuleNotMet: rule no-deletes: ask the database team first",
            "ReleasePolicy/p Rules RuleNotMet: rule small is not met: plan.create < 1",
        ]
    );
}

#[test]
fn a_broken_rule_is_found_when_it_is_read_and_closes_the_gate() {
    for (expression, cause) in [
        ("plan.create = 1", "line 1, column"),
        ("", "it is empty"),
        ("plan.create", "it gives a int, not true or false"),
        ("size(plan.changes)", "its value is not true or false"),
        (
            "object.kind == 'Pod'",
            "there is no `object`; there are plan, revision, application, now",
        ),
        (
            "plan.deletes == 0",
            "there is no field `deletes` here; there are create, update, recreate, delete",
        ),
        (
            "plan.changes.all(c, c.image != 'x')",
            "there is no field `image` here; there are action, kind",
        ),
        (
            "plan.changes.filter(c, c.kind == 'Pod').all(p, p.nam == 'x')",
            "there is no field `nam` here",
        ),
        ("plan['deletes'] == 0", "there is no field `deletes`"),
        ("has(plan.deletes)", "there is no field `deletes`"),
        (
            "revision.signature == 'Good' || revision.signature.stat == 'Good'",
            "there is no field `stat` here",
        ),
        (
            "application.label.tier == 'x'",
            "there is no field `label` here; there are namespace, name, labels",
        ),
        ("plan.create < '5'", "it applies"),
        (
            "now.getHours('Mars/Base') == 1",
            "it names a time zone that is not known",
        ),
        (
            "timestamp('tomorrow') > now",
            "it calls timestamp() with something",
        ),
        ("now.getWeek() == 1", "there is no function `getWeek`"),
        ("now > 5", "it "),
        (
            "plan.changes.all(c, c.name.matches(c.kind))",
            "must be written out",
        ),
        (
            "plan.changes.all(a, plan.changes.all(b, plan.changes.all(c, plan.changes.all(d, true))))",
            "nested deeper than 3",
        ),
    ] {
        let policy = namespaced("p", rule(expression));
        assert_eq!(policy.problems.len(), 1, "{expression}: {:?}", policy.problems);
        let problem = &policy.problems[0];
        assert_eq!(problem.reason, "InvalidExpression", "{expression}");
        assert_eq!(problem.field.as_deref(), Some("spec.rules[0].expression"));
        assert!(
            problem.message.starts_with("rule mine: "),
            "{expression}: {}",
            problem.message
        );
        assert!(
            problem.message.contains(cause),
            "{expression}: {}",
            problem.message
        );
        let said = world().closed(&[policy], plan(Vec::new()));
        assert_eq!(said.len(), 1, "{expression}: {said:?}");
        assert!(said[0].contains("Policy InvalidExpression: cannot be used, and lets nothing through: spec.rules[0].expression: "), "{said:?}");
    }
    let twice = namespaced(
        "p",
        json!({"rules": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]}),
    );
    assert!(
        twice.problems[0]
            .to_string()
            .contains("spec.rules[1].name: rule a: another rule has this name")
    );
}

#[test]
fn a_broken_rule_closes_corrections_that_ask_rules() {
    let rules = json!({
        "rules": [{"name": "mine", "expression": "nonsense"}],
        "driftCorrections": {"gates": ["Rules"]},
    });
    let world = World {
        asking: Asking::Correction,
        ..world()
    };
    let said = world.closed(&[namespaced("p", rules)], plan(steps("update", "ConfigMap", 1)));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("Rules InvalidExpression: rule mine cannot be used"),
        "{said:?}"
    );
}

#[test]
fn a_rule_without_an_answer_for_this_plan_lets_nothing_through() {
    for (expression, why) in [
        (
            "plan.changes.all(c, c.object.spec.replicas > 0)",
            "it reads `spec`, which is not set",
        ),
        (
            "application.labels.team == 'web'",
            "it reads `team`, which is not set",
        ),
        (
            "plan.changes[9].kind == 'Pod'",
            "it reads an item that is not there",
        ),
        ("100 / plan.recreate > 1", "it divides by zero"),
        (
            "int(revision.subject) > 1",
            "it calls int() with something that it is not for",
        ),
    ] {
        let policy = namespaced("p", rule(expression));
        assert_eq!(policy.problems, [], "{expression}");
        let said = world().closed(&[policy], mixed());
        assert_eq!(said.len(), 1, "{expression}: {said:?}");
        assert!(
            said[0].contains("RuleNotAnswered") && said[0].contains(why),
            "{said:?}"
        );
        assert!(
            !said[0].contains("Add a shop"),
            "values are not repeated: {said:?}"
        );
    }
}

#[test]
fn rules_that_could_run_away_are_not_evaluated_and_close() {
    let large = plan(steps("update", "ConfigMap", 3_000));
    let square = namespaced(
        "p",
        rule("plan.changes.all(a, plan.changes.all(b, a.name != b.name || a.kind == b.kind))"),
    );
    assert_eq!(square.problems, []);
    let said = world().closed(std::slice::from_ref(&square), large.clone());
    assert!(
        said[0].contains("ExpressionTooCostly: rule mine lets nothing through"),
        "{said:?}"
    );
    assert_eq!(
        world().closed(&[square], plan(steps("update", "ConfigMap", 100))),
        Vec::<String>::new()
    );
    // What policies really say is well within, over the largest plans too.
    let plain = json!({"rules": [
        {"name": "a", "expression": "plan.changes.all(c, c.images.all(i, !i.endsWith(':latest')))"},
        {"name": "b", "expression": "plan.changes.filter(c, c.action == 'delete').size() < 10"},
        {"name": "c", "expression": "!plan.changes.exists(c, c.kind == 'Namespace')"},
    ]});
    assert_eq!(
        world().closed(&[namespaced("p", plain)], large),
        Vec::<String>::new()
    );
    // Many rules together have no more than one.
    let many: Vec<Value> = (0..64)
        .map(|n| json!({"name": format!("r{n}"), "expression": "plan.changes.all(a, plan.changes.all(b, a.name != ''))"}))
        .collect();
    let said = world().closed(
        &[namespaced("p", json!({ "rules": many }))],
        plan(steps("update", "ConfigMap", 200)),
    );
    assert!(
        said.iter().any(|line| line.contains("ExpressionTooCostly")),
        "{said:?}"
    );
    assert!(said.len() < 64, "{said:?}");
}

#[test]
fn a_closed_rule_that_reads_the_time_is_asked_again_at_the_next_minute() {
    let again = |expression: &str| match world()
        .ask(&[namespaced("p", rule(expression))], plan(Vec::new()))
        .decision
    {
        Decision::Wait(wait) => wait.again,
        Decision::Go(_) => panic!("{expression} holds"),
    };
    assert_eq!(
        again("now.getHours() == 3"),
        Some("2026-11-25T17:31:00Z".parse().unwrap())
    );
    assert_eq!(again("plan.unchanged == 0"), None);
    assert!(now() < "2026-11-25T17:31:00Z".parse().unwrap());
}

#[test]
fn the_same_inputs_give_the_same_answer() {
    let policies = [
        namespaced(
            "a",
            rule("plan.changes.map(c, c.name).exists(n, n == 'web') && now.getHours() > 20"),
        ),
        namespaced(
            "b",
            json!({"limits": {"maxDeletes": 1}, "rules": [{"name": "x", "expression": "plan.delete == 0"}]}),
        ),
    ];
    let (one, two) = (world().ask(&policies, mixed()), world().ask(&policies, mixed()));
    assert_eq!(
        serde_json::to_string(&one.gates).unwrap(),
        serde_json::to_string(&two.gates).unwrap()
    );
}
