//! Hostile trees: nothing is followed, bad names are named, counts are capped.

use crate::fixture::{Origin, Pool, master, pool, remote};
use crate::web_server::WebServer;
use tidegate_git::{EntryKind, Error, Limits, Remote, Snapshot};

async fn snapshot(origin: &Origin, path: &str, limits: Limits) -> (Pool, Result<Snapshot, Error>) {
    let server = WebServer::git(origin.root());
    let (pool, remote) = (
        pool(),
        Remote {
            limits,
            ..remote(&server.url())
        },
    );
    let commit = pool
        .git
        .fetch(&remote, &master(), None)
        .await
        .unwrap()
        .revision()
        .commit
        .clone();
    let taken = pool.git.snapshot(&remote, &commit, path).await;
    (pool, taken)
}

#[tokio::test]
async fn a_snapshot_lists_and_reads_what_is_under_its_path() {
    let origin = Origin::empty();
    origin.commit_files(
        "master",
        &[
            ("deploy/b.yaml", "b"),
            ("deploy/sub/a.yaml", "a"),
            ("other/c", "c"),
            ("top", "t"),
        ],
    );
    for path in ["deploy", "./deploy", "deploy/", "/deploy//."] {
        let (_pool, taken) = snapshot(&origin, path, Limits::default()).await;
        let taken = taken.unwrap();
        assert_eq!(taken.path(), "deploy");
        assert_eq!(taken.tree(), origin.git(&["rev-parse", "master:deploy"]));
        let paths: Vec<_> = taken.entries().iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["b.yaml", "sub/a.yaml"]);
        assert_eq!(taken.read("sub/a.yaml").await.unwrap(), b"a");
        assert_eq!(taken.read("../top").await.unwrap_err().reason(), "PathNotFound");
        let files = taken
            .read_all(|entry| entry.path.ends_with(".yaml"))
            .await
            .unwrap();
        assert_eq!(
            files.iter().map(|f| &f.bytes[..]).collect::<Vec<_>>(),
            [b"b", b"a"]
        );
    }
    for path in ["", "."] {
        let (_pool, taken) = snapshot(&origin, path, Limits::default()).await;
        assert_eq!(taken.unwrap().entries().len(), 4);
    }
    for path in ["..", "deploy/../other", "nope", "deploy/nope", "top", "top/x"] {
        let (_pool, taken) = snapshot(&origin, path, Limits::default()).await;
        let error = taken.unwrap_err();
        assert_eq!(error.reason(), "PathNotFound", "{path}: {error}");
    }
}

#[tokio::test]
async fn symlinks_and_submodules_are_listed_and_never_followed() {
    let origin = Origin::empty();
    let links = [
        ("abs", "/etc/passwd"),
        ("loop", "loop"),
        ("nowhere", "gone"),
        ("rel", "../secret"),
        ("self", "."),
    ];
    let mut lines: Vec<(&str, String, &str)> = links
        .iter()
        .map(|(name, target)| ("120000", origin.blob(target.as_bytes()), *name))
        .collect();
    lines.push(("160000", "1".repeat(40), "sub"));
    let lines: Vec<_> = lines
        .iter()
        .map(|(mode, id, name)| (*mode, id.as_str(), *name))
        .collect();
    let inner = origin.tree(&lines);
    let link = origin.blob(b"deploy");
    let secret = origin.blob(b"secret");
    let root = origin.tree(&[
        ("040000", &inner, "deploy"),
        ("120000", &link, "link"),
        ("100644", &secret, "secret"),
    ]);
    origin.commit("master", &root);
    let (_pool, taken) = snapshot(&origin, "deploy", Limits::default()).await;
    let taken = taken.unwrap();
    for (name, target) in links {
        assert_eq!(taken.entry(name).unwrap().kind, EntryKind::Symlink);
        assert_eq!(taken.read(name).await.unwrap_err().reason(), "PathNotFound");
        let raw = taken.read_all(|entry| entry.path == name).await.unwrap();
        assert_eq!(raw[0].bytes, target.as_bytes());
    }
    assert_eq!(taken.entry("sub").unwrap().kind, EntryKind::Submodule);
    assert_eq!(taken.read("sub").await.unwrap_err().reason(), "PathNotFound");
    assert!(
        taken
            .read_all(|entry| entry.path == "sub")
            .await
            .unwrap()
            .is_empty()
    );
    for path in ["link", "link/x", "deploy/rel", "deploy/sub"] {
        let (_pool, taken) = snapshot(&origin, path, Limits::default()).await;
        let error = taken.unwrap_err();
        assert!(
            error.reason() == "PathNotFound" && error.to_string().contains("is a "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn names_that_no_honest_git_makes_are_refused_by_name() {
    let names: [&[u8]; 10] = [
        b"..",
        b".",
        b".git",
        b".GIT",
        b"git~1",
        b"a/b",
        b"a\\b",
        b"a\xff",
        b".g\xe2\x80\x8cit",
        b".git::$DATA",
    ];
    for name in names {
        let origin = Origin::empty();
        let blob = origin.blob(b"x");
        let bad = origin.raw_tree("100644", name, &blob);
        let fine = origin.tree(&[("100644", &blob, "f")]);
        let root = origin.tree(&[("040000", &bad, "bad"), ("040000", &fine, "fine")]);
        origin.commit("master", &root);
        let (_pool, taken) = snapshot(&origin, "", Limits::default()).await;
        let error = taken.unwrap_err();
        assert_eq!(error.reason(), "UnsafeFileName", "{error}");
        assert!(error.to_string().contains("bad/"), "{error}");
        let (_pool, taken) = snapshot(&origin, "fine", Limits::default()).await;
        assert_eq!(
            taken.unwrap().entries().len(),
            1,
            "what lies elsewhere does not matter here"
        );
    }
}

#[tokio::test]
async fn case_and_unicode_twins_are_two_files() {
    let origin = Origin::empty();
    origin.commit_files(
        "master",
        &[("A", "1"), ("a", "2"), ("\u{e9}", "3"), ("e\u{301}", "4")],
    );
    let (_pool, taken) = snapshot(&origin, "", Limits::default()).await;
    let taken = taken.unwrap();
    for (name, content) in [("A", "1"), ("a", "2"), ("\u{e9}", "3"), ("e\u{301}", "4")] {
        assert_eq!(taken.read(name).await.unwrap(), content.as_bytes());
    }
}

#[tokio::test]
async fn counts_and_sizes_are_capped_even_for_a_git_bomb() {
    let origin = Origin::empty();
    let blob = origin.blob(b"boom");
    let names: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
    let mut tree = origin.tree(
        &names
            .iter()
            .map(|n| ("100644", blob.as_str(), n.as_str()))
            .collect::<Vec<_>>(),
    );
    for _ in 0..8 {
        tree = origin.tree(
            &names
                .iter()
                .map(|n| ("040000", tree.as_str(), n.as_str()))
                .collect::<Vec<_>>(),
        );
    }
    origin.commit("master", &tree);
    let (_pool, taken) = snapshot(&origin, "", Limits::default()).await;
    assert_eq!(taken.unwrap_err().reason(), "TooLarge");
    let small = Limits {
        max_files: 5,
        ..Limits::default()
    };
    let (_pool, taken) = snapshot(&origin, "d0/d0/d0/d0/d0/d0/d0/d0", small).await;
    assert_eq!(taken.unwrap_err().reason(), "TooLarge");
    let little = Limits {
        max_read_bytes: 10,
        ..Limits::default()
    };
    let (_pool, taken) = snapshot(&origin, "d0/d0/d0/d0/d0/d0/d0/d0", little).await;
    assert_eq!(
        taken.unwrap().read_all(|_| true).await.unwrap_err().reason(),
        "TooLarge"
    );
}
