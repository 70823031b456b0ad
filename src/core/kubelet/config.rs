//! `KubeletConfiguration` as files of this node. What the cluster's kubelets share is resolved in [`crate::config`].

use crate::{text::bracketed, yaml};
use serde_json::Value;

/// The configuration of one node: what [`crate::config::ResolvedInit::node_kubelet`] gives, with this node's container
/// runtime.
pub fn node_config(kubelet: &Value, cri_socket: &str) -> Value {
    let mut config = kubelet.clone();
    config["containerRuntimeEndpoint"] = cri_socket.into();
    yaml::sort_keys(&mut config);
    config
}

/// The text of [`super::INSTANCE_CONFIG_FILE`]: what upgrades patch back into a fresh cluster configuration.
pub fn instance_config(cri_socket: &str) -> String {
    format!("containerRuntimeEndpoint: {}\n", Value::from(cri_socket))
}

/// Where a kubelet with this configuration says whether it is well.
pub fn health_url(config: &Value) -> String {
    let host = config["healthzBindAddress"].as_str().unwrap_or("127.0.0.1");
    format!("http://{}:{}/healthz", bracketed(host), health_port(config))
}

/// Its port; 0 turns it off.
pub fn health_port(config: &Value) -> u64 {
    config["healthzPort"].as_u64().unwrap_or(10248)
}

/// A configuration as the text of a file or of a ConfigMap's value.
pub fn to_yaml(config: &Value) -> String {
    yaml::to_string(config)
}
