//! What policies say, and what people say about releases, as the watches deliver it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_api::{Application, Approval, Freeze, Override};
use tidegate_core::gate::freeze_stops;
use tidegate_core::policy::{ApplicationFacts, CompiledPolicy, PolicyName};
use tidegate_core::selector::Labels;

use crate::state::Operator;
use crate::store::{Key, Store};

/// See the module's header.
pub(crate) struct Policies {
    /// Cluster policies have no namespace.
    compiled: Store<CompiledPolicy>,
    /// Labels of namespaces.
    pub(crate) namespaces: Store<Labels>,
    /// Namespaces that are being deleted.
    terminating: Mutex<BTreeSet<String>>,
    pub(crate) approvals: Store<Approval>,
    pub(crate) overrides: Store<Override>,
    pub(crate) freezes: Store<Freeze>,
    /// Which policies each waiting Application waits for.
    waiting: Mutex<HashMap<Key, Vec<String>>>,
}

impl Policies {
    pub(crate) fn new() -> Self {
        Self {
            compiled: Store::new(),
            namespaces: Store::new(),
            terminating: Mutex::default(),
            approvals: Store::new(),
            overrides: Store::new(),
            freezes: Store::new(),
            waiting: Mutex::default(),
        }
    }

    /// A policy is there, or as it is there now.
    pub(crate) fn put(&self, policy: CompiledPolicy) {
        self.compiled.put(key(&policy.name), policy);
    }

    /// A policy is gone.
    pub(crate) fn remove(&self, name: &PolicyName) {
        self.compiled.remove(&key(name));
    }

    /// The labels of a namespace, or that it is gone. True when they changed.
    pub(crate) fn label(&self, namespace: &str, labels: Option<Labels>) -> bool {
        let key = Key::new("", namespace);
        if self.namespaces.get(&key).as_deref() == labels.as_ref() {
            return false;
        }
        match labels {
            Some(labels) => self.namespaces.put(key, labels),
            None => self.namespaces.remove(&key),
        }
        true
    }

    /// Notes whether a namespace is being deleted. True when that changed.
    pub(crate) fn note_terminating(&self, namespace: &str, is: bool) -> bool {
        let mut terminating = self.terminating.lock().unwrap_or_else(PoisonError::into_inner);
        match is {
            true => terminating.insert(namespace.to_owned()),
            false => terminating.remove(namespace),
        }
    }

    /// Namespaces that are being deleted.
    pub(crate) fn terminating(&self) -> BTreeSet<String> {
        let terminating = self.terminating.lock().unwrap_or_else(PoisonError::into_inner);
        terminating.clone()
    }

    /// A policy as it was read last.
    pub(crate) fn get(&self, name: &PolicyName) -> Option<Arc<CompiledPolicy>> {
        self.compiled.get(&key(name))
    }

    /// An Application as policies see it.
    pub(crate) fn facts(&self, app: &Key, labels: Option<&BTreeMap<String, String>>) -> ApplicationFacts {
        let namespace = self.namespaces.get(&Key::new("", &app.namespace));
        ApplicationFacts {
            namespace: app.namespace.clone(),
            name: app.name.clone(),
            labels: labels.cloned().unwrap_or_default(),
            namespace_labels: namespace.as_deref().cloned(),
        }
    }

    /// The policies that bind an Application, in the order of their names.
    pub(crate) fn binding(&self, app: &ApplicationFacts) -> Vec<Arc<CompiledPolicy>> {
        let mut all: Vec<Arc<CompiledPolicy>> = self.compiled.all();
        all.retain(|policy| policy.binds(app));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Names of all policies.
    pub(crate) fn names(&self) -> Vec<PolicyName> {
        self.compiled
            .all()
            .iter()
            .map(|policy| policy.name.clone())
            .collect()
    }

    /// The Freezes that stop an Application: those of its namespace, and those of the operator's.
    pub(crate) fn freezes_of(&self, app: &ApplicationFacts, home: &str) -> Vec<(String, Arc<Freeze>)> {
        let stops = |key: &Key, freeze: &Freeze| freeze_stops(&freeze.spec, &key.namespace, home, app);
        let keys = self.freezes.keys(stops);
        let mut found: Vec<_> = keys
            .into_iter()
            .filter_map(|key| Some((key.name.clone(), self.freezes.get(&key)?)))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Notes which policies an Application waits for; none at all when it waits no more. True when that changed.
    pub(crate) fn wait(&self, app: &Key, policies: &[String]) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if policies.is_empty() {
            waiting.remove(app)
        } else {
            waiting.insert(app.clone(), policies.to_vec())
        };
        before.unwrap_or_default() != policies
    }

    /// How many Applications wait for a policy.
    pub(crate) fn waiting_for(&self, policy: &PolicyName) -> usize {
        let name = policy.to_string();
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |app: &Key| match policy {
            PolicyName::Cluster(_) => true,
            PolicyName::Namespaced(namespace, _) => app.namespace == *namespace,
        };
        waiting
            .iter()
            .filter(|(app, on)| here(app) && on.contains(&name))
            .count()
    }
}

impl Operator {
    /// True when a policy binds an Application.
    pub(crate) fn is_bound(&self, key: &Key, app: &Application) -> bool {
        let facts = self.policies.facts(key, app.metadata.labels.as_ref());
        !self.policies.binding(&facts).is_empty()
    }

    /// Notes which policies an Application waits for, and has their status show it.
    pub(crate) fn note_waiting(&self, app: &Key, policies: &[String]) {
        if self.policies.wait(app, policies) {
            for name in self.policies.names() {
                self.policy_queue.add(name);
            }
        }
    }
}

fn key(name: &PolicyName) -> Key {
    match name {
        PolicyName::Cluster(name) => Key::new("", name),
        PolicyName::Namespaced(namespace, name) => Key::new(namespace, name),
    }
}
