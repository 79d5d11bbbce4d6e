//! What is sealed is what the watch brings: for every kind that the API server itself serves, the digest of the answer to
//! an apply is that of the first watch event, and of the answer to the same apply again. Else a release would end in drift.

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use http::Request;
use kube::api::WatchEvent;
use serde_json::Value;
use tidegate_core::digest::DigestKey;
use tidegate_core::live::{LiveRecord, reduce};
use tidegate_e2e::{Cluster, Error, Options, Result};

use objects::{FIRST, LEFT_OUT, OBJECTS, UNTRACKED};

const NAMESPACE: &str = "default";
/// A watch event comes at once or never.
const EVENT: Duration = Duration::from_secs(20);

/// A kind as discovery tells it.
#[derive(Clone, Debug)]
struct Kind {
    api_version: String,
    kind: String,
    plural: String,
    namespaced: bool,
}

struct Server {
    client: kube::Client,
}

impl Server {
    async fn send(&self, request: http::request::Builder, body: &str) -> Result<Value> {
        let request = request.body(body.as_bytes().to_vec());
        let request = request.map_err(|e| Error::Bug(e.to_string()))?;
        let what = format!("{} {}", request.method(), request.uri());
        let answer = self.client.request::<Value>(request).await;
        answer.map_err(|error| Error::Api {
            what,
            message: error.to_string(),
        })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.send(Request::get(path), "").await
    }

    /// Kinds whose objects can be made, applied and watched, of all served versions.
    async fn kinds(&self) -> Result<Vec<Kind>> {
        let mut group_versions = vec!["v1".to_owned()];
        let groups = self.get("/apis").await?;
        for group in list(&groups["groups"]) {
            let versions = list(&group["versions"]);
            group_versions.extend(versions.iter().map(|v| text(&v["groupVersion"])));
        }
        let mut kinds = Vec::new();
        for api_version in group_versions {
            let resources = self.get(&root(&api_version)).await?;
            for resource in list(&resources["resources"]) {
                let verbs: Vec<String> = list(&resource["verbs"]).iter().map(text).collect();
                let can = |verb: &str| verbs.iter().any(|have| have == verb);
                let plural = text(&resource["name"]);
                if plural.contains('/') || !(can("create") && can("patch") && can("watch")) {
                    continue;
                }
                kinds.push(Kind {
                    api_version: api_version.clone(),
                    kind: text(&resource["kind"]),
                    plural,
                    namespaced: resource["namespaced"] == true,
                });
            }
        }
        Ok(kinds)
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn root(api_version: &str) -> String {
    let prefix = if api_version.contains('/') {
        "/apis"
    } else {
        "/api"
    };
    format!("{prefix}/{api_version}")
}

impl Kind {
    fn name(&self) -> String {
        format!("{} {}", self.api_version, self.kind)
    }

    fn collection(&self) -> String {
        let root = root(&self.api_version);
        if self.namespaced {
            return format!("{root}/namespaces/{NAMESPACE}/{}", self.plural);
        }
        format!("{root}/{}", self.plural)
    }
}

fn record(object: &Value) -> std::result::Result<LiveRecord, String> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let reduced = reduce(object, &DigestKey::new([7; 32]), now, &[]);
    let record = reduced.map(|(_, record)| record);
    record.ok_or_else(|| format!("it is no object: {object}"))
}

#[tokio::test]
async fn the_answer_to_an_apply_and_the_first_event_have_one_digest_for_every_kind() -> Result<()> {
    let cluster = Cluster::start(Options {
        name: "digests".to_owned(),
        controllers: false,
        scheduler: false,
        nodes: 0,
        ..Options::default()
    })
    .await?;
    let server = Server {
        client: cluster.kube_client().await?,
    };
    let objects: BTreeMap<String, &str> = OBJECTS
        .iter()
        .map(|(kind, body)| ((*kind).to_owned(), *body))
        .collect();
    let left_out: BTreeSet<&str> = LEFT_OUT.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(objects.len(), OBJECTS.len(), "a kind is there twice");
    let mut kinds = server.kinds().await?;
    // What others need comes first.
    kinds.sort_by_key(|kind| {
        FIRST
            .iter()
            .position(|first| *first == kind.kind)
            .unwrap_or(FIRST.len())
    });
    let served: BTreeSet<String> = kinds.iter().map(Kind::name).collect();
    let unknown: Vec<&String> = served
        .iter()
        .filter(|kind| !objects.contains_key(*kind) && !left_out.contains(kind.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "the API server serves kinds that have no object in digests/objects.rs and no reason there: {unknown:#?}"
    );
    assert!(served.len() > 50, "discovery tells little: {served:?}");
    let mut wrong = Vec::new();
    for kind in kinds.iter().filter(|kind| objects.contains_key(&kind.name())) {
        if let Err(problem) = compare(&server, kind, objects[&kind.name()]).await {
            wrong.push(format!("{}: {problem}", kind.name()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    cluster.shutdown();
    Ok(())
}

async fn compare(server: &Server, kind: &Kind, body: &str) -> std::result::Result<(), String> {
    let say = |error: Error| error.to_string();
    // Names say the version too: one object can be watched at all of its versions.
    let version = kind.api_version.rsplit('/').next().unwrap_or_default();
    let body = body.replace("{v}", version);
    let mut object: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
    object["apiVersion"] = kind.api_version.as_str().into();
    object["kind"] = kind.kind.as_str().into();
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = format!("digest-{version}").into();
    }
    let name = text(&object["metadata"]["name"]);
    let collection = kind.collection();
    let before = server.get(&format!("{collection}?limit=1")).await.map_err(say)?;
    let from = text(&before["metadata"]["resourceVersion"]);
    let watch =
        format!("{collection}?watch=true&resourceVersion={from}&fieldSelector=metadata.name%3D{name}");
    let request = Request::get(watch).body(Vec::new()).map_err(|e| e.to_string())?;
    let events = server.client.request_events::<Value>(request);
    let mut events = pin!(events.await.map_err(|e| e.to_string())?.boxed());
    let path = format!("{collection}/{name}?fieldManager=tidegate&force=true");
    let apply = || Request::patch(&path).header("content-type", "application/apply-patch+yaml");
    let body = object.to_string();
    let answer = server.send(apply(), &body).await.map_err(say)?;
    let event = tokio::time::timeout(EVENT, events.try_next()).await;
    let event = event
        .map_err(|_| "no watch event".to_owned())?
        .map_err(|e| e.to_string())?;
    let Some(WatchEvent::Added(seen) | WatchEvent::Modified(seen)) = event else {
        return Err(format!("the first event is {event:?}"));
    };
    let again = server.send(apply(), &body).await.map_err(say)?;
    let (sealed, seen, again) = (record(&answer)?, record(&seen)?, record(&again)?);
    if sealed.ours.is_some() == UNTRACKED.contains(&kind.name().as_str()) {
        return Err(format!("whether something of the answer is ours: {answer}"));
    }
    for (what, other) in [("first event", &seen), ("same apply again", &again)] {
        if (&sealed.ours, &sealed.foreign) != (&other.ours, &other.foreign) {
            return Err(format!("the {what} differs: {sealed:?} {other:?} {answer}"));
        }
    }
    Ok(())
}
