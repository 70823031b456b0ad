//! `control-plane-prepare/kubeconfig`: the credentials of the administrator and of this node's own clients.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::joining::{Joining, WORKER};
use crate::init;

/// The files that a joining control plane gets. Its kubelet's comes from the TLS bootstrap, and the super
/// administrator's stays on the node that the cluster began on.
const FILES: [&str; 3] = ["kubeconfig/admin", "kubeconfig/controller-manager", "kubeconfig/scheduler"];

/// Makes what init makes one by one.
pub struct Kubeconfigs {
    joining: Arc<Joining>,
    single: Vec<Box<dyn Phase>>,
}

impl Kubeconfigs {
    pub fn new(joining: &Arc<Joining>) -> Self {
        let mut single = init::kubeconfigs(&joining.cluster);
        single.retain(|phase| FILES.contains(&phase.meta().id));
        Self { joining: Arc::clone(joining), single }
    }
}

#[async_trait]
impl Phase for Kubeconfigs {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(
            "control-plane-prepare/kubeconfig",
            "Generate the kubeconfig for the new control plane components",
        )
        .help("Write admin.conf, controller-manager.conf and scheduler.conf.")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let mut steps = vec![];
        for phase in &self.single {
            if let Verdict::Apply(more) = phase.plan(cx).await? {
                steps.extend(more);
            }
        }
        Ok(Verdict::from_steps(steps, "uses the existing files"))
    }

    fn keys_wanted(&self) -> usize {
        if self.joining.is_control_plane() { self.single.len() } else { 0 }
    }
}
