//! Before anything is written: can the static pods be restarted?

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict};

use super::Renewal;
use crate::{init::KUBELET, static_pods};

pub struct Check {
    renewal: Arc<Renewal>,
}

impl Check {
    pub fn new(renewal: &Arc<Renewal>) -> Self {
        Self { renewal: Arc::clone(renewal) }
    }
}

#[async_trait]
impl Phase for Check {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("preflight", "Check that the static pods can be restarted").once()
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        if !self.renewal.restart {
            return Ok(Verdict::NotApplicable("nothing will be restarted".into()));
        }
        if !static_pods::any(cx.host).await? {
            return Ok(Verdict::NotApplicable("there are no static pods of a control plane here".into()));
        }
        let hint =
            "mend that first; or renew with --no-restart, and restart the static pods later".to_owned();
        let kubelet = cx.host.service(KUBELET).await?;
        if !kubelet.is_up() {
            let message =
                format!("the kubelet is {}: it would not start the static pods again", kubelet.active);
            return Err(PhaseError::Unusable { message, hint });
        }
        if let Err(error) = cx.host.containers(&self.renewal.cri_socket, "kube-system").await {
            let message = format!("the container runtime cannot be asked for the static pods: {error}");
            return Err(PhaseError::Unusable { message, hint });
        }
        Ok(Verdict::AlreadyDone("the kubelet and the container runtime answer".into()))
    }
}
