//! Where this node's etcd keeps what it knows.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use rkadm_core::{archive::Removal, engine::PhaseError, host::Probe, manifest::pod};
use serde::{Deserialize, Serialize};

/// Where kubeadm has etcd's data.
pub const DEFAULT_DATA: &str = "/var/lib/etcd";

/// etcd's directories, as paths of the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdData {
    /// Its data.
    pub data_dir: PathBuf,
    /// Its log, where that lies elsewhere: on a disk of its own, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_dir: Option<PathBuf>,
}

impl EtcdData {
    /// As etcd's manifest has it.
    pub fn of(manifest: &Pod) -> Self {
        let data_dir = pod::dir_of(manifest, "data-dir").unwrap_or_else(|| DEFAULT_DATA.into());
        // Only what is mounted is on the machine at all.
        let wal_dir = pod::flag(manifest, "wal-dir").and_then(|dir| pod::on_host(manifest, dir.as_ref()));
        let wal_dir = wal_dir.filter(|wal| !wal.starts_with(&data_dir));
        Self { data_dir, wal_dir }
    }

    /// Both, as what goes with the member.
    pub fn removals(&self) -> Vec<Removal> {
        self.dirs().map(Removal::contents).collect()
    }

    /// Both.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.data_dir.as_path()).chain(self.wal_dir.as_deref())
    }

    /// What of it is big.
    ///
    /// # Errors
    /// The log's directory cannot be read.
    pub async fn bulk(&self, host: &dyn Probe) -> Result<Vec<PathBuf>, PhaseError> {
        let mut bulk = vec![self.data_dir.join("member")];
        if let Some(wal) = &self.wal_dir {
            bulk.extend(host.list(wal).await?.into_iter().map(|name| wal.join(name)));
        }
        Ok(bulk)
    }
}
