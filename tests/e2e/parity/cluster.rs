//! The objects of the two clusters.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rkadm_core::yaml;
use rkadm_nodes::Node;
use serde_json::{Value, json};

use super::same::{self, Expected};
use crate::support::get;

const EXPECTED: &[Expected] = &[];

/// What `kubectl get` is asked for, and the names that count; an empty name is any.
const WANTED: &[(&str, &[&str])] = &[
    ("configmaps -n kube-system", &["kubeadm-config", "kubelet-config", "kube-proxy", "coredns"]),
    ("configmaps -n kube-public", &["cluster-info"]),
    ("secrets -n kube-system", &[""]),
    ("roles -A", &["kubeadm:", "kube-proxy"]),
    ("rolebindings -A", &["kubeadm:", "kube-proxy"]),
    ("clusterroles", &["kubeadm:", "system:coredns"]),
    ("clusterrolebindings", &["kubeadm:", "system:coredns"]),
    ("serviceaccounts -n kube-system", &["coredns", "kube-proxy"]),
    ("daemonsets -A", &[""]),
    ("deployments -A", &[""]),
    ("services -A", &[""]),
    ("nodes", &[""]),
];

/// What the server sets, or what is random.
const SERVER: &[&str] =
    &["uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "generation"];

pub fn compare(kubeadm: &Node, rkadm: &Node) -> Result<Vec<String>> {
    Ok(same::differences("", &json!(objects(kubeadm)?), &json!(objects(rkadm)?), EXPECTED))
}

fn objects(node: &Node) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for (what, names) in WANTED {
        let list = get(node, what)?;
        for object in list["items"].as_array().into_iter().flatten() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if names.iter().any(|wanted| name.starts_with(wanted)) {
                let kind = what.split(' ').next().unwrap_or_default();
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
                let name = no_token_id(&object["metadata"]["name"]);
                found.insert(format!("{kind} {namespace} {name}"), normal(object.clone()));
            }
        }
    }
    ensure!(found.len() > 30, "too little to compare: {:?}", found.keys());
    Ok(found)
}

/// The object without what is random or set by the server.
fn normal(mut object: Value) -> Value {
    for field in SERVER {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove(*field);
        }
    }
    if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
        for owner in owners {
            owner["uid"] = json!("(uid)");
            owner["name"] = json!(no_token_id(&owner["name"]));
        }
    }
    match object["kind"].as_str() {
        Some("Node") => node(&mut object),
        Some("Secret") => secret(&mut object),
        Some("ConfigMap") => config_map(&mut object),
        _ => drop(object.as_object_mut().map(|object| object.remove("status"))),
    }
    object
}

/// Labels, annotations and taints; the rest comes from the kubelet.
fn node(object: &mut Value) {
    let taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
    // The node has no pod network yet: when its controller taints it for that is a matter of moments.
    let ours = taints
        .into_iter()
        .filter(|taint| !taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/")));
    *object = json!({
        "labels": object["metadata"]["labels"], "annotations": object["metadata"]["annotations"],
        "taints": ours.collect::<Vec<_>>(),
    });
}

/// Names and lengths, but for the token that the configuration gives.
fn secret(object: &mut Value) {
    let is_ours = object["metadata"]["name"] == "bootstrap-token-abcdef";
    for (key, value) in object["data"].as_object_mut().into_iter().flatten() {
        if key == "expiration" || key == "token-id" || key == "token-secret" || !is_ours {
            // Of keys in PEM even the length differs.
            *value = json!(if object_is_certs(key) { 0 } else { value.as_str().map_or(0, str::len) });
        }
    }
    let name = no_token_id(&object["metadata"]["name"]);
    object["metadata"]["name"] = json!(name);
}

/// The files of `kubeadm-certs`, each encrypted.
fn object_is_certs(key: &str) -> bool {
    key.rsplit_once('.').is_some_and(|(_, extension)| ["crt", "key", "pub"].contains(&extension))
}

/// `bootstrap-token-(id)`, whatever the id.
fn no_token_id(name: &Value) -> String {
    let name = name.as_str().unwrap_or_default();
    match name.strip_prefix("bootstrap-token-") {
        Some(id) if id != "abcdef" => "bootstrap-token-(id)".to_owned(),
        _ => name.to_owned(),
    }
}

/// Texts that hold YAML are compared as what they mean.
fn config_map(object: &mut Value) {
    for (key, value) in object["data"].as_object_mut().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        if key.starts_with("jws-kubeconfig-") {
            // Signed content holds the CA.
            *value = json!("(signature)");
        } else if let Ok(mut parsed @ Value::Object(_)) = yaml::from_str::<Value>(text) {
            if let Some(ca) = parsed.pointer_mut("/clusters/0/cluster/certificate-authority-data") {
                *ca = json!("(CA)");
            }
            *value = parsed;
        }
    }
}
