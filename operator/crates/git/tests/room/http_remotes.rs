//! Smart HTTP as people use it: every kind of reference, credentials, TLS, redirects.

use crate::fixture::{Origin, master, pool, remote};
use crate::web_server::{WebServer, answer, backend};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_git::{Credentials, Fetched, RefSpec, Remote};

fn with(mut remote: Remote, secret: &[(&str, &str)]) -> Remote {
    let data: BTreeMap<_, _> = secret
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
        .collect();
    remote.credentials = Credentials::from_secret(&data).unwrap();
    remote
}

#[tokio::test]
async fn a_branch_is_cloned_then_one_request_while_unchanged_then_fetched() {
    let origin = Origin::new();
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    let Fetched::New(first) = pool.git.fetch(&remote, &master(), None).await.unwrap() else {
        panic!("not new")
    };
    assert_eq!(first.reference, "master");
    assert_eq!(first.commit, origin.git(&["rev-parse", "master"]));
    assert_eq!(first.tree, origin.git(&["rev-parse", "master^{tree}"]));
    assert_eq!(
        (first.subject.as_str(), first.author_name.as_str()),
        ("A change", "Ann\\u{1b}[31m")
    );
    assert_eq!(first.committed_at.as_second(), 1_700_000_000);

    let before = server.count();
    let again = pool
        .git
        .fetch(&remote, &master(), Some(&first.commit))
        .await
        .unwrap();
    assert_eq!(again, Fetched::Unchanged(first.clone()));
    assert_eq!(server.count() - before, 1);
    assert_eq!(
        pool.git.ls_remote(&remote, &master()).await.unwrap().commit,
        first.commit
    );
    assert_eq!(server.count() - before, 2);

    let second = origin.commit_files(
        "master",
        &[("deploy/a.yaml", "a: 2\n"), ("deploy/b.yaml", "b: 1\n")],
    );
    let found = pool
        .git
        .fetch(&remote, &master(), Some(&first.commit))
        .await
        .unwrap();
    assert!(matches!(&found, Fetched::New(revision) if revision.commit == second));
    let pack_request = server.requests().last().unwrap().body.clone();
    assert!(
        String::from_utf8_lossy(&pack_request).contains(&format!("have {}", first.commit)),
        "not incremental"
    );

    assert!(
        pool.git
            .is_ancestor(&remote, &first.commit, &second)
            .await
            .unwrap()
    );
    assert!(
        !pool
            .git
            .is_ancestor(&remote, &second, &first.commit)
            .await
            .unwrap()
    );
    let log = pool
        .git
        .log_between(&remote, &first.commit, &second, 10)
        .await
        .unwrap();
    assert_eq!(
        log.iter().map(|r| r.commit.as_str()).collect::<Vec<_>>(),
        [second.as_str()]
    );
}

#[tokio::test]
async fn tags_ranges_commits_and_names_resolve() {
    let origin = Origin::new();
    let one = origin.git(&["rev-parse", "master"]);
    origin.git(&["tag", "v1.0.0", "master"]);
    origin.git(&["tag", "-a", "-m", "x", "v1.2.0", "master"]);
    let two = origin.commit_files("master", &[("b", "b")]);
    origin.git(&["update-ref", "refs/pull/7/head", &two]);
    let gone = origin.commit_files("side", &[("c", "c")]);
    let server = WebServer::git(origin.root());
    let (pool, remote) = (pool(), remote(&server.url()));
    for (spec, reference, commit) in [
        (RefSpec::Tag("v1.0.0".to_owned()), "v1.0.0", &one),
        (RefSpec::Tag("v1.2.0".to_owned()), "v1.2.0", &one),
        (RefSpec::Semver("1.x".to_owned()), "v1.2.0", &one),
        (
            RefSpec::Name("refs/pull/7/head".to_owned()),
            "refs/pull/7/head",
            &two,
        ),
        (RefSpec::Name("HEAD".to_owned()), "HEAD", &two),
        (RefSpec::Commit(one.clone()), "commit", &one),
        (RefSpec::Commit(gone.to_uppercase()), "commit", &gone),
    ] {
        let found = pool.git.fetch(&remote, &spec, None).await.unwrap();
        assert_eq!(
            (&found.revision().reference[..], &found.revision().commit),
            (reference, commit),
            "{spec:?}"
        );
    }
    let before = server.count();
    pool.git
        .fetch(&remote, &RefSpec::Commit(gone.clone()), Some(&gone))
        .await
        .unwrap();
    assert_eq!(server.count(), before, "a pinned commit that is here asks nobody");
    for (spec, reason) in [
        (RefSpec::Branch("nope".to_owned()), "ReferenceNotFound"),
        (RefSpec::Semver(">=9".to_owned()), "ReferenceNotFound"),
        (RefSpec::Commit("1".repeat(40)), "CommitNotFound"),
    ] {
        assert_eq!(
            pool.git.fetch(&remote, &spec, None).await.unwrap_err().reason(),
            reason,
            "{spec:?}"
        );
    }
}

#[tokio::test]
async fn credentials_are_sent_and_refusals_have_their_reason() {
    let origin = Origin::new();
    let root = origin.root().to_owned();
    let server = WebServer::scripted(move |request, out| {
        match request.headers.get("authorization").map(String::as_str) {
            Some("Basic dTpodW50ZXIy" | "Bearer hunter2") => backend(&root, request, out, "200 OK"),
            Some(_) => answer(out, "403 Forbidden", "", b""),
            None => answer(out, "401 Unauthorized", "", b""),
        }
    });
    let pool = pool();
    for secret in [
        &[("username", "u"), ("password", "hunter2")][..],
        &[("bearerToken", "hunter2")],
    ] {
        pool.git
            .fetch(&with(remote(&server.url()), secret), &master(), None)
            .await
            .unwrap();
    }
    assert_eq!(pool.mirrors().len(), 2, "other credentials, other mirror");
    for secret in [&[][..], &[("bearerToken", "wrong-hunter")]] {
        let error = pool
            .git
            .fetch(&with(remote(&server.url()), secret), &master(), None)
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "AuthenticationFailed");
        assert!(!format!("{error} {error:?}").contains("hunter"));
    }
}

#[tokio::test]
async fn redirects_stay_within_the_origin() {
    let origin = Origin::new();
    let root = origin.root().to_owned();
    let elsewhere = WebServer::git(origin.root());
    let other = elsewhere.url();
    let server = WebServer::scripted(move |request, out| {
        let query = "info/refs?service=git-upload-pack";
        match request.path.split('/').nth(1) {
            Some("old") => answer(out, "301 Moved", &format!("Location: /repo.git/{query}\r\n"), b""),
            Some("away") => answer(out, "302 Found", &format!("Location: {other}/{query}\r\n"), b""),
            Some("loop") => answer(out, "302 Found", &format!("Location: /loop/{query}\r\n"), b""),
            Some("login") => answer(out, "302 Found", "Location: /users/sign_in\r\n", b""),
            _ => backend(&root, request, out, "200 OK"),
        }
    });
    let pool = pool();
    let base = server.url().replace("/repo.git", "");
    let at = |path: &str| with(remote(&format!("{base}/{path}")), &[("bearerToken", "hunter2")]);
    pool.git.fetch(&at("old"), &master(), None).await.unwrap();
    for (path, reason) in [
        ("away", "RedirectRefused"),
        ("loop", "NotAGitServer"),
        ("login", "NotAGitServer"),
    ] {
        let error = pool.git.fetch(&at(path), &master(), None).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
    }
    assert_eq!(elsewhere.count(), 0, "credentials reached another origin");
}

struct Pki {
    ca: String,
    server: rustls::ServerConfig,
    client: (String, String),
}

fn pki(require_client: bool) -> Pki {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let leaf = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        (cert, key)
    };
    let (cert, key) = leaf("localhost");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match require_client {
        true => builder.with_client_cert_verifier(verifier.build().unwrap()),
        false => builder.with_no_client_auth(),
    };
    let der = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = builder.with_single_cert(vec![cert.der().clone()], der).unwrap();
    let (client, client_key) = leaf("client");
    Pki {
        ca: ca.pem(),
        server,
        client: (client.pem(), client_key.serialize_pem()),
    }
}

#[tokio::test]
async fn tls_needs_the_right_authority_and_client_certificate() {
    let origin = Origin::new();
    let (plain, mutual, stranger) = (pki(false), pki(true), pki(false));
    let (ca, mutual_ca) = (plain.ca.clone(), mutual.ca.clone());
    let server = WebServer::git_tls(origin.root(), plain.server);
    let strict = WebServer::git_tls(origin.root(), mutual.server);
    let pool = pool();
    pool.git
        .fetch(&with(remote(&server.url()), &[("ca.crt", &ca)]), &master(), None)
        .await
        .unwrap();
    let client = [
        ("ca.crt", mutual_ca.as_str()),
        ("tls.crt", &mutual.client.0),
        ("tls.key", &mutual.client.1),
    ];
    pool.git
        .fetch(&with(remote(&strict.url()), &client), &master(), None)
        .await
        .unwrap();
    let wrong_name = server.url().replace("localhost", "127.0.0.1");
    for (url, secret) in [
        (server.url(), vec![]),
        (server.url(), vec![("ca.crt", stranger.ca.as_str())]),
        (wrong_name, vec![("ca.crt", ca.as_str())]),
        (strict.url(), vec![("ca.crt", mutual_ca.as_str())]),
    ] {
        let error = pool
            .git
            .fetch(&with(remote(&url), &secret), &master(), None)
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "TLSFailed", "{error}");
    }
}
