//! The harness itself: a real cluster starts, kwok runs and fails pods, the API server restarts, git is served.

use std::time::Duration;

use tidegate_e2e::{Cluster, GitServer, Result, SshGitServer, TestRepo, paths, wait};

const MINUTE: Duration = Duration::from_secs(60);

fn deployment(name: &str, fail: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n      \
         annotations: {{{fail}}}\n    spec:\n      containers: [{{name: web, image: 'example.com/web:1'}}]\n"
    )
}

async fn path(cluster: &Cluster, namespace: &str, what: &[&str], jsonpath: &str) -> Result<String> {
    let output = format!("jsonpath={jsonpath}");
    let mut args = vec!["-n", namespace, "get"];
    args.extend(what);
    args.extend(["-o", &output]);
    cluster.kubectl(&args).await
}

#[tokio::test]
async fn kwok_makes_a_deployment_ready_and_another_fail() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("kwok").await?;
    let failing = deployment("bad", "e2e.tidegate.io/fail: ImagePullBackOff");
    let yaml = format!("{}---\n{failing}", deployment("good", ""));
    let yaml = yaml.replace(
        "metadata: {name: ",
        &format!("metadata: {{namespace: {namespace}, name: "),
    );
    cluster.apply(&yaml).await?;
    wait::until(MINUTE, "both pods of Deployment good to be available", || async {
        let seen = path(
            cluster,
            &namespace,
            &["deployment", "good"],
            "{.status.availableReplicas}",
        )
        .await;
        let seen = seen.map_err(|e| e.to_string())?;
        (seen == "2").then_some(()).ok_or(format!("available: {seen:?}"))
    })
    .await?;
    let reasons = "{.items[*].status.containerStatuses[*].state.waiting.reason}";
    wait::until(MINUTE, "both pods of Deployment bad to fail", || async {
        let seen = path(cluster, &namespace, &["pods", "-l", "app=bad"], reasons)
            .await
            .map_err(|e| e.to_string())?;
        (seen == "ImagePullBackOff ImagePullBackOff")
            .then_some(())
            .ok_or(format!("reasons: {seen:?}"))
    })
    .await
}

#[tokio::test]
async fn the_api_server_restarts_with_its_data_and_counts_requests() -> Result<()> {
    if std::env::var_os("TIDEGATE_E2E_KUBECONFIG").is_some() {
        return Ok(());
    }
    let options = tidegate_e2e::Options {
        name: "restart".to_owned(),
        scheduler: false,
        nodes: 0,
        ..Default::default()
    };
    let cluster = Cluster::start(options).await?;
    let namespace = cluster.namespace("kept").await?;
    let before = cluster.request_totals().await?;
    cluster
        .kubectl(&["-n", &namespace, "create", "configmap", "kept"])
        .await?;
    let counted = cluster.request_totals().await?.since(&before);
    assert_eq!(counted.get("POST", "configmaps"), 1, "{counted:?}");
    cluster.restart_apiserver().await?;
    cluster
        .kubectl(&["-n", &namespace, "get", "configmap", "kept"])
        .await?;
    let token = cluster.service_account_token(&namespace, "default").await?;
    let weak = cluster.kubeconfig_for_token("weak", &token)?;
    let client = tidegate_e2e::cluster::client_of(&weak).await?;
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> = kube::Api::all(client);
    let refused = secrets.list(&kube::api::ListParams::default()).await;
    assert!(refused.is_err_and(|e| e.to_string().contains("forbidden")));
    cluster.shutdown();
    Ok(())
}

#[test]
fn git_is_served_over_http_with_credentials_and_can_be_switched_off() -> Result<()> {
    let dir = paths::new_run_dir("git-http")?;
    let server = GitServer::start(&dir.join("repos"))?;
    server.create("shop")?;
    let repo = TestRepo::new(&dir.join("work"), &server.url("shop"))?;
    repo.write("deploy/a.yaml", "a: 1\n")?;
    let commit = repo.publish("first", "Ada <ada@example.com>")?;
    let seen = repo.git(&["ls-remote", "origin", "refs/heads/master"])?;
    assert!(seen.starts_with(&commit), "{seen}");
    assert!(server.advertisements() >= 2 && server.requests() > server.advertisements());
    server.require(Some(("ada", "secret")));
    assert!(repo.git(&["ls-remote", "origin"]).is_err());
    let inside = server.url("shop").replace("http://", "http://ada:secret@");
    assert!(repo.git(&["ls-remote", &inside])?.contains(&commit));
    server.require(None);
    server.set_on(false);
    assert!(repo.git(&["ls-remote", "origin"]).is_err());
    server.set_on(true);
    repo.write("big.txt", &"tide\n".repeat(1_000_000))?;
    repo.publish("a push larger than one buffer", "Ada <ada@example.com>")
        .map(drop)
}

#[tokio::test]
async fn git_is_served_over_ssh() -> Result<()> {
    let dir = paths::new_run_dir("git-ssh")?;
    let server = SshGitServer::start(&dir).await?;
    server.create("shop")?;
    let repo = TestRepo::new(&dir.join("work"), &server.url("shop"))?;
    let repo = repo.with_env("GIT_SSH_COMMAND", &server.ssh_command());
    repo.write("a.yaml", "a: 1\n")?;
    let commit = repo.publish("first", "Ada <ada@example.com>")?;
    assert!(repo.git(&["ls-remote", "origin"])?.contains(&commit));
    Ok(())
}
