//! Host directories that a control-plane pod needs beside those in its template.

use crate::config::types::{ExternalEtcd, HostPathMount, HostPathType};
use k8s_openapi::api::core::v1::{HostPathVolumeSource, PodSpec, Volume, VolumeMount};
use std::collections::BTreeSet;
use std::path::Path;

/// Where distributions keep CA certificates, beside `/etc/ssl/certs`, whose links may point into these. The ones that
/// exist on the host are mounted.
pub const CA_DIRS: [&str; 5] = [
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
];

/// Read-only mounts of the CA directories that exist, named after their path as kubeadm does.
pub fn ca_mounts(existing: &[String]) -> impl Iterator<Item = HostPathMount> + '_ {
    existing.iter().map(|dir| read_only(dir.trim_matches('/').replace('/', "-"), dir))
}

/// Read-only mounts of the directories that hold the client files of an external etcd, except those already visible
/// under a mounted directory.
pub fn external_etcd_mounts(etcd: &ExternalEtcd, mounted: &[String]) -> Vec<HostPathMount> {
    let dirs: BTreeSet<&str> = [&etcd.ca_file, &etcd.cert_file, &etcd.key_file]
        .into_iter()
        .filter(|file| !file.is_empty())
        .filter_map(|file| Path::new(file).parent()?.to_str())
        .collect();
    let covered = |dir: &&str, by: &str| *dir != by && Path::new(dir).starts_with(by);
    dirs.iter()
        .filter(|dir| !mounted.iter().any(|parent| Path::new(dir).starts_with(parent)))
        .filter(|dir| !dirs.iter().any(|other| covered(dir, other)))
        .enumerate()
        .map(|(index, dir)| read_only(format!("etcd-certs-{index}"), dir))
        .collect()
}

fn read_only(name: String, dir: &str) -> HostPathMount {
    HostPathMount {
        name,
        host_path: dir.to_owned(),
        mount_path: dir.to_owned(),
        read_only: true,
        path_type: HostPathType::DirectoryOrCreate,
    }
}

/// Adds mounts to the first container and sorts by name. A mount replaces one of the same name, so that the
/// configuration can move a default one.
pub fn add(spec: &mut PodSpec, mounts: impl IntoIterator<Item = HostPathMount>) {
    let volumes = spec.volumes.get_or_insert_default();
    let Some(container) = spec.containers.first_mut() else { return };
    let container_mounts = container.volume_mounts.get_or_insert_default();
    for mount in mounts {
        volumes.retain(|volume| volume.name != mount.name);
        container_mounts.retain(|other| other.name != mount.name);
        container_mounts.push(VolumeMount {
            name: mount.name.clone(),
            mount_path: mount.mount_path,
            read_only: mount.read_only.then_some(true),
            ..VolumeMount::default()
        });
        volumes.push(Volume {
            name: mount.name,
            host_path: Some(HostPathVolumeSource {
                path: mount.host_path,
                type_: Some(mount.path_type.as_str().to_owned()),
            }),
            ..Volume::default()
        });
    }
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    container_mounts.sort_by(|a, b| a.name.cmp(&b.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_client_files_below_a_mounted_directory_need_no_mount() {
        let etcd = ExternalEtcd {
            ca_file: "/etc/kubernetes/pki/etcd/ca.crt".into(),
            cert_file: "/srv/etcd/client/a.crt".into(),
            key_file: "/srv/etcd/a.key".into(),
            ..ExternalEtcd::default()
        };
        let mounts = external_etcd_mounts(&etcd, &["/etc/kubernetes/pki".into()]);
        assert_eq!(mounts.iter().map(|m| m.host_path.as_str()).collect::<Vec<_>>(), ["/srv/etcd"]);
        assert_eq!(mounts[0].name, "etcd-certs-0");
    }
}
