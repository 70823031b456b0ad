//! Where a machine's etcd is, from the manifests of its static pods.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::BackupError;
use crate::{etcd::EtcdAccess, manifest::pod, yaml};

/// The static pods of a machine, as their manifests have them.
#[derive(Debug, Default)]
pub struct StaticPods {
    /// File name and pod.
    pub pods: Vec<(String, Pod)>,
}

/// A file of the machine whose file system is at `root`.
pub fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

impl StaticPods {
    /// Reads every manifest. One that is no pod is left out: the kubelet does not run it either.
    ///
    /// # Errors
    /// The directory or a file cannot be read.
    pub fn read(root: &Path) -> Result<Self, BackupError> {
        let dir = below(root, "/etc/kubernetes/manifests");
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(BackupError::io("read", dir)(error)),
        };
        let mut pods = vec![];
        for entry in entries {
            let path = entry.map_err(BackupError::io("read", &dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // As the kubelet: hidden files are none.
            if name.starts_with('.') || !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(BackupError::io("read", &path))?;
            if let Ok(pod) = yaml::from_str(&text) {
                pods.push((name, pod));
            }
        }
        pods.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Self { pods })
    }

    /// The pod of a component, `etcd` for example.
    pub fn component(&self, name: &str) -> Option<&Pod> {
        let named = |pod: &&Pod| pod::container(pod).is_some_and(|container| container.name == name);
        self.pods.iter().map(|(_, pod)| pod).find(named)
    }

    /// The version in the tag of a component's image, `v1.37.2`.
    pub fn version(&self, name: &str) -> Option<String> {
        pod::image_tag(self.component(name)?)
    }
}

/// How this machine's etcd is reached: its own member where there is one, else what its API server uses.
///
/// # Errors
/// The machine has neither.
pub fn access(pods: &StaticPods) -> Result<EtcdAccess, BackupError> {
    if let Some(etcd) = pods.component("etcd") {
        return Ok(pod::etcd_access(etcd));
    }
    let Some(server) = pods.component("kube-apiserver") else {
        let why = "this machine has no static pod of etcd or of an API server in /etc/kubernetes/manifests";
        return Err(BackupError::Source(why.into()));
    };
    let needed = |name: &str| {
        pod::flag(server, name)
            .ok_or_else(|| BackupError::Source(format!("the API server's manifest has no --{name}")))
    };
    // Such an etcd may ask for no client certificate, or serve without TLS.
    let given = |name: &str| pod::flag(server, name).unwrap_or_default().into();
    Ok(EtcdAccess {
        endpoints: needed("etcd-servers")?.split(',').map(str::to_owned).collect(),
        ca: given("etcd-cafile"),
        certificate: given("etcd-certfile"),
        key: given("etcd-keyfile"),
    })
}
