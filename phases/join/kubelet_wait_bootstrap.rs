//! `kubelet-wait-bootstrap`: until the kubelet has a certificate of its own.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, step::PatchSource, wait::Condition},
    host::{ApiAccess, ServiceVerb},
    kube::{ObjectRef, objects::CRI_SOCKET_ANNOTATION},
    text::sha256_hex,
};
use serde_json::{Value, json};

use super::joining::Joining;
use crate::{
    files::Existing,
    init::{Cluster, KUBELET, KUBELET_CONF},
};

/// Waits for kubelet.conf, then removes what was only there to get it.
pub struct KubeletWaitBootstrap {
    joining: Arc<Joining>,
}

impl KubeletWaitBootstrap {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for KubeletWaitBootstrap {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("kubelet-wait-bootstrap", "Wait for the kubelet to bootstrap itself").help(
            "Watch the kubelet until it is healthy and has got its client certificate from the cluster, then remove the \
             kubeconfig that it asked for it with. A kubelet that cannot get it ends the wait with its last words.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let cluster = &self.joining.cluster;
        let files = [Cluster::kubeconfig(KUBELET_CONF), cluster.kubelet_client_current()];
        let mut bootstrapped = true;
        for file in &files {
            bootstrapped &= cx.host.stat(file).await?.is_some();
        }
        let bootstrap = Existing::at(cx, &Joining::bootstrap_conf()).await?;
        let annotate = self.annotate();
        if bootstrapped && bootstrap == Existing::Absent && annotate.is_empty() {
            return Ok(Verdict::AlreadyDone("the kubelet has its own certificate".into()));
        }
        let mut steps = vec![cluster.wait_for_kubelet(cluster.kubelet_healthy())];
        if !bootstrapped && self.joining.is_control_plane() && cluster.config.kubelet_local_mode() {
            // The kubelet has asked this node's API server before it was up, and waits longer and longer between two
            // tries. A restart takes less than half a second, and asks at once.
            let access = cluster.admin(cx.host).await?;
            let ready = Condition::ApiHealthy { access, path: "/readyz".into() };
            steps.push(cluster.wait_by_kubelet(ready));
            steps.push(Step::Service { unit: KUBELET.into(), verb: ServiceVerb::Restart });
        }
        // kubelet.conf is there before the certificate that it names.
        let exist = files.into_iter().map(|path| Condition::FileExists { path }).collect();
        let bootstrapped = Condition::All(exist);
        steps.push(cluster.wait_within(bootstrapped, cluster.tls_bootstrap(), "timeouts.tlsBootstrap"));
        steps.extend(annotate);
        match bootstrap {
            Existing::Bytes(bytes) => steps.push(Step::RemoveFile {
                path: Joining::bootstrap_conf(),
                seen: Seen::Sha256(sha256_hex(&bytes)),
            }),
            Existing::Planned => {
                steps.push(Step::RemoveFile { path: Joining::bootstrap_conf(), seen: Seen::Absent });
            }
            Existing::Absent => {}
        }
        Ok(Verdict::Apply(steps))
    }
}

impl KubeletWaitBootstrap {
    /// The node's container runtime, where no file of the node tells it to upgrades. A control plane gets it with its
    /// labels.
    fn annotate(&self) -> Vec<Step> {
        let config = &self.joining.cluster.config;
        if config.local_cri_socket() || self.joining.is_control_plane() {
            return vec![];
        }
        let Ok(target) = ObjectRef::new("Node", None, config.node_name()) else { return vec![] };
        // The kubelet's own identity may write its own Node.
        let access = ApiAccess { kubeconfig: Cluster::kubeconfig(KUBELET_CONF), server: None };
        let change = |socket: Value| json!({"metadata": {"annotations": {CRI_SOCKET_ANNOTATION: socket}}});
        vec![
            Step::Wait {
                condition: Condition::ObjectExists { access: access.clone(), target: target.clone() },
                timeout: self.joining.cluster.tls_bootstrap(),
                setting: Some("timeouts.tlsBootstrap"),
            },
            Step::Patch {
                access,
                target,
                change: PatchSource::Plain {
                    patch: change(config.node_registration.cri_socket.clone().into()),
                    undo: change(Value::Null),
                },
                dies_with: None,
            },
        ]
    }
}
