//! Bindings that give the certificates made by init their rights.

use super::rbac::{Subject, cluster_role_binding};
use serde_json::Value;

/// Makes the group of `admin.conf` cluster administrators. Created with `super-admin.conf`, which needs no binding.
pub fn cluster_admins() -> Value {
    cluster_role_binding("kubeadm:cluster-admins", "cluster-admin", Subject::Group("kubeadm:cluster-admins"))
}

/// Lets the API server's client certificate reach kubelets. Since the patch releases of May 2026 that certificate is in
/// no group, and without this binding `kubectl logs` and `exec` are forbidden (kubernetes/kubeadm#3310).
pub fn apiserver_kubelet_client() -> Value {
    cluster_role_binding(
        "kubeadm:apiserver-kubelet-client",
        "system:kubelet-api-admin",
        Subject::User("kube-apiserver-kubelet-client"),
    )
}
