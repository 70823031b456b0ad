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

/// The fields in which `new` differs from `old`, in words.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut found = vec![];
    compare("", old, new, &mut found);
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    if let (Value::Object(olds), Value::Object(news)) = (old, new) {
        let mut names: Vec<_> = olds.keys().chain(news.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            compare(
                &path,
                &olds.get(name).cloned().unwrap_or_default(),
                &news.get(name).cloned().unwrap_or_default(),
                found,
            );
        }
    } else if old.is_null() && new != old {
        found.push(format!("{path}: {new} comes"));
    } else if new.is_null() && new != old {
        found.push(format!("{path}: {old} goes"));
    } else if old != new {
        found.push(format!("{path}: {old} becomes {new}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_by_field() {
        let old = json!({"maxPods": 50, "a": {"b": 1, "same": true}});
        let new = json!({"a": {"b": 2, "same": true}, "c": "x"});
        assert_eq!(differences(&old, &new), ["a.b: 1 becomes 2", "c: \"x\" comes", "maxPods: 50 goes"]);
        assert!(differences(&old, &old).is_empty());
    }
}
