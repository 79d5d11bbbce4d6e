//! The person's verbs on a real API server: what they print, what they make, and how they end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::{Error, Result, operator, wait};

use crate::stage::{STEP, Shop, deployment, map, text};

/// What became of a verb.
#[derive(Debug)]
pub(crate) struct Ran {
    code: i32,
    pub(crate) out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(
            self.out.contains(words) || self.err.contains(words),
            "{words:?} is not in\n{}\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// Runs a verb in the shop's namespace with that kubeconfig.
async fn run_as(shop: &Shop, kubeconfig: &Path, args: &[&str]) -> Result<Ran> {
    let mut command = tokio::process::Command::new(operator::binary()?);
    command
        .args(args)
        .arg("-n")
        .arg(&shop.ns)
        .arg("--kubeconfig")
        .arg(kubeconfig);
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let late = |_| Error::Timeout {
        what: format!("tidegate {}", args.join(" ")),
        seconds: 120,
        last: "still running".to_owned(),
    };
    let done = tokio::time::timeout(Duration::from_secs(120), running)
        .await
        .map_err(late)?;
    let done = done.map_err(|e| Error::Setup(format!("tidegate {}: {e}", args.join(" "))))?;
    Ok(Ran {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// As administrator.
pub(crate) async fn run(shop: &Shop, args: &[&str]) -> Result<Ran> {
    run_as(shop, &shop.cluster.admin_kubeconfig(), args).await
}

/// Somebody with the cluster role `view` in the namespace, and nothing more.
async fn reader(shop: &Shop) -> Result<PathBuf> {
    shop.kubectl(&["create", "serviceaccount", "reader"]).await?;
    let account = format!("--serviceaccount={}:reader", shop.ns);
    let bind = ["create", "rolebinding", "reader", "--clusterrole=view", &account];
    shop.kubectl(&bind).await?;
    let token = shop.cluster.service_account_token(&shop.ns, "reader").await?;
    let kubeconfig = shop
        .cluster
        .kubeconfig_for_token(&format!("{}-reader", shop.ns), &token)?;
    // The controller that adds up the rules of `view` takes a moment.
    wait::until(STEP, "the reader to be let in", || async {
        let may = run_as(shop, &kubeconfig, &["history"])
            .await
            .map_err(|e| e.to_string())?;
        if may.code == 0 { Ok(()) } else { Err(may.err) }
    })
    .await?;
    Ok(kubeconfig)
}

/// Merges this into the status of a Release, past the operator.
async fn change(shop: &Shop, release: &str, status: Value) -> Result<()> {
    let patch = json!({ "status": status }).to_string();
    let args = [
        "patch",
        "releases.tidegate.io",
        release,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    shop.kubectl(&args).await.map(drop)
}

#[tokio::test]
async fn a_changed_or_missing_record_is_found() -> Result<()> {
    let shop = Shop::open("verify").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.phase(&first, "Succeeded").await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("two")?;
    shop.phase(&second, "Succeeded").await?;
    shop.put(
        "a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: {}}\n",
    )?;
    let third = shop.push("three")?;
    shop.phase(&third, "Denied").await?;
    let reader = reader(&shop).await?;
    let verify = || run_as(&shop, &reader, &["verify", "shop"]);
    verify()
        .await?
        .ended(0)
        .says("The records of shop are whole, signed by sha256-");

    let releases = shop.releases("").await?;
    let previous = &releases[2]["spec"]["previous"];
    assert_eq!(previous["name"], "shop-000002", "{}", releases[2]);
    assert_eq!(previous["digest"], releases[1]["status"]["digest"]);
    let record = text(&releases[0]["status"]["record"]);
    let mut flipped = record.clone().into_bytes();
    let at = flipped.len() / 2;
    flipped[at] ^= 1;
    let flipped = String::from_utf8_lossy(&flipped).into_owned();
    change(&shop, "shop-000001", json!({"record": flipped})).await?;
    verify()
        .await?
        .ended(1)
        .says("FAULT: shop-000001: status.record was changed after it was sealed");
    change(&shop, "shop-000001", json!({"record": record})).await?;
    verify().await?.ended(0);

    change(&shop, "shop-000002", json!({"display": {"by": "Mallory"}})).await?;
    verify()
        .await?
        .ended(1)
        .says("FAULT: shop-000002: status.display differs from what was sealed");
    change(&shop, "shop-000002", json!({"display": {"by": "Ada Byron"}})).await?;
    run(&shop, &["verify", "shop", "--key", "sha256-0000000000000000"])
        .await?
        .ended(1)
        .says("is none of the operator's");
    run(&shop, &["verify", "shop", "--operator-namespace", "default"])
        .await?
        .ended(1)
        .says("whose key signed cannot be told");

    shop.kubectl(&["delete", "releases.tidegate.io", "shop-000002"])
        .await?;
    verify()
        .await?
        .ended(1)
        .says("shop-000002: is missing, and was not trimmed by historyLimit");
    Ok(())
}

#[tokio::test]
async fn what_happened_is_told() -> Result<()> {
    let shop = Shop::open("told").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("Open the shop")?;
    shop.deploy("").await?;
    shop.phase(&first, "Succeeded").await?;
    shop.put(
        "a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: {}}\n",
    )?;
    let second = shop.push("Break it")?;
    shop.phase(&second, "Denied").await?;
    shop.says("Ready", "False", "InvalidForSchema").await?;

    let history = run(&shop, &["history", "shop"]).await?.ended(0).out;
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[0].starts_with("NAME"), "{history}");
    assert!(
        lines[1].starts_with("shop-000001") && lines[1].contains("Succeeded"),
        "{history}"
    );
    assert!(
        lines[2].starts_with("shop-000002") && lines[2].contains("Ada Byron"),
        "{history}"
    );
    let names = run(&shop, &["history", "shop", "-o", "name"]).await?.ended(0).out;
    assert_eq!(
        names,
        "release.tidegate.io/shop-000001\nrelease.tidegate.io/shop-000002\n"
    );
    let json = run(&shop, &["history", "shop", "-o", "json"]).await?.ended(0).out;
    let json: Value = serde_json::from_str(&json).unwrap_or_default();
    assert_eq!(json["items"][1]["status"]["phase"], "Denied");
    run(&shop, &["history", "-A", "-o", "wide"])
        .await?
        .ended(0)
        .says(&shop.ns)
        .says("Open the shop");
    run(&shop, &["diff", "shop-000001"])
        .await?
        .ended(0)
        .says("+ ConfigMap");

    let told = run(&shop, &["explain", "shop"]).await?.ended(0);
    told.says("was refused: nothing of it was applied")
        .says("deploy/a.yaml")
        .says("data.key");
    run(&shop, &["explain", "shop-000001"])
        .await?
        .ended(0)
        .says("succeeded in");
    run(&shop, &["explain", "nothing"])
        .await?
        .ended(1)
        .says("neither an Application nor a Release");
    run(&shop, &["reconcile", "shop"])
        .await?
        .ended(0)
        .says("application.tidegate.io/shop: Ready=False");
    run(&shop, &["reconcile", "gitrepository/shop"])
        .await?
        .ended(0)
        .says("Ready=True");
    Ok(())
}

/// A Release that waits for approvals, made by hand: no Application is behind it, and no operator looks at it.
async fn waiting(shop: &Shop) -> Result<()> {
    shop.cluster
        .apply(&format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: Release\nmetadata: {{name: till-000001, namespace: {}}}\nspec: {{application: till, \
             applicationUID: u, sequence: 1, trigger: Commit, revision: {{commit: c, tree: t, ref: master, author: Ada <a@example.com>, \
             committedAt: '2026-11-25T10:00:00Z', subject: s}}}}\n",
            shop.ns
        ))
        .await?;
    let gate = json!({"policy": "ReleasePolicy/four-eyes", "gate": "Approvals", "decision": "Closed", "message": "0 of 2"});
    let status = json!({"phase": "Waiting", "gates": [gate], "plan": {"digest": "0123456789abcdef0123456789abcdef", "create": 1}});
    change(shop, "till-000001", status).await
}

#[tokio::test]
async fn people_agree_open_and_stop_in_their_own_name() -> Result<()> {
    let shop = Shop::open("people").await?;
    let (ns, kind) = (shop.ns.clone(), "/apis/tidegate.io/v1alpha1/namespaces");
    waiting(&shop).await?;
    run(&shop, &["explain", "till-000001"])
        .await?
        .ended(0)
        .says(&format!(
            "tidegate approve till-000001 -n {ns} --plan 0123456789ab"
        ));
    run(&shop, &["approve", "till-000001", "--plan", "ffff"])
        .await?
        .ended(1)
        .says("not ffff any more");
    run(&shop, &["approve", "till-000001", "--group", "bosses"])
        .await?
        .ended(1)
        .says("is not in group bosses");
    let reader = reader(&shop).await?;
    run_as(&shop, &reader, &["approve", "till-000001"])
        .await?
        .ended(1)
        .says("cannot create")
        .says("approvals");
    run(
        &shop,
        &[
            "approve",
            "till-000001",
            "--plan",
            "0123456789ab",
            "--comment",
            "seen",
        ],
    )
    .await?
    .ended(0);
    let approvals = shop.read(&format!("{kind}/{ns}/approvals")).await?;
    let spec = &approvals["items"][0]["spec"];
    assert_eq!(
        spec["planDigest"], "0123456789abcdef0123456789abcdef",
        "{approvals}"
    );
    assert_eq!(
        (&spec["release"], &spec["comment"]),
        (&json!("till-000001"), &json!("seen"))
    );
    let me = text(&spec["approver"]);
    assert!(!me.is_empty(), "{approvals}");

    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.phase(&first, "Succeeded").await?;
    run(
        &shop,
        &[
            "override",
            "shop",
            "--gate",
            "Windows,Approvals",
            "--reason",
            "INC-1",
        ],
    )
    .await?
    .ended(1)
    .says("an override ends");
    run(
        &shop,
        &[
            "override",
            "shop",
            "--gate",
            "Quarantine",
            "--for",
            "1h",
            "--reason",
            "INC-1",
        ],
    )
    .await?
    .ended(2);
    run(
        &shop,
        &[
            "override",
            "shop",
            "--gate",
            "Windows,approvals",
            "--for",
            "1h",
            "--reason",
            "INC-1",
        ],
    )
    .await?
    .ended(0);
    let overrides = shop.read(&format!("{kind}/{ns}/overrides")).await?;
    let spec = &overrides["items"][0]["spec"];
    assert_eq!(
        (&spec["application"], &spec["gates"]),
        (&json!("shop"), &json!(["Windows", "Approvals"]))
    );
    assert_eq!(
        (text(&spec["requester"]), &spec["reason"]),
        (me.clone(), &json!("INC-1"))
    );

    let freeze = [
        "freeze",
        "--name",
        "incident",
        "--selector",
        "tier=web",
        "--for",
        "1h",
        "--reason",
        "INC-1",
    ];
    run(&shop, &freeze).await?.ended(0);
    let path = format!("{kind}/{ns}/freezes/incident");
    let made = shop.read(&path).await?;
    assert_eq!(made["spec"]["selector"]["matchLabels"]["tier"], "web", "{made}");
    assert_eq!(text(&made["spec"]["by"]), me);
    run(&shop, &["unfreeze", "incident"])
        .await?
        .ended(0)
        .says("INC-1");
    assert_eq!(shop.read(&path).await?, Value::Null);
    run(&shop, &["unfreeze", "incident"])
        .await?
        .ended(1)
        .says("there is no Freeze incident");

    run(&shop, &["suspend", "shop", "--reason", "INC-1", "--for", "1h"])
        .await?
        .ended(0);
    shop.until("suspended, by whom", "applications/shop", |app| {
        app["spec"]["suspend"]["by"] == *me && app["status"]["conditions"].to_string().contains("INC-1")
    })
    .await?;
    run(&shop, &["explain", "shop"])
        .await?
        .ended(0)
        .says(&format!("tidegate resume shop -n {ns}"));
    run(&shop, &["resume", "shop"]).await?.ended(0).says("INC-1");
    run(&shop, &["resume", "shop"])
        .await?
        .ended(0)
        .says("neither suspended nor rolled back");
    assert_eq!(
        shop.get("applications/shop").await?["spec"]["suspend"],
        Value::Null
    );
    run(&shop, &["rollback", "shop", "--to", "till-000001"])
        .await?
        .ended(1)
        .says("is a release of till");
    run(&shop, &["rollback", "shop", "--to", "shop-000001"])
        .await?
        .ended(0);
    let app = shop.get("applications/shop").await?;
    assert_eq!(
        app["metadata"]["annotations"]["tidegate.io/rollbackTo"], "shop-000001",
        "{app}"
    );
    run(&shop, &["resume", "shop"])
        .await?
        .ended(0)
        .says("not held at shop-000001 any more");
    Ok(())
}

#[tokio::test]
async fn a_directory_is_planned_before_it_is_a_commit() -> Result<()> {
    let shop = Shop::open("planned").await?;
    for name in ["a", "b", "same"] {
        shop.put(&format!("{name}.yaml"), &map(name, "1"))?;
    }
    shop.put("web.yaml", &deployment("web", ""))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.phase(&first, "Succeeded").await?;
    let folder = shop.repo.dir().join("deploy").display().to_string();
    let plan = ["plan", "shop", "--path", &folder];
    run(&shop, &plan)
        .await?
        .ended(0)
        .says("+0 ~0 -0, 4 unchanged")
        .says("Nothing to release");

    shop.put("a.yaml", &map("a", "2"))?;
    shop.cut("b.yaml")?;
    shop.put("c.yaml", &map("c", "1"))?;
    run(&shop, &plan)
        .await?
        .ended(0)
        .says("+1 ~1 -1, 2 unchanged")
        .says("data.key: 1 → 2")
        .says(&format!("- ConfigMap {}/b", shop.ns))
        .says("it would be released at once");
    assert_eq!(
        shop.get("configmaps/a").await?["data"]["key"],
        "1",
        "nothing was changed"
    );
    assert_eq!(shop.get("configmaps/c").await?, Value::Null);
    let reader = reader(&shop).await?;
    run_as(&shop, &reader, &plan)
        .await?
        .ended(0)
        .says("not tried")
        .says("cannot patch resource");

    // What only the API server's own checks know.
    shop.put(
        "web.yaml",
        &deployment("web", "").replace("app: web}}", "app: other}}"),
    )?;
    run(&shop, &plan)
        .await?
        .ended(1)
        .says("the API server would refuse this")
        .says("web.yaml:1")
        .says("selector");
    shop.put(
        "web.yaml",
        &deployment("web", "").replace("replicas: 2", "replicas: two"),
    )?;
    run(&shop, &plan)
        .await?
        .ended(1)
        .says("this would be refused")
        .says("deploy/web.yaml:5")
        .says("spec.replicas");
    run(&shop, &["plan", "shop", "--path", "/nowhere"])
        .await?
        .ended(1)
        .says("/nowhere");

    // Once it is a commit, the operator's plan is the same.
    shop.put("web.yaml", &deployment("web", ""))?;
    let second = shop.push("two")?;
    let release = shop.phase(&second, "Succeeded").await?;
    assert_eq!(release["status"]["display"]["changes"], "+1 ~1 -1", "{release}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_said_in_time() -> Result<()> {
    let shop = Shop::open("silent").await?;
    // Takes connections into its backlog and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| Error::Setup(e.to_string()))?;
    let port = silent
        .local_addr()
        .map_err(|e| Error::Setup(e.to_string()))?
        .port();
    let path = shop.cluster.dir().join(format!("{}-silent.kubeconfig", shop.ns));
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": "x", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]});
    std::fs::write(&path, config.to_string()).map_err(|e| Error::Setup(e.to_string()))?;
    run_as(&shop, &path, &["history", "--request-timeout", "1s"])
        .await?
        .ended(3)
        .says("no answer within 1s");
    run_as(&shop, &path, &["history", "--context", "y"])
        .await?
        .ended(1)
        .says("y");
    Ok(())
}
