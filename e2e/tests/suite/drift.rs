//! Live edits by others: put back, or only reported, as `drift.mode` says.

use serde_json::Value;
use tidegate_e2e::Result;

use crate::stage::{Shop, condition, deployment, map, text};

#[tokio::test]
async fn edits_of_owned_fields_are_put_back() -> Result<()> {
    let shop = Shop::open("drift").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let is_git = |v: &Value| v["data"]["key"] == "git";

    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        "-p",
        r#"{"data":{"key":"hand"}}"#,
    ])
    .await?;
    shop.until("a patched value is put back", "configmaps/a", is_git)
        .await?;
    shop.until(
        "the correction is counted with its manager",
        "applications/shop",
        |app| {
            let drift = &app["status"]["drift"];
            drift["count"].as_i64() >= Some(1) && text(&drift["manager"]).contains("kubectl")
        },
    )
    .await?;

    shop.kubectl(&["scale", "deployment", "web", "--replicas=0"])
        .await?;
    shop.until("scale is put back", "deployments/web", |v| {
        v["spec"]["replicas"] == 2
    })
    .await?;

    let other = map("a", "other").replace("name: a", &format!("name: a, namespace: {}", shop.ns));
    shop.cluster.apply(&other).await?;
    shop.until(
        "a force-apply by another manager is put back",
        "configmaps/a",
        is_git,
    )
    .await?;

    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/data/key"}]"#,
    ])
    .await?;
    shop.until("a removed field is put back", "configmaps/a", is_git)
        .await?;
    shop.until("each correction is counted", "applications/shop", |app| {
        app["status"]["drift"]["count"].as_i64() >= Some(4)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn removed_labels_and_deleted_objects_come_back() -> Result<()> {
    let shop = Shop::open("lost").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let uid = text(&shop.get("configmaps/a").await?["metadata"]["uid"]);
    let labelled = |v: &Value| v["metadata"]["labels"]["tidegate.io/managed-by"] == "tidegate";

    shop.kubectl(&["label", "configmap", "a", "tidegate.io/managed-by-"])
        .await?;
    let live = shop
        .until("the label is put back", "configmaps/a", labelled)
        .await?;
    assert_eq!(
        text(&live["metadata"]["uid"]),
        uid,
        "it was not deleted for a label"
    );

    shop.kubectl(&["delete", "configmap", "a"]).await?;
    let live = shop
        .until("a deleted object is made anew", "configmaps/a", labelled)
        .await?;
    assert_ne!(text(&live["metadata"]["uid"]), uid);
    assert_eq!(live["data"]["key"], "git");
    shop.until("both corrections are counted", "applications/shop", |app| {
        app["status"]["drift"]["count"].as_i64() >= Some(2)
    })
    .await?;
    assert_eq!(shop.releases("").await?.len(), 1, "corrections make no Release");
    Ok(())
}

#[tokio::test]
async fn a_held_object_is_only_reported_until_the_hold_is_taken_away() -> Result<()> {
    let shop = Shop::open("hold").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let hold = "tidegate.io/hold=2999-01-01T00:00:00Z incident 42";
    shop.kubectl(&["annotate", "configmap", "a", hold]).await?;
    let edit = r#"{"data":{"key":"held"}}"#;
    shop.kubectl(&["patch", "configmap", "a", "--type=merge", "-p", edit])
        .await?;
    let app = shop
        .until("the drift and its hold are said", "applications/shop", |app| {
            condition(app, "Drifted")["status"] == "True"
        })
        .await?;
    let said = app["status"]["conditions"].to_string();
    assert!(said.contains("incident 42"), "{said}");
    shop.look_again().await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "held");
    shop.kubectl(&["annotate", "configmap", "a", "tidegate.io/hold-"])
        .await?;
    shop.until("the edit is put back", "configmaps/a", |v| {
        v["data"]["key"] == "git"
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn report_changes_nothing_and_says_what_differs() -> Result<()> {
    let shop = Shop::open("report").await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("drift: {mode: Report}").await?;
    shop.released(&commit).await?;
    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        "-p",
        r#"{"data":{"key":"hand"}}"#,
    ])
    .await?;
    let app = shop.says("Drifted", "True", "ObjectsDiffer").await?;
    assert!(
        text(&condition(&app, "Drifted")["message"]).contains("ConfigMap"),
        "{app}"
    );
    shop.look_again().await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "hand");
    assert_eq!(
        shop.get("applications/shop").await?["status"]["objects"]["drifted"],
        1
    );
    Ok(())
}
