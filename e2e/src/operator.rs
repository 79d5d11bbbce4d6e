//! The operator binary under test, run outside the cluster with the chart's service account and nothing more. Owns one
//! process and what it leaves in its folder.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::process::{Process, Start, free_port};
use crate::{paths, wait};

/// Namespace the chart is installed in.
pub const NAMESPACE: &str = "tidegate-system";
/// Service account the chart makes for release `tidegate`.
pub const SERVICE_ACCOUNT: &str = "tidegate";
/// Largest answer read from the operator's own HTTP port.
const HTTP_CAP: u64 = 8 << 20;

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells two operators of one cluster apart.
    pub name: String,
    /// A kubeconfig instead of the chart's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Where it keeps mirrors; a folder of the run by default, kept over restarts.
    pub cache_dir: Option<PathBuf>,
    /// Further arguments of `tidegate run`.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
}

impl Default for Options {
    /// One operator with the chart's service account.
    fn default() -> Self {
        Self {
            name: "operator".to_owned(),
            kubeconfig: None,
            cache_dir: None,
            args: Vec::new(),
            env: Vec::new(),
        }
    }
}

/// A running operator; killed when dropped.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    port: u16,
}

/// The operator's binary: `TIDEGATE_BIN`, or the one cargo built beside the running test or tool.
///
/// # Errors
/// When there is none yet.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TIDEGATE_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().unwrap_or_default();
    let mut tried = Vec::new();
    for folder in own.ancestors().skip(1).take(2) {
        let path = folder.join("tidegate");
        if path.is_file() {
            return Ok(path);
        }
        tried.push(path.display().to_string());
    }
    let tried = tried.join(" and ");
    Err(Error::Setup(format!(
        "no operator binary at {tried}: cargo build -p tidegate-operator, or set TIDEGATE_BIN"
    )))
}

impl Operator {
    /// Starts it. The chart must be installed (`Cluster::helm_install_chart`) unless a kubeconfig is given.
    ///
    /// # Errors
    /// When the binary is missing or no token can be had. Does not wait: see [`Operator::wait_ready`].
    pub async fn start(cluster: &Cluster, options: Options) -> Result<Self> {
        let kubeconfig = match options.kubeconfig {
            Some(path) => path,
            None => {
                let token = cluster.service_account_token(NAMESPACE, SERVICE_ACCOUNT).await?;
                cluster.kubeconfig_for_token(&options.name, &token)?
            }
        };
        let port = free_port()?;
        let cache = options
            .cache_dir
            .unwrap_or_else(|| cluster.dir().join(format!("{}-cache", options.name)));
        let mut args = vec!["run".to_owned()];
        let mut add = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
        add("--kubeconfig", kubeconfig.display().to_string());
        add("--namespace", NAMESPACE.to_owned());
        // The same name after a restart takes the lease over at once, as a restarted container of a pod does.
        if !options.args.iter().any(|arg| arg == "--identity") {
            add("--identity", options.name.clone());
        }
        add("--cache-dir", cache.display().to_string());
        add("--http-addr", format!("127.0.0.1:{port}"));
        add("--log-format", "text".to_owned());
        args.extend(options.args);
        let log = cluster.dir().join(format!("{}.log", options.name));
        let env = options.env;
        let process = Process::start(Start {
            part: options.name,
            program: binary()?,
            args,
            env,
            log,
            detached: false,
        })?;
        Ok(Self { process, port })
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends or is not ready in time; with the end of its log.
    pub async fn wait_ready(&mut self, deadline: Duration) -> Result<()> {
        let port = self.port;
        let process = std::sync::Mutex::new(&mut self.process);
        let look = || async {
            let ended = process.lock().ok().and_then(|mut p| p.ended());
            match ended {
                Some(status) => Err(format!("it ended with {status}")),
                None => get(port, "/readyz").await.map_err(|e| e.to_string()),
            }
        };
        let ready = wait::until(deadline, "the operator to be ready", look).await;
        ready
            .map(drop)
            .map_err(|error| self.process.error(&error.to_string()))
    }

    /// Kills it at once, as the kernel or a node failure would.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to end and waits up to 30 seconds.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn sigterm(&mut self) -> Result<ExitStatus> {
        self.process.terminate(Duration::from_secs(30))
    }

    /// Stops it in its tracks: its lease runs out while it still believes to hold it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn sigstop(&self) -> Result<()> {
        self.process.signal("STOP")
    }

    /// Lets a stopped one go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn sigcont(&self) -> Result<()> {
        self.process.signal("CONT")
    }

    /// Starts it again with the same flags, folder and port; one that still runs is killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = Process::start(self.process.how().clone())?;
        Ok(())
    }

    /// The exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything it logged, restarts included; at most the last 4 MiB.
    #[must_use]
    pub fn logs(&self) -> String {
        crate::process::tail(self.process.log(), 4 << 20)
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.http("/metrics").await
    }

    /// The body of a 200 answer to a GET on its HTTP port.
    ///
    /// # Errors
    /// When it does not answer 200 within 5 seconds.
    pub async fn http(&self, path: &str) -> Result<String> {
        get(self.port, path).await
    }

    /// An error about it, with the end of its log.
    #[must_use]
    pub fn error(&self, message: &str) -> Error {
        self.process.error(message)
    }
}

/// Makes the operator's binary known to be there before a cluster is started for it.
///
/// # Errors
/// As [`binary`].
pub fn require_binary() -> Result<()> {
    let path = binary()?;
    path.is_file().then_some(()).ok_or_else(|| {
        let root = paths::root();
        Error::Setup(format!(
            "{} is no file (in {}); build tidegate-operator first",
            path.display(),
            root.display()
        ))
    })
}

/// A GET by HTTP/1.0 on loopback: no client library is worth it here.
async fn get(port: u16, path: &str) -> Result<String> {
    let what = format!("GET http://127.0.0.1:{port}{path}");
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(HTTP_CAP).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange).await;
    let answer = answer.map_err(|_| Error::Api {
        what: what.clone(),
        message: "no answer in 5 s".to_owned(),
    })?;
    let answer = answer.map_err(Error::api(&what))?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or("").to_owned();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(body.to_owned());
    }
    Err(Error::Api {
        what,
        message: format!("{status}: {}", body.trim()),
    })
}
