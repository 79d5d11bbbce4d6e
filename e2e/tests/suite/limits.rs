//! Limits, rules and guard rails on the real API server: what is held or refused, what is said, and what lets it through.

use serde_json::{Value, json};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, map, text};

/// A ReleasePolicy of the shop's namespace, in YAML's flow style.
async fn policy(shop: &Shop, name: &str, spec: &str) -> Result<()> {
    let manifest = format!(
        "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {{name: {name}, namespace: {}}}\nspec: {{{spec}}}\n",
        shop.ns
    );
    shop.cluster.apply(&manifest).await.map(drop)
}

/// A ClusterReleasePolicy that binds the shop's namespace alone.
async fn cluster_policy(shop: &Shop, allow: &str) -> Result<()> {
    let ns = &shop.ns;
    let manifest = format!(
        "apiVersion: tidegate.io/v1alpha1\nkind: ClusterReleasePolicy\nmetadata: {{name: {ns}}}\n\
         spec: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}, allow: {{{allow}}}}}\n"
    );
    shop.cluster.apply(&manifest).await.map(drop)
}

/// The lines of a Release's gates that are closed.
fn closed(release: &Value) -> Vec<String> {
    let gates = release["status"]["gates"].as_array().cloned().unwrap_or_default();
    let lines = gates
        .iter()
        .filter(|gate| gate["decision"] == "Closed")
        .map(|gate| {
            let word = |field: &str| gate[field].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", word("gate"), word("reason"), word("message"))
        });
    lines.collect()
}

async fn maps(shop: &Shop) -> Result<usize> {
    let list = shop.get("configmaps").await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items
        .iter()
        .filter(|item| text(&item["metadata"]["name"]).starts_with("map-"))
        .count())
}

/// Ten maps and an account.
async fn open(prefix: &str) -> Result<(Shop, String)> {
    let shop = Shop::open(prefix).await?;
    for n in 0..10 {
        shop.put(&format!("map-{n}.yaml"), &map(&format!("map-{n}"), "1"))?;
    }
    shop.put(
        "account.yaml",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: till}\n",
    )?;
    let first = shop.push("Open")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    Ok((shop, first))
}

#[tokio::test]
async fn removing_half_of_the_repository_is_held_with_counts_and_smaller_commits_pass() -> Result<()> {
    let (shop, first) = open("half").await?;
    policy(
        &shop,
        "small",
        "limits: {maxDeletes: 3, protectedKinds: [ServiceAccount]}",
    )
    .await?;
    for n in 0..5 {
        shop.cut(&format!("map-{n}.yaml"))?;
    }
    let half = shop.push("git rm -r of half")?;
    let waits = shop.phase(&half, "Waiting").await?;
    assert_eq!(
        closed(&waits),
        [
            "Limits TooManyDeletes: would delete 5 objects, at most 3: 5 ConfigMaps; nobody may override it: make smaller \
          commits, or raise spec.limits of ReleasePolicy/small"
        ]
    );
    let app = shop.says("Synced", "False", "Waiting").await?;
    assert!(
        text(&condition(&app, "Synced")["message"]).contains("5 ConfigMaps"),
        "{app}"
    );
    assert_eq!(app["status"]["lastAppliedRevision"], *first);
    assert_eq!(maps(&shop).await?, 10, "nothing is deleted");

    // Fewer at a time go through.
    for n in 2..5 {
        shop.put(&format!("map-{n}.yaml"), &map(&format!("map-{n}"), "1"))?;
    }
    let smaller = shop.push("two of them")?;
    shop.released(&smaller).await?;
    shop.phase(&half, "Superseded").await?;
    assert_eq!(maps(&shop).await?, 8);

    // Of a protected kind not a single one.
    shop.cut("account.yaml")?;
    let account = shop.push("no account")?;
    let waits = shop.phase(&account, "Waiting").await?;
    let said = closed(&waits).concat();
    assert!(
        said.starts_with(&format!(
            "Limits ProtectedKind: would delete ServiceAccount {}/till, of protected kinds; ",
            shop.ns
        )),
        "{said}"
    );
    // A policy that is edited lets it go at once.
    policy(&shop, "small", "limits: {maxDeletes: 3}").await?;
    shop.released(&account).await?;
    assert_eq!(shop.get("serviceaccounts/till").await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn what_many_people_deleted_at_once_is_put_back_only_within_limits() -> Result<()> {
    let (shop, _) = open("swept").await?;
    policy(&shop, "small", "limits: {maxChanges: 3}").await?;
    shop.until("bound", "applications/shop", |app| {
        condition(app, "Ready")["status"] == "True"
    })
    .await?;
    // Noticed one by one they would be put back one by one.
    shop.patch_app("shop", &json!({"spec": {"suspend": {"reason": "sweeping"}}}))
        .await?;
    shop.until("suspended", "applications/shop", |app| {
        condition(app, "Synced")["reason"] == "Suspended"
    })
    .await?;
    let names: Vec<String> = (0..10).map(|n| format!("map-{n}")).collect();
    let mut args = vec!["delete", "configmaps", "--wait=false"];
    args.extend(names.iter().map(String::as_str));
    shop.kubectl(&args).await?;
    shop.patch_app("shop", &json!({"spec": {"suspend": null}}))
        .await?;
    let app = shop
        .until("the correction is held", "applications/shop", |app| {
            app["status"]["conditions"].to_string().contains("at most 3: ")
        })
        .await?;
    let said = app["status"]["conditions"].to_string();
    assert!(said.contains("drift is not put back"), "{said}");
    shop.kubectl(&["delete", "releasepolicies.tidegate.io", "small"])
        .await?;
    wait::until(STEP, "the maps to be back", || async {
        let back = maps(&shop).await.map_err(|e| e.to_string())?;
        if back == 10 {
            Ok(())
        } else {
            Err(format!("{back} are"))
        }
    })
    .await
}

#[tokio::test]
async fn deleting_an_application_asks_limits_and_says_both_ways_out() -> Result<()> {
    let (shop, _) = open("teardown").await?;
    policy(
        &shop,
        "small",
        "limits: {maxDeletes: 3}, overrides: {gates: [Limits], groups: [sre]}",
    )
    .await?;
    shop.kubectl(&["delete", "applications.tidegate.io", "shop", "--wait=false"])
        .await?;
    let said = wait::until(STEP, "the deletion to be held", || async {
        let events = shop.get("events").await.map_err(|e| e.to_string())?;
        let items = events["items"].as_array().cloned().unwrap_or_default();
        let held = items.iter().find(|event| event["reason"] == "DeletionFailed");
        held.map(|event| text(&event["message"]))
            .ok_or_else(|| format!("{} events", items.len()))
    })
    .await?;
    assert!(
        said.contains("would delete 11 objects, at most 3: 10 ConfigMaps, 1 ServiceAccount"),
        "{said}"
    );
    assert!(
        said.contains("an Override of gate Limits by group sre, made in the operator's namespace"),
        "{said}"
    );
    assert!(said.contains("spec.deletionPolicy to Orphan"), "{said}");
    assert_eq!(maps(&shop).await?, 10);
    // A namespace on its way out takes its objects along, whatever the limits.
    shop.cluster
        .kubectl(&["delete", "namespace", &shop.ns, "--wait=false"])
        .await?;
    let path = format!("/api/v1/namespaces/{}", shop.ns);
    wait::until(STEP, "the namespace to be gone", || async {
        let left = shop.read(&path).await.map_err(|e| e.to_string())?;
        if left.is_null() {
            Ok(())
        } else {
            Err(left["status"].to_string())
        }
    })
    .await
}

#[tokio::test]
async fn a_broken_rule_closes_the_gate_and_a_mended_one_opens_it() -> Result<()> {
    let (shop, _) = open("rules").await?;
    policy(&shop, "own", "rules: [{name: few, expression: plan.deletes < 3}]").await?;
    let path = format!(
        "/apis/tidegate.io/v1alpha1/namespaces/{}/releasepolicies/own",
        shop.ns
    );
    let stalled = wait::until(STEP, "the policy to be stalled", || async {
        let own = shop.read(&path).await.map_err(|e| e.to_string())?;
        let stalled = condition(&own, "Stalled");
        if stalled["status"] == "True" {
            Ok(own)
        } else {
            Err(own["status"].to_string())
        }
    })
    .await?;
    let why = condition(&stalled, "Stalled");
    assert_eq!(why["reason"], "InvalidExpression", "{stalled}");
    assert!(
        text(&why["message"])
            .contains("spec.rules[0].expression: rule few: line 1, column 6: there is no field `deletes`"),
        "{why}"
    );
    assert_eq!(condition(&stalled, "Ready")["status"], "False");

    shop.cut("map-0.yaml")?;
    let commit = shop.push("one less")?;
    let waits = shop.phase(&commit, "Waiting").await?;
    let said = closed(&waits);
    assert!(
        said[0].starts_with("Policy InvalidExpression: cannot be used, and lets nothing through: "),
        "{said:?}"
    );
    assert_eq!(maps(&shop).await?, 10);

    // Mended, it is asked; it is not met, and says what its author says.
    policy(
        &shop,
        "own",
        "rules: [{name: few, expression: plan.delete == 0, message: ask before you delete}]",
    )
    .await?;
    wait::until(STEP, "the rule to be asked", || async {
        let release = shop.phase(&commit, "Waiting").await.map_err(|e| e.to_string())?;
        let said = closed(&release);
        if said == ["Rules RuleNotMet: rule few: ask before you delete"] {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    })
    .await?;
    policy(&shop, "own", "rules: [{name: few, expression: plan.delete < 3}]").await?;
    shop.released(&commit).await?;
    let own = wait::until(STEP, "the policy to be ready", || async {
        let own = shop.read(&path).await.map_err(|e| e.to_string())?;
        let ready = condition(&own, "Ready")["status"] == "True";
        let counted = own["status"]["applications"] == 1 && own["status"]["waiting"] == 0;
        if ready && counted {
            Ok(own)
        } else {
            Err(own["status"].to_string())
        }
    })
    .await?;
    assert_eq!(condition(&own, "Stalled"), Value::Null, "{own}");
    assert_eq!(own["status"]["display"]["message"], "1 rule", "{own}");
    Ok(())
}

#[tokio::test]
async fn guard_rails_refuse_what_a_namespace_may_not_release_with_file_and_line() -> Result<()> {
    let (shop, first) = open("rails").await?;
    let kinds = "kinds: [{kind: ConfigMap}, {kind: ServiceAccount}], clusterScoped: []";
    let url = shop.git.url("shop").replace("/shop.git", "");
    cluster_policy(
        &shop,
        &format!("{kinds}, sources: [\"{url}/**\"], targets: [{{namespace: $namespace}}]"),
    )
    .await?;
    let role = format!("rails-{}", shop.ns);
    shop.put(
        "role.yaml",
        &format!("# a cluster-wide right\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {role}}}\nrules: []\n"),
    )?;
    shop.put("map-0.yaml", &map("map-0", "2"))?;
    let second = shop.push("a right")?;
    let denied = shop.phase(&second, "Denied").await?;
    let failed = &denied["status"]["results"]["failed"][0];
    assert_eq!(
        (&failed["object"], &failed["location"]),
        (
            &json!(format!("ClusterRole {role}")),
            &json!("deploy/role.yaml:2")
        ),
        "{denied}"
    );
    let message = text(&failed["message"]);
    assert!(
        message.starts_with(&format!("ClusterReleasePolicy/{} does not allow cluster-scoped kind ClusterRole.rbac.authorization.k8s.io", shop.ns))
            && message.contains("spec.allow.clusterScoped"),
        "{message}"
    );
    shop.says("Ready", "False", "NotAllowed").await?;
    assert_eq!(
        shop.get("configmaps/map-0").await?["data"]["key"],
        "1",
        "nothing of the commit is applied"
    );
    assert_eq!(
        shop.read(&format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}"))
            .await?,
        Value::Null
    );

    // What runs and is no longer allowed stays, and is said.
    shop.cut("role.yaml")?;
    let third = shop.push("without the right")?;
    shop.released(&third).await?;
    cluster_policy(&shop, "kinds: [{kind: ConfigMap}]").await?;
    let app = shop.says("Ready", "False", "NotAllowed").await?;
    assert!(
        text(&condition(&app, "Ready")["message"]).contains("kind ServiceAccount"),
        "{app}"
    );
    assert_ne!(shop.get("serviceaccounts/till").await?, Value::Null);

    // Another repository is refused before anything of it is rendered.
    cluster_policy(&shop, "sources: [\"https://git.example.com/**\"]").await?;
    let app = shop
        .until("the source is refused", "applications/shop", |app| {
            text(&condition(app, "Ready")["message"]).contains("does not allow repository")
        })
        .await?;
    assert_eq!(condition(&app, "Ready")["reason"], "NotAllowed");
    assert_ne!(first, third);

    // With the policy gone, all is well at once.
    shop.cluster
        .kubectl(&["delete", "clusterreleasepolicies.tidegate.io", &shop.ns])
        .await?;
    shop.released(&third).await?;
    Ok(())
}
