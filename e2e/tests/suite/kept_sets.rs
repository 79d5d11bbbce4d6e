//! What a release applied is kept: it is put back, and finished, without git; nobody but the operator can read it; and it
//! goes with the history.

use std::path::PathBuf;

use serde_json::{Value, json};
use tidegate_e2e::operator::{NAMESPACE, Operator, Options};
use tidegate_e2e::{Cluster, Result, wait};

use crate::stage::{STEP, Shop, deployment, fragile, map, text};

const TYPE: &str = "tidegate.io/rendered-set";
const RELEASE: &str = "tidegate.io/release";
/// In a Secret of the commit, and nowhere in what is kept of it.
const PASSWORD: &str = "kohlmeise-9c41-blaumeise";

fn secret() -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: door}}\nstringData: {{password: {PASSWORD}}}\n")
}

/// An operator with a cache of its own, and where that is.
async fn start(cluster: &Cluster, name: &str) -> Result<(Operator, PathBuf)> {
    let cache = cluster.dir().join(format!("{name}-mirrors"));
    let options = Options {
        name: name.to_owned(),
        cache_dir: Some(cache.clone()),
        ..Options::default()
    };
    let mut operator = Operator::start(cluster, options).await?;
    operator.wait_ready(STEP).await?;
    Ok((operator, cache))
}

/// The Secrets of the kept sets of this namespace's one Application, by name.
async fn kept(shop: &Shop) -> Result<Vec<Value>> {
    let list = shop
        .read(&format!("/api/v1/namespaces/{NAMESPACE}/secrets"))
        .await?;
    let all: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
    let mark = |secret: &Value| text(&secret["metadata"]["labels"][TYPE]);
    let of_shop = |secret: &&Value| {
        let release = text(&secret["metadata"]["annotations"][RELEASE]);
        release.starts_with(&format!("{}/", shop.ns))
    };
    let Some(ours) = all.iter().find(of_shop).map(mark) else {
        return Ok(Vec::new());
    };
    Ok(all.into_iter().filter(|secret| mark(secret) == ours).collect())
}

/// Releases that have a kept set.
async fn kept_releases(shop: &Shop) -> Result<Vec<String>> {
    let name = |secret: &Value| {
        let name = text(&secret["metadata"]["name"]);
        name.split_once(".release.")
            .map(|(_, release)| release.to_owned())
    };
    Ok(kept(shop).await?.iter().filter_map(name).collect())
}

async fn edit(shop: &Shop, name: &str) -> Result<()> {
    let edit = json!({"data": {"key": "edited"}}).to_string();
    shop.kubectl(&["patch", "configmap", name, "--type=merge", "-p", &edit])
        .await
        .map(drop)
}

/// A person's hand on the Deployment, put back before the release goes on.
async fn edit_replicas(shop: &Shop) -> Result<()> {
    let edit = json!({"spec": {"replicas": 3}}).to_string();
    shop.kubectl(&["patch", "deployment", "web", "--type=merge", "-p", &edit])
        .await?;
    shop.until("two replicas again", "deployments/web", |web| {
        web["spec"]["replicas"] == 2
    })
    .await
    .map(drop)
}

async fn until_back(shop: &Shop, name: &str, value: &str) -> Result<()> {
    let path = format!("configmaps/{name}");
    shop.until(&format!("{name} to be {value} again"), &path, |map| {
        map["data"]["key"] == *value
    })
    .await
    .map(drop)
}

fn wipe(dir: &std::path::Path) {
    let wiped = std::fs::remove_dir_all(dir);
    assert!(wiped.is_ok(), "{}: {wiped:?}", dir.display());
}

#[tokio::test]
async fn what_runs_is_put_back_with_git_gone_the_mirror_lost_and_the_spec_edited() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "kept").await?;
    let (mut running, cache) = start(&world.cluster, "kept").await?;
    shop.put("map.yaml", &map("prices", "1"))?;
    shop.put("secret.yaml", &secret())?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.released(&commit).await?;
    shop.phase(&commit, "Succeeded").await?;

    running.kill9();
    wipe(&shop.bare());
    wipe(&cache);
    // What the spec says now makes nothing that was ever released.
    shop.patch_app("shop", &json!({"spec": {"source": {"path": "./elsewhere"}}}))
        .await?;
    running.restart()?;
    running.wait_ready(STEP).await?;
    edit(&shop, "prices").await?;
    until_back(&shop, "prices", "1").await?;
    shop.kubectl(&["delete", "secret", "door"]).await?;
    shop.until("the Secret to be made anew", "secrets/door", Value::is_object)
        .await?;

    // Nobody knows any more where the commit came from.
    shop.kubectl(&["delete", "gitrepositories.tidegate.io", "shop"])
        .await?;
    running.kill9();
    running.restart()?;
    running.wait_ready(STEP).await?;
    edit(&shop, "prices").await?;
    until_back(&shop, "prices", "1").await?;
    let app = shop.get("applications/shop").await?;
    assert_eq!(app["status"]["currentRelease"], "shop-000001", "{app}");
    assert_eq!(shop.releases("").await?.len(), 1, "a correction makes no Release");
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn a_release_that_was_killed_half_way_is_finished_with_git_gone() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "half").await?;
    let (mut running, cache) = start(&world.cluster, "half").await?;
    shop.put("web.yaml", &deployment("web", "ContainerCreating"))?;
    let last = "metadata: {annotations: {tidegate.io/wave: '1'}, ";
    shop.put("last.yaml", &map("last", "1").replacen("metadata: {", last, 1))?;
    let commit = shop.push("in two waves")?;
    shop.deploy("").await?;
    shop.until("the first wave to be there", "deployments/web", Value::is_object)
        .await?;
    shop.phase(&commit, "Applying").await?;

    running.kill9();
    wipe(&shop.bare());
    wipe(&cache);
    running.restart()?;
    running.wait_ready(STEP).await?;
    assert_eq!(shop.get("configmaps/last").await?, Value::Null);
    // It goes on with the wave that it waited for, from what is kept.
    edit_replicas(&shop).await?;
    shop.kubectl(&["annotate", "pods", "-l", "app=web", "e2e.tidegate.io/fail-"])
        .await?;
    until_back(&shop, "last", "1").await?;
    shop.phase(&commit, "Succeeded").await?;
    assert_eq!(shop.releases("").await?.len(), 1);
    running.kill9();
    drop(guard);
    Ok(())
}

#[tokio::test]
async fn kept_sets_are_sealed_and_only_the_operator_reads_them() -> Result<()> {
    let shop = Shop::open("sealed").await?;
    shop.put("secret.yaml", &secret())?;
    // More than fits the manifest itself: chunks.
    for n in 0..40 {
        shop.put(
            &format!("{n}.yaml"),
            &map(&format!("map-{n}"), &"4711 ".repeat(500)),
        )?;
    }
    let commit = shop.push("a secret")?;
    shop.deploy("").await?;
    shop.phase(&commit, "Succeeded").await?;
    let kept = kept(&shop).await?;
    assert!(kept.len() >= 2, "{}", kept.len());
    for secret in &kept {
        assert_eq!(secret["type"], TYPE);
        assert_eq!(secret["immutable"], true);
        assert_eq!(secret["metadata"]["namespace"], NAMESPACE);
        let sealed = decoded(&secret["data"]["sealed"]);
        assert!(sealed.len() > 100 && sealed.len() < 1 << 20, "{}", sealed.len());
        let whole = [secret.to_string().as_bytes(), &sealed].concat();
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PASSWORD);
        for needle in [PASSWORD, &base64, "4711", "door", "ConfigMap"] {
            let found = whole
                .windows(needle.len())
                .any(|window| window == needle.as_bytes());
            assert!(!found, "{needle} in {}", secret["metadata"]["name"]);
        }
        // Nor is it merely packed.
        for at in 0..sealed.len() {
            let unpacked = zstd::bulk::decompress(sealed.get(at..).unwrap_or_default(), 1 << 20);
            assert!(
                unpacked.is_err(),
                "{} unpacks at {at}",
                secret["metadata"]["name"]
            );
        }
    }
    // A tenant: everything in its own namespace, nothing in the operator's.
    shop.kubectl(&["create", "serviceaccount", "tenant"]).await?;
    let account = format!("--serviceaccount={}:tenant", shop.ns);
    shop.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])
        .await?;
    let account = format!("--as=system:serviceaccount:{}:tenant", shop.ns);
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        let ask = |namespace: String| {
            let (shop, account) = (&shop, &account);
            async move {
                let asked = ["auth", "can-i", verb, "secrets", account, "-n", &namespace];
                let answer = shop.cluster.kubectl_output(&asked).await?;
                Ok::<_, tidegate_e2e::Error>(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
            }
        };
        assert_eq!(ask(shop.ns.clone()).await?, "yes", "{verb} in its own namespace");
        assert_eq!(ask(NAMESPACE.to_owned()).await?, "no", "{verb} in the operator's");
    }
    Ok(())
}

#[tokio::test]
async fn kept_sets_go_with_the_history_and_with_the_application() -> Result<()> {
    let shop = Shop::open("pruned").await?;
    // Chunks, too.
    for n in 0..40 {
        shop.put(
            &format!("{n}.yaml"),
            &map(&format!("map-{n}"), &"4711 ".repeat(500)),
        )?;
    }
    shop.put("prices.yaml", &map("prices", "0"))?;
    shop.push("the first")?;
    shop.deploy("historyLimit: 2").await?;
    let mut most = 0;
    for n in 1..=5 {
        shop.put("prices.yaml", &map("prices", &n.to_string()))?;
        let commit = shop.push(&n.to_string())?;
        shop.phase(&commit, "Succeeded").await?;
        most = most.max(kept(&shop).await?.len());
    }
    let wanted = names(&shop.releases("").await?);
    assert!((2..=3).contains(&wanted.len()), "{wanted:?}");
    wait::until(STEP, "only the Releases that there are to have sets", || async {
        let kept = kept_releases(&shop).await.map_err(|e| e.to_string())?;
        let wanted = names(&shop.releases("").await.map_err(|e| e.to_string())?);
        if kept == wanted {
            Ok(())
        } else {
            Err(format!("{kept:?}, and not {wanted:?}"))
        }
    })
    .await?;
    assert!(most <= 12, "{most} Secrets");
    shop.kubectl(&["delete", "--timeout=60s", "applications.tidegate.io", "shop"])
        .await?;
    let left = kept(&shop).await?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn a_set_that_somebody_damaged_is_named_and_git_is_read_instead() -> Result<()> {
    let (world, guard) = fragile().await?;
    let shop = Shop::open_in(&world.cluster, "damaged").await?;
    let (mut running, _) = start(&world.cluster, "damaged").await?;
    shop.put("map.yaml", &map("prices", "1"))?;
    let commit = shop.push("one")?;
    shop.deploy("").await?;
    shop.phase(&commit, "Succeeded").await?;
    let secret = kept(&shop).await?.pop().unwrap_or_default();
    let name = text(&secret["metadata"]["name"]);
    let mut sealed = decoded(&secret["data"]["sealed"]);
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let sealed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &sealed);
    let mut forged = json!({
        "apiVersion": "v1", "kind": "Secret", "type": TYPE, "data": {"sealed": sealed},
        "metadata": {"name": name, "namespace": NAMESPACE},
    });
    forged["metadata"]["labels"] = secret["metadata"]["labels"].clone();
    forged["metadata"]["annotations"] = secret["metadata"]["annotations"].clone();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
    let content = "application/json".to_owned();
    shop.send(
        http::Method::DELETE,
        format!("{path}/{name}"),
        content.clone(),
        String::new(),
    )
    .await?;
    shop.send(http::Method::POST, path, content, forged.to_string())
        .await?;
    edit(&shop, "prices").await?;
    until_back(&shop, "prices", "1").await?;
    let said = format!("{name} is damaged");
    wait::until(STEP, "the damage to be said", || async {
        let log = running.logs();
        log.contains(&said).then_some(()).ok_or(said.clone())
    })
    .await?;
    running.kill9();
    drop(guard);
    Ok(())
}

fn names(releases: &[Value]) -> Vec<String> {
    releases.iter().map(|r| text(&r["metadata"]["name"])).collect()
}

fn decoded(value: &Value) -> Vec<u8> {
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text(value));
    assert!(decoded.is_ok(), "{value}: {decoded:?}");
    decoded.unwrap_or_default()
}
