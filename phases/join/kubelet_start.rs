//! `kubelet-start`: what the kubelet asks for its first certificate with, its files, and the kubelet.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rkadm_core::{
    discovery::NodeSeen,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict, content::Content},
    kubeconfig::Kubeconfig,
};

use super::{joining::Joining, unfinished::by_kubelet};
use crate::{
    files::{Existing, directory, new_file},
    init::{Cluster, KUBELET_CONF, NewNode, PRIVATE, PRIVATE_DIR, PUBLIC, PUBLIC_DIR, kubelet_steps},
};

/// Writes the kubelet's files and starts it.
pub struct KubeletStart {
    joining: Arc<Joining>,
}

impl KubeletStart {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for KubeletStart {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet-start", "Write kubelet settings, certificates and (re)start the kubelet").help(
            "Write the kubeconfig that the kubelet asks for its certificate with, the cluster's authority and the \
             kubelet's settings, then (re)start the kubelet.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let mut first = self.authority(cx).await?;
        first.extend(self.bootstrap(cx).await?);
        if self.joining.is_control_plane() {
            // A kubelet that finds no directory of static pods looks again after a second, then two, four, …: etcd, which may have to wait
            // for its turn, would be started up to twenty seconds after its manifest is there.
            first.extend(directory(cx, &Cluster::manifests(), PRIVATE_DIR).await?);
        }
        let registration = &self.joining.cluster.config.node_registration;
        // A control plane is tainted through the API, where it is also labelled.
        let taints = match &registration.taints {
            Some(taints) if !self.joining.is_control_plane() => taints.as_slice(),
            _ => &[],
        };
        let name = self.joining.cluster.config.node_name().to_owned();
        let node = if !self.joining.is_control_plane() {
            // A worker has no credentials that may remove its Node again.
            Some(NewNode { access: by_kubelet(), name, stays: true })
        } else if self.joining.request.settings.node == NodeSeen::Absent {
            Some(NewNode { access: self.joining.admin_elsewhere(), name, stays: false })
        } else {
            None
        };
        let steps = kubelet_steps(cx, &self.joining.cluster, taints, first, node).await?;
        Ok(Verdict::from_steps(steps, "the kubelet runs with these settings"))
    }
}

impl KubeletStart {
    /// The authority that the kubelet trusts. A control plane has it among its certificates.
    async fn authority(&self, cx: &PlanCx<'_>) -> Result<Vec<Step>, PhaseError> {
        let path = PathBuf::from(&self.joining.request.join.ca_cert_path);
        let ca = self.joining.request.found.ca.as_bytes();
        match Existing::at(cx, &path).await? {
            Existing::Absent => {
                let mut steps = directory(cx, path.parent().unwrap_or(Path::new("/")), PUBLIC_DIR).await?;
                steps.push(new_file(path, PUBLIC, Content::Bytes(ca.to_vec())));
                Ok(steps)
            }
            Existing::Bytes(bytes) if same_authority(&bytes, ca) => Ok(vec![]),
            Existing::Planned => Ok(vec![]),
            Existing::Bytes(_) => Err(PhaseError::Unusable {
                message: format!("{} is there already and is not this cluster's", path.display()),
                hint: "it is of another cluster: `rkadm reset` clears this machine (and keeps an archive)"
                    .into(),
            }),
        }
    }

    /// The kubeconfig of the TLS bootstrap, where the kubelet has no certificate yet.
    async fn bootstrap(&self, cx: &PlanCx<'_>) -> Result<Vec<Step>, PhaseError> {
        let path = Joining::bootstrap_conf();
        if cx.host.stat(&Cluster::kubeconfig(KUBELET_CONF)).await?.is_some() {
            return Ok(vec![]);
        }
        let wrong = |error: &dyn std::fmt::Display| PhaseError::Config {
            message: format!("the kubeconfig to bootstrap with: {error}"),
        };
        let found = &self.joining.request.found;
        let mut file = Kubeconfig::from_yaml(found.bootstrap.expose()).map_err(|error| wrong(&error))?;
        let config = &self.joining.cluster.config;
        if self.joining.is_control_plane() && config.kubelet_local_mode() {
            for named in &mut file.clusters {
                named.cluster.server = config.local_api_url();
            }
        }
        let text = file.to_yaml();
        match Existing::at(cx, &path).await? {
            Existing::Absent => {
                let mut steps = directory(cx, path.parent().unwrap_or(Path::new("/")), PUBLIC_DIR).await?;
                steps.push(new_file(path, PRIVATE, Content::Private(text.as_bytes().to_vec())));
                Ok(steps)
            }
            Existing::Bytes(bytes) if bytes == text.as_bytes() => Ok(vec![]),
            Existing::Planned => Ok(vec![]),
            Existing::Bytes(_) => Err(PhaseError::Unusable {
                message: format!("{} is there already, from another attempt to join", path.display()),
                hint: format!("move {} away, or clear this machine with `rkadm reset`", path.display()),
            }),
        }
    }
}

/// Whether both hold the same certificates, whatever text is around them.
pub fn same_authority(one: &[u8], other: &[u8]) -> bool {
    use rkadm_core::pki::Certificate;
    match (Certificate::bundle_from_pem(one), Certificate::bundle_from_pem(other)) {
        (Ok(one), Ok(other)) => {
            one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.der() == other.der())
        }
        _ => one == other,
    }
}
