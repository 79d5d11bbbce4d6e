//! No false drift: in a cluster where autoscalers scale, controllers write status and labels, pods die and commits roll,
//! nothing that is nobody's edit is ever called a drift. About 20 seconds, or as long as `TIDEGATE_BUSY_SECONDS` says.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tidegate_e2e::{Error, Result};

use crate::stage::{Shop, condition, deployment, text};

/// Deployments; the first are autoscaled, by autoscalers of the commit and by others, half and half.
const WORKLOADS: usize = 12;
const AUTOSCALED: usize = 6;
/// Commits come this often.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

fn duration() -> Result<Duration> {
    let Ok(text) = std::env::var("TIDEGATE_BUSY_SECONDS") else {
        return Ok(Duration::from_secs(20));
    };
    let seconds = text
        .parse()
        .map_err(|e| Error::Setup(format!("TIDEGATE_BUSY_SECONDS={text}: {e}")))?;
    Ok(Duration::from_secs(seconds))
}

fn autoscaler(number: usize) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web-{number}}}\n\
         spec: {{minReplicas: 2, maxReplicas: 6, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web-{number}}}}}\n"
    )
}

/// What has quantities, defaults, generated fields and empty maps that the API server and controllers fill.
const OTHERS: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      securityContext: {}
      containers:
      - {name: store, image: 'example.com/store:1', resources: {requests: {cpu: 1000m, memory: 1024Mi}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: 'example.com/agent:1'}]}
---
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {selector: {app: store}, ports: [{port: 80}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: store}
spec: {minAvailable: 1, selector: {matchLabels: {app: store}}}
---
apiVersion: v1
kind: Secret
metadata: {name: store}
stringData: {password: plain}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: store}
spec: {hard: {count/configmaps: '1000', requests.cpu: 1000000m}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: store}
";

/// A picture of the set: the number of the commit is in the images of a third of the workloads and in a ConfigMap.
fn write(shop: &Shop, commit: usize) -> Result<()> {
    for number in 0..WORKLOADS {
        let mut text = deployment(&format!("web-{number}"), "");
        if number % 3 == commit % 3 {
            text = text.replace("example.com/web:1", &format!("example.com/web:{commit}"));
        }
        if number < AUTOSCALED && number % 2 == 0 {
            text = format!("{text}---\n{}", autoscaler(number));
        }
        shop.put(&format!("web-{number}.yaml"), &text)?;
    }
    shop.put("map.yaml", &crate::stage::map("state", &commit.to_string()))?;
    shop.put("others.yaml", OTHERS)
}

struct Churn<'a> {
    shop: &'a Shop,
    rounds: usize,
    scaled: usize,
    status: usize,
    labels: usize,
    killed: usize,
    restarts: usize,
}

impl Churn<'_> {
    async fn patch(&self, path: &str, manager: &str, content: &str, body: &Value) -> Result<()> {
        let path = format!("{path}?fieldManager={manager}");
        let content = format!("application/{content}");
        let sent = self.shop.send(Method::PATCH, path, content, body.to_string());
        sent.await.map(drop)
    }

    /// One of everything that goes on in a cluster. None of it is an edit of what git says.
    async fn round(&mut self) -> Result<()> {
        let round = self.rounds;
        self.rounds += 1;
        let apps = format!("/apis/apps/v1/namespaces/{}/deployments", self.shop.ns);
        let scaled = format!("{apps}/web-{}/scale", round % AUTOSCALED);
        let replicas = json!({"spec": {"replicas": 2 + round % 5}});
        self.patch(
            &scaled,
            "horizontal-pod-autoscaler",
            "merge-patch+json",
            &replicas,
        )
        .await?;
        self.scaled += 1;
        let any = format!("{apps}/web-{}", round % WORKLOADS);
        let now = jiff::Timestamp::now().to_string();
        let status = json!({"status": {"conditions": [
            {"type": "Churned", "status": "True", "reason": "Busy", "message": format!("round {round}"), "lastUpdateTime": now},
        ]}});
        self.patch(
            &format!("{any}/status"),
            "status-controller",
            "strategic-merge-patch+json",
            &status,
        )
        .await?;
        self.status += 1;
        let label = json!({"metadata": {
            "labels": {"controller.example.com/round": round.to_string()},
            "annotations": {"controller.example.com/seen": now},
        }});
        self.patch(&any, "some-controller", "merge-patch+json", &label)
            .await?;
        self.labels += 1;
        if round.is_multiple_of(7) {
            let restart = json!({"spec": {"template": {"metadata": {"annotations": {
                "kubectl.kubernetes.io/restartedAt": now,
            }}}}});
            self.patch(&any, "kubectl-rollout", "strategic-merge-patch+json", &restart)
                .await?;
            self.restarts += 1;
        }
        if round.is_multiple_of(5) {
            self.shop
                .kubectl(&["delete", "pods", "-l", "app=store", "--wait=false"])
                .await?;
            self.killed += 1;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_busy_cluster_has_no_drift() -> Result<()> {
    let (lasts, started) = (duration()?, Instant::now());
    let shop = Shop::open("busy").await?;
    write(&shop, 1)?;
    let mut commit = shop.push("one")?;
    for number in (1..AUTOSCALED).step_by(2) {
        let placed = format!("name: web-{number}, namespace: {}}}\nspec", shop.ns);
        let elsewhere = autoscaler(number).replacen(&format!("name: web-{number}}}\nspec"), &placed, 1);
        shop.cluster.apply(&elsewhere).await?;
    }
    shop.deploy("").await?;
    let applied = |commit: String| move |app: &Value| app["status"]["lastAppliedRevision"] == *commit;
    let app = shop
        .until(
            "the first commit is applied",
            "applications/shop",
            applied(commit.clone()),
        )
        .await?;
    let since = text(&condition(&app, "Drifted")["lastTransitionTime"]);
    let mut churn = Churn {
        shop: &shop,
        rounds: 0,
        scaled: 0,
        status: 0,
        labels: 0,
        killed: 0,
        restarts: 0,
    };
    let (mut commits, mut said) = (1, Vec::new());
    while started.elapsed() < lasts {
        churn.round().await?;
        let drifted = condition(&shop.get("applications/shop").await?, "Drifted");
        if drifted["status"] == "True" {
            said.push(drifted["message"].to_string());
        }
        if started.elapsed() > COMMIT_EVERY * u32::try_from(commits).unwrap_or(u32::MAX) {
            commits += 1;
            write(&shop, commits)?;
            commit = shop.push(&format!("commit {commits}"))?;
        }
    }
    shop.until("the last commit is applied", "applications/shop", applied(commit))
        .await?;
    shop.look_again().await?;
    let app = shop.get("applications/shop").await?;
    let drifted = condition(&app, "Drifted");
    assert_eq!(drifted["status"], "False", "{drifted}");
    let moment = text(&drifted["lastTransitionTime"]);
    assert_eq!(moment, since, "for a moment there was drift: {said:?}");
    assert_eq!(app["status"]["drift"]["count"], 0, "{}", app["status"]["drift"]);
    for number in AUTOSCALED..WORKLOADS {
        let web = shop.get(&format!("deployments/web-{number}")).await?;
        assert_eq!(web["spec"]["replicas"], 2, "web-{number}");
    }
    let Churn {
        rounds,
        scaled,
        status,
        labels,
        killed,
        restarts,
        ..
    } = churn;
    assert!(
        commits > 1 && scaled > 10,
        "it was not busy: {commits} commits, {scaled} scalings"
    );
    eprintln!(
        "busy for {} s: {rounds} rounds, {commits} commits, {scaled} scalings, {status} status writes, {labels} labels, \
         {restarts} restarts, {killed} kills; 0 drifts",
        started.elapsed().as_secs()
    );
    Ok(())
}
