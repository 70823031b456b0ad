//! Flags of `rkadm join`: kubeadm's names, and a few of our own.

use std::path::PathBuf;

use clap::Args;
use rkadm_core::config::{JoinFlags, Secret};

use crate::cli::args::{FailurePolicy, absolute};

/// Flags of `join` and of each of its phases.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// Address of an API server, HOST:PORT; not with --config or --discovery-file
    #[arg(value_name = "API-SERVER-ENDPOINT")]
    pub endpoint: Option<String>,
    /// Configuration file (kubeadm.k8s.io/v1beta4, kind JoinConfiguration); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// The IP address that this control plane's API server will advertise; the default interface's when not set
    #[arg(long, value_name = "IP")]
    pub apiserver_advertise_address: Option<String>,
    /// Port for this control plane's API server to bind to [default: 6443]
    #[arg(long, value_name = "PORT")]
    pub apiserver_bind_port: Option<u16>,
    /// Key that decrypts the uploaded certificates: 32 bytes as hex
    #[arg(long, value_name = "KEY")]
    pub certificate_key: Option<String>,
    /// Make this node a control plane
    #[arg(long)]
    pub control_plane: bool,
    /// Socket of the container runtime; found by itself when there is one
    #[arg(long, value_name = "URL")]
    pub cri_socket: Option<String>,
    /// Kubeconfig (file or https URL) to find and trust the cluster by
    #[arg(long, value_name = "FILE")]
    pub discovery_file: Option<String>,
    /// Token that the cluster's public information is checked with
    #[arg(long, value_name = "TOKEN")]
    pub discovery_token: Option<String>,
    /// Hash of the public key of the cluster's authority, sha256:HEX; may be given several times
    #[arg(long, value_name = "HASH,…", value_delimiter = ',')]
    pub discovery_token_ca_cert_hash: Vec<String>,
    /// Trust whatever authority the token's holder signed, without a hash
    #[arg(long)]
    pub discovery_token_unsafe_skip_ca_verification: bool,
    /// Print the plan; change nothing, generate nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Preflight checks whose errors become warnings; `all` for every one
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,
    /// Node name [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Directory with patches `target[suffix][+patchtype].extension`
    #[arg(long, value_name = "DIR")]
    pub patches: Option<String>,
    /// Remove the member of etcd of a machine that is gone for good: the one with this node's name or address, or the one named
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub replace_member: Option<String>,
    /// Phases to leave out
    #[arg(long, value_name = "PHASE,…", value_delimiter = ',')]
    pub skip_phases: Vec<String>,
    /// Token that the kubelet gets its first certificate with
    #[arg(long, value_name = "TOKEN")]
    pub tls_bootstrap_token: Option<String>,
    /// Token for both, --discovery-token and --tls-bootstrap-token
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// What to do when a phase fails
    #[arg(long, value_enum, default_value_t)]
    pub on_failure: FailurePolicy,
}

impl JoinArgs {
    /// The other machine whose member goes.
    pub fn replaced(&self) -> Option<String> {
        self.replace_member.clone().filter(|name| !name.is_empty())
    }

    /// As the configuration takes them.
    pub fn flags(&self) -> JoinFlags {
        let secret = |typed: &Option<String>| typed.as_deref().map(Secret::from);
        let absolute = |typed: &String| absolute(typed).display().to_string();
        JoinFlags {
            endpoint: self.endpoint.clone(),
            apiserver_advertise_address: self.apiserver_advertise_address.clone(),
            apiserver_bind_port: self.apiserver_bind_port,
            certificate_key: secret(&self.certificate_key),
            control_plane: self.control_plane,
            cri_socket: self.cri_socket.clone(),
            discovery_file: self
                .discovery_file
                .as_ref()
                .map(|typed| if typed.contains("://") { typed.clone() } else { absolute(typed) }),
            discovery_token: secret(&self.discovery_token),
            ca_cert_hashes: self.discovery_token_ca_cert_hash.clone(),
            unsafe_skip_ca_verification: self.discovery_token_unsafe_skip_ca_verification,
            dry_run: self.dry_run,
            ignore_preflight_errors: self.ignore_preflight_errors.clone(),
            node_name: self.node_name.clone(),
            patches: self.patches.as_ref().map(absolute),
            skip_phases: self.skip_phases.clone(),
            tls_bootstrap_token: secret(&self.tls_bootstrap_token),
            token: secret(&self.token),
        }
    }
}
