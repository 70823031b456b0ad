//! Configurations for these nodes.

use anyhow::Result;
use rkadm_nodes::Node;

/// The patch release of Kubernetes on the nodes of a minor.
pub fn patch_version(minor: &str) -> &'static str {
    match minor {
        "1.34" => "v1.34.4",
        "1.35" => "v1.35.8",
        "1.36" => "v1.36.4",
        _ => "v1.37.2",
    }
}

/// A configuration file, from what every node here needs and what a test adds: indented lines for each section.
#[derive(Debug, Clone)]
pub struct Config {
    pub version: String,
    pub pod_subnet: String,
    pub endpoint: String,
    /// Lines of `InitConfiguration`.
    pub init: String,
    /// Lines of `nodeRegistration`, indented by two.
    pub registration: String,
    /// Lines of `ClusterConfiguration`.
    pub cluster: String,
    /// Lines of `KubeletConfiguration`.
    pub kubelet: String,
    /// Preflight checks to ignore, besides those that no node here can pass.
    pub ignored: Vec<String>,
}

impl Config {
    pub fn new(minor: &str) -> Self {
        Self {
            version: patch_version(minor).to_owned(),
            pod_subnet: "10.244.0.0/16".to_owned(),
            endpoint: "cp1:6443".to_owned(),
            init: String::new(),
            registration: String::new(),
            cluster: String::new(),
            kubelet: String::new(),
            ignored: vec![],
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let Self { version, pod_subnet, endpoint, init, registration, cluster, kubelet, .. } = self;
        let always = ["SystemVerification", "Swap", "NumCPU"].map(str::to_owned);
        let ignored = [&always[..], &self.ignored].concat().join(", ");
        format!(
            "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  ignorePreflightErrors: [{ignored}]
{registration}{init}---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
controlPlaneEndpoint: {endpoint}
networking:
  podSubnet: {pod_subnet}
{cluster}---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Works with every way the nodes' cgroups can be made.
cgroupDriver: cgroupfs
failCgroupV1: false
# The disk is the whole machine's: its being fairly full is no reason to keep pods away.
evictionHard:
  nodefs.available: 1%
  imagefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.inodesFree: 1%
{kubelet}---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
# A node may not set limits that belong to the whole machine.
conntrack:
  maxPerCore: 0
"
        )
    }

    /// Makes it the node's configuration.
    pub fn install(&self, node: &Node) -> Result<()> {
        node.write(super::CONFIG, self.text(), 0o600)
    }
}
