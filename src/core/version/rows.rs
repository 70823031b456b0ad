//! One row of data for each supported minor.
//!
//! Image tags are those that kubeadm of the same minor lists (`kubeadm config images list`). A new minor is a new row
//! here, and the oldest row goes.

use super::KubeVersion;

/// What is particular to one Kubernetes minor.
#[derive(Debug, PartialEq, Eq)]
pub struct MinorRow {
    /// The minor number, 37 of v1.37.
    pub minor: u64,
    /// The newest patch known when this rkadm was built.
    pub newest_patch: u64,
    /// Tag of the etcd image.
    pub etcd_tag: &'static str,
    /// Tag of the CoreDNS image.
    pub coredns_tag: &'static str,
    /// Tag of the pause image.
    pub pause_tag: &'static str,
    /// kubeadm's feature gates that a configuration may name.
    pub feature_gates: &'static [&'static str],
    /// Those of them that are on whatever the configuration says: kubeadm knows their names only.
    pub spent_gates: &'static [&'static str],
    /// The kubelet is told the sandbox image by a flag; its later minors refuse it.
    pub sandbox_image_flag: bool,
    /// kube-controller-manager mounts the flexvolume plugins' directory of the host; dropped in 1.36.
    pub flexvolume_mount: bool,
    /// kube-proxy's `mode` when the user gives none; 1.37 writes the default out.
    pub kube_proxy_mode: &'static str,
}

impl MinorRow {
    /// The newest patch of this minor.
    pub fn newest(&self) -> KubeVersion {
        KubeVersion::new(1, self.minor, self.newest_patch)
    }
}

/// The supported minors, oldest first.
pub static ROWS: [MinorRow; 4] = [
    MinorRow {
        minor: 34,
        newest_patch: 4,
        etcd_tag: "3.6.5-0",
        coredns_tag: "v1.12.1",
        pause_tag: "3.10.1",
        feature_gates: &[
            "ControlPlaneKubeletLocalMode",
            "NodeLocalCRISocket",
            "PublicKeysECDSA",
            "RootlessControlPlane",
            "WaitForAllControlPlaneComponents",
        ],
        spent_gates: &["WaitForAllControlPlaneComponents"],
        sandbox_image_flag: true,
        flexvolume_mount: true,
        kube_proxy_mode: "",
    },
    MinorRow {
        minor: 35,
        newest_patch: 8,
        etcd_tag: "3.6.6-0",
        coredns_tag: "v1.13.1",
        pause_tag: "3.10.1",
        feature_gates: &[
            "ControlPlaneKubeletLocalMode",
            "NodeLocalCRISocket",
            "PublicKeysECDSA",
            "RootlessControlPlane",
        ],
        spent_gates: &["ControlPlaneKubeletLocalMode"],
        sandbox_image_flag: false,
        flexvolume_mount: true,
        kube_proxy_mode: "",
    },
    MinorRow {
        minor: 36,
        newest_patch: 4,
        etcd_tag: "3.6.8-0",
        coredns_tag: "v1.14.2",
        pause_tag: "3.10.2",
        feature_gates: &["NodeLocalCRISocket", "PublicKeysECDSA", "RootlessControlPlane"],
        spent_gates: &[],
        sandbox_image_flag: false,
        flexvolume_mount: false,
        kube_proxy_mode: "",
    },
    MinorRow {
        minor: 37,
        newest_patch: 2,
        etcd_tag: "3.7.0-0",
        coredns_tag: "v1.14.6",
        pause_tag: "3.10.2",
        feature_gates: &["RootlessControlPlane"],
        spent_gates: &[],
        sandbox_image_flag: false,
        flexvolume_mount: false,
        kube_proxy_mode: "iptables",
    },
];

/// The oldest supported minor.
pub static OLDEST: &MinorRow = &ROWS[0];

/// The newest supported minor.
pub static NEWEST: &MinorRow = &ROWS[ROWS.len() - 1];

/// The row of a minor, when supported.
pub fn row(minor: u64) -> Option<&'static MinorRow> {
    ROWS.iter().find(|row| row.minor == minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_consecutive_minors() {
        for pair in ROWS.windows(2) {
            assert_eq!(pair[0].minor + 1, pair[1].minor);
        }
    }

    #[test]
    fn the_newest_rows_list_the_images_of_kubeadm() {
        // From `kubeadm config images list` of kubeadm v1.36.4 and v1.37.2.
        let tags = |minor| row(minor).map(|row| (row.etcd_tag, row.coredns_tag, row.pause_tag));
        assert_eq!(tags(36), Some(("3.6.8-0", "v1.14.2", "3.10.2")));
        assert_eq!(tags(37), Some(("3.7.0-0", "v1.14.6", "3.10.2")));
        assert_eq!(row(33), None);
    }
}
