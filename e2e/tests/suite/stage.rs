//! What every test stands on: a namespace, a git repository and the objects in the cluster. Owns no expectations.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::operator::{self, Operator};
use tidegate_e2e::{Cluster, Error, GitServer, Options, Result, TestRepo, wait};
use tokio::sync::{Mutex, OnceCell};

/// Longest any single step may take; generous, since slow machines run four tests side by side.
pub(crate) const STEP: Duration = Duration::from_secs(60);
/// Author of the commits.
pub(crate) const ADA: &str = "Ada Byron <ada@example.com>";

/// A cluster with the chart installed.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    operator: Mutex<Option<Operator>>,
}

async fn install(name: &str) -> Result<World> {
    operator::require_binary()?;
    let cluster = Cluster::start(Options {
        name: name.to_owned(),
        ..Options::default()
    })
    .await?;
    cluster.helm_install_chart(&["replicaCount=0"]).await?;
    Ok(World {
        cluster,
        operator: Mutex::new(None),
    })
}

/// The shared cluster, with one operator running.
pub(crate) async fn world() -> Result<&'static World> {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_try_init(|| async {
            let world = install("suite").await?;
            let options = operator::Options {
                // The servers that checks of policies ask are in the tests.
                args: vec!["--check-addresses".to_owned(), "127.0.0.0/8".to_owned()],
                ..operator::Options::default()
            };
            let mut operator = Operator::start(&world.cluster, options).await?;
            operator.wait_ready(STEP).await?;
            *world.operator.lock().await = Some(operator);
            Ok(world)
        })
        .await
}

/// A second cluster for tests that kill things; they start operators of their own, one test at a time.
pub(crate) async fn fragile() -> Result<(&'static World, tokio::sync::MutexGuard<'static, Option<Operator>>)>
{
    static FRAGILE: OnceCell<World> = OnceCell::const_new();
    let world = FRAGILE.get_or_try_init(|| install("faults")).await?;
    Ok((world, world.operator.lock().await))
}

/// One repository, one namespace.
pub(crate) struct Shop {
    pub(crate) cluster: &'static Cluster,
    pub(crate) git: GitServer,
    pub(crate) repo: TestRepo,
    pub(crate) ns: String,
    client: kube::Client,
}

impl Shop {
    /// In the shared cluster.
    pub(crate) async fn open(prefix: &str) -> Result<Self> {
        Self::open_in(&world().await?.cluster, prefix).await
    }

    /// In any cluster.
    pub(crate) async fn open_in(cluster: &'static Cluster, prefix: &str) -> Result<Self> {
        let ns = cluster.namespace(prefix).await?;
        let dir = cluster.dir().join(&ns);
        let git = GitServer::start(&dir.join("repos"))?;
        git.create("shop")?;
        let repo = TestRepo::new(&dir.join("work"), &git.url("shop"))?;
        repo.write("README.md", "not under deploy/\n")?;
        let client = cluster.kube_client().await?;
        Ok(Self {
            cluster,
            git,
            repo,
            ns,
            client,
        })
    }

    /// The bare repository's folder, as the git host sees it.
    pub(crate) fn bare(&self) -> std::path::PathBuf {
        let repos = self.repo.dir().parent().unwrap_or(Path::new("."));
        repos.join("repos/shop.git")
    }

    /// Writes a file under deploy/.
    pub(crate) fn put(&self, file: &str, text: &str) -> Result<()> {
        self.repo.write(&format!("deploy/{file}"), text)
    }

    /// Removes a file under deploy/.
    pub(crate) fn cut(&self, file: &str) -> Result<()> {
        self.repo.remove(&format!("deploy/{file}"))
    }

    /// Commits and pushes; the commit's id.
    pub(crate) fn push(&self, message: &str) -> Result<String> {
        self.repo.publish(message, ADA)
    }

    /// Makes the GitRepository, and the Application `shop` with these further fields of its spec.
    pub(crate) async fn deploy(&self, spec: &str) -> Result<()> {
        self.deploy_as("shop", "./deploy", spec).await
    }

    /// As [`Shop::deploy`], under another name and path.
    pub(crate) async fn deploy_as(&self, name: &str, path: &str, spec: &str) -> Result<()> {
        let (ns, url) = (&self.ns, self.git.url("shop"));
        let spec = if spec.is_empty() {
            String::new()
        } else {
            format!(", {spec}")
        };
        self.cluster
            .apply(&format!(
                "apiVersion: tidegate.io/v1alpha1\nkind: GitRepository\nmetadata: {{name: shop, namespace: {ns}}}\n\
                 spec: {{url: \"{url}\", interval: 1s}}\n---\n\
                 apiVersion: tidegate.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: {ns}}}\n\
                 spec: {{source: {{name: shop, path: {path}}}, target: {{namespace: {ns}}}{spec}}}\n"
            ))
            .await
            .map(drop)
    }

    /// Merges this into the Application's manifest, as a person would with kubectl.
    pub(crate) async fn patch_app(&self, name: &str, patch: &Value) -> Result<()> {
        self.kubectl(&[
            "patch",
            "applications.tidegate.io",
            name,
            "--type=merge",
            "-p",
            &patch.to_string(),
        ])
        .await
        .map(drop)
    }

    /// kubectl in the namespace.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["-n", self.ns.as_str()];
        all.extend(args);
        self.cluster.kubectl(&all).await
    }

    /// Reads `<prefix>/namespaces/<ns>/<what>`; null when there is none. `what` is `deployments/web` or `releases`.
    pub(crate) async fn get(&self, what: &str) -> Result<Value> {
        let plural = what.split('/').next().unwrap_or_default();
        let prefix = match plural {
            "deployments" | "statefulsets" => "/apis/apps/v1",
            "jobs" => "/apis/batch/v1",
            "applications" | "releases" | "gitrepositories" | "inventories" => "/apis/tidegate.io/v1alpha1",
            _ => "/api/v1",
        };
        self.read(&format!("{prefix}/namespaces/{}/{what}", self.ns))
            .await
    }

    /// Reads any path of the API; null when there is nothing.
    pub(crate) async fn read(&self, path: &str) -> Result<Value> {
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|e| Error::Bug(format!("request of {path}: {e}")))?;
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Value::Null),
            Err(error) => Err(Error::Api {
                what: format!("GET {path}"),
                message: error.to_string(),
            }),
        }
    }

    /// Sends a request with a body of this type, as administrator; the answer.
    pub(crate) async fn send(
        &self,
        method: http::Method,
        path: String,
        content_type: String,
        body: String,
    ) -> Result<Value> {
        let what = format!("{method} {path}");
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body.into_bytes())
            .map_err(|e| Error::Bug(format!("{what}: {e}")))?;
        self.client.request(request).await.map_err(|error| Error::Api {
            what,
            message: error.to_string(),
        })
    }

    /// Waits until what is at `path` (see [`Shop::get`]) satisfies `ok`; the value.
    pub(crate) async fn until(&self, what: &str, path: &str, ok: impl Fn(&Value) -> bool) -> Result<Value> {
        let ok = &ok;
        let title = format!("{} {path}: {what}", self.ns);
        let found = wait::until(STEP, &title, || async move {
            let value = self.get(path).await.map_err(|e| e.to_string())?;
            if ok(&value) {
                return Ok(value);
            }
            let status = value.get("status").unwrap_or(&value).to_string();
            Err(status.chars().take(1500).collect::<String>())
        });
        found.await
    }

    /// Waits until `shop` is Ready with this commit.
    pub(crate) async fn released(&self, commit: &str) -> Result<Value> {
        let short = commit.get(..8).unwrap_or(commit);
        self.until(&format!("commit {short} released"), "applications/shop", |app| {
            app["status"]["lastAppliedRevision"] == *commit
                && app["status"]["observedGeneration"] == app["metadata"]["generation"]
                && condition(app, "Ready")["status"] == "True"
        })
        .await
    }

    /// Waits until a condition of `shop` has this status and reason; the Application.
    pub(crate) async fn says(&self, kind: &str, status: &str, reason: &str) -> Result<Value> {
        self.until(
            &format!("{kind}={status}, reason {reason}"),
            "applications/shop",
            |app| {
                let found = condition(app, kind);
                found["status"] == status && found["reason"] == reason
            },
        )
        .await
    }

    /// The Releases of one commit, in order of their numbers.
    pub(crate) async fn releases(&self, commit: &str) -> Result<Vec<Value>> {
        let list = self.get("releases").await?;
        let mut found: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
        found.retain(|r| commit.is_empty() || r["spec"]["revision"]["commit"] == *commit);
        found.sort_by_key(|r| r["spec"]["sequence"].as_i64());
        Ok(found)
    }

    /// Waits until the last Release of a commit is in this phase; the Release.
    pub(crate) async fn phase(&self, commit: &str, phase: &str) -> Result<Value> {
        let title = format!("{} release of {commit} to be {phase}", self.ns);
        wait::until(STEP, &title, || async {
            let all = self.releases(commit).await.map_err(|e| e.to_string())?;
            let last = all.last().cloned().unwrap_or_default();
            if last["status"]["phase"] == phase {
                return Ok(last);
            }
            Err(last["status"].to_string())
        })
        .await
    }

    /// Waits until the operator has looked again, because it was asked to: nothing that was due is left undone.
    pub(crate) async fn look_again(&self) -> Result<()> {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let token = format!(
            "look-{}",
            COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        );
        self.patch_app(
            "shop",
            &json!({"metadata": {"annotations": {"tidegate.io/requestedAt": token}}}),
        )
        .await?;
        self.until("requestedAt answered", "applications/shop", |app| {
            app["status"]["lastHandledRequestedAt"] == *token
        })
        .await
        .map(drop)
    }
}

/// One condition of an object; null when it has none of that type.
pub(crate) fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array();
    let found = all.and_then(|all| all.iter().find(|c| c["type"] == kind));
    found.cloned().unwrap_or_default()
}

/// A string inside a value, empty when there is none.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A ConfigMap with one key.
pub(crate) fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: \"{value}\"}}\n")
}

/// A Deployment of two pods that kwok runs; `fail` names the reason its containers wait for, empty for none.
pub(crate) fn deployment(name: &str, fail: &str) -> String {
    let fail = match fail {
        "" => String::new(),
        reason => format!("e2e.tidegate.io/fail: {reason}"),
    };
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n      \
         annotations: {{{fail}}}\n    spec:\n      containers: [{{name: web, image: 'example.com/web:1'}}]\n"
    )
}
