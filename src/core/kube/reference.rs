//! Names of API objects, and the table that turns a kind into a URL path.
//!
//! The table is static on purpose: discovery costs round trips, and fails exactly when the API server is
//! half up, which is when this tool talks to it.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::KubeError;

/// One kind of object: where it lives in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// Group and version as written in `apiVersion`, such as `v1` or `apps/v1`.
    pub api_version: &'static str,
    /// The kind, such as `ConfigMap`.
    pub kind: &'static str,
    /// The last part of the collection's URL, such as `configmaps`.
    pub plural: &'static str,
    /// Whether objects of this kind live in a namespace.
    pub namespaced: bool,
}

const fn namespaced(api_version: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { api_version, kind, plural, namespaced: true }
}

const fn cluster(api_version: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { api_version, kind, plural, namespaced: false }
}

/// Every kind this tool reads or writes. All are built into the API server and stable.
static RESOURCES: [Resource; 26] = [
    namespaced("v1", "ConfigMap", "configmaps"),
    namespaced("v1", "Endpoints", "endpoints"),
    namespaced("v1", "Event", "events"),
    namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    namespaced("v1", "Pod", "pods"),
    namespaced("v1", "Secret", "secrets"),
    namespaced("v1", "Service", "services"),
    namespaced("v1", "ServiceAccount", "serviceaccounts"),
    cluster("v1", "Namespace", "namespaces"),
    cluster("v1", "Node", "nodes"),
    namespaced("apps/v1", "DaemonSet", "daemonsets"),
    namespaced("apps/v1", "Deployment", "deployments"),
    namespaced("apps/v1", "StatefulSet", "statefulsets"),
    namespaced("batch/v1", "CronJob", "cronjobs"),
    namespaced("batch/v1", "Job", "jobs"),
    cluster(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    cluster(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    cluster("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"),
    namespaced("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    cluster("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests"),
    namespaced("coordination.k8s.io/v1", "Lease", "leases"),
    namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    namespaced("rbac.authorization.k8s.io/v1", "Role", "roles"),
    namespaced("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    cluster("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"),
    cluster("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"),
];

impl Resource {
    /// Finds a kind by its name alone; the table holds no name twice.
    pub fn of_kind(kind: &str) -> Result<&'static Self, KubeError> {
        RESOURCES
            .iter()
            .find(|resource| resource.kind == kind)
            .ok_or_else(|| KubeError::UnknownKind { api_version: String::new(), kind: kind.to_owned() })
    }

    /// The URL path of the collection. `None` for a namespaced kind means: in all namespaces.
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{root}/{}/namespaces/{}/{}", self.api_version, encode(namespace), self.plural)
            }
            _ => format!("{root}/{}/{}", self.api_version, self.plural),
        }
    }
}

/// The name of one API object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version, such as `v1` or `apps/v1`.
    pub api_version: String,
    /// The kind, such as `ConfigMap`.
    pub kind: String,
    /// The namespace; `None` for cluster-wide kinds.
    pub namespace: Option<String>,
    /// The name. May hold `:`, as RBAC names do.
    pub name: String,
}

impl ObjectRef {
    /// Names an object of a kind from the table, whose `apiVersion` is filled in.
    ///
    /// # Errors
    /// [`KubeError::UnknownKind`] for a kind that is not in the table.
    pub fn new(kind: &str, namespace: Option<&str>, name: &str) -> Result<Self, KubeError> {
        let resource = Resource::of_kind(kind)?;
        Ok(Self {
            api_version: resource.api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.filter(|_| resource.namespaced).map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// Reads the name of an object from its `apiVersion`, `kind` and `metadata`.
    ///
    /// # Errors
    /// [`KubeError::Malformed`] if one of them is missing or not a string.
    pub fn of(object: &Value) -> Result<Self, KubeError> {
        let text = |pointer: &'static str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or(KubeError::Malformed { field: pointer })
        };
        Ok(Self {
            api_version: text("/apiVersion")?,
            kind: text("/kind")?,
            namespace: text("/metadata/namespace").ok(),
            name: text("/metadata/name")?,
        })
    }

    /// The arguments by which kubectl names this object.
    pub fn kubectl(&self) -> String {
        let namespace = self.namespace.as_ref().map(|name| format!("-n {name} ")).unwrap_or_default();
        format!("{namespace}{} {}", self.kind.to_lowercase(), self.name)
    }

    /// The row of the table for this object.
    ///
    /// # Errors
    /// [`KubeError::UnknownKind`] also if only the `apiVersion` differs: a wrong one would be a puzzling 404.
    pub fn resource(&self) -> Result<&'static Resource, KubeError> {
        RESOURCES.iter().find(|row| row.kind == self.kind && row.api_version == self.api_version).ok_or_else(
            || KubeError::UnknownKind { api_version: self.api_version.clone(), kind: self.kind.clone() },
        )
    }

    /// The URL path of the collection that holds this object.
    pub(super) fn collection(&self) -> Result<String, KubeError> {
        let resource = self.resource()?;
        if resource.namespaced && self.namespace.is_none() {
            return Err(KubeError::Malformed { field: "/metadata/namespace" });
        }
        Ok(resource.collection_path(self.namespace.as_deref()))
    }

    /// The URL path of this object.
    pub(super) fn path(&self) -> Result<String, KubeError> {
        // The API server refuses these as names; here they would change the meaning of the path.
        if self.name.is_empty() || self.name == "." || self.name == ".." || self.name.contains(['/', '%']) {
            return Err(KubeError::Malformed { field: "/metadata/name" });
        }
        Ok(format!("{}/{}", self.collection()?, encode(&self.name)))
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{} {namespace}/{}", self.kind, self.name),
            None => write!(out, "{} {}", self.kind, self.name),
        }
    }
}

/// Percent-encodes one path segment or query value. `:` stays, since RBAC names use it and servers log it so.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_and_scope() {
        let path = |kind, namespace, name| ObjectRef::new(kind, namespace, name).unwrap().path().unwrap();
        assert_eq!(
            path("ConfigMap", Some("kube-system"), "kubeadm-config"),
            "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
        );
        assert_eq!(path("Node", None, "cp1"), "/api/v1/nodes/cp1");
        assert_eq!(
            path("ClusterRoleBinding", None, "kubeadm:cluster-admins"),
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:cluster-admins"
        );
        assert_eq!(
            path("Lease", Some("kube-system"), "rkadm"),
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/rkadm"
        );
        assert_eq!(Resource::of_kind("Pod").unwrap().collection_path(None), "/api/v1/pods");
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        for name in ["", ".", "..", "a/b", "a%2fb"] {
            assert!(ObjectRef::new("Node", None, name).unwrap().path().is_err(), "{name}");
        }
        assert_eq!(ObjectRef::new("Node", None, "a?b").unwrap().path().unwrap(), "/api/v1/nodes/a%3Fb");
    }

    #[test]
    fn wrong_version_and_missing_namespace_are_told_apart() {
        let object = serde_json::json!({"apiVersion": "apps/v1beta1", "kind": "Deployment",
            "metadata": {"name": "coredns", "namespace": "kube-system"}});
        let error = ObjectRef::of(&object).unwrap().path().unwrap_err();
        assert!(matches!(error, KubeError::UnknownKind { .. }));
        let error = ObjectRef::new("Secret", None, "x").unwrap().path().unwrap_err();
        assert!(matches!(error, KubeError::Malformed { field: "/metadata/namespace" }));
    }
}
