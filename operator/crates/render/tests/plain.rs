//! What a source of plain YAML and JSON becomes, and what is refused.

use tidegate_render::{EntryKind, Selection, SourceEntry, SourceFile, render, select};

fn chosen<'a>(
    paths: &[(&'a str, EntryKind)],
    selection: &Selection<'_>,
) -> Result<Vec<&'a str>, Vec<String>> {
    let entries: Vec<SourceEntry<'a>> = paths
        .iter()
        .map(|(path, kind)| SourceEntry { path, kind: *kind })
        .collect();
    select(&entries, selection).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

const FILE: EntryKind = EntryKind::File;

#[test]
fn reads_manifests_and_leaves_the_rest() {
    let paths = [
        ("a.yaml", FILE),
        ("b/c.yml", FILE),
        ("d.json", FILE),
        ("README.md", FILE),
        ("run.sh", FILE),
    ];
    assert_eq!(
        chosen(&paths, &Selection::default()).unwrap(),
        ["a.yaml", "b/c.yml", "d.json"]
    );
}

#[test]
fn include_exclude_and_ignore_files_narrow() {
    let paths = [
        ("apps/a.yaml", FILE),
        ("apps/test/t.yaml", FILE),
        ("apps/x/skip.yaml", FILE),
        ("other.yaml", FILE),
    ];
    let (include, exclude) = (["apps/**".to_owned()], ["**/test/**".to_owned()]);
    let ignore_files = [("apps/x/.tidegateignore".to_owned(), "skip.yaml\n".to_owned())];
    let selection = Selection {
        root: "",
        include: &include,
        exclude: &exclude,
        ignore_files: &ignore_files,
    };
    assert_eq!(chosen(&paths, &selection).unwrap(), ["apps/a.yaml"]);
}

#[test]
fn an_ignore_file_speaks_for_its_directory_only() {
    let paths = [("x/a.yaml", FILE), ("a.yaml", FILE)];
    let ignore_files = [("x/.tidegateignore".to_owned(), "a.yaml".to_owned())];
    let selection = Selection {
        ignore_files: &ignore_files,
        ..Selection::default()
    };
    assert_eq!(chosen(&paths, &selection).unwrap(), ["a.yaml"]);
}

#[test]
fn what_needs_a_renderer_is_refused_by_name() {
    let paths = [
        ("base/kustomization.yaml", FILE),
        ("chart/Chart.yaml", FILE),
        ("ok.yaml", FILE),
    ];
    let problems = chosen(
        &paths,
        &Selection {
            root: "deploy",
            ..Selection::default()
        },
    )
    .unwrap_err();
    assert!(
        problems[0].starts_with("deploy/base/kustomization.yaml:1: needs kustomize"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("deploy/chart/Chart.yaml:1: needs Helm"),
        "{problems:?}"
    );
}

#[test]
fn links_and_submodules_are_refused_unless_excluded() {
    let paths = [
        ("link.yaml", EntryKind::Symlink),
        ("vendor", EntryKind::Submodule),
        ("ok.yaml", FILE),
    ];
    assert_eq!(chosen(&paths, &Selection::default()).unwrap_err().len(), 2);
    let exclude = ["link.yaml".to_owned(), "vendor".to_owned()];
    let selection = Selection {
        exclude: &exclude,
        ..Selection::default()
    };
    assert_eq!(chosen(&paths, &selection).unwrap(), ["ok.yaml"]);
    let readme = [("README", EntryKind::Symlink)];
    assert!(
        chosen(&readme, &Selection::default()).unwrap().is_empty(),
        "a link that nobody reads does not matter"
    );
}

#[test]
fn every_bad_file_is_named_with_its_line() {
    let files = [
        SourceFile {
            path: "good.yaml".into(),
            bytes: b"kind: A\n---\nkind: B\n".to_vec(),
        },
        SourceFile {
            path: "tabs.yaml".into(),
            bytes: b"a: b\n\tc: d\n".to_vec(),
        },
        SourceFile {
            path: "twice.yaml".into(),
            bytes: b"a: 1\nb: 2\na: 3\n".to_vec(),
        },
        SourceFile {
            path: "secret.yaml".into(),
            bytes: b"kind: Secret\nsops:\n  mac: ENC[x]\n".to_vec(),
        },
    ];
    let problems = render(&files).err().unwrap();
    let places: Vec<String> = problems
        .iter()
        .map(|p| p.location.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(places.len(), 3, "{places:?}");
    assert!(places[0].starts_with("tabs.yaml:"), "{places:?}");
    assert_eq!(places[1], "twice.yaml:3");
    assert_eq!(problems[2].reason, "DecryptionUnsupported");
    assert_eq!(render(&files[..1]).unwrap().len(), 2);
}

#[test]
fn fields_are_found_by_line() {
    let files = [SourceFile {
        path: "a.yaml".into(),
        bytes: b"# c\nkind: A\nspec:\n  replicas: x\n".to_vec(),
    }];
    let objects = render(&files).unwrap();
    assert_eq!(objects[0].locate("/spec/replicas").to_string(), "a.yaml:4");
    assert_eq!(objects[0].location.line, 2);
}
