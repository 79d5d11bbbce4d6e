//! The user's cluster: kubeconfig, namespace, and calls with deadlines whose errors say what right is missing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_core::duration;

use super::Failure;

/// Field manager of what people change by a verb.
const MANAGER: &str = "tidegate-cli";
/// Objects in one page of a list.
const PAGE: u32 = 250;

/// Flags that say which cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connection {
    /// Namespace; that of the kubeconfig's context when absent.
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig; the current one when absent.
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Kubeconfig; as kubectl finds it when absent.
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Longest time that one request may take.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    pub(crate) request_timeout: Duration,
}

/// A kind of ours in a namespace.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + Serialize
    + std::fmt::Debug
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug
{
}

/// The cluster of a [`Connection`].
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// Namespace that is meant where none is named.
    pub(crate) namespace: String,
    /// Longest time that one request may take.
    pub(crate) timeout: Duration,
}

impl Connection {
    /// Reads the kubeconfig. Sends nothing yet.
    pub(crate) async fn open(&self) -> Result<Cluster, Failure> {
        let mut config = self.config().await?;
        config.default_retry = false;
        // Longer than a request may take, so that its deadline decides what is said.
        let longer = Some(self.request_timeout.saturating_add(Duration::from_secs(5)));
        config.connect_timeout = longer;
        config.read_timeout = longer;
        config.write_timeout = longer;
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client =
            Client::try_from(config).map_err(|e| Failure::No(format!("kubeconfig: {}", chain(&e))))?;
        Ok(Cluster {
            client,
            namespace,
            timeout: self.request_timeout,
        })
    }

    async fn config(&self) -> Result<Config, Failure> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        if let Some(path) = &self.kubeconfig {
            let bad = |e: &dyn std::error::Error| Failure::No(format!("{}: {}", path.display(), chain(e)));
            let file = Kubeconfig::read_from(path).map_err(|e| bad(&e))?;
            return Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|e| bad(&e));
        }
        match Config::from_kubeconfig(&options).await {
            Ok(config) => Ok(config),
            // In a pod, without a kubeconfig: its own account.
            Err(error) => match Config::incluster() {
                Ok(config) if self.context.is_none() => Ok(config),
                _ => Err(Failure::No(format!("kubeconfig: {}", chain(&error)))),
            },
        }
    }
}

impl Cluster {
    fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// One object of the namespace; `None` when it is not there.
    pub(crate) async fn find<K: Kind>(&self, name: &str) -> Result<Option<K>, Failure> {
        self.find_in(&self.namespace, name).await
    }

    /// As [`Cluster::find`], in another namespace.
    pub(crate) async fn find_in<K: Kind>(&self, namespace: &str, name: &str) -> Result<Option<K>, Failure> {
        let api = self.api::<K>(namespace);
        self.within(&what::<K>("get", namespace, name), api.get_opt(name))
            .await
    }

    /// One object of the namespace, which must be there.
    pub(crate) async fn get<K: Kind>(&self, name: &str) -> Result<K, Failure> {
        let found = self.find::<K>(name).await?;
        found.ok_or_else(|| {
            Failure::No(format!(
                "there is no {} {name} in namespace {}; `kubectl get {}.{} -n {}` lists those that are",
                K::kind(&()),
                self.namespace,
                K::plural(&()),
                K::group(&()),
                self.namespace
            ))
        })
    }

    /// All objects of a namespace, or of all of them for `None`.
    pub(crate) async fn list<K: Kind>(
        &self,
        namespace: Option<&str>,
        fields: &str,
    ) -> Result<Vec<K>, Failure> {
        let api = match namespace {
            Some(namespace) => self.api::<K>(namespace),
            None => Api::all(self.client.clone()),
        };
        let what = what::<K>("list", namespace.unwrap_or("*"), "");
        let mut params = ListParams::default().limit(PAGE).fields(fields);
        let mut found = Vec::new();
        loop {
            let page = self.within(&what, api.list(&params)).await?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(found),
            }
        }
    }

    /// Makes an object in its namespace.
    pub(crate) async fn create<K: Kind>(&self, object: &K) -> Result<K, Failure> {
        let namespace = object.meta().namespace.as_deref().unwrap_or(&self.namespace);
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let what = what::<K>("create", namespace, "");
        self.within(&what, self.api::<K>(namespace).create(&params, object))
            .await
    }

    /// Merges a patch into an object of the namespace.
    pub(crate) async fn merge<K: Kind>(&self, name: &str, patch: &Value) -> Result<K, Failure> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<K>(&self.namespace);
        let what = what::<K>("patch", &self.namespace, name);
        self.within(&what, api.patch(name, &params, &Patch::Merge(patch)))
            .await
    }

    /// Deletes an object of the namespace.
    pub(crate) async fn delete<K: Kind>(&self, name: &str) -> Result<(), Failure> {
        let api = self.api::<K>(&self.namespace);
        let what = what::<K>("delete", &self.namespace, name);
        self.within(&what, api.delete(name, &DeleteParams::default()))
            .await
            .map(drop)
    }

    /// Waits for a call no longer than it may take.
    pub(crate) async fn within<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let late = |_| {
            Failure::Late(format!(
                "{what}: no answer within {}",
                duration::human(self.timeout)
            ))
        };
        let answer = tokio::time::timeout(self.timeout, call).await.map_err(late)?;
        answer.map_err(|error| Failure::No(said(what, &error)))
    }
}

/// `get releases.tidegate.io shop-000001 in namespace shop`.
fn what<K: Kind>(verb: &str, namespace: &str, name: &str) -> String {
    let place = if namespace == "*" {
        "in all namespaces".to_owned()
    } else {
        format!("in namespace {namespace}")
    };
    let plural = match K::group(&()) {
        group if group.is_empty() => K::plural(&()).into_owned(),
        group => format!("{}.{group}", K::plural(&())),
    };
    let name = if name.is_empty() {
        String::new()
    } else {
        format!(" {name}")
    };
    format!("{verb} {plural}{name} {place}")
}

fn said(what: &str, error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else {
        return format!("{what}: {}", chain(error));
    };
    let message = &status.message;
    match status.code {
        401 => format!("{what}: the cluster does not know who you are: {message}; log in again"),
        // The message of an admission policy or of RBAC names the user, the verb and what is missing.
        403 => format!("{what}: {message}; ask whoever gives out rights in this cluster"),
        404 if status.details.as_ref().is_none_or(|d| d.name.is_empty()) => format!(
            "{what}: this cluster does not have that kind; is Tidegate installed there, and does --context name the right cluster?"
        ),
        _ => format!("{what}: {message}"),
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
