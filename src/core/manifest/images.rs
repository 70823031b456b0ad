//! Names of the images that a cluster's configuration selects.

use crate::config::types::ClusterConfiguration;

/// The registry that upstream publishes to.
pub const DEFAULT_REPOSITORY: &str = "registry.k8s.io";

/// A component that is tagged with the Kubernetes version, such as `kube-apiserver` or `kube-proxy`.
pub fn kubernetes(cluster: &ClusterConfiguration, component: &str) -> String {
    // A version with build metadata has a `+`, which no image tag can hold.
    let tag = cluster.kubernetes_version.replace('+', "_");
    format!("{}/{component}:{tag}", cluster.image_repository)
}

/// Local etcd; `default_tag` is the one of the Kubernetes release.
pub fn etcd(cluster: &ClusterConfiguration, default_tag: &str) -> String {
    let local = cluster.etcd.local.as_ref();
    let repository = local.map(|etcd| etcd.image_repository.as_str()).filter(|own| !own.is_empty());
    let tag = local.map(|etcd| etcd.image_tag.as_str()).filter(|own| !own.is_empty());
    format!("{}/etcd:{}", repository.unwrap_or(&cluster.image_repository), tag.unwrap_or(default_tag))
}

/// CoreDNS; `default_tag` is the one of the Kubernetes release.
pub fn coredns(cluster: &ClusterConfiguration, default_tag: &str) -> String {
    let own = cluster.dns.image_repository.as_str();
    let repository = if own.is_empty() { cluster.image_repository.as_str() } else { own };
    // Only upstream's own registry keeps CoreDNS one level deeper; mirrors do not.
    let repository = if repository == DEFAULT_REPOSITORY { "registry.k8s.io/coredns" } else { repository };
    let tag = if cluster.dns.image_tag.is_empty() { default_tag } else { &cluster.dns.image_tag };
    format!("{repository}/coredns:{tag}")
}
