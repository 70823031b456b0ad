//! Which versions go together.

mod rules;

pub use rules::{Component, KUBELET_MINORS_BEHIND, RULES, Rule, Running, Violation, violations};

use super::{KubeVersion, NEWEST, OLDEST};

/// Versions that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkewError {
    /// The version is not in this rkadm's table.
    #[error("version {version} is not supported: this rkadm deploys v1.{oldest} to v1.{newest}")]
    Unsupported {
        /// The version that was asked for.
        version: KubeVersion,
        /// Oldest supported minor.
        oldest: u64,
        /// Newest supported minor.
        newest: u64,
    },
    /// A kubelet must not be newer than its API server.
    #[error("kubelet {kubelet} is newer than control plane {control_plane}")]
    KubeletNewer {
        /// The kubelet's version.
        kubelet: KubeVersion,
        /// The API server's version.
        control_plane: KubeVersion,
    },
    /// The kubelet is too old.
    #[error(
        "kubelet {kubelet} is more than {} minors older than control plane {control_plane}",
        KUBELET_MINORS_BEHIND
    )]
    KubeletTooOld {
        /// The kubelet's version.
        kubelet: KubeVersion,
        /// The API server's version.
        control_plane: KubeVersion,
    },
}

/// Checks that a control plane of this version can be deployed.
pub fn check_supported(version: &KubeVersion) -> Result<(), SkewError> {
    if version.row().is_some() {
        return Ok(());
    }
    Err(SkewError::Unsupported { version: version.clone(), oldest: OLDEST.minor, newest: NEWEST.minor })
}

/// Checks a kubelet against the control plane it talks to. Patches do not count.
pub fn check_kubelet_skew(kubelet: &KubeVersion, control_plane: &KubeVersion) -> Result<(), SkewError> {
    let kubelet_at = (kubelet.major(), kubelet.minor());
    let control_plane_at = (control_plane.major(), control_plane.minor());
    let versions = || (kubelet.clone(), control_plane.clone());
    if kubelet_at > control_plane_at {
        let (kubelet, control_plane) = versions();
        return Err(SkewError::KubeletNewer { kubelet, control_plane });
    }
    if kubelet.major() < control_plane.major()
        || kubelet.minor() + KUBELET_MINORS_BEHIND < control_plane.minor()
    {
        let (kubelet, control_plane) = versions();
        return Err(SkewError::KubeletTooOld { kubelet, control_plane });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skew(kubelet: &str, control_plane: &str) -> Result<(), String> {
        check_kubelet_skew(&kubelet.parse().unwrap(), &control_plane.parse().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_kubelet_may_be_three_minors_older_and_never_newer() {
        assert_eq!(skew("v1.37.9", "v1.37.2"), Ok(()));
        assert_eq!(skew("v1.34.0", "v1.37.2"), Ok(()));
        assert_eq!(
            skew("v1.33.9", "v1.37.2"),
            Err("kubelet v1.33.9 is more than 3 minors older than control plane v1.37.2".into())
        );
        assert_eq!(
            skew("v1.38.0", "v1.37.2"),
            Err("kubelet v1.38.0 is newer than control plane v1.37.2".into())
        );
    }

    #[test]
    fn only_the_tables_minors_are_supported() {
        for text in ["v1.34.0", "v1.37.99"] {
            assert_eq!(check_supported(&text.parse().unwrap()), Ok(()));
        }
        for text in ["v1.33.9", "v1.38.0", "v2.36.0"] {
            assert_eq!(
                check_supported(&text.parse().unwrap()).map_err(|error| error.to_string()),
                Err(format!("version {text} is not supported: this rkadm deploys v1.34 to v1.37"))
            );
        }
    }
}
