//! Writes on own kinds. Each is conditional on the uid, and none is sent when nothing would change.

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_api::inventory::Inventory;
use tidegate_api::names;

use super::{Own, OwnKind};
use crate::call::Call;
use crate::error::Error;

/// Conflicts with other writers of the same object's metadata that are worth another try.
const TRIES: usize = 5;
/// Objects in one page of a list.
const PAGE: usize = 100;
const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Most bytes of one page: etcd holds objects of 1.5 MiB.
const PAGE_CAP: usize = 200 << 20;

impl<K: OwnKind> Own<K> {
    /// Reads one object; `None` when it is not there.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        let path = Self::path(namespace, name);
        let found = self.clients.find(&K::kind(&()), path).await?;
        found.map(|value| decode(value, namespace, name)).transpose()
    }

    /// All objects of a namespace (or of all, when empty) that the label selector chooses. An undecodable one is an error:
    /// callers that must survive one use the watch.
    pub async fn list(&self, namespace: &str, labels: &str) -> Result<Vec<K>, Error> {
        let items = self.pages(namespace, labels, JSON, Some(PAGE)).await?;
        let decode = |item| decode(item, namespace, "*");
        items.into_iter().map(decode).collect()
    }

    /// As [`Own::list`], without their contents: what is large or secret in them is not sent. In one page, which the API
    /// server answers from its memory; of pages it may read all objects of the namespace from etcd, for each.
    pub async fn list_metadata(&self, namespace: &str, labels: &str) -> Result<Vec<ObjectMeta>, Error> {
        let items = self.pages(namespace, labels, METADATA, None).await?;
        let metadata = |mut item: Value| {
            serde_json::from_value(item["metadata"].take()).map_err(|e| Error::Undecodable {
                call: format!("list {} {namespace}", K::kind(&())),
                cause: e.to_string(),
            })
        };
        items.into_iter().map(metadata).collect()
    }

    async fn pages(
        &self,
        namespace: &str,
        labels: &str,
        accept: &'static str,
        page: Option<usize>,
    ) -> Result<Vec<Value>, Error> {
        let selector = crate::paths::segment(labels);
        let kind = K::kind(&());
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let mut path = format!("{}?labelSelector={selector}", Self::collection(namespace));
            if let Some(page) = page {
                path.push_str(&format!("&limit={page}"));
            }
            if !next.is_empty() {
                path.push_str(&format!("&continue={}", crate::paths::segment(&next)));
            }
            let call = Call {
                verb: "list",
                cap: PAGE_CAP,
                accept,
                ..Call::get(&kind, path)
            };
            let (_, mut list) = self.clients.json(&call).await?;
            if let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) {
                found.extend(items);
            }
            next = list["metadata"]["continue"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if next.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Brings the status from `before` to `after`. Sends nothing when they are equal; true when something was sent. The
    /// object must have that uid: a merge patch cannot ask for it, since the status endpoint passes over metadata, so
    /// this is a JSON patch with a test; false when it is another. It replaces the whole status, of which we are the
    /// only writer.
    ///
    /// The uid may be empty for an object that could not be read: then the name alone is meant, and `after` is merged
    /// into the status, the rest of which nobody here knows.
    pub async fn patch_status<S: Serialize>(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        before: &S,
        after: &S,
    ) -> Result<bool, Error> {
        let after = to_value(after);
        if to_value(before) == after {
            return Ok(false);
        }
        let (content_type, patch) = if uid.is_empty() {
            ("application/merge-patch+json", json!({"status": after}))
        } else {
            let test = json!({"op": "test", "path": "/metadata/uid", "value": uid});
            let add = json!({"op": "add", "path": "/status", "value": after});
            ("application/json-patch+json", json!([test, add]))
        };
        let path = format!(
            "{}/status?fieldManager={}",
            Self::path(namespace, name),
            names::FIELD_MANAGER
        );
        match self.patch("patch_status", path, content_type, &patch).await {
            // The test failed: what is there now is another object, about which this status says nothing. A status
            // that breaks its schema is a 422 with causes.
            Err(error)
                if error
                    .refusal()
                    .is_some_and(|r| r.code == 422 && r.causes.is_empty()) =>
            {
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// Adds or removes a finalizer, against the newest state of the object. True when something was sent; an object
    /// that is gone, or another under the same name, needs nothing.
    pub async fn set_finalizer(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        finalizer: &str,
        present: bool,
    ) -> Result<bool, Error> {
        let mut tried = 0;
        loop {
            let Some(live) = self
                .clients
                .find(&K::kind(&()), Self::path(namespace, name))
                .await?
            else {
                return Ok(false);
            };
            let metadata = &live["metadata"];
            let list = metadata["finalizers"].as_array().cloned().unwrap_or_default();
            if metadata["uid"] != uid || list.iter().any(|f| f == finalizer) == present {
                return Ok(false);
            }
            let mut list: Vec<Value> = list.into_iter().filter(|f| f != finalizer).collect();
            if present {
                list.push(finalizer.into());
            }
            let patch = json!({"metadata": {
                "uid": uid, "resourceVersion": metadata["resourceVersion"], "finalizers": list,
            }});
            let path = format!(
                "{}?fieldManager={}",
                Self::path(namespace, name),
                names::FIELD_MANAGER
            );
            tried += 1;
            match self
                .patch("patch", path, "application/merge-patch+json", &patch)
                .await
            {
                Err(error) if error.code() == 409 && tried < TRIES => {}
                Err(error) if error.refusal().is_some_and(crate::error::Refusal::object_missing) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(true),
            }
        }
    }

    /// Creates. A 409 means that the name is taken.
    pub async fn create(&self, object: &K) -> Result<K, Error> {
        let (namespace, name) = place(object);
        let path = format!(
            "{}?fieldManager={}",
            Self::collection(&namespace),
            names::FIELD_MANAGER
        );
        self.send("create", Method::POST, path, object, &namespace, &name)
            .await
    }

    /// Replaces; the object's `resourceVersion` makes it conditional.
    pub async fn replace(&self, object: &K) -> Result<K, Error> {
        let (namespace, name) = place(object);
        let path = format!(
            "{}?fieldManager={}",
            Self::path(&namespace, &name),
            names::FIELD_MANAGER
        );
        self.send("update", Method::PUT, path, object, &namespace, &name)
            .await
    }

    /// Deletes the object of that uid. One that is gone, or another under its name, counts as deleted.
    pub async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
        let kind = K::kind(&());
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": uid},
        });
        let call = Call::mutate(
            "delete",
            Method::DELETE,
            &kind,
            Self::path(namespace, name),
            &self.lease,
        )
        .body("application/json", options.to_string().into_bytes());
        match self.clients.call(&call).await {
            Err(error) if matches!(error.code(), 404 | 409) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn patch(
        &self,
        verb: &'static str,
        path: String,
        content_type: &'static str,
        patch: &Value,
    ) -> Result<(), Error> {
        let kind = K::kind(&());
        let call = Call::mutate(verb, Method::PATCH, &kind, path, &self.lease)
            .body(content_type, patch.to_string().into_bytes());
        self.clients.call(&call).await.map(|_| ())
    }

    async fn send(
        &self,
        verb: &'static str,
        method: Method,
        path: String,
        object: &K,
        namespace: &str,
        name: &str,
    ) -> Result<K, Error> {
        let kind = K::kind(&());
        let mut body = to_value(object);
        body["apiVersion"] = K::api_version(&()).as_ref().into();
        body["kind"] = kind.as_ref().into();
        let call = Call::mutate(verb, method, &kind, path, &self.lease)
            .body("application/json", body.to_string().into_bytes());
        let (_, answer) = self.clients.json(&call).await?;
        decode(answer, namespace, name)
    }
}

impl Own<Inventory> {
    /// Creates a shard with our finalizer, so that a careless `kubectl delete` cannot lose the record.
    pub async fn create_shard(&self, mut shard: Inventory) -> Result<Inventory, Error> {
        let finalizers = shard.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == names::FINALIZER_INVENTORY) {
            finalizers.push(names::FINALIZER_INVENTORY.to_owned());
        }
        self.create(&shard).await
    }

    /// Removes a shard: first the finalizer, then the object.
    pub async fn delete_shard(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
        self.set_finalizer(namespace, name, uid, names::FINALIZER_INVENTORY, false)
            .await?;
        self.delete(namespace, name, uid).await
    }
}

fn place<K: OwnKind>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn decode<K: OwnKind>(value: Value, namespace: &str, name: &str) -> Result<K, Error> {
    serde_json::from_value(value).map_err(|e| Error::Undecodable {
        call: format!("read {} {namespace}/{name}", K::kind(&())),
        cause: e.to_string(),
    })
}

/// Our own types have text keys only, so that they always serialise.
fn to_value<S: Serialize>(object: &S) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
