//! Well-known addresses of the service subnet: the first is the API server's, the tenth cluster DNS's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A service subnet without the address that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service subnet {subnet:?} has no address number {index}")]
pub struct ServiceIpError {
    /// The subnet, of the primary family.
    pub subnet: String,
    /// Which address was wanted.
    pub index: u32,
}

/// Address of the `kubernetes` Service.
pub fn api_server(service_subnet: &str) -> Result<IpAddr, ServiceIpError> {
    nth(service_subnet, 1)
}

/// Address of the `kube-dns` Service.
pub fn cluster_dns(service_subnet: &str) -> Result<IpAddr, ServiceIpError> {
    nth(service_subnet, 10)
}

/// The n-th address after the base of the first, primary, of some comma-separated subnets.
fn nth(service_subnet: &str, index: u32) -> Result<IpAddr, ServiceIpError> {
    let primary = service_subnet.split(',').next().unwrap_or_default().trim();
    let wrong = || ServiceIpError { subnet: primary.to_owned(), index };
    let (base, length) = primary.split_once('/').ok_or_else(wrong)?;
    let length: u32 = length.parse().map_err(|_| wrong())?;
    match base.parse().map_err(|_| wrong())? {
        IpAddr::V4(base) => {
            let host_bits = 32u32.checked_sub(length).ok_or_else(wrong)?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            let fits = host_bits >= 32 || index < 1 << host_bits;
            fits.then(|| Ipv4Addr::from((u32::from(base) & mask) + index).into()).ok_or_else(wrong)
        }
        IpAddr::V6(base) => {
            let host_bits = 128u32.checked_sub(length).ok_or_else(wrong)?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            let fits = host_bits >= 32 || index < 1 << host_bits;
            fits.then(|| Ipv6Addr::from((u128::from(base) & mask) + u128::from(index)).into())
                .ok_or_else(wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_base_of_the_primary_subnet() {
        for (subnet, dns) in [
            ("10.96.0.0/12", Some("10.96.0.10")),
            ("10.97.5.0/16,fd00::/112", Some("10.97.0.10")),
            ("fd00:10:96::/112", Some("fd00:10:96::a")),
            ("10.0.0.0/28", Some("10.0.0.10")),
            ("10.0.0.0/29", None),
            ("10.0.0.0/33", None),
            ("x", None),
        ] {
            assert_eq!(cluster_dns(subnet).ok().map(|ip| ip.to_string()).as_deref(), dns, "{subnet}");
        }
        assert_eq!(api_server("10.96.0.0/12").map(|ip| ip.to_string()), Ok("10.96.0.1".into()));
    }
}
