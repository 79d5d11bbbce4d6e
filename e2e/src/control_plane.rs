//! The flags of each real part. Owns how etcd, the API server, its companions and kwok are started; waits for nobody.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::kubeconfig::write_private;
use crate::paths::{self, Tool};
use crate::process::{Process, Start, free_port};

/// The files and ports of one local control plane.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) etcd_client: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api: u16,
    pub(crate) token: String,
    pub(crate) detached: bool,
}

impl Layout {
    /// Chooses ports, makes keys and the token of the administrator.
    pub(crate) fn new(dir: PathBuf, detached: bool) -> Result<Self> {
        for sub in ["api", "etcd", "controllers", "home"] {
            let path = dir.join(sub);
            std::fs::create_dir_all(&path).map_err(Error::file(&path))?;
        }
        let key = rcgen::KeyPair::generate()
            .map_err(|e| Error::Bug(format!("making a service-account key: {e}")))?;
        write_private(&dir.join("sa.key"), &key.serialize_pem())?;
        write_private(&dir.join("sa.pub"), &key.public_key_pem())?;
        let random = rcgen::KeyPair::generate().map_err(|e| Error::Bug(format!("making a token: {e}")))?;
        let token: String = random
            .serialize_der()
            .iter()
            .skip(36)
            .take(24)
            .map(|b| format!("{b:02x}"))
            .collect();
        write_private(
            &dir.join("tokens.csv"),
            &format!("{token},e2e-admin,e2e-admin,\"system:masters\"\n"),
        )?;
        write_private(&dir.join("audit.yaml"), crate::audit::POLICY)?;
        let (etcd_client, etcd_peer, api) = (free_port()?, free_port()?, free_port()?);
        Ok(Self {
            dir,
            etcd_client,
            etcd_peer,
            api,
            token,
            detached,
        })
    }

    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.api)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("api/apiserver.crt")
    }

    /// What the operator asked of the API server, a JSON object a line.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn start(&self, part: &str, tool: Tool, args: Vec<String>) -> Result<Process> {
        let log = self.dir.join(format!("{part}.log"));
        let args = tool.first.into_iter().chain(args).collect();
        let env = vec![("HOME".to_owned(), self.path("home"))];
        let start = Start {
            part: part.to_owned(),
            program: tool.program,
            args,
            env,
            log,
            detached: self.detached,
        };
        Process::start(start)
    }

    pub(crate) fn etcd(&self) -> Result<Process> {
        let (client, peer) = (
            format!("http://127.0.0.1:{}", self.etcd_client),
            format!("http://127.0.0.1:{}", self.etcd_peer),
        );
        let args = vec![
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", self.path("etcd/data")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--log-level=warn".to_owned(),
        ];
        self.start("etcd", paths::tool("etcd")?, args)
    }

    pub(crate) fn api_server(&self) -> Result<Process> {
        let args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_client),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.api),
            format!("--cert-dir={}", self.path("api")),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            format!("--audit-policy-file={}", self.path("audit.yaml")),
            format!("--audit-log-path={}", self.audit_log().display()),
            "--authorization-mode=RBAC".to_owned(),
            "--enable-admission-plugins=ServiceAccount".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            format!("--service-account-key-file={}", self.path("sa.pub")),
            format!("--service-account-signing-key-file={}", self.path("sa.key")),
            "--allow-privileged=true".to_owned(),
            "--shutdown-delay-duration=0s".to_owned(),
            "--profiling=false".to_owned(),
        ];
        self.start("kube-apiserver", paths::tool("kube-apiserver")?, args)
    }

    pub(crate) fn controller_manager(&self, kubeconfig: &Path) -> Result<Process> {
        let args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", free_port()?),
            format!("--cert-dir={}", self.path("controllers")),
            format!("--root-ca-file={}", self.ca().display()),
            format!("--service-account-private-key-file={}", self.path("sa.key")),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=400".to_owned(),
            "--kube-api-burst=800".to_owned(),
            "--profiling=false".to_owned(),
        ];
        self.start(
            "kube-controller-manager",
            paths::tool("kube-controller-manager")?,
            args,
        )
    }

    pub(crate) fn scheduler(&self, kubeconfig: &Path) -> Result<Process> {
        // The scheduler takes client limits and kubeconfig from its own file only when one is given.
        let args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", free_port()?),
            format!("--cert-dir={}", self.path("controllers")),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=400".to_owned(),
            "--kube-api-burst=800".to_owned(),
            "--profiling=false".to_owned(),
        ];
        self.start("kube-scheduler", paths::tool("kube-scheduler")?, args)
    }

    pub(crate) fn kwok(&self, kubeconfig: &Path) -> Result<Process> {
        let args = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!(
                "--config={}",
                paths::root().join("e2e/kwok/stages.yaml").display()
            ),
            "--manage-all-nodes=true".to_owned(),
            "--cidr=10.64.0.0/16".to_owned(),
            "--node-ip=10.63.0.1".to_owned(),
            // Renewed each quarter of it: the node controller calls a node lost after 50 s without.
            "--node-lease-duration-seconds=40".to_owned(),
            "--server-address=".to_owned(),
        ];
        self.start("kwok", paths::tool("kwok")?, args)
    }
}
