//! The API objects that a cluster starts with, one function for each init phase.
//!
//! Objects are plain JSON with `apiVersion` and `kind`, in the order in which kubeadm creates them, ready for
//! server-side apply: no status, no resource version.

mod addons;
mod admin;
mod bootstrap;
mod certs;
mod node;
mod rbac;
mod upload_config;

pub use addons::{CoreDnsInputs, KubeProxyInputs, coredns, kube_proxy};
pub use admin::{apiserver_kubelet_client, cluster_admins};
pub use bootstrap::{
    NotAToken, bootstrap_rbac, bootstrap_token, cluster_info, cluster_info_rbac, read_bootstrap_token,
};
pub use certs::{certs_token, certs_ttl, uploaded_certs};
pub use node::{
    CONTROL_PLANE_LABEL, CRI_SOCKET_ANNOTATION, EXCLUDE_FROM_LOAD_BALANCERS_LABEL, UNFINISHED_JOIN,
    control_plane_taint, mark_control_plane, unfinished_join, unfinished_join_of,
};
pub use upload_config::{kubeadm_config, kubelet_config};

use crate::manifest::TemplateError;
use crate::text::sha256_hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Group of the bootstrap tokens that nodes join with.
pub const NODE_TOKEN_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
/// Group of all registered nodes.
pub const NODES_GROUP: &str = "system:nodes";
/// Annotation that holds the hash of a component configuration nobody has edited.
pub const CONFIG_HASH_ANNOTATION: &str = "kubeadm.kubernetes.io/component-config.hash";

/// An object that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The template and the values do not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The service subnet is malformed or too small.
    #[error("service subnet {0:?} has no tenth address for cluster DNS")]
    ServiceSubnet(String),
    /// A bootstrap token without the form `ID.SECRET`.
    #[error("a bootstrap token is missing or has not the form ID.SECRET")]
    Token,
}

fn config_map(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace}, "data": data,
    })
}

/// Marks a component's ConfigMap as generated: while hash and data agree, an upgrade may generate it anew; a ConfigMap
/// without hash, or edited since, is the operator's and is kept.
fn sign(config_map: &mut Value) {
    config_map["metadata"]["annotations"][CONFIG_HASH_ANNOTATION] = hash_of(config_map).into();
}

/// Whether a component's ConfigMap is as it was generated: nobody gave it, and nobody has edited it since.
pub fn is_generated(config_map: &Value) -> bool {
    config_map["metadata"]["annotations"][CONFIG_HASH_ANNOTATION] == hash_of(config_map)
}

fn hash_of(config_map: &Value) -> String {
    let mut keys: Vec<_> = config_map["data"].as_object().into_iter().flatten().collect();
    keys.sort_by_key(|(key, _)| key.as_str());
    let values: String = keys.iter().filter_map(|(_, text)| text.as_str()).collect();
    format!("sha256:{}", sha256_hex(values.as_bytes()))
}

fn base64_of(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_over_the_values_in_order_of_their_keys() {
        let mut signed = config_map("n", "c", &json!({"b": "two", "a": "one"}));
        sign(&mut signed);
        // printf onetwo | sha256sum
        assert_eq!(
            signed["metadata"]["annotations"][CONFIG_HASH_ANNOTATION],
            "sha256:25b6746d5172ed6352966a013d93ac846e1110d5a25e8f183b5931f4688842a1"
        );
        assert!(is_generated(&signed));
        signed["data"]["a"] = "edited".into();
        assert!(!is_generated(&signed));
        assert!(!is_generated(&config_map("n", "c", &json!({}))));
    }
}
