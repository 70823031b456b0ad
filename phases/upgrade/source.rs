//! What an upgrade begins with: the cluster's settings, and what this node is.

use rkadm_core::{
    config::{StoredSettings, UpgradedNode, types::LocalApiEndpoint},
    engine::PhaseError,
    host::{ApiAccess, Probe},
    kube::objects::is_generated,
    kubelet::{FLAGS_ENV_FILE, flag_of},
    manifest::{
        Component,
        pod::{flag, kubernetes_version},
    },
    pki::Certificate,
    version::KubeVersion,
};
use serde_json::Value;

use crate::{init::Cluster, objects::named, static_pods};

/// Where kubelets find containerd unless they are told otherwise.
const DEFAULT_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";
/// The kubelet's client certificate, as it renews it.
const KUBELET_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// Reads the cluster's settings.
///
/// # Errors
/// The API server does not answer, or the cluster has none.
pub async fn stored(host: &dyn Probe, access: &ApiAccess) -> Result<StoredSettings, PhaseError> {
    let get = async |name: &str| {
        let target = named("ConfigMap", Some("kube-system"), name)?;
        Ok::<_, PhaseError>(host.object(access, &target).await?)
    };
    let (cluster, kubelet) = futures::future::try_join(get("kubeadm-config"), get("kubelet-config")).await?;
    // Nodes may not read it, and need not.
    let proxy = get("kube-proxy").await.unwrap_or_default();
    Ok(StoredSettings {
        cluster: text(cluster.as_ref(), "kubeadm-config", "ClusterConfiguration")?,
        kubelet: text(kubelet.as_ref(), "kubelet-config", "kubelet")?,
        kubelet_generated: kubelet.as_ref().is_some_and(is_generated),
        kube_proxy: proxy.as_ref().and_then(|map| map["data"]["config.conf"].as_str()).map(str::to_owned),
        kube_proxy_generated: proxy.as_ref().is_some_and(is_generated),
    })
}

fn text(map: Option<&Value>, name: &str, key: &str) -> Result<String, PhaseError> {
    let found = map.and_then(|map| map["data"][key].as_str());
    found.map(str::to_owned).ok_or_else(|| PhaseError::Unusable {
        message: format!("ConfigMap kube-system/{name} with key {key} does not exist"),
        hint: "was this cluster made by kubeadm or rkadm? `rkadm init phase upload-config` writes it".into(),
    })
}

/// What this node is, and the version of its API server; `None` on a worker.
///
/// # Errors
/// A manifest cannot be read.
pub async fn node(host: &dyn Probe) -> Result<(UpgradedNode, Option<KubeVersion>), PhaseError> {
    let socket = match static_pods::cri_socket(host).await {
        Some(socket) => socket,
        None => socket_flag(host).await.unwrap_or_else(|| DEFAULT_SOCKET.into()),
    };
    let resolved = host.service("systemd-resolved").await;
    let mut node = UpgradedNode {
        name: name(host).await,
        cri_socket: socket,
        systemd_resolved: resolved.is_ok_and(|state| state.active == "active"),
        ..UpgradedNode::default()
    };
    let Some(pod) = static_pods::read(host, Component::ApiServer).await? else { return Ok((node, None)) };
    let port = flag(&pod, "secure-port").and_then(|port| port.parse().ok());
    node.endpoint = LocalApiEndpoint {
        advertise_address: flag(&pod, "advertise-address").unwrap_or_default(),
        bind_port: port.unwrap_or(6443),
    };
    match kubernetes_version(&pod) {
        Some(version) => Ok((node, Some(version))),
        None => Err(PhaseError::Unusable {
            message: format!(
                "{} does not tell the version of its API server",
                Cluster::manifest("kube-apiserver.yaml").display()
            ),
            hint: "its image needs a tag such as v1.36.4".into(),
        }),
    }
}

async fn socket_flag(host: &dyn Probe) -> Option<String> {
    let text = host.read(FLAGS_ENV_FILE.as_ref()).await.ok()??;
    let socket = flag_of(&String::from_utf8_lossy(&text), "container-runtime-endpoint")?;
    Some(if socket.contains("://") { socket } else { format!("unix://{socket}") })
}

/// Of the kubelet's certificate, else the host's.
async fn name(host: &dyn Probe) -> String {
    let pem = host.read(KUBELET_CERTIFICATE.as_ref()).await.ok().flatten().unwrap_or_default();
    let certificate = Certificate::from_pem(&pem).ok();
    let of_node = certificate.and_then(|it| it.common_name().strip_prefix("system:node:").map(str::to_owned));
    match of_node {
        Some(name) => name,
        None => host.hostname().await.to_lowercase(),
    }
}
