//! Kubernetes versions and what differs between minors, as data. Nothing here asks the network.

pub mod removed;
mod rows;
pub mod skew;

pub use rows::{MinorRow, NEWEST, OLDEST, ROWS, row};
pub use skew::{KUBELET_MINORS_BEHIND, SkewError, check_kubelet_skew, check_supported};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A Kubernetes version, `v1.37.2` or `v1.38.0-rc.1`. Build metadata is kept but does not take part in the order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KubeVersion(semver::Version);

/// A text that is not a version, nor a label that the version table can resolve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseVersionError {
    /// Not `vMAJOR.MINOR.PATCH`.
    #[error("{0:?} is not a version such as \"v1.37.2\"")]
    NotAVersion(String),
    /// A label of another channel than stable, or of a minor that is not in the table.
    #[error("the label {0:?} cannot be resolved without asking the internet, which rkadm does not do")]
    UnknownLabel(String),
}

impl Default for KubeVersion {
    /// The newest released version of the table.
    fn default() -> Self {
        Self::newest()
    }
}

impl KubeVersion {
    /// A released version.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// The newest released version of the table.
    pub fn newest() -> Self {
        NEWEST.newest()
    }

    /// Reads a version, or a label of the stable channel (`stable`, `stable-1`, `stable-1.36`) as the version table
    /// knows it.
    pub fn resolve(text: &str) -> Result<Self, ParseVersionError> {
        if text == "stable" || text == "stable-1" {
            return Ok(Self::newest());
        }
        if let Some(minor) = text.strip_prefix("stable-1.") {
            let known = minor.parse().ok().and_then(row);
            return known
                .map(MinorRow::newest)
                .ok_or_else(|| ParseVersionError::UnknownLabel(text.to_owned()));
        }
        if ["stable", "latest", "ci/", "release/"].iter().any(|label| text.starts_with(label)) {
            return Err(ParseVersionError::UnknownLabel(text.to_owned()));
        }
        text.parse()
    }

    /// The version as its parts.
    pub const fn semver(&self) -> &semver::Version {
        &self.0
    }

    /// The major number, 1.
    pub const fn major(&self) -> u64 {
        self.0.major
    }

    /// The minor number, 37 of v1.37.2.
    pub const fn minor(&self) -> u64 {
        self.0.minor
    }

    /// The patch number, 2 of v1.37.2.
    pub const fn patch(&self) -> u64 {
        self.0.patch
    }

    /// True for alphas, betas and release candidates.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// The data of this version's minor, when supported.
    pub fn row(&self) -> Option<&'static MinorRow> {
        if self.major() == 1 { row(self.minor()) } else { None }
    }
}

impl FromStr for KubeVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        semver::Version::parse(text.strip_prefix('v').unwrap_or(text))
            .map(Self)
            .map_err(|_| ParseVersionError::NotAVersion(text.to_owned()))
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Ord for KubeVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp_precedence(&other.0).then_with(|| self.0.build.cmp(&other.0.build))
    }
}

impl PartialOrd for KubeVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for KubeVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KubeVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubeVersion {
        text.parse().unwrap()
    }

    #[test]
    fn reads_with_and_without_v_and_writes_with() {
        assert_eq!(version("1.37.2").to_string(), "v1.37.2");
        assert_eq!(version("v1.38.0-rc.1").to_string(), "v1.38.0-rc.1");
        assert_eq!((version("v1.37.2").minor(), version("v1.37.2").patch()), (37, 2));
    }

    #[test]
    fn orders_as_releases_come() {
        let mut versions =
            ["v1.37.10", "v1.37.2", "v1.37.0-rc.1", "v1.37.0-alpha.2", "v1.37.0", "v1.36.9"].map(version);
        versions.sort();
        assert_eq!(
            versions.map(|version| version.to_string()),
            ["v1.36.9", "v1.37.0-alpha.2", "v1.37.0-rc.1", "v1.37.0", "v1.37.2", "v1.37.10"]
        );
    }

    #[test]
    fn labels_come_from_the_table_only() {
        assert_eq!(KubeVersion::resolve("stable-1").unwrap(), KubeVersion::newest());
        assert_eq!(KubeVersion::resolve("stable-1.36").unwrap(), version("v1.36.4"));
        assert_eq!(KubeVersion::resolve("1.36.1").unwrap(), version("v1.36.1"));
        for label in ["latest", "stable-1.99", "stable-2", "ci/latest-1.37"] {
            assert_eq!(KubeVersion::resolve(label), Err(ParseVersionError::UnknownLabel(label.into())));
        }
    }

    #[test]
    fn says_what_a_version_looks_like() {
        for text in ["", "1.37", "v1.37", "foo", "v1.37.2.1", "vv1.37.2"] {
            assert_eq!(
                text.parse::<KubeVersion>().unwrap_err().to_string(),
                format!("{text:?} is not a version such as \"v1.37.2\"")
            );
        }
    }
}
