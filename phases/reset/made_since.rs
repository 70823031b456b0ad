//! Whether something has been made since a reset, which its rollback would mix with what was before.

use std::path::Path;

use rkadm_core::{engine::PhaseError, host::Probe};

use super::etcd_member::MemberOutput;
use crate::init::{Cluster, KUBELET_DIR};

/// What speaks against taking a finished reset back, in words; empty when nothing does. `etcd` is what it recorded.
pub async fn made_since(
    host: &dyn Probe,
    etcd: Option<&serde_json::Value>,
) -> Result<Vec<String>, PhaseError> {
    let mut made = vec![];
    for file in ["admin.conf", "kubelet.conf", "bootstrap-kubelet.conf"] {
        let path = Cluster::kubeconfig(file);
        if host.stat(&path).await?.is_some() {
            made.push(format!("{} is there again", path.display()));
        }
    }
    let known = etcd.and_then(|value| serde_json::from_value::<MemberOutput>(value.clone()).ok());
    let mut dirs = vec![Cluster::manifests(), Path::new(KUBELET_DIR).join("pki")];
    dirs.extend(known.iter().flat_map(|known| known.data.dirs()).map(Path::to_owned));
    for dir in dirs {
        if !host.list(&dir).await?.is_empty() {
            made.push(format!("{} is not empty", dir.display()));
        }
    }
    Ok(made)
}
