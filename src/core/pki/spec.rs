//! What a certificate shall say, before anyone signs it.

use std::net::IpAddr;
use std::time::Duration;

use super::{Certificate, issue::BACKDATE};

/// What a certificate may be used for, as kubeadm sets key usage and extended key usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertUsage {
    /// Signs other certificates.
    Ca,
    /// Authenticates a TLS client.
    Client,
    /// Authenticates a TLS server.
    Server,
    /// Both, as etcd members need: they dial one another with their serving certificate.
    ServerClient,
}

impl CertUsage {
    /// Whether the certificate carries the server authentication purpose.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Server | Self::ServerClient)
    }

    /// Whether the certificate carries the client authentication purpose.
    pub const fn dials(self) -> bool {
        matches!(self, Self::Client | Self::ServerClient)
    }

    /// The usage in words, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ca => "certificate authority",
            Self::Client => "client",
            Self::Server => "server",
            Self::ServerClient => "server and client",
        }
    }
}

/// Subject alternative names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sans {
    /// DNS names, lower case; a leading `*.` is allowed.
    pub dns: Vec<String>,
    /// IP addresses; IPv4-mapped IPv6 is kept as IPv4.
    pub ips: Vec<IpAddr>,
}

impl Sans {
    /// Adds a host that is either an IP address or a DNS name, unless it is there already.
    pub fn add(&mut self, host: &str) {
        match host.parse::<IpAddr>() {
            Ok(ip) => self.add_ip(ip),
            Err(_) => self.add_dns(host),
        }
    }

    /// Adds a DNS name in lower case, as kubeadm does.
    pub fn add_dns(&mut self, name: &str) {
        let name = name.to_lowercase();
        if !self.dns.contains(&name) {
            self.dns.push(name);
        }
    }

    /// Adds an address.
    pub fn add_ip(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        if !self.ips.contains(&ip) {
            self.ips.push(ip);
        }
    }

    /// Puts DNS names in kubeadm's order: sorted by bytes. Addresses keep the order they were added in.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.dns.sort_unstable();
        self
    }

    /// Whether there are no names at all.
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ips.is_empty()
    }
}

/// A certificate to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertSpec {
    /// Subject CN: the user name Kubernetes sees for client certificates.
    pub common_name: String,
    /// Subject O, in order: the groups Kubernetes sees for client certificates.
    pub organizations: Vec<String>,
    /// Names the certificate is valid for.
    pub sans: Sans,
    /// What it may be used for.
    pub usage: CertUsage,
    /// How long it is valid from the moment of issue.
    pub validity: Duration,
}

impl CertSpec {
    /// What a certificate says, to issue it anew: the same subject, names, usage and length of validity.
    ///
    /// `None` for one that is of no use to Kubernetes. Names of kinds that Kubernetes does not know (URIs, mail
    /// addresses) are not carried over.
    pub fn of(certificate: &Certificate, ca: &Certificate, default_validity: Duration) -> Option<Self> {
        let length = certificate.not_after().duration_since(certificate.not_before());
        let length = Duration::try_from(length).unwrap_or_default().saturating_sub(BACKDATE);
        // kubeadm once let certificates begin with their authority: how long one was to last cannot be told then.
        let begins_with_ca = certificate.not_before().duration_since(ca.not_before()).abs()
            < jiff::SignedDuration::from_mins(1);
        let unknown = length.is_zero() || (begins_with_ca && length > default_validity + BACKDATE);
        Some(Self {
            common_name: certificate.common_name().to_owned(),
            organizations: certificate.organizations().to_vec(),
            sans: certificate.sans().clone(),
            usage: certificate.usage()?,
            validity: if unknown { default_validity } else { length },
        })
    }
}
