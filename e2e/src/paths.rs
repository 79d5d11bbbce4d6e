//! Where things are: the checkout, built tools, run folders. Owns every path; starts nothing but the tools build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder of everything a run leaves behind; git-ignored.
#[must_use]
pub fn run_root() -> PathBuf {
    root().join("e2e/.run")
}

/// Makes a run folder of its own for one cluster or server, after sweeping those of dead harnesses.
///
/// # Errors
/// When the folder cannot be made.
pub fn new_run_dir(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    sweep();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = run_root().join(format!("{name}.{}-{count}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(Error::file(&dir))?;
    Ok(dir)
}

/// Removes run folders `<name>.<pid>-<n>` whose process is gone; their children died with it (PDEATHSIG).
/// Those of the last hour stay, so that logs of a failed run can be read.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(run_root()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name
            .rsplit_once('.')
            .and_then(|(_, end)| end.split_once('-'))
            .map(|(pid, _)| pid)
        else {
            continue;
        };
        let dead = pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists();
        let age = entry
            .metadata()
            .and_then(|m| m.modified())
            .ok()
            .and_then(|t| t.elapsed().ok());
        if dead && age.is_some_and(|age| age.as_secs() > 3600) {
            // Another harness may sweep the same folder; nothing depends on who wins.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// Which Kubernetes the control plane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kubernetes {
    /// The newest one, which everything is tested on.
    Newest,
    /// The oldest one that is supported.
    Oldest,
}

impl Kubernetes {
    /// The one that `TIDEGATE_E2E_KUBERNETES` asks for, `newest` or `oldest`; the newest when it is not set.
    ///
    /// # Errors
    /// When it has another value.
    pub fn asked() -> Result<Self> {
        match std::env::var("TIDEGATE_E2E_KUBERNETES").as_deref() {
            Err(_) | Ok("" | "newest") => Ok(Self::Newest),
            Ok("oldest") => Ok(Self::Oldest),
            Ok(other) => Err(Error::Setup(format!(
                "TIDEGATE_E2E_KUBERNETES={other}: write newest or oldest"
            ))),
        }
    }

    /// Its version as the module file pins it, without a `v`.
    ///
    /// # Errors
    /// When the module file has none.
    pub fn version(self) -> Result<String> {
        let file = match self {
            Self::Newest => "kubernetes/go.mod",
            Self::Oldest => "kubernetes/oldest.mod",
        };
        pinned(file, "k8s.io/kubernetes")
            .ok_or_else(|| Error::Bug(format!("e2e/tools/{file} pins no version of k8s.io/kubernetes")))
    }

    /// What e2e/tools/build.sh calls it.
    fn control_plane(self) -> &'static str {
        match self {
            Self::Newest => "control-plane",
            Self::Oldest => "control-plane-oldest",
        }
    }
}

/// One program of the control plane or a client of it.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The binary.
    pub program: PathBuf,
    /// Arguments that come before any other; the parts of the control plane share one binary.
    pub first: Vec<String>,
}

/// Finds a tool (`etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubectl`, `kwok`, `helm`),
/// in `KUBEBUILDER_ASSETS` where that has it, and builds it otherwise.
///
/// # Errors
/// When it has to be built and Go is missing or the build fails, or `TIDEGATE_E2E_KUBERNETES` is nonsense.
pub fn tool(name: &str) -> Result<Tool> {
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") {
        let program = Path::new(&assets).join(name);
        if program.is_file() {
            return Ok(Tool {
                program,
                first: Vec::new(),
            });
        }
    }
    let (binary, first) = match name {
        "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" => {
            (Kubernetes::asked()?.control_plane(), vec![name.to_owned()])
        }
        other => (other, Vec::new()),
    };
    if let Some(program) = built(binary) {
        return Ok(Tool { program, first });
    }
    build(&[binary])?;
    let missing = || {
        Error::Bug(format!(
            "e2e/tools/build.sh {binary} ended well but left no binary in e2e/.cache/bin"
        ))
    };
    Ok(Tool {
        program: built(binary).ok_or_else(missing)?,
        first,
    })
}

/// Builds tools from e2e/tools; none named means all.
///
/// # Errors
/// When the script fails; its own words are on stderr already.
pub fn build(tools: &[&str]) -> Result<()> {
    let script = root().join("e2e/tools/build.sh");
    let status = Command::new(&script)
        .args(tools)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Start {
            program: script.display().to_string(),
            source,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "building {tools:?} with e2e/tools/build.sh ended with {status}; its output is above"
    )))
}

/// The built binary of the version go.mod pins. Reading go.mod here keeps an old binary from being taken for the new.
fn built(binary: &str) -> Option<PathBuf> {
    let (name, version) = match binary {
        "control-plane" | "kubectl" => (binary, Kubernetes::Newest.version().ok()?),
        "control-plane-oldest" => ("control-plane", Kubernetes::Oldest.version().ok()?),
        "etcd" => (binary, pinned("etcd/go.mod", "go.etcd.io/etcd/server/v3")?),
        "kwok" => (binary, pinned("kwok/go.mod", "sigs.k8s.io/kwok")?),
        "helm" => (binary, pinned("helm/go.mod", "helm.sh/helm/v3")?),
        _ => return None,
    };
    let path = root().join("e2e/.cache/bin").join(format!("{name}-{version}"));
    path.is_file().then_some(path)
}

/// The version of a module that a file under e2e/tools requires.
fn pinned(file: &str, package: &str) -> Option<String> {
    let text = std::fs::read_to_string(root().join("e2e/tools").join(file)).ok()?;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(words).find_map(|line| {
        let line = if line.first().is_some_and(|w| w == "require") {
            &line[1..]
        } else {
            &line[..]
        };
        match line {
            [name, version, ..] if name == package => version.strip_prefix('v').map(str::to_owned),
            _ => None,
        }
    })
}

/// The custom resources that the chart brings, as `plural.group`, by the files of crds/.
///
/// # Errors
/// When the folder cannot be read.
pub fn custom_resources() -> Result<Vec<String>> {
    let dir = root().join("crds");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(Error::file(&dir))? {
        let path = entry.map_err(Error::file(&dir))?.path();
        if let Some(plural) = path.file_stem() {
            names.push(format!("{}.tidegate.io", plural.display()));
        }
    }
    names.sort();
    Ok(names)
}
