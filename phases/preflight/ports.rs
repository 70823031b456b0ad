//! The ports that the control plane listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures::future::join_all;
use rkadm_core::host::Probe;

use super::{Found, error};
use crate::init::Cluster;

/// Every port of the first control plane that is taken.
pub async fn free(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut found = of_control_plane(host, cluster).await;
    found.extend(of_kubelet(host, cluster).await);
    found
}

/// Those of the components that every control plane runs.
pub async fn of_control_plane(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut wanted = vec![
        (cluster.config.local_api_endpoint.bind_port, "kube-apiserver"),
        (10259, "kube-scheduler"),
        (10257, "kube-controller-manager"),
    ];
    if cluster.etcd_data_dir().is_some() {
        wanted.extend([(2379, "etcd"), (2380, "etcd")]);
    }
    taken(host, cluster, wanted).await
}

/// That of the kubelet.
pub async fn of_kubelet(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    taken(host, cluster, vec![(10250, "the kubelet")]).await
}

async fn taken(host: &dyn Probe, cluster: &Cluster, wanted: Vec<(u16, &str)>) -> Vec<Found> {
    let ipv6 = cluster.config.local_api_endpoint.advertise_address.contains(':');
    let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let looks = wanted.into_iter().map(|(port, whose)| async move {
        if !host.port_in_use(SocketAddr::new(any, port)).await {
            return None;
        }
        let hint = format!("{whose} needs it; `ss -ltnp 'sport = :{port}'` shows who has it");
        Some(error(format!("Port-{port}"), format!("Port {port} is in use"), &hint))
    });
    join_all(looks).await.into_iter().flatten().collect()
}
