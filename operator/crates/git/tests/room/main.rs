//! The git room against real servers (`git http-backend`, sshd) and hostile ones. Needs git and openssh-server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fixture;
mod history;
mod hostile_servers;
mod http_remotes;
mod mirrors;
mod signatures;
mod signers;
mod ssh_remotes;
mod trees;
mod web_server;
