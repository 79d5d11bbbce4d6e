//! Taking objects over from other tools: nothing is made anew, nothing of the old tool stays in force, and what git
//! drops later really goes.

use serde_json::{Value, json};
use tidegate_e2e::{Error, Result};

use crate::stage::{Shop, condition, deployment, map, text};

const FLUX: &str =
    "labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}, ";
const ARGO: &str = "annotations: {argocd.argoproj.io/tracking-id: 'web:/ConfigMap:shop/a'}, ";

fn service(more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  selector: {{app: web}}\n  \
         ports: [{{port: 80}}]\n{more}"
    )
}

fn two_keys(more: &str, metadata: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{{metadata}name: a}}\ndata: {{key: git, second: git{more}}}\n"
    )
}

/// What the old tool has; the Deployment is as in git.
fn old(metadata: &str) -> String {
    let web = deployment("web", "");
    format!(
        "{}---\n{}---\n{web}",
        two_keys(", old: tool", metadata),
        service("  sessionAffinity: ClientIP\n")
    )
}

/// A file beside the repository.
fn file(shop: &Shop, name: &str, text: &str) -> Result<String> {
    let path = shop.cluster.dir().join(&shop.ns).join(name);
    let io = |e: std::io::Error| Error::Setup(format!("{}: {e}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    std::fs::write(&path, text).map_err(io)?;
    Ok(path.display().to_string())
}

async fn with_kubectl(shop: &Shop, metadata: &str, flags: &[&str]) -> Result<()> {
    let file = file(shop, "old.yaml", &old(metadata))?;
    let args: Vec<&str> = ["apply", "-f", &file]
        .into_iter()
        .chain(flags.iter().copied())
        .collect();
    shop.kubectl(&args).await.map(drop)
}

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let whole = entries.iter().filter(|e| e["subresource"].is_null());
    whole
        .map(|e| format!("{}/{}", text(&e["manager"]), text(&e["operation"])))
        .collect()
}

async fn pods(shop: &Shop) -> Result<Vec<String>> {
    let pods = shop
        .until("two pods", "pods", |pods| {
            pods["items"].as_array().is_some_and(|p| p.len() == 2)
        })
        .await?;
    let mut uids: Vec<String> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| text(&p["metadata"]["uid"]))
        .collect();
    uids.sort_unstable();
    Ok(uids)
}

/// The note of an Event on the Application.
async fn event(shop: &Shop, reason: &str) -> Result<String> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", shop.ns);
    tidegate_e2e::wait::until(crate::stage::STEP, &format!("an event {reason}"), || async {
        let events = shop.read(&path).await.map_err(|e| e.to_string())?;
        let all = events["items"].as_array().cloned().unwrap_or_default();
        let found = all
            .iter()
            .find(|e| e["reason"] == reason)
            .map(|e| text(&e["note"]));
        found.ok_or_else(|| format!("{} events", all.len()))
    })
    .await
}

/// Brings what the tool has under git and looks at all that must and must not change.
async fn take_over(shop: &Shop, tool: &str, said: &[&str]) -> Result<()> {
    let objects = ["configmaps/a", "services/web", "deployments/web"];
    let pods_before = pods(shop).await?;
    let mut before = Vec::new();
    for object in objects {
        let live = shop.get(object).await?;
        let known = managers(&live).iter().any(|m| m.starts_with(tool));
        assert!(known, "the test's premise: {tool} owns {object}: {live}");
        before.push(live);
    }
    shop.put("a.yaml", &two_keys("", ""))?;
    shop.put("svc.yaml", &service(""))?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let commit = shop.push("as the tool had it, but for the old fields")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    for (object, before) in objects.iter().zip(&before) {
        let live = shop.get(object).await?;
        assert_eq!(
            live["metadata"]["uid"], before["metadata"]["uid"],
            "{object} was made anew"
        );
        let left = managers(&live);
        assert_eq!(
            left.iter()
                .filter(|m| *m != "kube-controller-manager/Update")
                .count(),
            1,
            "{object}: {left:?}"
        );
        let marks = format!(
            "{}{}",
            live["metadata"]["annotations"], live["metadata"]["labels"]
        );
        for mark in ["last-applied", "helm", "Helm", "flux", "argo"] {
            assert!(!marks.contains(mark), "{object} still has {mark}: {marks}");
        }
    }
    let web = shop.get("deployments/web").await?;
    // Its generation counts annotations too.
    assert_eq!(web["spec"], before[2]["spec"], "{web}");
    assert_eq!(
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    assert_eq!(pods(shop).await?, pods_before, "pods were restarted");
    assert_eq!(
        shop.get("configmaps/a").await?["data"],
        json!({"key": "git", "second": "git"})
    );
    assert_eq!(shop.get("services/web").await?["spec"]["sessionAffinity"], "None");
    let note = event(shop, "Adopted").await?;
    for part in [tool, "ConfigMap", "Service", "Deployment"].iter().chain(said) {
        assert!(note.contains(part), "{part}: {note}");
    }
    still(shop).await?;

    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one key less")?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"], json!({"key": "git"}));
    still(shop).await
}

/// No drift is seen, nor was any.
async fn still(shop: &Shop) -> Result<()> {
    shop.look_again().await?;
    let app = shop.get("applications/shop").await?;
    assert_eq!(condition(&app, "Drifted")["status"], "False", "{app}");
    assert_eq!(app["status"]["drift"]["count"], 0, "{app}");
    Ok(())
}

#[tokio::test]
async fn from_kubectl_apply() -> Result<()> {
    let shop = Shop::open("tookcsa").await?;
    with_kubectl(&shop, "", &[]).await?;
    take_over(&shop, "kubectl-client-side-apply", &[]).await
}

#[tokio::test]
async fn from_kubectl_server_side_apply() -> Result<()> {
    let shop = Shop::open("tookssa").await?;
    with_kubectl(&shop, "", &["--server-side"]).await?;
    take_over(&shop, "kubectl", &[]).await
}

#[tokio::test]
async fn from_helm() -> Result<()> {
    let shop = Shop::open("tookchart").await?;
    file(
        &shop,
        "chart/Chart.yaml",
        "apiVersion: v2\nname: old\nversion: 0.1.0\n",
    )?;
    let all = file(&shop, "chart/templates/all.yaml", &old(""))?;
    let chart = all.trim_end_matches("/templates/all.yaml");
    shop.cluster
        .helm(&["install", "old", chart, "--namespace", &shop.ns])
        .await?;
    let release = format!("Helm release {}/old", shop.ns);
    take_over(&shop, "helm", &[&release, "never run helm uninstall"]).await
}

#[tokio::test]
async fn from_flux() -> Result<()> {
    let shop = Shop::open("tookcd-a").await?;
    with_kubectl(
        &shop,
        FLUX,
        &["--server-side", "--field-manager=kustomize-controller"],
    )
    .await?;
    take_over(
        &shop,
        "kustomize-controller",
        &["Flux Kustomization flux-system/apps", "told to let go"],
    )
    .await
}

#[tokio::test]
async fn from_argo_cd() -> Result<()> {
    let shop = Shop::open("tookcd-b").await?;
    with_kubectl(&shop, ARGO, &["--field-manager=argocd-controller"]).await?;
    take_over(
        &shop,
        "argocd-controller",
        &["Argo CD Application web", "--cascade=false"],
    )
    .await
}

#[tokio::test]
async fn what_people_and_controllers_had_set_beside_git_stays() -> Result<()> {
    let shop = Shop::open("beside").await?;
    let file = file(&shop, "old.yaml", &two_keys(", old: tool", ""))?;
    shop.kubectl(&["apply", "-f", &file]).await?;
    let edit = |value: &str| format!(r#"{{"data":{{"second":"git","{value}":"x"}}}}"#);
    shop.kubectl(&["patch", "configmap", "a", "--type=merge", "-p", &edit("person")])
        .await?;
    let manager = "--field-manager=my-operator";
    shop.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--type=merge",
        manager,
        "-p",
        &edit("operator"),
    ])
    .await?;
    shop.put("a.yaml", &two_keys("", ""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let data = shop.get("configmaps/a").await?["data"].clone();
    assert_eq!(
        data,
        json!({"key": "git", "second": "git", "person": "x", "operator": "x"})
    );
    still(&shop).await?;
    let live = shop.get("configmaps/a").await?;
    assert_eq!(
        managers(&live),
        ["tidegate/Apply", "kubectl-patch/Update", "my-operator/Update"],
        "{live}"
    );
    Ok(())
}

#[tokio::test]
async fn what_the_api_server_does_not_let_go_stays_and_is_nobodys() -> Result<()> {
    let shop = Shop::open("stuck").await?;
    let fixed = |more: &str| format!("{}immutable: true\n", two_keys(more, ""));
    let file = file(&shop, "old.yaml", &fixed(", old: tool"))?;
    shop.kubectl(&["apply", "-f", &file]).await?;
    shop.put("a.yaml", &fixed(""))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let live = shop.get("configmaps/a").await?;
    assert_eq!(live["data"]["old"], "tool");
    assert_eq!(managers(&live), ["tidegate/Apply"], "{live}");
    let annotations = live["metadata"]["annotations"].to_string();
    assert!(!annotations.contains("last-applied"), "{annotations}");
    still(&shop).await
}

#[tokio::test]
async fn what_git_has_otherwise_comes_in_one_step() -> Result<()> {
    let shop = Shop::open("onestep").await?;
    let web = deployment("web", "");
    // Beside each other the two unnamed ports would be refused, and the two containers would be a rollout of their own.
    let file = file(&shop, "old.yaml", &format!("{}---\n{web}", service("")))?;
    shop.kubectl(&["apply", "-f", &file]).await?;
    pods(&shop).await?;
    let front = web.replace("{name: web, image", "{name: front, image");
    shop.put("web.yaml", &front)?;
    shop.put("svc.yaml", &service("").replace("port: 80", "port: 8080"))?;
    let commit = shop.push("another port, another container")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    let ports = shop.get("services/web").await?["spec"]["ports"].clone();
    assert_eq!(ports.as_array().map(Vec::len), Some(1), "{ports}");
    assert_eq!(ports[0]["port"], 8080);
    let web = shop.get("deployments/web").await?;
    let containers = &web["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(1), "{containers}");
    assert_eq!(containers[0]["name"], "front");
    let rollouts = &web["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!(rollouts, "2", "one rollout");
    still(&shop).await
}

#[tokio::test]
async fn replicas_that_an_autoscaler_sets_are_those_that_the_old_tool_had() -> Result<()> {
    let shop = Shop::open("tookscale").await?;
    let web = deployment("web", "").replace("replicas: 2", "replicas: 3");
    let file = file(&shop, "old.yaml", &web)?;
    shop.kubectl(&["apply", "-f", &file]).await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    shop.put(
        "hpa.yaml",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  \
         scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n  minReplicas: 1\n  maxReplicas: 9\n",
    )?;
    let commit = shop.push("scaled by an autoscaler")?;
    shop.deploy("").await?;
    shop.until("taken over", "applications/shop", |app| {
        app["status"]["lastAppliedRevision"] == *commit
    })
    .await?;
    let replicas = |web: &Value| web["spec"]["replicas"].clone();
    assert_eq!(replicas(&shop.get("deployments/web").await?), 3);
    shop.put("web.yaml", &deployment("web", "").replace("web:1", "web:2"))?;
    shop.push("another image")?;
    let web = shop
        .until("the new image", "deployments/web", |v| {
            v["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/web:2"
        })
        .await?;
    assert_eq!(replicas(&web), 3);
    Ok(())
}

#[tokio::test]
async fn adopt_says_whose_objects_are_taken() -> Result<()> {
    let shop = Shop::open("modes").await?;
    shop.kubectl(&["create", "configmap", "a", "--from-literal=key=hand"])
        .await?;
    shop.put("a.yaml", &map("a", "git"))?;
    let commit = shop.push("one")?;
    shop.deploy("adopt: Never").await?;
    let app = shop.says("Ready", "False", "AlreadyExists").await?;
    assert!(
        text(&condition(&app, "Ready")["message"]).contains("spec.adopt"),
        "{app}"
    );
    let untouched = shop.get("configmaps/a").await?;
    assert_eq!(managers(&untouched), ["kubectl-create/Update"], "{untouched}");
    shop.patch_app("shop", &json!({"spec": {"adopt": "IfUnowned"}}))
        .await?;
    shop.look_again().await?;
    shop.released(&commit).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "git");

    // The Application goes and leaves its object; another one may have it only under Always.
    shop.patch_app("shop", &json!({"spec": {"deletionPolicy": "Orphan"}}))
        .await?;
    shop.kubectl(&["delete", "applications.tidegate.io", "shop"])
        .await?;
    shop.deploy_as("next", "./deploy", "adopt: IfUnowned").await?;
    shop.until("another's object is left to it", "applications/next", |app| {
        condition(app, "Ready")["reason"] == "OwnershipConflict"
    })
    .await?;
    let again =
        json!({"metadata": {"annotations": {"tidegate.io/requestedAt": "1"}}, "spec": {"adopt": "Always"}});
    shop.patch_app("next", &again).await?;
    shop.until("its Application is gone", "applications/next", |app| {
        condition(app, "Ready")["status"] == "True"
    })
    .await?;
    let live = shop.get("configmaps/a").await?;
    assert_eq!(live["metadata"]["uid"], untouched["metadata"]["uid"]);
    let owner = text(&live["metadata"]["annotations"]["tidegate.io/owner"]);
    assert!(owner.ends_with("/next"), "{owner}");
    Ok(())
}

#[tokio::test]
async fn string_data_that_kubectl_had_applied_leaves_neither_owner_nor_key_behind() -> Result<()> {
    for (prefix, flags) in [("plaincsa", &[][..]), ("plainssa", &["--server-side"][..])] {
        let shop = Shop::open(prefix).await?;
        let secret = |keys: &str| {
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{{keys}}}\n")
        };
        let file = file(&shop, "old.yaml", &secret("a: one, b: two, old: tool"))?;
        let args: Vec<&str> = ["apply", "-f", &file]
            .into_iter()
            .chain(flags.iter().copied())
            .collect();
        shop.kubectl(&args).await?;
        shop.put("s.yaml", &secret("a: one, b: two"))?;
        let commit = shop.push("one")?;
        shop.deploy("").await?;
        shop.released(&commit).await?;
        let live = shop.get("secrets/s").await?;
        assert_eq!(live["data"], json!({"a": "b25l", "b": "dHdv"}), "{prefix}");
        let managed = live["metadata"]["managedFields"].to_string();
        assert!(!managed.contains("stringData"), "{managed}");
        assert_eq!(managers(&live), ["tidegate/Apply"], "{prefix}");
        still(&shop).await?;
        shop.put("s.yaml", &secret("a: three"))?;
        let commit = shop.push("two")?;
        shop.released(&commit).await?;
        assert_eq!(
            shop.get("secrets/s").await?["data"],
            json!({"a": "dGhyZWU="}),
            "{prefix}"
        );
        still(&shop).await?;
    }
    Ok(())
}
