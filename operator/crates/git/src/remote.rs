//! A remote repository as the callers name it, and its caps. Owns no IO.

use crate::{Credentials, RepoUrl};
use std::time::Duration;

/// Where, as whom, how long and how much.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Address.
    pub url: RepoUrl,
    /// As whom; part of the mirror's identity, so a mirror is never read with other credentials.
    pub credentials: Credentials,
    /// Deadline of one whole operation, `spec.timeout`.
    pub timeout: Duration,
    /// Caps.
    pub limits: Limits,
}

impl Remote {
    /// A remote with the defaults: no credentials, 60 s, default caps.
    #[must_use]
    pub fn new(url: RepoUrl) -> Self {
        Self {
            url,
            credentials: Credentials::default(),
            timeout: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

/// Caps on what a server can make us take, hold or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one pack on the wire (1 GiB).
    pub max_fetch_bytes: u64,
    /// Objects in one pack (5,000,000): the index is allocated from the count that the pack claims.
    pub max_objects: u32,
    /// Inflated bytes of one object of a pack, blobs nobody reads included (256 MiB): deltas are rebuilt in memory.
    pub max_object_bytes: u64,
    /// References a server may advertise (500,000; a big public repository has 150,000).
    pub max_refs: u64,
    /// Bytes of the advertisement (64 MiB); only what matches is kept in memory.
    pub max_ref_bytes: u64,
    /// Bytes of one file read from a snapshot (10 MiB).
    pub max_blob_bytes: u64,
    /// Files and directories under one path (100,000).
    pub max_files: usize,
    /// Bytes that one `read_all` returns (256 MiB).
    pub max_read_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_fetch_bytes: 1 << 30,
            max_objects: 5_000_000,
            max_object_bytes: 256 << 20,
            max_refs: 500_000,
            max_ref_bytes: 64 << 20,
            max_blob_bytes: 10 << 20,
            max_files: 100_000,
            max_read_bytes: 256 << 20,
        }
    }
}
