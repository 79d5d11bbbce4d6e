//! What a person sees with kubectl, kept as text: read the snapshots as a stranger would.

use tidegate_e2e::Result;

use crate::command::run;
use crate::stage::{Shop, deployment, map};

/// Replaces what differs between runs: names of the namespace, addresses, hashes, times, ages.
pub(crate) fn redacted(text: &str, shop: &Shop, commits: &[String]) -> String {
    let mut text = text
        .replace(&shop.git.url("shop"), "http://git.example/shop.git")
        .replace(&shop.ns, "shop-ns");
    for (n, commit) in commits.iter().enumerate() {
        let long = format!("<commit {}>", n + 1);
        text = text.replace(commit.as_str(), &long);
        text = text.replace(commit.get(..8).unwrap_or(commit), &format!("commit-{}", n + 1));
    }
    let lines = text.lines().map(|line| {
        let words: Vec<String> = line.split_whitespace().map(|w| word(w, line)).collect();
        let indent = line.len() - line.trim_start().len();
        format!("{}{}", " ".repeat(indent), words.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn word(word: &str, line: &str) -> String {
    let digits = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_digit());
    let plain = word.trim_end_matches([',', '.']);
    let is_age = plain
        .trim_end_matches(['s', 'm', 'h'])
        .split(['h', 'm', '.'])
        .all(digits)
        && plain.ends_with(['s', 'm', 'h']);
    let is_time =
        plain.len() >= 20 && plain.contains("T") && plain.ends_with(['Z', '"']) && plain.contains(':');
    let hex = |w: &str| w.len() >= 12 && w.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let is_key =
        |key: &str| line.trim_start().starts_with(key) && !word.starts_with(key.trim_end_matches(':'));
    if is_age {
        "<time>".to_owned()
    } else if is_time || is_key("Resource Version:") && digits(word) {
        "<redacted>".to_owned()
    } else if word.starts_with("tgr1:") {
        "<record>".to_owned()
    } else if word.starts_with("ed25519:") {
        "<signature>".to_owned()
    } else if hex(word.trim_matches('"')) || word.starts_with("sha256:") || is_key("Digest:") {
        "<hash>".to_owned()
    } else {
        word.to_owned()
    }
}

#[tokio::test]
async fn kubectl_shows_what_a_stranger_needs() -> Result<()> {
    let shop = Shop::open("look").await?;
    shop.put("config.yaml", &map("config", "1"))?;
    shop.put("web.yaml", &deployment("web", ""))?;
    let first = shop.push("Open the shop")?;
    shop.deploy("").await?;
    shop.released(&first).await?;
    shop.phase(&first, "Succeeded").await?;
    let bad = deployment("web", "").replace("replicas: 2", "replicas: two");
    shop.put("web.yaml", &bad)?;
    let second = shop.push("Scale web")?;
    shop.phase(&second, "Denied").await?;
    shop.says("Ready", "False", "InvalidForSchema").await?;
    shop.until("the repository read", "gitrepositories/shop", |r| {
        r["status"]["revision"]["commit"] == *second
    })
    .await?;
    let commits = [first, second];

    let get = shop
        .kubectl(&[
            "get",
            "applications.tidegate.io,releases.tidegate.io,gitrepositories.tidegate.io",
        ])
        .await?;
    insta::assert_snapshot!("get", redacted(&get, &shop, &commits));
    let described = shop
        .kubectl(&[
            "describe",
            "--show-events=false",
            "applications.tidegate.io",
            "shop",
        ])
        .await?;
    insta::assert_snapshot!("describe_application", redacted(&described, &shop, &commits));
    let described = shop
        .kubectl(&[
            "describe",
            "--show-events=false",
            "releases.tidegate.io",
            "shop-000002",
        ])
        .await?;
    insta::assert_snapshot!("describe_release", redacted(&described, &shop, &commits));
    let described = shop
        .kubectl(&[
            "describe",
            "--show-events=false",
            "gitrepositories.tidegate.io",
            "shop",
        ])
        .await?;
    insta::assert_snapshot!("describe_gitrepository", redacted(&described, &shop, &commits));
    Ok(())
}

/// The next leap day is another one each time.
pub(crate) fn whenever(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("closed until ") {
        Some((before, _)) => format!("{before}closed until <a day>"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_release_that_waits_says_what_opens_it() -> Result<()> {
    let shop = Shop::open("held").await?;
    shop.put("config.yaml", &map("config", "1"))?;
    let commit = shop.push("Open the shop")?;
    shop.cluster
        .apply(&format!(
            "apiVersion: tidegate.io/v1alpha1\nkind: ReleasePolicy\nmetadata: {{name: leap-day, namespace: {}}}\nspec:\n  \
             windows: [{{schedule: \"0 9 29 2 *\", duration: 1m, timeZone: Europe/Berlin}}]\n",
            shop.ns
        ))
        .await?;
    shop.deploy("").await?;
    shop.phase(&commit, "Waiting").await?;
    let commits = [commit];
    let describe = [
        "describe",
        "--show-events=false",
        "releases.tidegate.io",
        "shop-000001",
    ];
    let described = shop.kubectl(&describe).await?;
    insta::assert_snapshot!(
        "describe_waiting",
        whenever(&redacted(&described, &shop, &commits))
    );
    let told = run(&shop, &["explain", "shop-000001"]).await?.ended(0).out;
    insta::assert_snapshot!("explain_waiting", whenever(&redacted(&told, &shop, &commits)));
    let folder = shop.repo.dir().join("deploy").display().to_string();
    let planned = run(&shop, &["plan", "shop", "--path", &folder]).await?.ended(0);
    planned
        .says("It would wait")
        .says("CLOSED     Windows (ReleasePolicy/leap-day)");
    Ok(())
}
