//! From a commit to an admitted set: read, render, check.

use std::sync::Arc;
use std::time::Instant;

use tidegate_api::Application;
use tidegate_core::admit::{Context, admit};
use tidegate_core::desired::{RawObject, Rendered};
use tidegate_core::object::split_api_version;
use tidegate_core::ownership::Owner;
use tidegate_core::problem::Problem;
use tidegate_git::{Class, EntryKind as GitKind, Remote, Snapshot};
use tidegate_render::{EntryKind, Selection, SourceEntry, SourceFile, ignore_file, select};

use crate::state::Operator;
use crate::target::Site;

/// Why there is no desired set.
pub(crate) enum Refusal {
    /// The commit is at fault; nothing helps but another one, or an edit of the Application.
    Inadmissible(Vec<Problem>),
    /// Something failed on the way.
    Failed {
        reason: &'static str,
        message: String,
        stalled: bool,
    },
}

impl From<tidegate_git::Error> for Refusal {
    fn from(error: tidegate_git::Error) -> Self {
        let stalled = error.class() == Class::Terminal;
        Self::Failed {
            reason: error.reason(),
            message: error.to_string(),
            stalled,
        }
    }
}

/// Makes the set of one commit. An empty set is refused: it would delete everything.
pub(crate) async fn desired(
    operator: &Operator,
    target: &Site,
    app: &Application,
    owner: &Owner,
    remote: &Remote,
    commit: &str,
) -> Result<Arc<Rendered>, Refusal> {
    let started = Instant::now();
    let snapshot = operator
        .git
        .snapshot(remote, commit, &app.spec.source.path)
        .await?;
    let files = files(app, &snapshot).await?;
    let raw = tokio::task::spawn_blocking(move || tidegate_render::render(&files))
        .await
        .map_err(|e| failed("RenderPanicked", e.to_string()))?
        .map_err(Refusal::Inadmissible)?;
    if raw.is_empty() {
        return Err(empty(app, commit, "manifests"));
    }
    let admitted = check(operator, target, app, owner, raw).await?;
    if admitted.objects.is_empty() {
        let what = if admitted.left_out.is_empty() {
            "manifests but hooks"
        } else {
            "manifests but hooks and those annotated tidegate.io/apply: Ignore"
        };
        return Err(empty(app, commit, what));
    }
    operator.metrics.stage("render", started.elapsed());
    Ok(admitted)
}

fn empty(app: &Application, commit: &str, what: &str) -> Refusal {
    let message = format!(
        "{} has no {what} at {}; an empty source deletes nothing. To remove everything, delete the Application",
        app.spec.source.path,
        commit.get(..8).unwrap_or(commit)
    );
    Refusal::Failed {
        reason: "EmptySource",
        message,
        stalled: true,
    }
}

fn failed(reason: &'static str, message: String) -> Refusal {
    Refusal::Failed {
        reason,
        message,
        stalled: false,
    }
}

async fn files(app: &Application, snapshot: &Snapshot) -> Result<Vec<SourceFile>, Refusal> {
    let source = &app.spec.source;
    let root = snapshot.path().to_owned();
    let ignores = snapshot.read_all(|entry| ignore_file(&entry.path)).await?;
    let ignore_files: Vec<(String, String)> = ignores
        .into_iter()
        .map(|f| (f.path, String::from_utf8_lossy(&f.bytes).into_owned()))
        .collect();
    let entries: Vec<SourceEntry<'_>> = snapshot
        .entries()
        .iter()
        .map(|entry| SourceEntry {
            path: &entry.path,
            kind: kind(entry.kind),
        })
        .collect();
    let selection = Selection {
        root: &root,
        include: &source.include,
        exclude: &source.exclude,
        ignore_files: &ignore_files,
    };
    let chosen = select(&entries, &selection).map_err(Refusal::Inadmissible)?;
    let chosen: std::collections::HashSet<&str> = chosen.into_iter().collect();
    let read = snapshot
        .read_all(|entry| chosen.contains(entry.path.as_str()))
        .await?;
    Ok(read
        .into_iter()
        .map(|f| SourceFile {
            path: selection.full_path(&f.path),
            bytes: f.bytes,
        })
        .collect())
}

fn kind(kind: GitKind) -> EntryKind {
    match kind {
        GitKind::File | GitKind::Executable => EntryKind::File,
        GitKind::Symlink => EntryKind::Symlink,
        GitKind::Submodule => EntryKind::Submodule,
    }
}

async fn check(
    operator: &Operator,
    target: &Site,
    app: &Application,
    owner: &Owner,
    raw: Vec<RawObject>,
) -> Result<Arc<Rendered>, Refusal> {
    let mut catalog = target.catalog();
    if raw.iter().any(|object| !known(&catalog, object)) {
        catalog = operator
            .refresh_catalog(target)
            .await
            .map_err(|e| failed("DiscoveryFailed", e))?;
    }
    let mut versions: Vec<(String, String)> = raw
        .iter()
        .filter_map(|object| object.value["apiVersion"].as_str())
        .map(split_api_version)
        .map(|(group, version)| (group.to_owned(), version.to_owned()))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    let schemas = target
        .schemas(&versions)
        .await
        .map_err(|e| failed("SchemaUnavailable", e))?;
    let scaled = target
        .scaled()
        .await
        .map_err(|e| failed("AutoscalersUnknown", e))?;
    let namespace = namespace(app);
    let (owner, key) = (owner.clone(), operator.key.clone());
    let (force, ignore) = (app.spec.force, app.spec.drift.ignore.clone());
    let checked = tokio::task::spawn_blocking(move || {
        let context = Context {
            catalog: &catalog,
            schemas: &schemas,
            namespace: &namespace,
            owner: &owner,
            force,
            ignore: &ignore,
            scaled: &scaled,
            key: &key,
        };
        admit(raw, &context)
    });
    let checked = checked
        .await
        .map_err(|e| failed("CheckPanicked", e.to_string()))?;
    checked.map(Arc::new).map_err(Refusal::Inadmissible)
}

fn known(catalog: &tidegate_core::catalog::Catalog, object: &RawObject) -> bool {
    let (Some(api_version), Some(kind)) =
        (object.value["apiVersion"].as_str(), object.value["kind"].as_str())
    else {
        return true;
    };
    let (group, version) = split_api_version(api_version);
    catalog
        .get(&tidegate_core::catalog::Gvk::new(group, version, kind))
        .is_some()
}

/// Namespace of objects that name none.
pub(crate) fn namespace(app: &Application) -> String {
    let own = app.metadata.namespace.clone().unwrap_or_default();
    app.spec.target.namespace.clone().unwrap_or(own)
}
