//! `upload-certs`: the control plane's CAs, encrypted, for control planes that join within two hours.

use super::rbac::{Subject, getter_role, role_binding};
use super::{NODE_TOKEN_GROUP, base64_of, bootstrap};
use crate::config::Secret;
use crate::config::types::BootstrapToken;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How long the uploaded certificates live.
pub fn certs_ttl() -> SignedDuration {
    SignedDuration::from_hours(2)
}

/// A bootstrap token that can do nothing but expire: it owns the uploaded certificates, which the garbage collector
/// removes with it.
pub fn certs_token(token: &Secret, expires: Timestamp) -> Result<Value, super::ObjectError> {
    let token = BootstrapToken {
        token: Some(token.clone()),
        description: "Proxy for managing TTL for the kubeadm-certs secret".into(),
        ..BootstrapToken::default()
    };
    bootstrap::bootstrap_token(&token, Some(expires))
}

/// Secret `kubeadm-certs` and who may read it. `encrypted` maps keys such as `etcd-ca.key` to ciphertexts; the owner is
/// the Secret made from [`certs_token`], with the UID that the API server gave it.
pub fn uploaded_certs(encrypted: &BTreeMap<String, Vec<u8>>, owner: &str, owner_uid: &str) -> Vec<Value> {
    const ROLE: &str = "kubeadm:kubeadm-certs";
    let data: Map<_, _> = encrypted.iter().map(|(key, text)| (key.clone(), base64_of(text).into())).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "kubeadm-certs", "namespace": "kube-system",
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Secret", "name": owner, "uid": owner_uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "data": data,
    });
    vec![
        secret,
        getter_role("kube-system", ROLE, "secrets", "kubeadm-certs"),
        role_binding("kube-system", ROLE, &[Subject::Group(NODE_TOKEN_GROUP)]),
    ]
}
