//! kubeadm's certificates as data: which there are, who signs them and what they say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use semver::Version;

use super::{CertSpec, CertUsage, Sans};

/// Default directory of the certificates (`certificatesDir`).
pub const DEFAULT_DIR: &str = "/etc/kubernetes/pki";
/// Default validity of certificates that are not CAs: one year (`certificateValidityPeriod`).
pub const LEAF_VALIDITY: Duration = Duration::from_hours(8760);
/// Default validity of CAs: ten years (`caCertificateValidityPeriod`).
pub const CA_VALIDITY: Duration = Duration::from_hours(87600);
/// Mode of certificate files, as kubeadm sets it.
pub const CERT_MODE: u32 = 0o644;
/// Mode of private key files, and of `sa.pub`, which kubeadm writes with the mode of a key.
pub const KEY_MODE: u32 = 0o600;

/// One certificate of a control plane, with its key.
#[derive(Debug, PartialEq, Eq)]
pub struct CertEntry {
    /// Last segment of the phase id, and the name `certs renew` takes.
    pub id: &'static str,
    /// File name without extension, relative to the certificate directory.
    pub base_name: &'static str,
    /// The CA that signs it; none for a CA.
    pub ca: Option<&'static CertEntry>,
    /// Subject CN.
    pub common_name: CommonName,
    /// Subject O.
    pub organizations: Organizations,
    /// Names it is valid for.
    pub sans: SanRule,
    /// What it is for, technically.
    pub usage: CertUsage,
    /// What it is for, in words that complete "the certificate …" or "the certificate authority …".
    pub purpose: &'static str,
}

/// How a subject's CN is found.
#[derive(Debug, PartialEq, Eq)]
pub enum CommonName {
    /// Always the same.
    Fixed(&'static str),
    /// The name of the node, for etcd members.
    Node,
}

/// How a subject's O is found.
#[derive(Debug, PartialEq, Eq)]
pub enum Organizations {
    /// None.
    None,
    /// One group, until patch releases of several minors dropped it.
    UntilDropped {
        /// The group of older versions.
        group: &'static str,
        /// Minor and first patch without the group; newer minors have none, older ones always have it.
        dropped_in: &'static [(u64, u64)],
    },
}

/// How alternative names are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanRule {
    /// None: client certificates.
    None,
    /// The CN as a DNS name: CAs.
    CommonName,
    /// All the names of the API server.
    ApiServer,
    /// The names of an etcd member, with `etcd.local.serverCertSANs`.
    EtcdServer,
    /// The names of an etcd member, with `etcd.local.peerCertSANs`.
    EtcdPeer,
}

/// Everything certificates depend on, in plain values.
#[derive(Debug, Clone)]
pub struct CertInputs {
    /// Name of the node.
    pub node_name: String,
    /// Address the API server and etcd advertise.
    pub advertise_address: IpAddr,
    /// DNS domain of Services, for example `cluster.local`.
    pub dns_domain: String,
    /// First address of the first service subnet: the `kubernetes` Service.
    pub service_ip: IpAddr,
    /// Host of `controlPlaneEndpoint`, without the port.
    pub control_plane_host: Option<String>,
    /// `apiServer.certSANs`.
    pub api_server_sans: Vec<String>,
    /// `etcd.local.serverCertSANs`.
    pub etcd_server_sans: Vec<String>,
    /// `etcd.local.peerCertSANs`.
    pub etcd_peer_sans: Vec<String>,
    /// Kubernetes version of the cluster.
    pub version: Version,
    /// Validity of everything but CAs.
    pub leaf_validity: Duration,
    /// Validity of CAs.
    pub ca_validity: Duration,
}

static CA: CertEntry = ca("ca", "ca", "kubernetes", "that identities of Kubernetes components come from");
static FRONT_PROXY_CA: CertEntry =
    ca("front-proxy-ca", "front-proxy-ca", "front-proxy-ca", "that identities of front proxies come from");
static ETCD_CA: CertEntry = ca("etcd-ca", "etcd/ca", "etcd-ca", "that identities for etcd come from");

/// Every certificate in the order kubeadm makes them: a CA always precedes what it signs.
pub static ENTRIES: [&CertEntry; 10] = [
    &CA,
    &CertEntry {
        id: "apiserver",
        base_name: "apiserver",
        ca: Some(&CA),
        common_name: CommonName::Fixed("kube-apiserver"),
        organizations: Organizations::None,
        sans: SanRule::ApiServer,
        usage: CertUsage::Server,
        purpose: "that serves the Kubernetes API",
    },
    &CertEntry {
        id: "apiserver-kubelet-client",
        base_name: "apiserver-kubelet-client",
        ca: Some(&CA),
        common_name: CommonName::Fixed("kube-apiserver-kubelet-client"),
        // kubernetes/kubernetes#138957. Without the group the ClusterRoleBinding `kubeadm:apiserver-kubelet-client`
        // must exist, or `kubectl logs` and `exec` are forbidden.
        organizations: Organizations::UntilDropped {
            group: "kubeadm:cluster-admins",
            dropped_in: &[(33, 12), (34, 8), (35, 5), (36, 1)],
        },
        sans: SanRule::None,
        usage: CertUsage::Client,
        purpose: "the API server shows to kubelets",
    },
    &FRONT_PROXY_CA,
    &client(
        "front-proxy-client",
        "front-proxy-client",
        &FRONT_PROXY_CA,
        "front-proxy-client",
        "of the front proxy",
    ),
    &ETCD_CA,
    &etcd_member("etcd-server", "etcd/server", SanRule::EtcdServer, "that serves etcd"),
    &etcd_member("etcd-peer", "etcd/peer", SanRule::EtcdPeer, "etcd members show to each other"),
    &client(
        "etcd-healthcheck-client",
        "etcd/healthcheck-client",
        &ETCD_CA,
        "kube-etcd-healthcheck-client",
        "of the probes that check etcd's health",
    ),
    &client(
        "apiserver-etcd-client",
        "apiserver-etcd-client",
        &ETCD_CA,
        "kube-apiserver-etcd-client",
        "the API server shows to etcd",
    ),
];

/// The key pair that signs and verifies service account tokens; no certificate, and never renewed.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyPairEntry {
    /// Last segment of the phase id.
    pub id: &'static str,
    /// Private key file, relative to the certificate directory; mode [`KEY_MODE`].
    pub private: &'static str,
    /// Public key file, relative to the certificate directory; mode [`KEY_MODE`] like kubeadm's.
    pub public: &'static str,
    /// Help text.
    pub help: &'static str,
}

/// The service account key pair.
pub static SERVICE_ACCOUNT: KeyPairEntry = KeyPairEntry {
    id: "sa",
    private: "sa.key",
    public: "sa.pub",
    help: "Generate the key that signs service account tokens and save it as sa.key, its public half as sa.pub.\n\n\
           If both files exist they are kept.",
};

const fn ca(
    id: &'static str,
    base_name: &'static str,
    common_name: &'static str,
    purpose: &'static str,
) -> CertEntry {
    CertEntry {
        id,
        base_name,
        ca: None,
        common_name: CommonName::Fixed(common_name),
        organizations: Organizations::None,
        sans: SanRule::CommonName,
        usage: CertUsage::Ca,
        purpose,
    }
}

const fn client(
    id: &'static str,
    base_name: &'static str,
    ca: &'static CertEntry,
    common_name: &'static str,
    purpose: &'static str,
) -> CertEntry {
    CertEntry {
        id,
        base_name,
        ca: Some(ca),
        common_name: CommonName::Fixed(common_name),
        organizations: Organizations::None,
        sans: SanRule::None,
        usage: CertUsage::Client,
        purpose,
    }
}

const fn etcd_member(
    id: &'static str,
    base_name: &'static str,
    sans: SanRule,
    purpose: &'static str,
) -> CertEntry {
    CertEntry {
        id,
        base_name,
        ca: Some(&ETCD_CA),
        common_name: CommonName::Node,
        organizations: Organizations::None,
        sans,
        usage: CertUsage::ServerClient,
        purpose,
    }
}

/// The certificate with an id such as `etcd-server`.
pub fn entry(id: &str) -> Option<&'static CertEntry> {
    ENTRIES.into_iter().find(|entry| entry.id == id)
}

impl CertEntry {
    /// Whether this is a CA.
    pub const fn is_ca(&self) -> bool {
        self.ca.is_none()
    }

    /// Whether it exists only where etcd runs as a static pod; with external etcd the operator brings his own.
    pub fn needs_local_etcd(&self) -> bool {
        self.id == ETCD_CA.id || self.ca == Some(&ETCD_CA)
    }

    /// Certificate file, relative to the certificate directory.
    pub fn cert_file(&self) -> String {
        format!("{}.crt", self.base_name)
    }

    /// Private key file, relative to the certificate directory.
    pub fn key_file(&self) -> String {
        format!("{}.key", self.base_name)
    }

    /// Signing request file, relative to the directory requests go to.
    pub fn csr_file(&self) -> String {
        format!("{}.csr", self.base_name)
    }

    /// One line, imperative, for the list of phases.
    pub fn title(&self) -> String {
        let kind = if self.is_ca() { "self-signed certificate authority" } else { "certificate" };
        format!("Generate the {kind} {}", self.purpose)
    }

    /// The long help text of the phase.
    pub fn help(&self) -> String {
        let names = match self.sans {
            SanRule::EtcdServer | SanRule::EtcdPeer => {
                "It is valid for the node's name and address, localhost, 127.0.0.1 and ::1.\n\n"
            }
            SanRule::ApiServer => {
                "It is valid for the kubernetes Service, the node's name and address, the control plane endpoint and \
                 the names given in apiServer.certSANs.\n\n"
            }
            SanRule::None | SanRule::CommonName => "",
        };
        format!(
            "{}, and save it as {} with its key in {}.\n\n{names}If both files exist they are checked and kept.",
            self.title(),
            self.cert_file(),
            self.key_file()
        )
    }

    /// The certificate to issue for some inputs.
    pub fn spec(&self, inputs: &CertInputs) -> CertSpec {
        let common_name = match self.common_name {
            CommonName::Fixed(name) => name.to_owned(),
            CommonName::Node => inputs.node_name.clone(),
        };
        let sans = match self.sans {
            SanRule::None => Sans::default(),
            SanRule::CommonName => Sans { dns: vec![common_name.clone()], ips: Vec::new() },
            SanRule::ApiServer => api_server_sans(inputs),
            SanRule::EtcdServer => etcd_sans(inputs, &inputs.etcd_server_sans),
            SanRule::EtcdPeer => etcd_sans(inputs, &inputs.etcd_peer_sans),
        };
        CertSpec {
            common_name,
            organizations: self.organizations.of(&inputs.version),
            sans: sans.sorted(),
            usage: self.usage,
            validity: if self.is_ca() { inputs.ca_validity } else { inputs.leaf_validity },
        }
    }
}

impl Organizations {
    /// The groups a version of Kubernetes expects.
    pub fn of(&self, version: &Version) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::UntilDropped { group, dropped_in } => {
                let known = dropped_in.iter().find(|(minor, _)| *minor == version.minor);
                let dropped = match known {
                    Some((_, patch)) => version.patch >= *patch,
                    None => dropped_in.iter().all(|(minor, _)| *minor < version.minor),
                };
                if dropped { Vec::new() } else { vec![(*group).to_owned()] }
            }
        }
    }
}

fn api_server_sans(inputs: &CertInputs) -> Sans {
    let mut sans = Sans::default();
    sans.add_dns(&inputs.node_name);
    for name in ["kubernetes", "kubernetes.default", "kubernetes.default.svc"] {
        sans.add_dns(name);
    }
    sans.add_dns(&format!("kubernetes.default.svc.{}", inputs.dns_domain));
    sans.add_ip(inputs.service_ip);
    sans.add_ip(inputs.advertise_address);
    for host in inputs.control_plane_host.iter().chain(&inputs.api_server_sans) {
        sans.add(host);
    }
    sans
}

fn etcd_sans(inputs: &CertInputs, extra: &[String]) -> Sans {
    let mut sans = Sans::default();
    sans.add_dns(&inputs.node_name);
    sans.add_dns("localhost");
    sans.add_ip(inputs.advertise_address);
    sans.add_ip(Ipv4Addr::LOCALHOST.into());
    sans.add_ip(Ipv6Addr::LOCALHOST.into());
    for host in extra {
        sans.add(host);
    }
    sans
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
