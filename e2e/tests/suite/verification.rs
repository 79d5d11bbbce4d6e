//! `verification` of a policy: a release is good only when what is measured stays good. The servers that are asked run in
//! the test, on loopback, which the operator under test is told to allow.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tidegate_e2e::{Error, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{Shop, condition, deployment, map, text};

/// A server whose answers the test sets, to whatever is asked.
struct Answers {
    port: u16,
    now: Arc<Mutex<Answer>>,
}

#[derive(Clone)]
struct Answer {
    status: &'static str,
    body: String,
    asked: Vec<String>,
}

impl Answers {
    async fn start(status: &'static str, body: String) -> Result<Self> {
        let told = |what: &str, error: std::io::Error| Error::Bug(format!("{what}: {error}"));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|e| told("listen", e))?;
        let port = listener.local_addr().map_err(|e| told("address", e))?.port();
        let now = Arc::new(Mutex::new(Answer {
            status,
            body,
            asked: Vec::new(),
        }));
        let answers = now.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answers = answers.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        request.push(byte);
                    }
                    let line = String::from_utf8_lossy(&request);
                    let line = line.lines().next().unwrap_or_default().to_owned();
                    let Answer { status, body, .. } = {
                        let mut now = answers.lock().unwrap_or_else(PoisonError::into_inner);
                        now.asked.push(line);
                        now.clone()
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(body.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Ok(Self { port, now })
    }

    fn set(&self, status: &'static str, body: String) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.status = status;
        now.body = body;
    }

    fn asked(&self) -> Vec<String> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.asked.clone()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// What a Prometheus server says of one series.
fn value(value: &str) -> String {
    json!({"status": "success", "data": {"resultType": "vector",
        "result": [{"metric": {}, "value": [1_700_000_000.5, value]}]}})
    .to_string()
}

async fn demand(shop: &Shop, verification: &Value) -> Result<()> {
    let policy = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "ReleasePolicy",
        "metadata": {"name": "verified", "namespace": shop.ns},
        "spec": {"verification": verification, "onFailure": {"action": "Hold", "quarantine": false}},
    });
    shop.cluster.apply(&policy.to_string()).await.map(drop)
}

#[tokio::test]
async fn a_release_is_good_when_what_is_measured_stays_good_for_its_time() -> Result<()> {
    let shop = Shop::open("measured").await?;
    let metrics = Answers::start("200 OK", value("0.07")).await?;
    let page = Answers::start("500 Internal Server Error", String::new()).await?;
    demand(
        &shop,
        &json!({
            "stableFor": "2s", "timeout": "5m",
            "metrics": [{"prometheus": {"address": metrics.url(), "query": "errors{app=\"$application\"}"}, "max": "0.01"}],
            "http": [{"url": format!("{}/health?token=s3cret", page.url())}],
        }),
    )
    .await?;
    shop.put(
        "all.yaml",
        &format!("{}---\n{}", map("m", "1"), deployment("web", "")),
    )?;
    let first = shop.push("first")?;
    shop.deploy("").await?;
    let release = shop.phase(&first, "Verifying").await?;
    let name = text(&release["metadata"]["name"]);
    let both = |release: &Value| {
        let message = text(&release["status"]["display"]["message"]);
        message.contains("errors{app=\"shop\"}: 0.07, at most 0.01")
            && message.contains("/health: 500, expected 200")
    };
    let path = format!("releases/{name}");
    let release = shop.until("both checks are bad", &path, both).await?;
    assert!(!release.to_string().contains("s3cret"), "{release}");
    page.set("200 OK", String::new());
    let one = |release: &Value| {
        let message = text(&release["status"]["display"]["message"]);
        message.contains("0.07, at most 0.01") && !message.contains("/health")
    };
    shop.until("one check is bad", &path, one).await?;
    metrics.set("200 OK", value("0.002"));
    shop.released(&first).await?;
    let release = shop.phase(&first, "Succeeded").await?;
    let time = |what: &str| {
        text(&release["status"]["times"][what])
            .parse::<jiff::Timestamp>()
            .ok()
    };
    assert!(time("applied") < time("healthy"), "{release}");
    let asked = metrics.asked();
    assert!(
        asked
            .iter()
            .any(|line| line.contains("/api/v1/query?query=errors")),
        "{asked:?}"
    );
    Ok(())
}

#[tokio::test]
async fn checks_that_do_not_hold_in_time_fail_the_release_until_somebody_asks_again() -> Result<()> {
    let shop = Shop::open("unmeasured").await?;
    let page = Answers::start("302 Found", String::new()).await?;
    demand(&shop, &json!({"timeout": "1s", "http": [{"url": page.url()}]})).await?;
    shop.put("map.yaml", &map("m", "1"))?;
    let first = shop.push("first")?;
    shop.deploy("").await?;
    let release = shop.phase(&first, "Failed").await?;
    let message = text(&release["status"]["display"]["message"]);
    assert!(
        message.contains("302, expected 200"),
        "a redirect is not followed: {message}"
    );
    let app = shop.says("Synced", "False", "VerificationFailed").await?;
    assert_eq!(condition(&app, "Ready")["status"], "False", "{app}");
    assert_eq!(
        condition(&app, "Stalled")["reason"],
        "VerificationFailed",
        "{app}"
    );
    assert_eq!(
        shop.releases("").await?.len(),
        1,
        "it is not tried again by itself"
    );

    page.set("200 OK", String::new());
    shop.look_again().await?;
    shop.says("Ready", "True", "Succeeded").await?;
    shop.phase(&first, "Succeeded").await?;
    assert_eq!(shop.releases("").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_address_that_the_platform_team_does_not_allow_is_never_asked() -> Result<()> {
    let shop = Shop::open("refused").await?;
    let page = Answers::start("200 OK", String::new()).await?;
    // Loopback is allowed to this operator by its range, other addresses are not; `localhost` is looked up and checked.
    demand(
        &shop,
        &json!({"timeout": "1s", "http": [
            {"url": "http://169.254.169.254/latest/meta-data/"},
            {"url": format!("http://localhost:{}/", page.port)},
        ]}),
    )
    .await?;
    shop.put("map.yaml", &map("m", "1"))?;
    let first = shop.push("first")?;
    shop.deploy("").await?;
    let release = shop.phase(&first, "Failed").await?;
    let message = text(&release["status"]["display"]["message"]);
    assert!(
        message.contains("169.254.169.254 may not be asked") && message.contains("allowedAddresses"),
        "{message}"
    );
    assert!(!message.contains("localhost"), "{message}");
    assert!(!page.asked().is_empty());
    Ok(())
}
