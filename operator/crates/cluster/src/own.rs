//! Our own kinds: watched so that one undecodable object stalls only itself, written only where something changed.

mod feed;
mod write;

use std::marker::PhantomData;

use kube::Resource;
use serde::de::DeserializeOwned;

use crate::connect::Clients;
use crate::lease::LeaseGuard;
use crate::paths;

/// News of one kind.
#[derive(Debug)]
pub enum OwnEvent<K> {
    /// The object as it is now.
    Upsert(Box<K>),
    /// It is there and cannot be read: its spec is not of this version's form.
    Undecodable {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// `metadata.generation`.
        generation: i64,
        /// What is wrong, with the field.
        message: String,
    },
    /// It is gone.
    Deleted {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The first list is complete. Comes again after each later list.
    Synced,
}

/// A kind of ours, or one that k8s-openapi knows.
pub trait OwnKind:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + Send + Sync + 'static
{
}

impl<K> OwnKind for K where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + Send + Sync + 'static
{
}

/// Access to one kind.
pub struct Own<K> {
    clients: Clients,
    lease: LeaseGuard,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Own<K> {
    fn clone(&self) -> Self {
        Self {
            clients: self.clients.clone(),
            lease: self.lease.clone(),
            kind: PhantomData,
        }
    }
}

impl<K: OwnKind> Own<K> {
    /// Reads freely; each write asks `lease`.
    pub fn new(clients: Clients, lease: LeaseGuard) -> Self {
        let kind = PhantomData;
        Self { clients, lease, kind }
    }

    fn collection(namespace: &str) -> String {
        paths::collection(&K::group(&()), &K::version(&()), namespace, &K::plural(&()))
    }

    fn path(namespace: &str, name: &str) -> String {
        format!("{}/{}", Self::collection(namespace), paths::segment(name))
    }
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
