//! The settings that a cluster keeps in its ConfigMaps.

use serde_json::Value;

use crate::config::GoDuration;
use crate::config::types::{ClusterConfiguration, EncryptionAlgorithm, LocalEtcd};
use crate::version::{KubeVersion, check_supported};

/// The settings that a cluster keeps in its ConfigMaps cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct StoredConfigError {
    /// The ConfigMap and its key.
    pub place: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

const CLUSTER: &str = "ConfigMap kube-system/kubeadm-config, key ClusterConfiguration";
const KUBELET: &str = "ConfigMap kube-system/kubelet-config, key kubelet";
const KUBE_PROXY: &str = "ConfigMap kube-system/kube-proxy, key config.conf";

fn wrong(place: &'static str) -> impl Fn(String) -> StoredConfigError {
    move |problem| StoredConfigError { place, problem }
}

/// The `ClusterConfiguration` of ConfigMap `kubeadm-config` and the version in it.
///
/// # Errors
/// It is not of `kubeadm.k8s.io/v1beta4`, or of a version that is not supported here.
pub fn cluster(text: &str) -> Result<(ClusterConfiguration, KubeVersion), StoredConfigError> {
    let wrong = wrong(CLUSTER);
    let cluster: Value = crate::yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let version = &cluster["apiVersion"];
    if version != "kubeadm.k8s.io/v1beta4" {
        return Err(wrong(format!("apiVersion {version} is not kubeadm.k8s.io/v1beta4")));
    }
    let cluster: ClusterConfiguration =
        serde_json::from_value(cluster).map_err(|error| wrong(error.to_string()))?;
    let cluster = with_defaults(cluster);
    let version: KubeVersion = cluster
        .kubernetes_version
        .parse()
        .map_err(|_| wrong(format!("{:?} is no Kubernetes version", cluster.kubernetes_version)))?;
    check_supported(&version).map_err(|error| wrong(error.to_string()))?;
    Ok((cluster, version))
}

/// The version in the `ClusterConfiguration` of ConfigMap `kubeadm-config`.
///
/// # Errors
/// As [`cluster`].
pub fn version(text: &str) -> Result<KubeVersion, StoredConfigError> {
    cluster(text).map(|(_, version)| version)
}

/// The `KubeletConfiguration` of ConfigMap `kubelet-config`.
///
/// # Errors
/// It is none.
pub fn kubelet(text: &str) -> Result<Value, StoredConfigError> {
    component(KUBELET, text, "KubeletConfiguration")
}

/// The `KubeProxyConfiguration` of ConfigMap `kube-proxy`.
///
/// # Errors
/// It is none.
pub fn kube_proxy(text: &str) -> Result<Value, StoredConfigError> {
    component(KUBE_PROXY, text, "KubeProxyConfiguration")
}

fn component(place: &'static str, text: &str, kind: &str) -> Result<Value, StoredConfigError> {
    let wrong = wrong(place);
    let config: Value = crate::yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if config.is_object() { Ok(config) } else { Err(wrong(format!("it is no {kind}"))) }
}

/// What kubeadm leaves out of the ConfigMap where it is the default.
fn with_defaults(mut cluster: ClusterConfiguration) -> ClusterConfiguration {
    let set = |field: &mut String, default: &str| {
        if field.is_empty() {
            default.clone_into(field);
        }
    };
    set(&mut cluster.certificates_dir, crate::pki::list::DEFAULT_DIR);
    set(&mut cluster.image_repository, "registry.k8s.io");
    set(&mut cluster.cluster_name, "kubernetes");
    set(&mut cluster.networking.service_subnet, "10.96.0.0/12");
    set(&mut cluster.networking.dns_domain, "cluster.local");
    if cluster.etcd.external.is_none() {
        let local = cluster.etcd.local.get_or_insert_with(LocalEtcd::default);
        set(&mut local.data_dir, "/var/lib/etcd");
    }
    cluster.encryption_algorithm.get_or_insert(EncryptionAlgorithm::Rsa2048);
    cluster.certificate_validity_period.get_or_insert(GoDuration::from_secs(8760 * 3600));
    cluster.ca_certificate_validity_period.get_or_insert(GoDuration::from_secs(87600 * 3600));
    cluster
}
