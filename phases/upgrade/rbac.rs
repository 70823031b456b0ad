//! `bootstrap-token`: what nodes that join may do, and the API server on kubelets. No token is made.

use std::sync::Arc;

use async_trait::async_trait;
use rkadm_core::{
    engine::{Phase, PhaseError, PhaseMeta, PlanCx, Verdict},
    kube::objects,
};

use super::Upgrading;
use crate::objects::wanted;

pub struct BootstrapToken {
    upgrading: Arc<Upgrading>,
}

impl BootstrapToken {
    pub fn new(upgrading: &Arc<Upgrading>) -> Self {
        Self { upgrading: Arc::clone(upgrading) }
    }
}

#[async_trait]
impl Phase for BootstrapToken {
    fn meta(&self) -> PhaseMeta {
        PhaseMeta::new("bootstrap-token", "Configures bootstrap token and cluster-info RBAC rules").help(
            "Apply the roles and bindings that let nodes join, read the cluster's information, and let the API server reach \
             kubelets. Tokens and the information itself are left as they are.",
        )
    }

    async fn plan(&self, cx: &PlanCx<'_>) -> Result<Verdict, PhaseError> {
        let mut all = objects::bootstrap_rbac();
        all.extend(objects::cluster_info_rbac());
        all.push(objects::cluster_admins());
        let steps = wanted(cx, &self.upgrading.cluster, all).await?;
        Ok(Verdict::from_steps(steps, "all roles and bindings are there"))
    }
}
