//! Disks: room, and how fast they are for etcd.

use std::{path::Path, time::Duration};

use rkadm_core::host::{Probe, Space};

use super::{Found, error, warning};
use crate::init::Cluster;

/// Room that manifests, keys and kubeconfigs need, many times over.
const MIN_CONFIG_BYTES: u64 = 1 << 20;
/// The kubelet evicts pods below these parts of its file system, in percent (`evictionHard`'s defaults).
const NODEFS_FREE: u64 = 10;
const INODES_FREE: u64 = 5;
/// What etcd's documentation asks of 99 in 100 syncs of its log.
const ETCD_SYNC: Duration = Duration::from_millis(10);
/// How long the disk is measured; other checks run meanwhile.
const MEASURE: Duration = Duration::from_millis(200);

/// A full disk is better found before than in the middle.
pub async fn room(host: &dyn Probe) -> Vec<Found> {
    let mut found = vec![];
    for dir in ["/etc/kubernetes", "/var/lib/kubelet", "/var/lib/rkadm"] {
        if let Some(space) = host.space(Path::new(dir)).await
            && (space.bytes_free < MIN_CONFIG_BYTES || (space.inodes > 0 && space.inodes_free == 0))
        {
            let message = format!(
                "the file system of {dir} has {} kB and {} inodes free",
                space.bytes_free >> 10,
                space.inodes_free
            );
            found.push(error("DiskSpace", message, "free some space"));
        }
    }
    if found.is_empty()
        && let Some(space) = host.space(Path::new("/var/lib/kubelet")).await
    {
        found.extend(pressure(&space));
    }
    found
}

/// Whether the kubelet would begin its life by evicting pods.
fn pressure(space: &Space) -> Option<Found> {
    let percent = |free: u64, all: u64| free.saturating_mul(100).checked_div(all).unwrap_or(100);
    let (bytes, inodes) = (percent(space.bytes_free, space.bytes), percent(space.inodes_free, space.inodes));
    if bytes >= NODEFS_FREE && inodes >= INODES_FREE {
        return None;
    }
    let message = format!(
        "the file system of /var/lib/kubelet has {bytes} % of its space and {inodes} % of its inodes free"
    );
    let hint = "the kubelet evicts pods below 10 % of space or 5 % of inodes: free some, or set evictionHard in the KubeletConfiguration";
    Some(warning("DiskPressure", message, hint))
}

/// etcd waits for the disk with every write; what is too slow shows as elections and time-outs under load.
pub async fn etcd_disk(host: &dyn Probe, cluster: &Cluster) -> Vec<Found> {
    let Some(dir) = cluster.etcd_data_dir() else { return vec![] };
    match host.sync_latency(&dir, MEASURE).await {
        Some(latency) if latency > ETCD_SYNC => {
            let message = format!(
                "the disk of {} takes {} ms for 1 of 100 durable writes; etcd wants less than {} ms",
                dir.display(),
                latency.as_millis(),
                ETCD_SYNC.as_millis()
            );
            let hint = "give etcd a faster disk, or one of its own (etcd.local.dataDir); `fio --fdatasync=1` measures longer";
            vec![warning("EtcdDiskSpeed", message, hint)]
        }
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rkadm_core::{
        config::{ResolvedInit, types::LocalEtcd},
        host::fake::{FakeHost, World},
    };

    use super::{super::Severity, *};
    use crate::init::Environment;

    #[tokio::test]
    async fn a_disk_that_is_slower_than_etcd_wants_is_told_of() {
        let mut config = ResolvedInit::default();
        config.cluster.etcd.local = Some(LocalEtcd { data_dir: "/srv/etcd".into(), ..LocalEtcd::default() });
        let cluster = Cluster::new(Arc::new(config), Environment::default());
        let told = async |sync_latency, cluster: &Cluster| {
            etcd_disk(&FakeHost::new(World { sync_latency, ..World::ready() }), cluster).await
        };
        let slow = Some(Duration::from_millis(34));
        let found = told(slow, &cluster).await;
        let [(Severity::Warning, finding)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(finding.check, "EtcdDiskSpeed");
        assert_eq!(
            finding.message,
            "the disk of /srv/etcd takes 34 ms for 1 of 100 durable writes; etcd wants less than 10 ms"
        );
        for fine in [Some(ETCD_SYNC), None] {
            assert!(told(fine, &cluster).await.is_empty(), "{fine:?}");
        }
        // The disk of an external etcd is another machine's.
        let elsewhere = Cluster::new(Arc::default(), Environment::default());
        assert!(told(slow, &elsewhere).await.is_empty());
    }

    #[test]
    fn pressure_begins_where_the_kubelet_evicts() {
        let space = |bytes_free, inodes_free, inodes| Space { bytes_free, bytes: 1000, inodes_free, inodes };
        assert!(pressure(&space(100, 50, 1000)).is_none());
        assert!(pressure(&space(99, 500, 1000)).is_some());
        assert!(pressure(&space(500, 49, 1000)).is_some());
        assert!(pressure(&space(500, 0, 0)).is_none(), "btrfs and others have no limit of inodes");
    }
}
