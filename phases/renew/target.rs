//! What can be renewed, as data.

use std::sync::Arc;

use rkadm_core::{engine::Phase, manifest::Component, pki::list};

use super::{Renewal, certificate, kubeconfig};

/// One certificate that can be renewed.
#[derive(Debug)]
pub struct Target {
    /// kubeadm's name, as `certs renew` and `certs check-expiration` have it.
    pub name: &'static str,
    /// Phase id and journal key: never renamed.
    pub id: &'static str,
    /// The static pod that reads it when it starts.
    pub used_by: Option<Component>,
}

const fn target(name: &'static str, id: &'static str, used_by: Option<Component>) -> Target {
    Target { name, id, used_by }
}

/// All of them, certificates first, each behind the one that the restart order wants earlier.
pub static TARGETS: [Target; 11] = [
    target("etcd-server", "renew/etcd-server", Some(Component::Etcd)),
    target("etcd-peer", "renew/etcd-peer", Some(Component::Etcd)),
    target("etcd-healthcheck-client", "renew/etcd-healthcheck-client", None),
    target("apiserver-etcd-client", "renew/apiserver-etcd-client", Some(Component::ApiServer)),
    target("apiserver", "renew/apiserver", Some(Component::ApiServer)),
    target("apiserver-kubelet-client", "renew/apiserver-kubelet-client", Some(Component::ApiServer)),
    target("front-proxy-client", "renew/front-proxy-client", Some(Component::ApiServer)),
    target("controller-manager.conf", "renew/controller-manager.conf", Some(Component::ControllerManager)),
    target("scheduler.conf", "renew/scheduler.conf", Some(Component::Scheduler)),
    target("admin.conf", "renew/admin.conf", None),
    target("super-admin.conf", "renew/super-admin.conf", None),
];

impl Target {
    /// The recorded output that says that it was renewed.
    pub fn output(&self) -> String {
        format!("renewed {}", self.name)
    }

    pub(super) fn phase(&'static self, renewal: &Arc<Renewal>) -> Box<dyn Phase> {
        // What is no certificate file is a kubeconfig.
        match list::entry(self.name) {
            Some(entry) => Box::new(certificate::RenewCertificate::new(self, entry, renewal)),
            None => Box::new(kubeconfig::RenewKubeconfig::new(self, renewal)),
        }
    }
}
