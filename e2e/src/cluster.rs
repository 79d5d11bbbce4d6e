//! A Kubernetes cluster for tests: started here or an existing one. Owns its processes and clients, not what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};

use crate::control_plane::Layout;
use crate::error::{Error, Result};
use crate::metrics::RequestTotals;
use crate::process::Process;
use crate::{kubeconfig, paths, wait};

/// Longest time for any single command or part, so that a hung one fails with a name.
const PART_DEADLINE: Duration = Duration::from_secs(90);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the run folder under e2e/.run.
    pub name: String,
    /// The controller manager: garbage collection, namespaces, Deployments, default service accounts.
    pub controllers: bool,
    /// The scheduler; without it pods stay pending.
    pub scheduler: bool,
    /// This many fake nodes by kwok; 0 starts no kwok.
    pub nodes: usize,
    /// Leaves everything running when the harness ends.
    pub detached: bool,
}

impl Default for Options {
    /// Everything, with two fake nodes.
    fn default() -> Self {
        Self {
            name: "test".to_owned(),
            controllers: true,
            scheduler: true,
            nodes: 2,
            detached: false,
        }
    }
}

/// A running cluster; its processes end when it is dropped or the harness ends.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    server: String,
    ca: String,
    local: Option<Layout>,
    parts: Mutex<BTreeMap<&'static str, Process>>,
}

impl Cluster {
    /// Starts a cluster, or takes the existing one of `TIDEGATE_E2E_KUBECONFIG` (or of `KUBECONFIG` where
    /// `TIDEGATE_E2E_EXISTING=1`).
    ///
    /// # Errors
    /// When a tool is missing or a part does not become ready; the message holds the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        let dir = paths::new_run_dir(&options.name)?;
        if let Some(existing) = existing_kubeconfig() {
            return Self::existing(dir, &existing);
        }
        Self::start_in(dir, &options).await
    }

    /// Starts a local cluster with its files in `dir`.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_in(dir: PathBuf, options: &Options) -> Result<Self> {
        // Built (and waited for) before any deadline runs.
        for tool in ["etcd", "kube-apiserver", "kubectl", "kwok", "helm"] {
            paths::tool(tool)?;
        }
        let layout = Layout::new(dir.clone(), options.detached)?;
        let server = layout.server();
        let mut cluster = Self {
            dir,
            server,
            ca: String::new(),
            local: Some(layout.clone()),
            parts: Mutex::default(),
        };
        if let Err(error) = cluster.start_parts(&layout, options).await {
            // Detached parts do not end by being dropped, and half a cluster serves nobody.
            cluster.parts().values_mut().for_each(Process::kill);
            return Err(error);
        }
        Ok(cluster)
    }

    async fn start_parts(&mut self, layout: &Layout, options: &Options) -> Result<()> {
        let cluster = self;
        cluster.hold("etcd", layout.etcd()?);
        cluster.hold("kube-apiserver", layout.api_server()?);
        let ca = layout.ca();
        // The file is there before its text is; the key is written after it.
        let certificate = || async {
            let text = std::fs::read_to_string(&ca).map_err(|e| e.to_string())?;
            let whole =
                text.trim_end().ends_with("-----END CERTIFICATE-----") && ca.with_extension("key").exists();
            whole
                .then_some(text)
                .ok_or("a certificate half written".to_owned())
        };
        cluster.ca = match wait::until(PART_DEADLINE, "the API server's certificate", certificate).await {
            Ok(ca) => ca,
            Err(error) => return Err(cluster.blame("kube-apiserver", &error)),
        };
        kubeconfig::write(
            &cluster.admin_kubeconfig(),
            &cluster.server,
            &cluster.ca,
            &layout.token,
        )?;
        cluster.wait_api().await?;
        let admin = cluster.admin_kubeconfig();
        if options.controllers {
            cluster.hold("kube-controller-manager", layout.controller_manager(&admin)?);
        }
        if options.scheduler {
            cluster.hold("kube-scheduler", layout.scheduler(&admin)?);
        }
        if options.nodes > 0 {
            cluster.hold("kwok", layout.kwok(&admin)?);
            cluster.add_nodes(options.nodes).await?;
        }
        if options.controllers {
            cluster.wait_service_account("default", "default").await?;
        }
        Ok(())
    }

    /// One cluster for a whole test binary: started by the first caller, ended with the process. Tests keep apart by
    /// namespaces of their own ([`Cluster::namespace`]).
    ///
    /// # Errors
    /// As [`Cluster::start`]; each caller tries again.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: tokio::sync::OnceCell<Cluster> = tokio::sync::OnceCell::const_new();
        let name = std::env::current_exe().ok();
        let name = name
            .as_deref()
            .and_then(Path::file_stem)
            .map_or("test".into(), |n| n.to_string_lossy());
        let name = name.split('-').next().unwrap_or("test").to_owned();
        SHARED
            .get_or_try_init(|| {
                Self::start(Options {
                    name,
                    ..Options::default()
                })
            })
            .await
    }

    fn existing(dir: PathBuf, kubeconfig: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).map_err(Error::file(kubeconfig))?;
        let mut cluster = Self {
            dir,
            server: String::new(),
            ca: String::new(),
            local: None,
            parts: Mutex::default(),
        };
        kubeconfig::write_private(&cluster.admin_kubeconfig(), &text)?;
        let view = |path: &str| {
            let tool = paths::tool("kubectl")?;
            let mut command = std::process::Command::new(tool.program);
            let path = format!("jsonpath={{.clusters[0].cluster.{path}}}");
            command.args(["config", "view", "--raw", "--minify", "--flatten", "-o", &path]);
            crate::process::run(command.env("KUBECONFIG", cluster.admin_kubeconfig()))
        };
        let (server, ca) = (view("server")?, view("certificate-authority-data")?);
        let ca =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, ca.trim()).map_err(|e| {
                Error::Setup(format!(
                    "{}: certificate-authority-data: {e}",
                    kubeconfig.display()
                ))
            })?;
        cluster.server = server;
        cluster.ca = String::from_utf8_lossy(&ca).into_owned();
        Ok(cluster)
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<&'static str, Process>> {
        // A panic of another test while it held the lock leaves the map whole: only inserts and removals happen.
        self.parts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn hold(&self, part: &'static str, process: Process) {
        self.parts().insert(part, process);
    }

    fn blame(&self, part: &str, error: &Error) -> Error {
        match self.parts().get(part) {
            Some(process) => process.error(&error.to_string()),
            None => Error::Setup(format!("{part}: {error}")),
        }
    }

    /// True when this is not a cluster the harness started: parts cannot be stopped.
    #[must_use]
    pub fn is_existing(&self) -> bool {
        self.local.is_none()
    }

    /// The run folder, with the logs of each part.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address of the API server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Process ids of the parts, by name.
    #[must_use]
    pub fn pids(&self) -> BTreeMap<String, u32> {
        self.parts()
            .iter()
            .map(|(name, process)| ((*name).to_owned(), process.pid()))
            .collect()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Writes a kubeconfig that has this token and nothing more; its path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig_for_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("{name}.kubeconfig"));
        kubeconfig::write(&path, &self.server, &self.ca, token)?;
        Ok(path)
    }

    /// A client as administrator. Each call makes a new one: a client belongs to the runtime it was made in.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn kube_client(&self) -> Result<kube::Client> {
        client_of(&self.admin_kubeconfig()).await
    }

    /// Makes a namespace `<prefix>-<n>` no other test has, and waits for its default service account.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let generate_name = Some(format!("{prefix}-"));
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name,
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(self.kube_client().await?);
        let made = api
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(Error::api("create a namespace"))?;
        let name = made.metadata.name.unwrap_or_default();
        self.wait_service_account(&name, "default").await?;
        Ok(name)
    }

    async fn wait_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let api: Api<ServiceAccount> = Api::namespaced(self.kube_client().await?, namespace);
        let what = format!("ServiceAccount {namespace}/{name}");
        wait::until(PART_DEADLINE, &what, || async { api.get(name).await.map(drop) }).await
    }

    /// A token of a service account, by TokenRequest, valid for an hour.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let api: Api<ServiceAccount> = Api::namespaced(self.kube_client().await?, namespace);
        let spec = TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec,
            ..TokenRequest::default()
        };
        let what = format!("create a token of ServiceAccount {namespace}/{name}");
        let answer = api
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(Error::api(&what))?;
        let no_token = || Error::Api {
            what,
            message: "the answer holds no token".to_owned(),
        };
        answer
            .status
            .map(|status| status.token)
            .filter(|token| !token.is_empty())
            .ok_or_else(no_token)
    }

    /// The API server's own request counts.
    ///
    /// # Errors
    /// When `/metrics` cannot be read.
    pub async fn request_totals(&self) -> Result<RequestTotals> {
        let request = http::Request::get("/metrics").body(Vec::new());
        let request = request.map_err(|e| Error::Bug(format!("request of /metrics: {e}")))?;
        let text = self
            .kube_client()
            .await?
            .request_text(request)
            .await
            .map_err(Error::api("GET /metrics"))?;
        Ok(RequestTotals::parse(&text))
    }

    /// Runs kubectl as administrator; the output whatever its exit status.
    ///
    /// # Errors
    /// When it cannot be started or does not end within 3 minutes.
    pub async fn kubectl_output(&self, args: &[&str]) -> Result<Output> {
        self.command("kubectl", args).await
    }

    /// Runs kubectl as administrator; its stdout.
    ///
    /// # Errors
    /// When it fails; the message has its stderr.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        stdout_of("kubectl", args, &self.command("kubectl", args).await?)
    }

    /// Runs `kubectl apply --server-side -f -` on this text.
    ///
    /// # Errors
    /// When it fails; the message has its stderr.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = self.dir.join(format!("apply-{count}.yaml"));
        kubeconfig::write_private(&file, yaml)?;
        let result = self
            .kubectl(&[
                "apply",
                "--server-side",
                "--force-conflicts",
                "-f",
                &file.display().to_string(),
            ])
            .await;
        // Left behind it does no harm.
        drop(std::fs::remove_file(&file));
        result
    }

    /// Runs helm as administrator; its stdout.
    ///
    /// # Errors
    /// When it fails; the message has its stderr.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        stdout_of("helm", args, &self.command("helm", args).await?)
    }

    async fn command(&self, name: &str, args: &[&str]) -> Result<Output> {
        let tool = paths::tool(name)?;
        let home = self.dir.join("home");
        let mut command = tokio::process::Command::new(&tool.program);
        command
            .args(args)
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("HOME", &home);
        for variable in [
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "KUBECACHEDIR",
            "HELM_NAMESPACE",
        ] {
            command.env_remove(variable);
        }
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let limit = Duration::from_secs(180);
        let late = |_| Error::Timeout {
            what: format!("{name} {}", args.join(" ")),
            seconds: limit.as_secs(),
            last: "still running".to_owned(),
        };
        let started = tokio::time::timeout(limit, running).await.map_err(late)?;
        started.map_err(|source| Error::Start {
            program: tool.program.display().to_string(),
            source,
        })
    }

    pub(crate) fn layout(&self) -> Result<&Layout> {
        let other = || {
            Error::Setup(
                "an existing cluster's API server cannot be stopped; run this test locally".to_owned(),
            )
        };
        self.local.as_ref().ok_or_else(other)
    }

    /// Ends the API server at once, as a crash would.
    ///
    /// # Errors
    /// When the cluster is not the harness's own.
    pub fn stop_apiserver(&self) -> Result<()> {
        self.layout()?;
        if let Some(mut process) = self.parts().remove("kube-apiserver") {
            process.kill();
        }
        Ok(())
    }

    /// Starts the API server again on the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        let process = self.layout()?.api_server()?;
        self.hold("kube-apiserver", process);
        self.wait_api().await
    }

    /// Ends the API server and starts it again.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver()?;
        self.start_apiserver().await
    }

    async fn wait_api(&self) -> Result<()> {
        let client = self.kube_client().await?;
        let look = || async {
            let ended = self.parts().get_mut("kube-apiserver").and_then(Process::ended);
            if let Some(status) = ended {
                return Err(format!("it ended with {status}"));
            }
            let request = http::Request::get("/readyz")
                .body(Vec::new())
                .map_err(|e| e.to_string())?;
            client.request_text(request).await.map_err(|e| e.to_string())
        };
        let ready = wait::until(PART_DEADLINE, "the API server to be ready", look).await;
        ready
            .map(drop)
            .map_err(|error| self.blame("kube-apiserver", &error))
    }

    async fn add_nodes(&self, count: usize) -> Result<()> {
        let api: Api<Node> = Api::all(self.kube_client().await?);
        for number in 0..count {
            let name = format!("kwok-{number}");
            let node: Node = serde_json::from_value(serde_json::json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"type": "kwok", "kubernetes.io/hostname": name},
                             "annotations": {"kwok.x-k8s.io/node": "fake"}},
                "status": {"capacity": {"cpu": "64", "memory": "256Gi", "pods": "5000"},
                           "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "5000"}},
            }))
            .map_err(|e| Error::Bug(format!("the fake node: {e}")))?;
            api.create(&PostParams::default(), &node)
                .await
                .map_err(Error::api(&format!("create Node {name}")))?;
        }
        let look = || async {
            let node = api.get("kwok-0").await.map_err(|e| e.to_string())?;
            let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
            let ready = conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True");
            ready.then_some(()).ok_or(format!("conditions {conditions:?}"))
        };
        let ready = wait::until(PART_DEADLINE, "kwok's first node to be Ready", look).await;
        ready.map_err(|error| self.blame("kwok", &error))
    }

    /// Ends every part the harness started. Run folders stay for their logs and are swept later.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut parts = std::mem::take(&mut *self.parts());
        // Clients first, storage last, so that nobody fills a log complaining.
        for part in [
            "kwok",
            "kube-scheduler",
            "kube-controller-manager",
            "kube-apiserver",
            "etcd",
        ] {
            drop(parts.remove(part));
        }
    }
}

/// A client for one kubeconfig file, with deadlines.
///
/// # Errors
/// When the file cannot be used.
pub async fn client_of(kubeconfig: &Path) -> Result<kube::Client> {
    let what = format!("kubeconfig {}", kubeconfig.display());
    let file = kube::config::Kubeconfig::read_from(kubeconfig).map_err(Error::api(&what))?;
    let options = kube::config::KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(Error::api(&what))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(60));
    kube::Client::try_from(config).map_err(Error::api(&what))
}

fn stdout_of(name: &str, args: &[&str], output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command {
        command: format!("{name} {}", args.join(" ")),
        status: output.status.to_string(),
        stderr,
    })
}

fn existing_kubeconfig() -> Option<PathBuf> {
    let named = std::env::var_os("TIDEGATE_E2E_KUBECONFIG");
    let current =
        || std::env::var_os("KUBECONFIG").filter(|_| std::env::var_os("TIDEGATE_E2E_EXISTING").is_some());
    named.or_else(current).map(PathBuf::from)
}
