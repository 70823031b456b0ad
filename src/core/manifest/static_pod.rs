//! The four static pods of a control-plane node.

use super::templates::{Template, TemplateError};
use super::{args, env, images, volumes};
use crate::config::GoDuration;
use crate::config::types::{Arg, ClusterConfiguration, ControlPlaneComponent, EnvVar, LocalApiEndpoint};
use crate::version::MinorRow;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;

/// A control-plane component that runs as a static pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Local etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Component {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// Name of the pod, of its container and of its manifest without `.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    /// Name of the file in `/etc/kubernetes/manifests`.
    pub fn file_name(self) -> String {
        format!("{}.yaml", self.name())
    }

    fn template(self) -> Template {
        match self {
            Self::Etcd => Template::Etcd,
            Self::ApiServer => Template::ApiServer,
            Self::ControllerManager => Template::ControllerManager,
            Self::Scheduler => Template::Scheduler,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How this node's etcd member comes to its cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EtcdMembership<'a> {
    /// The first member of a new cluster.
    #[default]
    First,
    /// Added to a running cluster; all members, this one included, as `(name, peer URL)`.
    Joining(&'a [(String, String)]),
}

/// Everything a static pod is made from.
#[derive(Debug, Clone, Copy)]
pub struct StaticPodInputs<'a> {
    /// The cluster's configuration with its defaults filled in.
    pub cluster: &'a ClusterConfiguration,
    /// Address and port of this node's API server.
    pub endpoint: &'a LocalApiEndpoint,
    /// Name of this node, which is also its etcd member's.
    pub node_name: &'a str,
    /// `timeouts.controlPlaneComponentHealthCheck`: how long the startup probes are patient.
    pub health_check_timeout: GoDuration,
    /// What is particular to the minor of `cluster.kubernetesVersion`.
    pub row: &'a MinorRow,
    /// How etcd starts.
    pub etcd_membership: EtcdMembership<'a>,
    /// Those of [`volumes::CA_DIRS`] that exist on the host.
    pub ca_dirs: &'a [String],
    /// Proxy variables of the environment, see [`env::proxies`]; etcd does not get them.
    pub proxy_env: &'a [EnvVar],
    /// True when `ca.key` is not on this node, so the controller manager must not sign.
    pub external_ca: bool,
}

/// A manifest that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The template and the values do not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What the template gave is no Pod.
    #[error("manifest of {component} is not a Pod")]
    NotAPod {
        /// Whose manifest.
        component: Component,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The advertise address is not an IP address.
    #[error("advertise address {0:?} is not an IP address")]
    Address(String),
    /// A local etcd was asked for, and the configuration has none.
    #[error("the configuration has no local etcd")]
    NoLocalEtcd,
}

/// Makes the manifest of a component for this node.
pub fn static_pod(component: Component, inputs: &StaticPodInputs<'_>) -> Result<Pod, ManifestError> {
    let address: IpAddr = inputs
        .endpoint
        .advertise_address
        .parse()
        .map_err(|_| ManifestError::Address(inputs.endpoint.advertise_address.clone()))?;
    let context = match component {
        Component::Etcd => etcd_context(inputs, address)?,
        Component::ApiServer => api_server_context(inputs, address),
        Component::ControllerManager => controller_manager_context(inputs),
        Component::Scheduler => scheduler_context(inputs),
    };
    let document = component.template().document(context)?;
    let mut pod: Pod =
        serde_json::from_value(document).map_err(|source| ManifestError::NotAPod { component, source })?;
    let Some(spec) = pod.spec.as_mut() else { return Ok(pod) };

    let additions = additions(component, inputs);
    if let Some(container) = spec.containers.first_mut() {
        container.command =
            container.command.take().map(|command| args::command(&command, additions.extra_args));
        container.env = Some(additions.env).filter(|env| !env.is_empty());
    }
    // etcd and the scheduler talk to nobody whose certificate a public CA signed.
    match component {
        Component::Etcd => return Ok(pod),
        Component::ApiServer => {
            volumes::add(spec, volumes::ca_mounts(inputs.ca_dirs));
            if let Some(external) = &inputs.cluster.etcd.external {
                let mut mounted = inputs.ca_dirs.to_vec();
                mounted.extend(["/etc/ssl/certs".into(), inputs.cluster.certificates_dir.clone()]);
                volumes::add(spec, volumes::external_etcd_mounts(external, &mounted));
            }
        }
        Component::ControllerManager => volumes::add(spec, volumes::ca_mounts(inputs.ca_dirs)),
        Component::Scheduler => {}
    }
    if let Some(own) = additions.component {
        volumes::add(spec, own.extra_volumes.iter().cloned());
    }
    Ok(pod)
}

/// What the configuration adds to a component.
struct Additions<'a> {
    extra_args: &'a [Arg],
    env: Vec<EnvVar>,
    component: Option<&'a ControlPlaneComponent>,
}

fn additions<'a>(component: Component, inputs: &StaticPodInputs<'a>) -> Additions<'a> {
    let own = match component {
        Component::Etcd => {
            let local = inputs.cluster.etcd.local.as_ref();
            return Additions {
                extra_args: local.map_or(&[], |etcd| &etcd.extra_args),
                env: env::merge(&[], local.map_or(&[], |etcd| &etcd.extra_envs)),
                component: None,
            };
        }
        Component::ApiServer => &inputs.cluster.api_server,
        Component::ControllerManager => &inputs.cluster.controller_manager,
        Component::Scheduler => &inputs.cluster.scheduler,
    };
    Additions {
        extra_args: &own.extra_args,
        env: env::merge(inputs.proxy_env, &own.extra_envs),
        component: Some(own),
    }
}

fn etcd_context(inputs: &StaticPodInputs<'_>, address: IpAddr) -> Result<Value, ManifestError> {
    let local = inputs.cluster.etcd.local.as_ref().ok_or(ManifestError::NoLocalEtcd)?;
    let (host, loopback) = (bracketed(address), bracketed(loopback(address)));
    let (initial_cluster, joining) = match inputs.etcd_membership {
        EtcdMembership::First => (format!("{}=https://{host}:2380", inputs.node_name), false),
        EtcdMembership::Joining(members) => {
            let members: Vec<_> = members.iter().map(|(name, url)| format!("{name}={url}")).collect();
            (members.join(","), true)
        }
    };
    let (probe_host, probe_port) = args::value(&local.extra_args, "listen-metrics-urls")
        .and_then(first_host_and_port)
        .unwrap_or_else(|| (loopback_text(address), 2381));
    let image = images::etcd(inputs.cluster, inputs.row.etcd_tag);
    Ok(json!({
        "host": host, "loopback": loopback, "pki": inputs.cluster.certificates_dir, "image": image,
        "data_dir": local.data_dir, "node_name": inputs.node_name, "initial_cluster": initial_cluster,
        "joining": joining, "feature_gates": has_feature_gates(&image),
        "probe_host": probe_host, "probe_port": probe_port, "startup_failures": startup_failures(inputs),
    }))
}

fn api_server_context(inputs: &StaticPodInputs<'_>, address: IpAddr) -> Value {
    let cluster = inputs.cluster;
    let pki = &cluster.certificates_dir;
    let etcd = match &cluster.etcd.external {
        Some(external) => json!({
            "servers": external.endpoints.join(","), "ca_file": external.ca_file,
            "cert_file": external.cert_file, "key_file": external.key_file,
        }),
        None => json!({
            "servers": format!("https://{}:2379", bracketed(loopback(address))),
            "ca_file": format!("{pki}/etcd/ca.crt"),
            "cert_file": format!("{pki}/apiserver-etcd-client.crt"),
            "key_file": format!("{pki}/apiserver-etcd-client.key"),
        }),
    };
    json!({
        "address": address.to_string(), "host": bracketed(address), "port": inputs.endpoint.bind_port,
        "pki": pki, "etcd": etcd, "image": images::kubernetes(cluster, "kube-apiserver"),
        "dns_domain": cluster.networking.dns_domain, "service_subnet": cluster.networking.service_subnet,
        "authorization_file": args::value(&cluster.api_server.extra_args, "authorization-config"),
        "startup_failures": startup_failures(inputs),
    })
}

fn controller_manager_context(inputs: &StaticPodInputs<'_>) -> Value {
    let cluster = inputs.cluster;
    json!({
        "pki": cluster.certificates_dir, "image": images::kubernetes(cluster, "kube-controller-manager"),
        "pod_subnet": cluster.networking.pod_subnet, "service_subnet": cluster.networking.service_subnet,
        "cluster_name": cluster.cluster_name, "external_ca": inputs.external_ca,
        "flexvolume": inputs.row.flexvolume_mount,
        "flexvolume_dir": args::value(&cluster.controller_manager.extra_args, "flex-volume-plugin-dir")
            .unwrap_or("/usr/libexec/kubernetes/kubelet-plugins/volume/exec"),
        "probe_host": probe_host(&cluster.controller_manager.extra_args),
        "startup_failures": startup_failures(inputs),
    })
}

fn scheduler_context(inputs: &StaticPodInputs<'_>) -> Value {
    json!({
        "image": images::kubernetes(inputs.cluster, "kube-scheduler"),
        "probe_host": probe_host(&inputs.cluster.scheduler.extra_args),
        "startup_failures": startup_failures(inputs),
    })
}

/// Where the kubelet probes a component that listens on `--bind-address`; empty, which means the pod's own address,
/// when it listens everywhere.
fn probe_host(extra_args: &[Arg]) -> &str {
    match args::value(extra_args, "bind-address") {
        None => "127.0.0.1",
        Some("0.0.0.0" | "::") => "",
        Some(own) => own,
    }
}

/// Failures of a probe every 10 seconds that fill the health check timeout.
fn startup_failures(inputs: &StaticPodInputs<'_>) -> i64 {
    const PERIOD: i64 = 10_000_000_000;
    inputs.health_check_timeout.nanos().saturating_add(PERIOD - 1) / PERIOD
}

/// Host and port of the first of some comma-separated URLs.
fn first_host_and_port(urls: &str) -> Option<(String, u16)> {
    let authority = urls.split(',').next()?.split_once("://")?.1.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.parse().ok()?))
}

/// etcd before 3.6 has `--experimental-*` flags where later ones have feature gates; 3.7 refuses the old ones.
/// A tag that is no version counts as a recent one.
fn has_feature_gates(image: &str) -> bool {
    let tag = image.rsplit(':').next().unwrap_or_default().trim_start_matches('v');
    semver::Version::parse(tag).map_or(true, |version| (version.major, version.minor) >= (3, 6))
}

fn loopback(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}

fn loopback_text(address: IpAddr) -> String {
    loopback(address).to_string()
}

/// An address as the host of a URL.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests;
