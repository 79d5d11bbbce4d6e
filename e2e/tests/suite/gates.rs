//! A release that a gate holds: what its record says, what is kept meanwhile, what takes its place, and that it goes by
//! itself. On a cluster of their own, with an operator that releases nothing without a policy.

use serde_json::{Value, json};
use tidegate_e2e::Result;
use tidegate_e2e::operator::{Operator, Options};

use crate::stage::{STEP, Shop, condition, fragile, map, text};

/// An operator that demands a policy of every Application.
async fn strict(shop: &Shop, name: &str) -> Result<Operator> {
    let args = ["--identity", name, "--require-policy"];
    let options = Options {
        name: name.to_owned(),
        args: args.map(str::to_owned).into(),
        ..Options::default()
    };
    let mut operator = Operator::start(shop.cluster, options).await?;
    operator.wait_ready(STEP).await?;
    Ok(operator)
}

/// A policy that demands nothing, or that is not there.
async fn policy(shop: &Shop, present: bool) -> Result<()> {
    let ns = &shop.ns;
    if present {
        let text = format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {{name: any, namespace: {ns}}}\nspec: {{}}\n"
        );
        return shop.cluster.apply(&text).await.map(drop);
    }
    let args = ["delete", "releasepolicies.tidegate.io", "any"];
    shop.kubectl(&args).await.map(drop)
}

#[tokio::test]
async fn a_release_waits_at_a_closed_gate_and_goes_when_it_opens() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "gates").await?;
    let mut running = strict(&shop, "strict").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("first")?;
    shop.deploy("").await?;
    let waits = shop.phase(&first, "Waiting").await?;
    let gate = &waits["status"]["gates"][0];
    assert_eq!(
        (&gate["gate"], &gate["decision"], &gate["reason"]),
        (&json!("Policy"), &json!("Closed"), &json!("PolicyRequired")),
        "{waits}"
    );
    assert_eq!(waits["status"]["plan"]["create"], 1, "{waits}");
    let app = shop
        .until("the wait is said", "applications/shop", |app| {
            condition(app, "Synced")["reason"] == "Waiting"
        })
        .await?;
    let message = text(&condition(&app, "Synced")["message"]);
    assert!(message.contains("make a ReleasePolicy"), "{message}");
    assert_eq!(
        shop.get("configmaps/a").await?,
        Value::Null,
        "nothing of it is there"
    );

    policy(&shop, true).await?;
    let went = shop.phase(&first, "Succeeded").await?;
    assert_eq!(
        went["metadata"]["uid"], waits["metadata"]["uid"],
        "the same Release"
    );
    assert_eq!(
        went["status"]["gates"],
        Value::Null,
        "no gate is left that says anything: {went}"
    );

    // A second one waits; what runs is kept as it is, also by the next process.
    policy(&shop, false).await?;
    shop.put("a.yaml", &map("a", "2"))?;
    shop.put("b.yaml", &map("b", "2"))?;
    let second = shop.push("second")?;
    let waits = shop.phase(&second, "Waiting").await?;
    edited_is_put_back(&shop, 1).await?;
    running.kill9();
    running.restart()?;
    edited_is_put_back(&shop, 2).await?;
    let still = shop.phase(&second, "Waiting").await?;
    assert_eq!(still["metadata"]["uid"], waits["metadata"]["uid"]);
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *first, "{app}");
    let ready = condition(&app, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("Waiting")),
        "{app}"
    );

    // A third takes its place, and a fourth that brings what runs already ends the wait.
    shop.put("a.yaml", &map("a", "3"))?;
    let third = shop.push("third")?;
    shop.phase(&third, "Waiting").await?;
    shop.phase(&second, "Superseded").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.cut("b.yaml")?;
    let fourth = shop.push("as it was")?;
    shop.phase(&third, "Superseded").await?;
    shop.until("it runs", "applications/shop", |app| {
        app["status"]["lastAppliedRevision"] == *fourth && condition(app, "Synced")["status"] == "True"
    })
    .await?;
    assert_eq!(
        shop.releases(&fourth).await?,
        [] as [Value; 0],
        "nothing to release"
    );
    running.kill9();
    drop(guard);
    Ok(())
}

/// An edit of the object that runs is put back to what runs, not to what waits.
async fn edited_is_put_back(shop: &Shop, times: i64) -> Result<()> {
    let edit = json!({"data": {"key": "edited"}}).to_string();
    shop.kubectl(&["patch", "configmap", "a", "--type=merge", "-p", &edit])
        .await?;
    shop.until("the edit is put back", "applications/shop", |app| {
        app["status"]["drift"]["count"] == times
    })
    .await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1");
    Ok(())
}

/// ConfigMaps with this key are refused by an admission policy of the test's own, in this namespace alone.
async fn refusing(shop: &Shop) -> Result<()> {
    let ns = &shop.ns;
    let policy = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {ns}}}\nspec:\n  \
         matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}}]}}\n  \
         validations: [{{expression: \"!has(object.data) || !('forbidden' in object.data)\", message: no such key here}}]\n---\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {ns}}}\nspec:\n  \
         policyName: {ns}\n  validationActions: [Deny]\n  \
         matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}}}\n"
    );
    shop.cluster.apply(&policy).await?;
    let try_it = [
        "create",
        "configmap",
        "probe",
        "--from-literal=forbidden=x",
        "--dry-run=server",
    ];
    tidegate_e2e::wait::until(STEP, "the admission policy to be active", || async {
        match shop.kubectl(&try_it).await {
            Err(error) if error.to_string().contains("no such key here") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn what_admission_refuses_is_known_before_anything_is_written() -> Result<()> {
    let shop = Shop::open("rehearsed").await?;
    refusing(&shop).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = shop.push("good")?;
    shop.deploy("dryRun: Always").await?;
    shop.released(&good).await?;
    shop.put("a.yaml", &map("a", "2"))?;
    shop.put("b.yaml", &map("b", "1").replace("key:", "forbidden:"))?;
    let bad = shop.push("one of two is refused")?;
    let denied = shop.phase(&bad, "Denied").await?;
    let failed = &denied["status"]["results"]["failed"][0];
    assert_eq!(failed["object"], format!("ConfigMap {}/b", shop.ns), "{denied}");
    let message = text(&failed["message"]);
    assert!(
        message.contains("no such key here") && text(&failed["location"]).contains("b.yaml:1"),
        "{denied}"
    );
    assert_eq!(
        shop.get("configmaps/a").await?["data"]["key"],
        "1",
        "nothing of it was applied"
    );

    // A policy that binds it asks for the same.
    shop.patch_app("shop", &json!({"spec": {"dryRun": "WhenPolicied"}}))
        .await?;
    policy(&shop, true).await?;
    shop.put("c.yaml", &map("c", "1"))?;
    let worse = shop.push("still refused")?;
    shop.phase(&worse, "Denied").await?;
    assert_eq!(shop.get("configmaps/c").await?, Value::Null);
    shop.cut("b.yaml")?;
    let fixed = shop.push("without it")?;
    shop.released(&fixed).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "2");
    Ok(())
}

#[tokio::test]
async fn a_record_whose_first_line_was_never_written_does_not_pass_a_gate() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "unwritten").await?;
    let mut running = strict(&shop, "unwritten").await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let commit = shop.push("held")?;
    shop.deploy("").await?;
    let waits = shop.phase(&commit, "Waiting").await?;
    running.kill9();
    // As if the process had ended between making the record and writing into it.
    let name = text(&waits["metadata"]["name"]);
    let nothing = json!([{"op": "remove", "path": "/status"}]).to_string();
    let args = [
        "patch",
        "releases.tidegate.io",
        &name,
        "--subresource=status",
        "--type=json",
        "-p",
        &nothing,
    ];
    shop.kubectl(&args).await?;
    running.restart()?;
    let again = shop.phase(&commit, "Waiting").await?;
    assert_eq!(
        again["metadata"]["uid"], waits["metadata"]["uid"],
        "the same Release"
    );
    assert_eq!(again["status"]["gates"][0]["reason"], "PolicyRequired", "{again}");
    assert_eq!(
        shop.get("configmaps/a").await?,
        Value::Null,
        "nothing of it is there"
    );
    running.kill9();
    drop(guard);
    Ok(())
}
