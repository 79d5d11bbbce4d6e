//! Deleting an Application: each `deletionPolicy`.

use serde_json::Value;
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, map};

#[tokio::test]
async fn each_deletion_policy_does_what_it_says() -> Result<()> {
    let shop = Shop::open("delete").await?;
    let rows = [
        ("mirror", "deletionPolicy: MirrorPrune", false),
        ("mirror-off", "deletionPolicy: MirrorPrune, prune: false", true),
        ("delete", "deletionPolicy: Delete, prune: false", false),
        ("orphan", "deletionPolicy: Orphan", true),
        ("default", "", false),
        ("default-off", "prune: false", true),
    ];
    for (name, ..) in rows {
        shop.repo.write(&format!("{name}/map.yaml"), &map(name, "1"))?;
    }
    shop.push("one folder each")?;
    for (name, spec, _) in rows {
        shop.deploy_as(name, &format!("./{name}"), spec).await?;
    }
    for (name, ..) in rows {
        let path = format!("applications/{name}");
        shop.until("Ready", &path, |app| condition(app, "Ready")["status"] == "True")
            .await?;
        assert_ne!(shop.get(&format!("configmaps/{name}")).await?, Value::Null);
    }
    let names = rows.map(|(name, ..)| name);
    let mut args = vec!["delete", "--timeout=60s", "applications.tidegate.io"];
    args.extend(names);
    shop.kubectl(&args).await?;
    for (name, _, stays) in rows {
        let live = shop.get(&format!("configmaps/{name}")).await?;
        assert_eq!(live != Value::Null, stays, "{name}: {live}");
    }
    let left = shop.get("inventories").await?;
    assert_eq!(left["items"].as_array().map(Vec::len), Some(0), "{left}");
    let records = shop.releases("").await?;
    for (name, ..) in rows {
        let outlived = records.iter().any(|r| r["spec"]["application"] == name);
        assert!(outlived, "no record of {name} outlives it: {records:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_on_its_way_out_takes_its_application_and_all_its_objects_along() -> Result<()> {
    let shop = Shop::open("leaving").await?;
    let other = shop.cluster.namespace("staying").await?;
    shop.put("map.yaml", &map("inside", "1"))?;
    shop.put(
        "outside.yaml",
        &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: outside, namespace: {other}}}\ndata: {{key: a}}\n"),
    )?;
    let commit = shop.push("one map in the namespace, one in another")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let outside = format!("/api/v1/namespaces/{other}/configmaps/outside");
    assert_ne!(shop.read(&outside).await?, Value::Null);

    shop.cluster
        .kubectl(&["delete", "namespace", &shop.ns, "--wait=false"])
        .await?;
    let namespace = format!("/api/v1/namespaces/{}", shop.ns);
    wait::until(STEP, "the namespace to be gone", || async {
        let left = shop.read(&namespace).await.map_err(|e| e.to_string())?;
        if left.is_null() {
            Ok(())
        } else {
            Err(left["status"].to_string())
        }
    })
    .await?;
    assert_eq!(shop.read(&outside).await?, Value::Null, "it was left behind");
    Ok(())
}
