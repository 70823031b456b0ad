//! etcd, over clients that are made once.

use std::path::Path;

use super::LocalHost;
use crate::{
    backup::BackupError,
    etcd::{EtcdAccess, EtcdClient},
    health::{Identity, Tls},
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
        let tls = Tls { identity: Some(Identity { certificate, key: key.into() }), ..Tls::ca(ca) };
        let client = EtcdClient::new(&access.endpoints, &tls)?;
        clients.insert(known, client.clone());
        Ok(client)
    }

    async fn etcd_file(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        self.read(path).await?.ok_or_else(|| HostError::File {
            what: "read",
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
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
