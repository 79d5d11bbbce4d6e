//! Another cluster as target, and another account than the operator's own.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_e2e::{Cluster, Options, Result, process, wait};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::stage::{STEP, Shop, condition, map, text};

/// The other cluster, for one test at a time: some cut it off.
pub(crate) async fn far() -> Result<(&'static Cluster, MutexGuard<'static, ()>)> {
    static FAR: OnceCell<Cluster> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let start = || async {
        let options = Options {
            name: "far".to_owned(),
            scheduler: false,
            nodes: 0,
            ..Options::default()
        };
        Cluster::start(options).await
    };
    let cluster = FAR.get_or_try_init(start).await?;
    Ok((cluster, TURN.lock().await))
}

/// Makes an account in the far cluster that may do everything, and gives its kubeconfig.
pub(crate) async fn far_account(far: &Cluster, namespace: &str, name: &str) -> Result<Value> {
    far.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {namespace}-{name}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]\n"
    ))
    .await?;
    let token = far.service_account_token(namespace, name).await?;
    let file = far.kubeconfig_for_token(&format!("{namespace}-{name}"), &token)?;
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Puts a kubeconfig into Secret `far` of the shop's namespace.
pub(crate) async fn give(shop: &Shop, kubeconfig: &Value) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "far", "namespace": shop.ns},
        "stringData": {"kubeconfig": kubeconfig.to_string()},
    });
    shop.cluster.apply(&secret.to_string()).await.map(drop)
}

/// Points `name` at the far cluster.
async fn send_far(shop: &Shop, name: &str) -> Result<()> {
    let target = json!({"spec": {"target": {"kubeConfig": {"secretRef": {"name": "far"}}}}});
    shop.patch_app(name, &target).await
}

async fn until_map(cluster: &Cluster, namespace: &str, name: &str, value: Option<&str>) -> Result<()> {
    let title = format!("ConfigMap {namespace}/{name} to be {value:?}");
    wait::until(STEP, &title, || async {
        let args = [
            "-n",
            namespace,
            "get",
            "configmap",
            name,
            "--ignore-not-found",
            "-o",
            "jsonpath={.data.key}",
        ];
        let found = cluster.kubectl(&args).await.map_err(|e| e.to_string())?;
        let found = Some(found).filter(|text| !text.is_empty());
        if found.as_deref() == value {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
}

#[tokio::test]
async fn another_cluster_is_applied_to_repaired_cut_off_and_back_with_rotated_credentials() -> Result<()> {
    let (far, _turn) = far().await?;
    let shop = Shop::open("far").await?;
    give(&shop, &far_account(far, &shop.ns, "first").await?).await?;
    shop.put("map.yaml", &map("there", "1"))?;
    shop.repo.write("near/map.yaml", &map("here", "1"))?;
    let first = shop.push("a map there, a map here")?;
    let ns = shop.ns.clone();
    shop.deploy_as("shop", "./deploy", "suspend: {reason: not yet}")
        .await?;
    send_far(&shop, "shop").await?;
    shop.patch_app("shop", &json!({"spec": {"suspend": null}}))
        .await?;
    shop.deploy_as("near", "./near", "").await?;
    shop.released(&first).await?;
    until_map(far, &ns, "there", Some("1")).await?;
    assert_eq!(
        shop.get("configmaps/there").await?,
        Value::Null,
        "it is in the wrong cluster"
    );

    far.kubectl(&[
        "-n",
        &ns,
        "patch",
        "configmap",
        "there",
        "--type=merge",
        "-p",
        "{\"data\":{\"key\":\"edited\"}}",
    ])
    .await?;
    until_map(far, &ns, "there", Some("1")).await?;

    // More of them than there are workers, and all hang.
    for n in 0..10 {
        let name = format!("far-{n}");
        shop.repo.write(&format!("{name}/map.yaml"), &map(&name, "1"))?;
        shop.deploy_as(&name, &format!("./{name}"), "suspend: {reason: not yet}")
            .await?;
        send_far(&shop, &name).await?;
    }
    let server = far.pids()["kube-apiserver"];
    process::signal(server, "STOP")?;
    for n in 0..10 {
        shop.patch_app(&format!("far-{n}"), &json!({"spec": {"suspend": null}}))
            .await?;
    }
    shop.put("map.yaml", &map("there", "2"))?;
    shop.repo.write("near/map.yaml", &map("here", "2"))?;
    let second = shop.push("both change")?;
    let near = shop
        .until("the near one goes on", "applications/near", |app| {
            app["status"]["lastAppliedRevision"] == *second && condition(app, "Ready")["status"] == "True"
        })
        .await;
    let barred = shop.says("Ready", "False", "TargetUnreachable").await;
    process::signal(server, "CONT")?;
    near?;
    barred?;
    shop.released(&second).await?;
    until_map(far, &ns, "there", Some("2")).await?;
    until_map(far, &ns, "far-9", Some("1")).await?;

    give(&shop, &far_account(far, &ns, "second").await?).await?;
    far.kubectl(&["-n", &ns, "delete", "serviceaccount", "first"])
        .await?;
    shop.put("map.yaml", &map("there", "3"))?;
    let third = shop.push("after the rotation")?;
    shop.released(&third).await?;
    until_map(far, &ns, "there", Some("3")).await?;

    shop.kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "shop"])
        .await?;
    until_map(far, &ns, "there", None).await
}

#[tokio::test]
async fn a_change_of_cluster_moves_the_objects_and_a_bad_one_moves_nothing() -> Result<()> {
    let (far, _turn) = far().await?;
    let shop = Shop::open("move").await?;
    shop.put("map.yaml", &map("there", "1"))?;
    let first = shop.push("a map")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    let ns = shop.ns.clone();

    send_far(&shop, "shop").await?;
    shop.says("Ready", "False", "TargetMissing").await?;
    until_map(shop.cluster, &ns, "there", Some("1")).await?;

    give(&shop, &far_account(far, &ns, "mover").await?).await?;
    until_map(far, &ns, "there", Some("1")).await?;
    until_map(shop.cluster, &ns, "there", None).await?;
    shop.released(&first).await?;

    // Back, without a trace there.
    shop.patch_app("shop", &json!({"spec": {"target": {"kubeConfig": null}}}))
        .await?;
    until_map(shop.cluster, &ns, "there", Some("1")).await?;
    until_map(far, &ns, "there", None).await
}

#[tokio::test]
async fn deleting_without_the_cluster_leaves_the_objects_and_says_so() -> Result<()> {
    let (far, _turn) = far().await?;
    let shop = Shop::open("lost").await?;
    let ns = shop.ns.clone();
    give(&shop, &far_account(far, &ns, "lost").await?).await?;
    for name in ["gone", "down", "down-orphan"] {
        shop.repo.write(&format!("{name}/map.yaml"), &map(name, "1"))?;
    }
    let commit = shop.push("three maps")?;
    for name in ["gone", "down", "down-orphan"] {
        shop.deploy_as(name, &format!("./{name}"), "suspend: {reason: not yet}")
            .await?;
        send_far(&shop, name).await?;
        shop.patch_app(name, &json!({"spec": {"suspend": null}})).await?;
    }
    for name in ["gone", "down", "down-orphan"] {
        shop.until("Ready", &format!("applications/{name}"), |app| {
            app["status"]["lastAppliedRevision"] == *commit && condition(app, "Ready")["status"] == "True"
        })
        .await?;
    }
    // An address where nobody listens.
    let mut dead = far_account(far, &ns, "lost").await?;
    dead["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:9");
    give(&shop, &dead).await?;
    shop.until("it to be noticed", "applications/down", |app| {
        condition(app, "Ready")["reason"] == "TargetUnreachable"
    })
    .await?;
    shop.patch_app("down-orphan", &json!({"spec": {"deletionPolicy": "Orphan"}}))
        .await?;
    let delete = [
        "delete",
        "--wait=false",
        "applications.tidegate.io",
        "down",
        "down-orphan",
    ];
    shop.kubectl(&delete).await?;
    shop.until("to be gone", "applications/down-orphan", Value::is_null)
        .await?;
    event(&shop, "down", "DeletionFailed", "deletionPolicy to Orphan").await?;
    assert_ne!(shop.get("applications/down").await?, Value::Null);
    until_map(far, &ns, "down-orphan", Some("1")).await?;

    // The way itself is gone: nothing can be deleted any more, and nothing is held up by that.
    shop.kubectl(&["delete", "secret", "far"]).await?;
    shop.kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "gone"])
        .await?;
    shop.until("to be gone", "applications/down", Value::is_null)
        .await?;
    event(&shop, "gone", "Orphaned", "ConfigMap").await?;
    until_map(far, &ns, "gone", Some("1")).await
}

async fn event(shop: &Shop, application: &str, reason: &str, says: &str) -> Result<()> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", shop.ns);
    let title = format!("Event {reason} of {application} that says `{says}`");
    wait::until(STEP, &title, || async {
        let all = shop.read(&path).await.map_err(|e| e.to_string())?;
        let found = all["items"].as_array().into_iter().flatten().any(|event| {
            event["regarding"]["name"] == *application
                && event["reason"] == *reason
                && text(&event["note"]).contains(says)
        });
        if found {
            Ok(())
        } else {
            let notes = all["items"].as_array().into_iter().flatten();
            let notes: Vec<String> = notes
                .map(|e| format!("{} {} {}", e["regarding"]["name"], e["reason"], e["note"]))
                .collect();
            Err(notes.join("\n"))
        }
    })
    .await
}

#[tokio::test]
async fn a_kubeconfig_that_runs_a_program_or_trusts_anybody_is_refused() -> Result<()> {
    let shop = Shop::open("exec").await?;
    let proof = shop.cluster.dir().join("a-program-ran");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:9", "insecure-skip-tls-verify": true}}],
        "users": [{"name": "u", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": [proof.display().to_string()],
            "interactiveMode": "Never",
        }}}],
    });
    give(&shop, &kubeconfig).await?;
    shop.put("map.yaml", &map("there", "1"))?;
    shop.push("a map")?;
    shop.deploy_as("shop", "./deploy", "suspend: {reason: not yet}")
        .await?;
    send_far(&shop, "shop").await?;
    shop.patch_app("shop", &json!({"spec": {"suspend": null}}))
        .await?;
    let app = shop.says("Stalled", "True", "TargetRefused").await?;
    let message = text(&condition(&app, "Stalled")["message"]);
    assert!(
        message.contains("exec") && message.contains("insecure-skip-tls-verify"),
        "{message}"
    );
    assert!(!Path::new(&proof).exists(), "the kubeconfig's program ran");
    Ok(())
}

#[tokio::test]
async fn objects_are_written_and_pruned_as_the_account_that_the_application_names() -> Result<()> {
    let shop = Shop::open("account").await?;
    let ns = shop.ns.clone();
    let account = |name: &str, verbs: &str| {
        format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {ns}}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {name}, namespace: {ns}}}\n\
             rules: [{{apiGroups: [''], resources: [configmaps], verbs: [{verbs}]}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {name}, namespace: {ns}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}\n\
             subjects: [{{kind: ServiceAccount, name: {name}, namespace: {ns}}}]\n"
        )
    };
    shop.cluster
        .apply(&account("writer", "get, create, patch, delete"))
        .await?;
    shop.cluster
        .apply(&account("no-deletes", "get, create, patch"))
        .await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("b.yaml", &map("b", "1"))?;
    let first = shop.push("two maps")?;
    shop.deploy("serviceAccountName: writer").await?;
    shop.released(&first).await?;

    shop.put(
        "token.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {t: t}\n",
    )?;
    shop.push("a Secret, which the account may not write")?;
    let app = shop.says("Stalled", "True", "Forbidden").await?;
    let message = text(&condition(&app, "Stalled")["message"]);
    let user = format!("system:serviceaccount:{ns}:writer");
    assert!(
        message.contains(&user) && message.contains("secrets"),
        "{message}"
    );

    // What the writer made is deleted as the writer, although the new account may not delete.
    shop.cut("token.yaml")?;
    shop.cut("b.yaml")?;
    shop.push("one map less")?;
    shop.patch_app("shop", &json!({"spec": {"serviceAccountName": "no-deletes"}}))
        .await?;
    shop.until("b to be pruned", "configmaps/b", Value::is_null)
        .await?;
    shop.says("Ready", "True", "Succeeded").await?;

    // Now it is the new account that deletes, and may not: the object is left, and said to be.
    shop.kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "shop"])
        .await?;
    assert_ne!(shop.get("configmaps/a").await?, Value::Null);
    event(&shop, "shop", "Orphaned", "no-deletes may not delete it").await
}

#[tokio::test]
async fn what_runs_stays_where_it_is_while_the_newest_commit_is_refused() -> Result<()> {
    let (far, _turn) = far().await?;
    let shop = Shop::open("stay").await?;
    let ns = shop.ns.clone();
    give(&shop, &far_account(far, &ns, "stay").await?).await?;
    shop.put("map.yaml", &map("there", "1"))?;
    let first = shop.push("a map")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    shop.put(
        "broken.yaml",
        "apiVersion: v1\nkind: Nothing\nmetadata: {name: x}\n",
    )?;
    shop.push("a kind that nobody serves")?;
    shop.says("Stalled", "True", "UnknownKind").await?;

    send_far(&shop, "shop").await?;
    shop.until("the edit to be seen", "applications/shop", |app| {
        app["status"]["observedGeneration"] == app["metadata"]["generation"]
    })
    .await?;
    shop.look_again().await?;
    until_map(shop.cluster, &ns, "there", Some("1")).await?;
    until_map(far, &ns, "there", None).await?;

    shop.cut("broken.yaml")?;
    let fixed = shop.push("without it")?;
    shop.released(&fixed).await?;
    until_map(far, &ns, "there", Some("1")).await?;
    until_map(shop.cluster, &ns, "there", None).await
}
