//! git-upload-pack over ssh, on a private single-threaded runtime inside the blocking worker. Owns host key checking
//! (known_hosts is required), the key login and the remote command. No agent, no configuration files, no password
//! login, no shell of ours.

use crate::advertisement::server_error;
use crate::cancel::Watch;
use crate::credentials::SshIdentity;
use crate::known_hosts::{KnownHosts, Verdict};
use crate::{Error, Remote, escape};
use bytes::Bytes;
use russh::client::{self, Handle, Msg};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Preferred};
use std::borrow::Cow;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often a waiting worker looks at the cancel flag.
const SLICE: Duration = Duration::from_millis(100);
const MAX_STDERR: usize = 4096;

pub(crate) struct SshSession {
    channel: Channel<Msg>,
    handle: Handle<HostKeyCheck>,
    runtime: Runtime,
    watch: Watch,
    pending: Bytes,
    stderr: Vec<u8>,
    ended: bool,
}

impl SshSession {
    pub(crate) fn connect(remote: &Remote, watch: &Watch) -> Result<Self, Error> {
        let identity = remote
            .credentials
            .ssh()
            .ok_or_else(|| Error::InvalidCredentials {
                field: "identity",
                why: "an ssh URL needs spec.secretRef with identity and known_hosts".to_owned(),
            })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Bug {
                why: format!("no runtime for ssh: {error}"),
            })?;
        let opened = wait(&runtime, watch, open(remote, identity, watch))?;
        let (handle, channel) = opened?;
        Ok(Self {
            channel,
            handle,
            runtime,
            watch: watch.clone(),
            pending: Bytes::new(),
            stderr: Vec::new(),
            ended: false,
        })
    }

    pub(crate) fn send(&mut self, body: &[u8]) -> Result<(), Error> {
        wait(&self.runtime, &self.watch, self.channel.data_bytes(body.to_vec()))?
            .map_err(|error| lost(&self.watch, &error))
    }

    /// If the stream broke off and the server said why on stderr, that is the better error.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::Truncated { .. } if !self.stderr.trim_ascii().is_empty() => {
                server_error(&self.stderr, &self.watch)
            }
            other => other,
        }
    }

    fn receive(&mut self) -> Result<(), Error> {
        let message = wait(&self.runtime, &self.watch, self.channel.wait())?;
        match message {
            Some(ChannelMsg::Data { data }) => self.pending = data,
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                let room = MAX_STDERR.saturating_sub(self.stderr.len());
                self.stderr.extend_from_slice(&data[..data.len().min(room)]);
            }
            // Eof comes before the last of stderr: only Close or the end of the connection ends the stream.
            Some(ChannelMsg::Close) | None => self.ended = true,
            Some(ChannelMsg::Failure) => {
                let url = self.watch.url().to_owned();
                return Err(Error::ServerError {
                    url,
                    why: "the server refuses to run git-upload-pack".to_owned(),
                });
            }
            Some(_) => {}
        }
        Ok(())
    }
}

impl Read for SshSession {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.pending.is_empty() && !self.ended {
            self.receive().map_err(io::Error::other)?;
        }
        let size = out.len().min(self.pending.len());
        out[..size].copy_from_slice(&self.pending.split_to(size));
        Ok(size)
    }
}

impl Drop for SshSession {
    fn drop(&mut self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "", "en");
        // Politeness with a limit: the connection dies with the runtime anyway.
        let _ = self
            .runtime
            .block_on(async { tokio::time::timeout(SLICE, bye).await });
    }
}

/// Runs a future on the private runtime, looking at flag and deadline every slice.
fn wait<T>(runtime: &Runtime, watch: &Watch, future: impl Future<Output = T>) -> Result<T, Error> {
    let mut future = pin!(future);
    loop {
        watch.check()?;
        let slice = SLICE.min(watch.remaining());
        if let Ok(done) = runtime.block_on(async { tokio::time::timeout(slice, &mut future).await }) {
            return Ok(done);
        }
    }
}

async fn open(
    remote: &Remote,
    identity: &SshIdentity,
    watch: &Watch,
) -> Result<(Handle<HostKeyCheck>, Channel<Msg>), Error> {
    let (host, port) = (remote.url.host(), remote.url.port());
    let unreachable = |why: String| Error::Unreachable {
        url: watch.url().to_owned(),
        why,
    };
    let connecting = tokio::time::timeout(
        Duration::from_secs(10),
        tokio::net::TcpStream::connect((host, port)),
    );
    let stream = match connecting.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(escape::line(&error.to_string(), 200))),
        Err(_) => return Err(unreachable("no connection within 10 s".to_owned())),
    };
    let refusal = Arc::new(Mutex::new(None));
    let check = HostKeyCheck {
        known: identity.known_hosts.clone(),
        host: host.to_owned(),
        port,
        url: watch.url().to_owned(),
        refusal: refusal.clone(),
    };
    let config = client::Config {
        preferred: preferred(&identity.known_hosts, host, port),
        ..client::Config::default()
    };
    let connected = client::connect_stream(Arc::new(config), stream, check).await;
    let mut handle = connected.map_err(|error| {
        let refused = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        refused.unwrap_or_else(|| handshake_failed(watch, &error))
    })?;
    log_in(&mut handle, remote, identity, watch).await?;
    let channel = handle
        .channel_open_session()
        .await
        .map_err(|error| lost(watch, &error))?;
    let command = format!("git-upload-pack {}", quoted(remote.url.ssh_path()));
    channel
        .exec(true, command)
        .await
        .map_err(|error| lost(watch, &error))?;
    Ok((handle, channel))
}

async fn log_in(
    handle: &mut Handle<HostKeyCheck>,
    remote: &Remote,
    identity: &SshIdentity,
    watch: &Watch,
) -> Result<(), Error> {
    let hash = match identity.key.algorithm() {
        Algorithm::Rsa { .. } => handle
            .best_supported_rsa_hash()
            .await
            .map_err(|error| lost(watch, &error))?
            .flatten(),
        _ => None,
    };
    let key = PrivateKeyWithHashAlg::new(identity.key.clone(), hash);
    let answer = handle
        .authenticate_publickey(remote.url.user(), key)
        .await
        .map_err(|error| lost(watch, &error))?;
    if answer.success() {
        return Ok(());
    }
    let print = identity.key.public_key().fingerprint(HashAlg::Sha256);
    let why = format!("key {print} is not accepted for user {}", remote.url.user());
    Err(Error::AuthenticationFailed {
        url: watch.url().to_owned(),
        why,
    })
}

/// Restricts negotiation to the key types known for the host; with none known, all are offered to name the key.
fn preferred(known: &KnownHosts, host: &str, port: u16) -> Preferred {
    let kinds = known.algorithms(host, port);
    let is_rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rsa { .. });
    let fits = |offered: &Algorithm| {
        kinds
            .iter()
            .any(|k| k == offered || (is_rsa(k) && is_rsa(offered)))
    };
    let default = Preferred::default();
    let chosen: Vec<Algorithm> = default.key.iter().filter(|a| fits(a)).cloned().collect();
    if chosen.is_empty() {
        default
    } else {
        Preferred {
            key: Cow::Owned(chosen),
            ..default
        }
    }
}

fn handshake_failed(watch: &Watch, error: &russh::Error) -> Error {
    let url = watch.url().to_owned();
    match error {
        // Only known key types were offered: the server has none of them.
        russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Key,
            ..
        } => Error::HostKeyMismatch {
            url,
            offered: "no key of a type listed there".to_owned(),
        },
        other => lost(watch, other),
    }
}

fn lost(watch: &Watch, error: &russh::Error) -> Error {
    Error::Unreachable {
        url: watch.url().to_owned(),
        why: format!("ssh: {}", escape::line(&error.to_string(), 200)),
    }
}

/// The path as one word for the shell on the other side.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

pub(crate) struct HostKeyCheck {
    known: KnownHosts,
    host: String,
    port: u16,
    url: String,
    refusal: Arc<Mutex<Option<Error>>>,
}

impl client::Handler for HostKeyCheck {
    type Error = russh::Error;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = offered else {
            return Ok(false);
        };
        let shown = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let url = self.url.clone();
        let refusal = match self.known.judge(&self.host, self.port, key) {
            Verdict::Trusted => return Ok(true),
            Verdict::Unknown => Error::HostKeyUnknown { url, offered: shown },
            Verdict::Mismatch => Error::HostKeyMismatch { url, offered: shown },
        };
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn the_remote_shell_sees_one_word() {
        assert_eq!(quoted("a b'; rm -rf /'"), r"'a b'\''; rm -rf /'\'''");
    }
}
