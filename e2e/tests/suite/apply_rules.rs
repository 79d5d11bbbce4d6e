//! `tidegate.io/apply` on objects in git: created once, left out, or applied beside others.

use serde_json::{Value, json};
use tidegate_e2e::Result;

use crate::stage::{Shop, condition, map, text};

fn ruled(name: &str, value: &str, annotations: &str) -> String {
    map(name, value).replace("{name", &format!("{{annotations: {{{annotations}}}, name"))
}

async fn patch(shop: &Shop, name: &str, manager: &str, patch: &Value) -> Result<()> {
    let manager = format!("--field-manager={manager}");
    let patch = patch.to_string();
    shop.kubectl(&["patch", "configmap", name, "--type=merge", &manager, "-p", &patch])
        .await
        .map(drop)
}

async fn key(shop: &Shop, name: &str) -> Result<String> {
    Ok(text(
        &shop.get(&format!("configmaps/{name}")).await?["data"]["key"],
    ))
}

/// Neither drift nor a further Release.
async fn at_rest(shop: &Shop, commit: &str) -> Result<()> {
    let before = shop.releases("").await?.len();
    shop.look_again().await?;
    let app = shop.released(commit).await?;
    assert_eq!(condition(&app, "Drifted")["status"], "False", "{app}");
    assert_eq!(shop.releases("").await?.len(), before);
    Ok(())
}

#[tokio::test]
async fn what_is_created_once_stays_as_people_make_it_and_is_pruned() -> Result<()> {
    let shop = Shop::open("once").await?;
    let once = "tidegate.io/apply: IfNotPresent";
    let hand = "--from-literal=key=hand";
    shop.kubectl(&["create", "configmap", "before", hand]).await?;
    shop.put("a.yaml", &ruled("a", "one", once))?;
    shop.put("before.yaml", &ruled("before", "one", once))?;
    shop.put("z.yaml", &map("z", "one"))?;
    let commit = shop.push("one")?;
    shop.deploy("adopt: Never").await?;
    shop.released(&commit).await?;
    let before = shop.get("configmaps/before").await?;
    assert_eq!(before["data"]["key"], "hand");
    assert!(before["metadata"]["labels"].is_null(), "{before}");
    assert_eq!(key(&shop, "a").await?, "one");
    at_rest(&shop, &commit).await?;

    // Edits, additions and commits leave it alone.
    patch(
        &shop,
        "a",
        "kubectl-edit",
        &json!({"data": {"key": "hand", "more": "x"}}),
    )
    .await?;
    shop.put("a.yaml", &ruled("a", "two", once))?;
    shop.put("z.yaml", &map("z", "two"))?;
    let commit = shop.push("two")?;
    shop.released(&commit).await?;
    at_rest(&shop, &commit).await?;
    assert_eq!(
        shop.get("configmaps/a").await?["data"],
        json!({"key": "hand", "more": "x"})
    );
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["drift"]["count"], 0, "{app}");

    // Gone is absent.
    shop.kubectl(&["delete", "configmap", "a"]).await?;
    shop.until("it is created again", "configmaps/a", |v| {
        v["data"] == json!({"key": "two"})
    })
    .await?;

    // Out of git: what was created goes, what was there before stays.
    shop.cut("a.yaml")?;
    shop.cut("before.yaml")?;
    let commit = shop.push("three")?;
    shop.released(&commit).await?;
    assert!(shop.get("configmaps/a").await?.is_null());
    assert_eq!(key(&shop, "before").await?, "hand");
    Ok(())
}

#[tokio::test]
async fn what_is_left_out_is_as_though_git_did_not_have_it_and_stays() -> Result<()> {
    let shop = Shop::open("leftout").await?;
    let ignore = "tidegate.io/apply: Ignore";
    shop.put("a.yaml", &map("a", "one"))?;
    shop.put("never.yaml", &ruled("never", "one", ignore))?;
    shop.put("gadget.yaml", "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g, annotations: {tidegate.io/apply: Ignore}}\n")?;
    shop.put("z.yaml", &map("z", "one"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    assert!(shop.get("configmaps/never").await?.is_null());
    let release = shop.phase(&commit, "Succeeded").await?;
    assert_eq!(release["status"]["plan"]["create"], 2, "{release}");
    assert_eq!(release["status"]["plan"]["ignored"], 1, "{release}");

    shop.put("a.yaml", &ruled("a", "two", ignore))?;
    let commit = shop.push("no longer looked at")?;
    let app = shop.released(&commit).await?;
    assert_eq!(app["status"]["objects"]["total"], 1, "{app}");
    assert_eq!(key(&shop, "a").await?, "one", "neither applied nor pruned");
    patch(&shop, "a", "kubectl-edit", &json!({"data": {"key": "hand"}})).await?;
    at_rest(&shop, &commit).await?;
    assert_eq!(key(&shop, "a").await?, "hand");

    shop.put("z.yaml", &ruled("z", "two", ignore))?;
    shop.push("nothing is left")?;
    shop.says("Ready", "False", "EmptySource").await?;
    assert_eq!(key(&shop, "z").await?, "one");
    Ok(())
}

#[tokio::test]
async fn what_is_merged_leaves_others_what_they_set_and_does_not_fight() -> Result<()> {
    let shop = Shop::open("merged").await?;
    let merge = |value: &str| {
        ruled("a", value, "tidegate.io/apply: Merge").replace("\ndata: {", "\ndata: {shared: git, ")
    };
    shop.kubectl(&[
        "create",
        "configmap",
        "a",
        "--from-literal=shared=theirs",
        "--from-literal=own=theirs",
    ])
    .await?;
    shop.put("a.yaml", &merge("one"))?;
    shop.put("z.yaml", &map("z", "one"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let data = |key: &str, shared: &str| json!({"key": key, "shared": shared, "own": "theirs"});
    assert_eq!(shop.get("configmaps/a").await?["data"], data("one", "theirs"));
    at_rest(&shop, &commit).await?;

    // A commit brings what is ours, and nothing of what is theirs.
    shop.put("a.yaml", &merge("two"))?;
    let commit = shop.push("two")?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"], data("two", "theirs"));

    // A field that another takes is left to it; one that somebody removes is nobody's, and comes back.
    patch(&shop, "a", "my-operator", &json!({"data": {"key": "operator"}})).await?;
    shop.until(
        "it is not held to be drift for long",
        "applications/shop",
        |app| condition(app, "Drifted")["status"] == "False",
    )
    .await?;
    at_rest(&shop, &commit).await?;
    assert_eq!(key(&shop, "a").await?, "operator");
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["drift"]["count"], 0, "nothing was put back: {app}");
    patch(&shop, "a", "my-operator", &json!({"data": {"key": null}})).await?;
    shop.put("z.yaml", &map("z", "two"))?;
    shop.put("a.yaml", &merge("three"))?;
    let commit = shop.push("three")?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"], data("three", "theirs"));

    // Out of git: others have a part of it, so that it stays.
    shop.cut("a.yaml")?;
    let commit = shop.push("four")?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["own"], "theirs");
    Ok(())
}

#[tokio::test]
async fn a_word_that_is_none_is_refused_by_name_file_and_line() -> Result<()> {
    let shop = Shop::open("noword").await?;
    shop.put("a.yaml", &ruled("a", "one", "tidegate.io/apply: Sometimes"))?;
    shop.push("one")?;
    shop.deploy("").await?;
    let app = shop.says("Ready", "False", "InvalidField").await?;
    let said = text(&condition(&app, "Ready")["message"]);
    for part in ["deploy/a.yaml:3", "IfNotPresent, Merge or Ignore", "`Sometimes`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    Ok(())
}
