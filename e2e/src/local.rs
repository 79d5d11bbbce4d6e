//! The control plane `make cluster` leaves running. Owns e2e/.run/local, its pids and e2e/.run/kubeconfig.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Options};
use crate::error::{Error, Result};
use crate::operator::NAMESPACE;
use crate::{paths, process};

/// Where the kubeconfig of the local control plane is.
#[must_use]
pub fn kubeconfig() -> PathBuf {
    paths::run_root().join("kubeconfig")
}

fn dir() -> PathBuf {
    paths::run_root().join("local")
}

fn pid_file() -> PathBuf {
    paths::run_root().join("local.pids")
}

/// Starts a control plane that outlives this process, with the CRDs; one that runs already is kept.
///
/// # Errors
/// When a part does not start; then nothing is left running.
pub async fn up() -> Result<PathBuf> {
    let running = pids()
        .iter()
        .any(|(part, pid)| part == "kube-apiserver" && is_ours(*pid));
    if running && install_crds(&kubeconfig()).is_ok() {
        return Ok(kubeconfig());
    }
    down()?;
    let options = Options {
        name: "local".to_owned(),
        detached: true,
        ..Options::default()
    };
    let cluster = match Cluster::start_in(dir(), &options).await {
        Ok(cluster) => cluster,
        Err(error) => {
            down()?;
            return Err(error);
        }
    };
    let text: String = cluster
        .pids()
        .iter()
        .map(|(part, pid)| format!("{part} {pid}\n"))
        .collect();
    std::fs::write(pid_file(), text).map_err(Error::file(&pid_file()))?;
    std::fs::copy(cluster.admin_kubeconfig(), kubeconfig()).map_err(Error::file(&kubeconfig()))?;
    install_crds(&kubeconfig())?;
    Ok(kubeconfig())
}

/// Ends what [`up`] started and removes its data; nothing running is no error.
///
/// # Errors
/// When its files cannot be removed.
pub fn down() -> Result<()> {
    let mine: Vec<u32> = pids()
        .into_iter()
        .map(|(_, pid)| pid)
        .filter(|pid| is_ours(*pid))
        .collect();
    for pid in &mine {
        // It may end between the look and the signal.
        drop(process::signal(*pid, "TERM"));
    }
    let until = Instant::now() + Duration::from_secs(10);
    while mine.iter().any(|pid| is_ours(*pid)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    for pid in mine.iter().filter(|pid| is_ours(**pid)) {
        drop(process::signal(*pid, "KILL"));
    }
    for path in [pid_file(), kubeconfig()] {
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::file(&path))?;
        }
    }
    if dir().exists() {
        std::fs::remove_dir_all(dir()).map_err(Error::file(&dir()))?;
    }
    Ok(())
}

/// Applies crds/, waits until the API server serves the kinds, and makes the operator's namespace where missing: all
/// that `tidegate run` needs outside of a cluster.
///
/// # Errors
/// When kubectl fails; the message has its stderr.
pub fn install_crds(kubeconfig: &Path) -> Result<()> {
    let kubectl = paths::tool("kubectl")?.program;
    let crds = paths::root().join("crds").display().to_string();
    let run = |args: &[&str]| {
        let mut command = Command::new(&kubectl);
        command
            .env("KUBECONFIG", kubeconfig)
            .arg("--request-timeout=30s")
            .args(args);
        process::run(&mut command).map(drop)
    };
    run(&["apply", "--server-side", "--force-conflicts", "-f", &crds])?;
    run(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        &crds,
    ])?;
    run(&["get", "namespace", NAMESPACE]).or_else(|_| run(&["create", "namespace", NAMESPACE]))
}

fn pids() -> Vec<(String, u32)> {
    let text = std::fs::read_to_string(pid_file()).unwrap_or_default();
    let pair = |line: &str| {
        line.split_once(' ')
            .and_then(|(part, pid)| Some((part.to_owned(), pid.parse().ok()?)))
    };
    text.lines().filter_map(pair).collect()
}

/// True when the process runs with this cluster's folder or tools in its command line: pids come back after a reboot.
fn is_ours(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&dir().display().to_string())
}
