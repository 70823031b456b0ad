//! The configuration of a node of a cluster that is upgraded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Report, defaults,
    input::Flags,
    stored::{self, StoredConfigError},
};
use crate::config::{
    ResolvedInit, component,
    document::Documents,
    error::{ConfigError, ConfigErrors, Problems, Warning},
    types::{
        ClusterConfiguration, ImagePullPolicy, Kind, LocalApiEndpoint, NodeRegistration, Timeouts,
        UpgradeConfiguration,
    },
    validate::{node::check_ignored, other_kinds::check_upgrade},
};
use crate::version::{KubeVersion, NEWEST};

/// No flag has a field of the same name: which command reads a field differs.
struct NoFlags;

impl Flags for NoFlags {
    fn setting(&self, _field_path: &str) -> Option<&'static str> {
        None
    }
}

/// The settings of the `upgrade` commands from files, with their defaults; flags are laid over them by their command.
///
/// # Errors
/// Every problem at once.
pub fn resolve_upgrade(documents: &Documents) -> Result<(UpgradeConfiguration, Vec<Warning>), ConfigErrors> {
    let mut report = Report::new(documents, &NoFlags);
    if documents.given() && documents.find(UpgradeConfiguration::KIND).is_none() {
        let message = format!("no {} was found", UpgradeConfiguration::KIND);
        let hint = "`upgrade` reads no other kind: a cluster's own configuration is in ConfigMap kube-system/kubeadm-config";
        report.errors.push(ConfigError::new("--config", message).hint(hint));
    }
    let mut problems = Problems::default();
    let upgrade = defaults::upgrade_with_defaults(report.decode());
    check_upgrade(&mut problems, &upgrade);
    for (path, checks) in [
        ("apply.ignorePreflightErrors", &upgrade.apply.ignore_preflight_errors),
        ("node.ignorePreflightErrors", &upgrade.node.ignore_preflight_errors),
        ("plan.ignorePreflightErrors", &upgrade.plan.ignore_preflight_errors),
    ] {
        check_ignored(&mut problems, path, checks);
    }
    report.add(UpgradeConfiguration::KIND, problems);
    report.errors.sort_by_key(ConfigError::order);
    if report.errors.is_empty() { Ok((upgrade, report.warnings)) } else { Err(ConfigErrors(report.errors)) }
}

/// What a cluster keeps of its configuration, as the texts in its ConfigMaps of namespace `kube-system`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSettings {
    /// Key `ClusterConfiguration` of `kubeadm-config`.
    pub cluster: String,
    /// Key `kubelet` of `kubelet-config`.
    pub kubelet: String,
    /// Nobody gave that configuration, or has edited it since.
    pub kubelet_generated: bool,
    /// Key `config.conf` of `kube-proxy`; `None` where there is no such ConfigMap.
    pub kube_proxy: Option<String>,
    /// Nobody gave that configuration, or has edited it since.
    pub kube_proxy_generated: bool,
}

/// What is the node's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpgradedNode {
    /// Name of its Node object.
    pub name: String,
    /// The runtime's socket URL.
    pub cri_socket: String,
    /// Its API server, on a control plane.
    pub endpoint: LocalApiEndpoint,
    /// This host runs systemd-resolved.
    pub systemd_resolved: bool,
    /// Directory of patches, absolute.
    pub patches_dir: Option<String>,
    /// How long steps may wait.
    pub timeouts: Timeouts,
    /// Preflight checks whose errors become warnings.
    pub ignore_preflight_errors: Vec<String>,
    /// Phases that are left out.
    pub skip_phases: Vec<String>,
    /// Show the plan only.
    pub dry_run: bool,
    /// When images are pulled ahead.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// One pull at a time.
    pub image_pull_serial: Option<bool>,
}

/// The configuration of this node once the cluster is of `version`. What an operator configured is kept as it is; what was
/// generated is generated anew.
///
/// # Errors
/// The cluster's settings cannot be used.
pub fn upgraded(
    stored: &StoredSettings,
    node: &UpgradedNode,
    version: &KubeVersion,
) -> Result<ResolvedInit, StoredConfigError> {
    let (mut cluster, _) = stored::cluster(&stored.cluster)?;
    cluster.kubernetes_version = version.to_string();
    let mut warnings = vec![];
    drop_spent_gates(&mut cluster, version, &mut warnings);
    let mut problems = Problems::default();
    let kubelet = if stored.kubelet_generated {
        component::kubelet(&mut problems, &cluster, None)
    } else {
        stored::kubelet(&stored.kubelet)?
    };
    let kube_proxy = match &stored.kube_proxy {
        Some(text) if !stored.kube_proxy_generated => stored::kube_proxy(text)?,
        Some(_) => {
            let mode = version.row().unwrap_or(NEWEST).kube_proxy_mode;
            let address = node.endpoint.advertise_address.parse().ok();
            component::kube_proxy(&mut problems, &cluster, address, mode, None)
        }
        None => Value::Null,
    };
    Ok(ResolvedInit {
        cluster,
        node_registration: NodeRegistration {
            name: node.name.clone(),
            cri_socket: node.cri_socket.clone(),
            image_pull_policy: node.image_pull_policy,
            image_pull_serial: node.image_pull_serial,
            ..NodeRegistration::default()
        },
        local_api_endpoint: node.endpoint.clone(),
        skip_phases: node.skip_phases.clone(),
        patches_dir: node.patches_dir.clone(),
        timeouts: node.timeouts.clone(),
        kubelet,
        kubelet_generated: stored.kubelet_generated,
        kube_proxy,
        kube_proxy_generated: stored.kube_proxy_generated,
        ignore_preflight_errors: node.ignore_preflight_errors.clone(),
        dry_run: node.dry_run,
        kubernetes_version: version.clone(),
        systemd_resolved: node.systemd_resolved,
        warnings,
        ..ResolvedInit::default()
    })
}

/// Gates of kubeadm that are gone in the new minor would make its kubeadm refuse the configuration.
fn drop_spent_gates(cluster: &mut ClusterConfiguration, version: &KubeVersion, warnings: &mut Vec<Warning>) {
    let Some(row) = version.row() else { return };
    let mut told = |gate: &str, value: bool| {
        let message = format!(
            "{gate}={value} is dropped: kubeadm of v1.{} does not know this gate any more",
            row.minor
        );
        warnings.push(Warning(ConfigError::new("featureGates", message)));
    };
    cluster.feature_gates.retain(|gate, value| {
        let known = row.feature_gates.contains(&gate.as_str());
        if !known {
            told(gate, *value);
        }
        known
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.4\n\
        featureGates: {NodeLocalCRISocket: true}\napiServer: {extraArgs: [{name: v, value: '2'}]}\n";

    fn stored() -> StoredSettings {
        StoredSettings {
            cluster: CLUSTER.into(),
            kubelet: "kind: KubeletConfiguration\nmaxPods: 50\n".into(),
            kubelet_generated: false,
            kube_proxy: Some("kind: KubeProxyConfiguration\nmode: ''\n".into()),
            kube_proxy_generated: true,
        }
    }

    fn upgrade(stored: &StoredSettings) -> ResolvedInit {
        let node = UpgradedNode { name: "cp1".into(), ..UpgradedNode::default() };
        upgraded(stored, &node, &KubeVersion::new(1, 37, 2)).unwrap()
    }

    #[test]
    fn what_an_operator_configured_is_kept_and_what_was_generated_is_made_anew() {
        let config = upgrade(&stored());
        assert_eq!(config.kubelet["maxPods"], 50);
        assert_eq!(config.kube_proxy["mode"], "iptables");
        assert_eq!(config.cluster.api_server.extra_args[0].name, "v");
        let anew = upgrade(&StoredSettings { kubelet_generated: true, ..stored() });
        assert_eq!(anew.kubelet["maxPods"], Value::Null);
        assert_eq!(anew.kubelet["clusterDomain"], "cluster.local");
    }

    #[test]
    fn the_new_version_is_everywhere_and_spent_gates_are_told() {
        let config = upgrade(&stored());
        assert_eq!(config.cluster.kubernetes_version, "v1.37.2");
        assert_eq!(config.image(crate::config::Image::Etcd), "registry.k8s.io/etcd:3.7.0-0");
        assert!(config.cluster.feature_gates.is_empty());
        assert_eq!(
            config.warnings[0].to_string(),
            "featureGates: NodeLocalCRISocket=true is dropped: kubeadm of v1.37 does not know this gate any more"
        );
    }

    #[test]
    fn settings_that_cannot_be_used_name_their_place() {
        let broken = StoredSettings { cluster: "kind: X".into(), ..stored() };
        let error = upgraded(&broken, &UpgradedNode::default(), &KubeVersion::newest()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ConfigMap kube-system/kubeadm-config, key ClusterConfiguration: apiVersion null is not kubeadm.k8s.io/v1beta4"
        );
    }
}
