//! `kubelet-wait-bootstrap`: until the kubelet has a certificate of its own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rkadm_core::{
    config::GoDuration,
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Seen, Step, Verdict, step::PatchSource, wait::Condition},
    host::ApiAccess,
    kube::{ObjectRef, objects::CRI_SOCKET_ANNOTATION},
    text::sha256_hex,
};
use serde_json::{Value, json};

use super::joining::Joining;
use crate::{
    files::Existing,
    init::{Cluster, KUBELET_CONF},
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
        let kubelet_conf = Cluster::kubeconfig(KUBELET_CONF);
        let bootstrap = Existing::at(cx, &Joining::bootstrap_conf()).await?;
        let annotate = self.annotate(&kubelet_conf);
        if bootstrap == Existing::Absent
            && annotate.is_empty()
            && cx.host.stat(&kubelet_conf).await?.is_some()
        {
            return Ok(Verdict::AlreadyDone("the kubelet has its own certificate".into()));
        }
        let by_kubelet = |condition| Condition::ByKubelet {
            socket: cluster.config.node_registration.cri_socket.clone(),
            condition: Box::new(condition),
        };
        let tls = cluster.config.timeouts.tls_bootstrap.map_or(Duration::from_mins(5), GoDuration::as_std);
        let mut steps = vec![
            Step::Wait {
                condition: by_kubelet(cluster.kubelet_healthy()),
                timeout: cluster.kubelet_timeout().as_std(),
            },
            Step::Wait { condition: by_kubelet(Condition::FileExists { path: kubelet_conf }), timeout: tls },
        ];
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
    fn annotate(&self, kubelet_conf: &std::path::Path) -> Vec<Step> {
        let config = &self.joining.cluster.config;
        if config.local_cri_socket() || self.joining.is_control_plane() {
            return vec![];
        }
        let Ok(target) = ObjectRef::new("Node", None, config.node_name()) else { return vec![] };
        // The kubelet's own identity may write its own Node.
        let access = ApiAccess { kubeconfig: kubelet_conf.to_owned(), server: None };
        let change = |socket: Value| json!({"metadata": {"annotations": {CRI_SOCKET_ANNOTATION: socket}}});
        let tls = config.timeouts.tls_bootstrap.map_or(Duration::from_mins(5), GoDuration::as_std);
        vec![
            Step::Wait {
                condition: Condition::ObjectExists { access: access.clone(), target: target.clone() },
                timeout: tls,
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
