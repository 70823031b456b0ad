//! Lays flags over the files' values and fills what is still missing with kubeadm's defaults.

use super::{HostFacts, InitFlags};
use crate::config::GoDuration;
use crate::config::component::service_addresses;
use crate::config::error::Problems;
use crate::config::types::{
    BootstrapToken, ClusterConfiguration, EncryptionAlgorithm, InitConfiguration, JoinConfiguration,
    LocalApiEndpoint, LocalEtcd, NodeRegistration, Patches, ResetConfiguration, Taint, UpgradeConfiguration,
};
use crate::config::validate::names::split_host_port;
use crate::pki::list::DEFAULT_DIR;

/// The socket kubeadm assumes when it finds none.
pub(super) const DEFAULT_CRI_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";
/// The group of the tokens that nodes join with.
const NODE_TOKEN_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
/// The taint that keeps ordinary Pods off control planes.
const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";

fn set(target: &mut String, flag: Option<&String>, default: &str) {
    if let Some(value) = flag {
        target.clone_from(value);
    }
    if target.is_empty() {
        default.clone_into(target);
    }
}

/// The shortest path that means the same by its text, as kubeadm writes it to manifests.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", _) if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    match parts.join("/") {
        path if path.is_empty() && root.is_empty() => ".".to_owned(),
        path => format!("{root}{path}"),
    }
}

/// `ClusterConfiguration` with flags and defaults.
pub(super) fn cluster(
    problems: &mut Problems,
    mut cluster: ClusterConfiguration,
    flags: &InitFlags,
) -> ClusterConfiguration {
    set(&mut cluster.networking.service_subnet, flags.service_cidr.as_ref(), "10.96.0.0/12");
    set(&mut cluster.networking.pod_subnet, flags.pod_network_cidr.as_ref(), "");
    set(&mut cluster.networking.dns_domain, flags.service_dns_domain.as_ref(), "cluster.local");
    set(&mut cluster.kubernetes_version, flags.kubernetes_version.as_ref(), "");
    set(&mut cluster.control_plane_endpoint, flags.control_plane_endpoint.as_ref(), "");
    set(&mut cluster.certificates_dir, flags.cert_dir.as_ref(), DEFAULT_DIR);
    cluster.certificates_dir = clean(&cluster.certificates_dir);
    set(&mut cluster.image_repository, flags.image_repository.as_ref(), "registry.k8s.io");
    set(&mut cluster.cluster_name, None, "kubernetes");
    // `--apiserver-cert-extra-sans=`, from a script whose variable is empty, names nothing.
    let extra_sans = flags.apiserver_cert_extra_sans.iter().filter(|name| !name.is_empty());
    cluster.api_server.cert_sans.extend(extra_sans.cloned());
    for (component, args) in [
        (&mut cluster.api_server, &flags.apiserver_extra_args),
        (&mut cluster.controller_manager, &flags.controller_manager_extra_args),
        (&mut cluster.scheduler, &flags.scheduler_extra_args),
    ] {
        component.extra_args.extend(args.iter().cloned());
    }
    if let Some(text) = &flags.feature_gates {
        feature_gates(problems, &mut cluster, text);
    }
    if cluster.etcd.external.is_none() && cluster.etcd.local.is_none() {
        cluster.etcd.local = Some(LocalEtcd::default());
    }
    if let Some(local) = &mut cluster.etcd.local {
        set(&mut local.data_dir, None, "/var/lib/etcd");
    }
    cluster.encryption_algorithm.get_or_insert(EncryptionAlgorithm::Rsa2048);
    cluster.certificate_validity_period.get_or_insert(GoDuration::from_secs(8760 * 3600));
    cluster.ca_certificate_validity_period.get_or_insert(GoDuration::from_secs(87600 * 3600));
    let local = cluster.etcd.local.iter_mut().map(|etcd| &mut etcd.extra_envs);
    let components = [&mut cluster.api_server, &mut cluster.controller_manager, &mut cluster.scheduler];
    for envs in components.into_iter().map(|component| &mut component.extra_envs).chain(local) {
        crate::manifest::env::fill_defaults(envs);
    }
    cluster
}

/// The control plane's endpoint with the port of this node, when it has none: a node that joins with another port of its
/// own must not read another endpoint from the cluster.
pub(super) fn endpoint_port(mut cluster: ClusterConfiguration, port: u16) -> ClusterConfiguration {
    let endpoint = &mut cluster.control_plane_endpoint;
    match split_host_port(endpoint) {
        Ok((host, None)) if !endpoint.is_empty() && !endpoint.starts_with('[') => {
            *endpoint =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        }
        // One that is wrong is told where all is checked.
        _ => {}
    }
    cluster
}

fn feature_gates(problems: &mut Problems, cluster: &mut ClusterConfiguration, text: &str) {
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=').map(|(name, value)| (name, value.parse::<bool>())) {
            Some((name, Ok(value))) => {
                cluster.feature_gates.insert(name.to_owned(), value);
            }
            _ => problems.error("--feature-gates", format!("{part:?} is not NAME=true or NAME=false")),
        }
    }
}

/// `InitConfiguration` with flags and defaults.
pub(super) fn init(
    problems: &mut Problems,
    mut init: InitConfiguration,
    cluster: &ClusterConfiguration,
    flags: &InitFlags,
    facts: &HostFacts,
) -> InitConfiguration {
    node(problems, &mut init.node_registration, flags, facts);
    endpoint(problems, &mut init.local_api_endpoint, cluster, flags, facts);
    tokens(problems, &mut init.bootstrap_tokens, flags);
    if let Some(key) = &flags.certificate_key {
        init.certificate_key = Some(key.clone());
    }
    if let Some(directory) = &flags.patches {
        init.patches = Some(Patches { directory: directory.clone() });
    }
    if !flags.skip_phases.is_empty() {
        init.skip_phases.clone_from(&flags.skip_phases);
    }
    init.dry_run |= flags.dry_run;
    init.timeouts = Some(init.timeouts.unwrap_or_default().with_defaults());
    init
}

/// Where a node's API server listens, with flags and defaults.
fn endpoint(
    problems: &mut Problems,
    endpoint: &mut LocalApiEndpoint,
    cluster: &ClusterConfiguration,
    flags: &InitFlags,
    facts: &HostFacts,
) {
    let address = &mut endpoint.advertise_address;
    set(address, flags.apiserver_advertise_address.as_ref(), "");
    if address.is_empty() {
        *address = default_address(problems, cluster, flags, facts);
    }
    if let Some(port) = flags.apiserver_bind_port {
        endpoint.bind_port = port;
    }
    if endpoint.bind_port == 0 {
        endpoint.bind_port = 6443;
    }
}

/// `JoinConfiguration` with defaults.
pub(super) fn join(
    problems: &mut Problems,
    mut join: JoinConfiguration,
    facts: &HostFacts,
) -> JoinConfiguration {
    let flags = InitFlags::default();
    let untainted = join.node_registration.taints.is_none() && join.control_plane.is_none();
    node(problems, &mut join.node_registration, &flags, facts);
    if untainted {
        // The usual taint is that of control planes.
        join.node_registration.taints = None;
    }
    set(&mut join.ca_cert_path, None, &format!("{DEFAULT_DIR}/ca.crt"));
    if let Some(control_plane) = &mut join.control_plane {
        let mut inner = Problems::default();
        let cluster = ClusterConfiguration::default();
        endpoint(&mut inner, &mut control_plane.local_api_endpoint, &cluster, &flags, facts);
        problems.append_below("controlPlane", inner);
    }
    join.timeouts = Some(join.timeouts.unwrap_or_default().with_defaults());
    join
}

/// `ResetConfiguration` with defaults.
pub(in crate::config) fn reset_with_defaults(mut reset: ResetConfiguration) -> ResetConfiguration {
    set(&mut reset.certificates_dir, None, DEFAULT_DIR);
    set(&mut reset.cri_socket, None, DEFAULT_CRI_SOCKET);
    reset.timeouts = Some(reset.timeouts.unwrap_or_default().with_defaults());
    reset
}

/// `UpgradeConfiguration` with defaults.
pub(in crate::config) fn upgrade_with_defaults(mut upgrade: UpgradeConfiguration) -> UpgradeConfiguration {
    let UpgradeConfiguration { apply, node, plan, .. } = &mut upgrade;
    for on in [
        &mut apply.certificate_renewal,
        &mut apply.etcd_upgrade,
        &mut apply.image_pull_serial,
        &mut node.certificate_renewal,
        &mut node.etcd_upgrade,
        &mut node.image_pull_serial,
        &mut plan.etcd_upgrade,
    ] {
        on.get_or_insert(true);
    }
    apply.image_pull_policy.get_or_insert_default();
    node.image_pull_policy.get_or_insert_default();
    let mut timeouts = upgrade.timeouts.unwrap_or_default();
    // Pods that may take longer to become healthy may take longer to be replaced.
    let patience = timeouts.control_plane_component_health_check;
    timeouts.upgrade_manifests =
        timeouts.upgrade_manifests.or_else(|| patience.filter(|it| it.as_std().as_secs() > 300));
    upgrade.timeouts = Some(timeouts.with_defaults());
    upgrade
}

/// The registration of a node with flags and defaults.
pub(super) fn node(
    problems: &mut Problems,
    node: &mut NodeRegistration,
    flags: &InitFlags,
    facts: &HostFacts,
) {
    set(&mut node.name, flags.node_name.as_ref(), &facts.hostname);
    node.name = node.name.trim().to_lowercase();
    set(&mut node.cri_socket, flags.cri_socket.as_ref(), "");
    if node.cri_socket.is_empty() {
        node.cri_socket = match facts.cri_sockets.as_slice() {
            [] => DEFAULT_CRI_SOCKET.to_owned(),
            [socket] if socket.contains("://") => socket.clone(),
            [socket] => format!("unix://{socket}"),
            several => {
                problems.error_hint(
                    "nodeRegistration.criSocket",
                    format!("several container runtimes were found: {}", several.join(", ")),
                    "choose one with this field or --cri-socket",
                );
                several[0].clone()
            }
        };
    } else {
        socket_url(problems, "nodeRegistration.criSocket", &mut node.cri_socket);
    }
    let control_plane =
        || Taint { key: CONTROL_PLANE_TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    node.taints.get_or_insert_with(|| vec![control_plane()]);
    node.image_pull_policy.get_or_insert_default();
    node.image_pull_serial.get_or_insert(true);
    for name in &flags.ignore_preflight_errors {
        if !node.ignore_preflight_errors.contains(name) {
            node.ignore_preflight_errors.push(name.clone());
        }
    }
}

/// Makes a URL of a socket that is given as a path.
pub(super) fn socket_url(problems: &mut Problems, field_path: &str, socket: &mut String) {
    if socket.starts_with('/') {
        let url = format!("unix://{socket}");
        problems.warn(field_path, format!("a path is deprecated here, write {url:?}"));
        *socket = url;
    }
}

/// The host's address of the family that the service subnet needs.
fn default_address(
    problems: &mut Problems,
    cluster: &ClusterConfiguration,
    flags: &InitFlags,
    facts: &HostFacts,
) -> String {
    let ipv6 = match &flags.service_cidr {
        Some(subnet) => subnet.split(',').next().is_some_and(|first| first.contains(':')),
        None => service_addresses(cluster).is_some_and(super::super::cidr::Cidr::is_ipv6),
    };
    let (first, second) = if ipv6 {
        (facts.default_ipv6, facts.default_ipv4)
    } else {
        (facts.default_ipv4, facts.default_ipv6)
    };
    if let Some(address) = first.or(second) {
        return address.to_string();
    }
    problems.error_hint(
        "localAPIEndpoint.advertiseAddress",
        "no default route was found to take this host's address from",
        "set this field or --apiserver-advertise-address",
    );
    String::new()
}

fn tokens(problems: &mut Problems, tokens: &mut Vec<BootstrapToken>, flags: &InitFlags) {
    if tokens.is_empty() {
        tokens.push(BootstrapToken::default());
    }
    if let Some(token) = &flags.token {
        tokens[0].token = Some(token.clone());
    }
    match flags.token_ttl.as_ref().map(|text| text.parse::<GoDuration>()) {
        Some(Ok(ttl)) => tokens[0].ttl = Some(ttl),
        Some(Err(error)) => problems.error("--token-ttl", error.to_string()),
        None => {}
    }
    tokens.iter_mut().for_each(token);
}

/// A token with kubeadm's defaults for what is not given, but for the token itself.
pub(super) fn token(token: &mut BootstrapToken) {
    if token.ttl.is_none() && token.expires.is_none() {
        token.ttl = Some(GoDuration::from_secs(24 * 3600));
    }
    if token.usages.is_empty() {
        token.usages = vec!["signing".to_owned(), "authentication".to_owned()];
    }
    if token.groups.is_empty() && token.usages.iter().any(|usage| usage == "authentication") {
        token.groups = vec![NODE_TOKEN_GROUP.to_owned()];
    }
}
