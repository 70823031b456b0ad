//! Ranges of IP addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range in CIDR notation. The host bits of the address are cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    first: IpAddr,
    prefix: u32,
}

/// A text that is not a CIDR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a CIDR such as \"10.96.0.0/12\"")]
pub struct ParseCidrError(pub String);

impl Cidr {
    /// The first address.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// Length of the network part in bits.
    pub const fn prefix(self) -> u32 {
        self.prefix
    }

    /// Length of an address in bits, 32 or 128.
    pub const fn address_bits(self) -> u32 {
        if self.first.is_ipv4() { 32 } else { 128 }
    }

    /// Length of the host part in bits.
    pub const fn host_bits(self) -> u32 {
        self.address_bits() - self.prefix
    }

    /// True for IPv6.
    pub const fn is_ipv6(self) -> bool {
        self.first.is_ipv6()
    }

    /// The address `n` after the first; `None` past the end.
    pub fn nth(self, n: u64) -> Option<IpAddr> {
        if self.host_bits() < 64 && n >> self.host_bits() != 0 {
            return None;
        }
        Some(match self.first {
            IpAddr::V4(first) => {
                Ipv4Addr::from_bits(first.to_bits().checked_add(u32::try_from(n).ok()?)?).into()
            }
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().checked_add(u128::from(n))?).into(),
        })
    }

    /// True when the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = self.prefix.min(other.prefix);
        self.is_ipv6() == other.is_ipv6() && mask(self.first, shorter) == mask(other.first, shorter)
    }
}

fn mask(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0)).into()
        }
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let address: IpAddr = address.parse().ok()?;
            let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix: u32 = if digits { prefix.parse().ok()? } else { return None };
            let bits = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= bits).then(|| Self { first: mask(address, prefix), prefix })
        };
        parse().ok_or_else(|| ParseCidrError(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn clears_host_bits() {
        assert_eq!(cidr("10.244.3.5/16").to_string(), "10.244.0.0/16");
        assert_eq!(cidr("fd00::5/64").to_string(), "fd00::/64");
        assert_eq!(cidr("1.2.3.4/0").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn counts_addresses_up_to_the_end() {
        assert_eq!(cidr("10.96.0.0/12").nth(10).unwrap().to_string(), "10.96.0.10");
        assert_eq!(cidr("fd01::/112").nth(65535).unwrap().to_string(), "fd01::ffff");
        assert_eq!(cidr("fd01::/112").nth(65536), None);
        assert_eq!(cidr("10.0.0.0/30").nth(4), None);
        assert_eq!(cidr("0.0.0.0/0").nth(1 << 32), None);
    }

    #[test]
    fn overlap_needs_the_same_family() {
        assert!(cidr("10.0.0.0/8").overlaps(cidr("10.96.0.0/12")));
        assert!(cidr("10.96.0.0/12").overlaps(cidr("10.0.0.0/8")));
        assert!(!cidr("10.96.0.0/12").overlaps(cidr("10.244.0.0/16")));
        assert!(!cidr("::/0").overlaps(cidr("0.0.0.0/0")));
    }

    #[test]
    fn refuses_what_is_not_a_range() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8", "10.0.0/8", "a/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(ParseCidrError(text.to_owned())));
        }
    }
}
