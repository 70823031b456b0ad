//! What the configuration's defaults depend on: this host.

use rkadm_core::{
    config::HostFacts,
    host::{HostError, Probe},
    preflight::parse,
};

/// Sockets of the container runtimes that kubeadm looks for, in its order.
const CRI_SOCKETS: [&str; 3] =
    ["/var/run/containerd/containerd.sock", "/var/run/crio/crio.sock", "/var/run/cri-dockerd.sock"];

/// Looks at the host. Asking the kubelet for its version takes longer than all the rest.
///
/// # Errors
/// The host cannot be read at all.
pub async fn gather(host: &dyn Probe, with_kubelet: bool) -> Result<HostFacts, HostError> {
    let mut cri_sockets = vec![];
    for socket in CRI_SOCKETS {
        if host.stat(socket.as_ref()).await?.is_some() {
            cri_sockets.push(format!("unix://{socket}"));
        }
    }
    let kubelet = if with_kubelet {
        host.query(&["kubelet", "--version"]).await.ok().filter(|output| output.code == 0)
    } else {
        None
    };
    let kubelet_version = kubelet
        .and_then(|output| parse::kubelet_version(output.stdout.as_bytes()))
        .and_then(|version| version.to_string().parse().ok());
    let resolved = host.service("systemd-resolved").await;
    Ok(HostFacts {
        hostname: host.hostname().await,
        default_ipv4: host.default_address(false).await,
        default_ipv6: host.default_address(true).await,
        cri_sockets,
        kubelet_version,
        systemd_resolved: resolved.is_ok_and(|state| state.active == "active"),
    })
}

/// The same for work that has nothing to do with a container runtime: that there are several is no reason to ask which.
///
/// # Errors
/// The host cannot be read at all.
pub async fn without_runtime(host: &dyn Probe) -> Result<HostFacts, HostError> {
    Ok(HostFacts { cri_sockets: vec![], ..gather(host, false).await? })
}
