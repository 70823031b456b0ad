//! What differs between Kubernetes minors in the files and objects made here, as data.

/// One row of the table: how a control plane of one minor is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Minor version, 37 for 1.37.
    pub minor: u64,
    /// kube-controller-manager mounts the FlexVolume plug-in directory; dropped in 1.36 (kubernetes/kubernetes#136423).
    pub flexvolume: bool,
    /// Proxy mode written to the kube-proxy ConfigMap; explicit since 1.37, before that empty for "the default".
    pub proxy_mode: &'static str,
}

/// Oldest first.
const TABLE: [Dialect; 4] = [
    Dialect { minor: 34, flexvolume: true, proxy_mode: "" },
    Dialect { minor: 35, flexvolume: true, proxy_mode: "" },
    Dialect { minor: 36, flexvolume: false, proxy_mode: "" },
    Dialect { minor: 37, flexvolume: false, proxy_mode: "iptables" },
];

impl Dialect {
    /// The row of a minor; for one outside of the table the nearest, so that a pre-release can be tried.
    pub fn of_minor(minor: u64) -> Self {
        let index = minor.saturating_sub(TABLE[0].minor);
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(TABLE.len() - 1);
        TABLE[index]
    }

    /// The row of a version such as `v1.37.2`; `None` when it is no version.
    pub fn of_version(version: &str) -> Option<Self> {
        let version = semver::Version::parse(version.trim_start_matches('v')).ok()?;
        Some(Self::of_minor(version.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_a_row() {
        for (version, minor) in [("v1.20.0", 34), ("v1.35.9", 35), ("1.37.0-rc.1", 37), ("v1.99.0", 37)] {
            assert_eq!(Dialect::of_version(version).map(|d| d.minor), Some(minor), "{version}");
        }
        assert_eq!(Dialect::of_version("latest"), None);
    }
}
