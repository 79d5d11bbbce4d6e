//! Many teams in one cluster: what one of them tries against another is denied, by the API server or by a clear condition,
//! and the operator has no right that it does not use.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate_e2e::operator::{self, Operator};
use tidegate_e2e::{Cluster, Error, Options, Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, map, text};

const KINDS: &str = "tenancy.watch[0].apiGroups[0]=,tenancy.watch[0].resources={configmaps,services},\
                     tenancy.watch[1].apiGroups={apps,rbac.authorization.k8s.io},\
                     tenancy.watch[1].resources={deployments,rolebindings}";

/// A team's namespace: `deployer`, whom the operator may act as; `boss`, who may do everything there and is nobody's to be;
/// `dev`, a person who may edit Applications.
fn team(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: deployer, namespace: {name}}}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: boss, namespace: {name}}}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: dev, namespace: {name}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: deployer, namespace: {name}}}\n\
         rules:\n- apiGroups: ['', apps, rbac.authorization.k8s.io]\n  \
         resources: [configmaps, secrets, services, deployments, rolebindings]\n  \
         verbs: [get, list, watch, create, patch, delete]\n---\n\
         {}{}",
        binding(name, "deployer", "Role", "deployer"),
        binding(name, "boss", "ClusterRole", "cluster-admin"),
    )
}

fn binding(namespace: &str, account: &str, kind: &str, role: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {account}, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {role}}}\n\
         subjects: [{{kind: ServiceAccount, name: {account}, namespace: {namespace}}}]\n---\n"
    )
}

/// A cluster of its own, with the chart in tenant mode for two teams.
async fn tenants() -> Result<Cluster> {
    let cluster = Cluster::start(Options {
        name: "tenants".to_owned(),
        scheduler: false,
        nodes: 0,
        ..Options::default()
    })
    .await?;
    for name in ["team-a", "team-b"] {
        cluster.apply(&team(name)).await?;
    }
    let tenant = |n: usize, name: &str| {
        format!("tenancy.tenants[{n}].namespace={name},tenancy.tenants[{n}].serviceAccount=deployer")
    };
    let values = [
        "replicaCount=0",
        "tenancy.enabled=true",
        KINDS,
        &tenant(0, "team-a"),
        &tenant(1, "team-b"),
    ];
    cluster.helm_install_chart(&values).await?;
    for name in ["team-a", "team-b"] {
        cluster
            .apply(&binding(name, "dev", "ClusterRole", "tidegate-edit"))
            .await?;
    }
    Ok(cluster)
}

async fn start(cluster: &Cluster, args: &[&str]) -> Result<Operator> {
    let mut all = vec!["--tenant-mode".to_owned()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let options = operator::Options {
        args: all,
        ..operator::Options::default()
    };
    let mut operator = Operator::start(cluster, options).await?;
    operator.wait_ready(STEP).await?;
    Ok(operator)
}

/// One way to reach what is not the tenant's own.
struct Attempt {
    name: &'static str,
    /// Manifest in git; empty for a harmless one.
    commits: String,
    /// Further fields of the spec.
    spec: &'static str,
    /// Reason of `Ready: False`.
    reason: &'static str,
    /// What the message names.
    says: &'static str,
}

fn attempts() -> Vec<Attempt> {
    let attempt = |name, commits: &str, spec, reason, says| Attempt {
        name,
        commits: commits.to_owned(),
        spec,
        reason,
        says,
    };
    let role_binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: more}\n\
                        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n\
                        subjects: [{kind: ServiceAccount, name: deployer, namespace: team-a}]\n";
    let in_b =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: prices, namespace: team-b}\ndata: {key: stolen}\n";
    vec![
        attempt("foreign-object", in_b, "", "Forbidden", "team-a:deployer"),
        attempt(
            "foreign-target",
            "",
            "target: {namespace: team-b}",
            "Forbidden",
            "namespace \\\"team-b\\\"",
        ),
        attempt(
            "foreign-secret",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: team-b}\nstringData: {key: stolen}\n",
            "",
            "Retrying",
            "team-a:deployer",
        ),
        attempt(
            "cluster-admin",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: more}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n\
             subjects: [{kind: ServiceAccount, name: deployer, namespace: team-a}]\n",
            "",
            "Retrying",
            "clusterrolebindings",
        ),
        attempt(
            "namespace",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine}\n",
            "",
            "Forbidden",
            "namespaces",
        ),
        attempt(
            "own-rights",
            role_binding,
            "",
            "Forbidden",
            "attempting to grant RBAC permissions",
        ),
        attempt(
            "other-account",
            "",
            "serviceAccountName: boss",
            "Forbidden",
            "impersonate",
        ),
        attempt(
            "no-such-account",
            "",
            "serviceAccountName: ghost",
            "Forbidden",
            "impersonate",
        ),
        attempt(
            "kubeconfig",
            "",
            "target: {kubeConfig: {secretRef: {name: evil}}}",
            "TargetRefused",
            "exec",
        ),
    ]
}

#[tokio::test]
async fn what_one_tenant_tries_against_another_is_denied_and_said() -> Result<()> {
    let cluster: &'static Cluster = Box::leak(Box::new(tenants().await?));
    let operator = start(cluster, &["--default-service-account", "deployer"]).await?;
    let mut victim = Shop::open_in(cluster, "victim").await?;
    victim.ns = "team-b".to_owned();
    let mut shop = Shop::open_in(cluster, "tenant").await?;
    shop.ns = "team-a".to_owned();

    victim.put("map.yaml", &map("prices", "1"))?;
    victim.put(
        "token.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {key: mine}\n",
    )?;
    let theirs = victim.push("what is ours")?;
    victim.deploy("historyLimit: 1").await?;
    victim.released(&theirs).await?;

    for attempt in attempts() {
        let text = if attempt.commits.is_empty() {
            map(attempt.name, "1")
        } else {
            attempt.commits
        };
        shop.repo.write(&format!("{}/object.yaml", attempt.name), &text)?;
    }
    shop.push("attempts")?;
    let evil = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "evil", "namespace": "team-a"},
        "stringData": {"value": json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": cluster.server()}}],
            "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "id"}}}],
        }).to_string()},
    });
    cluster.apply(&evil.to_string()).await?;
    for attempt in attempts() {
        deploy(&shop, &attempt).await?;
    }
    for Attempt {
        name, reason, says, ..
    } in attempts()
    {
        let path = format!("applications/{name}");
        let title = format!("{reason} that says {says}");
        let denied = shop.until(&title, &path, |app| {
            let ready = condition(app, "Ready");
            let message = ready["message"].to_string();
            ready["status"] == "False" && ready["reason"] == reason && message.contains(says)
        });
        denied.await?;
    }
    by_hand(&shop).await?;
    names(&shop).await?;
    assert_eq!(text(&victim.get("configmaps/prices").await?["data"]["key"]), "1");
    assert_eq!(
        text(&victim.get("secrets/token").await?["data"]["key"]),
        "bWluZQ=="
    );
    victim.says("Ready", "True", "Succeeded").await?;

    every_right_is_used(&victim).await?;
    drop(operator);
    nobody_is_acted_for_without_an_account(&shop).await
}

async fn deploy(shop: &Shop, attempt: &Attempt) -> Result<()> {
    let (name, url) = (attempt.name, shop.git.url("shop"));
    let spec = if attempt.spec.is_empty() {
        String::new()
    } else {
        format!(", {}", attempt.spec)
    };
    shop.cluster
        .apply(&format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: team-a}}\n\
             spec: {{url: \"{url}\", interval: 1s}}\n---\n\
             apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: team-a}}\n\
             spec: {{source: {{name: shop, path: ./{name}}}{spec}}}\n"
        ))
        .await
        .map(drop)
}

/// What a person of the team tries with their own hands.
async fn by_hand(shop: &Shop) -> Result<()> {
    let token = shop.cluster.service_account_token("team-a", "dev").await?;
    let kubeconfig = shop
        .cluster
        .kubeconfig_for_token("dev", &token)?
        .display()
        .to_string();
    let inventory = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Inventory", "metadata": {"name": "forged", "namespace": "team-a"},
        "spec": {"application": "shop", "applicationUID": "u", "entries": [{"id": "/ConfigMap/team-b/prices", "version": "v1"}]},
    });
    let file = shop.cluster.dir().join("forged.json");
    std::fs::write(&file, inventory.to_string()).map_err(|e| Error::Bug(e.to_string()))?;
    let file = file.display().to_string();
    let patch = "{\"spec\":{\"entries\":[{\"id\":\"/ConfigMap/team-b/prices\",\"version\":\"v1\"}]}}";
    let tries: [&[&str]; 7] = [
        &["create", "-f", &file],
        &[
            "-n",
            "team-a",
            "patch",
            "inventories.tidegate.io",
            "foreign-object",
            "--type=merge",
            "-p",
            patch,
        ],
        &["-n", "team-a", "delete", "releases.tidegate.io", "--all"],
        &[
            "-n",
            "team-a",
            "patch",
            "releases.tidegate.io",
            "foreign-object-000001",
            "--type=merge",
            "-p",
            "{\"spec\":{\"sequence\":9}}",
        ],
        &[
            "-n",
            "team-b",
            "annotate",
            "applications.tidegate.io",
            "shop",
            "tidegate.io/requestedAt=now",
        ],
        &["-n", "team-b", "get", "inventories.tidegate.io"],
        &["-n", "team-b", "get", "applications.tidegate.io"],
    ];
    for args in tries {
        let mut all = vec!["--kubeconfig", kubeconfig.as_str()];
        all.extend(args);
        let said = match shop.cluster.kubectl(&all).await {
            Ok(output) => return Err(Error::Bug(format!("{args:?} was allowed: {output}"))),
            Err(error) => error.to_string(),
        };
        assert!(
            said.contains("forbidden") || said.contains("Forbidden"),
            "{args:?}: {said}"
        );
    }
    Ok(())
}

/// Sources and Secrets are those of the own namespace, whatever is written into a name.
async fn names(shop: &Shop) -> Result<()> {
    let application = |spec: &str| {
        format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: foreign, namespace: team-a}}\nspec: {{{spec}}}\n"
        )
    };
    let manifests = [
        application("source: {name: shop, namespace: team-b}"),
        application("source: {name: ../../team-b/gitrepositories/shop}"),
        application(
            "source: {name: shop}, target: {kubeConfig: {secretRef: {name: ../../team-b/secrets/token}}}",
        ),
        application("source: {name: shop}, serviceAccountName: 'x:system:serviceaccount:team-b:deployer'"),
        "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {name: foreign, namespace: team-a}\n\
         spec: {url: 'http://127.0.0.1:9/x', secretRef: {name: ../../team-b/secrets/token}}\n"
            .to_owned(),
    ];
    for manifest in manifests {
        let said = match shop.cluster.apply(&manifest).await {
            Ok(output) => return Err(Error::Bug(format!("{manifest} was taken: {output}"))),
            Err(error) => error.to_string(),
        };
        assert!(said.contains("spec."), "{said}");
    }
    Ok(())
}

/// Each verb and each resource of each rule that the operator has is one that it needs: an unhealthy workload, an edit, a
/// second release, a deletion have used all of them.
async fn every_right_is_used(victim: &Shop) -> Result<()> {
    let (ns, group) = (&victim.ns, "apiVersion: tidegate.io/v1alpha1");
    let policies = format!(
        "{group}\nkind: ReleasePolicy\nmetadata: {{name: any, namespace: {ns}}}\nspec: {{}}\n---\n\
         {group}\nkind: ClusterReleasePolicy\nmetadata: {{name: any}}\nspec: {{}}\n"
    );
    victim.cluster.apply(&policies).await?;
    victim.put("web.yaml", &deployment("web", ""))?;
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";
    victim.put("service.yaml", service)?;
    victim.put("map.yaml", &map("prices", "2"))?;
    let commit = victim.push("a workload whose pods no scheduler places")?;
    victim.phase(&commit, "Verifying").await?;
    let edit = "{\"data\":{\"key\":\"edited\"}}";
    // Twice the same news is one Event with a count.
    for _ in 0..2 {
        victim
            .kubectl(&["patch", "configmap", "prices", "--type=merge", "-p", edit])
            .await?;
        victim
            .until("prices to be put back", "configmaps/prices", |map| {
                map["data"]["key"] == "2"
            })
            .await?;
    }
    victim.cut("web.yaml")?;
    let commit = victim.push("without it")?;
    victim.released(&commit).await?;
    victim
        .kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "shop"])
        .await?;
    let role = victim
        .read("/apis/rbac.authorization.k8s.io/v1/clusterroles/tidegate")
        .await?;
    let rules: Vec<Value> = role["rules"].as_array().cloned().unwrap_or_default();
    assert!(rules.len() > 6, "{role}");
    wait::until(STEP, "every right of the operator to be used", || async {
        let used = used(&victim.cluster.audited().map_err(|e| e.to_string())?);
        let idle: Vec<String> = rules.iter().flat_map(|rule| idle(rule, &used)).collect();
        if idle.is_empty() {
            Ok(())
        } else {
            Err(format!("not used: {}", idle.join(", ")))
        }
    })
    .await
}

/// `(group, resource, verb)` of what the operator did as itself.
fn used(events: &[Value]) -> BTreeSet<(String, String, String)> {
    let own = events.iter().filter(|event| event["impersonatedUser"].is_null());
    let done = own.filter(|event| {
        event["responseStatus"]["code"]
            .as_u64()
            .is_some_and(|code| code < 400)
    });
    let triple = |event: &Value| {
        let target = &event["objectRef"];
        let mut resource = text(&target["resource"]);
        if let Some(part) = target["subresource"].as_str() {
            resource = format!("{resource}/{part}");
        }
        (text(&target["apiGroup"]), resource, text(&event["verb"]))
    };
    done.map(triple).collect()
}

fn idle(rule: &Value, used: &BTreeSet<(String, String, String)>) -> Vec<String> {
    let list =
        |field: &str| -> Vec<String> { rule[field].as_array().into_iter().flatten().map(text).collect() };
    let (groups, resources, verbs) = (list("apiGroups"), list("resources"), list("verbs"));
    let of_rule = used
        .iter()
        .filter(|(group, resource, _)| groups.contains(group) && resources.contains(resource));
    let of_rule: Vec<_> = of_rule.filter(|(_, _, verb)| verbs.contains(verb)).collect();
    let idle_resources = resources
        .iter()
        .filter(|r| !of_rule.iter().any(|(_, used, _)| used == *r));
    let idle_verbs = verbs
        .iter()
        .filter(|v| !of_rule.iter().any(|(_, _, used)| used == *v));
    idle_resources
        .chain(idle_verbs)
        .map(|what| format!("{what} of {groups:?} {resources:?}"))
        .collect()
}

async fn nobody_is_acted_for_without_an_account(shop: &Shop) -> Result<()> {
    let _operator = start(shop.cluster, &[]).await?;
    shop.repo.write("nameless/map.yaml", &map("nameless", "1"))?;
    shop.push("a map")?;
    let attempt = Attempt {
        name: "nameless",
        commits: String::new(),
        spec: "",
        reason: "AccountRequired",
        says: "serviceAccountName",
    };
    deploy(shop, &attempt).await?;
    shop.until("an account to be asked for", "applications/nameless", |app| {
        condition(app, "Stalled")["reason"] == attempt.reason
    })
    .await?;
    assert_eq!(shop.get("configmaps/nameless").await?, Value::Null);
    Ok(())
}
