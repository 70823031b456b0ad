//! What every phase of `init` knows: the configuration, and where things are.

use std::{path::PathBuf, sync::Arc};

use rkadm_core::{
    config::ResolvedInit,
    engine::content::CaFiles,
    host::{ApiAccess, Probe},
    manifest::env,
    pki::{KeyAlgorithm, list::CertInputs},
};

/// kubeadm's directory for everything that is not the kubelet's own.
pub const KUBERNETES_DIR: &str = "/etc/kubernetes";
/// Where the kubelet keeps its state and reads its configuration.
pub const KUBELET_DIR: &str = "/var/lib/kubelet";
/// Modes as kubeadm sets them.
pub const PRIVATE: u32 = 0o600;
pub const PUBLIC: u32 = 0o644;
pub const PRIVATE_DIR: u32 = 0o700;
pub const PUBLIC_DIR: u32 = 0o755;

/// What the process that runs the command hands on to what it makes.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Proxy variables, handed on to control-plane pods.
    pub proxies: Vec<(String, String)>,
}

/// The cluster to be made, as its configuration describes it.
#[derive(Debug)]
pub struct Cluster {
    /// The resolved configuration.
    pub config: Arc<ResolvedInit>,
    environment: Environment,
}

impl Cluster {
    pub fn new(config: Arc<ResolvedInit>, environment: Environment) -> Self {
        Self { config, environment }
    }

    /// A file of the certificate directory.
    pub fn cert_file(&self, name: &str) -> PathBuf {
        PathBuf::from(self.config.cert_dir()).join(name)
    }

    /// The files of a certificate authority, by its base name: `ca`, `etcd/ca`, `front-proxy-ca`.
    pub fn ca_files(&self, base_name: &str) -> CaFiles {
        CaFiles {
            cert: self.cert_file(&format!("{base_name}.crt")),
            key: self.cert_file(&format!("{base_name}.key")),
        }
    }

    /// A kubeconfig file, for example `admin.conf`.
    pub fn kubeconfig(name: &str) -> PathBuf {
        PathBuf::from(KUBERNETES_DIR).join(name)
    }

    /// The manifest of a static pod.
    pub fn manifest(file_name: &str) -> PathBuf {
        PathBuf::from(KUBERNETES_DIR).join("manifests").join(file_name)
    }

    /// The new cluster's administrator, at this node's own API server: other addresses may not lead here yet.
    pub fn admin(&self) -> ApiAccess {
        ApiAccess { kubeconfig: Self::kubeconfig("admin.conf"), server: Some(self.config.local_api_url()) }
    }

    /// The administrator whose rights need no RBAC object.
    pub fn super_admin(&self) -> ApiAccess {
        ApiAccess { kubeconfig: Self::kubeconfig("super-admin.conf"), ..self.admin() }
    }

    /// The data directory of this node's etcd, `None` with an external etcd.
    pub fn etcd_data_dir(&self) -> Option<PathBuf> {
        self.config.cluster.etcd.local.as_ref().map(|etcd| PathBuf::from(&etcd.data_dir))
    }

    /// The algorithm of new keys.
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        self.config.key_algorithm()
    }

    /// What certificates are made from.
    pub fn cert_inputs(&self) -> CertInputs {
        self.config.cert_inputs()
    }

    /// Proxy variables for control-plane pods.
    pub fn proxy_env(&self) -> Vec<rkadm_core::config::types::EnvVar> {
        env::proxies(self.environment.proxies.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Those of the candidate directories that exist on the host.
    pub async fn existing_dirs(
        host: &dyn Probe,
        candidates: &[&str],
    ) -> Result<Vec<String>, rkadm_core::host::HostError> {
        let mut existing = vec![];
        for dir in candidates {
            if host.stat(dir.as_ref()).await?.is_some() {
                existing.push((*dir).to_owned());
            }
        }
        Ok(existing)
    }
}
