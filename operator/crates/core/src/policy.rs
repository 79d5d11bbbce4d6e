//! Policies as they are asked: read once, with all that is wrong with them.
//!
//! Rules: semantics.md "Several policies" and "Approvals, overrides, identity".

mod checks;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tidegate_api::policy::Policy;
use tidegate_api::{ClusterReleasePolicySpec, ReleasePolicySpec};

use crate::guard::Guard;
use crate::kind_name::KindName;
use crate::policy_rules::{self, CompiledRule};
use crate::problem::Problem;
use crate::rollback;
use crate::selector::{Labels, selects, selects_or_lacks};
use crate::signers::{self, SignerRule};
use crate::windows::Windows;
use checks::Checks;

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyName {
    /// A `ClusterReleasePolicy`.
    Cluster(String),
    /// A `ReleasePolicy`: namespace and name.
    Namespaced(String, String),
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "ClusterReleasePolicy/{name}"),
            Self::Namespaced(_, name) => write!(f, "ReleasePolicy/{name}"),
        }
    }
}

/// An Application as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Labels of its namespace. While they are not known, each policy that binds by them binds it.
    pub namespace_labels: Option<Labels>,
}

/// A policy that was read.
#[derive(Debug)]
pub struct CompiledPolicy {
    /// Which one.
    pub name: PolicyName,
    /// Its rules.
    pub policy: Policy,
    /// For a cluster policy: the namespaces that it binds.
    pub namespace_selector: Option<LabelSelector>,
    /// For a cluster policy: what namespaces may release at all.
    pub guard: Option<Guard>,
    /// Its windows; none when they cannot be used.
    pub windows: Windows,
    /// `signatures.signers`, read.
    pub signers: Vec<SignerRule>,
    /// `rules`, in their order.
    pub rules: Vec<CompiledRule>,
    /// `limits.protectedKinds`.
    pub protected_kinds: Vec<KindName>,
    /// What cannot be used of it. Such a policy is closed, never skipped.
    pub problems: Vec<Problem>,
}

impl CompiledPolicy {
    /// Reads a `ReleasePolicy`.
    pub fn namespaced(namespace: &str, name: &str, spec: &ReleasePolicySpec) -> Self {
        Self::read(
            PolicyName::Namespaced(namespace.to_owned(), name.to_owned()),
            &spec.policy,
        )
    }

    /// Reads a `ClusterReleasePolicy`.
    pub fn cluster(name: &str, spec: &ClusterReleasePolicySpec) -> Self {
        let mut compiled = Self::read(PolicyName::Cluster(name.to_owned()), &spec.policy);
        let mut checks = Checks::default();
        checks.selector("spec.namespaceSelector", spec.namespace_selector.as_ref());
        checks.narrowing(spec.policy.selector.as_ref(), &spec.protected_labels);
        if let Some(allow) = &spec.allow {
            checks.allow(allow);
        }
        compiled.problems.append(&mut checks.problems);
        compiled.namespace_selector.clone_from(&spec.namespace_selector);
        compiled.guard = spec.allow.as_ref().map(Guard::read);
        compiled
    }

    fn read(name: PolicyName, policy: &Policy) -> Self {
        let mut checks = Checks::default();
        checks.policy(policy);
        let (signers, mut unread) = signers::read(policy.signatures.as_ref());
        checks.problems.append(&mut unread);
        let windows = Windows::read(&policy.windows).unwrap_or_else(|faults| {
            checks.problems.extend(faults);
            Windows::default()
        });
        checks.problems.extend(rollback::problem(policy));
        let rules = policy_rules::read(&policy.rules, &mut checks.problems);
        let limits = policy.limits.as_ref();
        let protected = limits.map(|l| l.protected_kinds.as_slice()).unwrap_or_default();
        Self {
            name,
            policy: policy.clone(),
            namespace_selector: None,
            guard: None,
            windows,
            signers,
            rules,
            // One that cannot be read is among the problems: the policy is closed as a whole.
            protected_kinds: protected
                .iter()
                .filter_map(|kind| KindName::parse(kind).ok())
                .collect(),
            problems: checks.problems,
        }
    }

    /// Whether it binds an Application. A cluster policy binds an Application that lacks a label of its selector too: only
    /// a label that somebody had the right to set takes it out.
    pub fn binds(&self, app: &ApplicationFacts) -> bool {
        let selector = self.policy.selector.as_ref();
        match &self.name {
            PolicyName::Cluster(_) => {
                app.namespace_labels
                    .as_ref()
                    .is_none_or(|labels| selects(self.namespace_selector.as_ref(), labels))
                    && selects_or_lacks(selector, &app.labels)
            }
            PolicyName::Namespaced(namespace, _) => {
                *namespace == app.namespace && selects(selector, &app.labels)
            }
        }
    }
}
