//! The static pods of this machine, as their manifests describe them.

use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{
    engine::PhaseError,
    host::Probe,
    kubelet::{CONFIG_FILE, INSTANCE_CONFIG_FILE},
    manifest::Component,
    yaml,
};
use serde_json::Value;

use crate::init::Cluster;

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
