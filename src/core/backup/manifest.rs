//! `manifest.json`, the first entry of an archive.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    etcd::{Member, snapshot::Report},
    kube::storage::Objects,
    text::sha256_hex,
};

/// Version of the layout and of this file. A reader refuses newer ones.
pub const SCHEMA: u32 = 1;
/// Name of the manifest in the archive.
pub const MANIFEST: &str = "manifest.json";
/// Name of the entry with the manifest's own sum, as `sha256sum` writes it. The manifest has the sums of all others.
pub const MANIFEST_SUM: &str = "manifest.json.sha256";
/// Name of the snapshot in the archive: a file that etcdutl accepts.
pub const SNAPSHOT: &str = "etcd/snapshot.db";
/// Below this are files of the machine under their paths.
pub const FILES: &str = "files";
/// Below this are API objects as YAML.
pub const RESOURCES: &str = "resources";
/// Begins the name of every backup.
pub const PREFIX: &str = "rkadm-backup-";

/// What an archive says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the snapshot was taken.
    pub created_at: Timestamp,
    /// Version of rkadm.
    pub rkadm: String,
    /// The machine that it was taken on.
    pub node: String,
    /// Of the API server on that machine, `None` where there is none.
    pub kubernetes_version: Option<String>,
    /// The cluster of etcd.
    pub etcd: EtcdCluster,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The files of the machine.
    pub files: Vec<File>,
    /// How many objects the snapshot has; absent where they have too many namespaces to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Objects>,
    /// Files with API objects as YAML, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceFile>,
    /// Of the files, the one that tells the API server how objects in etcd are encrypted; absent where it was started without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// SHA-256 of the public keys of authorities (`ca`, `etcd/ca`, `front-proxy-ca`) and of the service account (`sa`).
    pub fingerprints: BTreeMap<String, String>,
    /// What was checked when it was made.
    pub verified: Verified,
}

/// A cluster of etcd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdCluster {
    /// Hexadecimal, as etcd's tools print it.
    pub cluster_id: String,
    /// The member that the snapshot came from, hexadecimal.
    pub member_id: String,
    /// Its version.
    pub version: String,
    /// All members at that time.
    pub members: Vec<Member>,
}

/// A snapshot of etcd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Bytes of the file, the hash at its end included.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// The revision that etcd had.
    pub revision: i64,
    /// History up to here was compacted; -1: none.
    pub compact_revision: i64,
    /// Keys at that revision.
    pub keys: u64,
    /// etcd's own hash of all keys, CRC-32C.
    pub hash_kv: u32,
    /// Version of the storage format; etcd 3.5 writes none.
    pub storage_version: Option<String>,
}

impl Snapshot {
    /// From what verification found.
    pub fn of(report: &Report, sha256: String) -> Self {
        Self {
            size: report.size + 32,
            sha256,
            revision: report.revision,
            compact_revision: report.compact_revision,
            keys: report.records.keys,
            hash_kv: report.hash_kv.hash,
            storage_version: report.contents.storage_version.clone(),
        }
    }
}

/// A file of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its path on the machine.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// API objects of one resource and namespace, as YAML documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceFile {
    /// Its path in the archive, below [`RESOURCES`].
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: String,
    /// How many objects are in it.
    pub objects: u64,
}

/// What was checked when a backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Every page and record of the snapshot, and its hash.
    pub snapshot: bool,
    /// The snapshot's `HashKV` is the live member's.
    pub live_hash: bool,
    /// Why not, where it could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_hash_why: Option<String>,
    /// The archive was read back from the disk.
    pub read_back: bool,
}

impl Manifest {
    /// Name of the archive: `rkadm-backup-<node>-<time>-r<revision>`, with the time in UTC so that names sort by it.
    pub fn file_name(&self, extension: &str) -> String {
        let time = time_in_name(self.created_at);
        format!("{PREFIX}{}-{time}-r{}.{extension}", self.node, self.snapshot.revision)
    }
}

/// A time as names of archives have it: in UTC, so that names sort by it.
pub fn time_in_name(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// What the entry [`MANIFEST_SUM`] holds.
pub fn sum_of(text: &[u8]) -> String {
    format!("{}  {MANIFEST}\n", sha256_hex(text))
}
