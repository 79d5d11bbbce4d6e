//! A real sshd on loopback that serves git repositories. Owns its keys and its process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::{Process, Start, free_port, run};
use crate::{git_server, wait};

/// The running server; ends when dropped.
#[derive(Debug)]
pub struct SshGitServer {
    process: Process,
    dir: PathBuf,
    port: u16,
    user: String,
}

impl SshGitServer {
    /// Starts sshd with keys made in `dir`; repositories lie in `dir/repos`.
    ///
    /// # Errors
    /// When sshd is missing (`apt-get install openssh-server`) or does not listen.
    pub async fn start(dir: &Path) -> Result<Self> {
        let repos = dir.join("repos");
        std::fs::create_dir_all(&repos).map_err(Error::file(&repos))?;
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"].map(PathBuf::from);
        let missing = || Error::Setup("sshd is missing: apt-get install openssh-server".to_owned());
        let sshd = sshd.into_iter().find(|path| path.is_file()).ok_or_else(missing)?;
        for name in ["host_key", "user_key"] {
            let mut keygen = Command::new("ssh-keygen");
            run(keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(dir.join(name)))?;
        }
        let authorized = dir.join("authorized_keys");
        std::fs::copy(dir.join("user_key.pub"), &authorized).map_err(Error::file(&authorized))?;
        let port = free_port()?;
        let host_key = std::fs::read_to_string(dir.join("host_key.pub")).map_err(Error::file(dir))?;
        let known = dir.join("known_hosts");
        std::fs::write(&known, format!("[127.0.0.1]:{port} {host_key}")).map_err(Error::file(&known))?;
        let config = dir.join("sshd_config");
        std::fs::write(&config, settings(dir, port)).map_err(Error::file(&config))?;
        // As root sshd insists on its privilege separation folder; elsewhere it does not use it.
        drop(std::fs::create_dir_all("/run/sshd"));
        let start = Start {
            part: "sshd".to_owned(),
            program: sshd,
            args: vec![
                "-D".to_owned(),
                "-e".to_owned(),
                "-f".to_owned(),
                config.display().to_string(),
            ],
            env: Vec::new(),
            log: dir.join("sshd.log"),
            detached: false,
        };
        let process = Process::start(start)?;
        let look = || tokio::net::TcpStream::connect(("127.0.0.1", port));
        let listening = wait::until(Duration::from_secs(15), "sshd to listen", look).await;
        listening.map_err(|error| process.error(&error.to_string()))?;
        let user = run(Command::new("id").arg("-un"))?.trim().to_owned();
        Ok(Self {
            process,
            dir: dir.to_owned(),
            port,
            user,
        })
    }

    /// Makes an empty bare repository `<name>.git`.
    ///
    /// # Errors
    /// When git fails.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        git_server::create_bare(&self.dir.join("repos"), name)
    }

    /// The `ssh://` URL of a repository.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!(
            "ssh://{}@127.0.0.1:{}{}/{name}.git",
            self.user,
            self.port,
            self.dir.join("repos").display()
        )
    }

    /// The user's private key, OpenSSH format, without passphrase.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.dir.join("user_key")
    }

    /// The known_hosts file that names this server's host key.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// A value of `GIT_SSH_COMMAND` with the key and known_hosts.
    #[must_use]
    pub fn ssh_command(&self) -> String {
        format!(
            "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}",
            self.identity().display(),
            self.known_hosts().display()
        )
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }
}

fn settings(dir: &Path, port: u16) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    // StrictModes off: run folders may lie below folders others can write to, which sshd would refuse.
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         AllowTcpForwarding no\nX11Forwarding no\nPrintMotd no\nAcceptEnv GIT_PROTOCOL\n",
        at("host_key"),
        at("authorized_keys")
    )
}
