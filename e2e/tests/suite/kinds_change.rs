//! Kinds that come, go and change their version while objects of theirs are applied and watched.

use serde_json::Value;
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, map, text};

/// A CRD of the namespace's own group; `versions` are names with what else is said of them.
fn crd(shop: &Shop, versions: &[(&str, &str)]) -> String {
    let group = format!("{}.example.com", shop.ns);
    let version = |(name, served): &(&str, &str)| {
        format!(
            "  - name: {name}\n    {served}\n    schema: {{openAPIV3Schema: {{type: object, properties: \
             {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}\n"
        )
    };
    let versions: String = versions.iter().map(version).collect();
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: gadgets.{group}}}\n\
         spec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Gadget, plural: gadgets}}\n  versions:\n{versions}"
    )
}

fn gadget(shop: &Shop, version: &str, size: u32) -> String {
    format!(
        "apiVersion: {}.example.com/{version}\nkind: Gadget\nmetadata: {{name: one}}\nspec: {{size: {size}}}\n",
        shop.ns
    )
}

const ONLY: &str = "served: true\n    storage: true";

async fn live(shop: &Shop, version: &str) -> Result<Value> {
    let ns = &shop.ns;
    shop.read(&format!(
        "/apis/{ns}.example.com/{version}/namespaces/{ns}/gadgets/one"
    ))
    .await
}

async fn until_size(shop: &Shop, version: &str, size: u32) -> Result<Value> {
    wait::until(
        STEP,
        &format!("{version} Gadget one to have size {size}"),
        || async {
            let object = live(shop, version).await.map_err(|e| e.to_string())?;
            if object["spec"]["size"] == size {
                return Ok(object);
            }
            let app = shop.get("applications/shop").await.map_err(|e| e.to_string())?;
            Err(format!("{object} {}", app["status"]["conditions"]))
        },
    )
    .await
}

/// A person sets the size; it is put back.
async fn edit_and_see_it_put_back(shop: &Shop, version: &str, size: u32) -> Result<()> {
    let path = format!(
        "/apis/{0}.example.com/{version}/namespaces/{0}/gadgets/one?fieldManager=kubectl-edit",
        shop.ns
    );
    let content = "application/merge-patch+json".to_owned();
    let body = r#"{"spec":{"size":99}}"#.to_owned();
    shop.send(http::Method::PATCH, path, content, body).await?;
    until_size(shop, version, size).await.map(drop)
}

#[tokio::test]
async fn a_crd_that_goes_is_said_and_its_objects_come_back_with_it() -> Result<()> {
    let shop = Shop::open("crd").await?;
    let definition = crd(&shop, &[("v1", ONLY)]);
    shop.cluster.apply(&definition).await?;
    shop.put("gadget.yaml", &gadget(&shop, "v1", 1))?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let name = format!("gadgets.{}.example.com", shop.ns);
    shop.cluster.kubectl(&["delete", "crd", &name]).await?;
    let app = shop
        .until("it is said that the kind is gone", "applications/shop", |app| {
            let ready = condition(app, "Ready");
            let said = text(&ready["message"]);
            ready["status"] == "False" && said.contains("Gadget")
        })
        .await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *commit, "{app}");
    shop.cluster.apply(&definition).await?;
    until_size(&shop, "v1", 1).await?;
    shop.released(&commit).await?;
    edit_and_see_it_put_back(&shop, "v1", 1).await
}

#[tokio::test]
async fn a_version_is_switched_in_git_and_the_old_one_is_no_longer_served() -> Result<()> {
    let shop = Shop::open("version").await?;
    shop.put("crd.yaml", &crd(&shop, &[("v1alpha1", ONLY)]))?;
    shop.put("gadget.yaml", &gadget(&shop, "v1alpha1", 1))?;
    let commit = shop.push("v1alpha1")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    edit_and_see_it_put_back(&shop, "v1alpha1", 1).await?;
    let uid = text(&live(&shop, "v1alpha1").await?["metadata"]["uid"]);
    let both = [("v1alpha1", "served: true\n    storage: false"), ("v1", ONLY)];
    shop.put("crd.yaml", &crd(&shop, &both))?;
    shop.put("gadget.yaml", &gadget(&shop, "v1", 2))?;
    let commit = shop.push("v1 beside it")?;
    shop.released(&commit).await?;
    until_size(&shop, "v1", 2).await?;
    let last = [("v1alpha1", "served: false\n    storage: false"), ("v1", ONLY)];
    shop.put("crd.yaml", &crd(&shop, &last))?;
    let commit = shop.push("v1 alone")?;
    shop.released(&commit).await?;
    edit_and_see_it_put_back(&shop, "v1", 2).await?;
    shop.put("gadget.yaml", &gadget(&shop, "v1", 3))?;
    let commit = shop.push("a change at v1")?;
    shop.released(&commit).await?;
    let object = until_size(&shop, "v1", 3).await?;
    assert_eq!(
        text(&object["metadata"]["uid"]),
        uid,
        "it is the same object all the time"
    );
    shop.look_again().await?;
    let app = shop.get("applications/shop").await?;
    assert_eq!(condition(&app, "Drifted")["status"], "False", "{app}");
    assert_eq!(
        app["status"]["drift"]["count"], 2,
        "the two edits: {}",
        app["status"]
    );
    Ok(())
}

#[tokio::test]
async fn both_are_switched_in_one_commit() -> Result<()> {
    let shop = Shop::open("switch").await?;
    shop.put("crd.yaml", &crd(&shop, &[("v1alpha1", ONLY)]))?;
    shop.put("gadget.yaml", &gadget(&shop, "v1alpha1", 1))?;
    let commit = shop.push("v1alpha1")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let last = [("v1alpha1", "served: false\n    storage: false"), ("v1", ONLY)];
    shop.put("crd.yaml", &crd(&shop, &last))?;
    shop.put("gadget.yaml", &gadget(&shop, "v1", 2))?;
    let commit = shop.push("v1")?;
    shop.released(&commit).await?;
    until_size(&shop, "v1", 2).await?;
    edit_and_see_it_put_back(&shop, "v1", 2).await
}
