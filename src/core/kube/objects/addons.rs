//! `addon`: CoreDNS and kube-proxy.

use super::{ObjectError, sign};
use crate::config::Cidr;
use crate::config::types::{ClusterConfiguration, EnvVar};
use crate::manifest::{Template, images};
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
    let subnet = &networking.service_subnet;
    let primary = subnet.split(',').next().unwrap_or_default().trim().parse::<Cidr>().ok();
    let cluster_ip = primary
        .and_then(|subnet| subnet.nth(10))
        .ok_or_else(|| ObjectError::ServiceSubnet(subnet.clone()))?;
    let corefile = match inputs.corefile {
        Some(own) => own.to_owned(),
        None => Template::Corefile.render(json!({"dns_domain": networking.dns_domain}))?,
    };
    Ok(Template::CoreDns.documents(json!({
        "corefile": corefile,
        "replicas": inputs.replicas.unwrap_or(DEFAULT_REPLICAS),
        "image": images::coredns(inputs.cluster, inputs.row.coredns_tag),
        "cluster_ip": cluster_ip,
    }))?)
}

/// What the kube-proxy addon is made from.
#[derive(Debug, Clone, Copy)]
pub struct KubeProxyInputs<'a> {
    /// The cluster's configuration with its defaults filled in.
    pub cluster: &'a ClusterConfiguration,
    /// The resolved `KubeProxyConfiguration`.
    pub config: &'a Value,
    /// False when the operator gave a KubeProxyConfiguration.
    pub generated: bool,
    /// URL of the control plane, as kube-proxy reaches it without Services.
    pub server: &'a str,
    /// Proxy variables of the environment, see [`crate::manifest::env::proxies`].
    pub proxy_env: &'a [EnvVar],
}

/// ConfigMap, DaemonSet and RBAC of kube-proxy.
pub fn kube_proxy(inputs: &KubeProxyInputs<'_>) -> Result<Vec<Value>, ObjectError> {
    let kubeconfig = Template::KubeProxyKubeconfig.render(json!({"server": inputs.server}))?;
    let mut objects = Template::KubeProxy.documents(json!({
        "config": yaml::to_string(inputs.config).trim_end(),
        "kubeconfig": kubeconfig.trim_end(),
        "image": images::kubernetes(inputs.cluster, "kube-proxy"),
        "proxy_env": inputs.proxy_env.iter().map(|variable| json!({
            "name": variable.name, "value": variable.value.as_deref().unwrap_or_default(),
        })).collect::<Vec<_>>(),
    }))?;
    if let (true, Some(config_map)) = (inputs.generated, objects.first_mut()) {
        sign(config_map);
    }
    Ok(objects)
}
