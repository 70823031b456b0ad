//! `mark-control-plane`: the labels and taints of this node.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    config::types::Taint,
    engine::{
        Phase, PhaseError, PhaseMeta, PlanCx, Step, Verdict,
        step::{PatchMaker, PatchSource},
        wait::Condition,
    },
    kube::{ObjectRef, objects},
};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::objects::holds;

/// Labels and taints the Node object.
pub struct MarkControlPlane {
    cluster: Arc<Cluster>,
}

impl MarkControlPlane {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster) }
    }
}

#[async_trait]
impl Phase for MarkControlPlane {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("mark-control-plane", "Mark a node as a control-plane").help(
            "Give the node the labels and taints of a control plane, once its kubelet has registered it.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let config = &self.cluster.config;
        let target = ObjectRef::new("Node", None, config.node_name())
            .map_err(|error| PhaseError::Config { message: error.to_string() })?;
        let taints =
            config.node_registration.taints.clone().unwrap_or_else(|| vec![objects::control_plane_taint()]);
        let registration = &config.node_registration;
        let cri_socket = (!config.local_cri_socket()).then(|| registration.cri_socket.clone());
        let mark = Mark { taints, cri_socket };
        let access = self.cluster.admin(cx.host).await?;
        let registered = Condition::ObjectExists { access: access.clone(), target: target.clone() };
        let registered = self.cluster.wait_by_kubelet(registered);
        let mut steps = vec![];
        // A new API server of a cluster that is there denies everything until it has read who has which rights.
        let ready = Condition::ApiHealthy { access: access.clone(), path: "/readyz".into() };
        if self.cluster.joins()
            && !cx.host.api_health(&access, "/readyz").await.is_ok_and(|it| it.status == 200)
        {
            steps.extend([self.cluster.wait_by_kubelet(ready), registered]);
        } else {
            match cx.host.object(&access, &target).await? {
                Some(live) if holds(&live, &mark.make(&live).0) => {
                    return Ok(Verdict::AlreadyDone("the node is marked".into()));
                }
                Some(_) => {}
                None => steps.push(registered),
            }
        }
        steps.push(Step::Patch {
            access,
            target,
            change: PatchSource::Made(Arc::new(mark)),
            dies_with: self.cluster.dies_with(),
        });
        Ok(Verdict::Apply(steps))
    }
}

/// Labels and taints over those that the node has.
struct Mark {
    taints: Vec<Taint>,
    /// The container runtime, where no file of the node tells it to upgrades.
    cri_socket: Option<String>,
}

impl PatchMaker for Mark {
    fn describe(&self) -> String {
        let taints: Vec<_> =
            self.taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
        format!(
            "labels {}, {}; taints [{}]",
            objects::CONTROL_PLANE_LABEL,
            objects::EXCLUDE_FROM_LOAD_BALANCERS_LABEL,
            taints.join(", ")
        )
    }

    fn make(&self, live: &Value) -> (Value, Value) {
        let taints = live.pointer("/spec/taints").cloned().unwrap_or(Value::Null);
        let existing: Vec<Taint> = serde_json::from_value(taints.clone()).unwrap_or_default();
        let mut patch = objects::mark_control_plane(&existing, &self.taints);
        if let Some(socket) = &self.cri_socket {
            patch["metadata"]["annotations"] = json!({objects::CRI_SOCKET_ANNOTATION: socket});
        }
        let mut undo = json!({"spec": {"taints": taints}});
        for (field, new) in patch["metadata"].as_object().into_iter().flatten() {
            for name in new.as_object().into_iter().flatten().map(|(name, _)| name) {
                let old = live.get("metadata").and_then(|metadata| metadata.get(field)?.get(name)).cloned();
                undo["metadata"][field][name] = old.unwrap_or(Value::Null);
            }
        }
        (patch, undo)
    }
}
