//! Everything that talks to a Kubernetes API server: clients, discovery, apply and prune, watches, the lease, events.
//!
//! Owns the IO. May not decide: what to apply, whose an object is and how healthy it is come from `tidegate-core`,
//! and nothing is mutated but by an `Approved<Plan>`. May not touch git, YAML or files other than a kubeconfig.

pub mod admission;
pub mod apply;
pub mod call;
pub mod connect;
pub mod discovery;
pub mod error;
pub mod events;
pub mod kubeconfig;
pub mod lease;
pub mod metrics;
pub mod own;
mod paths;
pub mod pods;
pub mod scalers;
pub mod schemas;
mod stream;
pub mod watch;

#[cfg(test)]
mod fake;

pub use apply::{Done, ExecuteContext, Execution, Executor, Failure, Outcome};
pub use connect::Clients;
pub use error::{Class, Error};
pub use lease::LeaseGuard;
pub use metrics::KubeMetrics;
pub use scalers::Scalers;
pub use schemas::SchemaCache;
pub use watch::{Lenses, LiveMap};
