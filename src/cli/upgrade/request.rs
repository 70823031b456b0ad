//! From settings to what the phases of an upgrade work from.

use std::path::PathBuf;

use rkadm_core::{
    config::{StoredConfigError, StoredSettings, UpgradedNode, stored_version, upgraded},
    engine::PhaseError,
    host::{ApiAccess, LocalHost},
    version::KubeVersion,
};
use rkadm_phases::{
    init::Environment,
    join::by_kubelet,
    upgrade::{Scope, Upgrade, source},
};

use super::args::Settings;
use crate::cli::{
    cluster::ADMIN_CONF,
    exit::{CommandError, ExitKind},
    init::proxies,
};

/// This node and its cluster, as they are.
#[derive(Debug, Clone)]
pub struct Found {
    pub stored: StoredSettings,
    pub node: UpgradedNode,
    /// Of the cluster's configuration.
    pub cluster: KubeVersion,
    /// Of this node's API server; `None` on a worker.
    pub own: Option<KubeVersion>,
}

/// Looks at this node and asks its cluster.
///
/// # Errors
/// One of them cannot be read.
pub async fn find(host: &LocalHost, settings: &Settings) -> Result<Found, CommandError> {
    let (mut node, own) = source::node(host).await.map_err(|error| unusable(&error))?;
    let access = match (&settings.kubeconfig, &own) {
        (Some(kubeconfig), _) => ApiAccess { kubeconfig: kubeconfig.clone(), server: None },
        (None, Some(_)) => ApiAccess { kubeconfig: ADMIN_CONF.into(), server: None },
        (None, None) => by_kubelet(),
    };
    if own.is_none() && rkadm_core::host::Probe::stat(host, &access.kubeconfig).await.ok().flatten().is_none()
    {
        let message = format!(
            "there is no Kubernetes node on this machine: {} does not exist",
            access.kubeconfig.display()
        );
        return Err(
            CommandError::new(ExitKind::Preflight, message).hint("`rkadm init` or `rkadm join` makes one")
        );
    }
    let stored = source::stored(host, &access).await.map_err(|error| unusable(&error))?;
    node.patches_dir.clone_from(&settings.patches_dir);
    node.timeouts = settings.timeouts.clone();
    node.ignore_preflight_errors.clone_from(&settings.ignore_preflight_errors);
    node.skip_phases.clone_from(&settings.skip_phases);
    node.dry_run = settings.dry_run;
    (node.image_pull_policy, node.image_pull_serial) = settings.pull;
    let cluster = stored_version(&stored.cluster).map_err(|error| wrong(&error))?;
    Ok(Found { stored, node, cluster, own })
}

fn wrong(error: &StoredConfigError) -> CommandError {
    CommandError::failed(format!("the settings of the cluster cannot be used: {error}"))
        .detail("Nothing was changed.")
        .hint("on a control plane, `kubectl -n kube-system edit configmap` mends them")
}

pub fn unusable(error: &PhaseError) -> CommandError {
    let mut answer = CommandError::failed(error).detail("Nothing was changed.");
    answer.hints = error.hints();
    answer
}

/// What the phases work from, for one version.
///
/// # Errors
/// The cluster's settings cannot be used.
pub fn request(
    found: &Found,
    settings: &Settings,
    version: &KubeVersion,
    only: Option<&str>,
) -> Result<Upgrade, CommandError> {
    let config = upgraded(&found.stored, &found.node, version).map_err(|error| wrong(&error))?;
    // What is furthest behind: a control plane that was upgraded in part is finished.
    let from = match (&found.own, settings.scope) {
        (Some(own), Scope::Node) => own.clone(),
        (Some(own), Scope::Cluster) => own.min(&found.cluster).clone(),
        (None, _) => found.cluster.clone(),
    };
    let environment =
        Environment { proxies: proxies(), kubeconfig: settings.kubeconfig.clone(), ..Environment::default() };
    Ok(Upgrade {
        scope: settings.scope,
        config,
        stored: found.stored.clone(),
        from,
        control_plane: found.own.is_some(),
        certificate_renewal: settings.certificate_renewal,
        etcd_upgrade: settings.etcd_upgrade,
        force: settings.force,
        allow_prereleases: settings.allow_prereleases,
        backup_dir: PathBuf::from(&settings.backup_dir),
        environment,
        kubelet: settings.kubelet.clone(),
        looks_ahead: false,
        only: only.map(str::to_owned),
    })
}
