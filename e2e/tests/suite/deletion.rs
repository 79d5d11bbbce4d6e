//! Deleting an Application: each `deletionPolicy`.

use serde_json::Value;
use tidegate_e2e::Result;

use crate::stage::{Shop, condition, map};

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
