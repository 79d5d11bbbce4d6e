//! Servers that hang, lie, flood or cut off: each gets its own reason, within its cap, and what was there stays.

use crate::fixture::{Origin, master, pool, remote};
use crate::web_server::{PACK_TYPE, REFS_TYPE, WebServer, answer, backend, cgi, packet};
use std::thread;
use std::time::{Duration, Instant};
use tidegate_git::{Limits, Remote};

async fn reason(remote: &Remote) -> &'static str {
    let pool = pool();
    let error = pool.git.fetch(remote, &master(), None).await.unwrap_err();
    assert!(error.to_string().contains(&remote.url.to_string()), "{error}");
    error.reason()
}

#[tokio::test]
async fn answers_that_are_no_git() {
    for (status, headers, body, want) in [
        ("200 OK", "Content-Type: text/html\r\n", "<html>", "NotAGitServer"),
        ("200 OK", REFS_TYPE, "<html>", "NotAGitServer"),
        ("200 OK", REFS_TYPE, "", "Truncated"),
        ("404 Not Found", "", "", "RepositoryNotFound"),
        ("400 Bad Request", "", "", "NotAGitServer"),
        ("500 Oops", "", "", "ServerError"),
        ("429 Slow down", "", "", "ServerError"),
    ] {
        let server = WebServer::scripted(move |_, out| answer(out, status, headers, body.as_bytes()));
        assert_eq!(reason(&remote(&server.url())).await, want, "{status} {body}");
    }
    assert_eq!(reason(&remote("http://127.0.0.1:1/x")).await, "Unreachable");
    assert_eq!(
        reason(&remote("http://no-such-host.invalid/x")).await,
        "Unreachable"
    );
}

#[tokio::test]
async fn a_server_that_hangs_after_the_headers_costs_the_timeout() {
    let server = WebServer::scripted(|_, out| {
        let _ = write!(
            out,
            "HTTP/1.1 200 OK\r\n{REFS_TYPE}Content-Length: 100\r\n\r\n001e# serv"
        );
        let _ = out.flush();
        thread::sleep(Duration::from_secs(30));
    });
    let slow = Remote {
        timeout: Duration::from_millis(600),
        ..remote(&server.url())
    };
    let start = Instant::now();
    assert_eq!(reason(&slow).await, "Timeout");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_dropped_future_frees_the_worker_at_once() {
    let server = WebServer::scripted(|_, out| {
        let _ = out.flush();
        thread::sleep(Duration::from_secs(30));
    });
    let origin = Origin::new();
    let good = WebServer::git(origin.root());
    let cache = tempfile::TempDir::new().unwrap();
    let git = tidegate_git::GitPool::new(cache.path(), 1).unwrap();
    let (hanging, spec) = (remote(&server.url()), master());
    let fetch = git.fetch(&hanging, &spec, None);
    assert!(
        tokio::time::timeout(Duration::from_millis(400), fetch)
            .await
            .is_err()
    );
    // The only thread: this works only if it was freed.
    let start = Instant::now();
    git.fetch(&remote(&good.url()), &spec, None).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn floods_are_cut_at_their_caps() {
    let refs = WebServer::scripted(|_, out| {
        let _ = write!(out, "HTTP/1.1 200 OK\r\n{REFS_TYPE}Connection: close\r\n\r\n");
        for number in 0_u64.. {
            let line = format!("{} refs/heads/b{number}\n", "1".repeat(40));
            if out.write_all(&packet(line.as_bytes())).is_err() {
                return;
            }
        }
    });
    let limits = Limits {
        max_refs: 5000,
        ..Limits::default()
    };
    assert_eq!(
        reason(&Remote {
            limits,
            ..remote(&refs.url())
        })
        .await,
        "TooManyReferences"
    );
    let limits = Limits {
        max_ref_bytes: 100_000,
        ..Limits::default()
    };
    assert_eq!(
        reason(&Remote {
            limits,
            ..remote(&refs.url())
        })
        .await,
        "TooManyReferences"
    );

    let origin = Origin::new();
    let root = origin.root().to_owned();
    let endless = WebServer::scripted(move |request, out| {
        if request.method == "GET" {
            return backend(&root, request, out, "200 OK");
        }
        let _ = write!(
            out,
            "HTTP/1.1 200 OK\r\n{PACK_TYPE}Connection: close\r\n\r\n0008NAK\n"
        );
        // One blob whose deflate stream never ends: stored blocks of zeros.
        let mut data = b"\x01PACK\0\0\0\x02\0\0\0\x01\xb0\x80\x80\x80\x80\x01\x78\x01".to_vec();
        while out.write_all(&packet(&data)).is_ok() {
            data = [&b"\x01\x00\xff\x7f\x00\x80"[..], &[0; 0x7fff]].concat();
        }
    });
    let limits = Limits {
        max_fetch_bytes: 1 << 20,
        max_object_bytes: 1 << 50,
        ..Limits::default()
    };
    assert_eq!(
        reason(&Remote {
            limits,
            ..remote(&endless.url())
        })
        .await,
        "TooLarge"
    );
    assert_eq!(reason(&remote(&endless.url())).await, "TooLarge");
}

#[tokio::test]
async fn large_objects_are_refused_by_size() {
    let origin = Origin::empty();
    origin.commit_files("master", &[("big", &"x".repeat(200_000)), ("small", "s")]);
    let server = WebServer::git(origin.root());
    let limits = Limits {
        max_object_bytes: 100_000,
        ..Limits::default()
    };
    assert_eq!(
        reason(&Remote {
            limits,
            ..remote(&server.url())
        })
        .await,
        "TooLarge"
    );

    let limits = Limits {
        max_blob_bytes: 100_000,
        ..Limits::default()
    };
    let (pool, remote) = (
        pool(),
        Remote {
            limits,
            ..remote(&server.url())
        },
    );
    let found = pool.git.fetch(&remote, &master(), None).await.unwrap();
    let snapshot = pool
        .git
        .snapshot(&remote, &found.revision().commit, "")
        .await
        .unwrap();
    assert_eq!(snapshot.read("small").await.unwrap(), b"s");
    let error = snapshot.read("big").await.unwrap_err();
    assert!(
        error.reason() == "TooLarge" && error.to_string().contains("big"),
        "{error}"
    );
}

#[tokio::test]
async fn broken_packs_are_told_apart_and_leave_the_last_good_state() {
    let origin = Origin::new();
    let good = WebServer::git(origin.root());
    for (change, want) in [
        ("cut", "Truncated"),
        ("flip", "Corrupt"),
        ("checksum", "Corrupt"),
        ("error", "Corrupt"),
    ] {
        let root = origin.root().to_path_buf();
        let server = WebServer::scripted(move |request, out| {
            if request.method == "GET" {
                return backend(&root, request, out, "200 OK");
            }
            let whole = cgi(&root, request);
            let at = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            let mut body = whole[at..].to_vec();
            let pack = body.windows(4).position(|w| w == b"PACK").unwrap();
            match change {
                "cut" => body.truncate(body.len() - 40),
                "flip" => body[pack + 20] ^= 0x55,
                // Before the flush packet and possible progress: the last bytes of the pack are its checksum.
                "checksum" => {
                    let end = pack + pack_length(&body, pack);
                    body[end - 1] ^= 1;
                }
                _ => {
                    body = [
                        b"0008NAK\n".as_slice(),
                        &packet(b"\x03fatal: object is corrupt\n"),
                    ]
                    .concat();
                }
            }
            answer(out, "200 OK", PACK_TYPE, &body);
        });
        assert_eq!(reason(&remote(&server.url())).await, want, "{change}");
    }
    let pool = pool();
    pool.git
        .fetch(&remote(&good.url()), &master(), None)
        .await
        .unwrap();
}

/// Length of the pack data in the one side-band packet that starts at `pack`.
fn pack_length(body: &[u8], pack: usize) -> usize {
    let prefix = std::str::from_utf8(&body[pack - 5..pack - 1]).unwrap();
    usize::from_str_radix(prefix, 16).unwrap() - 5
}

#[tokio::test]
async fn an_object_that_the_server_leaves_out_is_found_missing() {
    let origin = Origin::empty();
    let tree = origin.tree(&[("100644", &"1".repeat(40), "ghost")]);
    origin.commit("master", &tree);
    let server = WebServer::git(origin.root());
    assert_eq!(reason(&remote(&server.url())).await, "Corrupt");
}

#[tokio::test]
async fn empty_repository_and_deleted_branch() {
    let origin = Origin::empty();
    let server = WebServer::git(origin.root());
    assert_eq!(reason(&remote(&server.url())).await, "EmptyRepository");
    let commit = origin.commit_files("master", &[("a", "1")]);
    origin.commit_files("other", &[("a", "2")]);
    let (pool, remote) = (pool(), remote(&server.url()));
    pool.git.fetch(&remote, &master(), None).await.unwrap();
    origin.git(&["update-ref", "-d", "refs/heads/master"]);
    let error = pool
        .git
        .fetch(&remote, &master(), Some(&commit))
        .await
        .unwrap_err();
    assert!(
        error.reason() == "ReferenceNotFound" && error.to_string().contains("branch master"),
        "{error}"
    );
    let snapshot = pool.git.snapshot(&remote, &commit, "").await.unwrap();
    assert_eq!(
        snapshot.read("a").await.unwrap(),
        b"1",
        "the last good state stays readable"
    );
}
