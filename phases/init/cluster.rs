//! What every phase of `init` knows: the configuration, and where things are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rkadm_core::{
    config::{GoDuration, ResolvedInit, types::Arg},
    engine::{PhaseError, Step, content::CaFiles, wait::Condition, workflow::selects},
    host::{ApiAccess, HealthTarget, HostError, Probe, Trust},
    kubeconfig::list::KUBELET_CLIENT_CURRENT,
    kubelet::{health_port, health_url},
    manifest::{Component, api_server_url, args, env},
    pki::{
        KeyAlgorithm,
        list::{self, CertInputs},
    },
    text::bracketed,
    version::{MinorRow, NEWEST},
};
use serde::{Deserialize, Serialize};

use crate::static_pods;

/// kubeadm's directory for everything that is not the kubelet's own.
pub const KUBERNETES_DIR: &str = "/etc/kubernetes";
/// Where the kubelet keeps its state and reads its configuration.
pub const KUBELET_DIR: &str = "/var/lib/kubelet";
/// Modes as kubeadm sets them.
pub const PRIVATE: u32 = 0o600;
pub const PUBLIC: u32 = 0o644;
pub const PRIVATE_DIR: u32 = 0o700;
pub const PUBLIC_DIR: u32 = 0o755;

/// What the process that runs the command hands on to what it makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Proxy variables, handed on to control-plane pods.
    pub proxies: Vec<(String, String)>,
    /// The whole workflow is run, not a single phase of it.
    pub whole: bool,
    /// The node joins a cluster that is there.
    #[serde(default)]
    pub joins: bool,
    /// `--kubeconfig` of a single phase: how the API server is reached, in place of this node's administrator.
    pub kubeconfig: Option<PathBuf>,
    /// `--kubeconfig-dir` of a single phase: where kubeconfig files are written, in place of [`KUBERNETES_DIR`].
    pub kubeconfig_dir: Option<PathBuf>,
}

/// The cluster to be made, as its configuration describes it.
#[derive(Debug)]
pub struct Cluster {
    /// The resolved configuration.
    pub config: Arc<ResolvedInit>,
    environment: Environment,
}

impl Cluster {
    pub fn new(config: Arc<ResolvedInit>, environment: Environment) -> Self {
        Self { config, environment }
    }

    /// A file of the certificate directory.
    pub fn cert_file(&self, name: &str) -> PathBuf {
        PathBuf::from(self.config.cert_dir()).join(name)
    }

    /// The files of a certificate authority, by its base name: `ca`, `etcd/ca`, `front-proxy-ca`.
    pub fn ca_files(&self, base_name: &str) -> CaFiles {
        CaFiles {
            cert: self.cert_file(&format!("{base_name}.crt")),
            key: self.cert_file(&format!("{base_name}.key")),
        }
    }

    /// A kubeconfig file, for example `admin.conf`.
    pub fn kubeconfig(name: &str) -> PathBuf {
        PathBuf::from(KUBERNETES_DIR).join(name)
    }

    /// A kubeconfig file where the operator wants it to be made.
    pub fn new_kubeconfig(&self, name: &str) -> PathBuf {
        self.kubeconfig_dir().join(name)
    }

    /// Where kubeconfig files are made.
    pub fn kubeconfig_dir(&self) -> &Path {
        self.environment.kubeconfig_dir.as_deref().unwrap_or(Path::new(KUBERNETES_DIR))
    }

    /// The directory of static pods.
    pub fn manifests() -> PathBuf {
        Path::new(KUBERNETES_DIR).join("manifests")
    }

    /// The manifest of a static pod.
    pub fn manifest(file_name: &str) -> PathBuf {
        Self::manifests().join(file_name)
    }

    /// An administrator, at this node's own API server: other addresses may not lead here yet.
    ///
    /// That of super-admin.conf where this node has it: its rights do not wait for the RBAC objects that a new API
    /// server makes in its first seconds.
    pub async fn admin(&self, host: &dyn Probe) -> Result<ApiAccess, HostError> {
        if let Some(kubeconfig) = self.environment.kubeconfig.clone() {
            return Ok(ApiAccess { kubeconfig, server: None });
        }
        let super_admin = Self::kubeconfig("super-admin.conf");
        // On a node that lives, only admin.conf is sure to be renewed.
        let kubeconfig = match host.stat(&super_admin).await? {
            Some(_) if self.environment.whole => super_admin,
            _ => Self::kubeconfig("admin.conf"),
        };
        let mut server = self.config.local_api_url();
        // A phase that is run alone is seldom given the configuration, and no ConfigMap tells the port: the API server that
        // runs here knows better.
        if self.is_single_phase()
            && let Ok(Some(pod)) = static_pods::read(host, Component::ApiServer).await
        {
            server = api_server_url(&pod).unwrap_or(server);
        }
        Ok(ApiAccess { kubeconfig, server: Some(server) })
    }

    /// Waits for what the kubelet brings about, as long as a component of the control plane may take.
    pub fn wait_by_kubelet(&self, condition: Condition) -> Step {
        self.wait_within(
            condition,
            self.health_timeout().as_std(),
            "timeouts.controlPlaneComponentHealthCheck",
        )
    }

    /// Waits for the kubelet itself.
    pub fn wait_for_kubelet(&self, condition: Condition) -> Step {
        self.wait_within(condition, self.kubelet_timeout().as_std(), "timeouts.kubeletHealthCheck")
    }

    /// Waits for what the kubelet brings about, as long as a setting says.
    pub fn wait_within(&self, condition: Condition, timeout: Duration, setting: &'static str) -> Step {
        let socket = self.config.node_registration.cri_socket.clone();
        let condition = Condition::ByKubelet { socket, condition: Box::new(condition) };
        Step::Wait { condition, timeout, setting: Some(setting) }
    }

    /// How long the kubelet may take to get its certificate.
    pub fn tls_bootstrap(&self) -> Duration {
        self.config.timeouts.tls_bootstrap.map_or(Duration::from_mins(5), GoDuration::as_std)
    }

    /// Where the kubelet keeps its client certificate, and the key with it.
    pub fn kubelet_client_current(&self) -> PathBuf {
        let flags = &self.config.node_registration.kubelet_extra_args;
        args::value(flags, "cert-dir").map_or_else(
            || KUBELET_CLIENT_CURRENT.into(),
            |dir| Path::new(dir).join("kubelet-client-current.pem"),
        )
    }

    /// Whether the last phase waits for what `wait-control-plane` need not wait for.
    pub fn waits_at_the_end(&self) -> bool {
        let skipped = &self.config.skip_phases;
        self.environment.whole
            && !self.environment.joins
            && !skipped.iter().any(|name| selects(name, super::show_join_command::ID))
    }

    /// Everything that a healthy control-plane node answers.
    pub fn all_healthy(&self, admin: ApiAccess) -> Condition {
        let cluster = &self.config.cluster;
        let component = |name: &str, extra: &[Arg], port: &str, path: &str| {
            let host = args::value(extra, "bind-address").unwrap_or("127.0.0.1");
            let host = if host == "0.0.0.0" || host == "::" { "127.0.0.1" } else { host };
            let port = args::value(extra, "secure-port").unwrap_or(port);
            healthy(name, format!("https://{}:{port}{path}", bracketed(host)), Trust::Insecure)
        };
        Condition::All(vec![
            self.kubelet_healthy(),
            Condition::ApiHealthy { access: admin, path: "/livez".into() },
            component("kube-controller-manager", &cluster.controller_manager.extra_args, "10257", "/healthz"),
            component("kube-scheduler", &cluster.scheduler.extra_args, "10259", "/livez"),
        ])
    }

    /// etcd answers, where its metrics are served in the clear on loopback.
    pub fn etcd_healthy(&self) -> Option<Condition> {
        let local = self.config.cluster.etcd.local.as_ref()?;
        // Elsewhere they may ask for a client certificate; the API server's health covers etcd then.
        if args::value(&local.extra_args, "listen-metrics-urls").is_some() {
            return None;
        }
        Some(healthy("etcd", format!("http://{}:2381/readyz", self.config.loopback()), Trust::Plain))
    }

    /// The data directory of this node's etcd, `None` with an external etcd.
    pub fn etcd_data_dir(&self) -> Option<PathBuf> {
        self.config.cluster.etcd.local.as_ref().map(|etcd| PathBuf::from(&etcd.data_dir))
    }

    /// Whether the node joins a cluster that is there.
    pub fn joins(&self) -> bool {
        self.environment.joins
    }

    /// The directory whose removal takes all objects of the cluster with it: where the cluster is made here, etcd's.
    pub fn dies_with(&self) -> Option<PathBuf> {
        if self.joins() { None } else { self.etcd_data_dir() }
    }

    /// The algorithm of new keys.
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        self.config.key_algorithm()
    }

    /// What certificates are made from.
    ///
    /// # Errors
    /// An advertise address or service subnet that is none; validation refuses such configurations.
    pub fn cert_inputs(&self) -> Result<CertInputs, PhaseError> {
        let cluster = &self.config.cluster;
        let wrong =
            |what: &str| PhaseError::Config { message: format!("{what} is not usable in certificates") };
        let address = &self.config.local_api_endpoint.advertise_address;
        let local = cluster.etcd.local.clone().unwrap_or_default();
        let validity =
            |given: Option<GoDuration>, default: Duration| given.map_or(default, GoDuration::as_std);
        let endpoint = self.config.control_plane_endpoint();
        let host = split_url_host(&endpoint).filter(|_| !cluster.control_plane_endpoint.is_empty());
        Ok(CertInputs {
            node_name: self.config.node_name().to_owned(),
            advertise_address: address.parse().map_err(|_| wrong("the advertise address"))?,
            dns_domain: cluster.networking.dns_domain.clone(),
            service_ip: self.config.api_service_ip().ok_or_else(|| wrong("the service subnet"))?,
            control_plane_host: host.map(str::to_owned),
            api_server_sans: cluster.api_server.cert_sans.clone(),
            etcd_server_sans: local.server_cert_sans,
            etcd_peer_sans: local.peer_cert_sans,
            version: self.config.kubernetes_version.semver().clone(),
            leaf_validity: validity(cluster.certificate_validity_period, list::LEAF_VALIDITY),
            ca_validity: validity(cluster.ca_certificate_validity_period, list::CA_VALIDITY),
        })
    }

    /// What is particular to the cluster's Kubernetes minor.
    pub fn row(&self) -> &'static MinorRow {
        self.config.kubernetes_version.row().unwrap_or(NEWEST)
    }

    /// How long a control-plane component may take to become healthy.
    pub fn health_timeout(&self) -> GoDuration {
        self.config.timeouts.control_plane_component_health_check.unwrap_or(GoDuration::from_secs(240))
    }

    /// How long an upgrade may take to replace static pods.
    pub fn upgrade_timeout(&self) -> GoDuration {
        self.config.timeouts.upgrade_manifests.unwrap_or(GoDuration::from_secs(300))
    }

    /// How long the kubelet may take to become healthy.
    pub fn kubelet_timeout(&self) -> GoDuration {
        self.config.timeouts.kubelet_health_check.unwrap_or(GoDuration::from_secs(240))
    }

    /// The kubelet answers on its health port.
    pub fn kubelet_healthy(&self) -> Condition {
        // 0 turns it off, and nobody can ask.
        if health_port(&self.config.kubelet) == 0 {
            return Condition::All(vec![]);
        }
        healthy("kubelet", health_url(&self.config.kubelet), Trust::Plain)
    }

    /// Proxy variables of the process that runs the command.
    pub fn proxies(&self) -> &[(String, String)] {
        &self.environment.proxies
    }

    /// Whether a single phase is run.
    pub fn is_single_phase(&self) -> bool {
        !self.environment.whole
    }

    /// Proxy variables for control-plane pods.
    pub fn proxy_env(&self) -> Vec<rkadm_core::config::types::EnvVar> {
        env::proxies(self.environment.proxies.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Those of the candidate directories that exist on the host.
    pub async fn existing_dirs(host: &dyn Probe, candidates: &[&str]) -> Result<Vec<String>, HostError> {
        let mut existing = vec![];
        for dir in candidates {
            if host.stat(dir.as_ref()).await?.is_some() {
                existing.push((*dir).to_owned());
            }
        }
        Ok(existing)
    }
}

/// The host of `https://host:port`, without brackets.
fn split_url_host(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://")?;
    let (host, _) = authority.rsplit_once(':')?;
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

fn healthy(what: &str, url: String, trust: Trust) -> Condition {
    Condition::Healthy { what: what.into(), target: HealthTarget { url, trust } }
}
