//! Mirrors over time: shared, lost, corrupted, force-pushed, from a shallow server.

use crate::fixture::{Origin, Pool, master, pool, remote};
use crate::web_server::WebServer;
use std::fs;
use tidegate_git::{ChangeKind, Fetched, RefSpec, Remote};

async fn content(pool: &Pool, remote: &Remote, commit: &str) -> Vec<u8> {
    pool.git
        .snapshot(remote, commit, "deploy")
        .await
        .unwrap()
        .read("a.yaml")
        .await
        .unwrap()
}

#[tokio::test]
async fn two_users_of_one_repository_clone_once() {
    let origin = Origin::new();
    origin.commit_files("dev", &[("x", "y")]);
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    let spec = master();
    let (one, two) = tokio::join!(
        pool.git.fetch(&remote, &spec, None),
        pool.git.fetch(&remote, &spec, None)
    );
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(server.requests().iter().filter(|r| r.method == "POST").count(), 1);
    pool.git
        .fetch(&remote, &RefSpec::Branch("dev".to_owned()), None)
        .await
        .unwrap();
    pool.mirror();
    assert_eq!(pool.git.retain(std::slice::from_ref(&remote)).await.unwrap(), 0);
    assert_eq!(pool.git.retain(&[]).await.unwrap(), 1);
    assert!(pool.mirrors().is_empty());
}

#[tokio::test]
async fn a_deleted_mirror_comes_back() {
    let origin = Origin::new();
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    let commit = pool
        .git
        .fetch(&remote, &master(), None)
        .await
        .unwrap()
        .revision()
        .commit
        .clone();
    fs::remove_dir_all(pool.mirror()).unwrap();
    let error = pool.git.snapshot(&remote, &commit, "").await.unwrap_err();
    assert_eq!(error.reason(), "MirrorLost");
    let again = pool.git.fetch(&remote, &master(), Some(&commit)).await.unwrap();
    assert!(matches!(again, Fetched::Unchanged(_)));
    assert_eq!(content(&pool, &remote, &commit).await, b"a: 1\n");
}

#[tokio::test]
async fn a_corrupted_mirror_is_cloned_anew() {
    let origin = Origin::new();
    let server = WebServer::git(origin.root());
    for damage in ["truncate", "garbage", "idx", "head"] {
        let (pool, remote) = (pool(), remote(&server.url()));
        let commit = pool
            .git
            .fetch(&remote, &master(), None)
            .await
            .unwrap()
            .revision()
            .commit
            .clone();
        let mirror = pool.mirror();
        for file in fs::read_dir(mirror.join("objects/pack")).unwrap() {
            let path = file.unwrap().path();
            let is = |ext: &str| path.extension().is_some_and(|e| e == ext);
            let size = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
            let replace = |bytes: &[u8]| {
                // Not in place: a mapped file must not change under another thread's feet in this test process.
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
            };
            match damage {
                "truncate" if is("pack") => replace(&fs::read(&path).unwrap()[..size / 2]),
                "garbage" if is("pack") => replace(&vec![0x5a; size]),
                "idx" if is("idx") => replace(b"broken"),
                _ => {}
            }
        }
        if damage == "head" {
            fs::remove_file(mirror.join("HEAD")).unwrap();
        }
        let attempt = match pool.git.snapshot(&remote, &commit, "deploy").await {
            Ok(snapshot) => snapshot.read("a.yaml").await,
            Err(error) => Err(error),
        };
        let reason = attempt.unwrap_err().reason();
        assert!(["Corrupt", "MirrorLost"].contains(&reason), "{damage}: {reason}");
        pool.git.fetch(&remote, &master(), Some(&commit)).await.unwrap();
        assert_eq!(content(&pool, &remote, &commit).await, b"a: 1\n", "{damage}");
    }
}

#[tokio::test]
async fn after_a_force_push_the_newest_ref_wins() {
    let origin = Origin::new();
    let first = origin.git(&["rev-parse", "master"]);
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    let second = origin.commit_files("master", &[("deploy/a.yaml", "a: 2\n")]);
    pool.git.fetch(&remote, &master(), None).await.unwrap();
    origin.git(&["update-ref", "-d", "refs/heads/master"]);
    let third = origin.commit_files("master", &[("deploy/a.yaml", "a: 3\n")]);
    let found = pool.git.fetch(&remote, &master(), Some(&second)).await.unwrap();
    assert!(matches!(&found, Fetched::New(r) if r.commit == third));
    assert_eq!(content(&pool, &remote, &third).await, b"a: 3\n");
    assert!(!pool.git.is_ancestor(&remote, &second, &third).await.unwrap());
    origin.git(&["update-ref", "refs/heads/master", &first]);
    let found = pool.git.fetch(&remote, &master(), Some(&third)).await.unwrap();
    assert!(
        matches!(&found, Fetched::New(r) if r.commit == first),
        "moved back"
    );
}

#[tokio::test]
async fn a_shallow_server_is_good_enough() {
    let origin = Origin::new();
    let first = origin.git(&["rev-parse", "master"]);
    let second = origin.commit_files("master", &[("deploy/a.yaml", "a: 2\n")]);
    let third = origin.commit_files("master", &[("deploy/a.yaml", "a: 3\n")]);
    fs::write(origin.dir().join("shallow"), format!("{second}\n")).unwrap();
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    pool.git.fetch(&remote, &master(), None).await.unwrap();
    assert_eq!(content(&pool, &remote, &third).await, b"a: 3\n");
    assert!(pool.git.is_ancestor(&remote, &second, &third).await.unwrap());
    assert_eq!(
        pool.git
            .is_ancestor(&remote, &first, &third)
            .await
            .unwrap_err()
            .reason(),
        "MirrorLost"
    );
    let fourth = origin.commit_files("master", &[("deploy/a.yaml", "a: 4\n")]);
    pool.git.fetch(&remote, &master(), Some(&third)).await.unwrap();
    assert_eq!(content(&pool, &remote, &fourth).await, b"a: 4\n");
}

#[tokio::test]
async fn trees_are_compared_by_path() {
    let origin = Origin::empty();
    let one = origin.commit_files(
        "master",
        &[("d/same", "s"), ("d/mod", "1"), ("d/gone", "g"), ("d/x", "file")],
    );
    let two = origin.commit_files(
        "master",
        &[
            ("d/same", "s"),
            ("d/mod", "2"),
            ("d/new/deep", "n"),
            ("d/x/y", "dir"),
        ],
    );
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    pool.git.fetch(&remote, &master(), None).await.unwrap();
    let old = pool.git.tree_id(&remote, &one, "./d/").await.unwrap();
    let new = pool.git.tree_id(&remote, &two, "d").await.unwrap();
    let changes = pool.git.tree_diff(&remote, &old, &new).await.unwrap();
    let shown: Vec<_> = changes.iter().map(|c| (c.path.as_str(), c.kind)).collect();
    use ChangeKind::{Added, Modified, Removed};
    assert_eq!(
        shown,
        [
            ("gone", Removed),
            ("mod", Modified),
            ("new/deep", Added),
            ("x", Removed),
            ("x/y", Added)
        ]
    );
    assert!(pool.git.tree_diff(&remote, &new, &new).await.unwrap().is_empty());
}
