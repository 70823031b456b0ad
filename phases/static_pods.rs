//! The static pods of this machine, as their manifests describe them, and those of others, as the cluster knows them.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::PhaseError,
    host::{ApiAccess, HostError, Probe},
    kubelet::{CONFIG_FILE, INSTANCE_CONFIG_FILE},
    manifest::{Component, pod},
    text::bracketed,
    yaml,
};
use serde_json::Value;

use crate::init::Cluster;

/// The labels that kubeadm gives the static pods of etcd.
const ETCD_LABELS: &str = "component=etcd,tier=control-plane";
/// kubeadm's annotation on them: client URLs, with commas between.
const ETCD_CLIENT_URLS: &str = "kubeadm.kubernetes.io/etcd.advertise-client-urls";

/// Whether this machine has any static pod of a control plane.
pub async fn any(host: &dyn Probe) -> Result<bool, PhaseError> {
    for component in Component::ALL {
        if host.stat(&Cluster::manifest(&component.file_name())).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The pod of a component, `None` where there is no manifest.
///
/// # Errors
/// The manifest is no pod: the kubelet does not run it either.
pub async fn read(host: &dyn Probe, component: Component) -> Result<Option<Pod>, PhaseError> {
    let path = Cluster::manifest(&component.file_name());
    let Some(bytes) = host.read(&path).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    yaml::from_str(&text).map(Some).map_err(|error| PhaseError::Unusable {
        message: format!("{} is not the manifest of a pod: {error}", path.display()),
        hint: "put a manifest that works in its place".into(),
    })
}

/// The runtime's socket that this machine's kubelet is configured with.
pub async fn cri_socket(host: &dyn Probe) -> Option<String> {
    for file in [INSTANCE_CONFIG_FILE, CONFIG_FILE] {
        let Ok(Some(bytes)) = host.read(file.as_ref()).await else { continue };
        let config: Value = yaml::from_str(&String::from_utf8_lossy(&bytes)).unwrap_or_default();
        if let Some(socket) = config["containerRuntimeEndpoint"].as_str().filter(|socket| !socket.is_empty())
        {
            return Some(socket.to_owned());
        }
    }
    None
}

/// Where the certificates of this machine's control plane are, as its API server is told.
pub async fn certificates_dir(host: &dyn Probe) -> Option<PathBuf> {
    let pod = read(host, Component::ApiServer).await.ok()??;
    let ca = pod::flag(&pod, "client-ca-file")?;
    let ca = pod::on_host(&pod, ca.as_ref())?;
    ca.parent().map(PathBuf::from)
}

/// Client URLs of the control planes' members of etcd, as the API server knows their static pods.
pub async fn etcd_client_urls(host: &dyn Probe, access: &ApiAccess) -> Result<Vec<String>, HostError> {
    let pods = host.select(access, "Pod", "kube-system", ETCD_LABELS).await?;
    Ok(pods.iter().flat_map(client_urls).collect())
}

fn client_urls(pod: &Value) -> Vec<String> {
    let annotated = pod["metadata"]["annotations"][ETCD_CLIENT_URLS].as_str().unwrap_or_default();
    let urls: Vec<_> = annotated.split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect();
    if !urls.is_empty() {
        return urls;
    }
    // A pod that somebody else made has no annotation; etcd's port is all but always this.
    let Some(address) = pod["status"]["hostIP"].as_str() else { return vec![] };
    vec![format!("https://{}:2379", bracketed(address))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_the_annotation_is_found_by_its_address() {
        let pod = serde_json::json!({"metadata": {}, "status": {"hostIP": "fd00::1"}});
        assert_eq!(client_urls(&pod), ["https://[fd00::1]:2379"]);
        let annotations = serde_json::json!({ETCD_CLIENT_URLS: "https://a:2379,https://b:2379"});
        let pod = serde_json::json!({"metadata": {"annotations": annotations}});
        assert_eq!(client_urls(&pod), ["https://a:2379", "https://b:2379"]);
    }
}
