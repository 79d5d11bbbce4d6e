//! Guard rails: what a namespace may release at all (`allow` of a `ClusterReleasePolicy`).
//!
//! Every cluster policy that binds an Application must allow its repository, its target and each of its objects. What is
//! outside is refused like a commit that is not admissible; what runs already stays.

mod source;

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tidegate_api::policy::{Allow, AllowedKind, AllowedTarget};

use crate::desired::{DesiredObject, Rendered};
use crate::glob;
use crate::object::{Location, ObjectId};
use crate::policy::{ApplicationFacts, CompiledPolicy};
use crate::problem::Problem;

pub use source::SourcePattern;

/// Most objects that are named as not allowed.
const MAX_PROBLEMS: usize = 50;
/// Stands for the Application's own namespace.
const OWN_NAMESPACE: &str = "$namespace";

/// The guard rails of one policy. An absent list limits nothing; an entry that cannot be read allows nothing.
#[derive(Debug)]
pub struct Guard {
    sources: Option<Vec<SourcePattern>>,
    targets: Option<Vec<TargetPattern>>,
    kinds: Option<Vec<KindPattern>>,
    cluster_scoped: Option<Vec<KindPattern>>,
    /// Tells these guard rails from others.
    fingerprint: String,
}

/// A pattern of places.
#[derive(Debug)]
pub struct TargetPattern {
    namespace: String,
    kube_config: Option<String>,
}

/// A pattern of kinds.
#[derive(Debug)]
pub struct KindPattern {
    group: String,
    kind: String,
}

/// Where an Application takes its objects from, and where it puts them.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The Application.
    pub application: &'a ApplicationFacts,
    /// Address of the repository that is read.
    pub source: &'a str,
    /// Namespace of objects that name none, where the Application says so itself.
    pub namespace: Option<&'a str>,
    /// Name of the Secret with the kubeconfig; the operator's own cluster when absent.
    pub kube_config: Option<&'a str>,
}

impl TargetPattern {
    /// Reads an entry of `targets`.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn parse(target: &AllowedTarget) -> Result<Self, (&'static str, String)> {
        let dns = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '*');
        let namespace = target.namespace.replace(OWN_NAMESPACE, "x");
        if namespace.is_empty() || !namespace.chars().all(|c| dns(c) && c != '.') {
            let why = format!(
                "`{}` is no pattern of namespaces; write for example shop-*, or {OWN_NAMESPACE} for the Application's own",
                target.namespace
            );
            return Err(("namespace", why));
        }
        if let Some(name) = target
            .kube_config
            .as_deref()
            .filter(|name| name.is_empty() || !name.chars().all(dns))
        {
            let why = format!("`{name}` is no pattern of names of Secrets; write for example prod-*");
            return Err(("kubeConfig", why));
        }
        Ok(Self {
            namespace: target.namespace.clone(),
            kube_config: target.kube_config.clone(),
        })
    }

    fn allows_cluster(&self, route: &Route<'_>) -> bool {
        match (&self.kube_config, route.kube_config) {
            (None, None) => true,
            (Some(pattern), Some(name)) => glob::part(pattern, name),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn allows(&self, route: &Route<'_>, namespace: &str) -> bool {
        let pattern = self
            .namespace
            .replace(OWN_NAMESPACE, &route.application.namespace);
        self.allows_cluster(route) && glob::part(&pattern, namespace)
    }
}

impl KindPattern {
    /// Reads an entry of `kinds` or `clusterScoped`.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn parse(kind: &AllowedKind) -> Result<Self, (&'static str, String)> {
        let group = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '*');
        if !kind.group.chars().all(group) {
            let why = format!(
                "`{}` is no API group; write for example apps, or * for every group",
                kind.group
            );
            return Err(("group", why));
        }
        if kind.kind.is_empty() || !kind.kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '*') {
            let why = format!(
                "`{}` is no kind; write for example ConfigMap, or * for every kind",
                kind.kind
            );
            return Err(("kind", why));
        }
        Ok(Self {
            group: kind.group.clone(),
            kind: kind.kind.clone(),
        })
    }

    fn allows(&self, id: &ObjectId) -> bool {
        glob::part(&self.group, &id.group) && glob::part(&self.kind, &id.kind)
    }
}

impl Guard {
    /// Reads the guard rails of a policy. What is wrong with them is told where the policy is read.
    pub fn read(allow: &Allow) -> Self {
        let kinds = |list: &Option<Vec<AllowedKind>>| {
            let list = list.as_ref()?;
            Some(list.iter().filter_map(|k| KindPattern::parse(k).ok()).collect())
        };
        Self {
            sources: allow
                .sources
                .as_ref()
                .map(|list| list.iter().filter_map(|s| SourcePattern::parse(s).ok()).collect()),
            targets: allow
                .targets
                .as_ref()
                .map(|list| list.iter().filter_map(|t| TargetPattern::parse(t).ok()).collect()),
            kinds: kinds(&allow.kinds),
            cluster_scoped: kinds(&allow.cluster_scoped),
            fingerprint: hex(format!("{allow:?}").as_bytes()),
        }
    }

    fn refuse_route(&self, route: &Route<'_>) -> Vec<Refused> {
        let mut refused = Vec::new();
        if let Some(sources) = &self.sources
            && !sources.iter().any(|pattern| pattern.allows(route.source))
        {
            refused.push(Refused {
                field: "spec.source",
                what: format!("repository {}", route.source),
                list: "sources",
                entry: route.source.to_owned(),
            });
        }
        let Some(targets) = &self.targets else {
            return refused;
        };
        if !targets.iter().any(|target| target.allows_cluster(route)) {
            let (field, what) = match route.kube_config {
                Some(name) => (
                    "spec.target.kubeConfig.secretRef.name",
                    format!("the cluster of Secret {name} as a target"),
                ),
                None => ("spec.target", "the operator's own cluster as a target".to_owned()),
            };
            refused.push(Refused {
                field,
                what,
                list: "targets",
                entry: place(route, OWN_NAMESPACE),
            });
        } else if let Some(namespace) = route
            .namespace
            .filter(|n| !targets.iter().any(|t| t.allows(route, n)))
        {
            refused.push(Refused {
                field: "spec.target.namespace",
                what: format!("namespace {namespace} as a target"),
                list: "targets",
                entry: place(route, namespace),
            });
        }
        refused
    }

    fn refuse_object(&self, route: &Route<'_>, id: &ObjectId) -> Vec<Refused> {
        let mut refused = Vec::new();
        let namespaced = !id.namespace.is_empty();
        let (list, kinds) = match namespaced {
            true => ("kinds", &self.kinds),
            false => ("clusterScoped", &self.cluster_scoped),
        };
        if kinds
            .as_ref()
            .is_some_and(|kinds| !kinds.iter().any(|k| k.allows(id)))
        {
            let sort = if namespaced { "kind" } else { "cluster-scoped kind" };
            refused.push(Refused {
                field: "kind",
                what: format!("{sort} {}", kind_of(id)),
                list,
                entry: format!("{{group: \"{}\", kind: {}}}", id.group, id.kind),
            });
        }
        let targets = self.targets.as_ref().filter(|_| namespaced);
        if targets.is_some_and(|targets| !targets.iter().any(|t| t.allows(route, &id.namespace))) {
            refused.push(Refused {
                field: "metadata.namespace",
                what: format!("namespace {} as a target", id.namespace),
                list: "targets",
                entry: place(route, &id.namespace),
            });
        }
        refused
    }
}

fn kind_of(id: &ObjectId) -> String {
    match &*id.group {
        "" => id.kind.to_string(),
        group => format!("{}.{group}", id.kind),
    }
}

/// The entry of `targets` that would allow it.
fn place(route: &Route<'_>, namespace: &str) -> String {
    let namespace = if namespace == route.application.namespace {
        OWN_NAMESPACE
    } else {
        namespace
    };
    match route.kube_config {
        Some(name) => format!("{{namespace: {namespace}, kubeConfig: {name}}}"),
        None => format!("{{namespace: {namespace}}}"),
    }
}

/// Something that one policy does not allow.
struct Refused {
    field: &'static str,
    what: String,
    list: &'static str,
    /// What would have to be in the list.
    entry: String,
}

impl Refused {
    fn problem(
        self,
        policy: &CompiledPolicy,
        object: Option<(&ObjectId, &Location)>,
        route: &Route<'_>,
    ) -> Problem {
        let app = route.application;
        Problem {
            reason: "NotAllowed",
            object: object.map(|(id, _)| id.to_string()).unwrap_or_default(),
            field: Some(self.field.to_owned()),
            location: object.map(|(_, location)| location.clone()),
            message: format!(
                "{} does not allow {} to Applications of namespace {}; take it out, or ask the platform team to add {} to its spec.allow.{}",
                policy.name, self.what, app.namespace, self.entry, self.list
            ),
        }
    }
}

fn guards(policies: &[Arc<CompiledPolicy>]) -> impl Iterator<Item = (&CompiledPolicy, &Guard)> {
    policies
        .iter()
        .filter_map(|policy| Some((policy.as_ref(), policy.guard.as_ref()?)))
}

/// What the policies that bind an Application do not allow of its repository and target. Before anything is rendered.
pub fn refuse_route(policies: &[Arc<CompiledPolicy>], route: &Route<'_>) -> Vec<Problem> {
    let refused = guards(policies).flat_map(|(policy, guard)| {
        let refused = guard.refuse_route(route).into_iter();
        refused.map(|r| r.problem(policy, None, route))
    });
    refused.collect()
}

/// What they do not allow of the objects and hooks of a set.
pub fn refuse_objects(
    policies: &[Arc<CompiledPolicy>],
    route: &Route<'_>,
    rendered: &Rendered,
) -> Vec<Problem> {
    let jobs = rendered.hooks.iter().map(|hook| &hook.job);
    let objects: Vec<&DesiredObject> = rendered.objects.iter().chain(jobs).collect();
    let mut problems = Vec::new();
    for (policy, guard) in guards(policies) {
        for object in &objects {
            let at = Some((&object.id, &object.location));
            let refused = guard.refuse_object(route, &object.id).into_iter();
            problems.extend(refused.map(|r| r.problem(policy, at, route)));
        }
    }
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if more > 0
        && let Some(last) = problems.last_mut()
    {
        last.message
            .push_str(&format!(" ({more} more objects are not allowed)"));
    }
    problems
}

/// Tells the guard rails over a route from others: what was judged under the same ones need not be judged again. Empty when
/// there are none.
pub fn fingerprint(policies: &[Arc<CompiledPolicy>], route: &Route<'_>) -> String {
    let all: Vec<String> = guards(policies)
        .map(|(policy, guard)| format!("{} {}", policy.name, guard.fingerprint))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    hex(format!("{} {}", route.source, all.join(" ")).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}
