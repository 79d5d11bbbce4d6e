//! The end-to-end harness: a real control plane on loopback, real git servers, the real operator binary with the
//! chart's rights and nothing more. Tests and the demo are built from these parts; nothing here ships.

mod audit;
mod chart;
pub mod cluster;
mod control_plane;
pub mod error;
pub mod fault_proxy;
pub mod git_server;
pub mod kubeconfig;
pub mod local;
pub mod metrics;
pub mod operator;
pub mod paths;
pub mod process;
pub mod repo;
pub mod ssh_server;
pub mod wait;

pub use cluster::{Cluster, Options};
pub use error::{Error, Result};
pub use fault_proxy::{Fault, FaultProxy};
pub use git_server::GitServer;
pub use operator::Operator;
pub use repo::TestRepo;
pub use ssh_server::SshGitServer;
