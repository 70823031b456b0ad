//! The container runtime and the kubelet.

use rkadm_core::{
    host::Probe,
    preflight::parse,
    version::{KubeVersion, check_kubelet_skew},
};

use super::{Found, error, warning};
use crate::init::{cluster::Cluster, kubelet_start::KUBELET};

/// Whether the container runtime answers.
pub async fn container_runtime(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let socket = &cluster.config.node_registration.cri_socket;
    match host.runtime_version(socket).await {
        Ok(_) => vec![],
        Err(fault) => {
            let hint = "install and start a container runtime such as containerd, or name its socket with --cri-socket";
            vec![error("CRI", format!("container runtime is not running: {fault}"), hint)]
        }
    }
}

/// Whether the kubelet is there, fits the version and starts at boot.
pub async fn kubelet(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let mut found = vec![];
    let output = match host.query(&["kubelet", "--version"]).await {
        Ok(output) if output.success() => output,
        _ => {
            let hint = "install the kubelet package of the cluster's version";
            return vec![error("KubeletVersion", "couldn't get kubelet version: kubelet does not run", hint)];
        }
    };
    let version = parse::kubelet_version(output.stdout.as_bytes());
    let version = version.and_then(|version| version.to_string().parse::<KubeVersion>().ok());
    if let Some(kubelet) = version
        && let Err(skew) = check_kubelet_skew(&kubelet, &cluster.config.kubernetes_version)
    {
        let hint = "install another kubelet, or choose the version with --kubernetes-version";
        found.push(error("KubeletVersion", skew.to_string(), hint));
    }
    match host.service(KUBELET).await {
        Ok(state) if !state.exists => {
            let hint = "install the kubelet's package, which brings its unit";
            found.push(error("Service-Kubelet", "kubelet service does not exist", hint));
        }
        Ok(state) if !state.enabled => {
            let message = "kubelet service is not enabled, please run 'systemctl enable kubelet.service'";
            found.push(warning("Service-Kubelet", message, "systemctl enable kubelet.service"));
        }
        Ok(_) => {}
        Err(fault) => {
            let message = format!("the service manager does not answer: {fault}");
            found.push(warning("Service-Kubelet", message, "rkadm needs systemd to manage the kubelet"));
        }
    }
    found
}
