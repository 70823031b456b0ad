//! `addon`: CoreDNS and kube-proxy.

use super::{ObjectError, control_plane_url, sign};
use crate::config::types::{ClusterConfiguration, EnvVar, LocalApiEndpoint};
use crate::kube::service_ip;
use crate::manifest::{Template, images, overlay::overlay};
use crate::version::MinorRow;
use crate::yaml;
use serde_json::{Value, json};

/// What the CoreDNS addon is made from.
#[derive(Debug, Clone, Copy)]
pub struct CoreDnsInputs<'a> {
    /// The cluster's configuration with its defaults filled in.
    pub cluster: &'a ClusterConfiguration,
    /// What is particular to the Kubernetes minor.
    pub row: &'a MinorRow,
    /// Replicas of a Deployment that exists already: an operator's scaling is kept.
    pub replicas: Option<i32>,
    /// The Corefile to keep, when the cluster has one that is not the default.
    pub corefile: Option<&'a str>,
}

/// ConfigMap, RBAC, Deployment and Service of CoreDNS.
pub fn coredns(inputs: &CoreDnsInputs<'_>) -> Result<Vec<Value>, ObjectError> {
    const DEFAULT_REPLICAS: i32 = 2;
    let networking = &inputs.cluster.networking;
    let corefile = match inputs.corefile {
        Some(own) => own.to_owned(),
        None => Template::Corefile.render(json!({"dns_domain": networking.dns_domain}))?,
    };
    Ok(Template::CoreDns.documents(json!({
        "corefile": corefile,
        "replicas": inputs.replicas.unwrap_or(DEFAULT_REPLICAS),
        "image": images::coredns(inputs.cluster, inputs.row.coredns_tag),
        "cluster_ip": service_ip::cluster_dns(&networking.service_subnet)?,
    }))?)
}

/// What the kube-proxy addon is made from.
#[derive(Debug, Clone, Copy)]
pub struct KubeProxyInputs<'a> {
    /// The cluster's configuration with its defaults filled in.
    pub cluster: &'a ClusterConfiguration,
    /// Address and port of this node's API server.
    pub endpoint: &'a LocalApiEndpoint,
    /// What is particular to the Kubernetes minor.
    pub row: &'a MinorRow,
    /// The `KubeProxyConfiguration` document of the configuration file, when it has one.
    pub own: Option<&'a Value>,
    /// Proxy variables of the environment, see [`crate::manifest::env::proxies`].
    pub proxy_env: &'a [EnvVar],
}

/// ConfigMap, DaemonSet and RBAC of kube-proxy.
pub fn kube_proxy(inputs: &KubeProxyInputs<'_>) -> Result<Vec<Value>, ObjectError> {
    let mut config = Template::KubeProxyConfig.document(json!({
        "bind_address": if inputs.endpoint.advertise_address.contains(':') { "::" } else { "0.0.0.0" },
        "cluster_cidr": inputs.cluster.networking.pod_subnet,
        "mode": inputs.row.kube_proxy_mode,
    }))?;
    if let Some(own) = inputs.own {
        overlay(&mut config, own);
    }
    yaml::sort_keys(&mut config);
    let server = control_plane_url(inputs.cluster, inputs.endpoint);
    let kubeconfig = Template::KubeProxyKubeconfig.render(json!({"server": server}))?;
    let mut objects = Template::KubeProxy.documents(json!({
        "config": yaml::to_string(&config).trim_end(),
        "kubeconfig": kubeconfig.trim_end(),
        "image": images::kubernetes(inputs.cluster, "kube-proxy"),
        "proxy_env": inputs.proxy_env.iter().map(|variable| json!({
            "name": variable.name, "value": variable.value.as_deref().unwrap_or_default(),
        })).collect::<Vec<_>>(),
    }))?;
    if let (None, Some(config_map)) = (inputs.own, objects.first_mut()) {
        sign(config_map);
    }
    Ok(objects)
}
