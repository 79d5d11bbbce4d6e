//! Which files of a source are read: `include`, `exclude`, `.tidegateignore`, and what must not be there at all.

use globset::{Glob, GlobSet, GlobSetBuilder};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use tidegate_core::object::Location;
use tidegate_core::problem::Problem;

/// Name of the files with patterns in gitignore syntax; each speaks for its directory and those below.
pub(crate) const IGNORE_FILE: &str = ".tidegateignore";

/// True for files that hold ignore patterns; their contents belong into [`Selection::ignore_files`].
pub fn ignore_file(path: &str) -> bool {
    path.rsplit('/').next() == Some(IGNORE_FILE)
}

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A symbolic link: never followed.
    Symlink,
    /// A commit of another repository: never followed.
    Submodule,
}

/// An entry under the source's path.
#[derive(Clone, Debug)]
pub struct SourceEntry<'a> {
    /// Relative to the source's path, with `/`.
    pub path: &'a str,
    /// What it is.
    pub kind: EntryKind,
}

/// Settings of the choice.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// The source's path in the repository, for messages; empty for the root.
    pub root: &'a str,
    /// `spec.source.include`.
    pub include: &'a [String],
    /// `spec.source.exclude`.
    pub exclude: &'a [String],
    /// Contents of the `.tidegateignore` files, by path relative to the source's path.
    pub ignore_files: &'a [(String, String)],
}

impl Selection<'_> {
    /// Path of a file in the repository, for messages.
    pub fn full_path(&self, path: &str) -> String {
        if self.root.is_empty() {
            path.to_owned()
        } else {
            format!("{}/{path}", self.root)
        }
    }
}

/// Chooses the files to read, or says what the source has that cannot be applied as plain YAML.
pub fn select<'a>(
    entries: &[SourceEntry<'a>],
    selection: &Selection<'_>,
) -> Result<Vec<&'a str>, Vec<Problem>> {
    let filter = Filter::new(selection)?;
    let mut chosen = Vec::new();
    let mut problems = Vec::new();
    for entry in entries.iter().filter(|e| filter.takes(e)) {
        match refusal(entry) {
            Some((reason, message)) => {
                problems.push(problem(reason, &selection.full_path(entry.path), message));
            }
            None => chosen.push(entry.path),
        }
    }
    if problems.is_empty() {
        Ok(chosen)
    } else {
        Err(problems)
    }
}

fn refusal(entry: &SourceEntry<'_>) -> Option<(&'static str, &'static str)> {
    let name = entry.path.rsplit('/').next().unwrap_or(entry.path);
    match (entry.kind, name) {
        (EntryKind::Symlink, _) => Some((
            "SymlinkRefused",
            "is a symbolic link, and links are never followed; replace it by a copy or exclude it",
        )),
        (EntryKind::Submodule, _) => Some((
            "SubmoduleRefused",
            "is a submodule, and submodules are not read; exclude it or copy the files",
        )),
        (EntryKind::File, "kustomization.yaml" | "kustomization.yml" | "Kustomization") => Some((
            "KustomizeUnsupported",
            "needs kustomize, which this version of Tidegate does not render; commit the output of `kustomize build` or exclude the directory",
        )),
        (EntryKind::File, "Chart.yaml") => Some((
            "HelmUnsupported",
            "needs Helm, which this version of Tidegate does not render; commit the output of `helm template` or exclude the directory",
        )),
        (EntryKind::File, _) => None,
    }
}

pub(crate) fn problem(reason: &'static str, path: &str, message: impl Into<String>) -> Problem {
    let location = Location {
        file: path.into(),
        line: 1,
    };
    Problem {
        reason,
        object: String::new(),
        field: None,
        location: Some(location),
        message: message.into(),
    }
}

struct Filter {
    include: GlobSet,
    exclude: GlobSet,
    ignores: Vec<(String, Gitignore)>,
}

impl Filter {
    fn new(selection: &Selection<'_>) -> Result<Self, Vec<Problem>> {
        let mut ignores = Vec::new();
        for (path, text) in selection.ignore_files {
            let directory = path.strip_suffix(IGNORE_FILE).unwrap_or_default();
            let mut builder = GitignoreBuilder::new("/");
            for line in text.lines() {
                builder
                    .add_line(None, line)
                    .map_err(|e| vec![pattern_problem(&selection.full_path(path), line, &e)])?;
            }
            let built = builder
                .build()
                .map_err(|e| vec![pattern_problem(&selection.full_path(path), "", &e)])?;
            ignores.push((directory.to_owned(), built));
        }
        Ok(Self {
            include: globs("spec.source.include", selection.include)?,
            exclude: globs("spec.source.exclude", selection.exclude)?,
            ignores,
        })
    }

    fn takes(&self, entry: &SourceEntry<'_>) -> bool {
        if self.exclude.is_match(entry.path) || self.ignored(entry.path) {
            return false;
        }
        if entry.kind == EntryKind::Submodule {
            return true;
        }
        let name = entry.path.rsplit('/').next().unwrap_or(entry.path);
        let manifest =
            [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) || name == "Kustomization";
        manifest && (self.include.is_empty() || self.include.is_match(entry.path))
    }

    fn ignored(&self, path: &str) -> bool {
        self.ignores.iter().any(|(directory, patterns)| {
            let below = path.strip_prefix(directory.as_str());
            below.is_some_and(|p| patterns.matched_path_or_any_parents(p, false).is_ignore())
        })
    }
}

fn globs(field: &str, patterns: &[String]) -> Result<GlobSet, Vec<Problem>> {
    let wrong = |pattern: &str, cause: String| {
        vec![Problem {
            reason: "InvalidPattern",
            object: String::new(),
            field: Some(field.to_owned()),
            location: None,
            message: format!(
                "`{pattern}` is not a glob pattern: {cause}; write for example `apps/**/*.yaml`"
            ),
        }]
    };
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let glob =
            Glob::new(pattern.trim_start_matches("./")).map_err(|e| wrong(pattern, e.kind().to_string()))?;
        builder.add(glob);
    }
    builder.build().map_err(|e| wrong("", e.to_string()))
}

fn pattern_problem(path: &str, line: &str, cause: &ignore::Error) -> Problem {
    problem(
        "InvalidPattern",
        path,
        format!("`{line}` is not a gitignore pattern: {cause}"),
    )
}
