//! Create, update, prune and what is never pruned; a CRD with its instance; superseding; suspend and history.

use serde_json::{Value, json};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, map, text};

#[tokio::test]
async fn objects_are_created_updated_and_pruned_with_a_record_of_each() -> Result<()> {
    let shop = Shop::open("life").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.put("sub/b.yaml", &format!("{}---\n{}", map("b", "1"), map("c", "1")))?;
    let first = shop.push("create")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    let release = shop.phase(&first, "Succeeded").await?;
    assert_eq!(release["status"]["plan"]["create"], 3, "{release}");
    assert_eq!(release["status"]["display"]["by"], "Ada Byron");
    assert_eq!(release["spec"]["revision"]["subject"], "create");

    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("update")?;
    let app = shop.released(&second).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    assert_eq!(app["status"]["objects"]["total"], 3);
    let release = shop.phase(&second, "Succeeded").await?;
    let plan = &release["status"]["plan"];
    assert_eq!(
        (&plan["update"], &plan["unchanged"]),
        (&json!(1), &json!(2)),
        "{release}"
    );

    let kept = text(&shop.get("configmaps/b").await?["metadata"]["uid"]);
    shop.put("sub/b.yaml", &map("b", "1"))?;
    let third = shop.push("prune")?;
    shop.released(&third).await?;
    assert_eq!(shop.get("configmaps/c").await?, Value::Null);
    assert_eq!(text(&shop.get("configmaps/b").await?["metadata"]["uid"]), kept);
    let release = shop.phase(&third, "Succeeded").await?;
    assert_eq!(release["status"]["plan"]["delete"], 1, "{release}");
    Ok(())
}

#[tokio::test]
async fn protected_kinds_and_annotated_objects_are_not_pruned() -> Result<()> {
    let shop = Shop::open("protect").await?;
    let ns = shop.ns.clone();
    // A volume of its own, so that the claim becomes Bound without a storage class.
    shop.cluster
        .apply(&format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {ns}}}\nspec: {{capacity: {{storage: 1Gi}}, \
             accessModes: [ReadWriteOnce], storageClassName: '', hostPath: {{path: /nowhere}}}}\n"
        ))
        .await?;
    let namespace = |name: &str, more: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}{more}}}\n")
    };
    let enabled = ", annotations: {tidegate.io/prune: Enabled}";
    shop.put("ns-kept.yaml", &namespace(&format!("{ns}-kept"), ""))?;
    shop.put("ns-gone.yaml", &namespace(&format!("{ns}-gone"), enabled))?;
    shop.put(
        "pvc.yaml",
        &format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: disk}}\nspec: {{volumeName: {ns}, \
             storageClassName: '', accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
        ),
    )?;
    shop.put("crd.yaml", &crd(&ns))?;
    shop.put(
        "disabled.yaml",
        &map("disabled", "1").replace(
            "name: disabled",
            "name: disabled, annotations: {tidegate.io/prune: Disabled}",
        ),
    )?;
    shop.put("stays.yaml", &map("stays", "1"))?;
    shop.put("goes.yaml", &map("goes", "1"))?;
    let first = shop.push("all")?;
    shop.deploy("").await?;
    let app = shop.released(&first).await?;
    assert_eq!(app["status"]["objects"]["total"], 7, "{app}");
    for file in ["ns-kept", "ns-gone", "pvc", "crd", "disabled", "goes"] {
        shop.cut(&format!("{file}.yaml"))?;
    }
    let second = shop.push("nearly nothing")?;
    shop.released(&second).await?;
    assert_eq!(shop.get("configmaps/goes").await?, Value::Null);
    let live = |value: Value| {
        value["metadata"]["uid"].is_string() && value["metadata"]["deletionTimestamp"].is_null()
    };
    assert!(live(shop.get("configmaps/stays").await?));
    assert!(live(shop.get("configmaps/disabled").await?));
    assert!(live(shop.get("persistentvolumeclaims/disk").await?));
    assert!(live(shop.read(&format!("/api/v1/namespaces/{ns}-kept")).await?));
    let crd = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lamps.{ns}.example.com");
    assert!(live(shop.read(&crd).await?));
    let path = format!("/api/v1/namespaces/{ns}-gone");
    let gone = shop.read(&path).await?;
    assert!(!live(gone.clone()), "prune: Enabled was said: {gone}");
    wait::until(STEP, "the namespace annotated Enabled to be gone", || async {
        let left = shop.read(&path).await.map_err(|e| e.to_string())?;
        left.is_null().then_some(()).ok_or(left.to_string())
    })
    .await
}

#[tokio::test]
async fn after_a_failed_release_the_next_one_prunes_what_it_had_made() -> Result<()> {
    let shop = Shop::open("failed").await?;
    shop.put("rest.yaml", &map("rest", "1"))?;
    // No storage class and no volume: the claim is never Bound.
    shop.put(
        "gone.yaml",
        &format!(
            "{}---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec:\n  \
             accessModes: [ReadWriteOnce]\n  resources: {{requests: {{storage: 1Gi}}}}\n",
            map("gone", "1")
        ),
    )?;
    let first = shop.push("a claim that stays Pending")?;
    shop.deploy("health: {timeout: 2s}").await?;
    shop.phase(&first, "Failed").await?;
    let app = shop
        .until("Failed is said", "applications/shop", |app| {
            app["status"]["display"]["phase"] == "Failed"
        })
        .await?;
    assert_eq!(app["status"]["objects"]["total"], 3, "{app}");
    assert_ne!(shop.get("configmaps/gone").await?, Value::Null);
    shop.cut("gone.yaml")?;
    let second = shop.push("without the claim")?;
    shop.released(&second).await?;
    assert_eq!(shop.get("configmaps/gone").await?, Value::Null);
    assert_eq!(shop.get("configmaps/rest").await?["data"]["key"], "1");
    let claim = shop.get("persistentvolumeclaims/data").await?;
    assert!(claim["metadata"]["deletionTimestamp"].is_null(), "{claim}");
    assert!(claim["metadata"]["uid"].is_string(), "claims are never pruned");
    Ok(())
}

#[tokio::test]
async fn without_a_target_objects_go_to_the_applications_own_namespace() -> Result<()> {
    let shop = Shop::open("own").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("no namespace anywhere")?;
    let (ns, url) = (&shop.ns, shop.git.url("shop"));
    shop.cluster
        .apply(&format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: {ns}}}\n\
             spec: {{url: \"{url}\", interval: 1s, timeout: 10s}}\n---\n\
             apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: shop, namespace: {ns}}}\n\
             spec: {{source: {{name: shop, path: ./deploy}}}}\n"
        ))
        .await?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    Ok(())
}

fn crd(group: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: lamps.{group}.example.com}}\n\
         spec:\n  group: {group}.example.com\n  scope: Namespaced\n  names: {{kind: Lamp, plural: lamps}}\n  versions:\n  \
         - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        \
         properties: {{spec: {{type: object, properties: {{watts: {{type: integer}}}}}}}}\n"
    )
}

#[tokio::test]
async fn a_crd_and_its_instance_come_in_one_commit() -> Result<()> {
    let shop = Shop::open("crd").await?;
    let ns = shop.ns.clone();
    // The instance stands before its definition in every order by name.
    shop.put(
        "a-lamp.yaml",
        &format!(
            "apiVersion: {ns}.example.com/v1\nkind: Lamp\nmetadata: {{name: desk}}\nspec: {{watts: 7}}\n"
        ),
    )?;
    shop.put("z-crd.yaml", &crd(&ns))?;
    let commit = shop.push("lamp")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let lamp = shop
        .read(&format!("/apis/{ns}.example.com/v1/namespaces/{ns}/lamps/desk"))
        .await?;
    assert_eq!(lamp["spec"]["watts"], 7);
    assert_eq!(shop.releases("").await?.len(), 1, "one attempt was enough");
    Ok(())
}

#[tokio::test]
async fn a_newer_commit_supersedes_one_that_is_not_healthy_yet() -> Result<()> {
    let shop = Shop::open("newer").await?;
    shop.put("web.yaml", &deployment("web", "ContainerCreating"))?;
    let first = shop.push("never ready")?;
    shop.deploy("").await?;
    shop.phase(&first, "Verifying").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let second = shop.push("ready")?;
    shop.released(&second).await?;
    shop.phase(&first, "Superseded").await?;
    shop.phase(&second, "Succeeded").await?;
    Ok(())
}

#[tokio::test]
async fn a_suspended_application_changes_nothing_until_it_goes_on() -> Result<()> {
    let shop = Shop::open("suspend").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    let suspend = json!({"spec": {"suspend": {"reason": "stock-taking", "by": "e2e-admin"}}});
    shop.patch_app("shop", &suspend).await?;
    shop.until("suspended, with the reason", "applications/shop", |app| {
        app["status"]["conditions"].to_string().contains("stock-taking")
    })
    .await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let second = shop.push("two")?;
    shop.until("commit two fetched", "gitrepositories/shop", |repo| {
        repo["status"]["revision"]["commit"] == *second
    })
    .await?;
    shop.look_again().await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    shop.patch_app("shop", &json!({"spec": {"suspend": null}}))
        .await?;
    shop.released(&second).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    Ok(())
}

#[tokio::test]
async fn history_keeps_as_many_releases_as_asked() -> Result<()> {
    let shop = Shop::open("history").await?;
    shop.put("a.yaml", &map("a", "0"))?;
    let mut commit = shop.push("0")?;
    shop.deploy("historyLimit: 2").await?;
    for n in 1..=4 {
        shop.released(&commit).await?;
        shop.put("a.yaml", &map("a", &n.to_string()))?;
        commit = shop.push(&n.to_string())?;
    }
    let app = shop.released(&commit).await?;
    let good = text(&app["status"]["lastGoodRelease"]);
    wait::until(STEP, "two Releases to be left", || async {
        let all = shop.releases("").await.map_err(|e| e.to_string())?;
        let names: Vec<String> = all.iter().map(|r| text(&r["metadata"]["name"])).collect();
        let right = names == ["shop-000004", "shop-000005"] && names.contains(&good);
        right.then_some(()).ok_or(format!("{names:?}, last good {good}"))
    })
    .await
}

#[tokio::test]
async fn requested_at_is_answered_without_a_new_release() -> Result<()> {
    let shop = Shop::open("asked").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    shop.look_again().await?;
    shop.look_again().await?;
    assert_eq!(shop.releases("").await?.len(), 1);
    let app = shop.get("applications/shop").await?;
    assert_eq!(condition(&app, "Ready")["status"], "True", "{app}");
    Ok(())
}
