//! What a bad commit or an unreadable source does: nothing, and it says so.

use serde_json::Value;
use tidegate_e2e::Result;

use crate::stage::{Shop, condition, deployment, map, text};

#[tokio::test]
async fn three_bad_objects_of_ten_are_all_named_and_none_of_the_ten_applied() -> Result<()> {
    let shop = Shop::open("bad").await?;
    shop.put("base.yaml", &map("base", "good"))?;
    let good = shop.push("good")?;
    shop.deploy("").await?;
    shop.released(&good).await?;

    shop.put("base.yaml", &map("base", "changed"))?;
    for n in 0..6 {
        shop.put(&format!("ok-{n}.yaml"), &map(&format!("ok-{n}"), "1"))?;
    }
    shop.put(
        "web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: two\n  \
         selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
         spec: {containers: [{name: web, image: web}]}\n",
    )?;
    let typo = map("typo", "1").replace("\ndata:", "\ndate:");
    shop.put("typo.yaml", &typo)?;
    shop.put(
        "svc.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: svc}\nspec:\n  ports:\n  - {port: http}\n",
    )?;
    let bad = shop.push("three of ten are bad")?;
    let release = shop.phase(&bad, "Denied").await?;
    let failed = release["status"]["results"]["failed"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert_eq!(failed.len(), 3, "{release}");
    for (object, location) in [
        ("Deployment", "deploy/web.yaml:5"),
        ("ConfigMap", "deploy/typo.yaml:4"),
        ("Service", "deploy/svc.yaml:6"),
    ] {
        let named = failed
            .iter()
            .any(|f| text(&f["object"]).starts_with(object) && text(&f["location"]) == location);
        assert!(named, "{object} at {location} is not among {failed:?}");
    }
    let app = shop.says("Ready", "False", "InvalidForSchema").await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *good);
    assert!(
        text(&condition(&app, "Ready")["message"]).contains(".yaml:"),
        "{app}"
    );
    assert_eq!(shop.get("configmaps/base").await?["data"]["key"], "good");
    for what in [
        "configmaps/ok-0",
        "configmaps/ok-5",
        "configmaps/typo",
        "services/svc",
        "deployments/web",
    ] {
        assert_eq!(shop.get(what).await?, Value::Null, "{what}");
    }

    for file in ["web", "typo", "svc"] {
        shop.cut(&format!("{file}.yaml"))?;
    }
    let fix = shop.push("the fix")?;
    shop.released(&fix).await?;
    assert_eq!(shop.get("configmaps/base").await?["data"]["key"], "changed");
    assert_ne!(shop.get("configmaps/ok-5").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn an_unknown_kind_and_an_unknown_field_are_named_and_nothing_beside_them_is_applied() -> Result<()> {
    let shop = Shop::open("kinds").await?;
    let seven = |value: &str| {
        let maps: Vec<String> = (0..7).map(|n| map(&format!("good-{n}"), value)).collect();
        maps.join("---\n")
    };
    shop.put("good.yaml", &seven("1"))?;
    let good = shop.push("seven")?;
    shop.deploy("").await?;
    shop.released(&good).await?;

    shop.put("good.yaml", &seven("2"))?;
    shop.put(
        "a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  n: 1\n",
    )?;
    shop.put("b.yaml", "apiVersion: v1\nkind: Gadget\nmetadata: {name: b}\n")?;
    shop.put(
        "c.yaml",
        "# comment\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c}\nspec: {replica: 2}\n",
    )?;
    let bad = shop.push("three bad ones")?;
    let release = shop.phase(&bad, "Denied").await?;
    let failed = release["status"]["results"]["failed"].to_string();
    for place in ["deploy/a.yaml:5", "deploy/b.yaml:2", "deploy/c.yaml:"] {
        assert!(failed.contains(place), "{place} is not named in {failed}");
    }
    shop.until("the refused commit was attempted", "applications/shop", |app| {
        app["status"]["lastAttemptedRevision"] == *bad && app["status"]["lastAppliedRevision"] == *good
    })
    .await?;
    for n in 0..7 {
        let live = shop.get(&format!("configmaps/good-{n}")).await?;
        assert_eq!(live["data"]["key"], "1", "{live}");
    }
    for what in ["configmaps/a", "deployments/c"] {
        assert_eq!(shop.get(what).await?, Value::Null, "{what}");
    }

    for file in ["a", "b", "c"] {
        shop.cut(&format!("{file}.yaml"))?;
    }
    let fix = shop.push("without them")?;
    shop.released(&fix).await?;
    assert_eq!(shop.get("configmaps/good-6").await?["data"]["key"], "2");
    Ok(())
}

#[tokio::test]
async fn a_folder_without_manifests_stalls_and_says_that_it_deletes_nothing() -> Result<()> {
    let shop = Shop::open("bare").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&good).await?;
    shop.cut("a.yaml")?;
    shop.put("README.md", "nothing here")?;
    shop.push("no manifest left")?;
    let app = shop.says("Stalled", "True", "EmptySource").await?;
    let message = text(&app["status"]["display"]["message"]);
    assert!(message.contains("deletes nothing"), "{app}");
    shop.look_again().await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    Ok(())
}

#[tokio::test]
async fn an_empty_source_deletes_nothing() -> Result<()> {
    let shop = Shop::open("empty").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&good).await?;
    shop.put("a.yaml", "# nothing left\n")?;
    shop.push("emptied")?;
    let app = shop.says("Ready", "False", "EmptySource").await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *good);
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    shop.cut("a.yaml")?;
    shop.push("the folder is gone")?;
    shop.until("the missing folder named", "applications/shop", |app| {
        condition(app, "Ready")["status"] == "False" && condition(app, "Ready")["reason"] != "EmptySource"
            || text(&condition(app, "Ready")["message"]).contains("deploy")
    })
    .await?;
    shop.look_again().await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    Ok(())
}

#[tokio::test]
async fn an_unreadable_source_deletes_nothing_and_is_read_again_when_it_can_be() -> Result<()> {
    let shop = Shop::open("dark").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&good).await?;
    let uid = text(&shop.get("configmaps/a").await?["metadata"]["uid"]);
    let unreadable = |repo: &Value| condition(repo, "Ready")["status"] == "False";

    shop.git.set_on(false);
    shop.until("server off is seen", "gitrepositories/shop", unreadable)
        .await?;
    shop.look_again().await?;
    assert_eq!(text(&shop.get("configmaps/a").await?["metadata"]["uid"]), uid);
    shop.git.set_on(true);
    shop.until("server on is seen", "gitrepositories/shop", |r| !unreadable(r))
        .await?;

    let bare = shop.bare().display().to_string();
    shop.repo
        .git(&["--git-dir", &bare, "update-ref", "-d", "refs/heads/master"])?;
    let repo = shop
        .until("branch gone is seen", "gitrepositories/shop", unreadable)
        .await?;
    let reason = text(&condition(&repo, "Ready")["reason"]);
    assert!(
        ["ReferenceNotFound", "EmptyRepository"].contains(&reason.as_str()),
        "{repo}"
    );
    shop.look_again().await?;
    assert_eq!(text(&shop.get("configmaps/a").await?["metadata"]["uid"]), uid);

    shop.put("a.yaml", &map("a", "2"))?;
    let back = shop.push("back again")?;
    shop.released(&back).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    Ok(())
}

#[tokio::test]
async fn a_refusal_while_a_release_waits_for_health_is_recorded_once_and_stays_said() -> Result<()> {
    let shop = Shop::open("midway").await?;
    shop.put("web.yaml", &deployment("web", "ContainerCreating"))?;
    let first = shop.push("not healthy yet")?;
    shop.deploy("").await?;
    shop.phase(&first, "Verifying").await?;
    shop.put(
        "bad.yaml",
        "apiVersion: v1\nkind: Nonsense\nmetadata: {name: b}\n",
    )?;
    let bad = shop.push("bad")?;
    shop.phase(&bad, "Denied").await?;
    // The pods of the first are looked at every three seconds.
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(shop.releases(&bad).await?.len(), 1, "one record");
    assert_eq!(shop.phase(&first, "Verifying").await?["spec"]["sequence"], 1);
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["display"]["phase"], "Denied", "{app}");
    assert_eq!(condition(&app, "Synced")["status"], "False", "{app}");
    Ok(())
}

#[tokio::test]
async fn what_another_installation_has_is_asked_for_once() -> Result<()> {
    let shop = Shop::open("foreign").await?;
    let theirs = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs, namespace: {}, annotations: \
         {{tidegate.io/owner: other/else/where}}}}\ndata: {{key: theirs}}\n",
        shop.ns
    );
    shop.cluster.apply(&theirs).await?;
    shop.put("map.yaml", &map("theirs", "ours"))?;
    shop.repo.write("beside/map.yaml", &map("beside", "1"))?;
    let commit = shop.push("a map that is somebody else's")?;
    shop.deploy("").await?;
    shop.says("Stalled", "True", "OwnershipConflict").await?;
    // Time for another whole release, and for a look that somebody asks for.
    shop.deploy_as("beside", "./beside", "").await?;
    shop.until("the other one to be released", "applications/beside", |app| {
        condition(app, "Ready")["status"] == "True"
    })
    .await?;
    let records = shop.releases(&commit).await?;
    let ours = records.iter().filter(|r| r["spec"]["application"] == "shop");
    assert_eq!(ours.count(), 1, "{records:?}");
    assert_eq!(
        text(&shop.get("configmaps/theirs").await?["data"]["key"]),
        "theirs"
    );
    Ok(())
}
