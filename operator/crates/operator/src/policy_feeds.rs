//! Carries news of policies, and of what people say about releases, from the watches to the stores, and wakes the
//! Applications that they are about.

use k8s_openapi::api::core::v1::Namespace;
use tidegate_api::{Application, Approval, ClusterReleasePolicy, Freeze, Override, ReleasePolicy};
use tidegate_cluster::own::OwnEvent;
use tidegate_core::policy::{CompiledPolicy, PolicyName};
use tidegate_core::problem::Problem;
use tidegate_core::record::release_name;
use tidegate_core::selector::selects;

use crate::state::Operator;
use crate::store::Key;
use crate::wiring::key_of;

/// Returns true when the list is complete; as all here.
pub(crate) fn on_policy(operator: &Operator, event: OwnEvent<ReleasePolicy>) -> bool {
    match event {
        OwnEvent::Upsert(policy) => {
            let key = key_of(&policy.metadata);
            put(
                operator,
                CompiledPolicy::namespaced(&key.namespace, &key.name, &policy.spec),
            );
        }
        OwnEvent::Undecodable {
            namespace,
            name,
            message,
            ..
        } => {
            let unread = CompiledPolicy::namespaced(&namespace, &name, &Default::default());
            put(operator, closed(unread, message));
        }
        OwnEvent::Deleted { namespace, name } => {
            remove(operator, &PolicyName::Namespaced(namespace, name));
        }
        OwnEvent::Synced => return true,
    }
    false
}

pub(crate) fn on_cluster_policy(operator: &Operator, event: OwnEvent<ClusterReleasePolicy>) -> bool {
    match event {
        OwnEvent::Upsert(policy) => {
            let name = policy.metadata.name.unwrap_or_default();
            put(operator, CompiledPolicy::cluster(&name, &policy.spec));
        }
        OwnEvent::Undecodable { name, message, .. } => {
            let unread = CompiledPolicy::cluster(&name, &Default::default());
            put(operator, closed(unread, message));
        }
        OwnEvent::Deleted { name, .. } => remove(operator, &PolicyName::Cluster(name)),
        OwnEvent::Synced => return true,
    }
    false
}

/// A policy that cannot be read binds all that it could bind, and lets nothing through.
fn closed(mut policy: CompiledPolicy, message: String) -> CompiledPolicy {
    policy.problems.push(Problem {
        reason: "Undecodable",
        object: policy.name.to_string(),
        field: None,
        location: None,
        message,
    });
    policy
}

fn put(operator: &Operator, policy: CompiledPolicy) {
    let before = operator.policies.get(&policy.name);
    let name = policy.name.clone();
    operator.policies.put(policy);
    let now = operator.policies.get(&name);
    wake_bound(operator, &[before, now]);
    operator.policy_queue.add(name);
}

fn remove(operator: &Operator, name: &PolicyName) {
    let before = operator.policies.get(name);
    operator.policies.remove(name);
    wake_bound(operator, &[before]);
}

/// Wakes the Applications that one of these policies binds.
fn wake_bound(operator: &Operator, policies: &[Option<std::sync::Arc<CompiledPolicy>>]) {
    let bound = |key: &Key, app: &Application| {
        let facts = operator.policies.facts(key, app.metadata.labels.as_ref());
        policies.iter().flatten().any(|policy| policy.binds(&facts))
    };
    for key in operator.applications.keys(bound) {
        operator.application_queue.add(key);
    }
}

pub(crate) fn on_namespace(operator: &Operator, event: OwnEvent<Namespace>) -> bool {
    let (name, labels, ends) = match event {
        OwnEvent::Upsert(namespace) => (
            namespace.metadata.name.unwrap_or_default(),
            Some(namespace.metadata.labels.unwrap_or_default()),
            namespace.metadata.deletion_timestamp.is_some(),
        ),
        OwnEvent::Deleted { name, .. } => (name, None, false),
        OwnEvent::Undecodable { name, .. } => (name, None, false),
        OwnEvent::Synced => return true,
    };
    if operator.policies.note_terminating(&name, ends) && ends {
        // What goes with its namespace does not count against the deletion of an Application, wherever that is.
        let ending = |_: &Key, app: &Application| app.metadata.deletion_timestamp.is_some();
        for key in operator.applications.keys(ending) {
            operator.application_queue.add(key);
        }
    }
    if operator.policies.label(&name, labels) {
        wake_namespace(operator, &name, |_, _| true);
        for name in operator.policies.names() {
            operator.policy_queue.add(name);
        }
    }
    false
}

pub(crate) fn on_approval(operator: &Operator, event: OwnEvent<Approval>) -> bool {
    match event {
        OwnEvent::Upsert(approval) => {
            let key = key_of(&approval.metadata);
            let release = approval.spec.release.clone();
            operator.policies.approvals.put(key.clone(), *approval);
            wake_of_release(operator, &key.namespace, &release);
        }
        OwnEvent::Deleted { namespace, name } | OwnEvent::Undecodable { namespace, name, .. } => {
            let key = Key::new(&namespace, &name);
            let before = operator.policies.approvals.get(&key);
            operator.policies.approvals.remove(&key);
            if let Some(before) = before {
                wake_of_release(operator, &namespace, &before.spec.release);
            }
        }
        OwnEvent::Synced => return true,
    }
    false
}

/// Wakes the Application that a Release belongs to, by its name.
fn wake_of_release(operator: &Operator, namespace: &str, release: &str) {
    let sequence = release.rsplit('-').next().and_then(|digits| digits.parse().ok());
    let Some(sequence) = sequence else { return };
    wake_namespace(operator, namespace, |key, _| {
        release_name(&key.name, sequence) == release
    });
}

pub(crate) fn on_override(operator: &Operator, event: OwnEvent<Override>) -> bool {
    let wake = |namespace: &str, spec: &tidegate_api::OverrideSpec| {
        let namespace = spec.namespace.as_deref().unwrap_or(namespace);
        operator
            .application_queue
            .add(Key::new(namespace, &spec.application));
    };
    match event {
        OwnEvent::Upsert(over) => {
            let key = key_of(&over.metadata);
            let spec = over.spec.clone();
            operator.policies.overrides.put(key.clone(), *over);
            wake(&key.namespace, &spec);
        }
        OwnEvent::Deleted { namespace, name } | OwnEvent::Undecodable { namespace, name, .. } => {
            let key = Key::new(&namespace, &name);
            let before = operator.policies.overrides.get(&key);
            operator.policies.overrides.remove(&key);
            if let Some(before) = before {
                wake(&namespace, &before.spec);
            }
        }
        OwnEvent::Synced => return true,
    }
    false
}

pub(crate) fn on_freeze(operator: &Operator, event: OwnEvent<Freeze>) -> bool {
    match event {
        OwnEvent::Upsert(freeze) => {
            let key = key_of(&freeze.metadata);
            let spec = freeze.spec.clone();
            operator.policies.freezes.put(key.clone(), *freeze);
            wake_frozen(operator, &key.namespace, &spec);
        }
        // One that cannot be read any more stops nobody; its rules are those of the API server, so that none is made.
        OwnEvent::Deleted { namespace, name } | OwnEvent::Undecodable { namespace, name, .. } => {
            let key = Key::new(&namespace, &name);
            let before = operator.policies.freezes.get(&key);
            operator.policies.freezes.remove(&key);
            if let Some(before) = before {
                wake_frozen(operator, &namespace, &before.spec);
            }
        }
        OwnEvent::Synced => return true,
    }
    false
}

fn wake_frozen(operator: &Operator, namespace: &str, spec: &tidegate_api::FreezeSpec) {
    let everywhere = namespace == operator.settings.namespace;
    let none = Default::default();
    let stopped = |key: &Key, app: &Application| {
        (everywhere || key.namespace == namespace)
            && selects(
                spec.selector.as_ref(),
                app.metadata.labels.as_ref().unwrap_or(&none),
            )
    };
    for key in operator.applications.keys(stopped) {
        operator.application_queue.add(key);
    }
}

fn wake_namespace(operator: &Operator, namespace: &str, which: impl Fn(&Key, &Application) -> bool) {
    let keys = operator
        .applications
        .keys(|key, app| key.namespace == namespace && which(key, app));
    for key in keys {
        operator.application_queue.add(key);
    }
}
