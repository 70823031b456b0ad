//! Flags of `rkadm init`: kubeadm's names, and a few of our own.

use std::path::PathBuf;

use crate::cli::args::{FailurePolicy, absolute};
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use rkadm_core::config::{InitFlags, Secret, types::Arg as ExtraArg};

/// Flags of `init` and of each of its phases.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct InitArgs {
    /// Configuration file (kubeadm.k8s.io/v1beta4); may be given several times, `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// The IP address the API Server will advertise it's listening on; the default interface's when not set
    #[arg(long, value_name = "IP")]
    pub apiserver_advertise_address: Option<String>,
    /// Port for the API Server to bind to [default: 6443]
    #[arg(long, value_name = "PORT")]
    pub apiserver_bind_port: Option<u16>,
    /// Extra names and IP addresses of the API server's serving certificate
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub apiserver_cert_extra_sans: Vec<String>,
    /// Directory of the certificates [default: /etc/kubernetes/pki]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<String>,
    /// Key that encrypts the uploaded certificates: 32 bytes as hex
    #[arg(long, value_name = "KEY")]
    pub certificate_key: Option<String>,
    /// Stable IP address or DNS name for the control plane
    #[arg(long, value_name = "HOST[:PORT]")]
    pub control_plane_endpoint: Option<String>,
    /// Socket of the container runtime; found by itself when there is one
    #[arg(long, value_name = "URL")]
    pub cri_socket: Option<String>,
    /// Print the plan; change nothing, generate nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Feature gates, `Name=true,…`
    #[arg(long, value_name = "GATES")]
    pub feature_gates: Option<String>,
    /// Preflight checks whose errors become warnings; `all` for every one
    #[arg(long, value_name = "CHECK,…", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,
    /// Container registry to pull control plane images from [default: registry.k8s.io]
    #[arg(long, value_name = "REGISTRY")]
    pub image_repository: Option<String>,
    /// Kubernetes version of the control plane; the newest known that fits the kubelet when not set
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<String>,
    /// Node name [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Directory with patches `target[suffix][+patchtype].extension`
    #[arg(long, value_name = "DIR")]
    pub patches: Option<String>,
    /// Range of IP addresses for the pod network
    #[arg(long, value_name = "CIDR")]
    pub pod_network_cidr: Option<String>,
    /// Range of IP addresses for Services [default: 10.96.0.0/12]
    #[arg(long, value_name = "CIDR")]
    pub service_cidr: Option<String>,
    /// DNS domain of Services [default: cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    pub service_dns_domain: Option<String>,
    /// Do not print the key that decrypts the uploaded certificates
    #[arg(long)]
    pub skip_certificate_key_print: bool,
    /// Phases to leave out
    #[arg(long, value_name = "PHASE,…", value_delimiter = ',')]
    pub skip_phases: Vec<String>,
    /// Do not print the bootstrap token
    #[arg(long)]
    pub skip_token_print: bool,
    /// The bootstrap token; generated when not set
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Time to live of the bootstrap token, 0 for ever [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub token_ttl: Option<String>,
    /// Upload the control-plane certificates, encrypted, for control planes that join
    #[arg(long)]
    pub upload_certs: bool,
    /// What to do when a phase fails
    #[arg(long, value_enum, default_value_t)]
    pub on_failure: FailurePolicy,
}

/// The phases that talk to the API server, with `--kubeconfig` as kubeadm's have it.
const WITH_KUBECONFIG: [&str; 6] =
    ["upload-config", "upload-certs", "mark-control-plane", "bootstrap-token", "addon", "kubelet-finalize"];

/// Flags for components, which kubeadm takes and does not show.
const EXTRA_ARGS: [&str; 3] =
    ["apiserver-extra-args", "controller-manager-extra-args", "scheduler-extra-args"];

fn extra_args(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("NAME=VALUE,…")
        .action(ArgAction::Append)
        .value_parser(pairs)
        .hide(true)
        .help("More flags for the component; `extraArgs` of a configuration file says the same")
}

/// `NAME=VALUE,…`. One pair alone may have commas in its value.
fn pairs(typed: &str) -> Result<Vec<ExtraArg>, String> {
    let parts: Vec<_> =
        if typed.matches('=').count() == 1 { vec![typed] } else { typed.split(',').collect() };
    parts
        .into_iter()
        .map(|part| match part.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(ExtraArg::new(name, value)),
            _ => Err(format!("{part:?} is not NAME=VALUE")),
        })
        .collect()
}

/// The flags of a phase, or group of phases, that `init` itself has not.
pub fn of_phase(id: &str, command: Command) -> Command {
    let command = InitArgs::augment_args(command);
    let group = id.split('/').next().unwrap_or(id);
    let path = |name: &'static str, value: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(clap::value_parser!(PathBuf))
    };
    if group == "kubeconfig" {
        let help = "Directory of the kubeconfig files [default: /etc/kubernetes]";
        return command.arg(path("kubeconfig-dir", "DIR").help(help));
    }
    if group == "control-plane" {
        return EXTRA_ARGS.into_iter().fold(command, |command, name| command.arg(extra_args(name)));
    }
    if !WITH_KUBECONFIG.contains(&group) {
        return command;
    }
    let help = "Kubeconfig to reach the API server with [default: /etc/kubernetes/admin.conf, at this node's own server]";
    let command = command.arg(path("kubeconfig", "FILE").help(help));
    if id == "addon/coredns" || id == "addon/kube-proxy" {
        let help = "Print the addon's objects; apply nothing, ask no cluster";
        return command
            .arg(Arg::new("print-manifest").long("print-manifest").action(ArgAction::SetTrue).help(help));
    }
    command
}

/// What was typed of these flags.
#[derive(Debug, Default)]
pub struct PhaseFlags {
    /// `--kubeconfig`, absolute.
    pub kubeconfig: Option<PathBuf>,
    /// `--kubeconfig-dir`, absolute.
    pub kubeconfig_dir: Option<PathBuf>,
    /// `--print-manifest`.
    pub print_manifest: bool,
    /// Those of [`EXTRA_ARGS`].
    pub extra_args: [Vec<ExtraArg>; 3],
}

impl PhaseFlags {
    /// Reads them; a phase that has not got a flag was not given it.
    pub fn of(matches: &ArgMatches) -> Self {
        let path = |name| {
            let typed: Option<&PathBuf> = matches.try_get_one(name).ok().flatten();
            typed.map(absolute)
        };
        let print = matches.try_get_one("print-manifest").ok().flatten();
        let extra_args = EXTRA_ARGS.map(|name| {
            let typed = matches.try_get_many::<Vec<ExtraArg>>(name).ok().flatten();
            typed.into_iter().flatten().flatten().cloned().collect()
        });
        Self {
            extra_args,
            kubeconfig: path("kubeconfig"),
            kubeconfig_dir: path("kubeconfig-dir"),
            print_manifest: print.copied().unwrap_or(false),
        }
    }
}

impl InitArgs {
    /// As the configuration takes them, with those of a single phase.
    pub fn flags(&self, phase: &PhaseFlags) -> InitFlags {
        let [apiserver_extra_args, controller_manager_extra_args, scheduler_extra_args] =
            phase.extra_args.clone();
        InitFlags {
            apiserver_extra_args,
            controller_manager_extra_args,
            scheduler_extra_args,
            apiserver_advertise_address: self.apiserver_advertise_address.clone(),
            apiserver_bind_port: self.apiserver_bind_port,
            apiserver_cert_extra_sans: self.apiserver_cert_extra_sans.clone(),
            cert_dir: self.cert_dir.clone(),
            certificate_key: self.certificate_key.as_deref().map(Secret::from),
            control_plane_endpoint: self.control_plane_endpoint.clone(),
            cri_socket: self.cri_socket.clone(),
            dry_run: self.dry_run,
            feature_gates: self.feature_gates.clone(),
            ignore_preflight_errors: self.ignore_preflight_errors.clone(),
            image_repository: self.image_repository.clone(),
            kubernetes_version: self.kubernetes_version.clone(),
            node_name: self.node_name.clone(),
            patches: self.patches.as_ref().map(|path| absolute(path).display().to_string()),
            pod_network_cidr: self.pod_network_cidr.clone(),
            service_cidr: self.service_cidr.clone(),
            service_dns_domain: self.service_dns_domain.clone(),
            skip_certificate_key_print: self.skip_certificate_key_print,
            skip_phases: self.skip_phases.clone(),
            skip_token_print: self.skip_token_print,
            token: self.token.as_deref().map(Secret::from),
            token_ttl: self.token_ttl.clone(),
            upload_certs: self.upload_certs,
        }
    }
}
