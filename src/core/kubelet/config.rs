//! `KubeletConfiguration`: the cluster's, stored in ConfigMap `kubelet-config`, and this node's version of it.

use crate::config::types::ClusterConfiguration;
use crate::kube::service_ip::{self, ServiceIpError};
use crate::manifest::{Template, TemplateError, overlay::overlay};
use crate::yaml;
use serde_json::{Value, json};

/// The resolver file a kubelet must use where systemd-resolved runs: `/etc/resolv.conf` then names a loopback resolver
/// that pods cannot reach.
pub const SYSTEMD_RESOLVED_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// What the cluster's kubelet configuration is made from.
#[derive(Debug, Clone, Copy)]
pub struct KubeletConfigInputs<'a> {
    /// The cluster's configuration with its defaults filled in.
    pub cluster: &'a ClusterConfiguration,
    /// The `KubeletConfiguration` document of the configuration file, when it has one.
    pub own: Option<&'a Value>,
    /// [`SYSTEMD_RESOLVED_CONF`] where systemd-resolved is active.
    pub resolv_conf: Option<&'a str>,
}

/// A kubelet configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum KubeletConfigError {
    /// The template and the values do not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The service subnet has no address for cluster DNS.
    #[error(transparent)]
    ServiceIp(#[from] ServiceIpError),
}

/// The configuration that all kubelets share: kubeadm's values, the operator's over them, and certificate rotation,
/// which the cluster depends on, always on.
pub fn cluster_config(inputs: &KubeletConfigInputs<'_>) -> Result<Value, KubeletConfigError> {
    let mut config = recommended(inputs)?;
    if let Some(own) = inputs.own {
        overlay(&mut config, own);
    }
    config["rotateCertificates"] = true.into();
    yaml::sort_keys(&mut config);
    Ok(config)
}

/// Fields where the operator's document differs from what kubeadm recommends, as `(path, recommended, own)`; kubeadm
/// warns about each.
pub fn unusual(
    inputs: &KubeletConfigInputs<'_>,
) -> Result<Vec<(&'static str, Value, Value)>, KubeletConfigError> {
    const WATCHED: [(&str, &str); 10] = [
        ("staticPodPath", "/staticPodPath"),
        ("clusterDNS", "/clusterDNS"),
        ("clusterDomain", "/clusterDomain"),
        ("authentication.x509.clientCAFile", "/authentication/x509/clientCAFile"),
        ("authentication.anonymous.enabled", "/authentication/anonymous/enabled"),
        ("authentication.webhook.enabled", "/authentication/webhook/enabled"),
        ("authorization.mode", "/authorization/mode"),
        ("healthzBindAddress", "/healthzBindAddress"),
        ("healthzPort", "/healthzPort"),
        ("readOnlyPort", "/readOnlyPort"),
    ];
    let Some(own) = inputs.own else { return Ok(Vec::new()) };
    let mut recommended = recommended(inputs)?;
    // Left out of the file because zero is the default; worth a warning all the same, the port has no authentication.
    recommended["readOnlyPort"] = 0.into();
    Ok(WATCHED
        .into_iter()
        .filter_map(|(path, pointer)| {
            let (ours, theirs) = (recommended.pointer(pointer)?, own.pointer(pointer)?);
            (ours != theirs && !theirs.is_null()).then(|| (path, ours.clone(), theirs.clone()))
        })
        .collect())
}

fn recommended(inputs: &KubeletConfigInputs<'_>) -> Result<Value, KubeletConfigError> {
    let networking = &inputs.cluster.networking;
    Ok(Template::KubeletConfig.document(json!({
        "pki": inputs.cluster.certificates_dir,
        "cluster_dns": service_ip::cluster_dns(&networking.service_subnet)?,
        "dns_domain": networking.dns_domain,
        "resolv_conf": inputs.resolv_conf.unwrap_or_default(),
    }))?)
}

/// The configuration of one node: the cluster's, with this node's container runtime.
pub fn node_config(cluster_config: &Value, cri_socket: &str) -> Value {
    let mut config = cluster_config.clone();
    config["containerRuntimeEndpoint"] = cri_socket.into();
    yaml::sort_keys(&mut config);
    config
}

/// The text of [`super::INSTANCE_CONFIG_FILE`]: what upgrades patch back into a fresh cluster configuration.
pub fn instance_config(cri_socket: &str) -> String {
    format!("containerRuntimeEndpoint: {}\n", Value::from(cri_socket))
}

/// A configuration as the text of a file or of a ConfigMap's value.
pub fn to_yaml(config: &Value) -> String {
    yaml::to_string(config)
}
