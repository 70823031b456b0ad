//! The ports that the control plane listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures::future::join_all;
use rkadm_core::host::Probe;

use super::{Found, error};
use crate::init::Cluster;

/// Every port that is taken.
pub async fn free(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut wanted = vec![
        (cluster.config.local_api_endpoint.bind_port, "kube-apiserver"),
        (10259, "kube-scheduler"),
        (10257, "kube-controller-manager"),
        (10250, "the kubelet"),
    ];
    if cluster.etcd_data_dir().is_some() {
        wanted.extend([(2379, "etcd"), (2380, "etcd")]);
    }
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
