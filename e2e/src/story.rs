//! The acts of the demo: commits and edits as people make them, and what the operator makes of them. Owns the order of
//! events and what counts as success; talks to the cluster by kubectl only, as a stranger would.

use std::time::Duration;

use serde_json::Value;
use tidegate_e2e::{Error, Result, wait};

use crate::demo::Stage;
use crate::{policy_story, say};

/// Longest any single act may take.
pub(crate) const ACT: Duration = Duration::from_secs(120);
pub(crate) const ADA: &str = "Ada Byron <ada@example.com>";
pub(crate) const BEN: &str = "Ben Okri <ben@example.com>";
pub(crate) const APPLICATIONS: &str = "gitrepositories.tidegate.io,applications.tidegate.io";
pub(crate) const RELEASES: &str = "releases.tidegate.io";

/// Plays all acts in order.
///
/// # Errors
/// When one does not come to its end in time; the message says what was seen last.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    let first = first_commit(stage).await?;
    let second = second_commit(stage).await?;
    broken_commit(stage, &second).await?;
    let fixed = fixed_commit(stage).await?;
    manual_edit(stage).await?;
    removed_file(stage).await?;
    policy_story::play(stage).await?;
    say("");
    stage.show(&["get", APPLICATIONS]).await?;
    stage.show(&["get", RELEASES]).await?;
    stage.tell("summary:");
    say(&format!(
        "  {} the shop came up from git alone, a CRD and its instance in one commit",
        short(&first)
    ));
    say(&format!(
        "  {} a new image and a new ConfigMap were rolled out",
        short(&second)
    ));
    say("  a broken commit was refused with file and line, nothing of it was applied");
    say(&format!("  {} the fix went through", short(&fixed)));
    say("  a manual edit of a field that git sets was put back");
    say("  a file removed from git took its object along");
    say("  a release waited until somebody else than its author approved the plan");
    say("  a commit whose pods never start was put back as a whole, and its fix went through by itself");
    Ok(())
}

async fn first_commit(stage: &Stage) -> Result<String> {
    stage.tell("commit 1: the shop, pushed to master of a git server over HTTP");
    let commit = stage.repo.publish("Open the shop", ADA)?;
    stage.cluster.kubectl(&["create", "namespace", "shop"]).await?;
    let yaml = format!(
        "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: shop}}\n\
         spec: {{url: \"{}\", interval: 2s, ref: {{branch: master}}}}\n---\n\
         apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: shop, namespace: shop}}\n\
         spec: {{source: {{name: shop, path: ./deploy}}, target: {{namespace: shop}}}}\n",
        stage.git.url("shop")
    );
    stage.cluster.apply(&yaml).await?;
    released(stage, &commit).await?;
    stage.show(&["get", APPLICATIONS]).await?;
    stage.show(&["get", RELEASES]).await?;
    stage
        .show(&[
            "get",
            "deployments,statefulsets,services,configmaps,coupons.shop.example.com",
        ])
        .await?;
    Ok(commit)
}

async fn second_commit(stage: &Stage) -> Result<String> {
    stage.tell("commit 2: web goes to 1.1.0, and a new ConfigMap");
    replace(stage, "deploy/web.yaml", "shop/web:1.0.0", "shop/web:1.1.0")?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: features}\ndata: {wishlist: \"on\"}\n";
    stage.repo.write("deploy/features.yaml", map)?;
    let commit = stage.repo.publish("Wishlist, with web 1.1.0", BEN)?;
    released(stage, &commit).await?;
    expect_image(stage, "example.com/shop/web:1.1.0").await?;
    stage
        .cluster
        .kubectl(&["-n", "shop", "get", "configmap", "features"])
        .await?;
    stage.show(&["get", RELEASES]).await?;
    Ok(commit)
}

async fn broken_commit(stage: &Stage, last_good: &str) -> Result<()> {
    stage.tell("commit 3: broken (replicas is a word), together with a valid change");
    replace(stage, "deploy/search.yaml", "replicas: 2", "replicas: two")?;
    replace(stage, "deploy/web.yaml", "shop/web:1.1.0", "shop/web:1.2.0")?;
    let commit = stage.repo.publish("Scale search", BEN)?;
    let what = format!("commit {} to be refused with file and line", short(&commit));
    let message = wait::until(ACT, &what, || async {
        let app = application(stage).await?;
        let condition = ready(&app);
        let message = text(&condition["message"]);
        let tried = text(&app["status"]["lastAttemptedRevision"]).contains(&commit);
        let refused = tried && condition["status"] == "False" && message.contains("search.yaml:");
        refused.then_some(message).ok_or_else(|| seen(&app))
    })
    .await?;
    stage.tell(&format!("refused: {message}"));
    let app = application(stage).await.map_err(unexpected("Application shop"))?;
    if !text(&app["status"]["lastAppliedRevision"]).contains(last_good) {
        return Err(unexpected("the second commit is no longer the one applied")(
            seen(&app),
        ));
    }
    expect_image(stage, "example.com/shop/web:1.1.0").await?;
    stage.tell("nothing of it was applied: web is still at 1.1.0");
    stage.show(&["get", APPLICATIONS]).await
}

async fn fixed_commit(stage: &Stage) -> Result<String> {
    stage.tell("commit 4: the fix");
    replace(stage, "deploy/search.yaml", "replicas: two", "replicas: 4")?;
    let commit = stage.repo.publish("Scale search, with a number", BEN)?;
    released(stage, &commit).await?;
    expect_image(stage, "example.com/shop/web:1.2.0").await?;
    Ok(commit)
}

async fn manual_edit(stage: &Stage) -> Result<()> {
    stage.tell("somebody edits a field git sets: kubectl patch of search to 1 replica");
    let edit = r#"{"spec":{"replicas":1}}"#;
    stage
        .cluster
        .kubectl(&[
            "-n",
            "shop",
            "patch",
            "deployment",
            "search",
            "--type=merge",
            "-p",
            edit,
        ])
        .await?;
    wait::until(ACT, "Deployment search to have 4 replicas again", || async {
        let replicas = field(stage, "deployment", "search", "{.spec.replicas}").await?;
        (replicas == "4")
            .then_some(())
            .ok_or(format!("replicas: {replicas}"))
    })
    .await?;
    stage.tell("put back: 4 replicas");
    stage.show(&["get", "applications.tidegate.io"]).await
}

async fn removed_file(stage: &Stage) -> Result<()> {
    stage.tell("commit 5: the file of ConfigMap features is removed");
    stage.repo.remove("deploy/features.yaml")?;
    let commit = stage.repo.publish("Wishlist is on for everybody", ADA)?;
    released(stage, &commit).await?;
    let listed = ["-n", "shop", "get", "configmaps", "--output=name"];
    let names = stage.cluster.kubectl(&listed).await?;
    if names.contains("configmap/features") || !names.contains("configmap/web-config") {
        return Err(unexpected(
            "ConfigMap features should be gone and web-config be there",
        )(names));
    }
    stage.tell("ConfigMap features is gone, the others stayed");
    Ok(())
}

/// Waits until a commit is applied and the Application Ready with it.
pub(crate) async fn released(stage: &Stage, commit: &str) -> Result<()> {
    let what = format!("commit {} to be released", short(commit));
    wait::until(ACT, &what, || async {
        let app = application(stage).await?;
        let applied = text(&app["status"]["lastAppliedRevision"]).contains(commit);
        let observed = app["status"]["observedGeneration"] == app["metadata"]["generation"];
        let done = applied && observed && ready(&app)["status"] == "True";
        done.then_some(()).ok_or_else(|| seen(&app))
    })
    .await?;
    stage.tell(&format!("commit {} is released and healthy", short(commit)));
    Ok(())
}

async fn application(stage: &Stage) -> Result<Value, String> {
    let args = [
        "-n",
        "shop",
        "get",
        "applications.tidegate.io",
        "shop",
        "-o",
        "json",
    ];
    let json = stage.cluster.kubectl(&args).await.map_err(|e| e.to_string())?;
    serde_json::from_str(&json).map_err(|e| format!("kubectl's JSON: {e}"))
}

async fn field(stage: &Stage, kind: &str, name: &str, path: &str) -> Result<String, String> {
    let output = format!("jsonpath={path}");
    let args = ["-n", "shop", "get", kind, name, "-o", &output];
    stage.cluster.kubectl(&args).await.map_err(|e| e.to_string())
}

pub(crate) async fn expect_image(stage: &Stage, image: &str) -> Result<()> {
    let path = "{.spec.template.spec.containers[0].image}";
    let live = field(stage, "deployment", "web", path)
        .await
        .map_err(unexpected("Deployment web"))?;
    if live == image {
        Ok(())
    } else {
        Err(unexpected(&format!("web should run {image}"))(live))
    }
}

pub(crate) fn replace(stage: &Stage, file: &str, old: &str, new: &str) -> Result<()> {
    let before = stage.repo.read(file)?;
    if !before.contains(old) {
        return Err(Error::Bug(format!("e2e/demo/shop/{file} holds no `{old}`")));
    }
    stage.repo.write(file, &before.replace(old, new))
}

fn ready(app: &Value) -> Value {
    let conditions = app["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
    found.cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn seen(app: &Value) -> String {
    let status = &app["status"];
    let (applied, tried) = (&status["lastAppliedRevision"], &status["lastAttemptedRevision"]);
    format!(
        "lastAppliedRevision {applied}, lastAttemptedRevision {tried}, Ready {}",
        ready(app)
    )
}

fn unexpected(what: &str) -> impl FnOnce(String) -> Error + use<> {
    let what = what.to_owned();
    move |message| Error::Api { what, message }
}

pub(crate) fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}
