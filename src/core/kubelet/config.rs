//! `KubeletConfiguration` as files of this node. What the cluster's kubelets share is resolved in [`crate::config`].

use crate::yaml;
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

/// A configuration as the text of a file or of a ConfigMap's value.
pub fn to_yaml(config: &Value) -> String {
    yaml::to_string(config)
}
