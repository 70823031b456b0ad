//! The rules of `ClusterConfiguration`.

use super::names::{is_image_repository, is_image_tag};
use super::{absolute, alt_names, args, envs, network};
use crate::config::error::Problems;
use crate::config::types::{ClusterConfiguration, ControlPlaneComponent, ExternalEtcd, LocalEtcd};
use crate::config::{GoDuration, cidr::Cidr};
use crate::version::KubeVersion;
use std::net::{IpAddr, Ipv6Addr};

/// One year: longer leaf certificates are against kubeadm's advice.
const RECOMMENDED_VALIDITY: GoDuration = GoDuration::from_secs(8760 * 3600);
/// The clock skew that certificates are backdated for: shorter ones would be born expired.
const MIN_VALIDITY: GoDuration = GoDuration::from_secs(600);

/// Checks a configuration with its defaults filled.
pub(crate) fn check(problems: &mut Problems, cluster: &ClusterConfiguration, version: Option<&KubeVersion>) {
    network::check(problems, cluster);
    absolute(problems, "certificatesDir", &cluster.certificates_dir);
    for (path, component) in [
        ("apiServer", &cluster.api_server),
        ("controllerManager", &cluster.controller_manager),
        ("scheduler", &cluster.scheduler),
    ] {
        check_component(problems, path, component);
    }
    alt_names(problems, "apiServer.certSANs", &cluster.api_server.cert_sans);
    check_etcd(problems, cluster);
    check_images(problems, cluster);
    check_validity(problems, cluster);
    check_feature_gates(problems, cluster, version);
    // It stands in kubeconfigs and in a flag of kube-controller-manager, which take `user@cluster` and `arn:aws:…/x`, too.
    if cluster.cluster_name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        problems.error("clusterName", format!("there is a blank in {:?}", cluster.cluster_name));
    }
}

/// The problem when the API server's address is not of the first service subnet's family: it refuses to start then.
pub(crate) fn other_family(cluster: &ClusterConfiguration, advertise: IpAddr) -> Option<String> {
    let first = cluster.networking.service_subnet.split(',').next().unwrap_or_default();
    let subnet = first.parse::<Cidr>().ok().filter(|subnet| subnet.is_ipv6() != advertise.is_ipv6())?;
    Some(format!("{subnet} is not of the family of the API server's address {advertise}"))
}

fn check_component(problems: &mut Problems, path: &str, component: &ControlPlaneComponent) {
    args(problems, &format!("{path}.extraArgs"), &component.extra_args);
    envs(problems, &format!("{path}.extraEnvs"), &component.extra_envs);
    for (index, volume) in component.extra_volumes.iter().enumerate() {
        let path = format!("{path}.extraVolumes[{index}]");
        if !super::names::is_dns_name(&volume.name) || volume.name.contains('.') || volume.name.len() > 63 {
            problems.error(
                format!("{path}.name"),
                format!("{:?} is not a name of lower-case letters, digits and '-'", volume.name),
            );
        }
        absolute(problems, &format!("{path}.hostPath"), &volume.host_path);
        absolute(problems, &format!("{path}.mountPath"), &volume.mount_path);
        let earlier = &component.extra_volumes[..index];
        if earlier.iter().any(|other| other.name == volume.name) {
            problems.error(format!("{path}.name"), format!("the volume {:?} is given twice", volume.name));
        }
        if earlier.iter().any(|other| other.mount_path == volume.mount_path) {
            problems.error(format!("{path}.mountPath"), format!("{:?} is mounted twice", volume.mount_path));
        }
    }
}

fn check_etcd(problems: &mut Problems, cluster: &ClusterConfiguration) {
    match (&cluster.etcd.local, &cluster.etcd.external) {
        (Some(_), Some(_)) => problems.error("etcd", "local and external exclude each other"),
        (Some(local), None) => check_local_etcd(problems, local),
        (None, Some(external)) => check_external_etcd(problems, external),
        (None, None) => {}
    }
}

fn check_local_etcd(problems: &mut Problems, etcd: &LocalEtcd) {
    absolute(problems, "etcd.local.dataDir", &etcd.data_dir);
    args(problems, "etcd.local.extraArgs", &etcd.extra_args);
    envs(problems, "etcd.local.extraEnvs", &etcd.extra_envs);
    alt_names(problems, "etcd.local.serverCertSANs", &etcd.server_cert_sans);
    alt_names(problems, "etcd.local.peerCertSANs", &etcd.peer_cert_sans);
}

fn check_external_etcd(problems: &mut Problems, etcd: &ExternalEtcd) {
    if etcd.endpoints.is_empty() {
        problems.error("etcd.external.endpoints", "at least one endpoint is needed");
    }
    let tls = !etcd.ca_file.is_empty() || !etcd.cert_file.is_empty() || !etcd.key_file.is_empty();
    for (list, urls) in [("endpoints", &etcd.endpoints), ("httpEndpoints", &etcd.http_endpoints)] {
        for (index, url) in urls.iter().enumerate() {
            check_etcd_url(problems, &format!("etcd.external.{list}[{index}]"), url, tls);
        }
    }
    if etcd.cert_file.is_empty() != etcd.key_file.is_empty() {
        problems.error("etcd.external", "certFile and keyFile must be given together");
    }
    if etcd.ca_file.is_empty() && !etcd.cert_file.is_empty() && !etcd.key_file.is_empty() {
        problems.error("etcd.external", "certFile and keyFile need caFile too");
    }
    for (name, value) in
        [("caFile", &etcd.ca_file), ("certFile", &etcd.cert_file), ("keyFile", &etcd.key_file)]
    {
        if !value.is_empty() {
            absolute(problems, &format!("etcd.external.{name}"), value);
        }
    }
}

fn check_etcd_url(problems: &mut Problems, path: &str, url: &str, tls: bool) {
    let (scheme, host) = url.split_once("://").unwrap_or(("", url));
    if !["http", "https"].contains(&scheme) {
        problems.error(path, format!("{url:?} is not an http or https URL"));
    } else if tls && scheme == "http" {
        problems.error(path, format!("{url:?} must use https, because TLS files are given"));
    } else if let Ok(address) = host.trim_end_matches('/').parse::<Ipv6Addr>() {
        let message = format!("{url:?}: in a URL, an IPv6 address needs brackets");
        problems.error_hint(path, message, format!("write {scheme}://[{address}]"));
    } else if let Err(message) = super::names::split_host_port(host.trim_end_matches('/')) {
        problems.error(path, message);
    }
}

fn check_images(problems: &mut Problems, cluster: &ClusterConfiguration) {
    let local = cluster.etcd.local.as_ref();
    for (path, repository) in [
        ("imageRepository", Some(&cluster.image_repository)),
        ("etcd.local.imageRepository", local.map(|etcd| &etcd.image_repository)),
        ("dns.imageRepository", Some(&cluster.dns.image_repository)),
    ] {
        if let Some(value) = repository.filter(|value| !value.is_empty() && !is_image_repository(value)) {
            problems.error(path, format!("{value:?} is not a registry such as \"registry.example.com/k8s\""));
        }
    }
    for (path, tag) in [
        ("etcd.local.imageTag", local.map(|etcd| &etcd.image_tag)),
        ("dns.imageTag", Some(&cluster.dns.image_tag)),
    ] {
        if let Some(value) = tag.filter(|value| !value.is_empty() && !is_image_tag(value)) {
            problems.error(path, format!("{value:?} is not an image tag"));
        }
    }
}

fn check_validity(problems: &mut Problems, cluster: &ClusterConfiguration) {
    let (leaf, ca) = (cluster.certificate_validity_period, cluster.ca_certificate_validity_period);
    for (path, period) in [("certificateValidityPeriod", leaf), ("caCertificateValidityPeriod", ca)] {
        if period.is_some_and(|period| period < MIN_VALIDITY) {
            problems.error(path, format!("must be at least {MIN_VALIDITY}"));
        }
    }
    let Some(leaf) = leaf else { return };
    if leaf > RECOMMENDED_VALIDITY {
        problems.warn(
            "certificateValidityPeriod",
            format!("{leaf} is longer than the advised {RECOMMENDED_VALIDITY}"),
        );
    }
    if let Some(ca) = ca.filter(|ca| leaf > *ca) {
        problems.warn(
            "certificateValidityPeriod",
            format!("{leaf} is longer than caCertificateValidityPeriod, {ca}"),
        );
    }
}

fn check_feature_gates(
    problems: &mut Problems,
    cluster: &ClusterConfiguration,
    version: Option<&KubeVersion>,
) {
    let Some(row) = version.and_then(KubeVersion::row) else { return };
    for gate in cluster.feature_gates.keys().filter(|gate| !row.feature_gates.contains(&gate.as_str())) {
        problems.error_hint(
            format!("featureGates.{gate}"),
            format!("kubeadm v1.{} has no such feature gate", row.minor),
            format!("known are {}", row.feature_gates.join(", ")),
        );
    }
    if cluster.feature_gates.get("RootlessControlPlane") == Some(&true) {
        // Ignoring it would run as root what somebody wants not to.
        problems.error_hint(
            "featureGates.RootlessControlPlane",
            "rkadm cannot run the control plane without root",
            "leave it out, or use kubeadm for this cluster",
        );
    }
}
