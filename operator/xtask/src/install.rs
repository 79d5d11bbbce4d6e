//! `manifests/install.yaml`: the chart with its default values, for people without helm.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::generated::HEADER;

/// helm renders this chart in well under a second.
const DEADLINE: Duration = Duration::from_secs(60);
/// Far above what the chart can render to.
const MAX_BYTES: usize = 4 << 20;
/// What the chart's kubeVersion asks for.
const MINIMUM_KUBERNETES: &str = "1.31.0";
const NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: tidegate-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
";

/// Renders the chart on disk. Fails when helm is missing, refuses the chart or takes too long.
pub(crate) fn manifest(root: &Path) -> Result<String, Error> {
    let helm = find_helm(root).ok_or(Error::NoHelm)?;
    let rendered = run(&helm, root)?;
    let rendered = without_helm_labels(&rendered);
    Ok(format!(
        "# {HEADER}\n# The chart in charts/tidegate with its default values. Install it with\n#   kubectl apply \
         --server-side -f manifests/install.yaml\n---\n{NAMESPACE}{rendered}"
    ))
}

/// helm's own bookkeeping has no place in a manifest that kubectl applies.
fn without_helm_labels(rendered: &str) -> String {
    let helm_only = ["app.kubernetes.io/managed-by: Helm", "helm.sh/chart:"];
    rendered
        .lines()
        .filter(|line| !helm_only.iter().any(|label| line.trim_start().starts_with(label)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// `TIDEGATE_HELM`, then the harness's own build, then the path.
fn find_helm(root: &Path) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("TIDEGATE_HELM") {
        return Some(PathBuf::from(named));
    }
    newest_in(&root.join("e2e/.cache/bin")).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("helm"))
            .find(|file| file.is_file())
    })
}

fn newest_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok())
        .filter(|entry| is_helm(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.pop()
}

/// `helm` or `helm-<version>`; not `helm-3.22.0.lock` or other things that lie beside it.
fn is_helm(name: &str) -> bool {
    let version = name.strip_prefix("helm-").unwrap_or("1").trim_start_matches('v');
    name.starts_with("helm") && version.chars().all(|c| c.is_ascii_digit() || c == '.') && name.len() < 24
}

/// Output goes to files, so that a full pipe cannot stop helm and the deadline holds.
fn run(helm: &Path, root: &Path) -> Result<String, Error> {
    let scratch = root.join("target/xtask");
    let (out, err) = (scratch.join("install.yaml"), scratch.join("helm.stderr"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File {
            action: "cannot write",
            path,
            source,
        }
    };
    fs::create_dir_all(&scratch).map_err(failed(&scratch))?;
    let mut command = Command::new(helm);
    command
        .args([
            "template",
            "tidegate",
            "charts/tidegate",
            "--namespace",
            "tidegate-system",
        ])
        // A helm built without release flags takes Kubernetes for 1.20 and refuses the chart.
        .args(["--kube-version", MINIMUM_KUBERNETES])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(File::create(&out).map_err(failed(&out))?)
        .stderr(File::create(&err).map_err(failed(&err))?);
    let outcome = wait(&mut command);
    if let Err(outcome) = outcome {
        let said = fs::read_to_string(&err).unwrap_or_default();
        let output = said.trim().chars().take(2000).collect();
        return Err(Error::Helm {
            command: format!("{command:?}"),
            outcome,
            output,
        });
    }
    let text = fs::read_to_string(&out).map_err(|source| Error::File {
        action: "cannot read",
        path: out,
        source,
    })?;
    if text.len() > MAX_BYTES {
        let outcome = format!("wrote {} bytes, more than {MAX_BYTES}", text.len());
        return Err(Error::Helm {
            command: format!("{command:?}"),
            outcome,
            output: String::new(),
        });
    }
    Ok(text)
}

fn wait(command: &mut Command) -> Result<(), String> {
    let mut child = command
        .spawn()
        .map_err(|cause| format!("did not start ({cause})"))?;
    let started = Instant::now();
    loop {
        match child
            .try_wait()
            .map_err(|cause| format!("cannot be waited for ({cause})"))?
        {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("ended with {status}")),
            None if started.elapsed() > DEADLINE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("took longer than {} s", DEADLINE.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_helm_binaries_are_taken_for_helm() {
        assert!(is_helm("helm") && is_helm("helm-3.22.0") && is_helm("helm-v3.22.0"));
        assert!(!is_helm("helm-3.22.0.lock") && !is_helm("helm-build") && !is_helm("kubectl"));
    }

    #[test]
    fn helm_bookkeeping_is_left_out() {
        let rendered = "labels:\n  app.kubernetes.io/name: tidegate\n  helm.sh/chart: tidegate-0.1.0\n  app.kubernetes.io/managed-by: Helm\n";
        assert_eq!(
            without_helm_labels(rendered),
            "labels:\n  app.kubernetes.io/name: tidegate\n"
        );
    }
}
