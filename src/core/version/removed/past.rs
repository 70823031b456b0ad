//! Versions of Kubernetes' own APIs that were gone before the oldest supported minor. No API server of these minors knows them;
//! what was written for older clusters may still name them.

use super::apis::{OldApi, old};

const fn gone(name: [&'static str; 3], gone_in: u64, instead: &'static str) -> OldApi {
    OldApi { by_default: true, ..old(name, None, Some(gone_in), Some(instead)) }
}

pub(super) static APIS: [OldApi; 43] = [
    gone(
        ["admissionregistration.k8s.io", "v1beta1", "mutatingwebhookconfigurations"],
        22,
        "admissionregistration.k8s.io/v1",
    ),
    gone(
        ["admissionregistration.k8s.io", "v1beta1", "validatingwebhookconfigurations"],
        22,
        "admissionregistration.k8s.io/v1",
    ),
    gone(["apiextensions.k8s.io", "v1beta1", "customresourcedefinitions"], 22, "apiextensions.k8s.io/v1"),
    gone(["apiregistration.k8s.io", "v1beta1", "apiservices"], 22, "apiregistration.k8s.io/v1"),
    gone(["apps", "v1beta1", "deployments"], 16, "apps/v1"),
    gone(["apps", "v1beta1", "statefulsets"], 16, "apps/v1"),
    gone(["apps", "v1beta2", "daemonsets"], 16, "apps/v1"),
    gone(["apps", "v1beta2", "deployments"], 16, "apps/v1"),
    gone(["apps", "v1beta2", "replicasets"], 16, "apps/v1"),
    gone(["apps", "v1beta2", "statefulsets"], 16, "apps/v1"),
    gone(["autoscaling", "v2beta1", "horizontalpodautoscalers"], 25, "autoscaling/v2"),
    gone(["autoscaling", "v2beta2", "horizontalpodautoscalers"], 26, "autoscaling/v2"),
    gone(["batch", "v1beta1", "cronjobs"], 25, "batch/v1"),
    gone(["certificates.k8s.io", "v1beta1", "certificatesigningrequests"], 22, "certificates.k8s.io/v1"),
    gone(["coordination.k8s.io", "v1beta1", "leases"], 22, "coordination.k8s.io/v1"),
    gone(["discovery.k8s.io", "v1beta1", "endpointslices"], 25, "discovery.k8s.io/v1"),
    gone(["extensions", "v1beta1", "daemonsets"], 16, "apps/v1"),
    gone(["extensions", "v1beta1", "deployments"], 16, "apps/v1"),
    gone(["extensions", "v1beta1", "ingresses"], 22, "networking.k8s.io/v1"),
    gone(["extensions", "v1beta1", "networkpolicies"], 16, "networking.k8s.io/v1"),
    OldApi {
        by_default: true,
        ..old(["extensions", "v1beta1", "podsecuritypolicies"], None, Some(16), None)
    },
    gone(["extensions", "v1beta1", "replicasets"], 16, "apps/v1"),
    gone(["flowcontrol.apiserver.k8s.io", "v1beta1", "flowschemas"], 26, "flowcontrol.apiserver.k8s.io/v1"),
    gone(
        ["flowcontrol.apiserver.k8s.io", "v1beta1", "prioritylevelconfigurations"],
        26,
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    gone(["flowcontrol.apiserver.k8s.io", "v1beta2", "flowschemas"], 29, "flowcontrol.apiserver.k8s.io/v1"),
    gone(
        ["flowcontrol.apiserver.k8s.io", "v1beta2", "prioritylevelconfigurations"],
        29,
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    gone(["flowcontrol.apiserver.k8s.io", "v1beta3", "flowschemas"], 32, "flowcontrol.apiserver.k8s.io/v1"),
    gone(
        ["flowcontrol.apiserver.k8s.io", "v1beta3", "prioritylevelconfigurations"],
        32,
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    gone(["networking.k8s.io", "v1beta1", "ingressclasses"], 22, "networking.k8s.io/v1"),
    gone(["networking.k8s.io", "v1beta1", "ingresses"], 22, "networking.k8s.io/v1"),
    gone(["node.k8s.io", "v1beta1", "runtimeclasses"], 25, "node.k8s.io/v1"),
    gone(["policy", "v1beta1", "poddisruptionbudgets"], 25, "policy/v1"),
    OldApi { by_default: true, ..old(["policy", "v1beta1", "podsecuritypolicies"], None, Some(25), None) },
    gone(["rbac.authorization.k8s.io", "v1beta1", "clusterrolebindings"], 22, "rbac.authorization.k8s.io/v1"),
    gone(["rbac.authorization.k8s.io", "v1beta1", "clusterroles"], 22, "rbac.authorization.k8s.io/v1"),
    gone(["rbac.authorization.k8s.io", "v1beta1", "rolebindings"], 22, "rbac.authorization.k8s.io/v1"),
    gone(["rbac.authorization.k8s.io", "v1beta1", "roles"], 22, "rbac.authorization.k8s.io/v1"),
    gone(["scheduling.k8s.io", "v1beta1", "priorityclasses"], 22, "scheduling.k8s.io/v1"),
    gone(["storage.k8s.io", "v1beta1", "csidrivers"], 22, "storage.k8s.io/v1"),
    gone(["storage.k8s.io", "v1beta1", "csinodes"], 22, "storage.k8s.io/v1"),
    gone(["storage.k8s.io", "v1beta1", "csistoragecapacities"], 27, "storage.k8s.io/v1"),
    gone(["storage.k8s.io", "v1beta1", "storageclasses"], 22, "storage.k8s.io/v1"),
    gone(["storage.k8s.io", "v1beta1", "volumeattachments"], 22, "storage.k8s.io/v1"),
];
