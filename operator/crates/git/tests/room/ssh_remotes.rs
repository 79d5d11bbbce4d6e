//! ssh against a real sshd on a loopback port, run as the user of the tests.

use crate::fixture::{Origin, master, pool, remote};
use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_git::{Credentials, Error, Fetched, Remote};

struct Sshd {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path);
    assert!(
        command
            .status()
            .expect("ssh-keygen: apt-get install openssh-client")
            .success()
    );
}

impl Sshd {
    fn start() -> Self {
        let program = "/usr/sbin/sshd";
        assert!(
            Path::new(program).exists(),
            "no {program}: apt-get install openssh-server"
        );
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, kind, passphrase) in [
            ("host", "ed25519", ""),
            ("other", "ed25519", ""),
            ("user", "ed25519", ""),
            ("locked", "ed25519", "open sesame"),
            ("rsa", "rsa", ""),
            ("stranger", "ed25519", ""),
        ] {
            keygen(&at(name), kind, passphrase);
        }
        let keys = ["user.pub", "locked.pub", "rsa.pub"].map(|name| fs::read_to_string(at(name)).unwrap());
        fs::write(at("authorized"), keys.concat()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n",
            at("host").display(),
            at("authorized").display()
        );
        fs::write(at("config"), config).unwrap();
        // Privilege separation of a root sshd wants this directory; an unprivileged one does not.
        let _ = fs::create_dir_all("/run/sshd");
        let mut command = Command::new(program);
        command
            .args(["-D", "-e", "-f"])
            .arg(at("config"))
            .stderr(Stdio::null());
        let sshd = Self {
            child: command.spawn().unwrap(),
            dir,
            port,
        };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return sshd;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("sshd does not listen; run {program} -D -e by hand with the config of this test");
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    fn known_hosts(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.file(key))
    }

    fn remote(
        &self,
        origin: &Origin,
        identity: &str,
        known_hosts: &str,
        passphrase: Option<&str>,
    ) -> Result<Remote, Error> {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let mut data = BTreeMap::from([
            ("identity".to_owned(), self.file(identity).into_bytes()),
            ("known_hosts".to_owned(), known_hosts.as_bytes().to_vec()),
        ]);
        data.extend(passphrase.map(|word| ("password".to_owned(), word.as_bytes().to_vec())));
        let url = format!(
            "ssh://{}@127.0.0.1:{}{}",
            user.trim(),
            self.port,
            origin.dir().display()
        );
        Ok(Remote {
            credentials: Credentials::from_secret(&data)?,
            ..remote(&url)
        })
    }
}

#[tokio::test]
async fn keys_of_every_kind_clone_poll_and_fetch() {
    let (sshd, origin) = (Sshd::start(), Origin::new());
    let known = sshd.known_hosts("host.pub");
    let pool = pool();
    for (identity, passphrase) in [("user", None), ("locked", Some("open sesame")), ("rsa", None)] {
        let remote = sshd.remote(&origin, identity, &known, passphrase).unwrap();
        let first = pool
            .git
            .fetch(&remote, &master(), None)
            .await
            .unwrap()
            .revision()
            .commit
            .clone();
        let again = pool.git.fetch(&remote, &master(), Some(&first)).await.unwrap();
        assert!(matches!(again, Fetched::Unchanged(_)), "{identity}");
        let second = origin.commit_files("master", &[("deploy/a.yaml", identity)]);
        let found = pool.git.fetch(&remote, &master(), Some(&first)).await.unwrap();
        assert_eq!(found.revision().commit, second);
        let snapshot = pool.git.snapshot(&remote, &second, "deploy").await.unwrap();
        assert_eq!(snapshot.read("a.yaml").await.unwrap(), identity.as_bytes());
    }
}

#[tokio::test]
async fn refusals_have_their_reason() {
    let (sshd, origin) = (Sshd::start(), Origin::new());
    let known = sshd.known_hosts("host.pub");
    let pool = pool();
    let elsewhere = format!("git.example.com {}", sshd.file("host.pub"));
    let rsa_only = sshd.known_hosts("rsa.pub");
    for (identity, hosts, want) in [
        ("user", elsewhere.as_str(), "HostKeyUnknown"),
        ("user", &sshd.known_hosts("other.pub"), "HostKeyMismatch"),
        ("user", &rsa_only, "HostKeyMismatch"),
        ("stranger", &known, "AuthenticationFailed"),
    ] {
        let remote = sshd.remote(&origin, identity, hosts, None).unwrap();
        let error = pool.git.fetch(&remote, &master(), None).await.unwrap_err();
        assert_eq!(error.reason(), want, "{error}");
    }
    for passphrase in [None, Some("wrong")] {
        let error = sshd.remote(&origin, "locked", &known, passphrase).unwrap_err();
        assert_eq!(error.reason(), "InvalidCredentials");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    let good = sshd.remote(&origin, "user", &known, None).unwrap();
    let missing = tidegate_git::RepoUrl::parse(&format!("{}-gone", good.url)).unwrap();
    let error = pool
        .git
        .fetch(
            &Remote {
                url: missing,
                ..good.clone()
            },
            &master(),
            None,
        )
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "RepositoryNotFound", "{error}");
    let bare = Remote {
        credentials: Credentials::default(),
        ..good
    };
    assert_eq!(
        pool.git.fetch(&bare, &master(), None).await.unwrap_err().reason(),
        "InvalidCredentials"
    );
}

#[tokio::test]
async fn a_port_that_hangs_costs_the_timeout_and_a_closed_one_nothing() {
    let (sshd, origin) = (Sshd::start(), Origin::new());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = sshd
        .remote(&origin, "user", &sshd.known_hosts("host.pub"), None)
        .unwrap();
    let pool = pool();
    let at = |port: u16| tidegate_git::RepoUrl::parse(&format!("ssh://git@127.0.0.1:{port}/x")).unwrap();
    let hanging = Remote {
        url: at(silent.local_addr().unwrap().port()),
        timeout: Duration::from_millis(500),
        ..good.clone()
    };
    assert_eq!(
        pool.git
            .ls_remote(&hanging, &master())
            .await
            .unwrap_err()
            .reason(),
        "Timeout"
    );
    let closed = Remote { url: at(1), ..good };
    assert_eq!(
        pool.git.ls_remote(&closed, &master()).await.unwrap_err().reason(),
        "Unreachable"
    );
}
