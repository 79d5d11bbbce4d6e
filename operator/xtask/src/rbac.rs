//! The one table of what the operator, and people, may do. Everything about rights is generated from it: the chart's
//! roles and the table in docs/reference.md.

/// One rule: what, on which resources, and why.
pub(crate) struct Rule {
    /// API groups; empty string is the core group.
    pub(crate) groups: &'static [&'static str],
    /// Plural resource names, with subresource.
    pub(crate) resources: &'static [&'static str],
    /// Verbs.
    pub(crate) verbs: &'static [&'static str],
    /// What fails without it; printed as a comment.
    pub(crate) why: &'static str,
}

/// Rights of the operator in the whole cluster, whatever it may release.
pub(crate) const OPERATOR: &[Rule] = &[
    Rule {
        groups: &["tidegate.io"],
        resources: &["applications", "gitrepositories"],
        verbs: &["get", "list", "watch", "patch"],
        why: "read what people ask for; patch sets and removes the finalizer. Never created or deleted by the operator",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["releasepolicies", "clusterreleasepolicies"],
        verbs: &["get", "list", "watch"],
        why: "what policies demand. None is ever written by the operator, but for its status",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["approvals", "overrides", "freezes"],
        verbs: &["list", "watch"],
        why: "what people say. None of them is ever written by the operator",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["releases", "inventories"],
        verbs: &["get", "list", "create", "patch", "update", "delete"],
        why: "the operator's own records: written by it alone, trimmed by historyLimit",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &[
            "applications/status",
            "gitrepositories/status",
            "releases/status",
            "releasepolicies/status",
            "clusterreleasepolicies/status",
        ],
        verbs: &["patch"],
        why: "conditions, columns and phases",
    },
    Rule {
        groups: &[""],
        resources: &["namespaces"],
        verbs: &["list", "watch"],
        why: "labels of namespaces, by which cluster policies bind them",
    },
    Rule {
        groups: &["admissionregistration.k8s.io"],
        resources: &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
        verbs: &["get"],
        why: "see that the chart's own policies are as shipped: without them no Approval counts",
    },
    Rule {
        groups: &["authentication.k8s.io"],
        resources: &["selfsubjectreviews"],
        verbs: &["create"],
        why: "learn its own name, which those policies refuse",
    },
    Rule {
        groups: &["events.k8s.io"],
        resources: &["events"],
        verbs: &["create", "patch"],
        why: "events on Applications and GitRepositories",
    },
    Rule {
        groups: &[""],
        resources: &["pods"],
        verbs: &["list"],
        why: "the pod's own reason in the message of a failing workload",
    },
];

/// More of them while everybody who can push is trusted alike: `tenancy.enabled` false.
pub(crate) const TRUSTED: &[Rule] = &[
    Rule {
        groups: &[""],
        resources: &["secrets"],
        verbs: &["get"],
        why: "credentials named by secretRef, one at a time: never listed, never watched",
    },
    Rule {
        groups: &["autoscaling"],
        resources: &["horizontalpodautoscalers"],
        verbs: &["list", "watch"],
        why: "whose replicas an autoscaler sets, so that git does not set them",
    },
    Rule {
        groups: &["keda.sh"],
        resources: &["scaledobjects"],
        verbs: &["list", "watch"],
        why: "the same, for KEDA's autoscalers",
    },
    Rule {
        groups: &["apiextensions.k8s.io"],
        resources: &["customresourcedefinitions"],
        verbs: &["get"],
        why: "wait until a CRD of the commit is established",
    },
];

/// Rights in each tenant's namespace while `tenancy.enabled` is true, on the one account that is named there.
pub(crate) const TENANT: &[Rule] = &[Rule {
    groups: &[""],
    resources: &["serviceaccounts"],
    verbs: &["impersonate"],
    why: "act as this one ServiceAccount and as nobody else: what it may do is the tenant's limit",
}];

/// Rights in the whole cluster on the kinds of `tenancy.watch`: seen once for all tenants. Secrets are never among them.
pub(crate) const TENANT_WATCH: &[&str] = &["get", "list", "watch"];

/// Rights of the operator in its own namespace.
pub(crate) const OWN_NAMESPACE: &[Rule] = &[
    Rule {
        groups: &["coordination.k8s.io"],
        resources: &["leases"],
        verbs: &["get", "create", "update"],
        why: "leader election: only the holder of the lease writes",
    },
    Rule {
        groups: &[""],
        resources: &["secrets"],
        verbs: &["get", "list", "create", "delete"],
        why: "the keys of this installation, made once, then read; and the sets of releases, encrypted with one of them: created and pruned, never changed. List reads names only",
    },
    Rule {
        groups: &[""],
        resources: &["configmaps"],
        verbs: &["get", "create", "patch"],
        why: "ConfigMap tidegate-record-key: the public halves of the keys that sign records",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["approvals", "overrides", "freezes"],
        verbs: &["create"],
        why: "try, without writing, to make one in another's name, which must be refused. The chart's admission policies refuse \
              this account whatever it makes; without the right it would be refused before they are asked, and nothing proven",
    },
];

/// What everybody who has an account may read in the operator's namespace: this ConfigMap and nothing else.
pub(crate) const PUBLIC: &[Rule] = &[Rule {
    groups: &[""],
    resources: &["configmaps"],
    verbs: &["get"],
    why: "ConfigMap tidegate-record-key alone: `tidegate verify` compares who signed a record. Public keys are no secret",
}];

/// What may be released when `rbac.clusterAdmin` is true and `tenancy.enabled` is not.
pub(crate) const APPLIER: &[Rule] = &[
    Rule {
        groups: &["*"],
        resources: &["*"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "apply, watch and prune objects of any kind. No `impersonate`, no `deletecollection`, no `*`",
    },
    Rule {
        groups: &["rbac.authorization.k8s.io"],
        resources: &["roles", "clusterroles"],
        verbs: &["escalate", "bind"],
        why: "a commit may hold Roles and bindings with rights that the operator does not have itself",
    },
    Rule {
        groups: &[""],
        resources: &["serviceaccounts"],
        verbs: &["impersonate"],
        why: "act as spec.serviceAccountName. In the whole cluster this is worth every right there is: see tenancy",
    },
];

/// Read access for people, aggregated into `view`, `edit` and `admin`.
pub(crate) const VIEW: &[Rule] = &[Rule {
    groups: &["tidegate.io"],
    resources: &[
        "applications",
        "gitrepositories",
        "releases",
        "inventories",
        "releasepolicies",
        "approvals",
        "overrides",
        "freezes",
    ],
    verbs: &["get", "list", "watch"],
    why: "see what runs and why; none of these kinds holds a secret value",
}];

/// Write access for people, aggregated into `edit` and `admin`.
pub(crate) const EDIT: &[Rule] = &[Rule {
    groups: &["tidegate.io"],
    resources: &["applications", "gitrepositories"],
    verbs: &["create", "patch", "update", "delete", "deletecollection"],
    why: "say what shall run. Releases and Inventories are written by the operator alone",
}];

/// For the administrators of a namespace, aggregated into `admin`. Cluster policies are the platform team's.
pub(crate) const ADMIN: &[Rule] = &[Rule {
    groups: &["tidegate.io"],
    resources: &["releasepolicies"],
    verbs: &["create", "patch", "update", "delete", "deletecollection"],
    why: "the rules of their own namespace. No policy here loosens a ClusterReleasePolicy",
}];

/// For people who approve; bound by the platform team, aggregated into nothing.
pub(crate) const APPROVER: &[Rule] = &[
    Rule {
        groups: &["tidegate.io"],
        resources: &[
            "applications",
            "gitrepositories",
            "releases",
            "releasepolicies",
            "approvals",
        ],
        verbs: &["get", "list", "watch"],
        why: "see what waits, and for what",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["approvals"],
        verbs: &["create", "delete"],
        why: "approve in their own name, and take it back",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["applications"],
        verbs: &["approve"],
        why: "asked for by the admission policy: of which Applications",
    },
];

/// For people on call; bound by the platform team, aggregated into nothing.
pub(crate) const RELEASE_MANAGER: &[Rule] = &[
    Rule {
        groups: &["tidegate.io"],
        resources: &[
            "applications",
            "gitrepositories",
            "releases",
            "releasepolicies",
            "approvals",
            "overrides",
            "freezes",
        ],
        verbs: &["get", "list", "watch"],
        why: "see what waits, and for what",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["overrides", "freezes"],
        verbs: &["create", "delete"],
        why: "open gates for a while, stop releases, and take both back",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["applications"],
        verbs: &["patch", "update"],
        why: "write spec.suspend, the annotation of a rollback, labels",
    },
    Rule {
        groups: &["tidegate.io"],
        resources: &["applications"],
        verbs: &["override", "freeze", "suspend", "rollback", "relabel"],
        why: "asked for by the admission policies: on which Applications",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_applier_has_wildcards_and_nobody_impersonates_users_or_groups() {
        let tables = [
            OPERATOR,
            TRUSTED,
            TENANT,
            OWN_NAMESPACE,
            PUBLIC,
            APPLIER,
            VIEW,
            EDIT,
            ADMIN,
            APPROVER,
            RELEASE_MANAGER,
        ];
        for rule in tables.into_iter().flatten() {
            let impersonates = rule.verbs.contains(&"impersonate");
            assert!(!rule.verbs.contains(&"*"), "{:?}", rule.resources);
            assert!(
                !impersonates || rule.resources == ["serviceaccounts"],
                "{:?}",
                rule.resources
            );
            assert!(!rule.why.is_empty());
        }
        let everywhere = [OPERATOR, TRUSTED, OWN_NAMESPACE, PUBLIC, VIEW, EDIT];
        assert!(
            everywhere
                .into_iter()
                .flatten()
                .all(|rule| !rule.verbs.contains(&"impersonate"))
        );
        for rule in [
            OPERATOR,
            TRUSTED,
            TENANT,
            OWN_NAMESPACE,
            PUBLIC,
            VIEW,
            EDIT,
            ADMIN,
            APPROVER,
            RELEASE_MANAGER,
        ]
        .into_iter()
        .flatten()
        {
            assert!(
                !rule.groups.contains(&"*") && !rule.resources.contains(&"*"),
                "{:?}",
                rule.resources
            );
        }
    }

    #[test]
    fn among_tenants_no_secret_can_be_read_by_the_operator_itself() {
        let named = |rule: &&Rule| rule.resources.contains(&"secrets");
        assert!(OPERATOR.iter().chain(TENANT).filter(named).count() == 0);
    }

    /// Else whoever may edit an Application could give leave to its releases.
    #[test]
    fn what_is_aggregated_gives_no_say_about_releases() {
        let verbs = ["approve", "override", "freeze", "suspend", "rollback", "relabel"];
        let leave = ["approvals", "overrides", "freezes"];
        for rule in [OPERATOR, VIEW, EDIT, ADMIN].into_iter().flatten() {
            assert!(
                !rule.verbs.iter().any(|v| verbs.contains(v)),
                "{:?}",
                rule.resources
            );
            let writes = rule.verbs.iter().any(|v| !["get", "list", "watch"].contains(v));
            let of_leave = rule.resources.iter().any(|r| leave.contains(r));
            assert!(!(writes && of_leave), "{:?}", rule.resources);
        }
    }

    #[test]
    fn the_operator_cannot_make_what_people_ask_for() {
        let writes_wishes = OPERATOR
            .iter()
            .filter(|rule| rule.resources.contains(&"applications"))
            .any(|rule| rule.verbs.contains(&"create") || rule.verbs.contains(&"delete"));
        assert!(!writes_wishes);
    }
}
