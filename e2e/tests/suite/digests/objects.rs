//! A minimal valid object of each kind that the API server serves, as JSON: fields that it writes in another way, fills in or
//! shares with others are what matters. `{v}` is the version. Kind, version and, where nothing else is said, the name
//! `digest-{v}` are added.

/// Others need them.
pub(super) const FIRST: &[&str] = &[
    "Namespace",
    "ServiceAccount",
    "DeviceClass",
    "StorageClass",
    "Service",
];

/// Kinds without an object, each with the reason.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[(
    "certificates.k8s.io/v1 PodCertificateRequest",
    "only the node that the pod runs on may make one, with a proof of the key; it is no part of any manifest",
)];

/// Kinds of which the API server does not keep who owns what: an edit cannot be seen, and is not possible either.
pub(super) const UNTRACKED: &[&str] = &["certificates.k8s.io/v1 CertificateSigningRequest"];

/// `apiVersion kind`, and the object.
#[rustfmt::skip]
pub(super) const OBJECTS: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io/v1 MutatingAdmissionPolicy", r#"{"spec":{"reinvocationPolicy":"Never","matchConstraints":{"resourceRules":[{"apiGroups":["digest.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}]},"mutations":[{"patchType":"JSONPatch","jsonPatch":{"expression":"[JSONPatch{op: 'add', path: '/spec/a', value: 'b'}]"}}]},"metadata":{}}"#),
    ("admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding", r#"{"spec":{"policyName":"digest-v1","matchResources":{"resourceRules":[{"apiGroups":["digest.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}]}},"metadata":{}}"#),
    ("admissionregistration.k8s.io/v1 MutatingWebhookConfiguration", r#"{"webhooks":[{"name":"digest.example.com","sideEffects":"None","admissionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/never"},"namespaceSelector":{"matchLabels":{"nobody":"here"}},"failurePolicy":"Ignore","rules":[{"apiGroups":["digest.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}]}],"metadata":{}}"#),
    ("admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy", r#"{"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":["digest.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}]},"validations":[{"expression":"true"}]},"metadata":{}}"#),
    ("admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding", r#"{"spec":{"policyName":"digest-v1","validationActions":["Deny"]},"metadata":{}}"#),
    ("admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration", r#"{"webhooks":[{"name":"digest.example.com","sideEffects":"None","admissionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/never"},"namespaceSelector":{"matchLabels":{"nobody":"here"}},"failurePolicy":"Ignore","rules":[{"apiGroups":["digest.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"]}]}],"metadata":{}}"#),
    ("apiextensions.k8s.io/v1 CustomResourceDefinition", r#"{"metadata":{"name":"digests.digest.example.com"},"spec":{"group":"digest.example.com","scope":"Namespaced","names":{"kind":"Digest","plural":"digests"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}}"#),
    ("apiregistration.k8s.io/v1 APIService", r#"{"metadata":{"name":"v1.nobody.example.com"},"spec":{"group":"nobody.example.com","version":"v1","groupPriorityMinimum":1000,"versionPriority":10,"insecureSkipTLSVerify":true,"service":{"namespace":"default","name":"nobody"}}}"#),
    ("apps/v1 ControllerRevision", r#"{"revision":1,"data":{"a":"b"},"metadata":{}}"#),
    ("apps/v1 DaemonSet", r#"{"spec":{"selector":{"matchLabels":{"app":"digest-{v}"}},"template":{"metadata":{"labels":{"app":"digest-{v}"}},"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}}}},"metadata":{}}"#),
    ("apps/v1 Deployment", r#"{"spec":{"replicas":0,"selector":{"matchLabels":{"app":"digest-{v}"}},"template":{"metadata":{"labels":{"app":"digest-{v}"}},"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}}},"strategy":{"rollingUpdate":{"maxSurge":"25%"}}},"metadata":{}}"#),
    ("apps/v1 ReplicaSet", r#"{"spec":{"replicas":0,"selector":{"matchLabels":{"app":"digest-{v}"}},"template":{"metadata":{"labels":{"app":"digest-{v}"}},"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}}}},"metadata":{}}"#),
    ("apps/v1 StatefulSet", r#"{"spec":{"serviceName":"digest","selector":{"matchLabels":{"app":"digest-{v}"}},"template":{"metadata":{"labels":{"app":"digest-{v}"}},"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}}},"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1024Mi"}}}}]},"metadata":{}}"#),
    ("autoscaling/v1 HorizontalPodAutoscaler", r#"{"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"digest-v1"},"targetCPUUtilizationPercentage":50},"metadata":{}}"#),
    ("autoscaling/v2 HorizontalPodAutoscaler", r#"{"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"digest-v1"},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"AverageValue","averageValue":"1000m"}}}]},"metadata":{}}"#),
    ("batch/v1 CronJob", r#"{"spec":{"schedule":"0 0 1 1 *","jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{},"restartPolicy":"Never"}}}}},"metadata":{}}"#),
    ("batch/v1 Job", r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{},"restartPolicy":"Never"}}},"metadata":{}}"#),
    ("certificates.k8s.io/v1 CertificateSigningRequest", r#"{"spec":{"signerName":"example.com/digest","usages":["client auth"],"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHUU1FUUNBUUF3RVRFUE1BMEdBMVVFQXd3R1pHbG5aWE4wTUNvd0JRWURLMlZ3QXlFQXllK0pJeFJZRy9oQgpzeHFVR0k1S3BSRkNPZGVvMEQrYmg2Z1IycXJYZ2VlZ0FEQUZCZ01yWlhBRFFRRGZ4dkVwUWxjWnhOcUY4OEg5CjJ2RVlUdTB0NU41R3VLSnNGL3RrY2hlUjhxZHJqaVp5MFN2WXM5TlVJOERUNTZxN2J6WkRScGdUZG14eEtSMDcKdnlZRwotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"},"metadata":{}}"#),
    ("certificates.k8s.io/v1 ClusterTrustBundle", r#"{"spec":{"trustBundle":"-----BEGIN CERTIFICATE-----\nMIIBODCB66ADAgECAhQweBgF0Tm0pIkskl+GVv6FqW1zbzAFBgMrZXAwETEPMA0G\nA1UEAwwGZGlnZXN0MCAXDTI2MTEyNTE0NTQwM1oYDzIxMjYxMTAxMTQ1NDAzWjAR\nMQ8wDQYDVQQDDAZkaWdlc3QwKjAFBgMrZXADIQDJ74kjFFgb+EGzGpQYjkqlEUI5\n16jQP5uHqBHaqteB56NTMFEwHQYDVR0OBBYEFPbXafs40zjl34D+Jb3ylz5wDGXu\nMB8GA1UdIwQYMBaAFPbXafs40zjl34D+Jb3ylz5wDGXuMA8GA1UdEwEB/wQFMAMB\nAf8wBQYDK2VwA0EAeQwSk6L/fJbJTL39gb/Za1BSuFDRRCFOGGavAns3OMorcs8y\n4FA6+PVTMJQUarTtTxVL0XDuTcbD30Ym34zHDg==\n-----END CERTIFICATE-----\n"},"metadata":{}}"#),
    ("coordination.k8s.io/v1 Lease", r#"{"spec":{"holderIdentity":"digest","leaseDurationSeconds":15},"metadata":{}}"#),
    ("discovery.k8s.io/v1 EndpointSlice", r#"{"addressType":"IPv4","endpoints":[{"addresses":["10.1.2.3"],"conditions":{}}],"ports":[{"name":"web","port":80}],"metadata":{}}"#),
    ("events.k8s.io/v1 Event", r#"{"metadata":{"name":"digest-events"},"eventTime":"2026-01-01T00:00:00.000000Z","action":"Digest","reason":"Digest","reportingController":"example.com/digest","reportingInstance":"digest","type":"Normal","regarding":{"kind":"ConfigMap","namespace":"default","name":"digest"}}"#),
    ("flowcontrol.apiserver.k8s.io/v1 FlowSchema", r#"{"spec":{"priorityLevelConfiguration":{"name":"exempt"},"matchingPrecedence":9999},"metadata":{}}"#),
    ("flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration", r#"{"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":1,"limitResponse":{"type":"Reject"}}},"metadata":{}}"#),
    ("networking.k8s.io/v1 IPAddress", r#"{"metadata":{"name":"10.0.200.7"},"spec":{"parentRef":{"resource":"services","namespace":"default","name":"digest-v1"}}}"#),
    ("networking.k8s.io/v1 Ingress", r#"{"spec":{"rules":[{"host":"digest.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"digest","port":{"number":80}}}}]}}]},"metadata":{}}"#),
    ("networking.k8s.io/v1 IngressClass", r#"{"spec":{"controller":"example.com/digest"},"metadata":{}}"#),
    ("networking.k8s.io/v1 NetworkPolicy", r#"{"spec":{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{}]},"metadata":{}}"#),
    ("networking.k8s.io/v1 ServiceCIDR", r#"{"spec":{"cidrs":["10.77.0.0/24"]},"metadata":{}}"#),
    ("node.k8s.io/v1 RuntimeClass", r#"{"handler":"digest","metadata":{}}"#),
    ("policy/v1 PodDisruptionBudget", r#"{"spec":{"minAvailable":"50%","selector":{"matchLabels":{"app":"digest-{v}"}}},"metadata":{}}"#),
    ("rbac.authorization.k8s.io/v1 ClusterRole", r#"{"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}],"metadata":{}}"#),
    ("rbac.authorization.k8s.io/v1 ClusterRoleBinding", r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":[{"kind":"ServiceAccount","namespace":"default","name":"nobody"}],"metadata":{}}"#),
    ("rbac.authorization.k8s.io/v1 Role", r#"{"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}],"metadata":{}}"#),
    ("rbac.authorization.k8s.io/v1 RoleBinding", r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"subjects":[{"kind":"ServiceAccount","namespace":"default","name":"nobody"}],"metadata":{}}"#),
    ("resource.k8s.io/v1 DeviceClass", r#"{"spec":{"selectors":[{"cel":{"expression":"true"}}]},"metadata":{}}"#),
    ("resource.k8s.io/v1 DeviceTaintRule", r#"{"spec":{"deviceSelector":{"driver":"digest.example.com"},"taint":{"key":"example.com/digest","effect":"NoSchedule"}},"metadata":{}}"#),
    ("resource.k8s.io/v1 ResourceClaim", r#"{"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"digest-v1"}}]}},"metadata":{}}"#),
    ("resource.k8s.io/v1 ResourceClaimTemplate", r#"{"spec":{"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"digest-v1"}}]}}},"metadata":{}}"#),
    ("resource.k8s.io/v1 ResourceSlice", r#"{"spec":{"driver":"digest.example.com","nodeName":"digest","pool":{"name":"digest","generation":1,"resourceSliceCount":1},"devices":[{"name":"one"}]},"metadata":{}}"#),
    ("scheduling.k8s.io/v1 PriorityClass", r#"{"value":1000,"metadata":{}}"#),
    ("storage.k8s.io/v1 CSIDriver", r#"{"metadata":{"name":"digest.example.com"},"spec":{"attachRequired":false}}"#),
    ("storage.k8s.io/v1 CSINode", r#"{"spec":{"drivers":[{"name":"digest.example.com","nodeID":"digest"}]},"metadata":{}}"#),
    ("storage.k8s.io/v1 CSIStorageCapacity", r#"{"storageClassName":"digest-v1","capacity":"1024Mi","nodeTopology":{},"metadata":{}}"#),
    ("storage.k8s.io/v1 StorageClass", r#"{"provisioner":"example.com/digest","metadata":{}}"#),
    ("storage.k8s.io/v1 VolumeAttachment", r#"{"spec":{"attacher":"digest.example.com","nodeName":"digest","source":{"persistentVolumeName":"digest-v1"}},"metadata":{}}"#),
    ("storage.k8s.io/v1 VolumeAttributesClass", r#"{"driverName":"digest.example.com","parameters":{"iops":"100"},"metadata":{}}"#),
    ("storagemigration.k8s.io/v1 StorageVersionMigration", r#"{"spec":{"resource":{"group":"","resource":"configmaps"}},"metadata":{}}"#),
    ("v1 ConfigMap", r#"{"data":{"a":"b"},"binaryData":{"b":"YQ=="},"metadata":{}}"#),
    ("v1 Endpoints", r#"{"subsets":[{"addresses":[{"ip":"10.1.2.3"}],"ports":[{"port":80}]}],"metadata":{}}"#),
    ("v1 Event", r#"{"involvedObject":{"kind":"ConfigMap","namespace":"default","name":"digest"},"reason":"Digest","message":"one","type":"Normal","metadata":{}}"#),
    ("v1 LimitRange", r#"{"spec":{"limits":[{"type":"PersistentVolumeClaim","max":{"storage":"10240Gi"}}]},"metadata":{}}"#),
    ("v1 Namespace", r#"{"metadata":{"name":"digest-namespace","labels":{"a":"b"}}}"#),
    ("v1 Node", r#"{"spec":{"unschedulable":true,"taints":[{"key":"digest","effect":"NoSchedule"}]},"metadata":{}}"#),
    ("v1 PersistentVolume", r#"{"spec":{"capacity":{"storage":"1024Mi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/tmp/digest"}},"metadata":{}}"#),
    ("v1 PersistentVolumeClaim", r#"{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1024Mi"}}},"metadata":{}}"#),
    ("v1 Pod", r#"{"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}},"metadata":{}}"#),
    ("v1 PodTemplate", r#"{"template":{"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}}},"metadata":{}}"#),
    ("v1 ReplicationController", r#"{"spec":{"replicas":0,"selector":{"app":"digest"},"template":{"metadata":{"labels":{"app":"digest"}},"spec":{"containers":[{"name":"web","image":"example.com/web:1","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}},"securityContext":{},"env":[{"name":"A","value":"1"}],"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}],"securityContext":{}}}},"metadata":{}}"#),
    ("v1 ResourceQuota", r#"{"spec":{"hard":{"count/configmaps":"100000","requests.cpu":"100000000m"}},"metadata":{}}"#),
    ("v1 Secret", r#"{"type":"Opaque","data":{"a":"Yg=="},"metadata":{}}"#),
    ("v1 Service", r#"{"spec":{"selector":{"app":"digest"},"ports":[{"port":80}]},"metadata":{}}"#),
    ("v1 ServiceAccount", r#"{"metadata":{"name":"default"},"automountServiceAccountToken":false}"#),
];
