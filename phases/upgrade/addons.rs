//! `addon/*`: CoreDNS and kube-proxy, where they are installed, once every API server is of the new version.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    version::KubeVersion,
};

use super::{Upgrading, WORKER, state};
use crate::{init, objects::named};

/// Both of them.
pub fn phases(upgrading: &Arc<Upgrading>) -> Vec<Box<dyn Phase>> {
    let installed = ["coredns", "kube-proxy"];
    let workloads = [("Deployment", "coredns"), ("DaemonSet", "kube-proxy")];
    let inner = init::addons(&upgrading.cluster).into_iter().zip(installed).zip(workloads);
    inner
        .map(|((inner, name), workload)| {
            let upgrading = Arc::clone(upgrading);
            Box::new(Addon { upgrading, inner, name, workload }) as Box<dyn Phase>
        })
        .collect()
}

/// A phase of `init`, where it is time for it.
struct Addon {
    upgrading: Arc<Upgrading>,
    inner: Box<dyn Phase>,
    name: &'static str,
    workload: (&'static str, &'static str),
}

#[async_trait]
impl Phase for Addon {
    fn meta(&self) -> PhaseMeta {
        let title = match self.name {
            "coredns" => "Upgrade the CoreDNS addon",
            _ => "Upgrade the kube-proxy addon",
        };
        PhaseMeta::new(self.inner.meta().id, title).help(
            "Only where it is installed, and once every API server of the cluster is of the new version: the last control plane \
             that is upgraded does it.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let upgrading = &self.upgrading;
        if !upgrading.request.control_plane {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let access = upgrading.cluster.admin(cx.host).await?;
        let (kind, name) = self.workload;
        if cx.host.object(&access, &named(kind, Some("kube-system"), name)?).await?.is_none() {
            return Ok(Verdict::NotApplicable(format!("{} is not installed in this cluster", self.name)));
        }
        // Of the workload's name. Without it, the workload is somebody's own, as kubeadm sees it, too.
        if cx.host.object(&access, &named("ConfigMap", Some("kube-system"), name)?).await?.is_none() {
            let why = format!(
                "{kind} {name} is there and ConfigMap {name} is not: {} is not managed here, and stays as it is",
                self.name
            );
            cx.warn(&why);
            return Ok(Verdict::NotApplicable(why));
        }
        let behind = state::api_servers(cx.host, &access).await?.into_iter().filter(|server| {
            server.node != upgrading.cluster.config.node_name()
                && is_older(&server.version, upgrading.version())
        });
        let behind: Vec<_> = behind.map(|server| format!("{} on {}", server.version, server.node)).collect();
        if !behind.is_empty() && !upgrading.request.looks_ahead {
            let why =
                format!("not before all API servers are of {}: {}", upgrading.version(), behind.join(", "));
            return Ok(Verdict::NotApplicable(why));
        }
        self.inner.plan(cx).await
    }
}

/// Of an older version than the one that is being installed: build metadata does not count.
fn is_older(version: &KubeVersion, target: &KubeVersion) -> bool {
    version.semver().cmp_precedence(target.semver()).is_lt()
}
