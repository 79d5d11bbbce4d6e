//! A failed release is put back as a whole, what failed in it is held, and the fix goes through: by itself, over restarts,
//! and by a person's word.

use serde_json::{Value, json};
use tidegate_e2e::{Result, wait};

use crate::stage::{STEP, Shop, condition, deployment, map, text};

const CRASH: &str = "CrashLoopBackOff";
/// Enough for pods that run, and little to wait for those that do not.
const SPEC: &str = "health: {timeout: 15s}";

/// What a policy says of failures.
async fn policy(shop: &Shop, on_failure: &str) -> Result<()> {
    let ns = &shop.ns;
    let text = format!(
        "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {{name: undo, namespace: {ns}}}\n\
         spec: {{onFailure: {{{on_failure}}}}}\n"
    );
    shop.cluster.apply(&text).await.map(drop)
}

/// A set of three that is good: a workload, what it reads, and one that the next commit drops.
pub(crate) async fn good(shop: &Shop) -> Result<String> {
    policy(shop, "action: Rollback").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    shop.put("conf.yaml", &map("conf", "1"))?;
    shop.put("gone.yaml", &map("gone", "1"))?;
    let commit = shop.push("good")?;
    shop.deploy(SPEC).await?;
    shop.released(&commit).await?;
    Ok(commit)
}

/// Changes two of them, drops one, brings one; the workload never runs.
pub(crate) fn bad(shop: &Shop, mark: &str) -> Result<String> {
    let web = deployment("web", CRASH).replace("example.com/web:1", &format!("example.com/web:{mark}"));
    shop.put("web.yaml", &web)?;
    shop.put("conf.yaml", &map("conf", mark))?;
    if shop.repo.read("deploy/gone.yaml").is_ok() {
        shop.cut("gone.yaml")?;
    }
    shop.put("fresh.yaml", &map("fresh", mark))?;
    shop.push(&format!("bad: {mark}"))
}

/// A set of three that is good, and not the first one.
pub(crate) fn fixed(shop: &Shop, mark: &str) -> Result<String> {
    let web = deployment("web", "").replace("example.com/web:1", &format!("example.com/web:{mark}"));
    shop.put("web.yaml", &web)?;
    shop.put("conf.yaml", &map("conf", mark))?;
    shop.push(&format!("fixed: {mark}"))
}

async fn value(shop: &Shop, name: &str) -> Result<Value> {
    Ok(shop.get(&format!("configmaps/{name}")).await?["data"]["key"].clone())
}

/// The good set is there, whole and alone.
pub(crate) async fn is_as_before(shop: &Shop, good: &str) -> Result<()> {
    assert_eq!(value(shop, "conf").await?, "1");
    assert_eq!(value(shop, "gone").await?, "1", "what was dropped is there again");
    assert_eq!(value(shop, "fresh").await?, Value::Null, "what was new is gone");
    let web = shop.get("deployments/web").await?;
    let image = &web["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "example.com/web:1", "{web}");
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["lastAppliedRevision"], *good, "{app}");
    assert_eq!(app["status"]["currentRelease"], "shop-000001", "{app}");
    assert_eq!(app["status"]["lastGoodRelease"], "shop-000001", "{app}");
    Ok(())
}

/// Waits until the newest commit is held for having what failed; the message.
pub(crate) async fn is_held(shop: &Shop, words: &[&str]) -> Result<String> {
    let said = |app: &Value| {
        let synced = condition(app, "Synced");
        let message = text(&synced["message"]);
        synced["status"] == "False"
            && synced["reason"] == "StillContainsQuarantined"
            && words.iter().all(|word| message.contains(word))
            && condition(app, "Ready")["status"] == "True"
    };
    let title = format!("held, with {words:?}");
    let app = shop.until(&title, "applications/shop", said).await?;
    Ok(text(&condition(&app, "Synced")["message"]))
}

#[tokio::test]
async fn a_crash_loop_puts_the_whole_set_back_and_the_fix_goes_through() -> Result<()> {
    let shop = Shop::open("undo").await?;
    let first = good(&shop).await?;
    let second = bad(&shop, "2")?;
    let release = shop.phase(&second, "RolledBack").await?;
    is_as_before(&shop, &first).await?;
    let message = text(&release["status"]["display"]["message"]);
    assert!(message.contains(CRASH), "{message}");
    assert!(message.contains("shop-000001 was put back"), "{message}");
    let back = &release["status"]["rollback"];
    assert_eq!(back["to"], "shop-000001", "{release}");
    assert!(back["finished"].is_string(), "{release}");

    let web = format!("Deployment {}/web", shop.ns);
    is_held(&shop, &[&web, CRASH, "shop-000002"]).await?;
    let app = shop.get("applications/shop").await?;
    let held = &app["status"]["quarantined"][0];
    assert_eq!(held["commit"], *second, "{app}");
    let culprits = held["culprits"].as_array().cloned().unwrap_or_default();
    assert_eq!(culprits.len(), 1, "what failed, and nothing else: {app}");
    assert_eq!(culprits[0]["id"], format!("apps/Deployment/{}/web", shop.ns));

    // Asking does not help, and what is edited is put back to what runs.
    shop.look_again().await?;
    let edit = json!({"data": {"key": "edited"}}).to_string();
    shop.kubectl(&["patch", "configmap", "conf", "--type=merge", "-p", &edit])
        .await?;
    shop.until("the edit is put back", "applications/shop", |app| {
        app["status"]["drift"]["count"] == 1
    })
    .await?;
    is_as_before(&shop, &first).await?;
    assert_eq!(shop.releases("").await?.len(), 2, "it is not tried again");

    // A commit on top that touches nothing of it waits.
    shop.put("other.yaml", &map("other", "3"))?;
    let third = shop.push("unrelated")?;
    let waits = shop.phase(&third, "Waiting").await?;
    let gate = &waits["status"]["gates"][0];
    assert_eq!(
        (&gate["gate"], &gate["decision"], &gate["reason"]),
        (
            &json!("Quarantine"),
            &json!("Closed"),
            &json!("StillContainsQuarantined")
        ),
        "{waits}"
    );
    assert!(text(&gate["message"]).contains(&web), "{waits}");
    is_held(&shop, &["shop-000003", &web]).await?;
    assert_eq!(value(&shop, "other").await?, Value::Null);
    is_as_before(&shop, &first).await?;

    let fourth = fixed(&shop, "4")?;
    shop.released(&fourth).await?;
    let fourth_release = shop.phase(&fourth, "Succeeded").await?;
    assert_eq!(fourth_release["spec"]["trigger"], "Commit");
    assert_eq!(value(&shop, "conf").await?, "4");
    assert_eq!(value(&shop, "other").await?, "3");
    assert_eq!(value(&shop, "gone").await?, Value::Null, "the fix drops it too");
    shop.phase(&third, "Superseded").await?;

    // The bad content comes again after the fix: it is known.
    bad_again(&shop).await?;
    is_held(&shop, &[&web]).await?;
    assert_eq!(value(&shop, "conf").await?, "4");
    Ok(())
}

async fn bad_again(shop: &Shop) -> Result<()> {
    let web = deployment("web", CRASH).replace("example.com/web:1", "example.com/web:2");
    shop.put("web.yaml", &web)?;
    let commit = shop.push("the bad one again")?;
    shop.phase(&commit, "Waiting").await.map(drop)
}

#[tokio::test]
async fn two_bad_commits_in_a_row_go_back_to_the_same_good_one() -> Result<()> {
    let shop = Shop::open("twice").await?;
    let first = good(&shop).await?;
    let second = bad(&shop, "2")?;
    shop.phase(&second, "RolledBack").await?;
    let third = bad(&shop, "3")?;
    let release = shop.phase(&third, "RolledBack").await?;
    assert_eq!(release["status"]["rollback"]["to"], "shop-000001", "{release}");
    is_held(&shop, &["shop-000003"]).await?;
    is_as_before(&shop, &first).await?;
    let app = shop.get("applications/shop").await?;
    let held = app["status"]["quarantined"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let commits: Vec<String> = held.iter().map(|entry| text(&entry["commit"])).collect();
    assert_eq!(commits, [second.clone(), third], "{app}");
    // A force-push back to the first bad one is known too, without a Release.
    shop.repo.git(&["reset", "--hard", &second])?;
    shop.repo.force_push()?;
    is_held(&shop, &["shop-000002"]).await?;
    shop.look_again().await?;
    is_as_before(&shop, &first).await?;
    assert_eq!(shop.releases("").await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn the_first_release_has_nothing_to_go_back_to_and_hold_leaves_what_failed() -> Result<()> {
    let shop = Shop::open("first").await?;
    policy(&shop, "action: Rollback").await?;
    shop.put("web.yaml", &deployment("web", CRASH))?;
    let first = shop.push("bad from the start")?;
    shop.deploy(SPEC).await?;
    let release = shop.phase(&first, "Failed").await?;
    let message = text(&release["status"]["display"]["message"]);
    assert!(message.contains("nothing to go back to"), "{message}");
    assert_eq!(release["status"]["rollback"], Value::Null, "{release}");
    let web = shop.get("deployments/web").await?;
    assert!(web["metadata"]["uid"].is_string(), "it stays: {web}");
    shop.put("web.yaml", &deployment("web", ""))?;
    let second = shop.push("fixed")?;
    shop.released(&second).await?;

    policy(&shop, "action: Hold").await?;
    shop.put("web.yaml", &deployment("web", "ImagePullBackOff"))?;
    let third = shop.push("bad, and held")?;
    let release = shop.phase(&third, "Failed").await?;
    assert_eq!(release["status"]["rollback"], Value::Null, "{release}");
    shop.until("what failed is what runs", "applications/shop", |app| {
        app["status"]["lastAppliedRevision"] == *third && condition(app, "Ready")["reason"] == "ObjectsFailed"
    })
    .await?;
    shop.put("other.yaml", &map("other", "1"))?;
    let fourth = shop.push("unrelated")?;
    shop.phase(&fourth, "Waiting").await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let fifth = shop.push("fixed")?;
    shop.released(&fifth).await.map(drop)
}

/// From now on somebody does not let a ConfigMap be what it was.
async fn nothing_goes_back(shop: &Shop) -> Result<()> {
    let ns = &shop.ns;
    let guard = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {ns}}}\n\
         spec:\n  matchConstraints:\n    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {ns}}}}}\n    \
         resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [UPDATE], resources: [configmaps]}}]\n  \
         validations: [{{expression: \"oldObject.data.key == '1' || object.data.key != '1'\", message: 'it never goes back'}}]\n---\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {ns}}}\n\
         spec: {{policyName: {ns}, validationActions: [Deny]}}\n"
    );
    shop.cluster.apply(&guard).await?;
    shop.kubectl(&["create", "configmap", "probe", "--from-literal=key=2"])
        .await?;
    let back = json!({"data": {"key": "1"}}).to_string();
    let probe = [
        "patch",
        "configmap",
        "probe",
        "--type=merge",
        "--dry-run=server",
        "-p",
        &back,
    ];
    wait::until(STEP, "the guard to be at work", || async {
        match shop.kubectl(&probe).await {
            Ok(_) => Err("it lets everything through"),
            Err(_) => Ok(()),
        }
    })
    .await
}

#[tokio::test]
async fn a_rollback_that_fails_stops_and_says_so_until_a_commit_passes() -> Result<()> {
    let shop = Shop::open("stuck").await?;
    good(&shop).await?;
    nothing_goes_back(&shop).await?;
    let second = bad(&shop, "2")?;
    let release = shop.phase(&second, "Failed").await?;
    let message = text(&release["status"]["display"]["message"]);
    for word in [CRASH, "shop-000001 could not be put back", "it never goes back"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    let app = shop.says("Stalled", "True", "RollbackFailed").await?;
    let message = text(&condition(&app, "Stalled")["message"]);
    for word in [
        CRASH,
        "it never goes back",
        "commit a fix",
        "tidegate.io/rollbackTo",
    ] {
        assert!(message.contains(word), "{word}: {message}");
    }
    shop.look_again().await?;
    shop.put("other.yaml", &map("other", "1"))?;
    let third = shop.push("unrelated")?;
    shop.phase(&third, "Waiting").await?;
    shop.says("Stalled", "True", "RollbackFailed").await?;
    assert_eq!(shop.releases(&second).await?.len(), 1, "it is not tried again");
    let fourth = fixed(&shop, "4")?;
    let app = shop.released(&fourth).await?;
    assert_eq!(condition(&app, "Stalled"), Value::Null, "{app}");
    Ok(())
}

#[tokio::test]
async fn a_person_rolls_back_until_another_set_comes_or_the_annotation_goes() -> Result<()> {
    let shop = Shop::open("person").await?;
    let first = good(&shop).await?;
    let second = fixed(&shop, "2")?;
    shop.released(&second).await?;
    let ask = |name: &str| {
        let annotation = json!({"metadata": {"annotations": {"tidegate.io/rollbackTo": name}}});
        let shop = &shop;
        async move { shop.patch_app("shop", &annotation).await }
    };
    for (name, why) in [
        ("shop-000099", "no such Release"),
        ("shop-000002", "it is what runs"),
    ] {
        ask(name).await?;
        shop.until(why, "applications/shop", |app| {
            let stalled = condition(app, "Stalled");
            stalled["reason"] == "RollbackRefused" && text(&stalled["message"]).contains(why)
        })
        .await?;
    }
    assert_eq!(value(&shop, "conf").await?, "2", "nothing was done");

    ask("shop-000001").await?;
    let rolled_back = |app: &Value| {
        app["status"]["lastAppliedRevision"] == *first
            && app["status"]["rolledBack"]["to"] == "shop-000001"
            && condition(app, "Synced")["reason"] == "RolledBack"
            && condition(app, "Ready")["status"] == "True"
    };
    let app = shop
        .until("rolled back", "applications/shop", rolled_back)
        .await?;
    assert_eq!(value(&shop, "conf").await?, "1");
    let release = shop.releases(&first).await?.pop().unwrap_or_default();
    assert_eq!(release["metadata"]["name"], "shop-000003", "{release}");
    assert_eq!(
        (
            &release["spec"]["trigger"],
            &release["spec"]["restores"],
            &release["status"]["phase"]
        ),
        (&json!("Rollback"), &json!("shop-000001"), &json!("Succeeded")),
        "{release}"
    );
    assert_eq!(app["status"]["currentRelease"], "shop-000003", "{app}");

    // A commit that makes the same set changes nothing; edits are put back to what was rolled back to.
    shop.repo.write("README.md", "nothing of the set\n")?;
    shop.push("the same set")?;
    let edit = json!({"data": {"key": "edited"}}).to_string();
    shop.kubectl(&["patch", "configmap", "conf", "--type=merge", "-p", &edit])
        .await?;
    shop.until("the edit is put back", "applications/shop", |app| {
        app["status"]["drift"]["count"] == 1
    })
    .await?;
    shop.look_again().await?;
    assert_eq!(value(&shop, "conf").await?, "1");
    assert_eq!(shop.releases("").await?.len(), 3);

    // Another set ends it, with the annotation still there.
    let third = fixed(&shop, "3")?;
    let app = shop.released(&third).await?;
    assert_eq!(app["status"]["rolledBack"], Value::Null, "{app}");
    assert_eq!(value(&shop, "conf").await?, "3");
    shop.look_again().await?;
    assert_eq!(
        value(&shop, "conf").await?,
        "3",
        "the annotation was answered once"
    );

    // Taken away and given again it counts again, and taken away for good it ends the rollback.
    let none = json!({"metadata": {"annotations": {"tidegate.io/rollbackTo": null}}});
    shop.patch_app("shop", &none).await?;
    shop.until("the answer is forgotten", "applications/shop", |app| {
        app["status"]["lastHandledRollbackTo"].is_null()
    })
    .await?;
    ask("shop-000001").await?;
    shop.until("rolled back again", "applications/shop", rolled_back)
        .await?;
    shop.patch_app("shop", &none).await?;
    shop.released(&third).await?;
    assert_eq!(value(&shop, "conf").await?, "3");
    Ok(())
}

/// A Service that goes only when somebody takes its finalizer.
pub(crate) const HELD: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: held, finalizers: [example.com/held]}\n\
                    spec: {selector: {app: web}, ports: [{port: 80}]}\n";

#[tokio::test]
async fn a_fix_takes_the_place_of_a_rollback_that_is_under_way() -> Result<()> {
    let shop = Shop::open("overtake").await?;
    good(&shop).await?;
    shop.patch_app("shop", &json!({"spec": {"health": {"timeout": "10m"}}}))
        .await?;
    // The new ConfigMap goes after the new Service, which does not go.
    shop.put("held.yaml", HELD)?;
    let second = bad(&shop, "2")?;
    shop.until("the rollback waits for a deletion", "services/held", |held| {
        held["metadata"]["deletionTimestamp"].is_string()
    })
    .await?;
    shop.until("it is said", "applications/shop", |app| {
        let working = condition(app, "Reconciling");
        working["reason"] == "RollingBack" && text(&working["message"]).contains("shop-000001")
    })
    .await?;
    assert_eq!(value(&shop, "conf").await?, "1");
    // What still has the culprit does not take its place, and waits beside it.
    shop.put("other.yaml", &map("other", "3"))?;
    let third = shop.push("unrelated")?;
    shop.look_again().await?;
    let under_way = shop.releases(&second).await?.pop().unwrap_or_default();
    assert!(under_way["status"]["rollback"].is_object(), "{under_way}");
    assert_ne!(under_way["status"]["phase"], "Failed", "{under_way}");
    shop.cut("held.yaml")?;
    shop.cut("fresh.yaml")?;
    let fourth = fixed(&shop, "4")?;
    let release = shop.phase(&second, "Failed").await?;
    let message = text(&release["status"]["display"]["message"]);
    assert!(message.contains("took its place"), "{message}");
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    shop.kubectl(&["patch", "service", "held", "--type=merge", "-p", &free])
        .await?;
    shop.released(&fourth).await?;
    assert_eq!(value(&shop, "conf").await?, "4");
    assert_eq!(value(&shop, "fresh").await?, Value::Null);
    assert_eq!(
        shop.releases(&third).await?.len(),
        0,
        "what waited got no Release meanwhile"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_undone_is_left_and_named() -> Result<()> {
    let shop = Shop::open("undone").await?;
    let group = format!("{}.example.com", shop.ns);
    let crd = |versions: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: lamps.{group}}}\n\
             spec:\n  group: {group}\n  names: {{plural: lamps, kind: Lamp}}\n  scope: Namespaced\n  versions: [{versions}]\n"
        )
    };
    let version = |name: &str, stored: bool| {
        format!(
            "{{name: {name}, served: true, storage: {stored}, schema: {{openAPIV3Schema: {{type: object}}}}}}"
        )
    };
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\nspec:\n  template:\n    spec:\n      \
               restartPolicy: Never\n      containers: [{name: run, image: 'example.com/run:1'}]\n";
    let theirs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}\ndata: {key: theirs}\n";
    let file = shop.cluster.dir().join(format!("{}-theirs.yaml", shop.ns));
    std::fs::write(&file, theirs).map_err(|e| tidegate_e2e::Error::Setup(e.to_string()))?;
    shop.kubectl(&["create", "-f", &file.display().to_string()])
        .await?;
    shop.put("crd.yaml", &crd(&version("v1", true)))?;
    shop.put("job.yaml", job)?;
    let first = good(&shop).await?;
    shop.put(
        "crd.yaml",
        &crd(&format!("{}, {}", version("v1", false), version("v2", true))),
    )?;
    shop.cut("job.yaml")?;
    shop.put("theirs.yaml", &map("theirs", "ours"))?;
    let second = bad(&shop, "2")?;
    let release = shop.phase(&second, "RolledBack").await?;
    is_as_before(&shop, &first).await?;
    let survivors = release["status"]["results"]["survivors"].to_string();
    for words in [
        &format!("CustomResourceDefinition lamps.{group}: objects are stored at version v2"),
        &format!("Job {}/once: a Job is not run once more", shop.ns),
        &format!(
            "ConfigMap {}/theirs: the failed release did not create it",
            shop.ns
        ),
    ] {
        assert!(survivors.contains(words.as_str()), "{words}: {survivors}");
    }
    assert_eq!(
        value(&shop, "theirs").await?,
        "ours",
        "it was there before: it stays"
    );
    assert_eq!(shop.get("jobs/once").await?, Value::Null);
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lamps.{group}");
    let live = shop.read(&path).await?;
    assert_eq!(
        live["spec"]["versions"].as_array().map(Vec::len),
        Some(2),
        "{live}"
    );
    is_held(&shop, &["shop-000002"]).await.map(drop)
}

#[tokio::test]
async fn a_failed_hook_is_a_culprit_and_hooks_run_before_the_way_back() -> Result<()> {
    let shop = Shop::open("hooked").await?;
    let hook = |name: &str, point: &str, fail: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{tidegate.io/hook: {point}}}}}\nspec:\n  \
             backoffLimit: 0\n  template:\n    metadata: {{annotations: {{{fail}}}}}\n    spec:\n      \
             restartPolicy: Never\n      containers: [{{name: run, image: 'example.com/run:1'}}]\n"
        )
    };
    shop.put("smoke.yaml", &hook("smoke", "PostSync", ""))?;
    let first = good(&shop).await?;
    let smoke = text(&shop.get("jobs/smoke").await?["metadata"]["uid"]);
    shop.put(
        "smoke.yaml",
        &hook("smoke", "PostSync", "e2e.tidegate.io/fail: ImagePullBackOff"),
    )?;
    shop.put("alarm.yaml", &hook("alarm", "SyncFail", ""))?;
    shop.put("conf.yaml", &map("conf", "2"))?;
    shop.put("fresh.yaml", &map("fresh", "2"))?;
    let second = shop.push("the smoke test fails")?;
    let release = shop.phase(&second, "RolledBack").await?;
    is_as_before(&shop, &first).await?;
    let message = text(&release["status"]["display"]["message"]);
    assert!(message.contains("smoke"), "{message}");
    let alarm = shop.get("jobs/alarm").await?;
    let (done, began) = (
        text(&alarm["status"]["completionTime"]),
        text(&release["status"]["rollback"]["started"]),
    );
    assert!(
        !done.is_empty() && done.get(..19) <= began.get(..19),
        "{done} {began}"
    );
    let app = shop.get("applications/shop").await?;
    let culprit = &app["status"]["quarantined"][0]["culprits"][0]["id"];
    assert_eq!(*culprit, format!("batch/Job/{}/smoke", shop.ns), "{app}");
    let again = text(&shop.get("jobs/smoke").await?["metadata"]["uid"]);
    assert_ne!(again, smoke, "the run that failed is there to be looked at");
    shop.look_again().await?;
    assert_eq!(
        text(&shop.get("jobs/smoke").await?["metadata"]["uid"]),
        again,
        "no hook runs on the way back"
    );
    shop.put("smoke.yaml", &hook("smoke", "PostSync", ""))?;
    let third = shop.push("the smoke test is fixed")?;
    shop.released(&third).await?;
    assert_eq!(value(&shop, "conf").await?, "2");
    Ok(())
}
