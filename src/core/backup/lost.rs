//! What a backup says of a cluster whose machines are all gone: its files, and the settings that it kept in its own
//! ConfigMaps. There is no API server that could be asked, so they are read from the snapshot.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{BackupError, crypt::Identities, open, trial};
use crate::{
    etcd::snapshot::{self, FileHash},
    kube::storage::{self, Objects, StorageError},
    manifest::pod,
    yaml,
};

const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// A cluster that is no more.
#[derive(Debug, Default)]
pub struct Lost {
    /// SHA-256 of the backup's file.
    pub sha256: String,
    /// Whether the backup is a plain snapshot, with nothing beside the data.
    pub plain: bool,
    /// Whether it has no hash at its end, as the copy of a member's own file.
    pub unhashed: bool,
    /// When it was taken, and on which machine.
    pub taken: Option<(Timestamp, String)>,
    /// Where the members of its etcd answered clients.
    pub client_urls: Vec<String>,
    /// Bytes of the snapshot.
    pub size: u64,
    /// The revision that it has.
    pub revision: i64,
    /// Keys at that revision.
    pub keys: u64,
    /// Objects at that revision, where they are known.
    pub objects: Option<Objects>,
    /// Version of the storage format; etcd 3.5 writes none.
    pub storage_version: Option<String>,
    /// Files of the machine.
    pub files: Vec<LostFile>,
    /// SHA-256 of the public keys of authorities and of the service account.
    pub fingerprints: BTreeMap<String, String>,
    /// Where API servers listened; `None` where no manifest tells it.
    pub secure_port: Option<u16>,
    /// Where the API server had the keys of encryption at rest; `None` where it had none, or no manifest tells it.
    pub encryption: Option<String>,
    /// The cluster's settings, or why they cannot be read.
    pub settings: Settings,
}

/// A file of a lost machine.
#[derive(Clone, PartialEq, Eq)]
pub struct LostFile {
    /// Its path there.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group, where they are not root's.
    pub owner: Option<(u32, u32)>,
    /// What it held; it may be secret.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for LostFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({} bytes)", self.path.display(), self.bytes.len())
    }
}

/// Texts of a cluster's ConfigMaps in namespace kube-system, each with why it cannot be had.
#[derive(Debug)]
pub struct Settings {
    /// Key `ClusterConfiguration` of `kubeadm-config`.
    pub cluster: Result<String, NoSetting>,
    /// Key `kubelet` of `kubelet-config`.
    pub kubelet: Result<String, NoSetting>,
    /// Key `config.conf` of `kube-proxy`.
    pub kube_proxy: Result<String, NoSetting>,
}

impl Default for Settings {
    fn default() -> Self {
        let none = || Err(NoSetting::Absent);
        Self { cluster: none(), kubelet: none(), kube_proxy: none() }
    }
}

/// Why a setting cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSetting {
    /// The cluster has none.
    #[error("it is not there")]
    Absent,
    /// It cannot be read without the API server.
    #[error(transparent)]
    Stored(#[from] StorageError),
}

/// Reads all of a backup. What it unpacks meanwhile goes to `scratch`. Blocks.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn read(path: &Path, identities: &Identities, scratch: &Path) -> Result<Lost, BackupError> {
    let opened = open::open(path, identities, scratch)?;
    let server: Option<Pod> =
        opened.files.get(API_SERVER).and_then(|text| yaml::from_str(&String::from_utf8_lossy(text)).ok());
    let flag = |name| pod::flag(server.as_ref()?, name);
    let prefix = pod::etcd_prefix(server.as_ref());
    let settings = settings(&opened, &prefix)?;
    let report = &opened.snapshot.report;
    let mut lost = Lost {
        plain: opened.manifest.is_none(),
        unhashed: opened.manifest.is_none() && report.hash == FileHash::Absent,
        sha256: opened.sha256.clone().unwrap_or_default(),
        client_urls: report.contents.members.iter().flat_map(|member| member.client_urls.clone()).collect(),
        size: report.size,
        revision: report.revision,
        keys: report.records.keys,
        objects: report.directories.as_ref().map(|directories| storage::objects(directories, &prefix)),
        storage_version: report.contents.storage_version.clone(),
        encryption: flag("encryption-provider-config"),
        secure_port: flag("secure-port").and_then(|port| port.parse().ok()),
        settings,
        ..Lost::default()
    };
    let Some(manifest) = opened.manifest else {
        return Ok(Lost { sha256: trial::sha256_of(path)?, ..lost });
    };
    lost.taken = Some((manifest.created_at, manifest.node));
    lost.fingerprints = manifest.fingerprints;
    let mut contents = opened.files;
    for file in manifest.files {
        let owner = ((file.uid, file.gid) != (0, 0)).then_some((file.uid, file.gid));
        let bytes = contents.remove(&file.path).unwrap_or_default();
        lost.files.push(LostFile { path: file.path.into(), mode: file.mode, owner, bytes });
    }
    Ok(lost)
}

fn settings(opened: &open::Opened, prefix: &str) -> Result<Settings, BackupError> {
    let keys = ["kubeadm-config", "kubelet-config", "kube-proxy"]
        .map(|name| storage::key(prefix, "configmaps", "kube-system", name));
    let stored = snapshot::values(&opened.snapshot, &keys)?;
    let text = |key: &String, entry: &str| {
        let mut data = storage::config_map(stored.get(key).ok_or(NoSetting::Absent)?)?;
        data.remove(entry).ok_or(NoSetting::Absent)
    };
    Ok(Settings {
        cluster: text(&keys[0], "ClusterConfiguration"),
        kubelet: text(&keys[1], "kubelet"),
        kube_proxy: text(&keys[2], "config.conf"),
    })
}
