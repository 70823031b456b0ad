//! What an upgrade will meet: each finding stops it, unless it is ignored by its name, or is only told.

mod certificates;
mod etcd;
mod flags;
mod health;
mod helm;
mod later;
mod manifests;
mod skew;
mod version;
mod workloads;

use futures::future::{BoxFuture, FutureExt, join, join_all};
use rkadm_core::{
    config::{UpgradedNode, upgraded},
    host::Probe,
    version::KubeVersion,
};

use super::{Upgrading, state::Seen};
use crate::{
    init::{Cluster, Environment},
    preflight::{Found, images, machine, runtime, storage},
};

pub use health::{CHECK as HEALTH, look as health};
pub use later::look as of_later_steps;

/// Looks at everything on this machine and in its cluster, all at once. `last` is where the upgrade goes in the end, by further steps.
pub async fn look(
    host: &dyn Probe,
    upgrading: &Upgrading,
    last: &KubeVersion,
    seen: Option<&Seen>,
) -> Vec<Found> {
    let cluster = &upgrading.cluster;
    let mut checks: Vec<BoxFuture<'_, Vec<Found>>> = vec![
        async { machine::user(host) }.boxed(),
        runtime::container_runtime(host, cluster).boxed(),
        machine::cgroups(host, cluster).boxed(),
        storage::room(host).boxed(),
        flags::of_kubelet(host, upgrading).boxed(),
    ];
    if upgrading.request.control_plane {
        checks.push(health::look(host, seen).boxed());
        checks.push(certificates::look(host, upgrading).boxed());
        checks.push(manifests::look(host, upgrading).boxed());
        checks.push(etcd::look(host, upgrading).boxed());
        checks.push(
            async {
                match cluster.admin(host).await {
                    Ok(access) => {
                        let (from, to) = (&upgrading.request.from, upgrading.version());
                        let workloads = workloads::look(host, &access, to, last);
                        let (mut found, helm) = join(workloads, helm::look(host, &access, from, to)).await;
                        found.extend(helm);
                        found
                    }
                    // Whether the API server answers is told by its health.
                    Err(_) => vec![],
                }
            }
            .boxed(),
        );
    }
    let mut found: Vec<_> = join_all(checks).await.into_iter().flatten().collect();
    if upgrading.request.control_plane {
        found.extend(flags::look(upgrading));
    }
    found.extend(version::look(upgrading, seen));
    found
}

/// The images of the new version that this machine does not hold, and what speaks against getting them.
pub async fn missing_images(host: &dyn Probe, upgrading: &Upgrading) -> (Vec<String>, Vec<Found>) {
    images::missing(host, &upgrading.cluster).await
}

/// The cluster as it is configured now, for a version: what the manifests on disk were made from, if nobody edited them.
fn configured(upgrading: &Upgrading, version: &KubeVersion) -> Option<Cluster> {
    let config = &upgrading.request.config;
    let node = UpgradedNode {
        name: config.node_name().to_owned(),
        cri_socket: config.node_registration.cri_socket.clone(),
        endpoint: config.local_api_endpoint.clone(),
        systemd_resolved: config.systemd_resolved,
        patches_dir: config.patches_dir.clone(),
        timeouts: config.timeouts.clone(),
        ..UpgradedNode::default()
    };
    let config = upgraded(&upgrading.request.stored, &node, version).ok()?;
    let environment = Environment { joins: true, ..upgrading.request.environment.clone() };
    Some(Cluster::new(std::sync::Arc::new(config), environment))
}

#[cfg(test)]
mod tests {
    use rkadm_core::host::fake::{FakeHost, World};
    use serde_json::json;

    use super::*;
    use crate::preflight::Severity;

    #[tokio::test]
    async fn a_machine_with_cgroup_v1_is_told_before_its_kubelet_refuses_to_start() {
        let found = async |minor, kubelet| {
            let world = World::ready()
                .with_file("/proc/self/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
            let mut upgrading = Upgrading::default();
            upgrading.request.config.kubernetes_version = KubeVersion::new(1, minor, 2);
            upgrading.request.config.kubelet = kubelet;
            let upgrading = Upgrading::new(upgrading.request);
            let found = look(&FakeHost::new(world), &upgrading, upgrading.version(), None).await;
            let of_cgroups = found.into_iter().filter(|(_, finding)| finding.check == "SystemVerification");
            of_cgroups.map(|(severity, _)| severity).collect::<Vec<_>>()
        };
        assert_eq!(found(37, json!({})).await, [Severity::Error]);
        assert_eq!(found(37, json!({"failCgroupV1": false})).await, [Severity::Warning]);
        assert_eq!(found(34, json!({})).await, [Severity::Warning]);
    }
}
