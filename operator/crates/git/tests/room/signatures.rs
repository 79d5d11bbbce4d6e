//! Every state of a signature, for OpenPGP and SSH, on commits and tags, with keys made here.

use crate::fixture::master;
use crate::signers::{BORN, Lab, PgpKey, Sign, SshKey, keyring};
use pgp::composed::KeyType;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::RevocationCode;
use tidegate_git::SignatureState::{Bad, Good, None as Unsigned, Unknown};
use tidegate_git::{Keyring, RefSpec, Signature, SignatureState};

const DAY: u32 = 86_400;
const ALICE: &str = "Alice <alice@example.com>";

/// The verdict on one commit by `who`, dated a day after the keys were made.
async fn commit_by(who: &str, sign: Option<Sign<'_>>, keyring: &Keyring) -> Signature {
    let lab = Lab::new();
    let commit = lab.commit(&[("a.yaml", "a: 1\n")], &[], who, BORN + DAY, sign);
    lab.point("refs/heads/master", &commit);
    let verified = lab.verify(&master(), keyring).await;
    assert!(verified.tag.is_none());
    verified.commit
}

fn expect(name: &str, found: &Signature, state: SignatureState, words: &str) {
    assert_eq!(found.state, state, "{name}: {found:?}");
    assert!(
        found.message.contains(words),
        "{name}: {words:?} is not in {found:?}"
    );
    assert_eq!(found.identity.is_empty(), state != Good, "{name}: {found:?}");
}

#[tokio::test]
async fn openpgp_commits_in_every_state() {
    let pgp = |seed| PgpKey::new(seed, ALICE);
    let hard = RevocationCode::KeyCompromised;
    let soft = RevocationCode::KeyRetired;
    let mut weak_self = PgpKey::of(KeyType::Rsa(2048), 10, ALICE);
    weak_self.certify(BORN, None, true, HashAlgorithm::Sha1);
    let mut no_flag = pgp(11);
    no_flag.certify(BORN, None, false, HashAlgorithm::Sha256);
    // Name, key, whether its certificate is in the keyring, state, words.
    let cases = [
        (
            "good",
            pgp(1),
            true,
            Good,
            "good OpenPGP signature of alice@example.com",
        ),
        (
            "unknown",
            pgp(2),
            false,
            Unknown,
            "which the keyring does not have",
        ),
        (
            "expired before",
            pgp(3).expiring(DAY / 2),
            true,
            Bad,
            "had expired on 2023-11-15",
        ),
        ("expired since", pgp(4).expiring(2 * DAY), true, Good, "good"),
        (
            "compromised later",
            pgp(6).revoked(BORN + 9 * DAY, hard),
            true,
            Bad,
            "was revoked",
        ),
        (
            "retired later",
            pgp(7).revoked(BORN + 9 * DAY, soft),
            true,
            Good,
            "good",
        ),
        (
            "retired before",
            pgp(8).revoked(BORN + 60, soft),
            true,
            Bad,
            "(retired)",
        ),
        (
            "no reason",
            pgp(9).revoked(BORN + 9 * DAY, RevocationCode::NoReason),
            true,
            Bad,
            "no reason given",
        ),
        (
            "weak self-signature",
            weak_self,
            true,
            Bad,
            "no valid self-signature",
        ),
        ("not for signing", no_flag, true, Bad, "not marked for signing"),
    ];
    let other = PgpKey::new(99, "Eve <eve@example.com>").certificate();
    for (name, key, known, state, words) in cases {
        let own = key.certificate();
        let ring = keyring(&[(
            "all.asc",
            &if known {
                format!("{other}\n{own}")
            } else {
                other.clone()
            },
        )]);
        let found = commit_by("alice", Some(&|bytes, at| key.sign(bytes, at)), &ring).await;
        expect(name, &found, state, words);
        assert_eq!(found.key_id, key.fingerprint(), "{name}");
    }
}

#[tokio::test]
async fn openpgp_commits_that_are_not_what_was_signed_or_whose() {
    let key = PgpKey::new(1, ALICE);
    let ring = keyring(&[("alice.asc", &key.certificate())]);
    let tampered = |bytes: &[u8], at: u32| key.sign(&[bytes, b"x"].concat(), at);
    expect(
        "tampered",
        &commit_by("alice", Some(&tampered), &ring).await,
        Bad,
        "changed after it was signed",
    );
    let sign: Sign<'_> = &|bytes, at| key.sign(bytes, at);
    let wrong = commit_by("bob", Some(sign), &ring).await;
    expect(
        "wrong principal",
        &wrong,
        Bad,
        "the key is alice@example.com's, but the commit is by bob@example.com",
    );
    expect(
        "unsigned",
        &commit_by("alice", None, &ring).await,
        Unsigned,
        "the commit is not signed",
    );
    let early = |bytes: &[u8], _: u32| key.sign(bytes, BORN - 60);
    expect(
        "older than its key",
        &commit_by("alice", Some(&early), &ring).await,
        Bad,
        "before the certificate was made",
    );
    let late = |bytes: &[u8], _: u32| key.sign(bytes, 1_750_010_000);
    expect(
        "from the future",
        &commit_by("alice", Some(&late), &ring).await,
        Bad,
        "in the future",
    );
    let rsa = PgpKey::of(KeyType::Rsa(2048), 4, ALICE);
    let ring = keyring(&[("alice.asc", &rsa.certificate())]);
    let sha1 = |bytes: &[u8], at: u32| rsa.sign_over(HashAlgorithm::Sha1, bytes, at);
    expect(
        "SHA-1",
        &commit_by("alice", Some(&sha1), &ring).await,
        Bad,
        "SHA1, which is too weak",
    );
    let sha2 = |bytes: &[u8], at: u32| rsa.sign_over(HashAlgorithm::Sha512, bytes, at);
    expect("RSA", &commit_by("alice", Some(&sha2), &ring).await, Good, "good");
    let dsa = PgpKey::of(KeyType::Dsa(pgp::composed::DsaKeySize::B1024), 3, ALICE);
    let ring = keyring(&[("alice.asc", &dsa.certificate())]);
    let sign: Sign<'_> = &|bytes, at| dsa.sign(bytes, at);
    expect(
        "DSA",
        &commit_by("alice", Some(sign), &ring).await,
        Bad,
        "DSA key",
    );
}

#[tokio::test]
async fn openpgp_subkeys_sign_where_they_may() {
    let key = || PgpKey::new(1, ALICE);
    for (name, key, state, words) in [
        ("bound", key().bound(true, true, None), Good, "good"),
        ("unbound", key(), Unknown, "does not have"),
        (
            "for encryption",
            key().bound(false, true, None),
            Bad,
            "not marked for signing",
        ),
        ("stolen", key().bound(true, false, None), Bad, "has not confirmed"),
        (
            "expired",
            key().bound(true, true, Some(60)),
            Bad,
            "signing key had expired",
        ),
        (
            "of a revoked certificate",
            key()
                .bound(true, true, None)
                .revoked(BORN, RevocationCode::KeyCompromised),
            Bad,
            "certificate was revoked",
        ),
    ] {
        let ring = keyring(&[("alice.asc", &key.certificate())]);
        let found = commit_by("alice", Some(&|bytes, at| key.sign_with_subkey(bytes, at)), &ring).await;
        expect(name, &found, state, words);
        // People know their certificates by the primary key.
        assert_eq!(found.key_id == key.fingerprint(), state != Unknown, "{name}");
    }
}

#[tokio::test]
async fn ssh_commits_in_every_state() {
    let key = SshKey::new(1);
    let line = |options: &str| format!("alice@example.com {options} {}\n", key.public());
    let other = format!("eve@example.com {}\n", SshKey::new(2).public());
    // The commit is dated 2023-11-15T22:13:20Z.
    for (name, ring, state, words) in [
        ("good", line(""), Good, "good SSH signature of alice@example.com"),
        (
            "pattern",
            format!("*@example.com {}", key.public()),
            Good,
            "alice@example.com",
        ),
        (
            "negated",
            format!("*@example.com,!alice@* {}", key.public()),
            Bad,
            "none of its identities",
        ),
        (
            "unknown",
            other.clone(),
            Unknown,
            "which the keyring does not have",
        ),
        (
            "expired",
            line("valid-before=\"20231115\""),
            Bad,
            "was valid until 2023-11-15",
        ),
        (
            "valid then",
            line("valid-after=\"20231115\",valid-before=\"20231116\""),
            Good,
            "good",
        ),
        (
            "not valid yet",
            line("valid-after=\"20231116\""),
            Bad,
            "valid from 2023-11-16",
        ),
        ("for files", line("namespaces=\"file\""), Bad, "not in \"git\""),
        ("for git", line("namespaces=\"file,g*\""), Good, "good"),
        (
            "wrong principal",
            format!("bob@example.com {}", key.public()),
            Bad,
            "the key is bob@example.com's",
        ),
        (
            "rotated",
            format!(
                "{}{}",
                line("valid-before=\"20231115\""),
                line("valid-after=\"20231115\"")
            ),
            Good,
            "good",
        ),
    ] {
        let ring = keyring(&[("allowed_signers", &format!("{other}{ring}"))]);
        let found = commit_by("alice", Some(&|bytes, at| key.sign(bytes, at)), &ring).await;
        expect(name, &found, state, words);
        assert_eq!(found.key_id, key.id(), "{name}");
    }
}

#[tokio::test]
async fn ssh_commits_that_are_not_what_was_signed_or_whose() {
    let key = SshKey::new(1);
    let sign: Sign<'_> = &|bytes, at| key.sign(bytes, at);
    let ring = keyring(&[("allowed_signers", &format!("alice@example.com {}", key.public()))]);
    let tampered = |bytes: &[u8], _: u32| key.sign_for("git", &[bytes, b"x"].concat());
    expect(
        "tampered",
        &commit_by("alice", Some(&tampered), &ring).await,
        Bad,
        "changed after it was signed",
    );
    let elsewhere = |bytes: &[u8], _: u32| key.sign_for("file", bytes);
    expect(
        "namespace",
        &commit_by("alice", Some(&elsewhere), &ring).await,
        Bad,
        "namespace \"file\"",
    );
    let garbage =
        |_: &[u8], _: u32| "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n".to_owned();
    expect(
        "garbage",
        &commit_by("alice", Some(&garbage), &ring).await,
        Bad,
        "cannot be read",
    );
    let x509 =
        |_: &[u8], _: u32| "-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----\n".to_owned();
    expect(
        "X.509",
        &commit_by("alice", Some(&x509), &ring).await,
        Unknown,
        "X.509",
    );
    // A plain key speaks for itself and is not compared with anybody.
    let plain = keyring(&[("alice.pub", &format!("{} alice@laptop", key.public()))]);
    let found = commit_by("bob", Some(sign), &plain).await;
    expect("plain", &found, Good, "alice@laptop");
    let revoked = keyring(&[("alice.pub", &key.public()), ("revoked_keys", &key.public())]);
    expect(
        "revoked",
        &commit_by("alice", Some(sign), &revoked).await,
        Bad,
        "is revoked",
    );
    expect(
        "empty",
        &commit_by("alice", Some(sign), &Keyring::default()).await,
        Unknown,
        "does not have",
    );
}

#[tokio::test]
async fn a_signed_tag_counts_for_its_commit() {
    let (ssh, pgp) = (SshKey::new(1), PgpKey::new(1, ALICE));
    let allowed = format!("alice@example.com {}", ssh.public());
    let ring = keyring(&[("allowed_signers", &allowed), ("alice.asc", &pgp.certificate())]);
    let eve = SshKey::new(2);
    let ssh_sign: Sign<'_> = &|bytes, at| ssh.sign(bytes, at);
    let pgp_sign: Sign<'_> = &|bytes, at| pgp.sign(bytes, at);
    let eve_sign: Sign<'_> = &|bytes, at| eve.sign(bytes, at);
    let tampered: Sign<'_> = &|bytes, at| ssh.sign(&[bytes, b"x"].concat(), at);
    // Name, who tags, as what, signed how, the commit signed how, what counts in the end.
    for (name, who, tagged, tag, commit, overall) in [
        ("ssh", "alice", "v1", Some(ssh_sign), None, Good),
        ("openpgp", "alice", "v1", Some(pgp_sign), None, Good),
        ("unsigned", "alice", "v1", None, None, Unsigned),
        ("its commit", "alice", "v1", None, Some(ssh_sign), Good),
        ("unknown", "alice", "v1", Some(eve_sign), Some(ssh_sign), Unknown),
        ("tampered", "alice", "v1", Some(tampered), Some(ssh_sign), Bad),
        (
            "wrong principal",
            "bob",
            "v1",
            Some(ssh_sign),
            Some(ssh_sign),
            Bad,
        ),
        ("renamed", "alice", "v0", Some(ssh_sign), Some(ssh_sign), Bad),
    ] {
        let lab = Lab::new();
        let commit = lab.commit(&[("a", "1")], &[], "alice", BORN + DAY, commit);
        let text = crate::signers::tag_text(&commit, tagged, who, BORN + DAY, tag);
        let object = lab.origin.object("tag", &text);
        lab.point("refs/tags/v1", &object);
        lab.point("refs/heads/master", &commit);
        // The commit comes by its branch first: the tag object still has to be fetched.
        let by_branch = lab.verify(&master(), &ring).await;
        assert!(by_branch.tag.is_none(), "{name}");
        for spec in [
            RefSpec::Tag("v1".to_owned()),
            RefSpec::Semver("v1.0.0 || *".to_owned()),
        ] {
            if matches!(spec, RefSpec::Semver(_)) {
                lab.point("refs/tags/v1.0.0", &object);
            }
            let verified = lab.verify(&spec, &ring).await;
            if matches!(spec, RefSpec::Semver(_)) {
                let renamed = if tag.is_some() && overall != Unknown {
                    Bad
                } else {
                    overall
                };
                assert_eq!(verified.overall().state, renamed, "{name}: {verified:?}");
                continue;
            }
            assert_eq!(verified.overall().state, overall, "{name}: {verified:?}");
            let state = verified.tag.map(|tag| tag.state);
            assert_eq!(state == Some(Unsigned), tag.is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn what_ssh_keygen_signs_for_git_is_good() {
    let lab = Lab::new();
    let dir = tempfile::TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let run = |program: &str, args: &[&str]| {
        let done = std::process::Command::new(program)
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(done.status.success(), "{program} {args:?}: {done:?}");
    };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = at(&format!("key-{kind}"));
        run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", "", "-f", &key]);
        let work = at(&format!("work-{kind}"));
        run("git", &["init", "-q", "-b", kind, &work]);
        let signing = format!("user.signingkey={key}.pub");
        let base = [
            "-C",
            &work,
            "-c",
            "gpg.format=ssh",
            "-c",
            &signing,
            "-c",
            "user.name=Alice",
        ];
        let git = |args: &[&str]| {
            run(
                "git",
                &[&base[..], &["-c", "user.email=alice@example.com"], args].concat(),
            );
        };
        git(&[
            "commit",
            "-q",
            "-S",
            "--allow-empty",
            "-m",
            "signed\n\nby ssh-keygen",
        ]);
        git(&["tag", "-s", "-m", "tagged", &format!("tag-{kind}")]);
        let url = lab.origin.dir().display().to_string();
        git(&["push", "-q", &url, kind, &format!("tag-{kind}")]);
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
        let ring = keyring(&[(
            "allowed_signers",
            &format!("alice@example.com namespaces=\"git\" {public}"),
        )]);
        let fetched = lab
            .pool
            .git
            .fetch(&lab.remote, &RefSpec::Tag(format!("tag-{kind}")), None)
            .await
            .unwrap();
        let now = jiff::Timestamp::now();
        let verified = lab
            .pool
            .git
            .verify(&lab.remote, fetched.revision(), &ring, now)
            .await
            .unwrap();
        assert_eq!(verified.commit.state, Good, "{kind}: {verified:?}");
        assert_eq!(verified.tag.map(|tag| tag.state), Some(Good), "{kind}");
    }
}

/// Made once with GnuPG 2.2: `gnupg` is nothing that these tests may ask for.
#[tokio::test]
async fn what_gnupg_signs_for_git_is_good() {
    let lab = Lab::new();
    // The tree of the commit, which comes out the same everywhere.
    lab.origin.files(&[("a.yaml", "a: 1\n")]);
    lab.origin.object("commit", include_str!("gnupg/commit"));
    let tag = lab.origin.object("tag", include_str!("gnupg/tag"));
    lab.point("refs/tags/v1", &tag);
    let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    for (name, certificate, state) in [
        ("good", include_str!("gnupg/alice.asc"), Good),
        ("revoked", include_str!("gnupg/alice-revoked.asc"), Bad),
    ] {
        let ring = keyring(&[("alice.asc", certificate)]);
        let spec = RefSpec::Tag("v1".to_owned());
        let fetched = lab.pool.git.fetch(&lab.remote, &spec, None).await.unwrap();
        let verified = lab
            .pool
            .git
            .verify(&lab.remote, fetched.revision(), &ring, now)
            .await
            .unwrap();
        assert_eq!(verified.commit.state, state, "{name}: {verified:?}");
        assert_eq!(verified.tag.map(|tag| tag.state), Some(state), "{name}");
    }
}
