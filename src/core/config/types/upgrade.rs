//! `UpgradeConfiguration`: how a cluster or a node is upgraded.

use super::{ImagePullPolicy, Kind, Patches, Timeouts, is_zero};
use serde::{Deserialize, Serialize};

/// The run-time settings of the `upgrade` commands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeConfiguration {
    /// Of `upgrade apply`.
    pub apply: UpgradeApply,
    /// Of `upgrade diff`.
    pub diff: UpgradeDiff,
    /// Of `upgrade node`.
    pub node: UpgradeNode,
    /// Of `upgrade plan`.
    pub plan: UpgradePlan,
    /// How long the steps may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

impl Kind for UpgradeConfiguration {
    const KIND: &'static str = "UpgradeConfiguration";
}

/// Settings of `upgrade apply`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeApply {
    /// Target version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_version: String,
    /// Allow alpha and beta targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_experimental_upgrades: Option<bool>,
    /// Allow release candidates as targets.
    #[serde(rename = "allowRCUpgrades", skip_serializing_if = "Option::is_none")]
    pub allow_rc_upgrades: Option<bool>,
    /// Renew certificates (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_renewal: Option<bool>,
    /// Show the plan only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Upgrade etcd too (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_upgrade: Option<bool>,
    /// Skip the version rules that may be skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_upgrade: Option<bool>,
    /// Preflight checks whose errors become warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// Patches of components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// Show the configuration that is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print_config: Option<bool>,
    /// Phases that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_phases: Vec<String>,
    /// When images are pulled ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// One pull at a time (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_serial: Option<bool>,
}

/// Settings of `upgrade diff`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeDiff {
    /// Target version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_version: String,
    /// Lines of context around a change.
    #[serde(skip_serializing_if = "is_zero")]
    pub context_lines: u32,
}

/// Settings of `upgrade node`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeNode {
    /// Renew certificates (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_renewal: Option<bool>,
    /// Show the plan only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Upgrade etcd too (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_upgrade: Option<bool>,
    /// Preflight checks whose errors become warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// Phases that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_phases: Vec<String>,
    /// Patches of components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// When images are pulled ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// One pull at a time (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_serial: Option<bool>,
}

/// Settings of `upgrade plan`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradePlan {
    /// Newest version to consider.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_version: String,
    /// Offer alpha and beta versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_experimental_upgrades: Option<bool>,
    /// Offer release candidates.
    #[serde(rename = "allowRCUpgrades", skip_serializing_if = "Option::is_none")]
    pub allow_rc_upgrades: Option<bool>,
    /// Accepted for kubeadm's sake; a plan never writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Show etcd's upgrade too (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_upgrade: Option<bool>,
    /// Preflight checks whose errors become warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    /// Show the configuration that is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print_config: Option<bool>,
}
