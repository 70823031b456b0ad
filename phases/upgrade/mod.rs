//! `upgrade apply` and `upgrade node`: a node of another version. Names of the phases are kubeadm's, and two are our own:
//! the backup before, and the lease that keeps two upgrades of a cluster apart.

mod addons;
mod backup;
mod control_plane;
mod etcd_manifest;
pub mod findings;
pub mod gate;
mod guard;
mod hold;
pub mod kubelet;
pub mod kubelet_config;
pub mod lease;
mod post_upgrade;
mod preflight;
mod rbac;
pub mod source;
pub mod state;
mod switch;
mod target;

use std::{path::PathBuf, sync::Arc};

use rkadm_core::{
    config::{ResolvedInit, StoredSettings},
    engine::{Phase, PhaseMeta, Workflow},
    version::KubeVersion,
};
use serde::{Deserialize, Serialize};

use crate::init::{Cluster, Environment, upload_configs};
pub use backup::BACKUP_ACTION;
pub use etcd_manifest::{ETCD_MANIFEST_ACTION, UndoEtcdManifest};
pub use guard::{GUARD_ACTION, UndoGuard};
pub use hold::{GIVE_BACK_ACTION, TAKE_ACTION, UndoGiveBack, UndoTake};
pub use lease::LEASE;
pub use preflight::{LOOKS, PAUSE};
pub use switch::{SWITCH_ACTION, UndoSwitch};

/// Which of the two commands it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// `upgrade apply`: this control plane and what all nodes share.
    #[default]
    Cluster,
    /// `upgrade node`: what is this node's own.
    Node,
}

/// What was asked for, and what was found then. A resume works from this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate choice of the operator")]
pub struct Upgrade {
    /// Which command.
    pub scope: Scope,
    /// This node, once it is upgraded.
    pub config: ResolvedInit,
    /// What the cluster kept of its configuration before.
    pub stored: StoredSettings,
    /// The version that this node's control plane, or where it is a worker the cluster, had before.
    pub from: KubeVersion,
    /// This node has static pods of a control plane.
    pub control_plane: bool,
    /// New certificates for components that change.
    pub certificate_renewal: bool,
    /// etcd changes too.
    pub etcd_upgrade: bool,
    /// Rules that may be broken are only told.
    pub force: bool,
    /// Versions that are no releases are fine.
    pub allow_prereleases: bool,
    /// Where the backup before the upgrade goes.
    pub backup_dir: PathBuf,
    /// What the process that ran the command hands on.
    pub environment: Environment,
    /// The kubelet's own version changes, too.
    #[serde(default)]
    pub kubelet: Option<kubelet::KubeletUpgrade>,
    /// What comes once all control planes are upgraded is looked at as well.
    #[serde(default)]
    pub looks_ahead: bool,
    /// Only this phase, or the phases below this name.
    #[serde(default)]
    pub only: Option<String>,
}

/// A node that is upgraded: what every phase knows.
#[derive(Debug)]
pub struct Upgrading {
    /// What was asked for.
    pub request: Upgrade,
    /// The cluster as it will be, with this node in it.
    pub cluster: Arc<Cluster>,
}

impl Default for Upgrading {
    /// For what does not depend on the configuration.
    fn default() -> Self {
        Self::new(Upgrade::default())
    }
}

impl Upgrading {
    /// With the environment of a cluster that was there before.
    pub fn new(request: Upgrade) -> Self {
        let environment = Environment { joins: true, whole: false, ..request.environment.clone() };
        let cluster = Arc::new(Cluster::new(Arc::new(request.config.clone()), environment));
        Self { request, cluster }
    }

    /// The version that is asked for.
    pub fn version(&self) -> &KubeVersion {
        &self.request.config.kubernetes_version
    }
}

/// What a phase of control planes says on a worker.
const WORKER: &str = "this node is a worker";

/// The phases of `rkadm upgrade apply`, in order.
pub fn apply(upgrading: &Arc<Upgrading>) -> Workflow {
    let mut phases: Vec<Box<dyn Phase>> = vec![
        Box::new(preflight::Preflight::new(upgrading)),
        Box::new(lease::Take::new(upgrading)),
        Box::new(backup::Backup::new(upgrading)),
        Box::new(control_plane::ControlPlane::new(upgrading)),
    ];
    phases.extend(upload_configs(&upgrading.cluster));
    phases.push(Box::new(kubelet_config::KubeletConfig::new(upgrading)));
    phases.push(Box::new(rbac::BootstrapToken::new(upgrading)));
    phases.extend(addons::phases(upgrading));
    phases.push(Box::new(post_upgrade::PostUpgrade::new(upgrading)));
    phases.push(Box::new(lease::GiveBack::new(upgrading)));
    Workflow { name: APPLY.into(), phases }
}

/// The phases of `rkadm upgrade node`, in order.
pub fn node(upgrading: &Arc<Upgrading>) -> Workflow {
    let mut phases: Vec<Box<dyn Phase>> = vec![
        Box::new(preflight::Preflight::new(upgrading)),
        Box::new(lease::Take::new(upgrading)),
        Box::new(backup::Backup::new(upgrading)),
        Box::new(control_plane::ControlPlane::new(upgrading)),
        Box::new(kubelet_config::KubeletConfig::new(upgrading)),
    ];
    phases.extend(addons::phases(upgrading));
    phases.extend(kubelet::phases(upgrading));
    phases.push(Box::new(post_upgrade::PostUpgrade::new(upgrading)));
    phases.push(Box::new(lease::GiveBack::new(upgrading)));
    Workflow { name: NODE.into(), phases }
}

/// Name of the workflow of `upgrade apply`.
pub const APPLY: &str = "upgrade apply";
/// Name of the workflow of `upgrade node`.
pub const NODE: &str = "upgrade node";

/// The declarations of the phases of one of the commands, in order: they do not depend on the configuration.
pub fn metas(scope: Scope) -> Vec<PhaseMeta> {
    match scope {
        Scope::Cluster => apply(&Arc::default()).metas(),
        Scope::Node => node(&Arc::default()).metas(),
    }
}
