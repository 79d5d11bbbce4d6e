//! The acts of the demo that are about policies: a release that waits for a second person, and one that is put back.

use serde_json::Value;
use tidegate_e2e::{Result, wait};

use crate::demo::Stage;
use crate::story::{ACT, ADA, APPLICATIONS, BEN, RELEASES, expect_image, released, replace, short};

/// Four eyes for every release of the shop; what fails is put back.
const POLICY: &str = "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\n\
    metadata: {name: four-eyes, namespace: shop}\nspec:\n  \
    approvals: {required: 1, groups: [sre], excludeAuthor: true}\n  \
    identities: [{user: ben, emails: [ben@example.com]}, {user: ada, emails: [ada@example.com]}]\n";
/// The same without approvals.
const UNATTENDED: &str = "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\n\
    metadata: {name: four-eyes, namespace: shop}\nspec: {onFailure: {action: Rollback}}\n";

/// Plays them in order.
///
/// # Errors
/// When one does not come to its end in time.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    held_and_approved(stage).await?;
    put_back(stage).await
}

async fn held_and_approved(stage: &Stage) -> Result<()> {
    stage.tell("a ReleasePolicy: somebody of group sre, who is not among the authors, has to agree");
    stage.cluster.apply(POLICY).await?;
    replace(stage, "deploy/web.yaml", "shop/web:1.2.0", "shop/web:1.3.0")?;
    let commit = stage.repo.publish("Web 1.3.0", BEN)?;
    let waiting = phase(stage, &commit, "Waiting").await?;
    let name = text(&waiting["metadata"]["name"]);
    stage.show(&["get", RELEASES]).await?;
    stage.explain(&name).await?;
    expect_image(stage, "example.com/shop/web:1.2.0").await?;
    stage.tell("Ben approves his own commit; it does not count");
    approve(stage, &waiting, "ben").await?;
    wait::until(ACT, "Ben's approval to be seen and not to count", || async {
        let release = phase(stage, &commit, "Waiting")
            .await
            .map_err(|e| e.to_string())?;
        let shown = &release["status"]["approvals"];
        let seen = shown[0]["approver"] == "ben" && shown[0]["counts"] == false;
        seen.then_some(()).ok_or_else(|| shown.to_string())
    })
    .await?;
    stage.tell("Carol of group sre approves the plan as it is");
    approve(stage, &waiting, "carol").await?;
    released(stage, &commit).await?;
    expect_image(stage, "example.com/shop/web:1.3.0").await?;
    stage.show(&["get", "approvals.tidegate.io"]).await
}

/// A person with the rights of an approver makes the object, as `tidegate approve` does.
async fn approve(stage: &Stage, release: &Value, user: &str) -> Result<()> {
    let approval = serde_json::json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Approval",
        "metadata": {"generateName": format!("{user}-"), "namespace": "shop"},
        "spec": {
            "application": "shop",
            "release": release["metadata"]["name"],
            "planDigest": release["status"]["plan"]["digest"],
            "approver": user,
            "groups": ["sre"],
        },
    });
    stage.create_as(user, &["sre", "system:masters"], &approval).await
}

async fn put_back(stage: &Stage) -> Result<()> {
    stage.tell("without approvals now: a commit whose web never starts, together with a changed ConfigMap");
    stage.cluster.apply(UNATTENDED).await?;
    let config = stage.repo.read("deploy/config.yaml")?;
    replace(stage, "deploy/web.yaml", "shop/web:1.3.0", "shop/web:1.4.0")?;
    fails(stage, true)?;
    stage
        .repo
        .write("deploy/config.yaml", &config.replace("this week", "until Sunday"))?;
    let bad = stage
        .repo
        .publish("Web 1.4.0, and shipping is free until Sunday", BEN)?;
    phase(stage, &bad, "RolledBack").await?;
    stage.show(&["get", RELEASES]).await?;
    expect_image(stage, "example.com/shop/web:1.3.0").await?;
    stage.tell("the whole set is back: web 1.3.0 and the banner of before");
    stage.show(&["get", APPLICATIONS]).await?;
    fails(stage, false)?;
    let fix = stage.repo.publish("Web 1.4.0 starts", ADA)?;
    released(stage, &fix).await?;
    stage.tell(&format!("the fix {} went through by itself", short(&fix)));
    Ok(())
}

/// Makes the pods of web fail, or not.
fn fails(stage: &Stage, fail: bool) -> Result<()> {
    let good = "      labels: {app: web}\n    spec:";
    let bad =
        "      labels: {app: web}\n      annotations: {e2e.tidegate.io/fail: CrashLoopBackOff}\n    spec:";
    let (old, new) = if fail { (good, bad) } else { (bad, good) };
    replace(stage, "deploy/web.yaml", old, new)
}

/// Waits until the Release of a commit is in this phase; the Release.
async fn phase(stage: &Stage, commit: &str, phase: &str) -> Result<Value> {
    let what = format!("the Release of {} to be {phase}", short(commit));
    wait::until(ACT, &what, || async {
        let args = ["-n", "shop", "get", RELEASES, "-o", "json"];
        let json = stage.cluster.kubectl(&args).await.map_err(|e| e.to_string())?;
        let list: Value = serde_json::from_str(&json).map_err(|e| format!("kubectl's JSON: {e}"))?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let of = |release: &&Value| release["spec"]["revision"]["commit"] == *commit;
        let found = items.iter().rfind(of).cloned().unwrap_or_default();
        let there = found["status"]["phase"] == phase;
        there
            .then_some(found.clone())
            .ok_or_else(|| found["status"].to_string())
    })
    .await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
