//! The `git` room: bare mirrors of remote repositories and what can be read out of them.
//!
//! Owns: repository URLs, credentials, the wire protocol (smart HTTP and ssh), mirrors on disk, refs, revisions,
//! snapshots of a tree, tree comparison, signatures. It never touches Kubernetes, YAML or a work tree: nothing is ever checked
//! out, files are only ever read as blobs by object id, so a symlink or a hostile path has nothing to escape into.
//!
//! libgit2 keeps the object database. The protocol itself (protocol v0, one ls-refs and one pack) is spoken here and
//! not by libgit2's transports: those cannot bound a ref advertisement, have process-wide timeouts and authorities,
//! no client certificates, and registering one needs `unsafe`. Every byte that arrives passes a cap and a deadline.

mod advertisement;
mod ancestry;
mod cancel;
mod credentials;
mod error;
mod escape;
mod fetch;
mod git_pool;
mod history;
mod http;
mod known_hosts;
mod libgit2;
mod mirror;
mod pack_scan;
mod pkt_line;
mod refs;
mod remote;
mod repo_url;
mod revision;
mod signature;
mod snapshot;
mod ssh;
mod transport;
mod tree_diff;
mod tree_walk;
mod upload_pack;
mod workers;

pub use credentials::Credentials;
pub use error::{Class, Error};
pub use fetch::Fetched;
pub use git_pool::GitPool;
pub use history::{Contribution, History, Paths};
pub use refs::{RefSpec, ResolvedRef};
pub use remote::{Limits, Remote};
pub use repo_url::{RepoUrl, Scheme};
pub use revision::Revision;
pub use signature::{Keyring, Signature, SignatureState, Verified};
pub use snapshot::{File, Snapshot};
pub use tree_diff::{Change, ChangeKind};
pub use tree_walk::{Entry, EntryKind};
