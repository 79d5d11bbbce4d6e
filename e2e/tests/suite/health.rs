//! A release is done when its workloads are healthy, and failed with the pod's own reason when they are not.

use tidegate_e2e::Result;

use crate::stage::{Shop, condition, deployment, text};

#[tokio::test]
async fn a_release_succeeds_when_its_pods_run() -> Result<()> {
    let shop = Shop::open("runs").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("runs")?;
    shop.deploy("").await?;
    let app = shop.released(&commit).await?;
    let live = shop.get("deployments/web").await?;
    assert_eq!(
        live["status"]["availableReplicas"], 2,
        "Ready came before the pods: {live}"
    );
    assert_eq!(app["status"]["objects"]["healthy"], 1);
    Ok(())
}

#[tokio::test]
async fn a_failing_image_fails_the_release_with_the_pods_own_reason() -> Result<()> {
    let shop = Shop::open("pull").await?;
    shop.put("web.yaml", &deployment("web", "ImagePullBackOff"))?;
    let commit = shop.push("no such image")?;
    shop.deploy("health: {timeout: 10s}").await?;
    let release = shop.phase(&commit, "Failed").await?;
    let failed = &release["status"]["results"]["failed"][0];
    assert!(text(&failed["object"]).contains("web"), "{release}");
    let said = format!("{}{}", failed["podReason"], failed["message"]);
    assert!(said.contains("ImagePullBackOff"), "{release}");
    let shown = text(&release["status"]["display"]["message"]);
    assert!(shown.contains("ImagePullBackOff"), "{release}");
    let app = shop.until("Ready names the reason", "applications/shop", |app| {
        text(&condition(app, "Ready")["message"]).contains("ImagePullBackOff")
    });
    let app = app.await?;
    assert_eq!(condition(&app, "Ready")["status"], "False");
    assert_eq!(app["status"]["display"]["phase"], "Failed", "{app}");
    Ok(())
}
