//! `delete-node`: the Node object, where that was asked for.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict},
    host::{ApiAccess, Probe},
    kube::ObjectRef,
    kubeconfig::{Kubeconfig, list::KUBELET_CLIENT_CURRENT},
    pki::Certificate,
};

use super::{LeaveCluster, Reset};
use crate::init::{Cluster, KUBELET_CONF};

const NODE_USER: &str = "system:node:";

pub struct DeleteNode {
    reset: Arc<Reset>,
}

impl DeleteNode {
    pub fn new(reset: &Arc<Reset>) -> Self {
        Self { reset: Arc::clone(reset) }
    }
}

#[async_trait]
impl Phase for DeleteNode {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("delete-node", "Delete the Node object of this machine")
            .help(
                "Delete the Node object while the API server can still be reached. Only with --delete-node.",
            )
            // Later, nobody may be there to ask: the API server of this machine, or its credentials, have gone meanwhile.
            .once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.reset.delete_node {
            return Ok(Verdict::NotApplicable("only with --delete-node".into()));
        }
        let access = ApiAccess { kubeconfig: self.reset.admin_kubeconfig(), server: None };
        if cx.host.stat(&access.kubeconfig).await?.is_none() {
            let message = format!("{} is not here", access.kubeconfig.display());
            return self.cannot(cx, message);
        }
        let name = node_name(cx.host).await?;
        let unusable = |message: String| PhaseError::Unusable { message, hint: String::new() };
        let target = ObjectRef::new("Node", None, &name).map_err(|error| unusable(error.to_string()))?;
        match cx.host.object(&access, &target).await {
            Ok(Some(_)) => {
                // A Node that is made anew is another one: controllers have let go of it by then.
                if !self.reset.config.force {
                    LeaveCluster::new(&self.reset).may_leave(cx).await?;
                }
                Ok(Verdict::Apply(vec![Step::DeleteObject { access, target, dies_with: None }]))
            }
            Ok(None) => Ok(Verdict::AlreadyDone(format!("there is no Node {name}"))),
            Err(error) => self.cannot(cx, format!("the API server cannot be asked for Node {name}: {error}")),
        }
    }
}

impl DeleteNode {
    fn cannot(&self, cx: &PlanCx<'_>, message: String) -> Result<Verdict, PhaseError> {
        if self.reset.config.force {
            cx.warn(format!("the Node object stays: {message}"));
            return Ok(Verdict::NotApplicable(message));
        }
        let hint = "name an administrator's kubeconfig with --kubeconfig; or leave --delete-node out, and run \
                    `kubectl delete node` elsewhere";
        Err(PhaseError::Unusable { message, hint: hint.into() })
    }
}

/// The name that the kubelet is known by to the API server, else the host's.
pub(super) async fn node_name(host: &dyn Probe) -> Result<String, PhaseError> {
    for certificate in [own_certificate(host).await?, certificate_at(host, KUBELET_CLIENT_CURRENT).await?] {
        let user = certificate.as_ref().map(Certificate::common_name);
        if let Some(name) = user.and_then(|user| user.strip_prefix(NODE_USER)) {
            return Ok(name.to_owned());
        }
    }
    Ok(host.hostname().await.to_lowercase())
}

/// The client certificate that kubelet.conf holds or names.
async fn own_certificate(host: &dyn Probe) -> Result<Option<Certificate>, PhaseError> {
    let Some(text) = host.read(&Cluster::kubeconfig(KUBELET_CONF)).await? else { return Ok(None) };
    let Ok(file) = Kubeconfig::from_yaml(&String::from_utf8_lossy(&text)) else { return Ok(None) };
    let Ok((_, user)) = file.current() else { return Ok(None) };
    match &user.client_certificate {
        Some(path) => certificate_at(host, path).await,
        None => Ok(user.certificate().ok().flatten()),
    }
}

async fn certificate_at(host: &dyn Probe, path: &str) -> Result<Option<Certificate>, PhaseError> {
    let pem = host.read(Path::new(path)).await?;
    Ok(pem.and_then(|pem| Certificate::from_pem(&pem).ok()))
}
