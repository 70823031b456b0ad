//! etcd, over clients that are made once.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::LocalHost;
use crate::{
    backup::{
        BackupError,
        crypt::Recipients,
        format::Compression,
        place::Directory,
        source::{StaticPods, access, below},
        take::{self, To},
    },
    engine::Cancel,
    etcd::{EtcdAccess, EtcdClient},
    health::Tls,
    host::{HostError, Probe},
    text::sha256_hex,
};

impl LocalHost {
    /// The client for this access, a new one where its files have changed.
    pub(super) async fn etcd(&self, access: &EtcdAccess) -> Result<EtcdClient, HostError> {
        let ca = self.etcd_file(&access.ca).await?;
        let certificate = self.etcd_file(&access.certificate).await?;
        let key = self.etcd_file(&access.key).await?;
        let digest = sha256_hex(&[ca.as_slice(), &certificate, &key].concat());
        let known = (access.clone(), digest);
        let mut clients = self.etcds.lock().await;
        if let Some(client) = clients.get(&known) {
            return Ok(client.clone());
        }
        let client = EtcdClient::new(&access.endpoints, &Tls::of_etcd(ca, certificate, key))?;
        clients.insert(known, client.clone());
        Ok(client)
    }

    /// Empty where none is named.
    async fn etcd_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        if path.as_os_str().is_empty() {
            return Ok(vec![]);
        }
        self.read(path).await?.ok_or_else(|| HostError::File {
            what: "read",
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

/// A backup of the etcd of the machine whose file system is at `root`, in a directory of it.
pub(super) async fn backup(root: &Path, dir: &Path, node: String) -> Result<PathBuf, HostError> {
    let dir = below(root, dir);
    let request = take::Request {
        root: root.to_owned(),
        scratch: dir.clone(),
        access: access(&StaticPods::read(root)?)?,
        compression: Compression::Zstd,
        recipients: Recipients::default(),
        node,
        resources: None,
        // A step runs to its end.
        cancel: Cancel::default(),
    };
    let made = take::take(&request, To::Place(Arc::new(Directory(dir)))).await?;
    Ok(made.path)
}

/// What reads and writes much must not hold up what waits for the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
