//! `JoinConfiguration`: what a node needs to join.

use super::{Kind, LocalApiEndpoint, NodeRegistration, Patches, Timeouts, is_zero};
use crate::config::secret::Secret;
use serde::{Deserialize, Serialize};

/// The run-time settings of `join`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinConfiguration {
    /// Show the plan only.
    #[serde(skip_serializing_if = "is_zero")]
    pub dry_run: bool,
    /// This node.
    pub node_registration: NodeRegistration,
    /// Where the cluster's CA is written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_cert_path: String,
    /// How the cluster is found and trusted.
    pub discovery: Discovery,
    /// Present when the node becomes a control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<JoinControlPlane>,
    /// Phases that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_phases: Vec<String>,
    /// Patches of components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// How long the steps may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

impl Kind for JoinConfiguration {
    const KIND: &'static str = "JoinConfiguration";
}

/// What a joining control plane adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinControlPlane {
    /// Address of this node's API server.
    #[serde(rename = "localAPIEndpoint")]
    pub local_api_endpoint: LocalApiEndpoint,
    /// Key that decrypts the uploaded certificates: 32 bytes as hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_key: Option<Secret>,
}

/// How the cluster is found and trusted: by a token or by a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Discovery {
    /// By a bootstrap token and the pinned CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_token: Option<BootstrapTokenDiscovery>,
    /// By a kubeconfig file or URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileDiscovery>,
    /// Token of the kubelet's TLS bootstrap; defaults to the discovery token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_bootstrap_token: Option<Secret>,
}

/// Discovery by a bootstrap token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BootstrapTokenDiscovery {
    /// The token that signed `cluster-info`.
    pub token: Option<Secret>,
    /// Address of an API server, `HOST:PORT`.
    #[serde(rename = "apiServerEndpoint", skip_serializing_if = "String::is_empty")]
    pub api_server_endpoint: String,
    /// Pins of the CA's public key, `sha256:HEX`.
    #[serde(rename = "caCertHashes", skip_serializing_if = "Vec::is_empty")]
    pub ca_cert_hashes: Vec<String>,
    /// True when no pin is required.
    #[serde(rename = "unsafeSkipCAVerification", skip_serializing_if = "is_zero")]
    pub unsafe_skip_ca_verification: bool,
}

/// Discovery by a kubeconfig.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileDiscovery {
    /// Path or https URL of the kubeconfig.
    pub kube_config_path: String,
}
