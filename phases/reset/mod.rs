//! `reset`: what `init` or `join` made on this machine goes. Names and order of kubeadm's phases are kubeadm's.

mod cleanup_network;
mod cleanup_node;
mod delete_node;
mod etcd_data;
mod etcd_member;
mod made_since;
mod preflight;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rkadm_core::{
    archive::Removal,
    config::{GoDuration, types::ResetConfiguration},
    engine::{Phase, PhaseError, PhaseMeta, Workflow},
    etcd::EtcdAccess,
    netfilter::Owners,
};
use serde::{Deserialize, Serialize};

use crate::{
    init::{Cluster, KUBELET_DIR, KUBERNETES_DIR},
    preflight::is_ignored,
};
pub use cleanup_network::TIDY_ACTION;
pub use cleanup_node::{ARCHIVES_OUTPUT, archives};
pub use etcd_member::{LEAVE_ACTION, LeaveCluster, MEMBER_OUTPUT};
pub use made_since::made_since;

/// Where archives are put unless the operator names another directory.
pub const ARCHIVE_DIR: &str = "/var/lib/rkadm/archives";

/// What to reset, and how. It is kept with the operation, so that a resume goes on with the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    /// kubeadm's settings.
    pub config: ResetConfiguration,
    /// The directory of the archive; `None` where nothing is kept.
    pub archive_dir: Option<PathBuf>,
    /// Remove configuration and state of CNI plugins, and the rules of those that others use as well.
    pub cni: bool,
    /// Remove network interfaces of known plugins.
    pub interfaces: bool,
    /// Delete the Node object.
    pub delete_node: bool,
    /// How the API server is reached; the administrator's file where it is not given.
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfigs of users, which go where they are of this cluster.
    pub user_kubeconfigs: Vec<PathBuf>,
}

impl Reset {
    /// The archive must not be in what is removed.
    ///
    /// # Errors
    /// It would be.
    fn keeps_its_archive(&self, what: &[Removal]) -> Result<(), PhaseError> {
        let Some(dir) = &self.archive_dir else { return Ok(()) };
        let Some(removal) = what.iter().find(|removal| dir.starts_with(&removal.path)) else { return Ok(()) };
        Err(PhaseError::Unusable {
            message: format!(
                "the archive in {} would be removed with {}, which it is to keep",
                dir.display(),
                removal.path.display()
            ),
            hint: "put it elsewhere with --archive-dir, or keep nothing with --no-archive".into(),
        })
    }

    /// The phases, in order. The command's name is the operation's.
    pub fn workflow(self: &Arc<Self>) -> Workflow {
        let phases: Vec<Box<dyn Phase>> = vec![
            Box::new(preflight::Preflight::new(self)),
            Box::new(delete_node::DeleteNode::new(self)),
            Box::new(LeaveCluster::new(self)),
            Box::new(cleanup_node::CleanupNode::new(self)),
            Box::new(cleanup_network::CleanupNetwork::new(self)),
        ];
        Workflow { name: "reset".into(), phases }
    }

    /// What a resume must have the same of; how a run goes about it may differ.
    #[must_use]
    pub fn identity(&self) -> Self {
        let config = ResetConfiguration {
            force: false,
            dry_run: false,
            ignore_preflight_errors: vec![],
            skip_phases: vec![],
            timeouts: None,
            unmount_flags: vec![],
            ..self.config.clone()
        };
        Self { config, ..self.clone() }
    }

    /// Whether what fails a check, or cannot be asked, stops nothing. Force is for what cannot be had any more on a machine
    /// that is broken; room for the archive can.
    fn tolerates(&self, check: &str) -> bool {
        (self.config.force && check != "ArchiveSpace")
            || is_ignored(&self.config.ignore_preflight_errors, check)
    }

    fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone().unwrap_or_else(|| Cluster::kubeconfig("admin.conf"))
    }

    /// etcd at these client URLs, as the client that kubeadm makes for probes.
    fn etcd_access(&self, endpoints: Vec<String>) -> EtcdAccess {
        let pki = Path::new(&self.config.certificates_dir).join("etcd");
        EtcdAccess::of_health_check(&pki, endpoints)
    }

    /// How long etcd may refuse a change of its members.
    fn etcd_patience(&self) -> Duration {
        let configured = self.config.timeouts.as_ref().and_then(|timeouts| timeouts.etcd_api_call);
        configured.map_or(Duration::from_mins(2), GoDuration::as_std)
    }

    fn owners(&self) -> Owners {
        Owners { cni_plugins: self.cni }
    }

    /// What goes besides etcd's data. The manifests first: without them nothing comes up again after a power loss.
    fn removals(&self) -> Vec<Removal> {
        let mut all = vec![Removal::contents(Cluster::manifests())];
        let files = [
            "admin.conf",
            "super-admin.conf",
            "kubelet.conf",
            "bootstrap-kubelet.conf",
            "controller-manager.conf",
            "scheduler.conf",
        ];
        all.extend(files.into_iter().map(|file| Removal::whole(Cluster::kubeconfig(file))));
        all.push(Removal::contents(&self.config.certificates_dir));
        if self.config.cleanup_tmp_dir {
            all.push(Removal::contents(format!("{KUBERNETES_DIR}/tmp")));
        }
        all.push(Removal::contents(KUBELET_DIR));
        if self.cni {
            all.extend(["/etc/cni/net.d", "/var/lib/cni"].map(Removal::contents));
        }
        all
    }
}

/// The declarations of the phases, in order: they do not depend on the configuration.
pub fn metas() -> Vec<PhaseMeta> {
    Arc::new(Reset::default()).workflow().metas()
}
