//! From files and flags to what a node joins with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    HostFacts, Report, defaults,
    input::Flags,
    stored::{self, StoredConfigError},
};
use crate::config::ResolvedInit;
use crate::config::document::Documents;
use crate::config::error::{ConfigError, ConfigErrors, Problems, Warning};
use crate::config::secret::{Secret, exposed};
use crate::config::types::{
    BootstrapTokenDiscovery, ClusterConfiguration, Discovery, FileDiscovery, JoinConfiguration,
    JoinControlPlane, Kind, NodeRegistration, Patches, Timeouts,
};
use crate::config::validate::other_kinds::check_join;
use crate::text::sha256_hex;

/// The flags of `join`, one field each; `None`, empty or false when not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JoinFlags {
    /// The positional argument: `HOST:PORT` of an API server.
    pub endpoint: Option<String>,
    /// `--apiserver-advertise-address`.
    pub apiserver_advertise_address: Option<String>,
    /// `--apiserver-bind-port`.
    pub apiserver_bind_port: Option<u16>,
    /// `--certificate-key`: key of uploaded certificates, as hex.
    pub certificate_key: Option<Secret>,
    /// `--control-plane`.
    pub control_plane: bool,
    /// `--cri-socket`.
    pub cri_socket: Option<String>,
    /// `--discovery-file`: path or https URL of a kubeconfig.
    pub discovery_file: Option<String>,
    /// `--discovery-token`.
    pub discovery_token: Option<Secret>,
    /// `--discovery-token-ca-cert-hash`.
    pub ca_cert_hashes: Vec<String>,
    /// `--discovery-token-unsafe-skip-ca-verification`.
    pub unsafe_skip_ca_verification: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--ignore-preflight-errors`.
    pub ignore_preflight_errors: Vec<String>,
    /// `--node-name`.
    pub node_name: Option<String>,
    /// `--patches`: directory, made absolute by the caller.
    pub patches: Option<String>,
    /// `--skip-phases`.
    pub skip_phases: Vec<String>,
    /// `--tls-bootstrap-token`.
    pub tls_bootstrap_token: Option<Secret>,
    /// `--token`: for discovery and TLS bootstrap, where they have none of their own.
    pub token: Option<Secret>,
}

impl JoinFlags {
    /// The given flags that a configuration file excludes, in kubeadm's order. It takes an endpoint beside a file and
    /// does not use it: here that is an error, too.
    fn excluded_by_config(&self) -> impl Iterator<Item = &'static str> {
        [
            ("API-SERVER-ENDPOINT", self.endpoint.is_some()),
            ("--apiserver-advertise-address", self.apiserver_advertise_address.is_some()),
            ("--apiserver-bind-port", self.apiserver_bind_port.is_some()),
            ("--certificate-key", self.certificate_key.is_some()),
            ("--control-plane", self.control_plane),
            ("--cri-socket", self.cri_socket.is_some()),
            ("--discovery-file", self.discovery_file.is_some()),
            ("--discovery-token", self.discovery_token.is_some()),
            ("--discovery-token-ca-cert-hash", !self.ca_cert_hashes.is_empty()),
            ("--discovery-token-unsafe-skip-ca-verification", self.unsafe_skip_ca_verification),
            ("--patches", self.patches.is_some()),
            ("--tls-bootstrap-token", self.tls_bootstrap_token.is_some()),
            ("--token", self.token.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
    }

    /// Lays the flags over what a file says.
    fn lay_over(&self, join: &mut JoinConfiguration) {
        let discovery = &mut join.discovery;
        let by_token = self.endpoint.is_some()
            || self.discovery_token.is_some()
            || !self.ca_cert_hashes.is_empty()
            || self.unsafe_skip_ca_verification;
        if let Some(file) = &self.discovery_file {
            discovery.file = Some(FileDiscovery { kube_config_path: file.clone() });
        }
        if by_token || (self.token.is_some() && self.discovery_file.is_none()) {
            discovery.bootstrap_token = Some(BootstrapTokenDiscovery {
                token: self.discovery_token.clone().or_else(|| self.token.clone()),
                api_server_endpoint: self.endpoint.clone().unwrap_or_default(),
                ca_cert_hashes: self.ca_cert_hashes.clone(),
                unsafe_skip_ca_verification: self.unsafe_skip_ca_verification,
            });
        }
        if let Some(token) = self.tls_bootstrap_token.as_ref().or(self.token.as_ref()) {
            discovery.tls_bootstrap_token = Some(token.clone());
        }
        if self.control_plane {
            join.control_plane.get_or_insert_default();
        }
        if let Some(control_plane) = &mut join.control_plane {
            let endpoint = &mut control_plane.local_api_endpoint;
            if let Some(address) = &self.apiserver_advertise_address {
                endpoint.advertise_address.clone_from(address);
            }
            endpoint.bind_port = self.apiserver_bind_port.unwrap_or(endpoint.bind_port);
            if let Some(key) = &self.certificate_key {
                control_plane.certificate_key = Some(key.clone());
            }
        }
        let node = &mut join.node_registration;
        if let Some(name) = &self.node_name {
            node.name.clone_from(name);
        }
        if let Some(socket) = &self.cri_socket {
            node.cri_socket.clone_from(socket);
        }
        node.ignore_preflight_errors.extend(self.ignore_preflight_errors.iter().cloned());
        if let Some(directory) = &self.patches {
            join.patches = Some(Patches { directory: directory.clone() });
        }
        if !self.skip_phases.is_empty() {
            join.skip_phases.clone_from(&self.skip_phases);
        }
        join.dry_run |= self.dry_run;
    }
}

impl Flags for JoinFlags {
    fn setting(&self, field_path: &str) -> Option<&'static str> {
        let field = field_path.split('[').next().unwrap_or_default();
        let (flag, given) = match field {
            "controlPlane.localAPIEndpoint.advertiseAddress" => {
                ("--apiserver-advertise-address", self.apiserver_advertise_address.is_some())
            }
            "controlPlane.certificateKey" => ("--certificate-key", self.certificate_key.is_some()),
            "nodeRegistration.criSocket" => ("--cri-socket", self.cri_socket.is_some()),
            "nodeRegistration.name" => ("--node-name", self.node_name.is_some()),
            "nodeRegistration.ignorePreflightErrors" => {
                ("--ignore-preflight-errors", !self.ignore_preflight_errors.is_empty())
            }
            "discovery.file.kubeConfigPath" => ("--discovery-file", self.discovery_file.is_some()),
            "discovery.bootstrapToken.token" if self.discovery_token.is_some() => ("--discovery-token", true),
            "discovery.bootstrapToken.apiServerEndpoint" => {
                ("API-SERVER-ENDPOINT", self.endpoint.is_some() || self.token.is_some())
            }
            "discovery.bootstrapToken.caCertHashes" => {
                ("--discovery-token-ca-cert-hash", self.endpoint.is_some() || !self.ca_cert_hashes.is_empty())
            }
            "discovery.tlsBootstrapToken" if self.tls_bootstrap_token.is_some() => {
                ("--tls-bootstrap-token", true)
            }
            "discovery.bootstrapToken.token" | "discovery.tlsBootstrapToken" => {
                ("--token", self.token.is_some())
            }
            "patches.directory" => ("--patches", self.patches.is_some()),
            _ => return None,
        };
        given.then_some(flag)
    }
}

/// Everything a node needs to know before it asks the cluster, with nothing left to default or to check.
///
/// Serialising it redacts the secrets; see [`exposed`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedJoin {
    /// This node; its `ignorePreflightErrors` has moved to the field of that name here.
    pub node_registration: NodeRegistration,
    /// Where a worker writes the cluster's CA.
    pub ca_cert_path: String,
    /// How the cluster is found and trusted.
    pub discovery: Discovery,
    /// Present when the node becomes a control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<JoinControlPlane>,
    /// Phases that are left out.
    pub skip_phases: Vec<String>,
    /// Directory of patches, absolute.
    pub patches_dir: Option<String>,
    /// How long steps may wait; every field is set.
    pub timeouts: Timeouts,
    /// Preflight checks whose errors become warnings.
    pub ignore_preflight_errors: Vec<String>,
    /// Show the plan only.
    pub dry_run: bool,
    /// This host runs systemd-resolved.
    pub systemd_resolved: bool,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl ResolvedJoin {
    /// Name of this node.
    pub fn node_name(&self) -> &str {
        &self.node_registration.name
    }

    /// SHA-256, as hex, of what the node becomes. A run may only be resumed with the same digest. How this run goes
    /// about it does not count.
    pub fn digest(&self) -> String {
        let mut value = exposed(|| serde_json::to_value(self)).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            for field in ["dryRun", "ignorePreflightErrors", "skipPhases", "timeouts", "warnings"] {
                fields.shift_remove(field);
            }
        }
        crate::yaml::sort_keys(&mut value);
        sha256_hex(value.to_string().as_bytes())
    }
}

/// Merges files and flags, fills defaults and checks everything. Fails with every problem at once.
pub fn resolve_join(
    documents: &Documents,
    flags: &JoinFlags,
    facts: &HostFacts,
) -> Result<ResolvedJoin, ConfigErrors> {
    let mut report = Report::new(documents, flags);
    if documents.given() {
        for flag in flags.excluded_by_config() {
            report.errors.push(
                ConfigError::new(flag, "cannot be used together with --config")
                    .hint("set it in the configuration file"),
            );
        }
        if documents.find(JoinConfiguration::KIND).is_none() {
            let message = format!("no {} was found", JoinConfiguration::KIND);
            report.errors.push(ConfigError::new("--config", message));
        }
    }
    // What does not go together would only give rise to more errors.
    if !report.errors.is_empty() {
        return Err(ConfigErrors(report.errors));
    }
    let mut join: JoinConfiguration = report.decode();
    flags.lay_over(&mut join);
    let mut problems = Problems::default();
    if !flags.control_plane && join.control_plane.is_none() {
        for (flag, given) in [
            ("--certificate-key", flags.certificate_key.is_some()),
            ("--apiserver-advertise-address", flags.apiserver_advertise_address.is_some()),
            ("--apiserver-bind-port", flags.apiserver_bind_port.is_some()),
        ] {
            if given {
                problems.warn(flag, "is of no use without --control-plane: this node becomes a worker");
            }
        }
    }
    let mut join = defaults::join(&mut problems, join, facts);
    check_join(&mut problems, &join);
    let by_token = join.discovery.bootstrap_token.as_ref().and_then(|found| found.token.clone());
    if join.discovery.tls_bootstrap_token.is_none() {
        join.discovery.tls_bootstrap_token = by_token;
    }
    report.add(JoinConfiguration::KIND, problems);
    report.errors.sort_by_key(ConfigError::order);
    report.warnings.sort_by_key(|warning| warning.0.order());
    if !report.errors.is_empty() {
        return Err(ConfigErrors(report.errors));
    }
    let mut node_registration = join.node_registration;
    let ignore_preflight_errors = std::mem::take(&mut node_registration.ignore_preflight_errors);
    Ok(ResolvedJoin {
        node_registration,
        ca_cert_path: join.ca_cert_path,
        discovery: join.discovery,
        control_plane: join.control_plane,
        skip_phases: join.skip_phases,
        patches_dir: join.patches.map(|patches| patches.directory).filter(|directory| !directory.is_empty()),
        timeouts: join.timeouts.unwrap_or_default().with_defaults(),
        ignore_preflight_errors,
        dry_run: join.dry_run,
        systemd_resolved: facts.systemd_resolved,
        warnings: report.warnings,
    })
}

/// The configuration of the node that joins: the cluster's settings, as its ConfigMaps hold them, and the node's own.
///
/// `cluster` is the key `ClusterConfiguration` of ConfigMap `kubeadm-config`, `kubelet` the key `kubelet` of
/// `kubelet-config`, both of namespace `kube-system`.
pub fn joined(join: &ResolvedJoin, cluster: &str, kubelet: &str) -> Result<ResolvedInit, StoredConfigError> {
    let (cluster, version) = stored::cluster(cluster)?;
    let kubelet = stored::kubelet(kubelet)?;
    let control_plane = join.control_plane.clone().unwrap_or_default();
    Ok(ResolvedInit {
        cluster,
        node_registration: join.node_registration.clone(),
        local_api_endpoint: control_plane.local_api_endpoint,
        certificate_key: control_plane.certificate_key,
        skip_phases: join.skip_phases.clone(),
        patches_dir: join.patches_dir.clone(),
        timeouts: join.timeouts.clone(),
        kubelet,
        ignore_preflight_errors: join.ignore_preflight_errors.clone(),
        dry_run: join.dry_run,
        kubernetes_version: version,
        systemd_resolved: join.systemd_resolved,
        ..ResolvedInit::default()
    })
}

#[cfg(test)]
#[path = "tests/join.rs"]
mod tests;

/// Fields of a ClusterConfiguration that a node cannot have otherwise than its cluster.
const OF_THE_CLUSTER: [&str; 5] = [
    "/networking/serviceSubnet",
    "/networking/podSubnet",
    "/networking/dnsDomain",
    "/controlPlaneEndpoint",
    "/kubernetesVersion",
];

/// What the files of a node that joins say of its cluster, and the cluster itself says otherwise; in words. `cluster` as in
/// [`joined`].
pub fn contradictions(documents: &Documents, cluster: &str) -> Vec<String> {
    let Some(document) = documents.find(ClusterConfiguration::KIND) else { return vec![] };
    let (said, cluster) = (document.to_value(), crate::yaml::from_str::<Value>(cluster).unwrap_or_default());
    let differs = |field: &&str| {
        let said = said.pointer(field)?.as_str().filter(|said| !said.is_empty())?;
        let known = cluster.pointer(field)?.as_str().filter(|known| *known != said)?;
        let field = field.trim_start_matches('/').replace('/', ".");
        Some(format!(
            "{}: {field} is {said:?} here and {known:?} in the cluster that this node joins, which counts",
            document.file
        ))
    };
    OF_THE_CLUSTER.iter().filter_map(differs).collect()
}
