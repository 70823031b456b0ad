//! What the caller knows besides the configuration files: flags and facts of this host.

use crate::config::Secret;
use crate::config::types::Arg;
use crate::version::KubeVersion;
use std::net::IpAddr;

/// The flags of `init`, one field each; `None`, empty or false when not given.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "one field for each flag")]
pub struct InitFlags {
    /// `--apiserver-advertise-address`: IP address that the API server advertises.
    pub apiserver_advertise_address: Option<String>,
    /// `--apiserver-bind-port`: TCP port of the API server.
    pub apiserver_bind_port: Option<u16>,
    /// `--apiserver-cert-extra-sans`: extra names of the serving certificate.
    pub apiserver_cert_extra_sans: Vec<String>,
    /// `--apiserver-extra-args`, of a single phase.
    pub apiserver_extra_args: Vec<Arg>,
    /// `--controller-manager-extra-args`, of a single phase.
    pub controller_manager_extra_args: Vec<Arg>,
    /// `--scheduler-extra-args`, of a single phase.
    pub scheduler_extra_args: Vec<Arg>,
    /// `--cert-dir`: directory of certificates.
    pub cert_dir: Option<String>,
    /// `--certificate-key`: key of uploaded certificates, as hex.
    pub certificate_key: Option<Secret>,
    /// `--control-plane-endpoint`: stable address of the control plane.
    pub control_plane_endpoint: Option<String>,
    /// `--cri-socket`: socket of the container runtime.
    pub cri_socket: Option<String>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--feature-gates`: `Name=true,Other=false`.
    pub feature_gates: Option<String>,
    /// `--ignore-preflight-errors`.
    pub ignore_preflight_errors: Vec<String>,
    /// `--image-repository`: registry of all images.
    pub image_repository: Option<String>,
    /// `--kubernetes-version`: a version or a label of the stable channel.
    pub kubernetes_version: Option<String>,
    /// `--node-name`.
    pub node_name: Option<String>,
    /// `--patches`: directory, made absolute by the caller.
    pub patches: Option<String>,
    /// `--pod-network-cidr`.
    pub pod_network_cidr: Option<String>,
    /// `--service-cidr`.
    pub service_cidr: Option<String>,
    /// `--service-dns-domain`.
    pub service_dns_domain: Option<String>,
    /// `--skip-certificate-key-print`.
    pub skip_certificate_key_print: bool,
    /// `--skip-phases`.
    pub skip_phases: Vec<String>,
    /// `--skip-token-print`.
    pub skip_token_print: bool,
    /// `--token`: the bootstrap token.
    pub token: Option<Secret>,
    /// `--token-ttl`: a Go duration, 0 is forever.
    pub token_ttl: Option<String>,
    /// `--upload-certs`.
    pub upload_certs: bool,
}

/// The flags of a command that sets what a configuration file can set, too.
pub(super) trait Flags {
    /// The flag that gave the value of a field, if one did.
    fn setting(&self, field_path: &str) -> Option<&'static str>;
}

impl Flags for InitFlags {
    fn setting(&self, field_path: &str) -> Option<&'static str> {
        let field = field_path.split('[').next().unwrap_or_default();
        let part = field_path.rsplit('.').next();
        let (flag, given) = match field {
            "localAPIEndpoint.advertiseAddress" => {
                ("--apiserver-advertise-address", self.apiserver_advertise_address.is_some())
            }
            "apiServer.certSANs" => {
                ("--apiserver-cert-extra-sans", !self.apiserver_cert_extra_sans.is_empty())
            }
            "certificatesDir" => ("--cert-dir", self.cert_dir.is_some()),
            "certificateKey" => ("--certificate-key", self.certificate_key.is_some()),
            "controlPlaneEndpoint" => ("--control-plane-endpoint", self.control_plane_endpoint.is_some()),
            "nodeRegistration.criSocket" => ("--cri-socket", self.cri_socket.is_some()),
            "nodeRegistration.name" => ("--node-name", self.node_name.is_some()),
            "nodeRegistration.ignorePreflightErrors" => {
                ("--ignore-preflight-errors", !self.ignore_preflight_errors.is_empty())
            }
            "imageRepository" => ("--image-repository", self.image_repository.is_some()),
            "kubernetesVersion" => ("--kubernetes-version", self.kubernetes_version.is_some()),
            "patches.directory" => ("--patches", self.patches.is_some()),
            "networking.podSubnet" => ("--pod-network-cidr", self.pod_network_cidr.is_some()),
            "networking.serviceSubnet" => ("--service-cidr", self.service_cidr.is_some()),
            "networking.dnsDomain" => ("--service-dns-domain", self.service_dns_domain.is_some()),
            "bootstrapTokens" if part == Some("token") => ("--token", self.token.is_some()),
            "bootstrapTokens" if part == Some("ttl") => ("--token-ttl", self.token_ttl.is_some()),
            _ if field.starts_with("featureGates.") => ("--feature-gates", self.feature_gates.is_some()),
            _ => return None,
        };
        given.then_some(flag)
    }
}

impl InitFlags {
    /// The given flags that a configuration file excludes, in the order of kubeadm's message.
    pub(super) fn excluded_by_config(&self) -> Vec<&'static str> {
        [
            ("--apiserver-advertise-address", self.apiserver_advertise_address.is_some()),
            ("--apiserver-bind-port", self.apiserver_bind_port.is_some()),
            ("--apiserver-cert-extra-sans", !self.apiserver_cert_extra_sans.is_empty()),
            ("--apiserver-extra-args", !self.apiserver_extra_args.is_empty()),
            ("--cert-dir", self.cert_dir.is_some()),
            ("--certificate-key", self.certificate_key.is_some()),
            ("--control-plane-endpoint", self.control_plane_endpoint.is_some()),
            ("--controller-manager-extra-args", !self.controller_manager_extra_args.is_empty()),
            ("--cri-socket", self.cri_socket.is_some()),
            ("--feature-gates", self.feature_gates.is_some()),
            ("--image-repository", self.image_repository.is_some()),
            ("--kubernetes-version", self.kubernetes_version.is_some()),
            ("--patches", self.patches.is_some()),
            ("--pod-network-cidr", self.pod_network_cidr.is_some()),
            ("--scheduler-extra-args", !self.scheduler_extra_args.is_empty()),
            ("--service-cidr", self.service_cidr.is_some()),
            ("--service-dns-domain", self.service_dns_domain.is_some()),
            ("--token", self.token.is_some()),
            ("--token-ttl", self.token_ttl.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}

/// What was found on this host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostFacts {
    /// The host name as the kernel has it.
    pub hostname: String,
    /// IPv4 address of the default route's interface.
    pub default_ipv4: Option<IpAddr>,
    /// IPv6 address of the default route's interface.
    pub default_ipv6: Option<IpAddr>,
    /// Sockets of the container runtimes that exist, as URLs or paths.
    pub cri_sockets: Vec<String>,
    /// Version of the installed kubelet.
    pub kubelet_version: Option<KubeVersion>,
    /// systemd-resolved is active, so Pods must not inherit its stub resolver.
    pub systemd_resolved: bool,
}
