//! `upload-config`: the cluster's and the kubelets' configuration, readable by joining and by registered nodes.

use super::rbac::{Subject, getter_role, role_binding};
use super::{NODE_TOKEN_GROUP, NODES_GROUP, config_map, sign};
use crate::config::types::{ClusterConfiguration, Kind};
use crate::manifest::env;
use crate::yaml;
use serde_json::{Value, json};

/// `upload-config/kubeadm`: ConfigMap `kubeadm-config` and who may read it.
pub fn kubeadm_config(cluster: &ClusterConfiguration) -> Vec<Value> {
    const ROLE: &str = "kubeadm:nodes-kubeadm-config";
    let mut stored = cluster.clone();
    for component in [&mut stored.api_server, &mut stored.controller_manager, &mut stored.scheduler] {
        env::fill_defaults(&mut component.extra_envs);
    }
    if let Some(etcd) = &mut stored.etcd.local {
        env::fill_defaults(&mut etcd.extra_envs);
    }
    let data = json!({"ClusterConfiguration": stored.to_yaml()});
    vec![
        config_map("kube-system", "kubeadm-config", &data),
        getter_role("kube-system", ROLE, "configmaps", "kubeadm-config"),
        role_binding("kube-system", ROLE, &[Subject::Group(NODE_TOKEN_GROUP), Subject::Group(NODES_GROUP)]),
    ]
}

/// `upload-config/kubelet`: ConfigMap `kubelet-config` and who may read it.
///
/// `config` is the resolved `KubeletConfiguration`; `generated` is false when the operator gave a
/// KubeletConfiguration.
pub fn kubelet_config(config: &Value, generated: bool) -> Vec<Value> {
    const ROLE: &str = "kubeadm:kubelet-config";
    let mut map = config_map("kube-system", "kubelet-config", &json!({"kubelet": yaml::to_string(config)}));
    if generated {
        sign(&mut map);
    }
    vec![
        map,
        getter_role("kube-system", ROLE, "configmaps", "kubelet-config"),
        role_binding("kube-system", ROLE, &[Subject::Group(NODES_GROUP), Subject::Group(NODE_TOKEN_GROUP)]),
    ]
}
