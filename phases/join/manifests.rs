//! `control-plane-prepare/control-plane`: the manifests of this node's API server, controller manager and scheduler.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    manifest::Component,
};

use super::joining::{Joining, WORKER};
use crate::init::manifest_steps;

/// Writes the manifests; etcd's comes when this node has a member.
pub struct Manifests {
    joining: Arc<Joining>,
}

impl Manifests {
    pub fn new(joining: &Arc<Joining>) -> Self {
        Self { joining: Arc::clone(joining) }
    }
}

#[async_trait]
impl Phase for Manifests {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new(
            "control-plane-prepare/control-plane",
            "Generate the manifests for the new control plane components",
        )
        .help("Write the manifests of the API server, the controller manager and the scheduler.")
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.joining.is_control_plane() {
            return Ok(Verdict::NotApplicable(WORKER.into()));
        }
        let mut steps = vec![];
        for component in [Component::ApiServer, Component::ControllerManager, Component::Scheduler] {
            for step in manifest_steps(cx, &self.joining.cluster, component).await? {
                if !steps.iter().any(|known| format!("{known:?}") == format!("{step:?}")) {
                    steps.push(step);
                }
            }
        }
        Ok(Verdict::from_steps(steps, "the manifests are there"))
    }
}
