//! `bootstrap-token`: tokens, what their holders may do, and the public information that discovery starts from.

use super::rbac::{Subject, cluster_role_binding, getter_role, role_binding};
use super::{NODE_TOKEN_GROUP, NODES_GROUP, ObjectError, admin, base64_of, config_map};
use crate::config::types::BootstrapToken;
use crate::yaml;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The Secret of a token. Usages and groups are written as given: defaults are the configuration's.
pub fn bootstrap_token(token: &BootstrapToken, expires: Option<Timestamp>) -> Result<Value, ObjectError> {
    let text = token.token.as_ref().ok_or(ObjectError::Token)?;
    let (id, secret) = text.expose().split_once('.').ok_or(ObjectError::Token)?;
    let mut data = Map::new();
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            data.insert(key.to_owned(), base64_of(value).into());
        }
    };
    put("auth-extra-groups", &token.groups.join(","));
    put("description", &token.description);
    if let Some(expires) = expires {
        put("expiration", &expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    put("token-id", id);
    put("token-secret", secret);
    for usage in &token.usages {
        put(&format!("usage-bootstrap-{usage}"), "true");
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token", "data": data,
    }))
}

/// What holders of a node token may do, from seeing nodes to becoming one, and the API server's way to kubelets.
pub fn bootstrap_rbac() -> Vec<Value> {
    const CSR: &str = "system:certificates.k8s.io:certificatesigningrequests";
    let nodes_role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "kubeadm:get-nodes"},
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
    });
    let tokens = Subject::Group(NODE_TOKEN_GROUP);
    vec![
        nodes_role,
        cluster_role_binding("kubeadm:get-nodes", "kubeadm:get-nodes", tokens),
        cluster_role_binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", tokens),
        cluster_role_binding("kubeadm:node-autoapprove-bootstrap", &format!("{CSR}:nodeclient"), tokens),
        cluster_role_binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            &format!("{CSR}:selfnodeclient"),
            Subject::Group(NODES_GROUP),
        ),
        admin::apiserver_kubelet_client(),
    ]
}

/// ConfigMap `cluster-info` in `kube-public` and its readers, who include everybody: a joining node has no identity yet.
/// It verifies what it read with the token's signature.
pub fn cluster_info(server: &str, ca_pem: &[u8]) -> Vec<Value> {
    const ROLE: &str = "kubeadm:bootstrap-signer-clusterinfo";
    let kubeconfig = json!({
        "apiVersion": "v1",
        "clusters": [{
            "cluster": {"certificate-authority-data": base64_of(ca_pem), "server": server},
            "name": "",
        }],
        "contexts": null, "current-context": "", "kind": "Config", "users": null,
    });
    let data = json!({"kubeconfig": yaml::to_string(&kubeconfig)});
    vec![
        config_map("kube-public", "cluster-info", &data),
        getter_role("kube-public", ROLE, "configmaps", "cluster-info"),
        role_binding("kube-public", ROLE, &[Subject::User("system:anonymous")]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_a_secret_part_is_refused() {
        for text in [None, Some("abcdef".into())] {
            let token = BootstrapToken { token: text, ..BootstrapToken::default() };
            assert!(matches!(bootstrap_token(&token, None), Err(ObjectError::Token)));
        }
    }
}
