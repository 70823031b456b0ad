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

/// Where the certificates of this machine's control plane are, as its API server is told: `None` where it does not say so by kubeadm's
/// names, or names several places. An authority of the operator's own may lie in a directory of everybody.
pub async fn certificates_dir(host: &dyn Probe) -> Option<PathBuf> {
    let pod = read(host, Component::ApiServer).await.ok()??;
    pod::certificates_dir(&pod)
}

/// How large etcd's database may grow before it takes no more writes, in bytes; `None` without a limit. `flag` is the value of
/// `--quota-backend-bytes`, where it is set: 0 is etcd's own default of 2 GiB, less is no limit.
pub fn etcd_quota(flag: Option<&str>) -> Option<i64> {
    match flag.and_then(|text| text.parse().ok()).unwrap_or(0) {
        0 => Some(2 << 30),
        quota => Some(quota).filter(|quota| *quota > 0),
    }
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
    use rkadm_core::host::fake::{FakeHost, Node};

    use super::*;

    #[test]
    fn a_pod_without_the_annotation_is_found_by_its_address() {
        let pod = serde_json::json!({"metadata": {}, "status": {"hostIP": "fd00::1"}});
        assert_eq!(client_urls(&pod), ["https://[fd00::1]:2379"]);
        let annotations = serde_json::json!({ETCD_CLIENT_URLS: "https://a:2379,https://b:2379"});
        let pod = serde_json::json!({"metadata": {"annotations": annotations}});
        assert_eq!(client_urls(&pod), ["https://a:2379", "https://b:2379"]);
    }

    #[tokio::test]
    async fn the_directory_of_the_certificates_is_one_that_holds_kubeadms_files() {
        let dir = async |flags: &str| {
            let host = FakeHost::default();
            let text = format!(
                "{{kind: Pod, spec: {{containers: [{{name: kube-apiserver, command: [kube-apiserver, {flags}], \
                 volumeMounts: [{{name: a, mountPath: /etc}}]}}], volumes: [{{name: a, hostPath: {{path: /etc}}}}]}}}}"
            );
            let path = Cluster::manifest(&Component::ApiServer.file_name());
            host.edit(|world| {
                world.paths.insert(path, Node::File(text.into_bytes(), 0o600));
            });
            certificates_dir(&host).await
        };
        let found = dir("--client-ca-file=/etc/pki/k/ca.crt, --tls-cert-file=/etc/pki/k/apiserver.crt").await;
        assert_eq!(found, Some("/etc/pki/k".into()));
        // Somebody's own authority beside kubeadm's files, and two places.
        let found =
            dir("--client-ca-file=/etc/ssl/certs/corp.pem, --tls-cert-file=/etc/k/apiserver.crt").await;
        assert_eq!(found, Some("/etc/k".into()));
        assert_eq!(dir("--client-ca-file=/etc/ssl/certs/corp.pem").await, None);
        assert_eq!(dir("--client-ca-file=/etc/a/ca.crt, --tls-cert-file=/etc/b/apiserver.crt").await, None);
    }
}
