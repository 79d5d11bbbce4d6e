//! Signed commits: what a source brings and what it does not, with keys and signatures made by git and ssh-keygen.

use std::process::Command;

use serde_json::{Value, json};
use tidegate_e2e::{Error, Result};

use crate::stage::{ADA, Shop, condition, map, text};

/// People with SSH keys, and the Secret that lists some of them.
pub(crate) struct Keys<'a> {
    pub(crate) shop: &'a Shop,
}

impl Keys<'_> {
    /// Makes a key; its public half.
    pub(crate) fn make(&self, name: &str) -> Result<String> {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.file(name));
        let done = command
            .status()
            .map_err(|e| Error::Bug(format!("ssh-keygen: {e}")))?;
        assert!(done.success(), "ssh-keygen made no key");
        self.shop.repo.read(&format!(".git/key-{name}.pub"))
    }

    /// Where git does not look for what to commit.
    fn file(&self, name: &str) -> std::path::PathBuf {
        self.shop.repo.dir().join(format!(".git/key-{name}"))
    }

    /// Commits all changes, signed with a key, and pushes; the commit's id.
    fn signed(&self, key: &str, message: &str) -> Result<String> {
        self.signed_by(key, ADA, message)
    }

    /// As [`Keys::signed`], by that author.
    pub(crate) fn signed_by(&self, key: &str, author: &str, message: &str) -> Result<String> {
        let signing = format!("user.signingkey={}.pub", self.file(key).display());
        let repo = &self.shop.repo;
        repo.git(&["config", "gpg.format", "ssh"])?;
        repo.git(&["config", "commit.gpgsign", "true"])?;
        let (name, value) = signing.split_once('=').unwrap_or_default();
        repo.git(&["config", name, value])?;
        let commit = repo.publish(message, author);
        repo.git(&["config", "commit.gpgsign", "false"])?;
        commit
    }

    pub(crate) async fn trust(&self, allowed: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "signers", "namespace": self.shop.ns},
            "stringData": {"allowed_signers": allowed},
        });
        self.shop.cluster.apply(&secret.to_string()).await.map(drop)
    }

    pub(crate) async fn verify(&self, mode: &str) -> Result<()> {
        let patch = json!({"spec": {"verify": {"mode": mode, "secretRef": {"name": "signers"}}}});
        let args = [
            "patch",
            "gitrepositories.tidegate.io",
            "shop",
            "--type=merge",
            "-p",
        ];
        let patch = patch.to_string();
        self.shop
            .kubectl(&[&args[..], &[patch.as_str()]].concat())
            .await
            .map(drop)
    }

    /// Waits until the source is (not) ready for this reason; the source.
    async fn source(&self, status: &str, reason: &str) -> Result<Value> {
        let title = format!("Ready={status}, {reason}");
        let says = |repo: &Value| {
            let ready = condition(repo, "Ready");
            ready["status"] == status && ready["reason"] == reason
        };
        self.shop.until(&title, "gitrepositories/shop", says).await
    }

    /// Waits until the source shows that commit.
    async fn shows(&self, commit: &str) -> Result<Value> {
        let shows = |repo: &Value| repo["status"]["revision"]["commit"] == *commit;
        self.shop
            .until("shows the commit", "gitrepositories/shop", shows)
            .await
    }
}

#[tokio::test]
async fn strict_brings_signed_commits_only_and_says_what_it_refuses() -> Result<()> {
    let shop = Shop::open("signed").await?;
    let keys = Keys { shop: &shop };
    let (ada, eve) = (keys.make("ada")?, keys.make("eve")?);
    keys.trust(&format!("ada@example.com {ada}")).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let good = keys.signed("ada", "signed")?;
    shop.deploy("").await?;
    keys.verify("Strict").await?;
    shop.released(&good).await?;
    let signature = |repo: &Value| repo["status"]["revision"]["signature"].clone();
    let good_signature = |repo: &Value| signature(repo)["state"] == "Good";
    let repo = shop
        .until("a good signature", "gitrepositories/shop", good_signature)
        .await?;
    assert_eq!(signature(&repo)["identity"], "ada@example.com", "{repo}");
    assert!(text(&signature(&repo)["keyID"]).starts_with("SHA256:"), "{repo}");

    for (what, value, reason, words) in [
        ("unsigned", "2", "NotSigned", "is not signed"),
        (
            "foreign",
            "3",
            "SignatureUnknown",
            "which the keyring does not have",
        ),
        ("tampered", "4", "SignatureBad", "changed after it was signed"),
    ] {
        shop.put("a.yaml", &map("a", value))?;
        let bad = match what {
            "unsigned" => shop.push(what)?,
            "foreign" => keys.signed("eve", what)?,
            _ => {
                keys.signed("ada", what)?;
                tamper(&shop)?
            }
        };
        let repo = keys.source("False", reason).await?;
        let message = text(&condition(&repo, "Ready")["message"]);
        let short = bad.get(..8).unwrap_or_default();
        assert!(
            message.contains(words) && message.contains(short),
            "{what}: {message}"
        );
        assert!(
            message.contains("the source stays at master@"),
            "{what}: {message}"
        );
        assert_eq!(repo["status"]["revision"]["commit"], *good, "{what}: {repo}");
        shop.look_again().await?;
        let app = shop.get("applications/shop").await?;
        assert_eq!(app["status"]["lastAppliedRevision"], *good, "{what}: {app}");
        assert_eq!(shop.releases(&bad).await?.len(), 0, "{what}");
        assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "1", "{what}");
    }

    shop.put("a.yaml", &map("a", "5"))?;
    let signed = keys.signed("ada", "signed again")?;
    shop.released(&signed).await?;
    assert_eq!(shop.get("configmaps/a").await?["data"]["key"], "5");
    let release = shop.phase(&signed, "Succeeded").await?;
    let signer = &release["spec"]["revision"]["signer"];
    assert_eq!(
        (&signer["state"], &signer["identity"]),
        (&json!("Good"), &json!("ada@example.com"))
    );

    // The keyring is part of each poll: who is added may sign at once, who is taken out may not.
    shop.put("a.yaml", &map("a", "6"))?;
    let by_eve = keys.signed("eve", "by somebody new")?;
    keys.source("False", "SignatureUnknown").await?;
    keys.trust(&format!("*@example.com {eve}")).await?;
    shop.released(&by_eve).await?;
    keys.trust("nonsense").await?;
    let repo = keys.source("False", "InvalidKeyring").await?;
    let message = text(&condition(&repo, "Ready")["message"]);
    assert!(
        message.contains("allowed_signers") && message.contains("line 1"),
        "{message}"
    );
    shop.kubectl(&["delete", "secret", "signers"]).await?;
    keys.source("False", "SecretUnavailable").await.map(drop)
}

/// Rewrites the last commit with another tree under the same signature, and pushes it; its id.
fn tamper(shop: &Shop) -> Result<String> {
    let repo = &shop.repo;
    let old = repo.git(&["rev-parse", "HEAD^{tree}"])?;
    let before = repo.git(&["rev-parse", "HEAD~1^{tree}"])?;
    let raw = repo.git(&["cat-file", "commit", "HEAD"])?;
    repo.write(".git/tampered", &format!("{}\n", raw.replace(&old, &before)))?;
    let path = repo.dir().join(".git/tampered").display().to_string();
    let commit = repo.git(&["hash-object", "-w", "-t", "commit", &path])?;
    repo.git(&["reset", "--hard", "--quiet", &commit])?;
    repo.force_push()?;
    Ok(commit)
}

#[tokio::test]
async fn warn_brings_it_and_says_so() -> Result<()> {
    let shop = Shop::open("warned").await?;
    let keys = Keys { shop: &shop };
    let ada = keys.make("ada")?;
    keys.trust(&format!("ada@example.com {ada}")).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    shop.push("first")?;
    shop.deploy("").await?;
    keys.verify("Warn").await?;
    shop.put("a.yaml", &map("a", "2"))?;
    let unsigned = shop.push("unsigned")?;
    shop.released(&unsigned).await?;
    let repo = keys.shows(&unsigned).await?;
    assert_eq!(repo["status"]["revision"]["signature"]["state"], "None", "{repo}");
    let ready = condition(&repo, "Ready");
    assert_eq!(ready["status"], "True", "{repo}");
    assert!(
        text(&ready["message"]).contains("NotSigned: the commit is not signed"),
        "{ready}"
    );
    let release = shop.phase(&unsigned, "Succeeded").await?;
    assert_eq!(
        release["spec"]["revision"]["signer"]["state"], "None",
        "{release}"
    );
    shop.kubectl(&["delete", "secret", "signers"]).await?;
    let said = |repo: &Value| text(&condition(repo, "Ready")["message"]).contains("spec.verify.secretRef");
    let repo = shop
        .until("the missing Secret is said", "gitrepositories/shop", said)
        .await?;
    assert_eq!(
        repo["status"]["revision"]["signature"]["state"], "Unknown",
        "{repo}"
    );
    assert_eq!(condition(&repo, "Ready")["status"], "True", "{repo}");
    Ok(())
}

#[tokio::test]
async fn a_policy_holds_what_a_signed_merge_brings_unsigned() -> Result<()> {
    let shop = Shop::open("merged").await?;
    let keys = Keys { shop: &shop };
    let ada = keys.make("ada")?;
    keys.trust(&format!("ada@example.com {ada}")).await?;
    let policy = json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": "signed-commits", "namespace": shop.ns},
        "spec": {"signatures": {"required": true, "signers": [{"identity": "ada@example.com", "paths": ["deploy/**"]}]}},
    });
    shop.cluster.apply(&policy.to_string()).await?;
    shop.put("a.yaml", &map("a", "1"))?;
    let first = keys.signed("ada", "first")?;
    shop.deploy("").await?;
    keys.verify("Strict").await?;
    // The first commit has README.md, which nobody may change by this policy.
    shop.phase(&first, "Waiting").await?;
    let refused = |release: &Value| release["status"]["gates"][0]["reason"] == "SignerNotAllowed";
    shop.until("the signer is refused", "releases/shop-000001", refused)
        .await?;
    let whole = json!({"spec": {"signatures": {"signers": [{"identity": "ada@example.com"}]}}}).to_string();
    let args = [
        "patch",
        "releasepolicies.tidegate.io",
        "signed-commits",
        "--type=merge",
        "-p",
        &whole,
    ];
    shop.kubectl(&args).await?;
    shop.released(&first).await?;

    let repo = &shop.repo;
    repo.git(&["checkout", "--quiet", "-b", "side"])?;
    shop.put("b.yaml", &map("b", "1"))?;
    let side = repo.commit("unsigned on the side", "Bob <bob@example.com>")?;
    repo.git(&["checkout", "--quiet", "master"])?;
    let person = [
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.com",
        "-c",
        "commit.gpgsign=true",
    ];
    repo.git(
        &[
            &person[..],
            &["merge", "--quiet", "--no-ff", "-m", "merge", "side"],
        ]
        .concat(),
    )?;
    repo.push()?;
    let merge = repo.git(&["rev-parse", "HEAD"])?;
    let waits = shop.phase(&merge, "Waiting").await?;
    let message = text(&waits["status"]["display"]["message"]);
    let short = side.get(..8).unwrap_or_default();
    let want = format!("commit {short} by Bob changes deploy/b.yaml and is not signed");
    assert!(message.contains(&want), "{message}");
    assert_eq!(shop.get("configmaps/b").await?, Value::Null);

    repo.git(&["reset", "--hard", "--quiet", &first])?;
    shop.put("b.yaml", &map("b", "1"))?;
    repo.commit("the same, to be signed", ADA)?;
    repo.git(&[&person[..], &["commit", "--quiet", "--amend", "--no-edit", "-S"]].concat())?;
    repo.force_push()?;
    let signed = repo.git(&["rev-parse", "HEAD"])?;
    shop.released(&signed).await.map(drop)
}
