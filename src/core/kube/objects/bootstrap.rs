//! `bootstrap-token`: tokens, what their holders may do, and the public information that discovery starts from.

use super::rbac::{Subject, cluster_role_binding, getter_role, role_binding};
use super::{NODE_TOKEN_GROUP, NODES_GROUP, ObjectError, admin, base64_of, config_map};
use crate::config::Secret;
use crate::config::types::BootstrapToken;
use crate::pki::bootstrap_token::BootstrapToken as Halves;
use crate::yaml;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// A Secret that holds no usable bootstrap token. Values are not repeated: they may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or not of the right form")]
pub struct NotAToken(&'static str);

/// Reads the Secret of a token: the way back from [`bootstrap_token`]. Usages are sorted by name.
pub fn read_bootstrap_token(secret: &Value) -> Result<BootstrapToken, NotAToken> {
    let text = |key: &'static str| match secret["data"].get(key).and_then(Value::as_str) {
        None => Ok(None),
        Some(data) => {
            let bytes = STANDARD.decode(data).map_err(|_| NotAToken(key))?;
            String::from_utf8(bytes).map(Some).map_err(|_| NotAToken(key))
        }
    };
    let id = text("token-id")?.unwrap_or_default();
    if secret["metadata"]["name"] != format!("bootstrap-token-{id}") {
        return Err(NotAToken("token-id"));
    }
    let half = text("token-secret")?.ok_or(NotAToken("token-secret"))?;
    let token = Halves::new(&id, &half).map_err(|_| NotAToken("token-secret"))?;
    let expires = text("expiration")?;
    if expires.as_ref().is_some_and(|text| text.parse::<Timestamp>().is_err()) {
        return Err(NotAToken("expiration"));
    }
    let mut usages = vec![];
    for (usage, key) in
        [("authentication", "usage-bootstrap-authentication"), ("signing", "usage-bootstrap-signing")]
    {
        if text(key)?.as_deref() == Some("true") {
            usages.push(usage.to_owned());
        }
    }
    let groups = text("auth-extra-groups")?.unwrap_or_default();
    Ok(BootstrapToken {
        token: Some(Secret::new(token.expose().as_str())),
        description: text("description")?.unwrap_or_default(),
        ttl: None,
        expires,
        usages,
        groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
    })
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
    let kubeconfig = json!({
        "apiVersion": "v1",
        "clusters": [{
            "cluster": {"certificate-authority-data": base64_of(ca_pem), "server": server},
            "name": "",
        }],
        "contexts": null, "current-context": "", "kind": "Config", "users": null,
    });
    let data = json!({"kubeconfig": yaml::to_string(&kubeconfig)});
    [config_map("kube-public", "cluster-info", &data)].into_iter().chain(cluster_info_rbac()).collect()
}

/// Who may read the public information: everybody.
pub fn cluster_info_rbac() -> Vec<Value> {
    const ROLE: &str = "kubeadm:bootstrap-signer-clusterinfo";
    vec![
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

    fn token() -> BootstrapToken {
        BootstrapToken {
            token: Some("abcdef.0123456789abcdef".into()),
            description: "for a test".into(),
            ttl: None,
            expires: Some("2030-01-31T12:00:00Z".into()),
            usages: vec!["authentication".into(), "signing".into()],
            groups: vec![NODE_TOKEN_GROUP.into(), "system:bootstrappers:b".into()],
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let secret = bootstrap_token(&token(), token().end(Timestamp::MIN).unwrap()).unwrap();
        assert_eq!(read_bootstrap_token(&secret).unwrap(), token());
        let bare = BootstrapToken { token: token().token, ..BootstrapToken::default() };
        assert_eq!(read_bootstrap_token(&bootstrap_token(&bare, None).unwrap()).unwrap(), bare);
    }

    #[test]
    fn damaged_secrets_are_told_apart_without_their_values() {
        let damage = |key: &str, value: Value| {
            let mut secret = bootstrap_token(&token(), token().end(Timestamp::MIN).unwrap()).unwrap();
            secret["data"][key] = value;
            read_bootstrap_token(&secret).unwrap_err().to_string()
        };
        assert_eq!(damage("token-id", Value::Null), "token-id is missing or not of the right form");
        assert_eq!(
            damage("token-secret", base64_of("short").into()),
            "token-secret is missing or not of the right form"
        );
        assert_eq!(
            damage("expiration", base64_of("soon").into()),
            "expiration is missing or not of the right form"
        );
        assert_eq!(damage("description", "*".into()), "description is missing or not of the right form");
    }
}
