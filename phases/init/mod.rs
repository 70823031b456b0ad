//! `init`: the first control plane of a cluster. Names and order of the phases are kubeadm's.

mod addons;
mod bootstrap_token;
mod certs;
mod cluster;
mod control_plane;
mod coredns;
mod etcd;
mod in_use;
mod kubeconfig;
mod kubelet_finalize;
mod kubelet_start;
mod mark_control_plane;
mod preflight;
mod show_join_command;
mod upload_certs;
mod upload_config;
mod wait_control_plane;

use std::sync::Arc;

use rkadm_core::{
    config::ResolvedInit,
    engine::{Phase, PhaseMeta, Workflow},
};

pub use crate::preflight::{PREFLIGHT_OUTPUT, Told};
pub use addons::{manifests as addon_manifests, phases as addons};
pub use bootstrap_token::{TOKEN, secret_name as token_secret_name};
pub use certs::phases as certificates;
pub use cluster::{
    Cluster, Environment, KUBELET_DIR, KUBERNETES_DIR, PRIVATE, PRIVATE_DIR, PUBLIC, PUBLIC_DIR,
};
pub use control_plane::{manifest_steps, static_pod_of};
pub use etcd::data_dir_steps as etcd_data_dir_steps;
pub use in_use::in_use;
pub use kubeconfig::phases as kubeconfigs;
pub use kubelet_start::{KUBELET, KUBELET_ACTION, KUBELET_CONF, NewNode, UndoKubelet, kubelet_steps};
pub use mark_control_plane::MarkControlPlane;
pub use show_join_command::{JoinCommand, OUTPUT as JOIN_OUTPUT, ShowJoinCommand};
pub use upload_certs::CERTIFICATE_KEY;
pub use upload_config::{kubeadm as upload_kubeadm_config, phases as upload_configs};
pub use wait_control_plane::WaitControlPlane;

/// The phases of `rkadm init`, in order.
pub fn workflow(config: Arc<ResolvedInit>, environment: Environment) -> Workflow {
    let cluster = Arc::new(Cluster::new(config, environment));
    let mut phases: Vec<Box<dyn Phase>> = vec![preflight(&cluster)];
    phases.extend(certificates(&cluster));
    phases.extend(kubeconfigs(&cluster));
    phases.extend(running(&cluster));
    phases.extend(upload_config::phases(&cluster));
    phases.extend(joinable(&cluster));
    phases.extend(addons::phases(&cluster));
    phases.push(Box::new(ShowJoinCommand::new(&cluster)));
    Workflow { name: "init".into(), phases }
}

/// What must hold on a machine that becomes a control plane without there being one.
pub(crate) fn preflight(cluster: &Arc<Cluster>) -> Box<dyn Phase> {
    Box::new(preflight::Preflight::new(cluster))
}

/// From files to a control plane that is healthy.
pub(crate) fn running(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    let mut phases: Vec<Box<dyn Phase>> = vec![Box::new(etcd::Local::new(cluster))];
    phases.extend(control_plane::phases(cluster));
    phases.push(Box::new(kubelet_start::KubeletStart::new(cluster)));
    phases.push(Box::new(WaitControlPlane::new(cluster)));
    phases
}

/// What other machines need to join, and this one to be what it is.
pub(crate) fn joinable(cluster: &Arc<Cluster>) -> Vec<Box<dyn Phase>> {
    vec![
        Box::new(upload_certs::UploadCerts::new(cluster)),
        Box::new(MarkControlPlane::new(cluster)),
        Box::new(bootstrap_token::BootstrapToken::new(cluster)),
        Box::new(kubelet_finalize::EnableClientCertRotation::new(cluster)),
    ]
}

/// The declarations of the phases, in order: they do not depend on the configuration.
pub fn metas() -> Vec<PhaseMeta> {
    workflow(Arc::default(), Environment::default()).metas()
}
