//! What a stranger reads of a release that waits, for each reason: with kubectl and with `tidegate explain`. Read the
//! snapshots as one.

use serde_json::{Value, json};
use tidegate_e2e::{Result, wait};

use crate::command::run;
use crate::output::{redacted, whenever};
use crate::stage::{STEP, Shop, deployment, map, text};

/// A policy all parts of which are closed, and will be whenever this runs.
fn closed(namespace: &str) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": "everything", "namespace": namespace},
        "spec": {
            "windows": [{"schedule": "0 9 29 2 *", "duration": "1m", "timeZone": "Europe/Berlin"}],
            "freeze": {"reason": "the fair", "until": "2199-01-01T00:00:00Z"},
            "approvals": {"required": 2, "groups": ["sre"], "unmappedAuthors": "Allow"},
            "after": [{"application": {"name": "shop-staging"}, "soak": "2h"}],
            "limits": {"maxChanges": 0},
            "signatures": {"required": true},
            "rules": [{"name": "no-latest", "expression": "plan.create < 1", "message": "nothing new this week"}],
            "overrides": {"gates": ["Windows", "Freeze"], "groups": ["release-managers"], "maxDuration": "4h"},
        },
    })
}

/// Waits until a Release says all that it has to say; `kubectl describe` and `tidegate explain` of it.
async fn told(shop: &Shop, release: &str, commits: &[String], gates: usize) -> Result<(String, String)> {
    let path = format!("releases/{release}");
    shop.until("every gate said", &path, |release| {
        let all = release["status"]["gates"].as_array();
        let how = release["status"]["gates"]
            .to_string()
            .contains("tidegate approve");
        release["status"]["phase"] == "Waiting" && all.map(Vec::len) == Some(gates) && (how || gates == 1)
    })
    .await?;
    let describe = ["describe", "--show-events=false", "releases.tidegate.io", release];
    let described = shop.kubectl(&describe).await?;
    let explained = run(shop, &["explain", release]).await?.ended(0).out;
    let plain = |text: &str| whenever(&redacted(text, shop, commits));
    Ok((plain(&described), plain(&explained)))
}

#[tokio::test]
async fn every_gate_says_what_opens_it() -> Result<()> {
    let shop = Shop::open("every").await?;
    shop.put("config.yaml", &map("config", "1"))?;
    let commit = shop.push("Open the shop")?;
    shop.cluster.apply(&closed(&shop.ns).to_string()).await?;
    shop.deploy("").await?;
    shop.phase(&commit, "Waiting").await?;
    let (described, explained) = told(&shop, "shop-000001", &[commit], 7).await?;
    insta::assert_snapshot!("describe_every_gate", described);
    insta::assert_snapshot!("explain_every_gate", explained);
    Ok(())
}

#[tokio::test]
async fn what_is_quarantined_names_the_culprit() -> Result<()> {
    let shop = Shop::open("culprit").await?;
    let policy = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "ReleasePolicy",
        "metadata": {"name": "careful", "namespace": shop.ns}, "spec": {"onFailure": {"action": "Rollback"}},
    });
    shop.cluster.apply(&policy.to_string()).await?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let first = shop.push("Open the shop")?;
    shop.deploy("").await?;
    shop.phase(&first, "Succeeded").await?;
    shop.put("web.yaml", &deployment("web", "CrashLoopBackOff"))?;
    let second = shop.push("It never starts")?;
    shop.phase(&second, "RolledBack").await?;
    shop.put("config.yaml", &map("config", "1"))?;
    let third = shop.push("Something else on top")?;
    let name = wait::until(STEP, "the release on top to wait", || async {
        let release = shop.phase(&third, "Waiting").await.map_err(|e| e.to_string())?;
        Ok::<_, String>(text(&release["metadata"]["name"]))
    })
    .await?;
    let (described, explained) = told(&shop, &name, &[first, second, third], 1).await?;
    insta::assert_snapshot!("describe_quarantined", without_pod(&described));
    insta::assert_snapshot!("explain_quarantined", without_pod(&explained));
    Ok(())
}

/// Pods have names of their own each time.
fn without_pod(text: &str) -> String {
    let words = |line: &str| {
        let word = |word: &str| {
            if word.starts_with("web-") {
                "<pod>".to_owned()
            } else {
                word.to_owned()
            }
        };
        let indent = line.len() - line.trim_start().len();
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        format!("{}{}", " ".repeat(indent), words.join(" "))
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}
