//! Parts that several kinds share: the registration of a node, patches and timeouts.

use super::{Arg, Taint};
use crate::config::duration::GoDuration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a node presents itself to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeRegistration {
    /// Name of the Node object; empty means the lowercased host name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Socket of the container runtime, `unix:///run/containerd/containerd.sock`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cri_socket: String,
    /// Taints of the node: `None` gives a control plane its usual taint, an empty list gives none.
    pub taints: Option<Vec<Taint>>,
    /// Command-line arguments of the kubelet, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kubelet_extra_args: Vec<Arg>,
    /// Preflight checks whose errors become warnings; `all` stands for every one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// When images are pulled before the static pods start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// One pull at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_serial: Option<bool>,
}

/// When images are pulled ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// Always.
    Always,
    /// When the runtime does not have it; the default.
    #[default]
    IfNotPresent,
    /// Never; the image must be there.
    Never,
}

impl ImagePullPolicy {
    /// The name as it is written in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl fmt::Display for ImagePullPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the patches of components are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Patches {
    /// Directory of files named `target[suffix][+patchtype].extension`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
}

/// How long the steps may wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// A control-plane component to become healthy (default 4m).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_component_health_check: Option<GoDuration>,
    /// The kubelet to become healthy (default 4m).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_health_check: Option<GoDuration>,
    /// A call to the API server, with its retries (default 1m).
    #[serde(rename = "kubernetesAPICall", skip_serializing_if = "Option::is_none")]
    pub kubernetes_api_call: Option<GoDuration>,
    /// A call to etcd, with its retries (default 2m).
    #[serde(rename = "etcdAPICall", skip_serializing_if = "Option::is_none")]
    pub etcd_api_call: Option<GoDuration>,
    /// The kubelet to get its certificate (default 5m).
    #[serde(rename = "tlsBootstrap", skip_serializing_if = "Option::is_none")]
    pub tls_bootstrap: Option<GoDuration>,
    /// A joining node to validate the API server (default 5m).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<GoDuration>,
    /// A static pod to be replaced in an upgrade (default 5m).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_manifests: Option<GoDuration>,
}

impl Timeouts {
    /// Fills what is not set with kubeadm's defaults.
    #[must_use]
    pub fn with_defaults(self) -> Self {
        let minutes =
            |value: Option<GoDuration>, default: i64| value.or(Some(GoDuration::from_secs(default * 60)));
        Self {
            control_plane_component_health_check: minutes(self.control_plane_component_health_check, 4),
            kubelet_health_check: minutes(self.kubelet_health_check, 4),
            kubernetes_api_call: minutes(self.kubernetes_api_call, 1),
            etcd_api_call: minutes(self.etcd_api_call, 2),
            tls_bootstrap: minutes(self.tls_bootstrap, 5),
            discovery: minutes(self.discovery, 5),
            upgrade_manifests: minutes(self.upgrade_manifests, 5),
        }
    }
}
