//! `ResetConfiguration`: how a node is cleaned.

use super::{Kind, Timeouts, is_zero};
use serde::{Deserialize, Serialize};

/// The run-time settings of `reset`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetConfiguration {
    /// Remove kubeadm's temporary directory too.
    #[serde(skip_serializing_if = "is_zero")]
    pub cleanup_tmp_dir: bool,
    /// Directory of the certificates that are removed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificates_dir: String,
    /// Socket of the container runtime.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cri_socket: String,
    /// Show the plan only.
    #[serde(skip_serializing_if = "is_zero")]
    pub dry_run: bool,
    /// Do not ask.
    #[serde(skip_serializing_if = "is_zero")]
    pub force: bool,
    /// Preflight checks whose errors become warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// Phases that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_phases: Vec<String>,
    /// Flags of unmount2(2) for the directories under the kubelet's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmount_flags: Vec<UnmountFlag>,
    /// How long the steps may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

impl Kind for ResetConfiguration {
    const KIND: &'static str = "ResetConfiguration";
}

/// A flag of unmount2(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnmountFlag {
    /// Abort pending requests.
    #[serde(rename = "MNT_FORCE")]
    Force,
    /// Detach now, clean up when no longer busy.
    #[serde(rename = "MNT_DETACH")]
    Detach,
    /// Mark as expired.
    #[serde(rename = "MNT_EXPIRE")]
    Expire,
    /// Do not follow a symbolic link.
    #[serde(rename = "UMOUNT_NOFOLLOW")]
    NoFollow,
}
