//! Hand-written documents stay true: every reason is explained, every dependency justified, every named test exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    crate::workspace_root()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

/// Every Rust file of the rooms.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    walk(&root().join("operator/crates"), &mut found);
    walk(&root().join("e2e/tests"), &mut found);
    found
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Words in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_reason_of_an_error_type_is_in_the_list_of_conditions() {
    let page = read("docs/conditions.md");
    let explained = quoted(&page);
    let mut missing = Vec::new();
    for room in ["git", "yaml", "cluster"] {
        let text = read(&format!("operator/crates/{room}/src/error.rs"));
        for line in text.lines().filter(|line| {
            line.contains("Self::") || line.contains("ErrorKind::") || line.contains("(Class::")
        }) {
            let Some(reason) = line.trim_end_matches(['"', ',', ')']).rsplit('"').next() else {
                continue;
            };
            let is_reason = line.contains("=>")
                && reason.starts_with(|c: char| c.is_ascii_uppercase())
                && reason.chars().all(|c| c.is_ascii_alphanumeric());
            if is_reason && !explained.contains(reason) {
                missing.push(format!("{room}: {reason}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "explain these in docs/conditions.md: {missing:#?}"
    );
}

#[test]
fn every_dependency_has_its_reason() {
    let page = read("docs/dependencies.md");
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    for line in section.lines() {
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        if name.starts_with("tidegate-") || name.starts_with('#') {
            continue;
        }
        let named = page
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
            .any(|word| word == name);
        assert!(named, "say in docs/dependencies.md why {name} is in");
    }
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let page = read("docs/security.md");
    let sources = sources();
    let table = page.split("| where | input | tests |").nth(1).unwrap();
    for name in quoted(table) {
        let is_test = name.contains('_')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_test {
            continue;
        }
        let function = format!("fn {name}(");
        assert!(
            sources.iter().any(|(_, text)| text.contains(&function)),
            "docs/security.md names {name}, which is not there"
        );
    }
}

/// The bound of design/architecture.md: past 600 lines a file is split.
#[test]
fn no_file_is_over_600_lines() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{}: {lines} lines", path.display());
    }
}

/// `major.minor` of Kubernetes that a module file of the end-to-end tests pins.
fn kubernetes(module: &str) -> String {
    let text = read(&format!("e2e/tools/kubernetes/{module}"));
    let line = text
        .lines()
        .find(|l| l.trim().starts_with("k8s.io/kubernetes v"))
        .unwrap();
    let version = line.trim().trim_start_matches("k8s.io/kubernetes v");
    version.rsplit_once('.').unwrap().0.to_owned()
}

#[test]
fn the_supported_versions_of_kubernetes_are_the_tested_ones() {
    let (oldest, newest) = (kubernetes("oldest.mod"), kubernetes("go.mod"));
    let said = format!("Kubernetes {oldest} to {newest}");
    assert!(
        read("README.md").contains(&said),
        "README.md does not say `{said}`"
    );
    let chart = format!("kubeVersion: \">={oldest}.0-0\"");
    assert!(
        read("charts/tidegate/Chart.yaml").contains(&chart),
        "Chart.yaml does not say `{chart}`"
    );
}

#[test]
fn what_is_run_on_the_oldest_kubernetes_exists() {
    let makefile = read("Makefile");
    let line = makefile
        .lines()
        .find_map(|l| l.strip_prefix("OLDEST_SUITE := "))
        .unwrap();
    for filter in line.split_whitespace() {
        let module = filter.strip_suffix("::").unwrap();
        let file = format!("e2e/tests/suite/{module}.rs");
        assert!(
            root().join(&file).is_file(),
            "the Makefile names {filter}, and there is no {file}"
        );
    }
}

#[test]
fn the_recipes_of_the_policies_page_are_the_files_that_the_tests_run() {
    let page = read("docs/policies.md");
    let shown: BTreeSet<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(root().join("manifests/policies")).unwrap() {
        files.insert(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert_eq!(files.len(), 5);
    assert_eq!(shown, files.iter().map(String::as_str).collect());
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut pages = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        pages.push(format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    }
    let mut broken = Vec::new();
    for page in pages {
        let text = read(&page);
        let folder = root().join(&page);
        let folder = folder.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
