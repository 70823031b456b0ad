//! `preflight` of `init`: what must hold on a machine that becomes the first control plane.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, join_all};
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    host::Probe,
};

use super::cluster::Cluster;
use crate::preflight::{Found, etcd, images, judge, machine, network, ports, runtime, storage};

/// Runs every check, then reports all that failed.
pub struct Preflight {
    cluster: Arc<Cluster>,
}

impl Preflight {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for Preflight {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Run pre-flight checks")
            .help(
                "Check this machine, its container runtime and its kubelet, and pull the images. All checks run, then \
                 all that failed are shown. --ignore-preflight-errors=NAME turns one into a warning.",
            )
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let (missing, of_images) = images::missing(cx.host, &self.cluster).await;
        let mut all = check_all(cx.host, &self.cluster).await;
        all.extend(of_images);
        let steps = judge(cx, &self.cluster, all, missing)?;
        Ok(Verdict::from_steps(steps, "all checks passed and all images are here"))
    }
}

async fn check_all(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let checks: Vec<BoxFuture<'_, Vec<Found>>> = vec![
        async { machine::user(host) }.boxed(),
        machine::resources(host).boxed(),
        machine::swap(host, cluster).boxed(),
        machine::forwarding(host, cluster).boxed(),
        machine::programs(host).boxed(),
        machine::names(host, cluster).boxed(),
        machine::clock(host).boxed(),
        machine::earlier_cluster(host).boxed(),
        machine::firewall(host, cluster).boxed(),
        machine::cgroups(host, cluster).boxed(),
        machine::left_over(host, cluster).boxed(),
        storage::room(host).boxed(),
        storage::etcd_disk(host, cluster).boxed(),
        etcd::external(host, cluster).boxed(),
        async { network::proxies(cluster) }.boxed(),
        network::mtu(host).boxed(),
        machine::uploadable(host, cluster).boxed(),
        ports::free(host, cluster).boxed(),
        runtime::container_runtime(host, cluster).boxed(),
        runtime::kubelet(host, cluster).boxed(),
    ];
    join_all(checks).await.into_iter().flatten().collect()
}
