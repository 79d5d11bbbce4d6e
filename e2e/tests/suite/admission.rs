//! Who may say what about releases, as the API server itself holds people to it by the chart's admission policies.

use serde_json::{Value, json};
use tidegate_e2e::{Cluster, Error, Result, wait};

use crate::stage::{STEP, world};

/// The operator's account, as the chart makes it.
const OPERATOR: &str = "system:serviceaccount:tidegate-system:tidegate";

/// A namespace in which alice and a robot approve, carol manages releases and eve may edit and make everything, without a
/// verb that gives leave.
pub(crate) struct Team {
    pub(crate) cluster: &'static Cluster,
    pub(crate) ns: String,
}

/// A person, by impersonation: what admission sees is the impersonated user.
#[derive(Clone, Copy)]
pub(crate) struct Who {
    pub(crate) name: &'static str,
    pub(crate) groups: &'static [&'static str],
}

pub(crate) fn who(name: &'static str) -> Who {
    Who { name, groups: &[] }
}

impl Team {
    pub(crate) async fn gather(cluster: &'static Cluster, ns: &str) -> Result<Self> {
        let team = Self {
            cluster,
            ns: ns.to_owned(),
        };
        let any = format!("{ns}-any");
        let robot = format!("--serviceaccount={ns}:default");
        team.admin(&[
            "create",
            "rolebinding",
            "approvers",
            "--clusterrole=tidegate-approver",
            "--user=alice",
            "--user=bob",
            &robot,
        ])
        .await?;
        team.admin(&[
            "create",
            "rolebinding",
            "managers",
            "--clusterrole=tidegate-release-manager",
            "--user=carol",
        ])
        .await?;
        team.admin(&[
            "create",
            "rolebinding",
            "editors",
            "--clusterrole=edit",
            "--user=eve",
        ])
        .await?;
        let kinds = "--resource=approvals.tidegate.io,overrides.tidegate.io,freezes.tidegate.io";
        team.admin(&["create", "role", &any, "--verb=create", kinds])
            .await?;
        team.admin(&[
            "create",
            "rolebinding",
            &any,
            "--role",
            &any,
            "--user=eve",
            "--user=alice",
        ])
        .await?;
        // Rights reach the API server's own watch a moment later.
        for (verb, resource, user) in [
            ("approve", "applications.tidegate.io", "alice"),
            ("freeze", "applications.tidegate.io", "carol"),
            ("patch", "applications.tidegate.io", "eve"),
            ("create", "freezes.tidegate.io", "eve"),
        ] {
            wait::until(STEP, &format!("{user} may {verb} {resource}"), || async {
                let args = ["auth", "can-i", verb, resource, "--as", user];
                team.admin(&args).await.map(drop).map_err(|e| e.to_string())
            })
            .await?;
        }
        Ok(team)
    }

    /// kubectl in the namespace, as administrator.
    pub(crate) async fn admin(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["-n", self.ns.as_str()];
        all.extend(args);
        self.cluster.kubectl(&all).await
    }

    /// kubectl in the namespace, as somebody.
    pub(crate) async fn by(&self, who: Who, args: &[&str]) -> Result<String> {
        let mut all = vec!["-n", self.ns.as_str(), "--as", who.name];
        for group in who.groups {
            all.extend(["--as-group", group]);
        }
        all.extend(args);
        self.cluster.kubectl(&all).await
    }

    /// Makes an object of ours in a namespace, as somebody.
    pub(crate) async fn make_in(
        &self,
        namespace: &str,
        who: Who,
        kind: &str,
        name: &str,
        spec: &Value,
    ) -> Result<String> {
        let object = json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": kind,
            "metadata": { "name": name, "namespace": namespace }, "spec": spec,
        });
        let file = self.cluster.dir().join(format!("{namespace}-{kind}-{name}.json"));
        std::fs::write(&file, object.to_string()).map_err(|e| Error::Bug(e.to_string()))?;
        let file = file.display().to_string();
        let mut all = vec!["--as", who.name];
        for group in who.groups {
            all.extend(["--as-group", group]);
        }
        all.extend(["create", "-f", &file]);
        self.cluster.kubectl(&all).await
    }

    pub(crate) async fn make(&self, who: Who, kind: &str, name: &str, spec: &Value) -> Result<String> {
        self.make_in(&self.ns, who, kind, name, spec).await
    }
}

/// The words of a refusal; an answer that is none is a failed test.
fn refused(what: &str, answer: Result<String>) -> Result<String> {
    match answer {
        Ok(output) => Err(Error::Bug(format!("{what} was allowed: {output}"))),
        Err(error) => Ok(error.to_string()),
    }
}

fn approval(approver: &str, groups: &[&str]) -> Value {
    json!({ "application": "shop", "release": "shop-000001", "planDigest": "d", "approver": approver, "groups": groups })
}

fn override_(requester: &str, groups: &[&str], namespace: Option<&str>) -> Value {
    let mut spec = json!({
        "application": "shop", "gates": ["Freeze"], "reason": "r", "until": "2099-01-01T00:00:00Z",
        "requester": requester, "groups": groups,
    });
    if let Some(namespace) = namespace {
        spec["namespace"] = namespace.into();
    }
    spec
}

fn freeze(by: &str) -> Value {
    json!({ "reason": "r", "by": by, "until": "2000-01-01T00:00:00Z" })
}

#[tokio::test]
async fn leave_is_given_in_ones_own_name_by_who_has_the_verb_and_never_by_the_operator() -> Result<()> {
    let cluster = &world().await?.cluster;
    let team = Team::gather(cluster, &cluster.namespace("leave").await?).await?;
    let (ns, home) = (team.ns.as_str(), "tidegate-system");
    let robot: &'static str = Box::leak(format!("system:serviceaccount:{ns}:default").into_boxed_str());
    let sre = Who {
        name: "alice",
        groups: &["sre"],
    };
    let own = "must be your own name";
    let groups = "you are not in sre: spec.groups may name your own groups only";
    let rows = [
        (ns, who("alice"), "Approval", approval("alice", &[]), ""),
        (ns, sre, "Approval", approval("alice", &["sre"]), ""),
        (ns, who(robot), "Approval", approval(robot, &[]), ""),
        (ns, who("alice"), "Approval", approval("bob", &[]), own),
        (ns, who("alice"), "Approval", approval("alice", &["sre"]), groups),
        (
            ns,
            who("eve"),
            "Approval",
            approval("eve", &[]),
            "needs the verb approve on it; have ClusterRole tidegate-approver",
        ),
        (
            ns,
            who(OPERATOR),
            "Approval",
            approval(OPERATOR, &[]),
            "the operator's own account approves nothing",
        ),
        (
            home,
            who(OPERATOR),
            "Approval",
            approval(OPERATOR, &[]),
            "the operator's own account approves nothing",
        ),
        (ns, who("carol"), "Override", override_("carol", &[], None), ""),
        (ns, who("carol"), "Override", override_("bob", &[], None), own),
        (
            ns,
            who("carol"),
            "Override",
            override_("carol", &["sre"], None),
            groups,
        ),
        (
            ns,
            who("eve"),
            "Override",
            override_("eve", &[], None),
            "needs the verb override on it",
        ),
        (
            ns,
            who("alice"),
            "Override",
            override_("alice", &[], None),
            "needs the verb override on it",
        ),
        (
            ns,
            who(OPERATOR),
            "Override",
            override_(OPERATOR, &[], None),
            "the operator's own account overrides nothing",
        ),
        (
            ns,
            who("carol"),
            "Override",
            override_("carol", &[], Some("default")),
            "may name another namespace only in the operator's",
        ),
        (ns, who("carol"), "Freeze", freeze("carol"), ""),
        (ns, who("carol"), "Freeze", freeze("bob"), own),
        (ns, who("eve"), "Freeze", freeze("eve"), "needs the verb freeze"),
        (
            ns,
            who(OPERATOR),
            "Freeze",
            freeze(OPERATOR),
            "the operator's own account freezes nothing",
        ),
    ];
    for (number, (namespace, who, kind, spec, says)) in rows.into_iter().enumerate() {
        let what = format!("{kind} by {} of {spec}", who.name);
        let name = format!("row-{number}-{}", ns.rsplit('-').next().unwrap_or_default());
        let answer = team.make_in(namespace, who, kind, &name, &spec).await;
        if says.is_empty() {
            answer?;
            continue;
        }
        let said = refused(&what, answer)?;
        assert!(
            said.contains(says) && said.contains("ValidatingAdmissionPolicy"),
            "{what}: {said}"
        );
    }
    in_the_operators_namespace(&team).await
}

/// There one word is about all namespaces: it needs a right in the namespace that it is about, or in all of them.
async fn in_the_operators_namespace(team: &Team) -> Result<()> {
    let (home, name) = ("tidegate-system", team.ns.as_str());
    let other: &'static str = Box::leak(format!("dora-{name}").into_boxed_str());
    let admin = |args: Vec<String>| async move {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        team.cluster.kubectl(&args).await
    };
    let kinds = "--resource=overrides.tidegate.io,freezes.tidegate.io".to_owned();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut role = words(&format!("create role {name} -n {home} --verb=create"));
    role.push(kinds);
    admin(role).await?;
    admin(words(&format!(
        "create rolebinding {name} -n {home} --role={name} --user=carol --user=eve"
    )))
    .await?;
    admin(words(&format!(
        "create clusterrolebinding {name} --clusterrole=tidegate-release-manager --user={other}"
    )))
    .await?;
    let about = override_("carol", &[], Some(name));
    wait::until(STEP, "an Override there about the own namespace", || async {
        let made = team.make_in(home, who("carol"), "Override", name, &about).await;
        made.map(drop).map_err(|e| e.to_string())
    })
    .await?;
    let foreign = override_("carol", &[], Some("default"));
    let said = refused(
        "an Override about another",
        team.make_in(home, who("carol"), "Override", "x", &foreign).await,
    )?;
    assert!(said.contains("default/shop needs the verb override"), "{said}");
    let said = refused(
        "freezing all",
        team.make_in(home, who("carol"), "Freeze", "x", &freeze("carol"))
            .await,
    )?;
    assert!(said.contains("on those of all"), "{said}");
    wait::until(STEP, "a Freeze of all by who may", || async {
        let made = team
            .make_in(home, who(other), "Freeze", name, &freeze(other))
            .await;
        made.map(drop).map_err(|e| e.to_string())
    })
    .await?;
    for kind in ["freezes.tidegate.io", "overrides.tidegate.io"] {
        team.cluster.kubectl(&["-n", home, "delete", kind, name]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_said_never_changes_and_its_metadata_may() -> Result<()> {
    let cluster = &world().await?.cluster;
    let team = Team::gather(cluster, &cluster.namespace("said").await?).await?;
    team.make(who("alice"), "Approval", "a", &approval("alice", &[]))
        .await?;
    team.make(who("carol"), "Override", "a", &override_("carol", &[], None))
        .await?;
    team.make(who("carol"), "Freeze", "a", &freeze("carol")).await?;
    for (kind, field) in [
        ("approvals", "comment"),
        ("overrides", "reason"),
        ("freezes", "reason"),
    ] {
        let kind = format!("{kind}.tidegate.io");
        let patch = |body: Value| {
            let (team, kind) = (&team, kind.clone());
            async move {
                team.admin(&["patch", &kind, "a", "--type=merge", "-p", &body.to_string()])
                    .await
            }
        };
        // By somebody whose name it is not in: a controller, say.
        patch(json!({ "metadata": { "labels": { "seen": "yes" }, "finalizers": ["example.com/look"] } }))
            .await?;
        patch(json!({ "metadata": { "finalizers": [] } })).await?;
        let said = refused(&kind, patch(json!({ "spec": { field: "another" } })).await)?;
        assert!(said.contains("never changes"), "{said}");
        let said = refused(&kind, patch(json!({ "spec": null })).await)?;
        assert!(said.contains("spec"), "{said}");
    }
    // Who approves may take it back; who edits may not take it from them.
    refused(
        "eve deletes",
        team.by(who("eve"), &["delete", "approvals.tidegate.io", "a"])
            .await,
    )?;
    team.by(who("alice"), &["delete", "approvals.tidegate.io", "a"])
        .await?;
    team.by(who("carol"), &["delete", "freezes.tidegate.io", "a"])
        .await
        .map(drop)
}

#[tokio::test]
async fn suspending_rolling_back_and_relabelling_need_their_verbs() -> Result<()> {
    let cluster = &world().await?.cluster;
    let team = Team::gather(cluster, &cluster.namespace("verbs").await?).await?;
    let ns = team.ns.as_str();
    let label = "example.com/tier";
    cluster
        .apply(&format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: ClusterReleasePolicy\nmetadata: {{name: {ns}}}\n\
             spec: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}, protectedLabels: ['{label}']}}\n"
        ))
        .await?;
    let make = |name: &str, labels: Value, suspend: Value| {
        json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Application",
            "metadata": { "name": name, "namespace": ns, "labels": labels },
            "spec": { "source": { "name": "nowhere" }, "suspend": suspend },
        })
        .to_string()
    };
    let create = |who: Who, text: String| {
        let team = &team;
        async move {
            let file = team.cluster.dir().join(format!("{}-app.json", team.ns));
            std::fs::write(&file, text).map_err(|e| Error::Bug(e.to_string()))?;
            team.by(who, &["create", "-f", &file.display().to_string()]).await
        }
    };
    create(who("eve"), make("shop", json!({}), Value::Null)).await?;
    let suspended = |by: &str| json!({ "spec": { "suspend": { "reason": "stock-taking", "by": by } } });
    let annotated = |to: Value| json!({ "metadata": { "annotations": { "tidegate.io/rollbackTo": to } } });
    let labelled = |tier: Value| json!({ "metadata": { "labels": { label: tier } } });
    let harmless = json!({ "metadata": { "labels": { "colour": "blue" } }, "spec": { "prune": false } });
    let (suspend, rollback) = ("needs the verb suspend", "needs the verb rollback");
    let relabel = "needs the verb relabel";
    let whose = "spec.suspend.by must be the name of whoever sets or changes spec.suspend";
    let rows = [
        ("eve", harmless.clone(), ""),
        ("eve", suspended("eve"), suspend),
        ("carol", suspended("eve"), whose),
        ("carol", suspended("carol"), ""),
        // Nobody else's business is touched by another edit.
        ("eve", json!({ "spec": { "historyLimit": 5 } }), ""),
        (
            "eve",
            json!({ "spec": { "suspend": { "reason": "more" } } }),
            suspend,
        ),
        ("eve", json!({ "spec": { "suspend": null } }), suspend),
        ("carol", json!({ "spec": { "suspend": null } }), ""),
        ("eve", annotated("shop-000001".into()), rollback),
        ("carol", annotated("shop-000001".into()), ""),
        ("eve", harmless, ""),
        ("eve", annotated("shop-000002".into()), rollback),
        ("eve", annotated(Value::Null), rollback),
        ("carol", annotated(Value::Null), ""),
        ("eve", labelled("staging".into()), relabel),
        ("eve", labelled("".into()), relabel),
        ("carol", labelled("production".into()), ""),
        ("eve", labelled("staging".into()), relabel),
        ("eve", labelled(Value::Null), relabel),
        ("eve", json!({ "metadata": { "labels": { "colour": null } } }), ""),
    ];
    for (number, (name, patch, says)) in rows.into_iter().enumerate() {
        let what = format!("{number}: {name} {patch}");
        let text = patch.to_string();
        let args = [
            "patch",
            "applications.tidegate.io",
            "shop",
            "--type=merge",
            "-p",
            &text,
        ];
        let answer = team.by(who(name), &args).await;
        if says.is_empty() {
            answer.map_err(|e| Error::Bug(format!("{what}: {e}")))?;
            continue;
        }
        let said = refused(&what, answer)?;
        assert!(said.contains(says), "{what}: {said}");
    }
    for (labels, spec, says) in [
        (json!({}), json!({ "reason": "r" }), suspend),
        (json!({ label: "staging" }), Value::Null, relabel),
    ] {
        let said = refused("made so", create(who("eve"), make("other", labels, spec)).await)?;
        assert!(said.contains(says), "{said}");
    }
    cluster
        .kubectl(&["delete", "clusterreleasepolicies.tidegate.io", ns])
        .await
        .map(drop)
}
