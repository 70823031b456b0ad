//! The etcd of this machine, as its manifests describe it.

use std::path::{Path, PathBuf};

use rkadm_core::{
    engine::PhaseError,
    etcd::EtcdAccess,
    host::{CommandOutput, Probe},
    manifest::{
        Component, api_server_url,
        pod::{self, encryption_config, etcd_prefix, flag, image_tag},
    },
};
use serde::{Deserialize, Serialize};

use crate::static_pods;

/// What a restore has to know of the machine. Later, with the manifests away, nothing tells it any more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEtcd {
    /// Name of the member.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Its data, links resolved.
    pub data_dir: PathBuf,
    /// The data directory is a file system of its own, and cannot be renamed.
    pub mounted: bool,
    /// Version in the tag of its image.
    pub version: Option<String>,
    /// How it is reached from this machine.
    pub access: EtcdAccess,
    /// Directory of the certificates.
    pub pki: PathBuf,
    /// URL of this machine's API server.
    pub api_url: Option<String>,
    /// The API server's encryption configuration.
    pub encryption: Option<PathBuf>,
    /// Below what the API server keeps its objects.
    pub prefix: String,
    /// How many bytes its database may have before it takes no more writes; none without a limit.
    #[serde(default)]
    pub quota: Option<i64>,
}

impl NodeEtcd {
    /// Reads the manifests.
    ///
    /// # Errors
    /// There is no static pod of etcd here, or its manifest does not say what it must.
    pub async fn read(host: &dyn Probe) -> Result<Self, PhaseError> {
        let unusable = |message: String| {
            PhaseError::Unusable {
            message,
            hint: "a restore needs the manifests that the control plane runs with; for an etcd elsewhere: `rkadm restore data` where it runs".into(),
        }
        };
        let Some(etcd) = static_pods::read(host, Component::Etcd).await? else {
            return Err(unusable("this machine has no /etc/kubernetes/manifests/etcd.yaml".into()));
        };
        let needed = |name: &str| {
            flag(&etcd, name).ok_or_else(|| unusable(format!("the manifest of etcd has no --{name}")))
        };
        needed("data-dir")?;
        let typed = pod::dir_of(&etcd, "data-dir").unwrap_or_default();
        let data_dir = resolved(host, &typed).await;
        if let Some(wal) = flag(&etcd, "wal-dir") {
            return Err(unusable(format!("etcd keeps its log apart from its data (--wal-dir={wal})")));
        }
        let inside = host.mounts_below(&data_dir).await?;
        if let Some(mount) = inside.iter().find(|mount| **mount != data_dir) {
            return Err(unusable(format!(
                "{} is a file system of its own inside etcd's data",
                mount.display()
            )));
        }
        let parent = data_dir.parent().unwrap_or(Path::new("/"));
        let mounted = host.mounts_below(parent).await?.contains(&data_dir);
        let access = pod::etcd_access(&etcd);
        // etcd's certificates lie in a directory of their own in the PKI.
        let pki = access.ca.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned();
        let server = static_pods::read(host, Component::ApiServer).await?;
        Ok(Self {
            name: needed("name")?,
            peer_urls: needed("initial-advertise-peer-urls")?.split(',').map(str::to_owned).collect(),
            data_dir,
            mounted,
            version: image_tag(&etcd),
            access,
            pki,
            api_url: server.as_ref().and_then(api_server_url),
            prefix: etcd_prefix(server.as_ref()),
            quota: static_pods::etcd_quota(flag(&etcd, "quota-backend-bytes").as_deref()),
            encryption: server.as_ref().and_then(encryption_config),
        })
    }

    /// Under these keys API servers say that they are there; the address is what follows.
    pub fn master_leases(&self) -> String {
        format!("{}/masterleases/", self.prefix.trim_end_matches('/'))
    }

    /// Address of this machine's API server, as the Service `kubernetes` has it.
    pub fn api_address(&self) -> Option<String> {
        let authority = self.api_url.as_deref()?.strip_prefix("https://")?;
        let (host, _) = authority.rsplit_once(':')?;
        Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
    }
}

/// Renaming a link would leave the data where it is.
async fn resolved(host: &dyn Probe, path: &Path) -> PathBuf {
    let text = path.display().to_string();
    let answer = host.query(&["readlink", "-f", &text]).await;
    let real = answer.ok().filter(CommandOutput::success).map(|answer| answer.stdout.trim().to_owned());
    let real = real.filter(|real| real.starts_with('/')).map_or_else(|| path.to_owned(), PathBuf::from);
    real.components().collect()
}
