//! The gate's signatures: who must have signed which commit, and who may change what.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_api::release::{Gate, GateDecision};
use tidegate_core::apply_rule::ApplyRule;
use tidegate_core::desired::{DesiredObject, PruneRule, Rendered};
use tidegate_core::digest::DigestKey;
use tidegate_core::gate::{Asking, Decision, Question, RevisionFacts, decide};
use tidegate_core::object::{Location, ObjectId};
use tidegate_core::order::Stage;
use tidegate_core::people::{CommitFacts, SignatureFacts, SignatureState};
use tidegate_core::plan::{Action, Cause, Plan, Step};
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy};

use SignatureState::{Bad, Good, Unknown};

const UNSIGNED: SignatureState = SignatureState::None;

fn signature(state: SignatureState, who: &str) -> SignatureFacts {
    SignatureFacts {
        state,
        key_id: (state != UNSIGNED).then(|| format!("SHA256:{who}")),
        identity: (state == Good).then(|| format!("{who}@example.com")),
        message: match state {
            Bad => "it was changed after it was signed".to_owned(),
            Unknown => format!("it is signed with the SSH key SHA256:{who}, which the keyring does not have"),
            _ => String::new(),
        },
    }
}

fn commit(id: &str, author: &str, signature: SignatureFacts, paths: &[&str]) -> CommitFacts {
    CommitFacts {
        commit: id.repeat(8),
        author_name: author.to_owned(),
        author_email: format!("{author}@example.com"),
        committer_email: format!("{author}@example.com"),
        signature,
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        ..CommitFacts::default()
    }
}

fn object(kind: &str, name: &str, file: &str) -> DesiredObject {
    let body = json!({ "kind": kind, "metadata": { "name": name } });
    let group = if kind == "Deployment" { "apps" } else { "" };
    DesiredObject {
        id: ObjectId::new(group, kind, "shop", name),
        version: "v1".into(),
        location: Location {
            file: file.into(),
            line: 1,
        },
        digest: DigestKey::new([7; 32]).of_value(&body),
        body,
        ignored: Vec::new(),
        prune: PruneRule::Default,
        force: false,
        apply: ApplyRule::Always,
        wave: 0,
    }
}

/// A plan that makes a Deployment of `apps/web.yaml` and a ConfigMap of `apps/map.yaml`, and deletes a Service.
fn plan(delete: bool) -> Plan {
    let objects = vec![
        object("Deployment", "web", "apps/web.yaml"),
        object("ConfigMap", "map", "apps/map.yaml"),
    ];
    let step = |id: &ObjectId, action: Action| Step {
        id: id.clone(),
        version: "v1".into(),
        action,
        cause: Cause::New,
        wave: 0,
        stage: Stage::of(id),
        accepted: None,
        run: None,
    };
    let mut steps: Vec<Step> = objects
        .iter()
        .map(|object| step(&object.id, Action::Create))
        .collect();
    if delete {
        let gone = ObjectId::new("", "Service", "shop", "web");
        steps.push(step(&gone, Action::Delete { uid: None }));
    }
    Plan {
        steps,
        rendered: Arc::new(Rendered::new(objects, &DigestKey::new([7; 32]))),
        unchanged: 0,
        forgotten: Vec::new(),
        digest: "d".to_owned(),
        more: false,
    }
}

fn ask(rules: &Value, revision: &RevisionFacts, plan: Plan) -> (Vec<Gate>, bool) {
    let spec = serde_json::from_value(json!({ "signatures": rules })).unwrap();
    let policies = [Arc::new(CompiledPolicy::namespaced("shop", "signed", &spec))];
    let (app, after) = (ApplicationFacts::default(), BTreeMap::new());
    let question = Question {
        policies: &policies,
        ..Question::unbound(Asking::Release, &app, revision, &after)
    };
    let verdict = decide(plan, &question, Timestamp::UNIX_EPOCH);
    let goes = matches!(verdict.decision, Decision::Go(_));
    (verdict.gates, goes)
}

/// Reason and message of the one gate; an open one has no reason.
fn says(rules: &Value, commits: Vec<CommitFacts>) -> (String, String) {
    let revision = RevisionFacts {
        commits,
        ..RevisionFacts::default()
    };
    line(rules, &revision, plan(false))
}

fn line(rules: &Value, revision: &RevisionFacts, plan: Plan) -> (String, String) {
    let (gates, goes) = ask(rules, revision, plan);
    assert_eq!(gates.len(), 1, "{gates:#?}");
    assert_eq!(goes, gates[0].decision == GateDecision::Open, "{gates:#?}");
    (gates[0].reason.clone(), gates[0].message.clone())
}

fn required() -> Value {
    json!({"required": true})
}

#[test]
fn each_state_of_each_commit_counts() {
    let by = |state| {
        vec![
            commit("1", "Ann", signature(Good, "ann"), &["a.yaml"]),
            commit("2", "Bob", signature(state, "bob"), &["apps/x.yaml"]),
        ]
    };
    for (state, reason, words) in [
        (Good, "", "signatures of 2 commits"),
        (
            UNSIGNED,
            "NotSigned",
            "commit 22222222 by Bob changes apps/x.yaml and is not signed; have who may",
        ),
        (
            Unknown,
            "SignatureUnknown",
            "commit 22222222 by Bob changes apps/x.yaml, and it is signed with the SSH key",
        ),
        (
            Bad,
            "SignatureBad",
            "and its signature is bad: it was changed after it was signed",
        ),
    ] {
        let (found, message) = says(&required(), by(state));
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(words), "{message}");
    }
    // Without `required` and without signers nothing is asked at all.
    let revision = RevisionFacts {
        commits: by(Bad),
        ..RevisionFacts::default()
    };
    assert_eq!(ask(&json!({"required": false}), &revision, plan(false)).0, []);
}

#[test]
fn signers_change_what_they_may() {
    let rules = json!({"required": true, "signers": [
        {"identity": "ANN@example.com"},
        {"identity": "SHA256:bob", "paths": ["apps/**", "*.md"]},
    ]});
    for (who, paths, reason, words) in [
        ("ann", vec!["infra/x", "apps/y"], "", "as they must be"),
        ("bob", vec!["apps/y", "README.md"], "", "as they must be"),
        (
            "bob",
            vec!["apps/y", "infra/x"],
            "SignerNotAllowed",
            "changes infra/x, signed by bob@example.com (SHA256:bob), who may not change it",
        ),
        (
            "eve",
            vec!["apps/y"],
            "SignerNotAllowed",
            "whom no signers entry names",
        ),
        ("bob", vec![], "", "as they must be"),
    ] {
        let (found, message) = says(&rules, vec![commit("1", "X", signature(Good, who), &paths)]);
        assert_eq!(found, reason, "{who} {paths:?}: {message}");
        assert!(message.contains(words), "{message}");
    }
    let mut many = commit("1", "X", signature(Good, "bob"), &[]);
    many.more_paths = true;
    assert_eq!(says(&rules, vec![many.clone()]).0, "SignerNotAllowed");
    many.signature = signature(Good, "ann");
    assert_eq!(says(&rules, vec![many]).0, "");
}

#[test]
fn without_required_only_what_a_rule_names_is_guarded() {
    let rules =
        json!({"required": false, "signers": [{"identity": "ann@example.com", "paths": ["infra/**"]}]});
    for (state, who, path, reason) in [
        (UNSIGNED, "", "apps/x", ""),
        (Unknown, "eve", "apps/x", ""),
        (Good, "bob", "apps/x", ""),
        (Bad, "ann", "apps/x", "SignatureBad"),
        (UNSIGNED, "", "infra/x", "NotSigned"),
        (Unknown, "eve", "infra/x", "SignatureUnknown"),
        (Good, "bob", "infra/x", "SignerNotAllowed"),
        (Good, "ann", "infra/x", ""),
    ] {
        let (found, message) = says(&rules, vec![commit("1", "X", signature(state, who), &[path])]);
        assert_eq!(found, reason, "{state:?} {who} {path}: {message}");
    }
}

#[test]
fn kinds_go_by_the_files_they_are_written_in() {
    let rules = json!({"required": true, "signers": [
        {"identity": "ann@example.com"},
        {"identity": "bob@example.com", "kinds": ["ConfigMap"]},
        {"identity": "cid@example.com", "paths": ["apps/web.yaml"], "kinds": ["Deployment.apps"]},
        {"identity": "cid@example.com", "paths": ["apps/map.yaml"], "kinds": ["ConfigMap"]},
    ]});
    for (who, paths, deletes, reason) in [
        ("ann", vec!["apps/web.yaml"], true, ""),
        ("bob", vec!["apps/map.yaml"], true, ""),
        ("bob", vec!["apps/web.yaml"], false, "SignerNotAllowed"),
        // What is no manifest may be a patch of any of them, or one that was deleted.
        ("bob", vec!["apps/patch.yaml"], false, "SignerNotAllowed"),
        ("bob", vec![], true, ""),
        ("cid", vec!["apps/web.yaml", "apps/map.yaml"], true, ""),
        ("cid", vec!["apps/web.yaml"], false, ""),
    ] {
        let revision = RevisionFacts {
            commits: vec![commit("1", "X", signature(Good, who), &paths)],
            ..RevisionFacts::default()
        };
        let (found, message) = line(&rules, &revision, plan(deletes));
        assert_eq!(found, reason, "{who} {paths:?}: {message}");
    }
    let guarded = json!({"required": false, "signers": [{"identity": "ann@example.com", "paths": ["none"], "kinds": ["Deployment"]}]});
    for (path, reason) in [
        ("apps/web.yaml", "NotSigned"),
        ("apps/map.yaml", ""),
        ("elsewhere", "NotSigned"),
    ] {
        let (found, message) = says(&guarded, vec![commit("1", "X", signature(UNSIGNED, ""), &[path])]);
        assert_eq!(found, reason, "{path}: {message}");
    }
}

#[test]
fn a_signed_merge_does_not_sign_what_it_merges() {
    let merge = commit("3", "Ann", signature(Good, "ann"), &[]);
    let side = commit("2", "Bob", signature(UNSIGNED, ""), &["apps/x.yaml"]);
    let (reason, message) = says(&required(), vec![merge.clone(), side]);
    assert_eq!(reason, "NotSigned");
    assert!(message.starts_with("commit 22222222 by Bob"), "{message}");
    let signed = commit("2", "Bob", signature(Good, "bob"), &["apps/x.yaml"]);
    assert_eq!(says(&required(), vec![merge, signed]).0, "");
    let unsigned = commit("3", "Ann", signature(UNSIGNED, ""), &[]);
    assert!(
        says(&required(), vec![unsigned])
            .1
            .contains("changes no file by itself and is not signed")
    );
}

#[test]
fn a_signed_tag_signs_what_it_leads_to() {
    let rules = json!({"required": true, "signers": [
        {"identity": "ann@example.com"},
        {"identity": "bob@example.com", "paths": ["apps/**"]},
    ]});
    let of = |tag: SignatureFacts, state, path: &str| {
        let revision = RevisionFacts {
            reference: "v1".to_owned(),
            commits: vec![commit("1", "Eve", signature(state, "eve"), &[path])],
            tag: Some(tag),
            ..RevisionFacts::default()
        };
        line(&rules, &revision, plan(false)).0
    };
    for (tag, state, path, reason) in [
        (signature(Good, "ann"), UNSIGNED, "infra/x", ""),
        (signature(Good, "ann"), Unknown, "infra/x", ""),
        (signature(Good, "bob"), UNSIGNED, "infra/x", "SignerNotAllowed"),
        (signature(Good, "bob"), UNSIGNED, "apps/x", ""),
        (signature(Good, "eve"), UNSIGNED, "apps/x", "SignerNotAllowed"),
        (signature(Good, "ann"), Bad, "apps/x", "SignatureBad"),
        (signature(Bad, "ann"), Good, "apps/x", "SignatureBad"),
        (signature(Unknown, "ann"), Good, "apps/x", "SignatureUnknown"),
        (signature(UNSIGNED, ""), UNSIGNED, "apps/x", "NotSigned"),
    ] {
        assert_eq!(of(tag.clone(), state, path), reason, "{tag:?} {state:?} {path}");
    }
}

#[test]
fn what_is_not_known_of_the_history_closes() {
    let good = vec![commit("1", "Ann", signature(Good, "ann"), &["a"])];
    let unknown = RevisionFacts {
        commits: good.clone(),
        unknown: Some("there are more than 1000 commits since x".to_owned()),
        ..RevisionFacts::default()
    };
    let (reason, message) = line(&required(), &unknown, plan(false));
    assert_eq!(reason, "HistoryUnknown");
    assert!(message.contains("more than 1000 commits"), "{message}");
    let taken_back = RevisionFacts {
        commits: good,
        taken_back: Some("commit 1 does not descend from 2".to_owned()),
        ..RevisionFacts::default()
    };
    assert_eq!(line(&required(), &taken_back, plan(false)).0, "HistoryRewritten");
}

#[test]
fn at_most_five_are_named_and_a_broken_glob_closes() {
    let commits = (0..9)
        .map(|n| commit(&n.to_string(), "Bob", signature(UNSIGNED, ""), &["a"]))
        .collect();
    let (_, message) = says(&required(), commits);
    assert_eq!(message.matches("is not signed").count(), 5, "{message}");
    assert!(message.contains("; and 4 more; have"), "{message}");
    let revision = RevisionFacts {
        commits: vec![commit("1", "Ann", signature(Good, "ann"), &["a"])],
        ..RevisionFacts::default()
    };
    let broken = json!({"required": true, "signers": [{"identity": "ann@example.com", "paths": ["{"]}]});
    let (gates, goes) = ask(&broken, &revision, plan(false));
    assert!(!goes);
    assert!(
        gates
            .iter()
            .any(|gate| gate.gate == "Policy" && gate.message.contains("signers[0].paths[0]")),
        "{gates:#?}"
    );
}

fn any_state() -> impl Strategy<Value = SignatureState> {
    prop_oneof![Just(Good), Just(Unknown), Just(Bad), Just(UNSIGNED)]
}

fn any_commit() -> impl Strategy<Value = CommitFacts> {
    let path = prop_oneof![Just("apps/web.yaml"), Just("apps/map.yaml"), Just("infra/x")];
    let paths = proptest::collection::vec(path, 0..3);
    (
        any_state(),
        prop_oneof![Just("ann"), Just("bob"), Just("eve")],
        paths,
        any::<bool>(),
    )
        .prop_map(|(state, who, paths, more)| CommitFacts {
            more_paths: more,
            ..commit("1", "X", signature(state, who), &paths)
        })
}

fn any_rules() -> impl Strategy<Value = Value> {
    let signer = (
        prop_oneof![Just("ann@example.com"), Just("SHA256:bob")],
        prop_oneof![Just(vec![]), Just(vec!["apps/**"]), Just(vec!["infra/x"])],
        prop_oneof![Just(vec![]), Just(vec!["ConfigMap"])],
    );
    let signer = signer
        .prop_map(|(identity, paths, kinds)| json!({"identity": identity, "paths": paths, "kinds": kinds}));
    (any::<bool>(), proptest::collection::vec(signer, 0..3))
        .prop_map(|(required, signers)| json!({"required": required, "signers": signers}))
}

proptest! {
    #[test]
    fn a_further_commit_opens_nothing_and_order_is_irrelevant(
        rules in any_rules(),
        commits in proptest::collection::vec(any_commit(), 0..4),
        more in any_commit(),
    ) {
        let goes = |commits: Vec<CommitFacts>| {
            let revision = RevisionFacts { commits, ..RevisionFacts::default() };
            ask(&rules, &revision, plan(true)).1
        };
        let reversed: Vec<CommitFacts> = commits.iter().rev().cloned().collect();
        prop_assert_eq!(goes(commits.clone()), goes(reversed));
        if !goes(commits.clone()) {
            let with = [commits, vec![more]].concat();
            prop_assert!(!goes(with));
        }
    }

    #[test]
    fn losing_a_signature_opens_nothing(rules in any_rules(), commits in proptest::collection::vec(any_commit(), 1..4)) {
        let goes = |commits: &[CommitFacts]| {
            let revision = RevisionFacts { commits: commits.to_vec(), ..RevisionFacts::default() };
            ask(&rules, &revision, plan(true)).1
        };
        let mut stripped = commits.clone();
        for commit in &mut stripped {
            if commit.signature.state == Good {
                commit.signature = signature(UNSIGNED, "");
            }
        }
        let required = rules["required"] == json!(true);
        if required && !goes(&commits) {
            prop_assert!(!goes(&stripped));
        }
    }
}
