//! The recipes of docs/policies.md, each as it stands in manifests/policies, on the real API server.

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate_e2e::{Error, Result, paths, wait};

use crate::admission::{Team, Who, who};
use crate::signatures::Keys;
use crate::stage::{STEP, Shop, deployment, map, text};

const BERLIN: &str = "Europe/Berlin";
/// Of group sre.
const BOB: Who = Who {
    name: "bob",
    groups: &["sre", "system:authenticated"],
};
/// Of the release managers.
const CAROL: Who = Who {
    name: "carol",
    groups: &["release-managers", "system:authenticated"],
};

fn recipe(name: &str) -> Result<String> {
    let path = paths::root().join(format!("manifests/policies/{name}.yaml"));
    std::fs::read_to_string(&path).map_err(|e| Error::Bug(format!("{}: {e}", path.display())))
}

async fn apply(shop: &Shop, text: &str) -> Result<()> {
    let file = shop.cluster.dir().join(format!("{}-recipe.yaml", shop.ns));
    std::fs::write(&file, text).map_err(|e| Error::Bug(e.to_string()))?;
    let file = file.display().to_string();
    shop.kubectl(&["apply", "-f", &file]).await.map(drop)
}

/// A shop with a first release, that is labelled as production from then on.
async fn production(prefix: &str) -> Result<Shop> {
    let shop = Shop::open(prefix).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = shop.push("first")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    shop.patch_app("shop", &json!({"metadata": {"labels": {"tier": "production"}}}))
        .await?;
    Ok(shop)
}

fn change(shop: &Shop) -> Result<String> {
    shop.put("a.yaml", &map("a", "2"))?;
    shop.push("a change")
}

/// The gate of that name in a Release.
fn gate(release: &Value, name: &str) -> Value {
    let gates = release["status"]["gates"].as_array();
    let found = gates.and_then(|gates| gates.iter().find(|gate| gate["gate"] == name));
    found.cloned().unwrap_or_default()
}

/// Waits until the last Release of a commit has ended or waits; the Release.
async fn stands(shop: &Shop, commit: &str) -> Result<Value> {
    wait::until(STEP, "the release to stand", || async {
        let all = shop.releases(commit).await.map_err(|e| e.to_string())?;
        let last = all.last().cloned().unwrap_or_default();
        let phase = text(&last["status"]["phase"]);
        let stands = ["Waiting", "Succeeded"].contains(&phase.as_str());
        stands.then_some(last).ok_or(phase)
    })
    .await
}

/// The release goes where the clock says that the window is open, else it waits at that gate until an Override of the
/// release managers. The answer is asked for again where it changed meanwhile.
async fn follows_the_clock(
    shop: &Shop,
    lasts: SignedDuration,
    open: fn(Timestamp) -> Result<bool>,
) -> Result<()> {
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    let before = open(Timestamp::now())?;
    let commit = change(shop)?;
    let release = stands(shop, &commit).await?;
    let waits = release["status"]["phase"] == "Waiting";
    if before == open(Timestamp::now())? {
        assert_eq!(waits, !before, "{release}");
    }
    if !waits {
        return Ok(());
    }
    let windows = gate(&release, "Windows");
    assert_eq!(windows["decision"], "Closed", "{release}");
    let until: Timestamp = text(&windows["until"])
        .parse()
        .map_err(|e| Error::Bug(format!("{windows}: {e}")))?;
    assert!(until > Timestamp::now(), "{release}");
    let over = json!({
        "application": "shop", "gates": ["Windows"], "reason": "urgent", "requester": "carol",
        "groups": ["release-managers"], "until": (Timestamp::now() + lasts).to_string(),
    });
    team.make(CAROL, "Override", "urgent", &over).await?;
    let went = shop.phase(&commit, "Succeeded").await?;
    assert_eq!(gate(&went, "Windows")["decision"], "Overridden", "{went}");
    Ok(())
}

fn in_berlin(now: Timestamp) -> Result<jiff::Zoned> {
    now.in_tz(BERLIN).map_err(|e| Error::Bug(e.to_string()))
}

#[tokio::test]
async fn office_hours() -> Result<()> {
    let shop = production("hours").await?;
    apply(&shop, &recipe("office-hours")?).await?;
    follows_the_clock(&shop, SignedDuration::from_hours(3), |now| {
        let now = in_berlin(now)?;
        let days = [
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
        ];
        Ok(days.contains(&now.weekday()) && (9..17).contains(&now.hour()))
    })
    .await
}

#[tokio::test]
async fn black_friday() -> Result<()> {
    let shop = production("friday").await?;
    let ns = shop.ns.clone();
    // One of each test's own, and of its own namespace alone: other tests share the cluster.
    let env = format!("env={ns}");
    shop.cluster.kubectl(&["label", "namespace", &ns, &env]).await?;
    let own = recipe("black-friday")?
        .replace("env: production", &format!("env: {ns}"))
        .replace("name: black-friday", &format!("name: {ns}"));
    apply(&shop, &own).await?;
    let done = follows_the_clock(&shop, SignedDuration::from_mins(30), |now| {
        let now = in_berlin(now)?;
        Ok(!(now.month() == 11 && now.day() >= 20))
    })
    .await;
    shop.cluster
        .kubectl(&["delete", "clusterreleasepolicies.tidegate.io", &ns])
        .await?;
    done
}

#[tokio::test]
async fn four_eyes() -> Result<()> {
    let shop = production("four").await?;
    let team = Team::gather(shop.cluster, &shop.ns).await?;
    apply(&shop, &recipe("four-eyes")?).await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let commit = shop.repo.publish("by alice", "Alice <alice@example.com>")?;
    let waits = shop.phase(&commit, "Waiting").await?;
    let by = |approver: &str| {
        json!({
            "application": "shop", "release": waits["metadata"]["name"],
            "planDigest": waits["status"]["plan"]["digest"], "approver": approver, "groups": ["sre"],
        })
    };
    let alice = Who {
        name: "alice",
        groups: BOB.groups,
    };
    team.make(alice, "Approval", "alice", &by("alice")).await?;
    wait::until(STEP, "the author's own approval not to count", || async {
        let release = stands(&shop, &commit).await.map_err(|e| e.to_string())?;
        let shown = release["status"]["approvals"][0].clone();
        let seen = shown["counts"] == false && release["status"]["phase"] == "Waiting";
        seen.then_some(()).ok_or(release["status"].to_string())
    })
    .await?;
    assert!(
        team.make(who("eve"), "Approval", "eve", &by("eve"))
            .await
            .is_err()
    );
    team.make(BOB, "Approval", "bob", &by("bob")).await?;
    shop.phase(&commit, "Succeeded").await.map(drop)
}

#[tokio::test]
async fn staging_before_production() -> Result<()> {
    let shop = production("staged").await?;
    apply(&shop, &recipe("staging-before-production")?).await?;
    shop.repo.write("staging/web.yaml", &deployment("web", ""))?;
    shop.put("a.yaml", &map("a", "2"))?;
    let commit = shop.push("for both")?;
    let missing = shop.phase(&commit, "Waiting").await?;
    let said = text(&gate(&missing, "After")["message"]);
    assert!(said.contains("shop-staging"), "{missing}");
    shop.deploy_as("shop-staging", "./staging", "").await?;
    let soaks = wait::until(STEP, "staging to soak", || async {
        let release = stands(&shop, &commit).await.map_err(|e| e.to_string())?;
        let after = gate(&release, "After");
        (after["reason"] == "Soaking")
            .then_some(after.clone())
            .ok_or(after.to_string())
    })
    .await?;
    let until: Timestamp = text(&soaks["until"])
        .parse()
        .map_err(|e| Error::Bug(format!("{soaks}: {e}")))?;
    let left = until.duration_since(Timestamp::now());
    let two_hours = SignedDuration::from_hours(2);
    assert!(
        left <= two_hours && left > two_hours - SignedDuration::from_mins(5),
        "{soaks}"
    );
    // Nobody waits for two hours here: the same recipe, with one second.
    let soon = recipe("staging-before-production")?.replace("soak: 2h", "soak: 1s");
    apply(&shop, &soon).await?;
    shop.phase(&commit, "Succeeded").await.map(drop)
}

#[tokio::test]
async fn signed_commits_only() -> Result<()> {
    let shop = production("signers").await?;
    let keys = Keys { shop: &shop };
    let public = keys.make("alice")?;
    keys.trust(&format!("alice@example.com {public}")).await?;
    keys.verify("Warn").await?;
    apply(&shop, &recipe("signed-commits")?).await?;
    let alice = "Alice <alice@example.com>";
    shop.put("a.yaml", &map("a", "2"))?;
    let unsigned = shop.repo.publish("not signed", alice)?;
    let waits = shop.phase(&unsigned, "Waiting").await?;
    assert_eq!(gate(&waits, "Signatures")["decision"], "Closed", "{waits}");
    // One that is signed does not cover the one before it.
    shop.put("b.yaml", &map("b", "1"))?;
    let on_top = keys.signed_by("alice", alice, "signed, on top of it")?;
    shop.phase(&on_top, "Waiting").await?;
    shop.repo.git(&["reset", "-q", "--hard", "HEAD~2"])?;
    shop.put("a.yaml", &map("a", "3"))?;
    shop.repo
        .git(&["push", "-q", "--force", "origin", "HEAD~0:master"])?;
    let signed = keys.signed_by("alice", alice, "signed")?;
    shop.phase(&signed, "Succeeded").await.map(drop)
}
