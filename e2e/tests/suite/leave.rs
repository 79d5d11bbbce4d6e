//! What people say about a release that waits: approvals that count and that do not, a freeze that is overridden, and what
//! became of something forged before anybody guarded it.

use serde_json::{Value, json};
use tidegate_e2e::operator::{Operator, Options};
use tidegate_e2e::{Error, Result, wait};

use crate::admission::{Team, Who, who};
use crate::stage::{STEP, Shop, condition, fragile, map, text, world};

/// A policy of the namespace with these rules.
async fn policy(shop: &Shop, name: &str, rules: Value) -> Result<()> {
    let object = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "ReleasePolicy",
        "metadata": { "name": name, "namespace": shop.ns }, "spec": rules,
    });
    shop.cluster.apply(&object.to_string()).await.map(drop)
}

/// An Approval of a Release as it is now.
fn of(release: &Value, approver: &str, groups: &[&str]) -> Value {
    json!({
        "application": "shop", "release": release["metadata"]["name"], "planDigest": release["status"]["plan"]["digest"],
        "approver": approver, "groups": groups,
    })
}

/// Waits until the last Release of a commit says so.
async fn says(shop: &Shop, commit: &str, what: &str, ok: impl Fn(&Value) -> bool) -> Result<Value> {
    let ok = &ok;
    wait::until(
        STEP,
        &format!("{} the release of {commit}: {what}", shop.ns),
        || async move {
            let all = shop.releases(commit).await.map_err(|e| e.to_string())?;
            let last = all.last().cloned().unwrap_or_default();
            if ok(&last) {
                Ok(last)
            } else {
                Err(last["status"].to_string())
            }
        },
    )
    .await
}

fn gate<'a>(release: &'a Value, name: &str) -> &'a Value {
    let gates = release["status"]["gates"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    gates.iter().find(|g| g["gate"] == name).unwrap_or(&Value::Null)
}

/// What is shown of an Approval.
fn shown<'a>(release: &'a Value, name: &str) -> &'a Value {
    let all = release["status"]["approvals"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter().find(|a| a["name"] == name).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn two_people_approve_the_plan_as_it_is() -> Result<()> {
    let shop = Shop::open_in(&world().await?.cluster, "eyes").await?;
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    // Report, so that what is deleted by hand is not put back meanwhile.
    shop.deploy("drift: {mode: Report}").await?;
    shop.released(&first).await?;
    let ada = json!({ "user": "ada", "emails": ["ada@example.com"] });
    policy(
        &shop,
        "eyes",
        json!({ "approvals": { "required": 2 }, "identities": [ada] }),
    )
    .await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("two")?;
    let waits = says(&shop, &second, "how it is approved", |r| {
        let how = format!("tidegate approve {} -n {}", text(&r["metadata"]["name"]), shop.ns);
        text(&gate(r, "Approvals")["message"]).contains(&how)
    })
    .await?;
    assert_eq!(waits["status"]["phase"], "Waiting");
    let message = text(&gate(&waits, "Approvals")["message"]);
    assert!(
        message.starts_with("0 of 2 approvals; needs 2 more by anybody who may approve"),
        "{message}"
    );

    // One person twice is one; a ServiceAccount that has the verb is none.
    let robot: &'static str =
        Box::leak(format!("system:serviceaccount:{}:default", shop.ns).into_boxed_str());
    team.make(who("alice"), "Approval", "alice-1", &of(&waits, "alice", &[]))
        .await?;
    team.make(who("alice"), "Approval", "alice-2", &of(&waits, "alice", &[]))
        .await?;
    team.make(who(robot), "Approval", "robot", &of(&waits, robot, &[]))
        .await?;
    let seen = says(&shop, &second, "all three are shown", |r| {
        r["status"]["approvals"].as_array().map(Vec::len) == Some(3)
    })
    .await?;
    assert_eq!(seen["status"]["phase"], "Waiting");
    assert!(
        text(&gate(&seen, "Approvals")["message"]).starts_with("1 of 2 approvals, by alice"),
        "{seen}"
    );
    assert!(
        text(&shown(&seen, "robot")["why"]).contains("is no person"),
        "{seen}"
    );
    let counted = ["alice-1", "alice-2"].map(|name| shown(&seen, name)["counts"] == true);
    assert_eq!(counted.iter().filter(|c| **c).count(), 1, "{seen}");

    // A live change that leaves the actions as they are leaves the approvals.
    shop.kubectl(&["annotate", "configmap", "a", "looked=yes"])
        .await?;
    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        "-p",
        "{\"data\":{\"key\":\"edited\"}}",
    ])
    .await?;
    shop.look_again().await?;
    let still = shop.phase(&second, "Waiting").await?;
    assert_eq!(
        still["status"]["plan"]["digest"],
        waits["status"]["plan"]["digest"]
    );
    assert!(
        text(&gate(&still, "Approvals")["message"]).starts_with("1 of 2 approvals, by alice"),
        "{still}"
    );

    // One that makes a creation of an update voids them.
    shop.kubectl(&["delete", "configmap", "a"]).await?;
    let void = says(&shop, &second, "void", |r| r["status"]["plan"]["create"] == 1).await?;
    assert_eq!(
        void["metadata"]["uid"], waits["metadata"]["uid"],
        "the same Release"
    );
    for name in ["alice-1", "alice-2"] {
        let why = text(&shown(&void, name)["why"]);
        assert!(why.starts_with("the plan has changed since"), "{void}");
    }
    assert!(
        text(&gate(&void, "Approvals")["message"]).starts_with("0 of 2 approvals"),
        "{void}"
    );
    assert_eq!(shop.get("configmaps/a").await?, Value::Null);

    team.make(who("alice"), "Approval", "alice-3", &of(&void, "alice", &[]))
        .await?;
    says(&shop, &second, "one counts", |r| {
        shown(r, "alice-3")["counts"] == true
    })
    .await?;
    team.make(who("bob"), "Approval", "bob", &of(&void, "bob", &[]))
        .await?;
    let went = shop.phase(&second, "Succeeded").await?;
    assert_eq!(
        gate(&went, "Approvals")["message"],
        "2 of 2 approvals, by alice, bob"
    );
    assert_eq!(shown(&went, "bob")["counts"], true, "{went}");
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    Ok(())
}

#[tokio::test]
async fn who_wrote_the_commit_does_not_approve_it_and_an_unknown_author_holds_it() -> Result<()> {
    let shop = Shop::open_in(&world().await?.cluster, "author").await?;
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    let rules = |user: &str| {
        let identities = json!([{ "user": user, "emails": ["ada@example.com"] }]);
        json!({ "approvals": { "groups": ["sre"] }, "identities": identities })
    };
    policy(&shop, "eyes", json!({ "approvals": { "groups": ["sre"] } })).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    let waits = says(&shop, &commit, "nobody knows the author", |r| {
        gate(r, "Approvals")["reason"] == "AuthorUnmapped"
    })
    .await?;
    let message = text(&gate(&waits, "Approvals")["message"]);
    assert!(
        message.contains("ada@example.com") && message.contains("spec.identities of ReleasePolicy/eyes"),
        "{message}"
    );

    // The policy is picked up while the release waits.
    let alice = Who {
        name: "alice",
        groups: &["sre"],
    };
    team.make(alice, "Approval", "alice", &of(&waits, "alice", &["sre"]))
        .await?;
    policy(&shop, "eyes", rules("alice")).await?;
    let own = says(&shop, &commit, "her own", |r| {
        text(&shown(r, "alice")["why"]).contains("nobody approves their own")
    })
    .await?;
    assert_eq!(own["status"]["phase"], "Waiting");

    // Without the group it does not count.
    team.make(who("bob"), "Approval", "bob", &of(&own, "bob", &[]))
        .await?;
    says(&shop, &commit, "no group", |r| {
        text(&shown(r, "bob")["why"]).contains("names no group")
    })
    .await?;
    policy(&shop, "eyes", rules("ada")).await?;
    shop.phase(&commit, "Succeeded").await.map(drop)
}

#[tokio::test]
async fn an_override_by_who_may_passes_a_freeze_and_by_another_is_refused() -> Result<()> {
    let shop = Shop::open_in(&world().await?.cluster, "override").await?;
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    let freeze = json!({ "reason": "Black Friday", "until": "2099-11-30T00:00:00Z" });
    let overrides = json!({ "gates": ["Freeze"], "groups": ["on-call"], "maxDuration": "4h" });
    policy(
        &shop,
        "friday",
        json!({ "freeze": freeze, "overrides": overrides }),
    )
    .await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    let waits = shop.phase(&commit, "Waiting").await?;
    assert_eq!(
        gate(&waits, "Freeze")["message"],
        "frozen until 2099-11-30T00:00:00Z: Black Friday"
    );

    let until = |hours: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string();
    let spec = |by: &str, groups: &[&str], until: String| json!({ "application": "shop", "gates": ["Freeze"], "reason": "the shop is down", "until": until, "requester": by, "groups": groups });
    let on_call = |name| Who {
        name,
        groups: &["on-call"],
    };
    let refused = team
        .make(
            on_call("alice"),
            "Override",
            "alice",
            &spec("alice", &["on-call"], until(1)),
        )
        .await;
    let said = refused.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(said.contains("needs the verb override"), "{said}");

    // Who may for the API server, and not for the policy: out of the group, or for too long.
    team.make(who("carol"), "Override", "alone", &spec("carol", &[], until(1)))
        .await?;
    team.make(
        on_call("carol"),
        "Override",
        "long",
        &spec("carol", &["on-call"], until(5)),
    )
    .await?;
    let told = says(&shop, &commit, "both are told", |r| {
        let message = text(&gate(r, "Freeze")["message"]);
        message.contains("only on-call may") && message.contains("at most 4h")
    })
    .await?;
    assert_eq!(told["status"]["phase"], "Waiting");

    team.make(
        on_call("carol"),
        "Override",
        "good",
        &spec("carol", &["on-call"], until(3)),
    )
    .await?;
    let went = shop.phase(&commit, "Succeeded").await?;
    let freeze = gate(&went, "Freeze");
    assert_eq!(freeze["decision"], "Overridden", "{went}");
    assert!(
        text(&freeze["message"]).starts_with("overridden by carol until"),
        "{went}"
    );
    Ok(())
}

#[tokio::test]
async fn a_freeze_by_a_person_holds_until_it_is_deleted() -> Result<()> {
    let shop = Shop::open_in(&world().await?.cluster, "freeze").await?;
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    team.make(
        who("carol"),
        "Freeze",
        "stop",
        &json!({ "reason": "the database burns", "by": "carol" }),
    )
    .await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    let waits = shop.phase(&commit, "Waiting").await?;
    let freeze = gate(&waits, "Freeze");
    assert_eq!(
        (&freeze["policy"], &freeze["message"]),
        (
            &json!("Freeze/stop"),
            &json!("frozen by carol until Freeze stop is deleted: the database burns")
        )
    );
    team.by(who("carol"), &["delete", "freezes.tidegate.io", "stop"])
        .await?;
    shop.phase(&commit, "Succeeded").await.map(drop)
}

/// A commit may hold any kind, and must not give leave to itself.
#[tokio::test]
async fn a_commit_that_approves_is_refused_by_the_api_server() -> Result<()> {
    let shop = Shop::open_in(&world().await?.cluster, "self").await?;
    let approver = "system:serviceaccount:tidegate-system:tidegate";
    shop.put(
        "approval.yaml",
        &format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: Approval\nmetadata: {{name: mine}}\n\
             spec: {{application: shop, release: shop-000002, planDigest: d, approver: '{approver}'}}\n"
        ),
    )?;
    let commit = shop.push("an approval")?;
    shop.deploy("").await?;
    shop.until("refused", "applications/shop", |app| {
        text(&condition(app, "Ready")["message"]).contains("the operator's own account approves nothing")
    })
    .await?;
    assert_eq!(shop.releases(&commit).await?.len(), 1);
    let found = shop
        .kubectl(&["get", "approvals.tidegate.io", "-o", "name"])
        .await?;
    assert_eq!(found.trim(), "");
    Ok(())
}

async fn start(shop: &Shop, name: &str) -> Result<Operator> {
    let options = Options {
        name: name.to_owned(),
        ..Options::default()
    };
    let mut operator = Operator::start(shop.cluster, options).await?;
    operator.wait_ready(STEP).await?;
    Ok(operator)
}

/// Whether the operator has proven to itself that the policies are enforced.
async fn proven(operator: &Operator, value: u8) -> Result<()> {
    let line = format!("tidegate_admission_proven {value}");
    wait::until(STEP, &line, || async {
        let metrics = operator.metrics().await.map_err(|e| e.to_string())?;
        if metrics.lines().any(|l| l == line) {
            Ok(())
        } else {
            Err(operator.logs())
        }
    })
    .await
}

#[tokio::test]
async fn what_was_forged_before_anybody_guarded_it_does_not_count() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "forged").await?;
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    let ada = json!({ "user": "ada", "emails": ["ada@example.com"] });
    policy(&shop, "eyes", json!({ "approvals": {}, "identities": [ada] })).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    let mut running = start(&shop, "forged").await?;
    proven(&running, 1).await?;
    let waits = shop.phase(&commit, "Waiting").await?;
    running.kill9();

    // Somebody takes the binding away, and forges.
    let binding = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
    shop.cluster
        .kubectl(&["delete", binding, "tidegate-approvals"])
        .await?;
    let number = std::sync::atomic::AtomicUsize::new(0);
    wait::until(STEP, "a forged Approval to be taken", || async {
        let name = format!(
            "forged-{}",
            number.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        );
        let made = team
            .make(who("alice"), "Approval", &name, &of(&waits, "bob", &[]))
            .await;
        made.map(drop).map_err(|e| e.to_string())
    })
    .await?;
    running.restart()?;
    running.wait_ready(STEP).await?;
    proven(&running, 0).await?;
    let unguarded = says(&shop, &commit, "unguarded", |r| {
        let approvals = gate(r, "Approvals");
        approvals["reason"] == "ApprovalsUnguarded"
            && text(&approvals["message"])
                .contains("ValidatingAdmissionPolicyBinding tidegate-approvals is not there")
    })
    .await?;
    assert_eq!(unguarded["status"]["phase"], "Waiting");

    // The chart is installed again: what was forged stays without effect, and a real one counts.
    shop.cluster.helm_install_chart(&["replicaCount=0"]).await?;
    proven(&running, 1).await?;
    let guarded = says(&shop, &commit, "the forged one does not count", |r| {
        let all = r["status"]["approvals"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let old = "made before the API server guaranteed";
        !all.is_empty()
            && all
                .iter()
                .all(|a| a["counts"] == false && text(&a["why"]).contains(old))
    })
    .await?;
    let number = std::sync::atomic::AtomicUsize::new(0);
    wait::until(STEP, "a real one to count", || async {
        // One of the first moments does not count yet.
        let name = format!(
            "real-{}",
            number.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        );
        let made = team
            .make(who("alice"), "Approval", &name, &of(&guarded, "alice", &[]))
            .await;
        made.map_err(|e| e.to_string())?;
        let last = shop
            .releases(&commit)
            .await
            .map_err(|e| e.to_string())?
            .pop()
            .unwrap_or_default();
        if last["status"]["phase"] == "Succeeded" {
            Ok(())
        } else {
            Err(last["status"].to_string())
        }
    })
    .await?;
    running.kill9();
    drop(guard);
    Ok::<(), Error>(())
}
