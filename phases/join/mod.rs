//! `join`: one more node of a cluster, a worker or a control plane. Names of the phases are kubeadm's, and
//! their order but for one.

mod borrowed;
mod certs;
mod check_etcd;
mod download_certs;
mod etcd_join;
mod etcd_member;
mod joining;
mod kubeconfig;
mod kubelet_start;
mod kubelet_wait_bootstrap;
mod manifests;
mod members;
mod preflight;
mod unfinished;

use std::sync::Arc;

use rkadm_core::engine::{Phase, PhaseMeta, Workflow};

pub use etcd_member::{ADD_MEMBER_ACTION, PROMOTE_MEMBER_ACTION, REMOVE_MEMBER_ACTION, UndoMember};
pub use joining::{JoinRequest, Joining};
pub use unfinished::{TELL_ACTION, TELL_END_ACTION, UndoTell, by_kubelet, tell_of_rollback, within};

use crate::init::{MarkControlPlane, WaitControlPlane};
use borrowed::Borrowed;

/// The phases of `rkadm join`, in order.
pub fn workflow(joining: &Arc<Joining>) -> Workflow {
    let cluster = &joining.cluster;
    let borrowed = |id, inner: Box<dyn Phase>| Box::new(Borrowed::new(id, inner, joining)) as Box<dyn Phase>;
    let mut phases: Vec<Box<dyn Phase>> = vec![
        Box::new(preflight::Preflight::new(joining)),
        Box::new(download_certs::DownloadCerts::new(joining)),
        Box::new(certs::Certs::new(joining)),
        Box::new(kubeconfig::Kubeconfigs::new(joining)),
        Box::new(check_etcd::CheckEtcd::new(joining)),
        Box::new(kubelet_start::KubeletStart::new(joining)),
        Box::new(etcd_join::EtcdJoin::new(joining)),
        // After etcd, where kubeadm has it before the kubelet: an API server that starts before its etcd can serve it waits
        // longer and longer between two tries.
        Box::new(manifests::Manifests::new(joining)),
        Box::new(kubelet_wait_bootstrap::KubeletWaitBootstrap::new(joining)),
    ];
    let mark = Box::new(MarkControlPlane::new(cluster));
    phases.push(borrowed("control-plane-join/mark-control-plane", mark));
    phases.push(Box::new(unfinished::TellUnfinished::new(joining)));
    phases.push(borrowed("wait-control-plane", Box::new(WaitControlPlane::new(cluster))));
    phases.push(Box::new(unfinished::TellFinished::new(joining)));
    Workflow { name: "join".into(), phases }
}

/// The declarations of the phases, in order: they do not depend on the configuration.
pub fn metas() -> Vec<PhaseMeta> {
    workflow(&Arc::default()).metas()
}
