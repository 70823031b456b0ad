//! `ClusterConfiguration`: what every control plane shares, stored in ConfigMap `kubeadm-config`.

use super::{EnvVar, Kind, is_zero};
use crate::config::duration::GoDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The settings shared by all control-plane nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterConfiguration {
    /// The local or the external etcd.
    pub etcd: Etcd,
    /// Subnets and DNS domain.
    pub networking: Networking,
    /// Version of the control plane, `v1.37.2`; may be empty in a file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_version: String,
    /// Stable address of the control plane, `HOST[:PORT]`; empty means the first node's own address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub control_plane_endpoint: String,
    /// Additions to kube-apiserver.
    pub api_server: ControlPlaneComponent,
    /// Additions to kube-controller-manager. Its `certSANs` is unused.
    pub controller_manager: ControlPlaneComponent,
    /// Additions to kube-scheduler. Its `certSANs` is unused.
    pub scheduler: ControlPlaneComponent,
    /// The CoreDNS addon.
    pub dns: Dns,
    /// The kube-proxy addon.
    pub proxy: Proxy,
    /// Directory of the certificates, absolute.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificates_dir: String,
    /// Registry of all images, without the image's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_repository: String,
    /// kubeadm's feature gates by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
    /// Name of the cluster, used in kubeconfigs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_name: String,
    /// Algorithm of every key that is generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Validity of leaf certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_validity_period: Option<GoDuration>,
    /// Validity of certificate authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificate_validity_period: Option<GoDuration>,
}

impl Kind for ClusterConfiguration {
    const KIND: &'static str = "ClusterConfiguration";
}

/// Where etcd runs. With neither set, kubeadm means local.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Etcd {
    /// A static pod on each control-plane node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalEtcd>,
    /// A cluster that someone else runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEtcd>,
}

/// The etcd static pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalEtcd {
    /// Registry of the etcd image; empty means the cluster's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_repository: String,
    /// Tag of the etcd image. When set, upgrades leave etcd alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_tag: String,
    /// Data directory on the host, absolute.
    pub data_dir: String,
    /// Arguments that override or extend the default ones, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
    /// Extra environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_envs: Vec<EnvVar>,
    /// Extra subject alternative names of the server certificate.
    #[serde(rename = "serverCertSANs", skip_serializing_if = "Vec::is_empty")]
    pub server_cert_sans: Vec<String>,
    /// Extra subject alternative names of the peer certificate.
    #[serde(rename = "peerCertSANs", skip_serializing_if = "Vec::is_empty")]
    pub peer_cert_sans: Vec<String>,
}

/// An etcd cluster outside of rkadm's care.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalEtcd {
    /// Client URLs of the members.
    pub endpoints: Vec<String>,
    /// URLs of the members' HTTP listeners, when they are apart from the gRPC ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_endpoints: Vec<String>,
    /// CA file that verifies the members; empty for plain HTTP.
    pub ca_file: String,
    /// Client certificate file.
    pub cert_file: String,
    /// Client key file.
    pub key_file: String,
}

/// Subnets and DNS domain of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Networking {
    /// CIDR, or two comma-separated ones for dual stack, of Service addresses.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subnet: String,
    /// CIDR, or two comma-separated ones for dual stack, of Pod addresses; empty means not allocated.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_subnet: String,
    /// Domain of Service names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dns_domain: String,
}

/// Additions to one control-plane component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneComponent {
    /// Arguments that override or extend the default ones, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
    /// Extra host paths mounted into the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<HostPathMount>,
    /// Extra environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_envs: Vec<EnvVar>,
    /// Extra subject alternative names of the serving certificate; API server only.
    #[serde(rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    pub cert_sans: Vec<String>,
}

/// One command-line argument, without the leading dashes. Names may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arg {
    /// Name of the flag.
    pub name: String,
    /// Value of the flag; may be left out in a file.
    #[serde(default)]
    pub value: String,
}

impl Arg {
    /// An argument from its two parts.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A host path mounted into a static pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPathMount {
    /// Name of the volume.
    pub name: String,
    /// Path on the host.
    pub host_path: String,
    /// Path in the container.
    pub mount_path: String,
    /// Mounted without write access.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read_only: bool,
    /// What must exist, or is made, at the host path.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub path_type: HostPathType,
}

/// The `type` of a `core/v1` hostPath volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// No check.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// A directory, made when absent.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A file, made when absent.
    FileOrCreate,
    /// A file.
    File,
    /// A UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl HostPathType {
    /// The name as it is written in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::DirectoryOrCreate => "DirectoryOrCreate",
            Self::Directory => "Directory",
            Self::FileOrCreate => "FileOrCreate",
            Self::File => "File",
            Self::Socket => "Socket",
            Self::CharDevice => "CharDevice",
            Self::BlockDevice => "BlockDevice",
        }
    }
}

/// The CoreDNS addon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dns {
    /// Registry of the image; empty means the cluster's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_repository: String,
    /// Tag of the image. When set, upgrades leave the addon's version alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_tag: String,
    /// True when the addon is not installed.
    #[serde(skip_serializing_if = "is_zero")]
    pub disabled: bool,
}

/// The kube-proxy addon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Proxy {
    /// True when the addon is not installed.
    #[serde(skip_serializing_if = "is_zero")]
    pub disabled: bool,
}

/// Algorithm and size of the keys that are generated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncryptionAlgorithm {
    /// RSA with 2048 bits, kubeadm's default.
    #[default]
    #[serde(rename = "RSA-2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[serde(rename = "RSA-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[serde(rename = "RSA-4096")]
    Rsa4096,
    /// ECDSA on curve P-256.
    #[serde(rename = "ECDSA-P256")]
    EcdsaP256,
    /// ECDSA on curve P-384.
    #[serde(rename = "ECDSA-P384")]
    EcdsaP384,
}

impl EncryptionAlgorithm {
    /// Every algorithm, in the order of documentation.
    pub const ALL: [Self; 5] =
        [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::EcdsaP256, Self::EcdsaP384];

    /// The name as it is written in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::EcdsaP256 => "ECDSA-P256",
            Self::EcdsaP384 => "ECDSA-P384",
        }
    }
}

impl fmt::Display for EncryptionAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
