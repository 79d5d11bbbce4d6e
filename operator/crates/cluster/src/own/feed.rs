//! The watch of an own kind.

use std::collections::HashSet;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Own, OwnEvent, OwnKind};
use crate::error::Error;
use crate::stream::{self, Feed, Sink};

/// Events that wait for the receiver; after that the watch itself waits.
const QUEUE: usize = 256;

type Place = (String, String);

impl<K: OwnKind> Own<K> {
    /// Watches all objects of a namespace, or of all, that the label selector chooses. A kind whose CRD is not there
    /// yet is waited for. Ends when cancelled or when the receiver is dropped.
    pub fn watch(
        &self,
        namespace: Option<&str>,
        labels: Option<&str>,
        cancel: CancellationToken,
    ) -> mpsc::Receiver<OwnEvent<K>> {
        let (events, receiver) = mpsc::channel(QUEUE);
        let feed = Feed {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            path: Self::collection(namespace.unwrap_or_default()),
            labels: labels.map(str::to_owned),
            patient: true,
            resync: None,
        };
        let clients = self.clients.clone();
        tokio::spawn(async move {
            let mut sink = EventSink {
                events: events.clone(),
                known: HashSet::new(),
                listing: None,
            };
            tokio::select! {
                _ = stream::run(&clients, &feed, &mut sink, &cancel) => {}
                () = events.closed() => {}
            }
        });
        receiver
    }
}

struct EventSink<K> {
    events: mpsc::Sender<OwnEvent<K>>,
    known: HashSet<Place>,
    listing: Option<HashSet<Place>>,
}

impl<K: OwnKind> EventSink<K> {
    /// A receiver that is gone ends the watch in [`Own::watch`].
    async fn send(&self, event: OwnEvent<K>) {
        self.events.send(event).await.ok();
    }
}

fn place(object: &Value) -> Place {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn decode<K: OwnKind>(object: Value) -> OwnEvent<K> {
    let (namespace, name) = place(&object);
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    match serde_json::from_value(object) {
        Ok(object) => OwnEvent::Upsert(Box::new(object)),
        Err(error) => OwnEvent::Undecodable {
            message: format!(
                "{} {namespace}/{name} cannot be read: {error}; correct it, or update Tidegate and its CRDs together",
                K::kind(&())
            ),
            namespace,
            name,
            generation,
        },
    }
}

impl<K: OwnKind> Sink for EventSink<K> {
    fn relist(&mut self) {
        self.listing = Some(HashSet::new());
    }

    async fn object(&mut self, object: Value) {
        let place = place(&object);
        if let Some(listing) = &mut self.listing {
            listing.insert(place.clone());
        }
        self.known.insert(place);
        self.send(decode(object)).await;
    }

    async fn listed(&mut self, _resource_version: &str) {
        let named = self.listing.take().unwrap_or_default();
        let gone: Vec<Place> = self.known.difference(&named).cloned().collect();
        for (namespace, name) in gone {
            self.known.remove(&(namespace.clone(), name.clone()));
            self.send(OwnEvent::Deleted { namespace, name }).await;
        }
        self.send(OwnEvent::Synced).await;
    }

    fn reached(&mut self, _resource_version: &str) {}

    async fn deleted(&mut self, object: Value) -> Result<(), Error> {
        let place = place(&object);
        self.known.remove(&place);
        let (namespace, name) = place;
        self.send(OwnEvent::Deleted { namespace, name }).await;
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        tracing::warn!(kind = %K::kind(&()), reason = error.reason(), %error, "a watch fails, and is tried again");
    }
}
